#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Four guests of 32 MiB that have half of their memory in common share it, write to it and verify, then rewrite all
# of it at once, in a budget that holds them only because they share, or swap.
. "${0%/*}/lib.sh"

configure "memory = 112M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" <<END
[ksm]
run = 1
salting = 0
sleep_millisecs = 10
[guest web]
count = 4
memory = 32M
workload = fill
workload-args = common=50% fill=80% zero=0 write=5% think=1ms ops=6000 rewrite=4s
data = /usr/bin
END
run_host
expect_all_verified
expect '.ksm.full_scans > 0 and .ksm.pages_scanned > 0'
expect '.ksm.peak_saved_pages > 1000'
expect '.ksm.cow_breaks > 100'
expect '.ksm.brought_home > 0'
expect 'all(.guests[]; has("shrd") and has("shrdsvd") and has("zero"))'

# Guests that are not told to share do not, whatever they have in common.
configure "memory = 160M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" <<END
[ksm]
run = 1
[guest web]
count = 2
memory = 32M
workload = fill
workload-args = common=100% fill=80% zero=0 same=0 write=0 think=1ms ops=2000
data = /usr/bin
END
run_host
expect_all_verified
expect '.ksm.full_scans > 1 and .ksm.peak_saved_pages == 0'
