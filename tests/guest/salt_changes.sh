#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Salts changed while guests share, resident and stored: who leaves a domain shares nothing with those who stay by the
# time the write returns, and nobody reads anything wrong.
. "${0%/*}/lib.sh"

configure "memory = 112M" "swap-file = $swap" "swap-size = 1G" "data-size = 4M" "for = 600" <<END
[ksm]
run = 1
salting = 2
pages_to_scan = 100000
[guest web]
count = 3
memory = 48M
salt = one
workload = fill
workload-args = common=60% fill=80% zero=0 same=0 fill-time=2s write=5% think=5ms
data = /usr/bin
END
shared() { cat "$tree/vm/web-$1/mem/shrd"; }
all_share() { [ "$(shared 0)" -gt 4194304 ] && [ "$(shared 1)" -gt 4194304 ] && [ "$(shared 2)" -gt 4194304 ]; }

start_host
within 60 has_vmms 3 || fail "the guests did not start"
within 60 all_run 3 || fail "the guests did not fill their memory"
within 60 all_share || fail "they share only $(shared 0), $(shared 1), $(shared 2) bytes"

# Nobody leaves with frames mapped.
! { echo two >"$tree/vm/web-1/config/salt"; } 2>/dev/null || fail "a salt was changed under its frames"
grep -q 'write 2 to ksm/run' "$tree/vm/web-1/last_error" || fail "not said: what to do"
! { echo 0 >"$tree/ksm/salting"; } 2>/dev/null || fail "the rule was changed under frames"
[ "$(cat "$tree/vm/web-1/config/salt") $(cat "$tree/ksm/salting")" = "one 2" ] || fail "half was changed"

# Without, one does. What is stored it must not share with those who stay.
echo 2 >"$tree/ksm/run"
none_is_shared() { [ "$(cat "$tree/ksm/pages_shared")" -eq 0 ]; }
within 60 none_is_shared || fail "frames are left"
echo two >"$tree/vm/web-1/config/salt" || fail "no other salt: $(cat "$tree/vm/web-1/last_error")"
[ "$(cat "$tree/vm/web-1/config/salt")" = two ] || fail "its salt is not what was written"
[ "$(cat "$tree/vm/web-1/config/tps")" -eq 0 ] || fail "it claims to have frames of its new domain"
echo 1 >"$tree/ksm/run"
those_share() { [ "$(shared 0)" -gt 4194304 ] && [ "$(shared 2)" -gt 4194304 ]; }
within 60 those_share || fail "those who stay share no more"
[ "$(shared 1)" -eq 0 ] || fail "who left shares $(shared 1) bytes again"

# And comes back, as nothing of it is shared.
echo one >"$tree/vm/web-1/config/salt" || fail "no return: $(cat "$tree/vm/web-1/last_error")"
within 60 all_share || fail "it does not share again"

# Rubbish.
! { printf 'a\tb\n' >"$tree/vm/web-0/config/salt"; } 2>/dev/null || fail "a salt with a tab was taken"
grep -q printable "$tree/vm/web-0/last_error" || fail "not said: printable"

kill -INT "$run"
await_host
expect_all_verified
