#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Four guests on half of their memory, most of it page cache; two work while two rest, and then the other way
# round. With balloons memory goes from those who rest to those who work; the same run without balloons
# has to swap for it. None falls below its min, and everything that is read was right.
. "${0%/*}/lib.sh"

# guests BALLOON
guests()
{
	for turn in work rest; do
		cat <<-END
		[guest $turn]
		memory = 128M
		count = 2
		workload = phase
		workload-args = fill=80% cache=90% phase=6s phase-size=65% turn=6s turn-first=$turn
		data = /usr/bin
		min = 16M
		balloon = $1
		END
	done
}

for balloon in no yes; do
	{
		printf '[policy]\ninterval-ms = 100\n'
		guests $balloon
	} | configure "memory = 256M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" \
		"sample-ms = 250" "for = 26"
	run_host
	expect_all_verified
	expect '.policy.active and .policy.steps > 50'
	expect '.policy.last_decisions | length > 20'
	expect 'all(.guests[].policy; .goal_bytes >= .min_bytes and .active_bytes >= 0)'
	# Each decision has its inputs and its reason, those to do nothing as well.
	expect '.policy.last_decisions | all(test("(in|de)flate balloon|hold balloon")
		and test(": [^(]+ \\(resident [0-9]+, .*, free [0-9]+\\) x[0-9]+$"))'
	expect '.policy.last_decisions | any(test("hold balloon"))'
done
expect 'all(.guests[].balloon; .driver and .inflated_pages > 0 and .deflated_pages > 0)'

# A guest that cannot get what it is promised does not start, and says why; the other runs.
configure "memory = 64M" "for = 10" <<END
[guest first]
memory = 48M
workload-args = fill=50%
min = 40M
[guest second]
memory = 48M
min = 40M
END
run_host
expect_status 1
expect '[.guests[].exit] == ["ok", "stopped"]'
expect_said 'guest second: .*its min of 40 MiB does not fit'
