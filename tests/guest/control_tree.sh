#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A host seen through all its faces while guests work and verify: every attribute as a file, by the
# command, as a metric; its budget halved; guests added and stopped; memory reclaimed by hand.
. "${0%/*}/lib.sh"
is_root || skip "mounting the tree wants root"
[ -e /dev/fuse ] || skip "no /dev/fuse"

port=$((20000 + $$ % 12000)) # below those that the kernel gives to clients
ask() { "$BALLAST" "$@" --host "$host"; }
# is PATH VALUE: the attribute says it.
is() { [ "$(ask get "$1" 2>/dev/null)" = "$2" ]; }
has_reached() { [ "$(cat "$tree/memory_now")" -le "$1" ]; }

configure "memory = 192M" "swap-file = $swap" "swap-size = 1G" "for = 600" \
	"metrics = 127.0.0.1:$port" <<END
[guest store]
memory = 128M
vcpus = 2
workload = kv
workload-args = fill=80%
[guest batch]
memory = 128M
workload = phase
workload-args = fill=80% phase=1s
END
start_host
within 20 test -e "$tree/vm/batch/state" || fail "the tree is not there"
within 20 is /vm/store/state running || fail "the guest does not run"
within 30 is /vm/batch/phase run || fail "the guest does not work"

# Every attribute, each way.
ask tree >"$work/tree" || fail "no tree"
cut -d' ' -f1 "$work/tree" | sort -u >"$work/paths"
[ "$(wc -l <"$work/paths")" -gt 100 ] || fail "only $(wc -l <"$work/paths") attributes"
while read -r path; do
	cat "$tree$path" >"$work/file" || fail "$path cannot be read as a file"
	ask get "$path" >"$work/value" || fail "$path cannot be got"
	# What does not change is the same.
	case $path in
	*/config/*|/memory|/swap/max*|/swap/acc*|/sample_ms|/squeeze_rate|/name|*/reclaim|*/pid)
		cmp -s "$work/file" "$work/value" || fail "$path says two things" ;;
	esac
	case $(stat -c %a "$tree$path") in
	444) ! ask set "$path" 1 2>/dev/null || fail "$path can be written" ;;
	644) case $path in */config/salt) continue ;; esac # takes any word
		! ask set "$path" rubbish 2>"$work/said" || fail "$path took rubbish"
		grep -q rubbish "$work/said" || fail "$path refused without a word" ;;
	*) fail "$path has mode $(stat -c %a "$tree$path")" ;;
	esac
done <"$work/paths"
find "$tree" -type f | sed "s|^$tree||" | sort >"$work/files"
cmp -s "$work/paths" "$work/files" || fail "files and attributes differ"

# Every setting takes its own value, and no rubbish, each way; by hand means a balloon is left alone.
while read -r path; do
	[ "$(stat -c %a "$tree$path")" = 644 ] || continue
	case $path in */config/salt) continue ;; esac
	! { echo rubbish >"$tree$path"; } 2>/dev/null || fail "$path took rubbish as a file"
	case $path in */reclaim) continue ;; esac
	cat "$tree$path" >"$work/value"
	cat "$work/value" >"$tree$path" || fail "$path does not take its own value as a file"
	ask set "$path" "$(cat "$work/value")" || fail "$path does not take its own value"
done <"$work/paths"
for name in store batch; do
	[ -n "$(cat "$tree/vm/$name/last_error")" ] || fail "$name has no word on rubbish"
	echo 0 >"$tree/vm/$name/balloon/target" || fail "the balloon of $name is kept"
	[ -z "$(cat "$tree/vm/$name/last_error")" ] || fail "$name: $(cat "$tree/vm/$name/last_error")"
done

# Metrics.
curl -sf "http://127.0.0.1:$port/metrics" >"$work/metrics" || fail "no metrics"
grep -q '^ballast_guest_mem_grant_bytes{guest="store"} [1-9]' "$work/metrics" ||
	fail "no metric of the guest"
grep -q '^ballast_guest_fault_latency_seconds_bucket{.*le="+Inf"}' "$work/metrics" ||
	fail "no histogram"
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/")" = 404 ] ||
	fail "what is not there was found"
# One series is there once, and of each metric help and type precede it.
grep -v '^#' "$work/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d >"$work/twice"
[ ! -s "$work/twice" ] || fail "twice: $(head -n 1 "$work/twice")"
promtool=${BALLAST%/*}/tools/promtool
[ -x "$promtool" ] || "${0%/*}/../../tools/promtool.sh" "${promtool%/*}" || fail "no promtool"
"$promtool" check metrics <"$work/metrics" >"$work/said" 2>&1 ||
	fail "promtool finds fault: $(cat "$work/said")"
[ ! -s "$work/said" ] || fail "promtool finds fault: $(cat "$work/said")"

# A pool that was full lets pages pass to the disk until it is down to its threshold.
echo 60 >"$tree/swap/accept_threshold_percent" || fail "no threshold"
percent=$(cat "$tree/swap/max_pool_percent")
echo $((percent / 2)) >"$tree/swap/max_pool_percent" || fail "the pool cannot be made smaller"
passes() { [ "$(cat "$tree/swap/reject_threshold")" -gt 0 ]; }
is_down() { [ "$(cat "$tree/swap/pool_total_size")" -le $(($(cat "$tree/swap/pool_limit") * 7 / 10)) ]; }
within 60 passes || fail "a full pool takes all the same"
within 30 is_down || fail "the pool is not emptied"
echo 100 >"$tree/swap/accept_threshold_percent"
echo "$percent" >"$tree/swap/max_pool_percent"

# The budget halved, and back, while they work.
echo 96M >"$tree/memory" || fail "the budget cannot be lowered"
within 60 has_reached $((96 << 20)) || fail "the budget does not come down"
[ "$(cat "$tree/used")" -le $((96 << 20)) ] || fail "more is used than the budget"
echo 192M >"$tree/memory"
is /memory_now $((192 << 20)) || fail "the budget does not go up"

# What lies on the only node is what the host has, but for what moved between two looks.
has_all() {
	all=$(cat "$tree/$2")
	apart=$(($(cat "$tree/numa/node0/$1") - all))
	[ "$all" -gt 0 ] && [ "${apart#-}" -le $((all / 8)) ]
}
if [ ! -e "$tree/numa/node1" ]; then
	within 10 has_all resident resident || fail "node0 does not have what is resident"
	within 10 has_all pool swap/pool_total_size || fail "node0 does not have the pool"
fi

# By hand.
echo 8M >"$tree/vm/store/reclaim" || fail "nothing can be reclaimed"
[ "$(cat "$tree/vm/store/reclaim")" -ge $((8 << 20)) ] || fail "too little was reclaimed"

# One more guest, that ends again; and some that cannot be.
printf '[guest extra]\nmemory = 32M\nworkload-args = fill=80%%\n' >"$work/extra.ini"
"$BALLAST" start "$host" "$work/extra.ini" || fail "no guest can be added"
# While it makes a thread the C library keeps them away for a moment.
for pid in $(vmms); do
	within 10 grep -q '^SigBlk:	0*$' "/proc/$pid/status" || fail "signals are kept from VMM $pid"
done
within 20 is /vm/extra/phase run || fail "the added guest does not run"
! "$BALLAST" start "$host" "$work/extra.ini" 2>"$work/said" || fail "two guests of one name"
grep -q 'extra runs already' "$work/said" || fail "not said: runs already"
printf '[guest other]\nmemory = 32M\n[guest wrong]\nmemory = 1\n' >"$work/wrong.ini"
! "$BALLAST" start "$host" "$work/wrong.ini" 2>"$work/said" || fail "a wrong file was taken"
grep -q 'wrong.ini:4' "$work/said" || fail "the line is not named"
[ ! -e "$tree/vm/other" ] || fail "half of a wrong file was started"
printf '[guest ..]\nmemory = 32M\n' >"$work/wrong.ini"
! "$BALLAST" start "$host" "$work/wrong.ini" 2>"$work/said" || fail "a guest is called .."
grep -q 'begin with a dot' "$work/said" || fail "not said: how a guest may be called"
"$BALLAST" stop "$host" extra || fail "the guest cannot be stopped"
within 30 is /vm/extra/state ok || fail "the guest does not end well"
"$BALLAST" top --host "$host" --batch --count 2 --interval 200 >"$work/csv" || fail "no top"
[ "$(grep -c '^[0-9.]*,guest,' "$work/csv")" -eq 6 ] || fail "top does not list the guests"
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "compressed_p99_us") at = i }
	$2 == "guest" && $3 == "store" && $at > 0 { seen = 1 } END { exit !seen }' "$work/csv" ||
	fail "top does not say how long faults take"

kill -INT "$run"
await_host
expect_all_verified
expect '.guests | length == 3'
expect '.guests[2].name == "extra" and .guests[2].pages_verified > 0'
