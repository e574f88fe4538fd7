#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The host has plenty, and still: a guest that never looks at most of its memory again loses it to the pool, ahead
# of need, while one that uses all of its memory keeps it. What left verifies at the end. Switched off, nothing
# leaves.
. "${0%/*}/lib.sh"

for reclaim in yes no; do
	configure "memory = 512M" "swap-file = $swap" "swap-size = 1G" "sample-ms = 100" \
		"for = 600" <<-END
	[policy]
	interval-ms = 100
	cold-age = 2s
	reclaim-cold = $reclaim
	[guest still]
	memory = 128M
	workload = idle
	workload-args = fill=80% think=1s
	min = 16M
	[guest busy]
	memory = 64M
	workload-args = fill=80%
	END
	start_host
	if [ $reclaim = yes ]; then
		within 60 sh -c "[ \"\$(cat $tree/vm/still/wss/cold_evicted_pages 2>/dev/null || echo 0)\" -gt 5000 ]" ||
			fail "cold memory did not leave"
		[ "$(cat "$tree/state")" = high ] || fail "the host was short"
	else
		within 60 all_run 2 || fail "they do not work"
		sleep 8
	fi
	kill -INT "$run"
	await_host
	expect_all_verified
	expect '.policy.state_steps | .soft + .hard + .low == 0'
	expect '.guests[0].policy | .cold_age_s >= 2 and .promotion_rate >= 0'
	if [ $reclaim = yes ]; then
		expect '.guests[0].cold_evicted_pages > 5000'
		expect '.guests[0].cold_evicted_pages <= .guests[0].evicted_pages'
	else
		expect 'all(.guests[]; .cold_evicted_pages == 0 and .evicted_pages == 0)'
	fi
done
