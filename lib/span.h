/* SPDX-License-Identifier: Apache-2.0 */
/* Spans of addresses or offsets: a start and a length. */
#ifndef LIB_SPAN_H
#define LIB_SPAN_H

#include "lib/types.h"

/* Whether two have anything in common. Their ends must be numbers: neither sum may wrap. */
static inline bool spans_overlap(u64 a, u64 a_length, u64 b, u64 b_length)
{
	return a < b + b_length && b < a + a_length;
}

#endif
