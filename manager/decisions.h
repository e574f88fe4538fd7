/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last decisions of the policy, each with what it was based on and why it was made. A guest about which
 * the same is decided again and again takes one entry, with a count.
 */
#ifndef MANAGER_DECISIONS_H
#define MANAGER_DECISIONS_H

#include "attach/attach.h"
#include "balloon/target.h"

#define DECISIONS_KEPT 256U
#define DECISION_LINE  384U /* bytes that a line of text may take */

struct decision_entry {
	u64 first_ms, last_ms; /* of the policy's clock */
	u32 times;
	u32 guest; /* its number */
	bool dry_run;
	enum host_state state;
	u64 free;
	struct target_guest input; /* as of last_ms */
	struct target_decision decision;
};

/* A ring; zeroed at first. Its owner's lock guards it. */
struct decisions {
	u64 count; /* made in all, repetitions included */
	u64 next;  /* entries made in all */
	struct decision_entry entries[DECISIONS_KEPT];
};

/* Adds one, or counts a repetition of the last one about the same guest. */
void decisions_add(struct decisions *decisions, const struct decision_entry *entry);

/* The entry made `back` entries ago (0: the newest), or NULL. */
const struct decision_entry *decisions_get(const struct decisions *decisions, u32 back);

/* One line without a newline. Returns its length, less than size. */
u32 decision_describe(const struct decision_entry *entry, const char *name, char *text, u32 size);

#endif
