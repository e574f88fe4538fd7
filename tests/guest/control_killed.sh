#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The control tree comes to harm: it is unmounted under the host, which goes on; the host is killed with
# the tree mounted and open, and the next of its name takes its place and leaves nothing behind.
. "${0%/*}/lib.sh"
is_root || skip "mounting the tree wants root"
[ -e /dev/fuse ] || skip "no /dev/fuse"

get() { "$BALLAST" get "$@" --host "$host"; }
is_there() { [ -r "$tree/vm/web/state" ]; }
runs() { [ "$(get /vm/web/state 2>/dev/null)" = running ]; }

configure "memory = 64M" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[guest web]
memory = 64M
workload-args = fill=80%
END

start_host
within 20 is_there || fail "the tree is not there"
within 20 runs || fail "the guest does not run"
guests=$(vmms)
exec 9<"$tree/used"
kill -9 "$run"
wait "$run" 2>/dev/null || :
run=
within 10 are_gone $guests || fail "guests are left: $guests"
! cat "$tree/used" 2>/dev/null || fail "a dead host answers"
! get /used 2>"$work/said" || fail "a dead host answers"
grep -q 'no host answers' "$work/said" || fail "not said: no host answers"

start_host
within 20 is_there || fail "the tree is not there again"
grep -q 'left by a host that is dead' "$output" || fail "not said that a dead host's tree went"
exec 9<&-

# A second host of that name has neither tree nor socket, says so, and leaves the first its own.
sed -e "s|$swap|$swap.2|" -e 's/^for = .*/for = 10/' "$ini" >"$work/second.ini"
"$BALLAST" run "$work/second.ini" --quiet >"$work/said" 2>&1 || fail "the second host failed"
grep -q 'another host called' "$work/said" || fail "not said: another host of that name"
is_there && within 20 runs || fail "the first host lost its tree"

umount -l "$tree"
within 20 runs || fail "the host did not survive the loss of its tree"
within 60 all_run 1 || fail "the guest does not work"
kill -INT "$run"
await_host
expect_all_verified
