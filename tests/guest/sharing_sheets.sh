#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Three guests with plenty of memory, half of which is alike in runs of 16 pages: their regions are mapped in one piece, with
# what they do not share between. They write and verify all the time. Then the budget falls to what holds half of them: all of it
# comes home, and is swapped, and then each rewrites everything.
. "${0%/*}/lib.sh"

configure "memory = 256M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" "for = 600" <<END
[ksm]
run = 1
salting = 0
pages_to_scan = 100000
[guest web]
count = 3
memory = 32M
workload = fill
workload-args = common=50% fill=80% zero=0 same=0 write=5% think=5ms rewrite=30s
data = /usr/bin
END
sheets_are() { [ "$(cat "$tree/ksm/sheets")" -ge 6 ] && [ "$(cat "$tree/ksm/pages_own")" -ge 1000 ]; }
sheets_are_gone() { [ "$(cat "$tree/ksm/pages_own")" -eq 0 ]; }

start_host
within 30 all_run 3 || fail "the guests did not fill their memory"
within 20 sheets_are || fail "$(cat "$tree/ksm/sheets") sheets, $(cat "$tree/ksm/pages_own") pages in them"
# One alone gives what it is told to.
echo 8M >"$tree/vm/web-1/reclaim"
[ "$(cat "$tree/vm/web-1/reclaim")" -ge 8388608 ] ||
	fail "$(cat "$tree/vm/web-1/reclaim") bytes were reclaimed"
echo 64M >"$tree/memory"
within 20 sheets_are_gone || fail "$(cat "$tree/ksm/pages_own") pages are not home"
# All have rewritten everything by then.
sleep 12
kill -INT "$run"
await_host
expect_work_verified
expect '.ksm.sheets >= 6 and .ksm.pages_own >= 0'
expect '.ksm.brought_home >= 1000'
expect '.budget_bytes == 64 * 1048576 and .used_bytes <= .budget_bytes'
