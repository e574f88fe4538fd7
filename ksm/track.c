/* SPDX-License-Identifier: Apache-2.0 */
/* What the scanner remembers of each guest. */
#include <stdlib.h>
#include <string.h>

#include "ksm/internal.h"

static u64 bytes_of(u64 pages)
{
	return pages * sizeof(u32) + pages / REGION_PAGES * sizeof(u32) + pages / GROUP_PAGES * 2;
}

void track_drop(struct ksm *ksm, struct track *track)
{
	if (!track->serial)
		return;
	free(track->sums);
	free(track->steady);
	free(track->misses);
	free(track->skip);
	budget_give(&ksm->memory->budget, bytes_of(track->pages));
	atomic_fetch_sub(&ksm->metadata_bytes, bytes_of(track->pages));
	*track = (struct track){0};
}

/* False: there is no memory for it, or no domain. The guest is passed over, until there is. */
static bool track_make(struct ksm *ksm, struct track *track, const struct space *space)
{
	u64 pages = space->table.pages;

	if (!budget_take(&ksm->memory->budget, bytes_of(pages), BUDGET_SHARE))
		return false;
	*track = (struct track){
		.serial = space->serial,
		.pages = pages,
		.sums = calloc(pages, sizeof(u32)),
		.steady = calloc(pages / REGION_PAGES, sizeof(u32)),
		.misses = calloc(pages / GROUP_PAGES, 1),
		.skip = calloc(pages / GROUP_PAGES, 1),
		.domain = ksm_domain_of(ksm, space),
	};
	atomic_fetch_add(&ksm->metadata_bytes, bytes_of(pages));
	if (track->sums && track->steady && track->misses && track->skip &&
	    track->domain != UINT32_MAX)
		return true;
	track_drop(ksm, track);
	return false;
}

struct track *track_get(struct ksm *ksm, const struct space *space)
{
	struct track *track = &ksm->tracks[space->id];

	if (track->serial == space->serial && track->domain == ksm_domain_of(ksm, space))
		return track;
	track_drop(ksm, track);
	return track_make(ksm, track, space) ? track : NULL;
}
