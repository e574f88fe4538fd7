/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's `workload` and `workload-args` as a user writes them: words of the form key=value,
 * separated by blanks or commas, any order, each key at most once.
 *
 *	key         value            meaning                                         used by
 *	fill        1% .. 100%       share of the heap that is used                  all
 *	write       0% .. 100%       share of operations that write                  all
 *	zero        0% .. 100%       pages (or values) of zeroes                     all
 *	same        0% .. 100%       pages of one repeated 32-bit word               all
 *	random      0% .. 100%       incompressible pages; what is left is data      all
 *	common      0% .. 100%       of runs of 16 pages, alike in all guests        all
 *	fill-time   0 .. 1h          the fill is spread over so long                 all
 *	rewrite     0 .. 1h          that long after the fill all pages are rewritten  all but kv
 *	think       0 .. 1s          pause after each operation, on average          all
 *	turn        10ms .. 1h       works so long, rests so long, and so on         all
 *	turn-first  work | rest      what it begins with                             all
 *	ops         number           operations per vCPU; 0: until stopped           all
 *	verify      end | no         read and check everything at the end            all
 *	mix         A | B | C        YCSB's: write = 50 %, 5 %, 0 %; `write` wins     kv
 *	theta       0 .. 0.999       zipfian skew                                    kv
 *	value       32 .. 64K        bytes of a record                               kv
 *	cache       0% .. 90%        share of the pages that is page cache           all but kv
 *	churn       0% .. 90%        share of the free pages in use by turns         all
 *	free        touched | untouched  whether free pages are written at the start     all
 *	report      yes | no         report free pages to the host                   all
 *	scatter     yes | no         give free pages to the balloon in disorder         all
 *	poison      no | 0 .. 4294967295  fill free pages with that word, and check them  all
 *	phase       10ms .. 1h       how long a working set stays                    phase
 *	phase-size  1% .. 100%       its share of the pages                          phase
 *
 * The percent sign may be left out. Times are given in us, ms, s, m or h, and numbers may end in K,
 * M or G (of 1024 for value, of 1000 for ops). A key that the workload does not use is an error, so
 * that nobody tunes what has no effect.
 */
#ifndef GUEST_DRIVER_ARGS_H
#define GUEST_DRIVER_ARGS_H

#include "guest-driver/abi.h"

/*
 * Sets both from the two texts; what is not given gets the workload's default, and NULL or "" for
 * args is all defaults. Returns 0, or -EINVAL with a message for the user in error.
 */
int guest_args_parse(const char *workload, const char *args, enum guest_workload *kind,
		     struct guest_args *parsed, char *error, size_t error_size);

/* The name a user gives this workload. */
const char *guest_workload_name(enum guest_workload workload);

#endif
