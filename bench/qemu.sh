#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The same QEMU guest of 512 MiB, unmanaged and managed, and against the kernel's own swap on zram in a cgroup of the same
# size: how long it boots, and how many redis values of 64 KiB it fills and checks a second. Each row in turn, in
# one run: bench/qemu.sh [ROUNDS]; some of them with ROWS="unmanaged managed". VALUES (3200: 200 MiB) are filled. Needs
# root, /dev/zram0 and nobody beside it. A guest whose cgroup has no room left is killed by the kernel: its row says so.
#
#	unmanaged        plain memory
#	managed          with room for all of it
#	in-turns         those two at the same time, each at work while the other waits: the closest comparison
#	managed-1.5x     the budget is the guest's working memory, divided by 1.5; ... 2x
#	zram-1.5x, 2x    no Ballast: a memory cgroup of the same size, swap on /dev/zram0 (lz4)
set -u

cd "$(dirname "$0")/.."
# VALUES is a multiple of 1600.
: "${BALLAST:=build/ballast}" "${QEMU_FIXTURE:=build/qemu}" "${VALUES:=3200}"
: "${ROWS:=unmanaged managed in-turns managed-1.5x managed-2x zram-1.5x zram-2x}"
export BALLAST QEMU_FIXTURE
rounds=${1:-1}
tests/qemu/fixture.sh "$QEMU_FIXTURE"
. tests/qemu/lib.sh

# What the guest uses when it is full: kernel and programs, the values, redis' own.
used=$((110 + VALUES / 16 + VALUES / 160))
group=/sys/fs/cgroup/memory/ballast-bench-$$
zram=

end_guest()
{
	for pid in $pids; do
		kill -9 "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	pids=
	rm -f "$work"/*.in "$work"/*.log "/run/ballast/$host.attach" "/run/ballast/$host.sock"
}

end_swap()
{
	[ -n "$zram" ] && swapoff /dev/zram0 && echo 1 >/sys/block/zram0/reset
	zram=
	rmdir "$group" 2>/dev/null
}
trap 'end_guest; end_swap; rm -rf "$work"' EXIT

begin_swap()
{
	mkdir "$group" || fail "no memory cgroup (version 1)"
	echo $(($1 * 1024 * 1024)) >"$group/memory.limit_in_bytes"
	echo lz4 >/sys/block/zram0/comp_algorithm
	echo 2G >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null && swapon /dev/zram0 || fail "no swap on zram"
	zram=1
}

# start_plain NAME: the guest without Ballast; in the cgroup when there is one.
start_plain()
{
	mkfifo "$work/$1.in"
	(
		[ -d "$group" ] && echo 0 >"$group/cgroup.procs"
		exec qemu-system-x86_64 -accel tcg,thread=single -m 512M -nodefaults -nographic -no-reboot \
			-serial stdio -kernel "$QEMU_FIXTURE/vmlinuz" -initrd "$QEMU_FIXTURE/initrd.gz" \
			-append "console=ttyS0 quiet panic=-1 nokaslr no_timer_check" \
			-device virtio-balloon-pci
	) <"$work/$1.in" >"$work/$1.log" 2>&1 &
	guest=$!
	pids="$pids $guest"
	sleep 100000 >"$work/$1.in" &
	pids="$pids $!"
}

now() { date +%s.%N; }

heard() { says g "$1" || gone "$guest"; }

# await WHAT PATTERN: on the guest's console; fails when the guest ends before.
await()
{
	wait_for "$1" heard "$2"
	says g "$2"
}

# Sets $booted, $begin and $filled; fails when the guest ends.
work()
{
	await "boot" '^BOOTED' || return
	booted=$(now)
	tell g start_redis
	await "redis" '^REDIS up' || return
	begin=$(now)
	tell g "fill x 1 $VALUES"
	await "fill" "^FILLED $VALUES of" || return
	filled=$(now)
	tell g "check x 1 $VALUES"
	await "check" '^CHECKED'
}

# measure ROW: from the start of QEMU on.
measure()
{
	if ! work; then
		printf '%-14s killed before it was done\n' "$1"
	elif says g "^CHECKED $VALUES of $VALUES"; then
		echo "$1 $started $booted $begin $filled $(now) $VALUES" | awk '{
			printf "%-14s %6.1f s to boot, %7.1f values/s filled, %7.1f checked\n",
				$1, $3 - $2, $7 / ($5 - $4), $7 / ($6 - $5) }'
	else
		fail "$1: values are wrong"
	fi
	end_guest
}

plain()
{
	started=$(now)
	start_plain g
	measure "$1"
}

# manage MIB: a manager with this budget.
manage()
{
	start_manager <<CONFIG
memory = $1M
fault-poll-us = 100
[guest-default]
memory = 512M
CONFIG
}

managed()
{
	manage "$2"
	started=$(now)
	start_guest g
	measure "$1"
}

# turn NAME WHAT FIRST LAST: one guest does it while the other waits. Sets $took to the seconds of it, by its own clock.
turn()
{
	tell "$1" "echo BEGIN $2 $3 in \$(seconds); $2 x $3 $4; echo END $2 $3 in \$(seconds)"
	wait_for "$2 $3 in $1" says "$1" "^END $2 $3 in [0-9]"
	took=$(tr -d '\r' <"$work/$1.log" | awk -v what="$2" -v first="$3" -v count=$(($4 - $3 + 1)) '
		$2 == what && $3 == first && $1 == "BEGIN" { began = $5 }
		/^(FILLED|CHECKED) / { right = $2 == count && $4 == count }
		$2 == what && $3 == first && $1 == "END" && right { print $5 - began }')
	[ "$took" ] || fail "$2 $3 in $1: values are wrong"
}

# Two guests at the same time, one of them managed, with room; they take turns, a sixteenth of the values in each: what
# else the machine does then meets both. Each ratio is of one turn of both.
in_turns()
{
	manage "$2"
	start_plain plain
	start_guest managed
	for name in plain managed; do
		wait_for "boot of $name" says $name '^BOOTED'
		tell $name start_redis
		wait_for "redis of $name" says $name '^REDIS up'
	done
	count=$((VALUES / 1600 * 100))
	rm -f "$work/turns"
	for job in fill check; do
		first=1
		while [ $first -lt "$VALUES" ]; do
			last=$((first + count - 1))
			turn plain $job $first $last
			alone=$took
			turn managed $job $first $last
			echo "$job $alone $took" >>"$work/turns"
			first=$((last + 1))
		done
	done
	for job in fill check; do
		awk -v what=$job '$1 == what && $3 > 0 { print $2 / $3 }' "$work/turns" | sort -n | awk -v row="$1" -v what=$job '
			{ ratio[NR] = $1 }
			END {
				printf "%-14s %s: %.2f of the unmanaged values/s, median of %d turns; quartiles %.2f and %.2f\n",
					row, what, ratio[int((NR + 1) / 2)], NR, ratio[int((NR + 3) / 4)], ratio[int((3 * NR + 3) / 4)] }'
	done
	end_guest
}

even() { echo $(($1 / 2 * 2)); }
small=$(even $((used * 2 / 3)))
half=$(even $((used / 2)))
echo "working memory about $used MiB: $small MiB at 1.5x, $half MiB at 2x"
# zram ROW MIB: QEMU's own memory counts in the cgroup, and not in Ballast's budget: it gets 64 MiB for that.
zram()
{
	begin_swap $(($2 + 64))
	plain "$1"
	end_swap
}

for round in $(seq "$rounds"); do
	for row in $ROWS; do
		case $row in
		unmanaged) plain "$row" ;;
		managed) managed "$row" 700 ;;
		in-turns) in_turns "$row" 700 ;;
		managed-1.5x) managed "$row" "$small" ;;
		managed-2x) managed "$row" "$half" ;;
		zram-1.5x) zram "$row" "$small" ;;
		zram-2x) zram "$row" "$half" ;;
		*) fail "no row is called $row" ;;
		esac
	done
done
