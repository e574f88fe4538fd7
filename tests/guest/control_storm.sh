#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Thousands of changes, as fast as they go, from several at once and through both faces, rubbish among them,
# while guests work and verify.
. "${0%/*}/lib.sh"
is_root || skip "mounting the tree wants root"
[ -e /dev/fuse ] || skip "no /dev/fuse"

works() { [ "$("$BALLAST" get /vm/batch/phase --host "$host" 2>/dev/null)" = run ]; }

configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[guest store]
memory = 96M
vcpus = 2
workload = kv
workload-args = fill=80%
[guest batch]
memory = 96M
workload = phase
workload-args = fill=80% phase=1s
END
start_host
within 30 works || fail "the guests do not work"
"$tools/storm" "$tree" 40000 || fail "the storm was not weathered"
kill -INT "$run"
await_host
expect_status 0
expect 'all(.guests[]; .ok and .verify_failures == 0 and .pages_verified > 0)'
expect '.peak_used_bytes > 0 and .swap.io_errors == 0'
expect_nothing_left
