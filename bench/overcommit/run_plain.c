/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cell on plain memory: a process for each guest, in a memory cgroup, and nobody who manages them
 * but the kernel.
 *
 * Both sides live on the same memory. zram's is in no cgroup, so the limit follows it: what zram takes
 * is taken off. What the kernel keeps for the guests, page tables above all, comes on top, as it does
 * for Ballast, whose budget has pages, pool and metadata and nothing of the kernel's.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/overcommit/cell.h"
#include "bench/overcommit/rival.h"
#include "bench/overcommit/textfile.h"
#include "bench/overcommit/usage.h"
#include "bench/overcommit/observer.h"
#include "hv/plain.h"
#include "lib/log.h"
#include "lib/process.h"
#include "manager/cgroup.h"
#include "manager/config.h"
#include "manager/data.h"

#define PROCESS_BYTES	MiB /* a guest's process besides its memory */
#define LIMIT_STEP	MiB /* smaller changes of the limit are not worth a system call */
#define UNLIMITED_SLACK (1024 * MiB)

/* In memory shared with the guests' processes. */
struct shared {
	struct plain_orders orders;
	struct attach_stats stats[OBSERVER_GUESTS];
};

struct plain_run {
	struct cell *cell;
	const struct cell_options *options;
	const struct host_config *config;
	bool rival; /* limited, swapped and merged by the kernel */
	u64 limit;  /* in force */
	char swap[PATH_MAX];
	struct rival_usage before;
	struct cgroup *cgroup;
	struct shared *shared;
	pid_t pids[OBSERVER_GUESTS];
	u32 running;
};

static struct observer observer;

/* Writes a file of the cgroup's: by version 1's name, or where that is not there by version 2's. */
static int cgroup_write(const struct cgroup *cgroup, const char *first, const char *first_text,
			const char *second, const char *second_text)
{
	char path[PATH_MAX + 64];
	int err;

	snprintf(path, sizeof(path), "%s/%s", cgroup_path(cgroup), first);
	err = textfile_write(path, first_text);
	if (err != -ENOENT)
		return err;
	snprintf(path, sizeof(path), "%s/%s", cgroup_path(cgroup), second);
	return textfile_write(path, second_text);
}

/* Not cgroup_set_limit(): that forbids the kernel to swap, and here it shall. */
static int set_limit(struct plain_run *run, u64 bytes)
{
	char text[32];
	int err;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	err = cgroup_write(run->cgroup, "memory.limit_in_bytes", text, "memory.max", text);
	if (!err)
		run->limit = bytes;
	return err;
}

/* The limit the kernel should have, with what it and zram take now. */
static u64 fair_limit(const struct plain_run *run, u64 kernel, u64 zram)
{
	u64 limit = run->config->memory_bytes + kernel + observer.count * PROCESS_BYTES;

	return limit - MIN(zram, run->config->memory_bytes / 2);
}

static int enter_cgroup(struct plain_run *run)
{
	u64 limit = run->rival ? fair_limit(run, 0, 0)
			       : run->config->memory_bytes + observer.count * UNLIMITED_SLACK;
	const char *why = "";
	int err = cgroup_create(run->config->name, &run->cgroup, &why);

	if (err)
		return cell_end(run->cell, CELL_FAILED, "no memory cgroup: %s", why), err;
	/* What swaps to memory costs as little as dropping file pages does. */
	err = cgroup_write(run->cgroup, "memory.swappiness", "100", "memory.swap.max", "max");
	if (!err)
		err = set_limit(run, limit);
	if (!err)
		err = cgroup_join(run->cgroup, 0);
	if (err)
		cell_end(run->cell, CELL_FAILED, "cgroup: %s", strerror(-err));
	return err;
}

static _Noreturn void be_guest(const struct plain_run *run, u32 index, pid_t parent, int data,
			       u64 data_bytes)
{
	const struct guest_config *config = &run->config->guests[index];
	struct attach_guest guest = {.ram_bytes = config->memory_bytes,
				     .data_bytes = data_bytes,
				     .seed = config->seed,
				     .vcpus = config->vcpus,
				     .accel = run->config->accel};
	/* On huge pages the kernel kills guests that small ones let live: a limit of some hundred MiB
	 * has few of them, all used of late, and reclaim gives up before it has split enough. */
	u32 memory = run->rival ? PLAIN_MERGEABLE : PLAIN_HUGE;
	int err;

	process_dies_with(parent);
	signal(SIGINT, SIG_IGN);
	snprintf(guest.name, sizeof(guest.name), "%s", config->name);
	snprintf(guest.workload, sizeof(guest.workload), "%s", config->workload);
	snprintf(guest.args, sizeof(guest.args), "%s", config->args);
	err = plain_guest_run(&guest, data, memory, &run->shared->orders,
			      &run->shared->stats[index]);
	_exit(err ? 1 : 0);
}

static int start_guests(struct plain_run *run, struct data_cache *cache)
{
	pid_t self = getpid();

	for (u32 i = 0; i < run->config->guest_count; i++) {
		const char *data = run->config->guests[i].data;
		u64 bytes = 0;
		int fd = -1, err = data[0] ? data_cache_get(cache, data, &fd, &bytes) : 0;
		pid_t pid;

		if (err)
			return err;
		fflush(NULL);
		pid = fork();
		if (pid < 0)
			return -errno;
		if (!pid)
			be_guest(run, i, self, fd, bytes);
		run->pids[i] = pid;
		run->running++;
	}
	return 0;
}

/* Notes who has ended. */
static void reap(struct plain_run *run)
{
	for (u32 i = 0; i < observer.count; i++) {
		struct observed *guest = &observer.guests[i];
		int status;

		if (!run->pids[i] || waitpid(run->pids[i], &status, WNOHANG) <= 0)
			continue;
		run->pids[i] = 0;
		run->running--;
		guest->ended = true;
		guest->well = WIFEXITED(status) && !WEXITSTATUS(status);
		if (WIFSIGNALED(status))
			snprintf(guest->why, sizeof(guest->why), "killed by signal %d",
				 WTERMSIG(status));
	}
}

static void take_guests(const struct plain_run *run)
{
	for (u32 i = 0; i < observer.count; i++) {
		const struct attach_stats *stats = &run->shared->stats[i];
		struct observed *guest = &observer.guests[i];

		guest->ops = stats->ops;
		guest->verified = stats->pages_verified;
		guest->failures = stats->verify_failures;
		guest->worked_ns = stats->run_ns;
		guest->latency = stats->latency;
		observer_take_phase(guest, stats->phase);
	}
}

static void rival_figures(const struct plain_run *run, const struct rival_usage *now)
{
	const struct rival_usage *then = &run->before;
	double *value = run->cell->value;

	value[FIG_SAVED_SHARING] = (double)(now->sharing_pages * PAGE_SIZE);
	value[FIG_SAVED_SAME] = (double)(now->zram_same_pages * PAGE_SIZE);
	value[FIG_SAVED_COMPRESSION] = (double)now->zram_stored -
				       (double)(now->zram_same_pages * PAGE_SIZE) -
				       (double)now->zram_used;
	value[FIG_SAVED_DISK] = (double)now->file_bytes;
	value[FIG_SAVED_BALLOON] = 0;
	/* What all swap devices did, less what zram did, is the file's. */
	value[FIG_DISK_READ] = fmax(0, (double)(now->swap_read - then->swap_read) -
					       (double)(now->zram_read - then->zram_read));
	value[FIG_DISK_WRITTEN] = fmax(0, (double)(now->swap_written - then->swap_written) -
						  (double)(now->zram_written - then->zram_written));
}

static void sample(struct plain_run *run)
{
	struct rival_usage rival = {};
	struct cgroup_usage usage = {};
	u64 wanted;

	take_guests(run);
	cgroup_read_usage(run->cgroup, &usage);
	if (run->rival) {
		rival_read(run->swap, &rival);
		rival_figures(run, &rival);
		wanted = fair_limit(run, usage.kernel, rival.zram_used);
		if (wanted > run->limit + LIMIT_STEP || wanted + LIMIT_STEP < run->limit)
			set_limit(run, wanted);
	}
	observer_sample(&observer, usage.now + rival.zram_used);
}

static void kill_all(struct plain_run *run)
{
	for (u32 i = 0; i < observer.count; i++)
		if (run->pids[i])
			kill(run->pids[i], SIGKILL);
}

static void serve(struct plain_run *run)
{
	bool told = false;

	while (run->running) {
		usleep(OBSERVER_MS * 1000);
		reap(run);
		if (told)
			continue;
		sample(run);
		run->shared->orders.begin = observer.filled_ns;
		if (observer_done(&observer)) {
			run->shared->orders.stop = told = true;
		} else if (observer_hopeless(&observer, run->options)) {
			kill_all(run);
			told = true;
		}
	}
	take_guests(run);
}

static void conclude(struct plain_run *run)
{
	struct cgroup_usage usage = {};

	cgroup_read_usage(run->cgroup, &usage);
	observer_conclude(&observer, run->cell);
	run->cell->value[FIG_CPU_GUESTS] = usage_cpu(RUSAGE_CHILDREN);
	/* Ours: a lowered limit makes its writer reclaim. */
	run->cell->value[FIG_CPU_MANAGER] = usage_cpu(RUSAGE_SELF);
	if (usage.oom_kills)
		cell_end(run->cell, CELL_KILLED, "the kernel killed %llu guests of %u",
			 (unsigned long long)usage.oom_kills, observer.count);
}

static int run_guests(struct plain_run *run)
{
	struct data_cache *cache;
	int err = data_cache_create(run->config->data_bytes, &cache);

	if (err)
		return err;
	rival_read(run->swap, &run->before);
	err = start_guests(run, cache);
	if (err) {
		kill_all(run);
		cell_end(run->cell, CELL_FAILED, "cannot start guests: %s", strerror(-err));
	}
	serve(run);
	if (!err)
		conclude(run);
	data_cache_destroy(cache);
	return 0;
}

int cell_run_plain(struct cell *cell, const struct cell_options *options,
		   const struct host_config *config)
{
	const struct contender *contender = &contenders[cell->contender];
	struct plain_run run = {.cell = cell,
				.options = options,
				.config = config,
				.rival = contender->kind == CONTENDER_KERNEL};
	int err;

	cell_swap_path(run.swap, sizeof(run.swap), options, contender);
	run.shared = mmap(NULL, sizeof(*run.shared), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.shared == MAP_FAILED)
		return -errno;
	observer_begin(&observer, cell, &options->scale);
	err = enter_cgroup(&run);
	if (!err)
		err = run_guests(&run);
	cgroup_destroy(run.cgroup);
	munmap(run.shared, sizeof(*run.shared));
	return err;
}
