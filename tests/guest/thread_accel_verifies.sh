#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The workloads as threads of their VMM processes, as where there is no KVM: they verify, and the run
# says what they ran on.
. "${0%/*}/lib.sh"

configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "accel = thread" "for = 600" <<END
[guest worker]
count = 2
memory = 96M
vcpus = 2
workload = kv
workload-args = mix=A fill=80%
[guest pass]
memory = 64M
workload = sweep
workload-args = fill=80%
END
work_for 2 3
expect_all_verified
expect 'all(.guests[]; .accel == "thread")'
expect '.swap.stored_pages > 0'
expect_said 'on threads, without KVM'
