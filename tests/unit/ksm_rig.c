/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ksm_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ksm/internal.h"
#include "mem/remap.h"
#include "swap/swap.h"

static struct ksm_options scanner_options(struct ksm_rig *rig,
					  const struct ksm_rig_options *options)
{
	return (struct ksm_options){
		.memory = &rig->memory,
		.run = KSM_RUN,
		.pages_to_scan = 4096,
		.sleep_millisecs = 1,
		.smart_scan = true,
		.use_zero_pages = true,
		.max_page_sharing = options->max_page_sharing ? options->max_page_sharing : 256,
		.vma_budget = options->vma_budget ? options->vma_budget : 60000,
	};
}

static void start_swap(struct ksm_rig *rig)
{
	struct memory *memory = &rig->memory;
	char path[64];
	struct swap_options options = {
		.pool_bytes = 32 * MiB,
		.path = path,
		.file_bytes = 64 * MiB,
		.share_before_swap = true,
		.memory = memory,
	};

	mkdir("build", 0777);
	snprintf(path, sizeof(path), "build/ksm-test.%d", getpid());
	cr_assert_eq(swap_create(&options, &rig->swap), 0);
	memory->sources[PAGE_COMPRESSED] = memory->stores[0] = swap_compressed(rig->swap);
	memory->sources[PAGE_DISK] = memory->stores[1] = swap_disk(rig->swap);
}

void ksm_rig_start(struct ksm_rig *rig, const struct ksm_rig_options *options)
{
	struct ksm_options scanner = scanner_options(rig, options);

	memset(rig, 0, sizeof(*rig));
	memory_init(&rig->memory, options->budget ? options->budget : 1 * GiB);
	rig->memory.huge_pages = !options->small;
	if (options->swap)
		start_swap(rig);
	cr_assert_eq(ksm_create(&scanner, &rig->ksm), 0);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++) {
		struct mem_guest_options guest = {
			.bytes = options->bytes,
			.salt = options->alone ? i + 1 : 0,
		};
		u64 bytes;

		guest.frames = ksm_join(rig->ksm, guest.salt, 0,
					KSM_RIG_GUESTS * options->bytes / PAGE_SIZE, &bytes);
		cr_assert_gt(guest.frames, 0);
		mem_guest_start(&rig->guests[i], &rig->memory, &guest);
	}
	if (options->thread)
		cr_assert_eq(ksm_start(rig->ksm), 0);
}

static void stop_swap(struct ksm_rig *rig)
{
	struct swap_stats stats;

	swap_stats(rig->swap, &stats);
	cr_expect_eq(stats.pool_pages + stats.disk_pages, 0, "blobs that nobody has");
	swap_destroy(rig->swap);
}

u64 ksm_rig_evict_frames(struct ksm_rig *rig)
{
	struct reclaimer *frames = rig->memory.sharing->frames;
	s64 left = frames->ops->scan(frames, GiB);

	cr_assert_geq(left, 0);
	return (u64)left / PAGE_SIZE;
}

void ksm_rig_stop(struct ksm_rig *rig)
{
	ksm_stop(rig->ksm);
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		mem_guest_stop(&rig->guests[i]);
	ksm_destroy(rig->ksm);
	if (rig->swap)
		stop_swap(rig);
	cr_assert_eq(rig->memory.budget.used, 0, "%lu bytes of the budget were never given back",
		     rig->memory.budget.used);
	memory_destroy(&rig->memory);
}

static u64 word_of(u64 index, u64 content, u64 place)
{
	return (index + 1) * 0x9e3779b97f4a7c15ULL + content * 0xbf58476d1ce4e5b9ULL + place;
}

void ksm_rig_write(struct mem_guest *guest, u64 index, u64 content)
{
	volatile u64 *page = (volatile u64 *)(guest->ram + index * PAGE_SIZE);

	for (u64 i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = word_of(index, content, i);
}

bool ksm_rig_check(const struct mem_guest *guest, u64 index, u64 content)
{
	const volatile u64 *page = (const volatile u64 *)(guest->ram + index * PAGE_SIZE);

	for (u64 i = 0; i < PAGE_SIZE / 8; i++) {
		if (page[i] != word_of(index, content, i))
			return false;
	}
	return true;
}

void ksm_rig_fill(struct mem_guest *guest, u64 content)
{
	for (u64 i = 0; i < guest->bytes / PAGE_SIZE; i++)
		ksm_rig_write(guest, i, content);
}

u64 ksm_rig_check_all(const struct mem_guest *guest, u64 content)
{
	u64 wrong = 0;

	for (u64 i = 0; i < guest->bytes / PAGE_SIZE; i++)
		wrong += !ksm_rig_check(guest, i, content);
	return wrong;
}

void ksm_rig_scan(struct ksm_rig *rig)
{
	for (u32 i = 0; i < 3; i++) {
		while (!ksm_scan(rig->ksm, 1000))
			;
	}
}

static void *hammer_run(void *argument)
{
	struct ksm_hammer *hammer = argument;

	while (!hammer->stop) {
		hammer->stale += hammer->page[5] != hammer->last;
		hammer->page[5] = ++hammer->last;
		hammer->begun = true;
	}
	return NULL;
}

void ksm_hammer_start(struct ksm_hammer *hammer, struct mem_guest *guest, u64 index)
{
	*hammer = (struct ksm_hammer){.page = (volatile u64 *)(guest->ram + index * PAGE_SIZE)};
	hammer->last = hammer->page[5];
	cr_assert_eq(pthread_create(&hammer->thread, NULL, hammer_run, hammer), 0);
	while (!hammer->begun)
		sched_yield();
}

u64 ksm_hammer_stop(struct ksm_hammer *hammer)
{
	hammer->stop = true;
	pthread_join(hammer->thread, NULL);
	return hammer->stale;
}

struct ksm_stats ksm_rig_stats(struct ksm_rig *rig)
{
	struct ksm_stats stats;

	ksm_stats(rig->ksm, &stats);
	return stats;
}

/* References to each frame, by a walk. */
static u32 walk[KSM_RIG_GUESTS][KSM_RIG_FRAMES];

/* References of one guest, and its pages away from home, in counters and by a walk. */
static u64 audit_guest(struct mem_guest *guest)
{
	struct space *space = guest->space;
	u64 references = 0, foreign = 0, private = 0, own = 0;

	if (!space)
		return 0;
	mem_guest_check_counters(guest);
	for (u64 i = 0; i < space->table.pages; i++) {
		struct page_word word = page_table_read(&space->table, i);
		bool shares = page_word_shares(word);

		references += shares;
		if (shares)
			walk[payload_domain(page_word_payload(word))]
			    [payload_frame(page_word_payload(word))]++;
		foreign += page_word_foreign(word);
		private += shares && page_word_state(word) == PAGE_RESIDENT;
		own += page_word_own(word);
	}
	cr_expect_eq(atomic_load(&space->counters.foreign), foreign);
	cr_expect_eq(atomic_load(&space->counters.private), private);
	cr_expect_eq(atomic_load(&space->counters.own), own);
	return references;
}

static u32 count_wrong_frames(struct ksm_rig *rig)
{
	u64 frames = rig->guests[0].bytes / PAGE_SIZE * KSM_RIG_GUESTS;
	u32 wrong = 0;

	for (u32 i = 0; i < rig->ksm->domain_count; i++) {
		for (u32 j = 0; j < frames; j++)
			wrong += frames_references(rig->ksm->domains[i].frames, j) != walk[i][j];
	}
	return wrong;
}

void ksm_rig_audit(struct ksm_rig *rig)
{
	struct source_stats stats;
	u64 references = 0;

	memset(walk, 0, sizeof(walk));
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		references += audit_guest(&rig->guests[i]);
	cr_expect_eq(count_wrong_frames(rig), 0, "frames whose references are not those of a walk");
	rig->ksm->source.ops->stats(&rig->ksm->source, &stats);
	cr_expect_eq(stats.pages, references, "%lu references counted, %lu found", stats.pages,
		     references);
}
