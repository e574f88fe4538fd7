/* SPDX-License-Identifier: Apache-2.0 */
#include "attach/faultfd.h"
#include "bench/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "manager/handler.h"
#include "manager/ramfile.h"
#include "ksm/ksm.h"
#include "mem/clock.h"
#include "mem/evict.h"
#include "mem/reclaim.h"
#include "swap/swap.h"

#define POLL_FOR_EVER 10000000U /* us */
#define FILE_BYTES    (1 * GiB)
#define TICK_MS	      1000

const char *const rig_mode_names[RIG_MODES] = {
	[RIG_ASLEEP] = "asleep",
	[RIG_POLLING] = "polling",
	[RIG_SAME_CPU] = "same-cpu",
};

void rig_set_mode(struct rig_options *options, enum rig_mode mode)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (u32 i = 0; i < (u32)sysconf(_SC_NPROCESSORS_ONLN); i++)
		if (!i || mode != RIG_SAME_CPU)
			CPU_SET(i, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	options->poll_us = mode == RIG_POLLING ? POLL_FOR_EVER : 0;
}

static int rig_zap(struct space_client *client, const struct space_range *ranges, u32 count)
{
	struct rig *rig = container_of(client, struct rig, client);

	for (u32 i = 0; i < count; i++)
		ram_zap(&rig->ram, ranges[i].file_offset, ranges[i].length);
	space_zapped(rig->space);
	return 0;
}

static int rig_remap(struct space_client *client, const struct space_remap *ranges, u32 count)
{
	struct rig *rig = container_of(client, struct rig, client);

	for (u32 i = 0; i < count; i++) {
		int err = ram_remap(&rig->ram, ranges[i].file_offset, ranges[i].length,
				    ranges[i].frame_offset);

		if (err)
			return err;
	}
	space_remapped(rig->space);
	return 0;
}

/* A page is lost: nothing measured from here on would be true. */
static void rig_failed(struct space_client *client, const char *why)
{
	(void)client;
	(void)why;
	_exit(EIO);
}

static const struct space_client_ops client_ops = {
	.zap = rig_zap, .remap = rig_remap, .failed = rig_failed};

static int open_swap(struct rig *rig, const struct rig_options *options)
{
	struct memory *memory = &rig->memory;
	struct swap_options swap = {
		.pool_bytes = options->pool ? options->pool : options->bytes,
		.share_before_swap = options->share,
		.path = options->disk,
		.file_bytes = options->disk_bytes ? options->disk_bytes : FILE_BYTES,
		.memory = memory,
	};
	u32 stores = 0;
	int err = swap_create(&swap, &rig->swap);

	if (err)
		return err;
	memory->sources[PAGE_COMPRESSED] = swap_compressed(rig->swap);
	if (!options->straight)
		memory->stores[stores++] = memory->sources[PAGE_COMPRESSED];
	if (options->disk) {
		memory->sources[PAGE_DISK] = swap_disk(rig->swap);
		memory->stores[stores++] = memory->sources[PAGE_DISK];
	}
	return 0;
}

static int start_reclaim(struct rig *rig)
{
	struct reclaimer *reclaimers[RECLAIMERS_MAX + 1] = {NULL};

	rig->clock = clock_create(&rig->memory);
	if (!rig->clock)
		return -ENOMEM;
	reclaimers[0] = clock_reclaimer(rig->clock);
	reclaimers[1] = swap_writeback(rig->swap);
	return reclaim_create(&rig->memory, reclaimers, TICK_MS, &rig->reclaim);
}

static int map_ram(struct rig *rig, const struct rig_options *options, int *file)
{
	bool huge;
	int err;

	*file = ramfile_create(options->bytes, options->huge_pages, &huge);
	if (*file < 0)
		return *file;
	err = ram_map_file(&rig->ram, *file, options->bytes);
	if (err)
		return err;
	rig->uffd = faultfd_open(true);
	return rig->uffd < 0 ? rig->uffd
			     : faultfd_register(rig->uffd, (u64)(uintptr_t)rig->ram.base,
						rig->ram.bytes, false);
}

static int open_ksm(struct rig *rig, int file)
{
	struct ksm_options options = {
		.memory = &rig->memory,
		.run = KSM_RUN,
		.smart_scan = true,
		.use_zero_pages = true,
		.max_page_sharing = 256,
		.vma_budget = 60000,
	};
	int result = ksm_create(&options, &rig->ksm);
	u64 bytes;

	if (!result)
		result = ksm_join(rig->ksm, 0, 0, rig->pages, &bytes);
	return result < 0 ? result : ram_share(&rig->ram, file, result, bytes);
}

static int begin_space(struct rig *rig, int file)
{
	struct space_options options = {
		.name = "bench",
		.client = &rig->client,
		.ram = file,
		.uffd = dup(rig->uffd),
		.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
		.pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0),
		.pid = getpid(),
		.remaps = rig->ksm,
		.stage = (u64)(uintptr_t)rig->ram.stage,
		.bytes = rig->ram.bytes,
		.mappings = 1,
		.mapping = {{(u64)(uintptr_t)rig->ram.base, 0, rig->ram.bytes}},
	};

	rig->client.ops = &client_ops;
	return space_begin(&rig->memory, &options, &rig->space);
}

int rig_start(struct bench *bench, const struct rig_options *options, struct rig *rig)
{
	int file, err;

	memset(rig, 0, sizeof(*rig));
	rig->pages = options->bytes / PAGE_SIZE;
	memory_init(&rig->memory, options->budget ? options->budget : 4 * options->bytes);
	rig->memory.huge_pages = options->huge_pages;
	err = open_swap(rig, options);
	if (err)
		return bench_fail(bench, err, "no pool or swap file: %s", strerror(-err));
	err = map_ram(rig, options, &file);
	if (err)
		return bench_fail(bench, err, "no guest memory: %s", strerror(-err));
	if (options->shares)
		err = open_ksm(rig, file);
	if (err)
		return bench_fail(bench, err, "nothing can be shared: %s", strerror(-err));
	err = begin_space(rig, file);
	if (!err && options->reclaim)
		err = start_reclaim(rig);
	if (!err)
		err = handler_start(rig->space, options->poll_us, &rig->handler);
	return err ? bench_fail(bench, err, "no space for the guest: %s", strerror(-err)) : 0;
}

void rig_stop(struct rig *rig)
{
	handler_stop(rig->handler);
	if (rig->reclaim)
		reclaim_destroy(rig->reclaim);
	if (rig->clock)
		clock_destroy(rig->clock);
	space_end(rig->space);
	if (rig->ksm)
		ksm_destroy(rig->ksm);
	close(rig->uffd);
	ram_unmap(&rig->ram);
	swap_destroy(rig->swap);
	memory_destroy(&rig->memory);
}

u64 rig_evict(struct rig *rig, u64 first, u64 end, u32 groups)
{
	u64 pages = 0;

	for (u64 i = first; i < end; i++) {
		s64 done = evict_pages(rig->space, i * REGION_PAGES, REGION_PAGES, groups);

		if (done > 0)
			pages += (u64)done;
	}
	return pages;
}
