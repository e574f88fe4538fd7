/* SPDX-License-Identifier: Apache-2.0 */
#include "ksm/ksm.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ksm/internal.h"
#include "lib/clock.h"
#include "lib/hash.h"
#include "lib/log.h"

/* Kernel memory that a mapping takes, its page tables included; measured. */
#define VMA_BYTES 560

u32 ksm_test_hash_bits = 64;

u64 ksm_hash(const void *page)
{
	u64 hash = hash_page(page);

	if (ksm_test_hash_bits < 64)
		hash &= (1ULL << ksm_test_hash_bits) - 1;
	/* 0 says that a page has not been seen. */
	return (u32)hash ? hash : hash | 1;
}

struct domain *ksm_domain(struct ksm *ksm, u64 payload)
{
	assert(payload_domain(payload) < atomic_load(&ksm->domain_count));
	return &ksm->domains[payload_domain(payload)];
}

static u32 find_domain(struct ksm *ksm, u32 salt, u32 node)
{
	u32 count = atomic_load(&ksm->domain_count);

	for (u32 i = 0; i < count; i++) {
		if (ksm->domains[i].salt == salt && ksm->domains[i].node == node)
			return i;
	}
	return UINT32_MAX;
}

u32 ksm_domain_of(struct ksm *ksm, const struct space *space)
{
	/* A guest that has moved to another domain: its VMM does not have the frames of that. */
	if (atomic_load(&space->salt) != space->options.salt)
		return UINT32_MAX;
	return find_domain(ksm, space->options.salt, space->options.node);
}

/* The page source: frames as a store, and as where SHARED pages come from. */

static struct ksm *ksm_of(struct page_source *source)
{
	return container_of(source, struct ksm, source);
}

/* A reference for a page; with a plan, as that says. Returns 0, or -errno as store(). */
static int refer(struct ksm *ksm, struct page_store *page, const struct plan *plan)
{
	u32 number = find_domain(ksm, page->salt, page->node), frame;
	u32 place = page->owner.index % REGION_PAGES;
	bool make = plan && bits_have(plan->promote, place);
	struct frames *frames;
	int result;
	u64 hash;

	if (number == UINT32_MAX)
		return -E2BIG;
	hash = ksm_hash(page->plain);
	frames = ksm->domains[number].frames;
	result = frames_find(frames, hash, page->plain, &frame);
	if (result && make)
		result = frames_add(frames, hash, page->plain, &frame);
	if (result == -ENOMEM)
		return -ENOSPC;
	if (result)
		return -E2BIG;
	page->payload = domain_payload(number, frame);
	return 0;
}

static int source_store(struct page_source *source, struct page_store *page)
{
	struct ksm *ksm = ksm_of(source);

	return refer(ksm, page, ksm->plan);
}

static int source_load(struct page_source *source, struct page_load *load)
{
	for (u32 i = 0; i < load->count; i++) {
		struct page_load_slot *slot = &load->slots[i];

		slot->result = frames_read(ksm_domain(ksm_of(source), slot->payload)->frames,
					   payload_frame(slot->payload), slot->buffer);
	}
	return 0;
}

static void source_invalidate(struct page_source *source, u64 payload)
{
	frames_put(ksm_domain(ksm_of(source), payload)->frames, payload_frame(payload), 1);
}

static void source_stats(struct page_source *source, struct source_stats *stats)
{
	struct ksm *ksm = ksm_of(source);
	u32 count = atomic_load(&ksm->domain_count);

	*stats = (struct source_stats){0};
	for (u32 i = 0; i < count; i++) {
		struct frames_stats frames;

		frames_stats(ksm->domains[i].frames, &frames);
		stats->pages += frames.references;
		stats->blob_bytes += (frames.frames - frames.stored) * PAGE_SIZE;
		stats->used_bytes +=
			(frames.frames - frames.stored) * PAGE_SIZE + frames.metadata_bytes;
	}
}

static const struct page_source_ops source_ops = {
	.name = "shared",
	.state = PAGE_SHARED,
	.store = source_store,
	.load = source_load,
	.invalidate = source_invalidate,
	.stats = source_stats,
};

static int make_domain(struct ksm *ksm, struct domain *domain, u64 pages)
{
	struct ksm_options wanted;
	ksm_get_options(ksm, &wanted);
	struct frames_options options = {
		.memory = ksm->memory,
		.salt = domain->salt,
		.capacity = pages,
		.node = domain->node,
		.bind = wanted.bind,
		.max_sharing = wanted.max_page_sharing,
	};
	int result = frames_create(&options, &domain->frames);

	if (result)
		return result;
	domain->unstable = unstable_create(pages);
	if (!domain->unstable) {
		frames_destroy(domain->frames);
		return -ENOMEM;
	}
	budget_charge(&ksm->memory->budget, unstable_bytes(domain->unstable));
	atomic_fetch_add(&ksm->metadata_bytes, unstable_bytes(domain->unstable));
	return 0;
}

int ksm_join(struct ksm *ksm, u32 salt, u32 node, u64 pages, u64 *bytes)
{
	u32 number;
	int result = 0;

	pthread_mutex_lock(&ksm->domains_lock);
	number = find_domain(ksm, salt, node);
	if (number == UINT32_MAX) {
		number = atomic_load(&ksm->domain_count);
		result = number < DOMAINS_MAX ? 0 : -ENOSPC;
		if (!result) {
			ksm->domains[number] = (struct domain){.salt = salt, .node = node};
			result = make_domain(ksm, &ksm->domains[number], pages);
		}
		if (!result)
			atomic_store(&ksm->domain_count, number + 1);
	}
	pthread_mutex_unlock(&ksm->domains_lock);
	if (result)
		return result;
	*bytes = pages * PAGE_SIZE;
	return frames_fd(ksm->domains[number].frames);
}

static void begin_scan(struct ksm *ksm)
{
	ksm->scan_began_ns = clock_now_ns();
	ksm->scan_began_cpu_ns = atomic_load(&ksm->cpu_ns);
	ksm->scan_pages = 0;
	ksm->unshared = ksm->changing = 0;
}

static void end_scan(struct ksm *ksm)
{
	struct advisor_scan scan = {
		.seconds = (double)(clock_now_ns() - ksm->scan_began_ns) / NSEC_PER_SEC,
		.cpu_seconds =
			(double)(atomic_load(&ksm->cpu_ns) - ksm->scan_began_cpu_ns) / NSEC_PER_SEC,
		.pages = ksm->scan_pages,
	};

	atomic_store(&ksm->pages_unshared, ksm->unshared);
	atomic_store(&ksm->pages_volatile, ksm->changing);
	atomic_fetch_add(&ksm->full_scans, 1);
	if (ksm->options.advisor_mode == KSM_ADVISOR_SCAN_TIME)
		atomic_store(&ksm->pages_to_scan,
			     advisor_next(&ksm->advisor, &scan, atomic_load(&ksm->pages_to_scan)));
	begin_scan(ksm);
}

/* Moves the cursor over one guest, until there is something to share with others. Returns how many pages it looked
 * at. */
static u64 scan_space(struct ksm *ksm, struct space *space, u64 pages)
{
	struct track *track = track_get(ksm, space);
	u64 looked = 0;

	if (!track)
		ksm->scan_at.region = space->region_count;
	while (ksm->scan_at.region < space->region_count && looked < pages && !ksm->partner_count &&
	       !atomic_load(&space->failed) && !atomic_load(&space->remap.gone))
		looked += scan_region(ksm, space, track, ksm->scan_at.region++) + 1;
	if (looked < pages && !ksm->partner_count)
		ksm->scan_at.region = space->region_count;
	return looked;
}

static bool scan_batch(struct ksm *ksm, u64 pages)
{
	u64 looked = 0;

	while (looked < pages) {
		struct space *space = memory_get_space(ksm->memory, ksm->scan_at.space);
		bool there = space, more = false;

		if (there) {
			looked += scan_space(ksm, space, pages - looked);
			more = ksm->scan_at.region < space->region_count;
			space_put(space);
		}
		/* Their VMMs are waited for, and one thread hears all VMMs: it must not wait meanwhile for a
		 * reference to a guest that ends. */
		share_partners(ksm);
		if (more)
			continue;
		if (!there)
			track_drop(ksm, &ksm->tracks[ksm->scan_at.space]);
		ksm->scan_at = (struct cursor){.space = ksm->scan_at.space + 1};
		if (ksm->scan_at.space < MEMORY_MAX_SPACES &&
		    (there || ksm->scan_at.space < atomic_load(&ksm->memory->slots_used)))
			continue;
		ksm->scan_at.space = 0;
		ksm->scan_pages += looked;
		return true;
	}
	ksm->scan_pages += looked;
	return false;
}

/* Scan lock held. */
static void adopt_options(struct ksm *ksm)
{
	u32 domains = atomic_load(&ksm->domain_count);
	bool changed;

	pthread_mutex_lock(&ksm->wanted_lock);
	changed = ksm->changed;
	ksm->options = ksm->wanted;
	ksm->changed = false;
	pthread_mutex_unlock(&ksm->wanted_lock);
	if (!changed)
		return;
	for (u32 i = 0; i < domains; i++)
		frames_set_max_sharing(ksm->domains[i].frames, ksm->options.max_page_sharing);
	ksm->advisor.target_scan_time = ksm->options.advisor_target_scan_time;
	ksm->advisor.max_cpu = ksm->options.advisor_max_cpu;
	ksm->advisor.sleep_millisecs = ksm->options.sleep_millisecs;
}

bool ksm_scan(struct ksm *ksm, u64 pages)
{
	u64 began;
	bool full;

	pthread_mutex_lock(&ksm->scan_lock);
	began = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	adopt_options(ksm);
	ksm->steady = ksm->taken = ksm->fresh = 0;
	full = scan_batch(ksm, pages);
	ksm->worth = advisor_worth(ksm->worth, ksm->steady, ksm->taken);
	atomic_fetch_add(&ksm->cpu_ns, clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - began);
	if (full)
		end_scan(ksm);
	pthread_mutex_unlock(&ksm->scan_lock);
	return full;
}

void ksm_forget(struct ksm *ksm, struct space *space)
{
	pthread_mutex_lock(&ksm->scan_lock);
	track_drop(ksm, &ksm->tracks[space->id]);
	/* What is clean is not read: by a new track it has to be. */
	for (u64 i = 0; i < space->region_count; i++) {
		pthread_mutex_lock(&space->regions[i].lock);
		space->regions[i].clean = 0;
		pthread_mutex_unlock(&space->regions[i].lock);
	}
	pthread_mutex_unlock(&ksm->scan_lock);
}

void ksm_set_options(struct ksm *ksm, const struct ksm_options *options)
{
	pthread_mutex_lock(&ksm->wanted_lock);
	/* Written as it was shown, it is not an order to undo what the advisor did. */
	if (options->pages_to_scan != ksm->wanted.pages_to_scan)
		atomic_store(&ksm->pages_to_scan, options->pages_to_scan);
	ksm->wanted = *options;
	ksm->changed = true;
	pthread_mutex_unlock(&ksm->wanted_lock);
	atomic_store(&ksm->run, options->run);
	sem_post(&ksm->wake);
}

void ksm_get_options(struct ksm *ksm, struct ksm_options *options)
{
	pthread_mutex_lock(&ksm->wanted_lock);
	*options = ksm->wanted;
	pthread_mutex_unlock(&ksm->wanted_lock);
}

bool ksm_active(struct ksm *ksm)
{
	return atomic_load(&ksm->run) != KSM_STOP;
}

static struct ksm *ksm_of_sharing(struct sharing *sharing)
{
	return container_of(sharing, struct ksm, sharing);
}

static struct frames *frames_of(struct sharing *sharing, u64 payload)
{
	return ksm_domain(ksm_of_sharing(sharing), payload)->frames;
}

static void sharing_hold(struct sharing *sharing, u64 payload, u32 count)
{
	frames_hold(frames_of(sharing, payload), payload_frame(payload), count);
}

static int sharing_bring(struct sharing *sharing, u64 payload, u32 count, bool wait)
{
	return frames_bring(frames_of(sharing, payload), payload_frame(payload), count, wait);
}

static void sharing_release(struct sharing *sharing, u64 payload, u32 count)
{
	frames_release(frames_of(sharing, payload), payload_frame(payload), count);
}

static void sharing_forget(struct sharing *sharing, u64 payload, u32 count)
{
	frames_put(frames_of(sharing, payload), payload_frame(payload), count);
}

static void sharing_bring_home(struct sharing *sharing)
{
	struct ksm *ksm = ksm_of_sharing(sharing);

	if (!atomic_exchange(&ksm->home_wanted, true))
		sem_post(&ksm->wake);
}

static bool sharing_find(struct sharing *sharing, struct page_store *page)
{
	struct ksm *ksm = ksm_of_sharing(sharing);

	return atomic_load(&ksm->run) == KSM_RUN && !refer(ksm, page, NULL);
}

static const struct sharing_ops sharing_ops = {
	.find = sharing_find,
	.hold = sharing_hold,
	.bring = sharing_bring,
	.release = sharing_release,
	.forget = sharing_forget,
	.bring_home = sharing_bring_home,
};

static struct ksm *ksm_of_reclaimer(struct reclaimer *reclaimer)
{
	return container_of(reclaimer, struct ksm, reclaimer);
}

/* Bytes of the frames of a domain that are in memory. */
static u64 domain_bytes(const struct domain *domain)
{
	struct frames_stats stats;

	frames_stats(domain->frames, &stats);
	return (stats.frames - stats.stored) * PAGE_SIZE;
}

static u64 reclaimer_count(struct reclaimer *reclaimer)
{
	struct ksm *ksm = ksm_of_reclaimer(reclaimer);
	u64 bytes = 0;

	for (u32 i = 0; i < atomic_load(&ksm->domain_count); i++)
		bytes += domain_bytes(&ksm->domains[i]);
	return bytes;
}

/* Domains in turn, each a little. */
static s64 reclaimer_scan(struct reclaimer *reclaimer, u64 bytes)
{
	struct ksm *ksm = ksm_of_reclaimer(reclaimer);
	u32 count = atomic_load(&ksm->domain_count);
	u64 wanted = bytes / PAGE_SIZE, left = 0;
	s64 result = 0;

	for (u32 i = 0; i < count && left < wanted && result >= 0; i++) {
		u32 domain = atomic_fetch_add(&ksm->reclaim_turn, 1) % count;

		result = frames_evict(ksm->domains[domain].frames, wanted - left);
		left += (u64)MAX(result, 0);
	}
	return left ? (s64)(left * PAGE_SIZE) : result;
}

static const struct reclaimer_ops reclaimer_ops = {
	.name = "frames",
	.count = reclaimer_count,
	.scan = reclaimer_scan,
};

int ksm_create(const struct ksm_options *options, struct ksm **out)
{
	struct ksm *ksm = aligned_alloc(_Alignof(struct ksm), sizeof(*ksm));

	if (!ksm) {
		log_error("no memory for the sharing of pages");
		return -ENOMEM;
	}
	memset(ksm, 0, sizeof(*ksm));
	ksm->options = ksm->wanted = *options;
	ksm->memory = options->memory;
	ksm->source.ops = &source_ops;
	ksm->pages_to_scan = options->pages_to_scan;
	ksm->advisor = (struct advisor){
		.target_scan_time = options->advisor_target_scan_time,
		.max_cpu = options->advisor_max_cpu,
		.sleep_millisecs = options->sleep_millisecs,
	};
	atomic_store(&ksm->run, options->run);
	pthread_mutex_init(&ksm->domains_lock, NULL);
	pthread_mutex_init(&ksm->scan_lock, NULL);
	pthread_mutex_init(&ksm->wanted_lock, NULL);
	sem_init(&ksm->wake, 0, 0);
	atomic_fetch_add(&ksm->metadata_bytes, sizeof(*ksm));
	budget_charge(&ksm->memory->budget, sizeof(*ksm));
	ksm->sharing.ops = &sharing_ops;
	ksm->reclaimer.ops = &reclaimer_ops;
	ksm->sharing.frames = &ksm->reclaimer;
	ksm->memory->sources[PAGE_SHARED] = &ksm->source;
	ksm->memory->sharing = &ksm->sharing;
	ksm->worth = ADVISOR_WORTH_MAX / 8; /* it is not known yet */
	begin_scan(ksm);
	*out = ksm;
	return 0;
}

void ksm_destroy(struct ksm *ksm)
{
	struct budget *budget = &ksm->memory->budget;

	ksm_stop(ksm);
	for (u32 i = 0; i < MEMORY_MAX_SPACES; i++)
		track_drop(ksm, &ksm->tracks[i]);
	for (u32 i = 0; i < atomic_load(&ksm->domain_count); i++) {
		budget_give(budget, unstable_bytes(ksm->domains[i].unstable));
		unstable_destroy(ksm->domains[i].unstable);
		frames_destroy(ksm->domains[i].frames);
	}
	budget_give(budget, sizeof(*ksm));
	ksm->memory->sources[PAGE_SHARED] = NULL;
	ksm->memory->sharing = NULL;
	sem_destroy(&ksm->wake);
	pthread_mutex_destroy(&ksm->wanted_lock);
	pthread_mutex_destroy(&ksm->scan_lock);
	pthread_mutex_destroy(&ksm->domains_lock);
	free(ksm);
}

static void add_spaces(struct ksm *ksm, struct ksm_stats *stats)
{
	for (u32 i = 0; i < atomic_load(&ksm->memory->slots_used); i++) {
		struct space *space = memory_get_space(ksm->memory, i);

		if (!space)
			continue;
		stats->vmas += atomic_load(&space->counters.vmas);
		space_put(space);
	}
}

void ksm_stats(struct ksm *ksm, struct ksm_stats *stats)
{
	*stats = (struct ksm_stats){
		.pages_unshared = atomic_load(&ksm->pages_unshared),
		.pages_volatile = atomic_load(&ksm->pages_volatile),
		.pages_scanned = atomic_load(&ksm->pages_scanned),
		.pages_skipped = atomic_load(&ksm->pages_skipped),
		.full_scans = atomic_load(&ksm->full_scans),
		.zero_pages = atomic_load(&ksm->zero_pages),
		.cow_breaks = atomic_load(&ksm->memory->cow_breaks),
		.break_waits = atomic_load(&ksm->memory->break_waits),
		.break_wait_us = atomic_load(&ksm->memory->break_wait_ns) / NSEC_PER_USEC,
		.break_rate = atomic_load(&ksm->memory->break_rate.per_second),
		.break_reserve = atomic_load(&ksm->memory->budget.breaks),
		.sheets = atomic_load(&ksm->sheets),
		.pages_own = atomic_load(&ksm->memory->own_pages),
		.brought_home = atomic_load(&ksm->brought_home),
		.metadata_bytes = atomic_load(&ksm->metadata_bytes),
		.cpu_ns = atomic_load(&ksm->cpu_ns),
	};
	ksm_get_options(ksm, &stats->options);
	stats->options.pages_to_scan = atomic_load(&ksm->pages_to_scan);
	for (u32 i = 0; i < atomic_load(&ksm->domain_count); i++) {
		struct frames_stats frames;

		frames_stats(ksm->domains[i].frames, &frames);
		stats->pages_shared += frames.frames;
		stats->frames_stored += frames.stored;
		stats->frames_left += frames.left;
		stats->frames_came += frames.came;
		stats->pages_sharing += frames.references - frames.frames;
		stats->hash_collisions += frames.collisions;
		stats->metadata_bytes += frames.metadata_bytes;
	}
	add_spaces(ksm, stats);
	/* A written page refers to its frame until it is home, and saves nothing. */
	stats->pages_sharing -= MIN(stats->pages_sharing, atomic_load(&ksm->memory->private_pages));
	if (stats->pages_sharing > atomic_load(&ksm->peak_saved))
		atomic_store(&ksm->peak_saved, stats->pages_sharing);
	stats->peak_saved_pages = atomic_load(&ksm->peak_saved);
	stats->general_profit = (s64)(stats->pages_sharing * PAGE_SIZE) -
				(s64)stats->metadata_bytes - (s64)(stats->vmas * VMA_BYTES);
}

u64 ksm_saved_bytes(struct ksm *ksm, const struct space *space)
{
	u32 domain = ksm_domain_of(ksm, space);
	struct frames_stats stats;

	if (domain == UINT32_MAX)
		return 0;
	frames_stats(ksm->domains[domain].frames, &stats);
	if (!stats.references)
		return 0;
	return page_table_count(&space->table, PAGE_SHARED) * PAGE_SIZE *
	       (stats.references - stats.frames) / stats.references;
}

u64 ksm_node_bytes(struct ksm *ksm, u32 node)
{
	u64 bytes = 0;

	for (u32 i = 0; i < atomic_load(&ksm->domain_count); i++)
		bytes += ksm->domains[i].node == node ? domain_bytes(&ksm->domains[i]) : 0;
	return bytes;
}
