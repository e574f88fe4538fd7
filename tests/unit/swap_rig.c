/* SPDX-License-Identifier: Apache-2.0 */
#include "swap_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem/page_table.h"

static u64 next_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ULL; /* splitmix64, Steele et al. 2014 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void fill_noise(u8 *page, u64 state)
{
	for (u32 i = 0; i < PAGE_SIZE; i += 8) {
		u64 value = next_random(&state);

		memcpy(page + i, &value, sizeof(value));
	}
}

/* Words of a small vocabulary, with a number now and then. */
static void fill_text(u8 *page, u64 state)
{
	static const char *const words[] = {"page ",   "fault ", "the ",     "of ",
					    "memory ", "guest ", "returns ", "a ",
					    "struct ", "and ",	 "lock ",    "\n"};
	u32 at = 0, length;
	char text[32];

	while (at < PAGE_SIZE) {
		u64 value = next_random(&state);

		if (value % 5 == 0)
			snprintf(text, sizeof(text), "%llx ", (unsigned long long)value >> 24);
		else
			snprintf(text, sizeof(text), "%s", words[value % ARRAY_SIZE(words)]);
		length = MIN((u32)strlen(text), (u32)PAGE_SIZE - at);
		memcpy(page + at, text, length);
		at += length;
	}
}

void page_fill(u8 *page, u64 number)
{
	if ((number & 1) == CONTENT_NOISE)
		fill_noise(page, number);
	else
		fill_text(page, number);
}

static struct space *make_space(struct memory *memory, u64 pages)
{
	struct space *space = calloc(1, sizeof(*space));

	cr_assert(space);
	space->memory = memory;
	space->options.uffd = -1;
	space->region_count = (pages + REGION_PAGES - 1) / REGION_PAGES;
	space->regions = calloc(space->region_count, sizeof(*space->regions));
	cr_assert(space->regions);
	for (u64 i = 0; i < space->region_count; i++)
		pthread_mutex_init(&space->regions[i].lock, NULL);
	cr_assert_eq(page_table_create(&space->table, pages), 0);
	memory->slots[0].space = space;
	memory->slots[0].references = SPACE_LIVE | 1;
	return space;
}

void rig_create(struct rig *rig, u64 pages, u64 pool_bytes, u64 file_bytes,
		struct swap_inject *inject)
{
	struct swap_options options = {
		.pool_bytes = pool_bytes,
		.file_bytes = file_bytes,
		.memory = &rig->memory,
		.share_before_swap = true,
		.inject = inject,
	};

	*rig = (struct rig){0};
	mkdir("build", 0777);
	snprintf(rig->path, sizeof(rig->path), "%s.%d", RIG_FILE, getpid());
	options.path = file_bytes ? rig->path : NULL;
	memory_init(&rig->memory, GiB);
	rig->space = make_space(&rig->memory, pages);
	rig->content = calloc(pages, sizeof(*rig->content));
	cr_assert(rig->content);
	cr_assert_eq(swap_create(&options, &rig->swap), 0);
	rig->compressed = swap_compressed(rig->swap);
	rig->disk = swap_disk(rig->swap);
	rig->writeback = swap_writeback(rig->swap);
	rig->memory.sources[PAGE_COMPRESSED] = rig->compressed;
	rig->memory.sources[PAGE_DISK] = rig->disk;
	for (u32 i = 0; i < pages; i++) {
		cr_assert(rig_hold(rig, i));
		rig_release(rig, i, page_word(PAGE_RESIDENT, 0));
	}
}

static void forget_all(struct rig *rig)
{
	for (u32 i = 0; i < rig->space->table.pages; i++) {
		struct page_word word = rig_word(rig, i);
		struct page_source *source = rig->memory.sources[page_word_state(word)];

		cr_assert(!page_word_busy(word));
		if (source)
			source->ops->invalidate(source, page_word_payload(word));
	}
}

void rig_destroy(struct rig *rig)
{
	struct swap_stats stats;

	forget_all(rig);
	swap_stats(rig->swap, &stats);
	cr_expect_eq(stats.pool_pages, 0);
	cr_expect_eq(stats.pool_blob_bytes, 0);
	cr_expect_eq(stats.pool_bytes, 0);
	cr_expect_eq(stats.disk_pages, 0);
	cr_expect_eq(stats.disk_blob_bytes, 0);
	swap_destroy(rig->swap);
	cr_expect_eq(rig->memory.budget.used, 0);
	cr_expect_eq(rig->memory.slots[0].references, SPACE_LIVE | 1);
	page_table_destroy(&rig->space->table);
	free(rig->space->regions);
	free(rig->space);
	rig->memory.slots[0].space = NULL;
	rig->memory.slots[0].references = 0;
	memory_destroy(&rig->memory);
	free(rig->content);
}

bool rig_hold(struct rig *rig, u32 index)
{
	struct region *region = space_region(rig->space, index);
	bool held;

	pthread_mutex_lock(&region->lock);
	held = !page_word_busy(page_table_read(&rig->space->table, index));
	if (held)
		page_hold(&rig->space->table, index);
	pthread_mutex_unlock(&region->lock);
	return held;
}

void rig_release(struct rig *rig, u32 index, struct page_word word)
{
	struct region *region = space_region(rig->space, index);
	struct page_word old;

	pthread_mutex_lock(&region->lock);
	old = page_table_read(&rig->space->table, index);
	if (!page_word_same(old, word))
		page_set(&rig->space->table, index, word);
	page_release(&rig->space->table, index);
	pthread_mutex_unlock(&region->lock);
}

struct page_word rig_word(struct rig *rig, u32 index)
{
	return page_table_read(&rig->space->table, index);
}

int rig_store(struct rig *rig, struct page_source *source, u32 index, struct page_word *word)
{
	u8 page[PAGE_SIZE];
	struct page_store request = {.owner = {0, index}, .plain = page};
	int result;

	page_fill(page, rig->content[index]);
	*word = page_word(PAGE_RESIDENT, 0);
	result = source->ops->store(source, &request);
	if (result)
		return result;
	result = source->ops->flush ? source->ops->flush(source) : 0;
	if (result)
		source->ops->invalidate(source, request.payload);
	else
		*word = page_word(source->ops->state, request.payload);
	return result;
}

struct waited_load {
	struct page_load load;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done;
};

static void load_done(struct page_load *load)
{
	struct waited_load *waited = container_of(load, struct waited_load, load);

	pthread_mutex_lock(&waited->lock);
	waited->done = true;
	pthread_cond_signal(&waited->ended);
	pthread_mutex_unlock(&waited->lock);
}

static int load(struct page_source *source, const u64 *payloads, u32 count, bool patient,
		u8 *buffers, int *results)
{
	struct page_load_slot slots[512];
	struct waited_load waited = {
		.load = {.count = count, .patient = patient, .slots = slots, .done = load_done},
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.ended = PTHREAD_COND_INITIALIZER,
	};
	int result;

	for (u32 i = 0; i < count; i++)
		slots[i] = (struct page_load_slot){payloads[i], buffers + i * PAGE_SIZE, 1};
	result = source->ops->load(source, &waited.load);
	pthread_mutex_lock(&waited.lock);
	while (result == -EINPROGRESS && !waited.done)
		pthread_cond_wait(&waited.ended, &waited.lock);
	pthread_mutex_unlock(&waited.lock);
	for (u32 i = 0; i < count; i++)
		results[i] = slots[i].result;
	return result;
}

int rig_load_many(struct rig *rig, struct page_source *source, const u64 *payloads, u32 count,
		  u8 *buffers, int *results)
{
	(void)rig;
	return load(source, payloads, count, false, buffers, results);
}

int rig_load(struct rig *rig, u32 index, struct page_word word)
{
	struct page_source *source = rig->memory.sources[page_word_state(word)];
	u8 page[PAGE_SIZE], expected[PAGE_SIZE];
	u64 payload = page_word_payload(word);
	int result = 0;

	load(source, &payload, 1, index % 2, page, &result);
	if (result)
		return result;
	page_fill(expected, rig->content[index]);
	cr_assert(!memcmp(page, expected, PAGE_SIZE), "page %u is not what was stored", index);
	return 0;
}

int rig_evict(struct rig *rig, u32 index)
{
	struct page_word word;
	int result = -E2BIG;

	if (!rig_hold(rig, index))
		return -EBUSY;
	word = rig_word(rig, index);
	word.bits &= ~PAGE_BUSY;
	if (page_word_state(word) == PAGE_RESIDENT) {
		if (rig->compressed)
			result = rig_store(rig, rig->compressed, index, &word);
		if (result == -E2BIG && rig->disk)
			result = rig_store(rig, rig->disk, index, &word);
	} else {
		result = -EALREADY;
	}
	rig_release(rig, index, word);
	return result;
}

int rig_fetch(struct rig *rig, u32 index)
{
	struct page_source *source;
	struct page_word word;
	int result;

	if (!rig_hold(rig, index))
		return -EBUSY;
	word = rig_word(rig, index);
	word.bits &= ~PAGE_BUSY;
	source = rig->memory.sources[page_word_state(word)];
	result = source ? rig_load(rig, index, word) : -EALREADY;
	if (!result) {
		source->ops->invalidate(source, page_word_payload(word));
		word = page_word(PAGE_RESIDENT, 0);
	}
	rig_release(rig, index, word);
	return result;
}
