#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# One SIGINT ends a run as its time would: guests verify, the report is written, status 0. A second
# one ends it at once, without verifying, and that is no success.
. "${0%/*}/lib.sh"

configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[guest worker]
count = 3
memory = 64M
workload = sweep
workload-args = fill=80%
END
start_host
within 60 all_run 3 || fail "three guests do not work"
sleep 1
kill -INT "$run"
await_host
expect_said 'guests verify and end'
expect_all_verified
expect 'all(.guests[]; .pages_verified >= 0.75 * .memory_bytes / 4096)'

# One that stands still does not verify, and keeps the run from ending.
start_host
within 60 all_run 3 || fail "three guests do not work"
processes=$(vmms)
kill -STOP "${processes%%
*}"
kill -INT "$run"
within 20 grep -q 'guests verify and end' "$output" || fail "the first SIGINT was not heard"
kill -INT "$run"
sleep 1
kill -CONT "${processes%%
*}"
within 60 are_gone "$run" || fail "still there a minute after the second SIGINT"
await_host
expect_status 1
expect '.ok == false and all(.guests[]; .verify_failures == 0)'
expect '.guests[0].exit == "stopped" and all(.guests[]; .ok or .exit == "stopped")'
expect_said 'guest worker-0: stopped: interrupted by the user'
within 20 are_gone $processes || fail "VMMs are left: $processes"
expect_nothing_left
