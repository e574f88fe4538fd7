#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# examples/sharing.ini, a quarter of the size: eight guests, half of whose memory is alike. The kernel's figure must
# come to what arithmetic leaves of it within 10 %, while all of them write. Then the budget falls to little more
# than that, all rewrite everything at once, and none fails.
. "${0%/*}/lib.sh"

guests=8 megabytes=48
configure "memory = 352M" "swap-file = $swap" "swap-size = 1G" "data-size = 4M" "for = 600" <<END
[ksm]
run = 1
salting = 0
pages_to_scan = 100000
[guest web]
count = $guests
memory = ${megabytes}M
workload = fill
workload-args = common=50% fill=80% zero=0 same=0 fill-time=4s write=5% think=5ms rewrite=45s
data = /usr/bin
END

# 2 MiB of each guest are its own. One copy of the common half stays, of all the guests' together.
filled=$(((megabytes - 2) * 1048576 / 10 * 8))
wanted=$((filled / 2 * guests + filled / 2 + 4 * 1048576))

# RAM files, frames and data, as the kernel counts them.
in_memory() { cat $(cgroups | sed 's|$|/memory.stat|') | awk '$1 == "shmem" { print $2; exit }'; }
has_fallen()
{
	now=$(in_memory) && [ "$now" -le $((wanted / 10 * 11)) ] && [ "$now" -ge $((wanted / 10 * 9)) ] &&
		[ "$(cat "$tree/ksm/pages_sharing")" -ge $((filled / 2 * (guests - 1) / 4096 * 9 / 10)) ]
}

start_host
within 60 has_vmms $guests || fail "the guests did not start"
within 60 all_run $guests || fail "the guests did not fill their memory"
within 40 has_fallen ||
	fail "$(in_memory) bytes are in memory, not $wanted; $(cat "$tree/ksm/pages_sharing") pages are saved"
echo 192M >"$tree/memory"
rewritten() { [ "$(cat "$tree/ksm/cow_breaks")" -gt 10000 ]; }
within 120 rewritten || fail "$(cat "$tree/ksm/cow_breaks") shared pages were written"
sleep 10
kill -INT "$run"
await_host
expect_work_verified
expect '.budget_bytes == 192 * 1048576 and .used_bytes <= .budget_bytes'
