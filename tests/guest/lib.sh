# SPDX-License-Identifier: Apache-2.0
#
# What the guest tests share: a folder for their files, a host to run in it, questions about its
# report and its messages, and the removal of all of it at the end, also when a test fails.
#
#	. "${0%/*}/lib.sh"
#	configure "memory = 128M" <<-END ... [guest] sections ... END
#	run_host; expect_status 0; expect '.ok'; expect_nothing_left

set -eu

: "${BALLAST:?the ballast program}"
BALLAST=$(readlink -f "$BALLAST")
tools=${BALLAST%/*}/tests/guest # helper programs
# Beside the program: /tmp may be in memory, and swap files should not be.
work=$(mktemp -d "${BALLAST%/*}/check.XXXXXX")
host=check-$$ # in the names of the host's cgroups
if [ "$(id -u)" -eq 0 ]; then
	tree=/run/ballast/$host # where the host's control tree is mounted
else
	tree=${XDG_RUNTIME_DIR:-/tmp/ballast-$(id -u)}${XDG_RUNTIME_DIR:+/ballast}/$host
fi
ini=$work/host.ini
swap=$work/swap
report=$work/report.json
output=$work/output
run='' status=''

trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# The cgroups of hosts of this test.
cgroups() { find /sys/fs/cgroup -type d -name "ballast-$host-*" 2>/dev/null || :; }

clean_up()
{
	code=$?
	trap '' INT TERM HUP
	trap - EXIT
	[ -z "$run" ] || kill -9 "$run" 2>/dev/null || :
	for folder in $(cgroups); do
		for tries in 1 2 3 4 5 6 7 8 9 10; do
			while read -r pid; do kill -9 "$pid" 2>/dev/null || :; done \
				<"$folder/cgroup.procs"
			rmdir "$folder" 2>/dev/null && break
			sleep 0.2
		done
	done
	! grep -q " $work/mount " /proc/mounts || umount "$work/mount"
	! grep -q " $tree " /proc/mounts || umount -l "$tree"
	rmdir "$tree" 2>/dev/null || :
	rm -f "$tree.sock"
	rmdir "${tree%/*}" 2>/dev/null || :
	rm -rf "$work"
	exit $code
}

skip()
{
	echo "$*"
	exit 77
}

fail()
{
	[ ! -s "$output" ] || tail -n 40 "$output"
	echo "$*"
	exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# configure "KEY = VALUE"... : writes the configuration file; its guests come on standard input.
configure()
{
	{
		printf '[host]\nname = %s\n' "$host"
		printf '%s\n' "$@"
		cat
	} >"$ini"
}

start_host()
{
	rm -f "$report"
	"$BALLAST" run "$ini" --report "$report" "$@" >"$output" 2>&1 &
	run=$!
}

# Its exit status is in $status then.
await_host()
{
	status=0
	wait "$run" || status=$?
	run=
}

run_host()
{
	start_host "$@"
	await_host
}

# within SECONDS COMMAND... : until it succeeds; false if it does not.
within()
{
	tries=$(($1 * 10))
	shift
	until "$@"; do
		[ $tries -gt 0 ] || return 1
		tries=$((tries - 1))
		sleep 0.1
	done
}

# The processes of the guests, in their order in the configuration.
vmms()
{
	for stat in /proc/[0-9]*/stat; do
		# pid (name) state parent: no name here has blanks that matter
		read -r pid _ _ parent _ 2>/dev/null <"$stat" || continue
		[ "$parent" != "$run" ] || echo "$pid"
	done | sort -n
}

has_vmms() { [ "$(vmms | wc -l)" -eq "$1" ]; }

# all_run N: so many guests have filled their memory and are at work.
all_run() { [ "$("$BALLAST" tree --host "$host" 2>/dev/null | grep -c '^/vm/[^ ]*/phase  *run$')" -eq "$1" ]; }

# work_for SECONDS GUESTS: runs the host until so many have worked for so long, however long they took to get there.
work_for()
{
	start_host
	within 120 all_run "$2" || fail "they do not all work"
	sleep "$1"
	kill -INT "$run"
	await_host
}

# Not there, or a zombie that nobody has waited for yet.
is_gone()
{
	read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 0
	[ "$state" = Z ]
}

are_gone()
{
	for pid; do
		is_gone "$pid" || return 1
	done
}

# Bytes the running host has written to disks, swap that is.
written() { sed -n 's/^write_bytes: //p' "/proc/$run/io"; }

has_written()
{
	bytes=$(written 2>/dev/null) && [ "${bytes:-0}" -ge "$1" ]
}

expect_status() { [ "$status" -eq "$1" ] || fail "exit status $status, not $1"; }

# expect JQ-EXPRESSION: it holds for the report.
expect()
{
	[ -s "$report" ] || fail "there is no report"
	jq -e "$1" "$report" >/dev/null && return
	jq -c 'del(.guests[].fault_latency_us)' "$report" || :
	fail "the report does not say: $1"
}

# expect_said REGULAR-EXPRESSION [TIMES]: lines of output like that.
expect_said()
{
	count=$(grep -cE "$1" "$output" || :)
	[ "$count" -ge "${2:-1}" ] || fail "said $count times, not ${2:-1}: $1"
}

expect_nothing_left()
{
	left=$(cgroups)
	[ -z "$left" ] || fail "left behind: $left"
	[ ! -e "$swap" ] || fail "left behind: $swap"
	! grep -q " $tree " /proc/mounts || fail "left mounted: $tree"
	[ ! -e "$tree" ] || fail "left behind: $tree"
	[ ! -e "$tree.sock" ] || fail "left behind: $tree.sock"
}

# What holds for every run in which all went well, whatever became of its budget.
expect_work_verified()
{
	expect_status 0
	expect '.ok and .duration_s > 0'
	expect '.guests | length > 0'
	expect 'all(.guests[]; .ok and .exit == "ok")'
	expect 'all(.guests[]; .verify_failures == 0 and .pages_verified > 0 and .ops > 0)'
	expect 'all(.guests[]; ([.mem[]] | add) * 4096 == .memory_bytes)'
	expect '.guest_bytes == ([.guests[].memory_bytes] | add)'
	expect '.swap.io_errors == 0'
	expect_nothing_left
}

# ... and for one whose budget stayed as it was.
expect_all_verified()
{
	expect_work_verified
	expect '.peak_used_bytes > 0 and .peak_used_bytes <= .budget_bytes'
	expect '.peak_kernel_bytes <= .budget_bytes + .slack_bytes'
}
