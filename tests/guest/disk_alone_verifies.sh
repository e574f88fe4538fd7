#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# No pool: every page that goes, goes to the swap file; incompressible ones among them.
. "${0%/*}/lib.sh"

configure "memory = 128M" "pool-percent = 0" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[guest worker]
count = 3
memory = 64M
workload = fill
workload-args = fill=80% random=50%
END
work_for 2 3
expect_all_verified
expect '.swap.pool_bytes == 0 and .swap.written_bytes > 0 and .swap.read_bytes > 0'
expect 'all(.guests[]; .mem.compressed == 0)'
