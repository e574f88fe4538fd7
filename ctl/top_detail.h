/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest in full, as lines of text: what was last decided about it, how old its memory is, how long its
 * faults took by where the page was, and every attribute. Made from a host's answer to `tree`; pure.
 */
#ifndef CTL_TOP_DETAIL_H
#define CTL_TOP_DETAIL_H

#include "lib/types.h"

#define TOP_LINE_BYTES 512

struct top_page {
	u32 count;
	char (*lines)[TOP_LINE_BYTES];
};

/* The page of the guest of that name, for a terminal of so many columns. Returns 0 or -ENOMEM; ends with
 * top_page_free() in any case. */
int top_detail(const char *text, const char *guest, u32 columns, struct top_page *page);
void top_page_free(struct top_page *page);

#endif
