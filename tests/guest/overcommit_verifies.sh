#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Four guests on half of their memory, each with another workload: all of them verify every page, the
# budget is kept, and the report holds all that docs/config.md says it does.
. "${0%/*}/lib.sh"

configure "memory = 256M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" "for = 600" <<END
[guest store]
memory = 128M
vcpus = 2
workload = kv
workload-args = mix=A fill=80%
data = /usr/bin
[guest pass]
memory = 128M
workload = sweep
workload-args = fill=80% zero=10% same=10% random=10%
data = /usr/bin
[guest batch]
memory = 128M
vcpus = 2
workload = phase
workload-args = fill=80% phase=1s
[guest office]
memory = 128M
workload = idle
workload-args = fill=80%
data = /usr/bin
END
work_for 5 4
expect_all_verified

expect '.guests | length == 4'
expect '.budget_bytes == 268435456 and .guest_bytes == 2 * .budget_bytes'
expect '.peak_used_bytes > .budget_bytes * 0.8'
expect '.duration_s >= 5'
expect '[.guests[].name] == ["store", "pass", "batch", "office"]'
expect '[.guests[].workload] == ["kv", "sweep", "phase", "idle"]'
expect 'all(.guests[]; .ops_per_s > 0 and .stall_us > 0)'
expect 'all(.guests[].latency_us; .p50 > 0 and .p99 >= .p50 and .p999 >= .p99)'
expect 'all(.guests[].faults; .missing > 0 and .minor >= 0 and .wp >= 0)'
# 80 % of 128 MiB at least once each.
expect 'all(.guests[]; .pages_verified >= 0.75 * .memory_bytes / 4096)'
expect 'all(.guests[].mem; .shared == 0)'
expect '[.guests[].mem | .compressed + .disk] | add > 0'
expect '.swap.stored_pages > 0 and .swap.same_filled_pages > 0'
expect '.swap.compression_ratio > 1 and .swap.written_bytes > 0 and .swap.read_bytes > 0'
expect '.swap.pool_bytes >= 0'
if ! grep -q 'no memory cgroup' "$output"; then
	expect '.peak_kernel_bytes > .budget_bytes / 2'
fi
expect_said '^OK: 4 guests on .*, every one as written$'
