#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A filesystem that runs full under the swap file (a small tmpfs, which has no O_DIRECT either): the
# run says so at the start, writes that fail with ENOSPC cost no page, the pool takes what it can, and
# all guests verify.
. "${0%/*}/lib.sh"

is_root || skip "mounting a filesystem takes root"
mkdir "$work/mount"
mount -t tmpfs -o size=8M none "$work/mount" || skip "no tmpfs can be mounted"
swap=$work/mount/swap

configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "pool-percent = 60" "for = 600" <<END
[guest text]
count = 3
memory = 64M
workload = fill
workload-args = fill=70% zero=10% same=10% random=0%
END
work_for 1 3
expect_said 'swap file .*: it will fill up early'
expect_status 0
expect '.ok and all(.guests[]; .ok and .verify_failures == 0 and .pages_verified > 0)'
expect '.swap.stored_pages > 0'
expect_nothing_left
