#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sixteen guests of 32 MiB on 256 MiB: more guests than CPUs, twice the memory there is.
. "${0%/*}/lib.sh"

configure "memory = 256M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" "for = 600" <<END
[guest web]
count = 6
memory = 32M
workload = kv
workload-args = mix=B fill=80% think=200us
data = /usr/bin
[guest batch]
count = 4
memory = 32M
workload = sweep
workload-args = fill=80% think=200us
[guest desk]
count = 6
memory = 32M
workload = idle
workload-args = fill=80%
data = /usr/bin
END
work_for 3 16
expect_all_verified
expect '.guests | length == 16'
expect '[.guests[].name] | unique | length == 16'
expect '.swap.stored_pages > 0'
