#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The same kernel with a quarter of its memory: pages of a kernel that knows nothing of it are taken
# away and brought back while it boots and while its balloon moves.
. "${0%/*}/lib.sh"

configure_kernel "memory = 48M" "swap-file = $swap" "swap-size = 1G"
play_balloon
