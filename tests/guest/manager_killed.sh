#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# kill -9 of the manager: no guest runs on with memory that is gone. Every VMM ends by itself within
# seconds and says why; what the manager could not remove, its cgroup, the next run removes.
. "${0%/*}/lib.sh"

configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[guest worker]
count = 3
memory = 64M
workload = kv
workload-args = mix=A fill=80%
END
start_host
within 60 all_run 3 || fail "three guests do not work"
orphans=$(vmms)
kill -9 "$run"
await_host
expect_status 137
within 30 are_gone $orphans || fail "VMMs outlive their manager: $orphans"
expect_said 'guest worker-[012]: stopped, because the manager is gone' 3
[ ! -e "$swap" ] || fail "left behind: $swap"

# The last thread of a process leaves its cgroup a moment after the process is gone.
is_empty() { [ -z "$1" ] || [ -z "$(cat "$1/cgroup.procs")" ]; }
stale=$(cgroups)
within 30 is_empty "$stale" || fail "processes are left in $stale"
configure "memory = 64M" <<END
[guest after]
memory = 32M
workload = fill
workload-args = ops=100 fill=50%
END
run_host
expect_all_verified
[ -z "$stale" ] || expect_said 'removed cgroup ballast-'
