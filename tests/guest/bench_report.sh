#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small overcommit benchmark of Ballast alone, which changes nothing on the host: its report is valid
# against the schema, its page is valid HTML and needs no other file, and its exit status says that not
# all goals were reached.
. "${0%/*}/lib.sh"

page=$work/report/report.html
schema=${0%/*}/../../bench/overcommit/report.schema.json

status=0
"$BALLAST" bench overcommit --contender ballast --scenario clones,idle-fleet --overcommit 1,2 \
	--rounds 1 --work 1% --guest-memory 32M --swap "$work" --report "$work/report" \
	>"$output" 2>&1 || status=$?
expect_status 1
expect_said '^0 of 0 goals reached$'
[ "$(grep -c ' ok$' "$output")" -eq 6 ] || fail "not all cells went well"

report=$work/report/report.json
expect '[.scenarios[].name] == ["idle-fleet", "clones"]'
expect 'all(.scenarios[].points[].contenders[]; .ok == 1 and .figures.verified_pages.median > 0)'
expect 'all(.scenarios[].points[].contenders[]; .figures.throughput.median > 0)'
expect 'all(.scenarios[].none[]; .figures.operations == .figures.operations)'
# The same work, whoever manages the memory.
expect '.scenarios[1] | [.none[], .points[].contenders[] | .figures.operations.median] | unique | length == 1'

[ -s "$work/report/report.md" ] || fail "no report.md"
[ -s "$work/report/clones-2.00.ini" ] || fail "no configuration to repeat a cell with"
! grep -qE '(src|href)="?[a-z]+:|@import|url\(' "$page" || fail "the page needs other files"
grep -q '<svg' "$page" || fail "the page has no plot: is gnuplot there?"

/usr/bin/python3 -c 'import jsonschema' 2>/dev/null || skip "no python3-jsonschema"
/usr/bin/python3 -m jsonschema -i "$report" "$schema" 2>/dev/null || fail "not valid: report.json"
command -v tidy >/dev/null || skip "no tidy"
tidy -q -e --drop-empty-elements no "$page" >"$output" 2>&1 || fail "not valid: report.html"
expect_nothing_left
