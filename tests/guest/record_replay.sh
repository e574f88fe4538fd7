#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A run is recorded while its guests verify. Replayed as it was, its decisions come out; with other
# settings, others; a record that is cut short, damaged or none is refused with a reason.
. "${0%/*}/lib.sh"

rec=$work/rec
configure "memory = 128M" "swap-file = $swap" "swap-size = 1G" "control = off" "for = 15" <<END
[guest store]
memory = 96M
workload = kv
workload-args = fill=80%
[guest batch]
memory = 96M
workload = phase
workload-args = fill=80% phase=1s
END
run_host --record "$rec"
expect_all_verified
expect_said "record $rec: [0-9]+ steps and [0-9]+ faults"

"$BALLAST" replay "$rec" >"$work/same" || fail "what was recorded does not come out"
grep -Eq 'settings as they were: 0 of [1-9][0-9]* decisions differ' "$work/same" || fail "no decisions"
grep -Eq '^store +zip +[0-9.]+' "$work/same" || fail "no faults of store"
"$BALLAST" replay "$rec" --set 'vm/*/config/max=16M' --set policy/idle_tax_pct=0 >"$work/other" ||
	fail "other settings cannot be tried"
grep -Eq 'with these settings: [1-9][0-9]* of' "$work/other" || fail "other settings change nothing"

# refused TEXT ARGUMENTS... : with status 1 and that word.
refused()
{
	text=$1 code=0
	shift
	"$BALLAST" replay "$@" >/dev/null 2>"$work/said" || code=$?
	[ "$code" -eq 1 ] && grep -q "$text" "$work/said" || fail "status $code: $(cat "$work/said")"
}
head -c 10000 "$rec" >"$work/cut"
refused 'without its end' "$work/cut"
{ head -c 10000 "$rec"; printf xxxxxxxx; tail -c +10009 "$rec"; } >"$work/bad"
refused 'is damaged' "$work/bad"
refused 'is not a record' "$ini"
refused 'cannot be read' "$work/none"
! "$BALLAST" replay "$rec" --set memory=1 2>"$work/said" || fail "a wrong setting was taken"

# A file that cannot be made: nothing starts. A disk that is full: the run goes on.
run_host --record "$work/none/rec"
expect_status 1
expect_said 'cannot be made'
if [ -e /dev/full ]; then
	run_host --record /dev/full
	expect_all_verified
	expect_said 'cannot be written: No space left'
fi
