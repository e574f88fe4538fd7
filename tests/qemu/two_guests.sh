#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Two stock Linux guests of 512 MiB under stock QEMU and one budget of 600 MiB: each fills a redis-server with
# 200 MiB, and checks every value after the other has pushed its memory out; what their kernels and programs
# have in common is shared; one that idles gives memory to the other by its balloon; top shows both.
set -u
. "$(dirname "$0")/lib.sh"

values=${VALUES:-3200} # of 64 KiB: 200 MiB
start_manager <<CONFIG
memory = ${BUDGET:-600M}
[guest-default]
memory = 512M
[ksm]
run = 1
salting = 0
[policy]
cold-age = 10
CONFIG
start_guest a
start_guest b
for name in a b; do
	wait_for "guest $name boots" says $name '^BOOTED'
	tell $name start_redis
done
wait_for "shared pages" at_least /ksm/pages_sharing 10001
echo "$(get /ksm/pages_sharing) pages are shared"
for name in a b; do
	wait_for "redis of guest $name" says $name '^REDIS up'
	tell $name "fill $name 1 $values"
done
for name in a b; do
	wait_for "guest $name fills" says $name "^FILLED $values of $values"
	tell $name "check $name 1 $values"
done
for name in a b; do
	wait_for "guest $name checks" says $name '^CHECKED .* in '
	says $name "^CHECKED $values of $values" || fail "guest $name lost values"
	at_least /vm/$name/mem/refaulted_pages 1 || fail "nothing of guest $name was ever out"
done
echo "both have all their values, of $(get /memory) bytes $(get /used) used"

timeout 20 "$BALLAST" top --batch --host "$host" >"$work/top.log" 2>&1
for name in a b; do
	grep -q ",$name,running," "$work/top.log" || fail "top does not show guest $name"
done

# The one forgets all and idles: its balloon gives memory to the other. How much is said by hand, because what the
# policy thinks of a guest depends on how fast this machine is.
tell a forget
wait_for "guest a forgets" says a '^FORGOT OK'
"$BALLAST" set --host "$host" /vm/a/balloon/target 160M || fail "guest a's balloon cannot be set"
tell b "fill b $((values + 1)) $((values + 1600))"
wait_for "guest a's balloon gives memory" at_least /vm/a/balloon/actual 134217728
wait_for "guest b fills again" count_says b '^FILLED' 2
tell b "check b 1 $((values + 1600))"
wait_for "guest b checks again" count_says b '^CHECKED .* in ' 2
says b "^CHECKED $((values + 1600)) of $((values + 1600))" || fail "guest b lost values"
echo "guest a's balloon holds $(get /vm/a/balloon/actual) bytes; guest b has all its values again"

# One QEMU dies: its memory comes back, the other goes on.
victim=$(get /vm/a/pid)
kill -9 "$victim"
wait_for "the end of guest a" says manager 'guest a: vmm: its VMM'
tell b "check b 1 $values"
wait_for "guest b, alone," count_says b '^CHECKED .* in ' 3
count_says b "^CHECKED $values of $values" 2 || fail "guest b lost values with guest a"

# The manager dies: the guest stands still, and QEMU says why.
survivor=$(get /vm/b/pid)
kill -9 $manager
wait_for "QEMU's word about the manager" says b 'the manager is gone'
tell b "check b 1 $values"
sleep 5
gone "$survivor" && fail "QEMU ended with the manager"
count_says b '^CHECKED' 4 && ! count_says b "^CHECKED $values of $values" 3 &&
	fail "guest b went on with pages that are gone"
echo "all as it should be"
