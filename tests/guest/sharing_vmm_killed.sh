#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A guest whose frames others use is killed; the others verify to the end.
. "${0%/*}/lib.sh"

configure "memory = 160M" "swap-file = $swap" "swap-size = 1G" "data-size = 8M" <<END
[ksm]
run = 1
salting = 0
[guest web]
count = 3
memory = 32M
workload = fill
workload-args = common=80% fill=80% zero=0 write=2% think=1ms ops=8000
data = /usr/bin
END
start_host
within 20 has_vmms 3 || fail "the guests did not start"
victim=$(vmms | head -n 1)
maps_frames() { grep -q ballast-frames "/proc/$victim/maps"; }
within 60 maps_frames || fail "nothing was shared"
kill -9 "$victim"
await_host
expect_status 1
expect '[.guests[] | select(.ok)] | length == 2'
expect 'all(.guests[]; .verify_failures == 0)'
expect '.ksm.peak_saved_pages > 1000'
expect_nothing_left
