#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Memory that a guest has used and does not need comes back unasked: a driver that reports free pages gives
# them at once, one that only answers hints gives them when memory is short. Nothing is stored for them.
. "${0%/*}/lib.sh"

configure "memory = 256M" "for = 600" <<END
[guest reports]
memory = 160M
workload-args = fill=20% free=touched churn=10%
END
work_for 6 1
expect_all_verified
expect '.guests[0].balloon.freed_pages * 4096 > 80e6'
expect '.guests[0].mem | .resident * 4096 < 110e6 and .ballooned == 0'

configure "memory = 256M" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[guest hints]
memory = 160M
workload = idle
workload-args = fill=20% free=touched report=no churn=10%
[guest grows]
memory = 256M
workload-args = fill=70% random=60% report=no
END
work_for 6 2
expect_all_verified
expect '.guests[0].balloon | .freed_pages == 0 and .hinted_pages > 0'
