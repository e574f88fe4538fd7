# SPDX-License-Identifier: Apache-2.0
#
# What the tests with a Linux guest share, on top of tests/guest/lib.sh. $KERNEL is the fixture's vmlinux.
#
#	. "${0%/*}/lib.sh"
#	configure_kernel "memory = 256M"
#	play_balloon

. "${0%/*}/../guest/lib.sh"

: "${KERNEL:?the kernel to boot: make check-linux builds it}"
tools=${BALLAST%/*}/tests/linux
[ -w /dev/kvm ] || skip "no access to /dev/kvm"

cmdline='console=ttyS0 panic=-1 reboot=t'

# Where KVM is not by hardware kernel mode is emulated: the kernel must use nothing that the emulator
# lacks, and user space cannot run. The kernel then waits for a root file system that never comes.
if grep -qwE 'vmx|svm' /proc/cpuinfo; then
	end_of_boot='user space is here'
else
	cmdline="$cmdline mitigations=off noxsave nokaslr tsc=reliable lpj=2300000 no_timer_check"
	cmdline="$cmdline clearcpuid=308,295,151 rdinit=/none rootwait root=/dev/none"
	end_of_boot='Waiting for root device'
fi

# configure_kernel "KEY = VALUE"... : a host with one guest, whose balloon nobody else plays with. Linux reports free pages in blocks of 4 MiB, 32
# at a time, and only while it has more than these 128 MiB free.
configure_kernel()
{
	configure "$@" <<-END
	[policy]
	active = no
	[guest tux]
	memory = 192M
	kernel = $KERNEL
	cmdline = $cmdline
	END
}

play_balloon()
{
	status=0
	"$tools/balloon" "$ini" >"$work/steps" 2>"$output" || status=$?
	cat "$work/steps"
	expect_status 0
	expect_said "guest tux says: .*$end_of_boot"
	expect_nothing_left
}
