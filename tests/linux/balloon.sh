#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A Linux kernel with its own virtio-balloon driver boots, reports free pages, gives up 64 MiB, tells its
# statistics, takes the memory back and lives on.
. "${0%/*}/lib.sh"

configure_kernel "memory = 256M"
play_balloon
