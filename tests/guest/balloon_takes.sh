#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Balloons take what they are asked to: free memory first, then page caches, never the last reserve. On
# KVM and on threads, with one vCPU and with several, and every page that is left verifies.
. "${0%/*}/lib.sh"

for accel in auto thread; do
	configure "memory = 640M" "accel = $accel" "for = 600" <<-END
	[guest free]
	memory = 256M
	workload-args = fill=40%
	balloon-target = 100M
	[guest cache]
	memory = 128M
	vcpus = 2
	workload-args = fill=80% cache=50%
	balloon-target = 60M
	[guest idle]
	memory = 128M
	workload = idle
	workload-args = fill=60% cache=40% churn=30%
	balloon-target = 40M
	[guest greedy]
	memory = 64M
	workload-args = fill=80% cache=30%
	balloon-target = 1G
	[guest none]
	memory = 32M
	balloon = no
	balloon-target = 16M
	END
	work_for 3 5
	expect_all_verified
	expect '[.guests[0:3][].balloon | .actual_bytes == .target_bytes] | all'
	expect '[.guests[0:3][] | .mem.ballooned * 4096 == .balloon.actual_bytes] | all'
	expect '.guests[0].balloon.stats.major_faults == 0'
	expect '.guests[1].balloon.stats.major_faults > 0'
	# All but its anonymous pages and its reserves.
	expect '.guests[3] | .balloon.actual_bytes > 15e6 and .balloon.actual_bytes < 30e6'
	expect '.guests[3] | .mem.ballooned * 4096 == .balloon.actual_bytes'
	expect '.guests[4] | .balloon.driver == false and .mem.ballooned == 0'
done
