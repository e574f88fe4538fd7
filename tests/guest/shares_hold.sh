#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Two guests that both use all of their memory all of the time, on half of it: their shares are two to one,
# and so is what they have in memory, within a tenth, although no balloon helps. A third, which is idle, keeps
# its min and no less. All through the run no guest has less than its min once it has had it, nor has the idle one
# ever more in the stores than its swap-max.
. "${0%/*}/lib.sh"

# In this order: what is written back meanwhile is not counted twice.
stored_of() { echo $(($(cat "$tree/vm/$1/mem/swcur") + $(cat "$tree/vm/$1/mem/zip"))); }
memory_of() { cat "$tree/vm/$1/mem/grant" 2>/dev/null; }
has_filled() { [ "$(cat "$tree/vm/$1/phase" 2>/dev/null)" = run ]; }

configure "memory = 256M" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[policy]
interval-ms = 100
[guest big]
memory = 192M
vcpus = 1
workload = fill
workload-args = fill=95% verify=no write=20%
shares = 2000
min = 16M
balloon = no
[guest small]
memory = 192M
workload = fill
workload-args = fill=95% verify=no write=20%
shares = 1000
min = 16M
balloon = no
[guest still]
memory = 128M
workload = idle
workload-args = fill=80% verify=no think=1s
shares = 100
min = 48M
swap-max = 24M
balloon = no
END
start_host
for guest in big small still; do
	within 60 has_filled $guest || fail "guest $guest does not run"
done
# What they have, every few milliseconds till the end; `run` ends when nobody answers any more.
until=$(($(date +%s) + 30))
while big=$(memory_of big) && small=$(memory_of small) && still=$(memory_of still); do
	echo "$big $small $still"
	stored=$(stored_of still 2>/dev/null) || break
	[ "${stored:-0}" -le $((24 << 20)) ] || fail "still has $stored bytes stored"
	if [ -n "$until" ] && [ "$(date +%s)" -ge "$until" ]; then
		kill -INT "$run"
		until=
	fi
done >"$work/samples"
await_host
expect_status 0
expect '.ok'
expect 'all(.guests[]; .verify_failures == 0 and .ops > 0)'
expect '.policy.active and .policy.steps > 50 and .policy.decisions >= .policy.steps'
expect '.guests[2].policy.goal_bytes >= .guests[2].policy.min_bytes'
awk '
	# A guest that has ended has nothing.
	$1 * $2 * $3 == 0 { next }
	{ row[++rows] = $0 }
	$1 < 16 * 2 ^ 20 || $2 < 16 * 2 ^ 20 || $3 < 48 * 2 ^ 20 { below++ }
	END {
		for (i = int(rows / 2) + 1; i <= rows; i++) {
			split(row[i], has, " ")
			big += has[1]
			small += has[2]
		}
		printf "%d samples, %d below a min; in the second half big has %.2f times what small has\n",
			rows, below, small ? big / small : 0
		exit !(rows > 20 && !below && big > 1.8 * small && big < 2.2 * small)
	}' "$work/samples" >"$work/verdict" || fail "$(cat "$work/verdict")"
cat "$work/verdict"
expect_nothing_left
