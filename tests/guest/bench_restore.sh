#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The overcommit benchmark sets up the kernel's own mechanisms for the whole host: swap, zram, KSM. All
# is as before after a normal end, after SIGINT and SIGTERM, after a scenario that failed, and, when
# the benchmark was killed, after the next.
. "${0%/*}/lib.sh"

is_root || skip "not root: nothing on the host can be changed"
[ -e /dev/zram0 ] || skip "no /dev/zram0"
[ "$(cat /sys/block/zram0/initstate)" = 0 ] || skip "/dev/zram0 is in use"
[ ! -e /run/ballast-overcommit.journal ] || skip "another benchmark is running here"

# All that the benchmark may change.
host_state()
{
	awk '{ print $1, $2, $3 }' /proc/swaps
	grep -H . /sys/block/zram0/initstate /sys/block/zram0/disksize /sys/block/zram0/comp_algorithm
	for knob in run pages_to_scan sleep_millisecs use_zero_pages advisor_mode smart_scan; do
		[ ! -e /sys/kernel/mm/ksm/$knob ] || grep -H . /sys/kernel/mm/ksm/$knob
	done
	sysctl -a 2>/dev/null | grep -E '^vm\.(swappiness|page-cluster|overcommit_memory) '
	find /sys/fs/cgroup -type d -name 'ballast-overcommit-*' 2>/dev/null
	ls /run/ballast-overcommit.journal "$work"/*.swap 2>/dev/null || :
}

# start OPTION... : the benchmark, of the kernel alone
start()
{
	"$BALLAST" bench overcommit --contender kernel --scenario clones --overcommit 2 --rounds 1 \
		--guest-memory 32M --swap "$work" "$@" >"$output" 2>&1 &
	run=$!
}

is_set_up() { grep -q zram0 /proc/swaps && [ "$(cat /sys/kernel/mm/ksm/run)" = 1 ]; }

expect_restored()
{
	host_state >"$work/now"
	diff "$work/before" "$work/now" || fail "not as it was, after $1"
	echo "ok bench_restore/$1"
}

"$BALLAST" bench overcommit --restore >"$output" 2>&1 || skip "another benchmark is running here"
host_state >"$work/before"

start --work 2%
await_host
! grep -q 'in use\|another benchmark' "$output" || skip "another benchmark took the host"
expect_said ' ok$' 2
expect_restored normal_end

for signal in INT TERM; do
	start --work 1000%
	within 60 is_set_up || fail "it never set the kernel up"
	kill -$signal "$run"
	await_host
	expect_status 1
	expect_restored "SIG$signal"
done

start --work 2% --data /nowhere
await_host
expect_status 1
expect_restored failing_scenario

start --work 1000%
within 60 is_set_up || fail "it never set the kernel up"
kill -9 "$run"
await_host
is_set_up || fail "the killed benchmark left nothing to put back: the test proves nothing"
# Its guests died with it.
no_guests() { [ -z "$(find /sys/fs/cgroup -path '*ballast-overcommit-*' -name cgroup.procs -exec cat {} + 2>/dev/null)" ]; }
within 30 no_guests || fail "guests outlived the benchmark"
# A cgroup can be removed once its dead processes have been waited for, by whom they fell to.
put_back()
{
	"$BALLAST" bench overcommit --restore >>"$output" 2>&1 && host_state | cmp -s - "$work/before"
}
within 30 put_back || :
expect_restored kill_9_at_the_next_start
