/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at memory. A region is looked at by groups of 16 pages. What comes of a page:
 *
 *	not written since the last look   not read at all
 *	changed since the last look       volatile: left alone, and looked at less and less often
 *	repeats one word                  to be dropped
 *	like a frame                      to be shared
 *	like another page seen            both to be shared, by a frame made of this one
 *	else                              remembered
 *
 * How the first is known: groups that stayed the same from one look to the next are write-protected before the
 * second look. The next write to one costs its guest a fault, and clears the group's bit in region->clean
 * (mem/fault.c). So unchanged memory costs a look at one word for 512 pages, and memory that changes
 * costs its guest nothing. A whole region is protected only when all of it stayed the same, and by its first
 * write is the kernel's again, still on one huge page.
 *
 * What is not read costs no time, but counts all the same: a scan that hurried over it would come round so often that
 * whatever is not written for some milliseconds seems to stay as it is, and would be protected, shared and broken again. (In a
 * hurry it does, while it finds something.)
 */
#include <unistd.h>

#include "ksm/internal.h"
#include "mem/evict.h"
#include "mem/guard.h"
#include "mem/uffd.h"

#define ALL_GROUPS UINT32_MAX
#define BACK_OFF   3U /* at most 2^3 - 1 scans are left out */

struct look {
	struct ksm *ksm;
	struct space *space;
	struct track *track;
	struct domain *domain;
	struct region *region;
	u64 index;   /* of the region */
	u64 first;   /* its first page */
	u32 groups;  /* to be read */
	u32 changed; /* ... and found to have changed */
	bool whole, huge;
	struct plan plan;
	u64 looked;
};

static bool readable(const struct look *look, u64 index)
{
	struct page_word word = page_table_read(&look->space->table, index);

	return page_word_state(word) == PAGE_RESIDENT && !page_word_busy(word) &&
	       !page_word_foreign(word);
}

/* Groups with memory to look at. */
static u32 present_groups(const struct look *look)
{
	u32 groups = 0;

	for (u32 i = 0; i < REGION_PAGES; i++) {
		if (readable(look, look->first + i))
			groups |= 1U << i / GROUP_PAGES;
	}
	return groups;
}

/* Protects a range of groups, so that they tell of the next write. Region's lock held. */
static void protect_groups(struct look *look, u32 from, u32 to)
{
	u64 hva = space_hva(look->space, look->first + from * GROUP_PAGES);

	if (uffd_protect(look->space->options.uffd, hva, (to - from) * GROUP_PAGES * PAGE_SIZE))
		return;
	for (u32 i = from; i < to; i++)
		look->region->clean |= 1U << i;
}

/* Watches groups that have been steady, before they are read. Region's lock held. */
static void watch(struct look *look, u32 groups)
{
	const u64 wanted = groups;

	if (look->region->mapping == REGION_WHOLE) {
		if (groups != ALL_GROUPS || region_arm(look->space, look->first))
			return;
		look->region->watched = true;
	}
	for (u32 from, to = 0; bits_next_run(&wanted, REGION_GROUPS, &from, &to);)
		protect_groups(look, from, to);
}

/* Leaves out groups that keep changing. */
static u32 back_off(struct look *look, u32 groups)
{
	u8 *skip = look->track->skip + look->index * REGION_GROUPS;

	for (u32 i = 0; i < REGION_GROUPS; i++) {
		if (!(groups >> i & 1) || !skip[i])
			continue;
		if (look->ksm->options.smart_scan)
			groups &= ~(1U << i);
		skip[i]--;
	}
	return groups;
}

/* Decides what to read. Returns how many pages need not be read. */
static u64 choose_groups(struct look *look)
{
	u32 present, clean, wanted;

	pthread_mutex_lock(&look->region->lock);
	look->huge = look->region->huge;
	look->whole = look->region->mapping == REGION_WHOLE || look->huge;
	clean = look->region->clean;
	if (!look->region->resident || clean == ALL_GROUPS) {
		look->groups = 0;
		present = look->region->resident ? clean : 0;
	} else {
		present = look->whole ? ALL_GROUPS : present_groups(look);
		wanted = back_off(look, present & ~clean);
		watch(look, wanted & look->track->steady[look->index]);
		look->groups = wanted;
	}
	pthread_mutex_unlock(&look->region->lock);
	return (u64)__builtin_popcount(present & ~look->groups) * GROUP_PAGES;
}

/* A query for a page that still has the hash it was seen with. */
struct twin_query {
	struct unstable_query query;
	const struct look *look;
	u32 sum;
};

static bool is_twin(struct unstable_query *query, struct page_owner page)
{
	const struct twin_query *twin = container_of(query, struct twin_query, query);
	const struct track *track = &twin->look->ksm->tracks[page.space];

	return track->serial && track->domain == twin->look->track->domain &&
	       page.index < track->pages && track->sums[page.index] == twin->sum;
}

/* A page to be shared, if there is another like it. */
static void match(struct look *look, u32 place, u64 hash)
{
	struct page_owner self = {look->space->id, (u32)(look->first + place)}, other;
	struct twin_query twin = {
		.query = {.asker = self, .match = is_twin},
		.look = look,
		.sum = (u32)hash,
	};

	if (unstable_find(look->domain->unstable, hash, &twin.query, &other)) {
		plan_share(&look->plan, place, hash);
		bits_put(look->plan.promote, place, true);
		share_add_partner(look->ksm, other, hash);
	} else {
		unstable_add(look->domain->unstable, hash, self);
		look->ksm->unshared++;
	}
}

/* What is found out about the pages of a group, each by itself. */
struct seen {
	u64 hashes[GROUP_PAGES];
	u32 changed; /* since the last look, a bit each */
	u32 steady;  /* to be shared, if there are others like them */
};

static void look_at(struct look *look, u32 place, const u8 *page, struct seen *seen)
{
	u32 *sum = &look->track->sums[look->first + place], i = place % GROUP_PAGES;
	u64 hash = ksm_hash(page);
	bool changed = *sum != (u32)hash;

	look->ksm->fresh += !*sum;
	*sum = (u32)hash;
	look->looked++;
	look->ksm->steady += !changed;
	if (changed) {
		look->ksm->changing++;
		seen->changed |= 1U << i;
	} else if (!evict_same_filled(page)) {
		seen->steady |= 1U << i;
		seen->hashes[i] = hash;
		unstable_prefetch(look->domain->unstable, hash);
	} else if (look->ksm->options.use_zero_pages) {
		plan_share(&look->plan, place, 0);
		look->plan.same++;
	}
}

/* Remembers how a group did, for the looks to come. */
static void judge(struct look *look, u32 group, bool changed)
{
	u64 g = look->index * REGION_GROUPS + group;
	struct track *track = look->track;

	if (changed) {
		track->steady[look->index] &= ~(1U << group);
		track->misses[g] = (u8)MIN(track->misses[g] + 1U, BACK_OFF + 1);
		track->skip[g] = track->misses[g] > 1 ? (u8)(1U << (track->misses[g] - 1)) - 1 : 0;
	} else {
		track->steady[look->index] |= 1U << group;
		track->misses[g] = 0;
	}
}

/* Looks at the pages of a group that are in memory: each first, and then for others like them. */
static void look_at_group(struct look *look, u32 group, const u8 *pages)
{
	u32 first = group * GROUP_PAGES, known;
	struct seen seen = {.changed = 0};

	for (u32 i = 0; i < GROUP_PAGES; i++) {
		if (readable(look, look->first + first + i))
			look_at(look, first + i, pages + i * PAGE_SIZE, &seen);
	}
	known = frames_know(look->domain->frames, seen.hashes, seen.steady);
	for (u32 left = seen.steady; left; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);

		if (known >> i & 1)
			plan_share(&look->plan, first + i, seen.hashes[i]);
		else
			match(look, first + i, seen.hashes[i]);
	}
	judge(look, group, seen.changed);
	if (seen.changed)
		look->changed |= 1U << group;
}

/*
 * Small pages would be mapped one by one, which takes several times as long as a copy of some groups. Without a lock: what
 * leaves or returns meanwhile is read as zeroes or as half a page, and at the worst taken for something that the sharing, which
 * has the last word, does not find. Returns false when the file has been cut short, as look_in_place().
 */
static bool look_at_copy(struct look *look, u32 from, u32 to)
{
	ssize_t bytes = (to - from) * GROUP_PAGES * PAGE_SIZE;
	off_t offset = (off_t)((look->first + from * GROUP_PAGES) * PAGE_SIZE);
	u8 *pages = look->ksm->copy;

	if (pread(look->space->options.ram, pages, (size_t)bytes, offset) != bytes)
		return false;
	for (u32 i = from; i < to; i++)
		look_at_group(look, i, pages + (i - from) * GROUP_PAGES * PAGE_SIZE);
	return true;
}

/* Looks at a group of a huge page where it is, through the manager's own mapping of the RAM file: under the region's lock, for
 * a page that had left the file would be made anew by looking at it. */
static bool look_in_place(struct look *look, u32 group)
{
	u8 *pages = look->space->alias + (look->first + group * GROUP_PAGES) * PAGE_SIZE;
	struct guard guard;
	bool huge, cut = false;

	pthread_mutex_lock(&look->region->lock);
	huge = look->region->huge;
	if (huge) {
		guard_begin(&guard, pages, GROUP_PAGES * PAGE_SIZE);
		look_at_group(look, group, pages);
		cut = guard_end(&guard);
	}
	pthread_mutex_unlock(&look->region->lock);
	return huge ? !cut : look_at_copy(look, group, group + 1);
}

static bool to_be_read(const struct look *look, u32 group)
{
	return group < REGION_GROUPS && look->groups >> group & 1;
}

/* The end of what is read at once from a group on. */
static u32 read_end(const struct look *look, u32 from)
{
	u32 to = from + 1;

	while (!look->huge && to - from < COPY_GROUPS && to_be_read(look, to))
		to++;
	return to;
}

static void read_groups(struct look *look)
{
	for (u32 from = 0, to; from < REGION_GROUPS; from = to) {
		to = from + 1;
		if (!to_be_read(look, from))
			continue;
		to = read_end(look, from);
		if (look->huge ? look_in_place(look, from) : look_at_copy(look, from, to))
			continue;
		look->plan = (struct plan){.count = 0};
		space_fail(
			look->space,
			"its RAM file cannot be read at offset %lu: the VMM or another process cut "
			"it short, or its memory is broken",
			(look->first + from * GROUP_PAGES) * PAGE_SIZE);
		return;
	}
}

/* What changed between its protection and the look is not clean: it was written before it. */
static void forget_clean(struct look *look)
{
	pthread_mutex_lock(&look->region->lock);
	look->region->clean &= ~look->changed;
	pthread_mutex_unlock(&look->region->lock);
}

/* Breaking a huge page costs its guest speed for as long as it stays broken: a few pages are not worth that. */
static bool worth_it(const struct look *look)
{
	return look->plan.count && (!look->whole || look->plan.count >= REGION_PAGES / 8);
}

u64 scan_region(struct ksm *ksm, struct space *space, struct track *track, u64 index)
{
	struct look look = {
		.ksm = ksm,
		.space = space,
		.track = track,
		.domain = &ksm->domains[track->domain],
		.region = &space->regions[index],
		.index = index,
		.first = index * REGION_PAGES,
	};
	u64 skipped = choose_groups(&look);

	read_groups(&look);
	if (look.changed)
		forget_clean(&look);
	atomic_fetch_add_explicit(&ksm->pages_scanned, look.looked, memory_order_relaxed);
	atomic_fetch_add_explicit(&ksm->pages_skipped, skipped, memory_order_relaxed);
	if (worth_it(&look))
		share_region(ksm, space, look.first, &look.plan);
	return look.looked + skipped;
}
