#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Without 2 MiB pages all goes a page at a time: guests verify as they do with them.
. "${0%/*}/lib.sh"

configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "huge-pages = no" "for = 600" <<END
[guest worker]
count = 2
memory = 96M
workload = kv
workload-args = mix=A fill=80%
[guest pass]
memory = 64M
workload = sweep
workload-args = fill=80%
END
work_for 2 3
expect_all_verified
expect 'all(.guests[]; .huge_bytes == 0)'
expect '.swap.stored_pages > 0'
