#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A few seconds of each fuzzer, on top of what longer runs have found; `make fuzz` is for those.
set -eu

: "${BALLAST:?the ballast program}"
build=${BALLAST%/*}

if ! echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n > 9 ? 0 : 0; }' |
	clang -x c -fsanitize=fuzzer,address -o "$build/has-fuzzer" - 2>/dev/null; then
	echo "no clang with libFuzzer"
	exit 77
fi
rm -f "$build/has-fuzzer"
exec make --no-print-directory -s BUILD="$build" FUZZ_SECONDS=3 fuzz
