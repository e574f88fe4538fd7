#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Somebody writes over a few blocks of the swap file while guests have pages there: the guests whose
# pages those were are stopped with an error that names a page; they never see the damage as data, and
# the others finish.
. "${0%/*}/lib.sh"

configure "memory = 96M" "swap-file = $swap" "swap-keep = yes" "swap-size = 1G" \
	"pool-percent = 0" "for = 600" <<END
[guest noise]
count = 4
memory = 64M
workload = idle
workload-args = fill=80% random=100% zero=0% same=0%
END
[ -r /proc/self/io ] || skip "the kernel does not say what a process wrote"
start_host
within 60 has_written 80000000 || fail "guests wrote less than 80 MB of swap in a minute"
# 32 KiB, 16 MiB into what was written: within the pages of one or two guests.
dd if=/dev/urandom of="$swap" bs=4k seek=4096 count=8 conv=notrunc,fsync 2>/dev/null
kill -INT "$run"
await_host

expect_status 1
expect 'any(.guests[]; .ok | not) and any(.guests[]; .ok)'
expect 'all(.guests[]; .verify_failures == 0)'
expect 'all(.guests[]; .ok or .exit == "stopped")'
expect 'all(.guests[] | select(.ok | not); .exit_text | test("page"))'
expect '.swap.io_errors >= 0'
[ -s "$swap" ] || fail "swap-keep = yes, but the swap file is gone"
rm "$swap"
expect_nothing_left
