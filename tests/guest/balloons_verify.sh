#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Balloons move at full speed, guests report and hint their free pages, and all of it happens while they
# are evicted to pool and disk: every page that a guest keeps is as it wrote it, and free pages of those
# that poison them are as they were left. On KVM and on threads.
. "${0%/*}/lib.sh"

for accel in auto thread; do
	configure "memory = 192M" "swap-file = $swap" "swap-size = 1G" "accel = $accel" "for = 8" \
		"data-size = 8M" <<-END
	[guest cache]
	memory = 96M
	vcpus = 2
	workload = sweep
	workload-args = fill=80% cache=40% churn=50%
	[guest churn]
	memory = 96M
	workload-args = fill=40% churn=80% free=touched poison=0
	data = /usr/bin
	[guest records]
	memory = 96M
	workload = kv
	workload-args = mix=A fill=60% churn=50% poison=2779096485
	[guest idle]
	memory = 64M
	workload = idle
	workload-args = fill=60% cache=50%
	END
	status=0
	"$tools/balloons" "$ini" >"$work/totals" 2>"$output" || status=$?
	expect_status 0
	read -r inflated deflated freed hinted <"$work/totals"
	echo "$accel: $inflated pages given up, $deflated taken back, $freed reported, $hinted hinted"
	[ "$inflated" -gt 10000 ] && [ "$deflated" -gt 10000 ] || fail "the balloons hardly moved"
	expect_nothing_left
done
