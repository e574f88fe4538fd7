#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# control-doc.sh BALLAST FILE: puts the attributes that BALLAST has into FILE, between its two marks.
set -eu

new=$(mktemp "$2.XXXXXX")
trap 'rm -f "$new"' EXIT
awk -v ballast="$1" '
	/^<!-- end of attributes -->/ { inside = 0 }
	!inside { print }
	/^<!-- attributes:/ {
		inside = 1
		command = ballast " help control --markdown"
		while ((command | getline line) > 0)
			print line
		print ""
	}' "$2" >"$new"
cat "$new" >"$2"
