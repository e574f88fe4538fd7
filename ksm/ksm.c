/* SPDX-License-Identifier: Apache-2.0 */
#include "ksm/ksm.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ksm/internal.h"
#include "lib/clock.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/thread.h"
#include "mem/fill.h"
#include "mem/remap.h"

/* Kernel memory that a mapping takes, its page tables included; measured. */
#define VMA_BYTES 560
/* Nobody waits for the scan... */
#define NICE 10
/*
 * ... but where memory is short, less than a quarter is free, and of the pages that had not changed it shares one in
 * sixteen: then it spares guests more than it takes from them. A look takes a microsecond, and a page swapped out and
 * in some sixty.
 */
#define NICE_HURRY  (-10)
#define HURRY_FREE  4
#define HURRY_WORTH (ADVISOR_WORTH_MAX / 16)
/* Written pages wait at most that long to be brought home: more of them come together. */
#define HOME_PERIOD (500 * NSEC_PER_MSEC)

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
		ksm->cursor_region = space->region_count;
	while (ksm->cursor_region < space->region_count && looked < pages && !ksm->partner_count &&
	       !atomic_load(&space->failed) && !atomic_load(&space->remap.gone))
		looked += scan_region(ksm, space, track, ksm->cursor_region++) + 1;
	if (looked < pages && !ksm->partner_count)
		ksm->cursor_region = space->region_count;
	return looked;
}

static bool scan_batch(struct ksm *ksm, u64 pages)
{
	u64 looked = 0;

	while (looked < pages) {
		struct space *space = memory_get_space(ksm->memory, ksm->cursor_space);
		bool there = space, more = false;

		if (there) {
			looked += scan_space(ksm, space, pages - looked);
			more = ksm->cursor_region < space->region_count;
			space_put(space);
		}
		/* Their VMMs are waited for, and one thread hears all VMMs: it must not wait meanwhile for a
		 * reference to a guest that ends. */
		share_partners(ksm);
		if (more)
			continue;
		if (!there)
			track_drop(ksm, &ksm->tracks[ksm->cursor_space]);
		ksm->cursor_region = 0;
		ksm->cursor_space++;
		if (ksm->cursor_space < MEMORY_MAX_SPACES &&
		    (there || ksm->cursor_space < atomic_load(&ksm->memory->slots_used)))
			continue;
		ksm->cursor_space = 0;
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
	ksm->steady = ksm->taken = 0;
	full = scan_batch(ksm, pages);
	ksm->worth = advisor_worth(ksm->worth, ksm->steady, ksm->taken);
	atomic_fetch_add(&ksm->cpu_ns, clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - began);
	if (full)
		end_scan(ksm);
	pthread_mutex_unlock(&ksm->scan_lock);
	return full;
}

/* How many pages of a region should come home. What lies between the shared pages of a sheet stays, as long as there is memory:
 * it is where it was, and would cut the sheet in pieces. */
static u32 wanted_home(const struct ksm *ksm, const struct space *space, struct region *region,
		       bool all)
{
	u32 wanted;

	pthread_mutex_lock(&region->lock);
	if (all)
		wanted = region->foreign;
	else if (region->own)
		wanted = sheets_must_go(ksm, space) ? region->private + region->own : 0U;
	else
		wanted = region->private;
	pthread_mutex_unlock(&region->lock);
	return wanted;
}

static u64 home_space(const struct ksm *ksm, struct space *space, bool all)
{
	u64 pages = 0;
	s64 result = 0;

	for (u64 i = 0; i < space->region_count && result != -ESRCH && result != -ENOTSUP; i++) {
		u32 wanted;

		do {
			wanted = wanted_home(ksm, space, &space->regions[i], all);
			result = wanted ? remap_home(space, i * REGION_PAGES,
						     all || !sheets_may_scatter(ksm, space, wanted))
					: 0;
			pages += (u64)MAX(result, 0);
		} while (result > 0);
	}
	return pages;
}

static u64 home_all(struct ksm *ksm, bool all)
{
	u64 pages = 0, began;

	pthread_mutex_lock(&ksm->scan_lock);
	began = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
	for (u32 i = 0; i < atomic_load(&ksm->memory->slots_used); i++) {
		struct space *space = memory_get_space(ksm->memory, i);

		if (!space)
			continue;
		if (atomic_load(&space->counters.foreign))
			pages += home_space(ksm, space, all);
		space_put(space);
	}
	atomic_fetch_add(&ksm->cpu_ns, clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - began);
	pthread_mutex_unlock(&ksm->scan_lock);
	atomic_fetch_add(&ksm->brought_home, pages);
	return pages;
}

u64 ksm_bring_home(struct ksm *ksm)
{
	return home_all(ksm, false);
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

/* Pages that were evicted by reference come back as copies, as far as there is memory. */
static u64 copy_unmapped(struct space *space)
{
	u64 pages = 0;

	if (!page_table_count(&space->table, PAGE_SHARED))
		return 0;
	for (u64 i = 0; i < space->table.pages; i++) {
		struct page_word word = page_table_read(&space->table, i);

		if (page_word_state(word) != PAGE_SHARED || page_word_foreign(word) ||
		    page_word_busy(word))
			continue;
		fill_window(space, i, 1, FILL_SHARED, FILL_AHEAD, 0);
		pages++;
	}
	return pages;
}

u64 ksm_unmerge(struct ksm *ksm)
{
	u64 pages = home_all(ksm, true);

	for (u32 i = 0; i < atomic_load(&ksm->memory->slots_used); i++) {
		struct space *space = memory_get_space(ksm->memory, i);

		if (!space)
			continue;
		pages += copy_unmapped(space);
		space_put(space);
	}
	return pages;
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

static bool home_is_due(struct ksm *ksm)
{
	const struct budget *budget = &ksm->memory->budget;
	u64 now = clock_now_ns();

	if (!atomic_load(&ksm->memory->private_pages) && !atomic_load(&ksm->memory->own_pages))
		return false;
	if (!atomic_exchange(&ksm->home_wanted, false) && now < ksm->home_due_ns &&
	    budget_free(budget) >= budget->low)
		return false;
	ksm->home_due_ns = now + HOME_PERIOD;
	return true;
}

static void pause_scan(struct ksm *ksm)
{
	struct timespec until;
	u64 ns = ksm->options.sleep_millisecs * NSEC_PER_MSEC;

	if (atomic_load(&ksm->run) != KSM_RUN)
		ns = MAX(ns, 100 * NSEC_PER_MSEC);
	if (atomic_load(&ksm->run) == KSM_STOP && !atomic_load(&ksm->memory->private_pages) &&
	    !atomic_load(&ksm->memory->own_pages)) {
		sem_wait(&ksm->wake);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	ns += (u64)until.tv_nsec;
	until.tv_sec += (time_t)(ns / NSEC_PER_SEC);
	until.tv_nsec = (long)(ns % NSEC_PER_SEC);
	sem_timedwait(&ksm->wake, &until);
}

/* Without the privilege to hurry it stays as it is. */
static void set_pace(struct ksm *ksm, int base)
{
	const struct budget *budget = &ksm->memory->budget;
	bool hurry = ksm->worth >= HURRY_WORTH &&
		     budget_free(budget) < atomic_load(&budget->limit) / HURRY_FREE;

	if (hurry != ksm->hurries)
		setpriority(PRIO_PROCESS, (id_t)gettid(), base + (hurry ? NICE_HURRY : NICE));
	ksm->hurries = hurry;
}

static void *scan_thread(void *argument)
{
	struct ksm *ksm = argument;
	int base = getpriority(PRIO_PROCESS, 0);

	pthread_setname_np(pthread_self(), "ksm");
	setpriority(PRIO_PROCESS, (id_t)gettid(), base + NICE);
	while (!atomic_load(&ksm->stop)) {
		u32 run = atomic_load(&ksm->run);

		set_pace(ksm, base);
		if (run == KSM_RUN)
			ksm_scan(ksm, atomic_load(&ksm->pages_to_scan));
		if (home_is_due(ksm))
			ksm_bring_home(ksm);
		if (run == KSM_UNMERGE)
			ksm_unmerge(ksm);
		pause_scan(ksm);
	}
	return NULL;
}

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
	ksm->worth = ADVISOR_WORTH_MAX;
	begin_scan(ksm);
	*out = ksm;
	return 0;
}

int ksm_start(struct ksm *ksm)
{
	int err = thread_start(&ksm->thread, scan_thread, ksm);

	if (err) {
		log_error("the thread that shares pages cannot start: %s", strerror(-err));
		return err;
	}
	ksm->started = true;
	return 0;
}

void ksm_stop(struct ksm *ksm)
{
	if (!ksm->started)
		return;
	atomic_store(&ksm->stop, true);
	sem_post(&ksm->wake);
	pthread_join(ksm->thread, NULL);
	ksm->started = false;
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
