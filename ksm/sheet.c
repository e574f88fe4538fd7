/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions of which much is shared, here and there. A mapping for each run would take two of the kernel's for each, and a hole in
 * the RAM file; as a sheet (mem/remap.h) the region takes one. What is not shared in it is memory of the VMM's own then, which
 * nothing can evict: so that is for when memory is plenty, and ends when it is not.
 */
#include "ksm/internal.h"
#include "mem/entitlement.h"

#define SHEET_RUNS 8U /* fewer are mapped one by one, and what is between stays in the RAM file */
#define OWN_SHARE  4  /* no more of the budget lies in sheets of all guests, out of reach */

bool sheets_may_scatter(const struct ksm *ksm, const struct space *space, u32 pages)
{
	return atomic_load(&space->counters.vmas) + 2UL * pages <= ksm->options.vma_budget;
}

bool sheets_must_go(const struct ksm *ksm, const struct space *space)
{
	const struct memory *memory = ksm->memory;

	return home_presses(memory) || atomic_load(&space->reclaimed_from) ||
	       budget_free(&memory->budget) < atomic_load(&memory->budget.high);
}

static bool affordable(const struct ksm *ksm, const struct space *space)
{
	const struct budget *budget = &ksm->memory->budget;
	u64 limit = atomic_load(&budget->limit);

	return !sheets_must_go(ksm, space) && sheets_may_scatter(ksm, space, 1) &&
	       budget_spare(budget) &&
	       atomic_load(&ksm->memory->own_pages) * PAGE_SIZE <= limit / OWN_SHARE &&
	       entitlement_standing(space) != STANDING_ABOVE_LIMIT;
}

static u32 count_runs(const struct plan *plan)
{
	u32 runs = 0;

	for (u32 from, end = 0; bits_next_run(plan->take, REGION_PAGES, &from, &end);)
		runs++;
	return runs;
}

/* Pages that repeat a word would be dropped, and all of a sheet must be there. And what lies between its frames comes from
 * whichever node the kernel likes. */
static bool suits(const struct ksm *ksm, const struct space *space, const struct plan *plan)
{
	return space->options.stage && !space->options.bind && !plan->same && count_runs(plan) >= SHEET_RUNS &&
	       affordable(ksm, space);
}

static bool makes_any(const struct plan *plan)
{
	u64 any = 0;

	for (u32 i = 0; i < ARRAY_SIZE(plan->promote); i++)
		any |= plan->promote[i];
	return any;
}

/* A sheet whose frames lie in a store from first_frame on. */
struct ksm_sheet {
	struct sheet sheet;
	struct ksm *ksm;
	const struct space *space;
	const struct plan *plan;
	u32 domain;
	u32 first_frame;
};

static u32 share(const struct sheet *base, u32 place, const u8 *pages, u32 asked)
{
	const struct ksm_sheet *sheet = container_of(base, const struct ksm_sheet, sheet);
	const u64 *promote = sheet->plan->promote;
	u64 hashes[SHEET_PART];
	struct frames_part part = {sheet->first_frame + place, pages, hashes};

	/* Its guest is alone from now on (manager/resalt.c). */
	if (ksm_domain_of(sheet->ksm, sheet->space) != sheet->domain)
		return 0;
	for (u32 left = asked; left; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);

		hashes[i] = ksm_hash(pages + i * PAGE_SIZE);
	}
	return frames_share(sheet->ksm->domains[sheet->domain].frames, &part, asked,
			    bits_part(promote, place));
}

s64 sheet_region(struct ksm *ksm, struct space *space, u64 first, const struct plan *plan)
{
	u32 domain = ksm_domain_of(ksm, space);
	struct ksm_sheet sheet = {
		.sheet = {.pages = plan->take,
			  .least = plan->count / 4 * 3,
			  .copies = ksm->copy,
			  .share = share},
		.ksm = ksm,
		.space = space,
		.plan = plan,
		.domain = domain,
	};
	s64 taken;

	if (domain == UINT32_MAX || !suits(ksm, space, plan))
		return 0;
	sheet.first_frame = frames_choose_sheet(ksm->domains[domain].frames, plan->hashes,
						plan->take, makes_any(plan));
	if (sheet.first_frame == FRAMES_NO_SHEET)
		return 0;
	sheet.sheet.payload = domain_payload(domain, sheet.first_frame);
	taken = remap_sheet(space, first, &sheet.sheet);
	atomic_fetch_add(&ksm->sheets, taken > 0);
	return MAX(taken, 0);
}
