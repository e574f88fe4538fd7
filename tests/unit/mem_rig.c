/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mem_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "manager/ramfile.h"
#include "mem/fault.h"
#include "mem/uffd.h"

static struct vault *vault_of(struct page_source *source)
{
	return container_of(source, struct vault, source);
}

static int vault_store(struct page_source *source, struct page_store *page)
{
	struct vault *vault = vault_of(source);
	u64 slot;

	if (vault->full)
		return -ENOSPC;
	if (vault->refuse_all || (vault->refuse_odd && page->owner.index & 1))
		return -E2BIG;
	if (vault->storing)
		vault->storing(vault, page->owner.index);
	pthread_mutex_lock(&vault->lock);
	if (vault->stored + 1 >= vault->capacity) {
		pthread_mutex_unlock(&vault->lock);
		return -ENOSPC;
	}
	do
		slot = 1 + vault->next++ % (vault->capacity - 1);
	while (vault->pages[slot]);
	vault->pages[slot] = malloc(PAGE_SIZE);
	vault->stored++;
	pthread_mutex_unlock(&vault->lock);
	memcpy(vault->pages[slot], page->plain, PAGE_SIZE);
	page->payload = slot;
	return 0;
}

static void load_now(struct vault *vault, struct page_load *load)
{
	for (u32 i = 0; i < load->count; i++) {
		struct page_load_slot *slot = &load->slots[i];

		slot->result = vault->broken ? -EIO : 0;
		if (!slot->result)
			memcpy(slot->buffer, vault->pages[slot->payload], PAGE_SIZE);
	}
}

static int vault_load(struct page_source *source, struct page_load *load)
{
	struct vault *vault = vault_of(source);

	if (!vault->asynchronous) {
		load_now(vault, load);
		return 0;
	}
	pthread_mutex_lock(&vault->lock);
	cr_assert_lt(vault->queue_length, ARRAY_SIZE(vault->queue));
	vault->queue[vault->queue_length++] = load;
	pthread_cond_signal(&vault->queued);
	pthread_mutex_unlock(&vault->lock);
	return -EINPROGRESS;
}

static int vault_flush(struct page_source *source)
{
	return vault_of(source)->flush_fails ? -EIO : 0;
}

static void vault_invalidate(struct page_source *source, u64 payload)
{
	struct vault *vault = vault_of(source);

	pthread_mutex_lock(&vault->lock);
	cr_assert(vault->pages[payload], "payload %lu is not stored", payload);
	free(vault->pages[payload]);
	vault->pages[payload] = NULL;
	vault->stored--;
	pthread_mutex_unlock(&vault->lock);
}

static void *vault_run(void *argument)
{
	struct vault *vault = argument;

	pthread_mutex_lock(&vault->lock);
	while (!vault->stop || vault->queue_length) {
		struct page_load *load;

		if (!vault->queue_length || (vault->paused && !vault->stop)) {
			pthread_cond_wait(&vault->queued, &vault->lock);
			continue;
		}
		load = vault->queue[--vault->queue_length];
		pthread_mutex_unlock(&vault->lock);
		load_now(vault, load);
		load->done(load);
		pthread_mutex_lock(&vault->lock);
	}
	pthread_mutex_unlock(&vault->lock);
	return NULL;
}

void vault_resume(struct vault *vault)
{
	pthread_mutex_lock(&vault->lock);
	vault->paused = false;
	pthread_cond_signal(&vault->queued);
	pthread_mutex_unlock(&vault->lock);
}

static void vault_start(struct vault *vault, enum page_state state, bool asynchronous, u64 capacity)
{
	vault->ops = (struct page_source_ops){
		.name = asynchronous ? "slow vault" : "vault",
		.state = state,
		.store = vault_store,
		.flush = asynchronous ? vault_flush : NULL,
		.load = vault_load,
		.invalidate = vault_invalidate,
	};
	vault->source.ops = &vault->ops;
	vault->asynchronous = asynchronous;
	vault->capacity = capacity;
	vault->pages = calloc(capacity, sizeof(*vault->pages));
	pthread_mutex_init(&vault->lock, NULL);
	pthread_cond_init(&vault->queued, NULL);
	if (asynchronous)
		pthread_create(&vault->thread, NULL, vault_run, vault);
}

static void vault_stop(struct vault *vault)
{
	if (vault->asynchronous) {
		pthread_mutex_lock(&vault->lock);
		vault->stop = true;
		pthread_cond_signal(&vault->queued);
		pthread_mutex_unlock(&vault->lock);
		pthread_join(vault->thread, NULL);
	}
	cr_assert_eq(vault->stored, 0, "%lu pages were never invalidated", vault->stored);
	free(vault->pages);
}

static struct mem_guest *guest_of(struct space_client *client)
{
	return container_of(client, struct mem_guest, client);
}

/* What was written in the place of a frame is nowhere else. */
static void zap_range(struct mem_guest *guest, const struct space_range *range)
{
	for (u64 at = range->file_offset; at < range->file_offset + range->length;
	     at += PAGE_SIZE) {
		struct page_word word = page_table_read(&guest->space->table, at / PAGE_SIZE);

		if (!guest->options.frames || !page_word_foreign(word))
			madvise(guest->ram + at, PAGE_SIZE, MADV_DONTNEED);
	}
}

/* Not by the C library, in which the thread sanitizer would take it for a write. */
static void map_range(struct mem_guest *guest, const struct space_remap *range)
{
	bool home = range->frame_offset == SPACE_REMAP_HOME;
	bool stage = range->file_offset == SPACE_REMAP_STAGE;
	int fd = home ? guest->space->options.ram : guest->options.frames;
	u64 offset = home ? range->file_offset : range->frame_offset;
	u8 *from = guest->ram + guest->bytes;
	u8 *at = stage ? from : guest->ram + range->file_offset;
	long mapped;

	if (range->frame_offset == SPACE_REMAP_MOVE)
		mapped = syscall(SYS_mremap, from, range->length, range->length,
				 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, at);
	else
		mapped = syscall(SYS_mmap, at, range->length, PROT_READ | PROT_WRITE,
				 (home ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, fd, offset);
	cr_assert_eq((u8 *)mapped, at);
}

static int guest_remap(struct space_client *client, const struct space_remap *ranges, u32 count)
{
	struct mem_guest *guest = guest_of(client);

	for (u32 i = 0; i < count; i++) {
		bool home = ranges[i].frame_offset == SPACE_REMAP_HOME;
		bool stage = ranges[i].file_offset == SPACE_REMAP_STAGE;

		if (guest->refused && (ranges[i].frame_offset == guest->refused ||
				       ranges[i].file_offset == guest->refused))
			return -ENOMEM;
		map_range(guest, &ranges[i]);
		if (guest->mapped && !home && !stage)
			guest->mapped(guest, &ranges[i]);
		if (guest->staged && stage)
			guest->staged(guest);
	}
	space_remapped(guest->space);
	return 0;
}

static int guest_zap(struct space_client *client, const struct space_range *ranges, u32 count)
{
	struct mem_guest *guest = guest_of(client);

	guest->zaps++;
	for (u32 i = 0; i < count; i++)
		zap_range(guest, &ranges[i]);
	if (!guest->options.mute)
		space_zapped(guest->space);
	return 0;
}

static void guest_failed(struct space_client *client, const char *why)
{
	struct mem_guest *guest = guest_of(client);

	snprintf(guest->why, sizeof(guest->why), "%s", why);
	guest->failed = true;
}

static const struct space_client_ops guest_ops = {
	.zap = guest_zap, .remap = guest_remap, .failed = guest_failed};

static void *handle(void *argument)
{
	struct mem_guest *guest = argument;
	struct pollfd ready = {.fd = guest->space->options.uffd, .events = POLLIN};

	while (!guest->stop) {
		while (fault_serve(guest->space) > 0 || fault_read_ahead(guest->space))
			;
		guest->rounds++;
		poll(&ready, 1, 5);
	}
	return NULL;
}

static u8 *map_aligned(int fd, u64 bytes)
{
	/* Room for a stage behind it. */
	u8 *area =
		mmap(NULL, bytes + 2 * REGION_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *ram = (u8 *)ALIGN_UP((uintptr_t)area, REGION_SIZE);

	cr_assert_neq(area, MAP_FAILED);
	cr_assert_eq(mmap(ram, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), ram);
	return ram;
}

int mem_uffd_open(bool removes)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MISSING_SHMEM |
			    UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (removes)
		api.features |= UFFD_FEATURE_EVENT_REMOVE;
	if (uffd < 0)
		return -errno;
	if (ioctl(uffd, UFFDIO_API, &api)) {
		int err = -errno;

		close(uffd);
		return err;
	}
	return uffd;
}

void mem_guest_start(struct mem_guest *guest, struct memory *memory,
		     const struct mem_guest_options *options)
{
	bool huge;
	struct space_options space = {
		.name = "test",
		.client = &guest->client,
		.bytes = options->bytes,
		.pidfd = -1,
		.removes = options->removes,
		.pid = options->frames ? getpid() : 0,
		.remaps = options->frames,
		.salt = options->salt,
		.mappings = 1,
	};

	*guest = (struct mem_guest){.options = *options, .bytes = options->bytes};
	guest->uffd = mem_uffd_open(options->removes);
	if (guest->uffd < 0)
		cr_skip_test("no userfaultfd for shared memory: %s", strerror(-guest->uffd));
	guest->client.ops = &guest_ops;
	space.ram = ramfile_create(options->bytes, true, &huge);
	cr_assert_geq(space.ram, 0);
	guest->ram = map_aligned(space.ram, options->bytes);
	cr_assert_eq(faultfd_register(guest->uffd, (u64)(uintptr_t)guest->ram, options->bytes,
				      options->removes),
		     0);
	space.stage = options->frames ? (u64)(uintptr_t)guest->ram + options->bytes : 0;
	space.uffd = dup(guest->uffd);
	space.pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (options->pidfd)
		space.pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	space.mapping[0] = (struct space_mapping){(u64)(uintptr_t)guest->ram, 0, options->bytes};
	cr_assert_eq(space_begin(memory, &space, &guest->space), 0);
	if (!options->alone)
		cr_assert_eq(pthread_create(&guest->handler, NULL, handle, guest), 0);
}

void mem_guest_end(struct mem_guest *guest)
{
	guest->stop = true;
	if (!guest->options.alone)
		pthread_join(guest->handler, NULL);
	space_end(guest->space);
	guest->space = NULL;
	close(guest->uffd);
}

void mem_guest_stop(struct mem_guest *guest)
{
	if (guest->space)
		mem_guest_end(guest);
	munmap(guest->ram, guest->bytes + REGION_SIZE);
}

void mem_rig_start_with(struct mem_rig *rig, const struct mem_guest_options *options, u64 budget,
			bool with_disk)
{
	u64 pages = options->bytes / PAGE_SIZE;

	memset(rig, 0, sizeof(*rig));
	memory_init(&rig->memory, budget);
	rig->memory.huge_pages = !options->small;
	vault_start(&rig->pool, PAGE_COMPRESSED, false, pages + 2);
	rig->memory.sources[PAGE_COMPRESSED] = rig->memory.stores[0] = &rig->pool.source;
	if (with_disk) {
		vault_start(&rig->disk, PAGE_DISK, true, pages + 2);
		rig->pool.refuse_odd = true;
		rig->memory.sources[PAGE_DISK] = rig->memory.stores[1] = &rig->disk.source;
	}
	mem_guest_start(&rig->guest, &rig->memory, options);
}

void mem_rig_start(struct mem_rig *rig, u64 bytes, u64 budget, bool with_disk)
{
	struct mem_guest_options options = {.bytes = bytes};

	mem_rig_start_with(rig, &options, budget, with_disk);
}

void mem_rig_stop(struct mem_rig *rig)
{
	mem_guest_stop(&rig->guest);
	vault_stop(&rig->pool);
	if (rig->memory.sources[PAGE_DISK])
		vault_stop(&rig->disk);
	cr_assert_eq(rig->memory.budget.used, 0, "%lu bytes of the budget were never given back",
		     rig->memory.budget.used);
	memory_destroy(&rig->memory);
}

enum page_state mem_guest_state(const struct mem_guest *guest, u64 index)
{
	return page_word_state(page_table_read(&guest->space->table, index));
}

static u64 mix(u64 z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL; /* splitmix64, Steele et al. 2014 */
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static u64 word_of(u64 index, u32 version, u32 place)
{
	if (!version || index % 7 == 5)
		return 0;
	if (index % 7 == 3)
		return (u64)version << 32 | version;
	if (index % 7 == 1)
		return mix(index << 40 ^ (u64)version << 10 ^ place);
	return (index * 0x9e3779b97f4a7c15ULL) ^ ((u64)version << 20) ^ place;
}

void mem_guest_write(struct mem_guest *guest, u64 index, u32 version)
{
	volatile u64 *page = (volatile u64 *)(guest->ram + index * PAGE_SIZE);

	for (u32 i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = word_of(index, version, i);
}

bool mem_guest_check(const struct mem_guest *guest, u64 index, u32 version)
{
	const volatile u64 *page = (const volatile u64 *)(guest->ram + index * PAGE_SIZE);

	for (u32 i = 0; i < PAGE_SIZE / 8; i++) {
		if (page[i] != word_of(index, version, i))
			return false;
	}
	return true;
}

void mem_guest_write_all(struct mem_guest *guest, u32 version)
{
	for (u64 i = 0; i < guest->bytes / PAGE_SIZE; i++)
		mem_guest_write(guest, i, version);
}

u64 mem_guest_check_all(const struct mem_guest *guest, u32 version)
{
	u64 wrong = 0;

	for (u64 i = 0; i < guest->bytes / PAGE_SIZE; i++)
		wrong += !mem_guest_check(guest, i, version);
	return wrong;
}

void mem_guest_evict_all(struct mem_guest *guest)
{
	for (u32 tries = 0; tries < 100; tries++) {
		mem_guest_settle(guest);
		for (u64 i = 0; i < guest->space->region_count; i++)
			evict_pages(guest->space, i * REGION_PAGES, REGION_PAGES, UINT32_MAX);
		if (!page_table_count(&guest->space->table, PAGE_RESIDENT))
			return;
	}
	cr_assert(false, "%lu pages cannot be evicted",
		  page_table_count(&guest->space->table, PAGE_RESIDENT));
}

static bool any_busy(const struct mem_guest *guest)
{
	for (u64 i = 0; i < guest->space->table.pages; i++) {
		if (page_word_busy(page_table_read(&guest->space->table, i)))
			return true;
	}
	return false;
}

void mem_guest_settle(struct mem_guest *guest)
{
	u64 rounds = guest->rounds;

	for (u32 tries = 0; tries < 20000; tries++) {
		if (any_busy(guest))
			rounds = guest->rounds;
		else if (guest->rounds >= rounds + 2)
			return;
		usleep(1000);
	}
}

u64 mem_guest_file_pages(const struct mem_guest *guest)
{
	struct stat status;

	fstat(guest->space->options.ram, &status);
	return (u64)status.st_blocks * 512 / PAGE_SIZE;
}

static void check_region(const struct mem_guest *guest, u64 number)
{
	struct region *region = &guest->space->regions[number];
	u64 resident = 0;

	pthread_mutex_lock(&region->lock);
	for (u64 i = 0; i < REGION_PAGES; i++)
		resident += mem_guest_state(guest, number * REGION_PAGES + i) == PAGE_RESIDENT;
	cr_assert_eq(resident, region->resident);
	cr_assert_eq(region->held, 0);
	cr_assert(region->mapping != REGION_WHOLE || resident == REGION_PAGES);
	pthread_mutex_unlock(&region->lock);
}

u64 mem_guest_check_counters(struct mem_guest *guest)
{
	const struct page_table *table = &guest->space->table;
	u64 walked[PAGE_STATES] = {0};

	mem_guest_settle(guest);
	for (u64 i = 0; i < table->pages; i++) {
		struct page_word word = page_table_read(table, i);

		cr_assert(!page_word_busy(word), "page %lu is busy for ever", i);
		walked[page_word_state(word)]++;
	}
	for (u32 i = 0; i < PAGE_STATES; i++)
		cr_assert_eq(walked[i], page_table_count(table, i),
			     "state %u: %lu walked, %lu counted", i, walked[i],
			     page_table_count(table, i));
	for (u64 i = 0; i < guest->space->region_count; i++)
		check_region(guest, i);
	return walked[PAGE_RESIDENT];
}

void mem_rig_check_counters(struct mem_rig *rig)
{
	u64 resident = mem_guest_check_counters(&rig->guest);

	cr_assert_eq(rig->memory.budget.used - rig->guest.space->metadata_bytes,
		     resident * PAGE_SIZE);
}

u64 mem_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}
