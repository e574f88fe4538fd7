#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks for the Debian packages Ballast is built and tested with; installs what is missing when run
# as root, else prints the line that does.
set -eu

packages="gcc make pkg-config liburing-dev libxxhash-dev liblz4-dev libnuma-dev libinih-dev
	libseccomp-dev libfuse3-dev fuse3 libmicrohttpd-dev libncurses-dev libcriterion-dev jq curl tmux
	clang libclang-rt-14-dev gnuplot-nox tidy python3-jsonschema libsystemd-dev"

missing=
for package in $packages; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
		missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "ballast: packages are missing; install them with:" >&2
	echo "    sudo apt-get install -y$missing" >&2
	exit 1
fi
echo "ballast: installing$missing"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
