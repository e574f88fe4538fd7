#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Incompressible guests on a swap file that cannot hold what does not fit: the guests for which there
# is no memory left are stopped and told so, and what they had goes to the others, which verify.
. "${0%/*}/lib.sh"

configure "memory = 128M" "swap-file = $swap" "swap-size = 16M" <<END
[guest noise]
count = 3
memory = 64M
workload = idle
workload-args = fill=80% random=100% zero=0% same=0% ops=100
END
run_host
expect_status 1
expect '.ok == false and .swap.swap_full > 0'
expect 'any(.guests[]; .ok and .pages_verified > 0)'
expect 'all(.guests[]; .ok or .exit == "stopped")'
expect 'all(.guests[]; .verify_failures == 0)'
expect 'all(.guests[] | select(.ok | not); .exit_text | test("no memory for page .* raise memory or swap-size"))'
expect '.peak_used_bytes <= .budget_bytes'
expect '.peak_kernel_bytes <= .budget_bytes + .slack_bytes'
expect_said '^FAILED: [12] of 3 guests$'
expect_nothing_left
