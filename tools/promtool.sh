#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# promtool.sh FOLDER: puts promtool there, out of Debian's package of Prometheus. The package itself
# would bring a server that starts by itself; the tests want nothing but its checker of metrics.
set -eu

folder=$1
[ ! -x "$folder/promtool" ] || exit 0
if found=$(command -v promtool); then
	mkdir -p "$folder"
	ln -sf "$found" "$folder/promtool"
	exit 0
fi
mkdir -p "$folder"
unpacked=$(mktemp -d "$folder/unpack.XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
chmod 755 "$unpacked" # apt's own user downloads
echo "ballast: fetching promtool"
(
	cd "$unpacked"
	apt-get -qq download prometheus || { apt-get -qq update; apt-get -qq download prometheus; }
	dpkg-deb -x prometheus_*.deb .
) >/dev/null 2>&1 || {
	echo "ballast: no promtool: Debian's package prometheus cannot be fetched" >&2
	exit 1
}
mv "$unpacked/usr/bin/promtool" "$folder/promtool"
