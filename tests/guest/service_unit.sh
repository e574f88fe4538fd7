#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The systemd unit says nothing that systemd does not know, or what would hide the control tree from others. What
# the service tells systemd is tested by tests/unit/ctl_service.c.
. "${0%/*}/lib.sh"

command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
unit=$work/ballast@check.service
sed "s#^ExecStart=[^ ]*#ExecStart=$BALLAST#" "${0%/*}/../../tools/ballast@.service" >"$work/ballast@.service"

# It says what it ignores, and takes that for success; other units of this machine are none of our business.
systemd-analyze verify --man=no "$unit" >"$output" 2>&1 || :
if grep -F 'ballast@' "$output"; then
	echo "FAIL: the unit is not as systemd wants it"
	exit 1
fi

# These give a service mounts of its own (systemd.exec(5)).
if grep -nE '^(Protect|Private(Tmp|Devices|Mounts|Users)|Read|Inaccessible|NoExec|ExecPaths|Bind|TemporaryFile|Root|Mount|DynamicUser)' \
	"$work/ballast@.service"; then
	echo "FAIL: nobody would see the control tree"
	exit 1
fi
