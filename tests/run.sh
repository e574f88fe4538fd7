#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests and counts them: tests/run.sh UNIT-PROGRAM... -- GUEST-SCRIPT...
#
# A unit program prints Criterion's report. A guest script ends with status 0 (ok), 77 (skip: the last
# line of its output says why) or anything else (FAIL); or it prints a line for each of its tests:
# "ok NAME", "skip NAME: why", "FAIL NAME". It finds the program in $BALLAST and has $TEST_TIMEOUT
# seconds. The output of what fails is shown, that of what passes is not.
set -u

: "${TEST_TIMEOUT:=600}"
: "${BALLAST:?the ballast program}"
export BALLAST

passed=0 failed=0 skipped=0
start=$(date +%s)
running=''
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
trap '[ -z "$running" ] || kill "$running"; wait; exit 130' INT TERM

show_log() { sed 's/^/    /' "$log"; }

# run SECONDS COMMAND... : into the log, its status in $status, its seconds in $took. In the background,
# so that an interrupt is heard at once and passed on.
run()
{
	limit=$1
	shift
	began=$(date +%s)
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null &
	running=$!
	status=0
	wait "$running" || status=$?
	running=''
	took=$(($(date +%s) - began))
}

# Adds what a log holds in lines of "ok", "skip" and "FAIL".
count_lines()
{
	grep -E '^(ok|skip|FAIL) ' "$log"
	passed=$((passed + $(grep -c '^ok ' "$log")))
	skipped=$((skipped + $(grep -c '^skip ' "$log")))
	failed=$((failed + $(grep -c '^FAIL ' "$log")))
}

# "[====] Synthesis: Tested: 38 | Passing: 38 | Failing: 0 | Crashing: 0"
run_units()
{
	name=units${1#"${BALLAST%/*}"}
	name=${name%/unit-tests}
	run $((4 * TEST_TIMEOUT)) "$1" --verbose=1
	good=$(sed -n 's/.*Synthesis: .*Passing: \([0-9]*\).*/\1/p' "$log")
	total=$(sed -n 's/.*Synthesis: Tested: \([0-9]*\).*/\1/p' "$log")
	missed=$(grep -c '^\[SKIP\]' "$log")
	passed=$((passed + ${good:-0}))
	skipped=$((skipped + missed))
	sed -n 's/^\[SKIP\] /skip /p' "$log"
	# What a test's process leaks is reported when the test has passed already.
	if [ $status -eq 0 ] && ! grep -q 'ERROR: [A-Za-z]*Sanitizer' "$log"; then
		echo "ok $name: $good tests, $took s"
		return
	fi
	bad=$((${total:-0} - ${good:-0}))
	[ $bad -gt 0 ] || bad=1 # none failed, yet the program did, or one of them leaked
	failed=$((failed + bad))
	grep -Ev '^\[(RUN |PASS|SKIP)\]|^\[(----|====)\] (Criterion|Running)' "$log" | sed 's/^/    /'
	names=$(sed -n 's/^\[FAIL\] \([^ :]*::[^ :]*\).*/\1/p' "$log" | sort -u | tr '\n' ' ')
	echo "FAIL $name: $bad of ${total:-?} tests, status $status, $took s: ${names:-no name}"
}

run_guest()
{
	name=guest/$(basename "$1" .sh)
	run "$TEST_TIMEOUT" "$1"
	case $status in
	0 | 77) ;;
	*) show_log ;;
	esac
	if grep -qE '^(ok|skip|FAIL) ' "$log"; then
		count_lines
		case $status in
		0 | 77) return ;;
		esac
		grep -q '^FAIL ' "$log" && return
	fi
	case $status in
	0)
		passed=$((passed + 1))
		echo "ok $name, $took s"
		;;
	77)
		skipped=$((skipped + 1))
		echo "skip $name: $(tail -n 1 "$log")"
		;;
	124 | 137)
		failed=$((failed + 1))
		echo "FAIL $name: not done after $TEST_TIMEOUT s"
		;;
	*)
		failed=$((failed + 1))
		echo "FAIL $name: status $status"
		;;
	esac
}

while [ $# -gt 0 ] && [ "$1" != -- ]; do
	run_units "$1"
	shift
done
[ $# -gt 0 ] && shift
for script; do
	[ -x "$script" ] && run_guest "$script"
done

echo "$passed passed, $failed failed, $skipped skipped, in $(($(date +%s) - start)) s"
[ $failed -eq 0 ]
