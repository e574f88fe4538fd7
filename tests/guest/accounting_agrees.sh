#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# All through a run, ten times a second: what the manager says it uses is what the kernel counts for
# its cgroup, within the slack that is there for what it does not count.
. "${0%/*}/lib.sh"

configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" "for = 10" <<END
[guest worker]
count = 2
memory = 96M
workload = kv
workload-args = mix=A fill=80%
[guest pass]
memory = 64M
workload = sweep
workload-args = fill=80%
data = /usr/bin
END
status=0
"$tools/usage" "$ini" >"$work/samples" 2>"$output" || status=$?
expect_status 0
! grep -q 'no memory cgroup' "$output" || skip "no memory cgroup can be made here"

awk -v slack=$(((32 + 3 * 8) * 1048576)) -v budget=$((128 * 1048576)) '
	{
		above = $2 - $1
		if (NR == 1 || above > most)
			most = above
		if (NR == 1 || above < least)
			least = above
		if ($1 > budget || $2 > budget + slack)
			over++
		if ($1 > budget * 0.9)
			full++
	}
	END {
		printf "kernel less ours: %.1f to %.1f MiB in %d samples, %d of them full\n",
			least / 1048576, most / 1048576, NR, full
		exit NR < 30 || full < 10 || over || most > slack || least < -slack / 4
	}' "$work/samples" || fail "the two do not agree"
expect_nothing_left
