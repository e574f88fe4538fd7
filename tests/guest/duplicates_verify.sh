#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Guests filled from the same data with the same choices, on a fraction of their memory. In one sharing
# domain what they hold is stored once; without a common salt, or with the feature off, each time. All
# of them write and verify meanwhile.
. "${0%/*}/lib.sh"

# duplicates SALT [KSM-KEY = VALUE]...
duplicates()
{
	salt=$1
	shift
	{
		for guest in a b c d; do
			printf '[guest %s]\nmemory = 32M\nseed = 7\n%s\n' "$guest" "$salt"
			cat <<-END
				workload = fill
				workload-args = fill=90% zero=0% same=0% random=5% write=20% begin=together ops=1500
				data = /usr/bin
			END
		done
		printf '[ksm]\n'
		printf '%s\n' "$@"
	} | configure "memory = 64M" "pool-percent = 40" "swap-file = $swap" "swap-size = 1G" \
		"data-size = 8M"
	run_host
	expect_all_verified
}

duplicates 'salt = tenant'
# At times most of what was stored took no space.
expect '.swap.dedup_hits > 2000 and .swap.shared_peak_saved_bytes > 4 * 1048576'
expect '.swap.hash_collisions == 0'
expect '.swap.shared_pages >= .swap.shared_blobs'
expect_said '^duplicates .* pages were stored already'

duplicates ''
expect '.swap.dedup_hits < 500'
duplicates '' 'salting = 0'
expect '.swap.dedup_hits > 2000'
duplicates 'salt = tenant' 'share-before-swap = no'
expect '.swap.dedup_hits == 0 and .swap.shared_blobs == 0'
