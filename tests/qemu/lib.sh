# SPDX-License-Identifier: Apache-2.0
# For the tests with QEMU: a manager and guests under it, their output in $work, what they are told by a FIFO.
# All waiting is for a condition: a test fails when it has not come in $PATIENCE seconds.

: "${BALLAST:?the ballast program}" "${QEMU_FIXTURE:?the folder that fixture.sh made}"
: "${PATIENCE:=600}"
BALLAST=$(realpath "$BALLAST")
QEMU_FIXTURE=$(realpath "$QEMU_FIXTURE")
host=check-qemu-$$
work=$(mktemp -d)
pids=

fail()
{
	echo "FAIL: $*"
	for log in "$work"/*.log; do
		echo "--- $(basename "$log")"
		tail -n 15 "$log"
	done
	exit 1
}

cleanup()
{
	status=$?
	for pid in $pids; do
		kill -9 "$pid" 2>/dev/null
	done
	rm -rf "$work" "/run/ballast/$host.attach" "/run/ballast/$host.sock"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for()
{
	what=$1
	shift
	left=$((PATIENCE * 5))
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || fail "$what: not after $PATIENCE seconds"
		sleep 0.2
	done
}

get() { "$BALLAST" get --host "$host" "$1"; }
at_least() { [ "$(get "$1")" -ge "$2" ]; }
gone() { ! kill -0 "$1"; }
says() { grep -aqE "$2" "$work/$1.log"; }

# start_manager: reads the configuration's other lines from standard input.
start_manager()
{
	{
		printf '[host]\nname = %s\ncontrol = off\ncgroup = no\nswap-file = %s/swap\n' "$host" "$work"
		cat
	} >"$work/host.ini"
	"$BALLAST" manager "$work/host.ini" >"$work/manager.log" 2>&1 &
	manager=$!
	pids="$pids $manager"
	wait_for "the manager's socket" test -S "/run/ballast/$host.attach"
}

# start_guest NAME OPTIONS...: sets $guest to QEMU's pid.
start_guest()
{
	name=$1
	shift
	mkfifo "$work/$name.in"
	"$BALLAST" wrap --name "$name" --host "$host" -- qemu-system-x86_64 -accel tcg,thread=single -m 512M \
		-nodefaults -nographic -no-reboot -serial stdio \
		-kernel "$QEMU_FIXTURE/vmlinuz" -initrd "$QEMU_FIXTURE/initrd.gz" \
		-append "console=ttyS0 quiet panic=-1 nokaslr no_timer_check" \
		-device virtio-balloon-pci "$@" <"$work/$name.in" >"$work/$name.log" 2>&1 &
	guest=$!
	pids="$pids $guest"
	# Somebody must have it open for writing, or the guest reads its end.
	sleep 100000 >"$work/$name.in" &
	pids="$pids $!"
}

tell() { echo "$2" >"$work/$1.in"; }

# count_says NAME PATTERN COUNT: so many lines have it.
count_says() { [ "$(grep -acE "$2" "$work/$1.log")" -ge "$3" ]; }
