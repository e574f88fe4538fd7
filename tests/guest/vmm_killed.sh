#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# kill -9 of one VMM ends its guest, with a message that says so; the others finish and verify.
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
sleep 1 # filled, and evicted from
kill -9 "$(vmms | sed -n 2p)"
within 60 grep -q 'killed by signal 9' "$output" || fail "the death of a VMM is not noticed"
kill -INT "$run"
await_host

expect_status 1
expect '.ok == false'
expect '[.guests[] | select(.exit == "ok" and .pages_verified > 0)] | length == 2'
expect '.guests[] | select(.ok | not) | .name == "worker-1"'
expect '.guests[] | select(.ok | not) | .exit_text | test("killed by signal 9")'
expect_said 'guest worker-1: .*its VMM was killed by signal 9'
expect_said '^FAILED: 1 of 3 guests'
expect_nothing_left
