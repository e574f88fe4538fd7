#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Six guests that all use all of their memory, on half of it: each would drive out what another needs next. They take
# turns, and what they wrote is there at the end. Switched off, nobody has one.
. "${0%/*}/lib.sh"

for turns in yes no; do
	configure "memory = 96M" "swap-file = $swap" "swap-size = 1G" <<-END
	[policy]
	turns = $turns
	[guest store]
	count = 6
	memory = 32M
	workload = kv
	workload-args = fill=90% mix=A ops=60000 begin=together
	END
	start_host
	await_host
	expect_all_verified
	if [ $turns = yes ]; then
		expect '[.guests[].turns] | add >= 3'
		expect 'all(.guests[]; .turn_wait_us <= .stall_us)'
	else
		expect 'all(.guests[]; .turns == 0 and .turn_wait_us == 0)'
	fi
done
