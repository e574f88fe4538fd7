#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Two guests that both use all of their memory all of the time, on half of it: their shares are two to one,
# and so is what they have in memory, within a tenth, although no balloon helps. A third, which is idle,
# keeps its min and no less.
. "${0%/*}/lib.sh"

configure "memory = 256M" "swap-file = $swap" "swap-size = 1G" "for = 20" <<END
[policy]
interval-ms = 100
[guest big]
memory = 192M
vcpus = 1
workload = fill
workload-args = fill=95% verify=no write=20%
shares = 2000
balloon = no
[guest small]
memory = 192M
workload = fill
workload-args = fill=95% verify=no write=20%
shares = 1000
balloon = no
[guest still]
memory = 128M
workload = idle
workload-args = fill=80% verify=no think=1s
shares = 100
min = 48M
balloon = no
END
run_host
expect_status 0
expect '.ok'
expect 'all(.guests[]; .verify_failures == 0 and .ops > 0)'
expect '.guests | map(.mem.resident) | .[0] / .[1] | . > 1.8 and . < 2.2'
# What its pages were when it ended; an eviction under way takes a region.
expect '.guests[2].mem.resident * 4096 >= .guests[2].policy.min_bytes - 2 * 2097152'
expect '.guests[2].policy.goal_bytes >= .guests[2].policy.min_bytes'
expect '.policy.active and .policy.steps > 50 and .policy.decisions >= .policy.steps'
expect_nothing_left
