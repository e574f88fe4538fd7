/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of ksm/ have in common, and nobody else. */
#ifndef KSM_INTERNAL_H
#define KSM_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>

#include "ksm/advisor.h"
#include "ksm/domain.h"
#include "ksm/ksm.h"
#include "lib/bits.h"
#include "mem/memory.h"
#include "mem/reclaimer.h"
#include "mem/remap.h"
#include "mem/sharing.h"
#include "mem/source.h"
#include "mem/space.h"

/* What the scanner remembers of a guest: four bytes a page and two a group. */
struct track {
	u64 serial; /* of the space; 0: none */
	u64 pages;
	u32 *sums; /* low half of each page's hash; 0: not seen yet */
	u32 *steady; /* by region: groups that had not changed when they were looked at last, a bit each */
	u8 *misses; /* by group: scans in a row that found it changed */
	u8 *skip;   /* by group: scans still to leave out */
	u32 domain;
};

/* A page like one that is being shared, to be shared next. */
struct partner {
	struct page_owner page;
	u64 hash;
};

#define PARTNERS_MAX 4096U

/* Groups that are copied at once to be looked at: so much stays in a processor's second cache till then. */
#define COPY_GROUPS 2U
_Static_assert(COPY_GROUPS *GROUP_PAGES == SHEET_PART, "one buffer for both");

/* The next region that something is done with. */
struct cursor {
	u32 space;
	u64 region;
};

/* A way round all guests, which brings home what they wrote. */
struct home_round {
	struct cursor at;
	bool under_way;
	bool asked; /* somebody waits for it */
	u64 began_ns;
};

/* What is to become of a region's pages, a bit each. */
struct plan {
	u64 take[REGION_PAGES / 64];	/* to be shared or dropped */
	u64 promote[REGION_PAGES / 64]; /* ... by making a frame of it, if there is none */
	u64 hashes[REGION_PAGES];	/* of what is taken */
	u32 count;
	u32 same; /* of them, pages that repeat one word: without a hash */
};

struct ksm {
	struct page_source source; /* of SHARED pages, and the store they go to */
	struct sharing sharing;
	struct reclaimer reclaimer;
	_Atomic u32 reclaim_turn; /* which domain is next */
	struct memory *memory;
	_Atomic u32 run;

	pthread_mutex_t wanted_lock; /* guards the next two; innermost */
	struct ksm_options wanted;
	bool changed; /* the scanner has not followed yet */

	pthread_mutex_t domains_lock; /* for adding to them; a number, once given, stays */
	_Atomic u32 domain_count;
	struct domain domains[DOMAINS_MAX];

	/* Of the thread that scans. */
	pthread_mutex_t scan_lock;
	struct ksm_options options;
	struct track tracks[MEMORY_MAX_SPACES];
	u64 track_bytes;
	struct cursor scan_at;
	const struct plan *plan; /* of the region that is being shared */
	struct partner partners[PARTNERS_MAX];
	u32 partner_count;
	u64 unshared, changing; /* of the scan under way */
	/* Of the call: pages that had not changed, that were shared or dropped, and that were seen for the first time. */
	u64 steady, taken, fresh;
	u32 worth;     /* of the scan: advisor_worth() */
	struct advisor advisor;
	_Atomic u32 pages_to_scan;
	u64 scan_began_ns, scan_began_cpu_ns, scan_pages;
	/* Pages to be looked at, or on their way into a sheet. */
	_Alignas(PAGE_SIZE) u8 copy[SHEET_PART * PAGE_SIZE];

	/* The thread. */
	pthread_t thread;
	bool started;
	enum advisor_pace pace; /* of the scan */
	u64 due_ns;		/* its next batch */
	int nice;
	_Atomic bool stop;
	_Atomic bool home_wanted;
	struct home_round home;
	sem_t wake;

	_Atomic u64 pages_unshared, pages_volatile, pages_scanned, pages_skipped, full_scans;
	_Atomic u64 peak_saved;
	_Atomic u64 zero_pages, sheets, brought_home, cpu_ns, metadata_bytes;
};

/* ksm.c */
u64 ksm_hash(const void *page);
struct domain *ksm_domain(struct ksm *ksm, u64 payload);
u32 ksm_domain_of(struct ksm *ksm, const struct space *space); /* UINT32_MAX: none */

/* home.c: whether what is away from home is missed, for it cannot be evicted, or will be soon. */
bool home_presses(const struct memory *memory);
/* Begins a round when it is time for one. Whoever asks during a round makes it urgent, and has another after it. */
void home_consider(struct ksm *ksm);
/* Goes on with the round, and ends it when it has been everywhere. Brings `pages` home, up to a region more, or what there is. */
void home_go_on(struct ksm *ksm, u64 pages);

/* track.c: what is remembered of a space, made when it is new; NULL when there is no memory or no domain. */
struct track *track_get(struct ksm *ksm, const struct space *space);
void track_drop(struct ksm *ksm, struct track *track);

/* scan.c: looks at a region, and shares what it finds. Returns how many pages it looked at. */
u64 scan_region(struct ksm *ksm, struct space *space, struct track *track, u64 region);

/* share.c: shares what a plan says of a region, and maps it. Returns how many pages it took. */
s64 share_region(struct ksm *ksm, struct space *space, u64 first, struct plan *plan);
/* ... and the pages that were found to be like them. */
void share_partners(struct ksm *ksm);
void share_add_partner(struct ksm *ksm, struct page_owner page, u64 hash);

/* sheet.c: shares what a plan says of a region, and maps the region in one piece. Returns how many pages it took; 0: that
 * cannot be done, or is not worth it. */
s64 sheet_region(struct ksm *ksm, struct space *space, u64 first, const struct plan *plan);
/* Whether so many single pages can be home without their neighbours. */
bool sheets_may_scatter(const struct ksm *ksm, const struct space *space, u32 pages);
/* Whether what lies between the shared pages of a guest's sheets shall go home, where it can be evicted. */
bool sheets_must_go(const struct ksm *ksm, const struct space *space);

static inline void plan_share(struct plan *plan, u32 place, u64 hash)
{
	bits_put(plan->take, place, true);
	plan->hashes[place] = hash;
	plan->count++;
}

#endif
