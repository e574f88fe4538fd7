#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What the program says and how it exits when it runs no guest: help, version, doctor, and command
# lines and configurations that are wrong.
. "${0%/*}/lib.sh"

# says STATUS REGULAR-EXPRESSION ARGUMENT... : exit status, and a line of output.
says()
{
	expected=$1 pattern=$2
	shift 2
	status=0
	"$BALLAST" "$@" >"$output" 2>&1 </dev/null || status=$?
	if [ "$status" -ne "$expected" ] || ! grep -qE -- "$pattern" "$output"; then
		echo "FAIL ballast $*: status $status ($expected expected), without \"$pattern\":"
		sed 's/^/    /' "$output"
		failures=$((failures + 1))
	fi
}
failures=0

says 2 '^Usage:'
says 0 '^Usage:' --help
says 0 '^Usage:' help
says 0 '^ballast [0-9]+\.[0-9]+\.[0-9]+$' version
says 0 '^ballast [0-9]+\.[0-9]+\.[0-9]+$' --version
for command in run doctor version help vmm; do
	says 0 "^ballast $command - " $command --help
	says 0 "^ballast $command - " help $command
done
says 0 '^  swap-file ' help config
says 2 'no command fly' fly
says 2 'no command fly' help fly
says 2 'which configuration file' run
says 2 'unknown option --fast' run --fast "$ini"
says 2 'needs a value' run "$ini" --for
says 2 'for soon: should be seconds' run "$ini" --for soon
says 2 'there is only --swap' doctor --all

says 0 'userfaultfd' doctor
says 0 '^Guests can run on this host' doctor --swap "$work"
says 0 "O_DIRECT .*$work" doctor --swap "$swap"

# says_of CONFIGURATION-ERROR KEY... : one guest, and that in the [host] section.
says_of()
{
	pattern=$1
	shift
	configure "$@" <<-END
		[guest web]
		memory = 32M
	END
	says 1 "$pattern" run "$ini"
}
says 1 'host.ini: .*No such file' run "$ini"
says_of 'host.ini:3: .*memry' 'memry = 64M' 'memory = 64M'
says_of 'host.ini:4: .*memory' 'memory = 64M' 'memory = 64M'
says_of 'host.ini:3: .*lots' 'memory = lots'
says_of 'host.ini.*memory' 'swap-size = 1G'
says_of 'host.ini:4: .*pool-percent' 'memory = 64M' 'pool-percent = 90'
says_of 'host.ini:4: .*accel' 'memory = 64M' 'accel = vmx'
says_of 'host.ini:6: .*web' 'memory = 64M' '[guest web]' 'memory = 32M'
says_of 'host.ini:4: guest db: .*dance' 'memory = 64M' '[guest db]' 'memory = 32M' 'workload = dance'
says_of 'host.ini:4: guest db: .*speed' 'memory = 64M' '[guest db]' 'memory = 32M' 'workload = kv' \
	'workload-args = speed=9'
says_of 'host.ini:4: .*\[hoard\]' 'memory = 64M' '[hoard]' 'memory = 32M'

# Nothing of the host remains where the swap file cannot be made.
says_of 'swap file .*No such file' 'memory = 64M' "swap-file = $work/nowhere/swap"
echo 'letters to the editor' >"$work/letters"
says_of 'letters exists and is not a swap file' 'memory = 64M' "swap-file = $work/letters"
grep -q editor "$work/letters" || fail "a file that is no swap file was overwritten"

[ $failures -eq 0 ] || exit 1
rm -f "$output"
expect_nothing_left
