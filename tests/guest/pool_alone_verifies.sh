#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# No swap file: pages that compress well live in the pool, and all guests go on.
. "${0%/*}/lib.sh"

configure "memory = 128M" "pool-percent = 60" "for = 600" <<END
[guest text]
count = 3
memory = 64M
workload = fill
workload-args = fill=80% zero=10% same=10%
END
work_for 2 3
expect_all_verified
expect '.swap.stored_pages > 0 and .swap.written_bytes == 0 and .swap.read_bytes == 0'
expect 'all(.guests[]; .mem.disk == 0)'
