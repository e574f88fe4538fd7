/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/decisions.h"

#include <stdio.h>

static bool repeats(const struct decision_entry *before, const struct decision_entry *entry)
{
	return before->guest == entry->guest && before->state == entry->state &&
	       before->dry_run == entry->dry_run &&
	       before->decision.action == entry->decision.action &&
	       before->decision.reason == entry->decision.reason &&
	       before->decision.block == entry->decision.block;
}

/* The newest entry about a guest. */
static struct decision_entry *find_last(struct decisions *decisions, u32 guest)
{
	u32 kept = (u32)MIN(decisions->next, (u64)DECISIONS_KEPT);

	for (u32 back = 0; back < kept; back++) {
		struct decision_entry *entry =
			&decisions->entries[(decisions->next - 1 - back) % DECISIONS_KEPT];

		if (entry->guest == guest)
			return entry;
	}
	return NULL;
}

void decisions_add(struct decisions *decisions, const struct decision_entry *entry)
{
	struct decision_entry *before = find_last(decisions, entry->guest);
	struct decision_entry *place;

	decisions->count++;
	if (before && repeats(before, entry)) {
		u64 first_ms = before->first_ms;
		u32 times = before->times + 1;

		*before = *entry;
		before->first_ms = first_ms;
		before->times = times;
		return;
	}
	place = &decisions->entries[decisions->next++ % DECISIONS_KEPT];
	*place = *entry;
	place->times = 1;
}

const struct decision_entry *decisions_get(const struct decisions *decisions, u32 back)
{
	if (back >= MIN(decisions->next, (u64)DECISIONS_KEPT))
		return NULL;
	return &decisions->entries[(decisions->next - 1 - back) % DECISIONS_KEPT];
}

static u64 mib(u64 bytes)
{
	return bytes / MiB;
}

u32 decision_describe(const struct decision_entry *entry, const char *name, char *text, u32 size)
{
	const struct target_guest *in = &entry->input;
	const struct target_decision *out = &entry->decision;
	int length = snprintf(
		text, size,
		"%lu.%03lu %s %s%s: %s balloon %lu -> %lu MiB, goal %lu, swap %lu%s: %s "
		"(resident %lu, stored %lu, active %lu, cold %lu, min %lu, shares %u, free %lu) x%u",
		entry->last_ms / 1000, entry->last_ms % 1000, host_state_name(entry->state), name,
		entry->dry_run ? " (dry run)" : "", target_action_name(out->action),
		mib(in->ballooned), mib(out->balloon), mib(out->goal), mib(out->swap),
		out->block ? ", blocked" : "", target_reason_text(out->reason), mib(in->resident),
		mib(in->stored), mib(in->active), mib(in->cold), mib(in->min), in->shares,
		mib(entry->free), entry->times);

	return length < 0 ? 0 : MIN((u32)length, size - 1);
}
