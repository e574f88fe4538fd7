/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/cell.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/overcommit/rival.h"
#include "ctl/config.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/process.h"
#include "manager/cgroup.h"

#define POLL_US	     5000
#define POOL_PERCENT 20
#define DATA_SIZE    "8M"
/* LZ4 makes half of guests' memory, about: so much plain memory fills zram as the pool is filled. */
#define ZRAM_RATIO    2
#define SWAP_BYTES    (2048 * MiB)
#define PAGES_TO_SCAN 10000
#define SCAN_SLEEP_MS 20
#define GRACE_S	      20 /* beyond a try's patience: its process hangs */

u64 cell_budget(const struct cell *cell, const struct scale *scale)
{
	u64 bytes = scenario_guests(&scenarios[cell->scenario]) * scale->guest_bytes;

	return (u64)((double)bytes / cell->overcommit) / REGION_SIZE * REGION_SIZE;
}

void cell_swap_path(char *path, size_t size, const struct cell_options *options,
		    const struct contender *contender)
{
	snprintf(path, size, "%s/ballast-overcommit-%s.swap", options->swap_folder,
		 contender->name);
}

void cell_write_config(FILE *stream, const struct cell *cell, const struct cell_options *options)
{
	const struct contender *contender = &contenders[cell->contender];
	char swap[PATH_MAX];

	cell_swap_path(swap, sizeof(swap), options, contender);
	fprintf(stream,
		"; %s at %.2f times overcommit\n\n[host]\nname = overcommit\nmemory = %llu\n"
		"swap-file = %s\nswap-size = %llu\ndata-size = " DATA_SIZE "\ncontrol = off\n",
		scenarios[cell->scenario].name, cell->overcommit,
		(unsigned long long)cell_budget(cell, &options->scale), swap,
		(unsigned long long)SWAP_BYTES);
	if (contender->host)
		fprintf(stream, "%s\n", contender->host);
	fprintf(stream, "\n[ksm]\npages_to_scan = %u\nsleep_millisecs = %u\n%s\n", PAGES_TO_SCAN,
		SCAN_SLEEP_MS, contender->ksm ? contender->ksm : "run = 1");
	if (contender->policy)
		fprintf(stream, "\n[policy]\n%s\n", contender->policy);
	scenario_write(stream, &scenarios[cell->scenario], &options->scale);
}

int cell_end(struct cell *cell, enum cell_outcome outcome, const char *format, ...)
{
	va_list arguments;

	cell->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(cell->note, sizeof(cell->note), format, arguments);
	va_end(arguments);
	return 0;
}

/* The configuration as `ballast run` would have it from its file. */
static int read_config(const struct cell *cell, const struct cell_options *options,
		       struct host_config *config)
{
	char error[1024], *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	int err;

	if (!stream)
		return -errno;
	cell_write_config(stream, cell, options);
	fclose(stream);
	stream = fmemopen(text, size, "r");
	err = stream ? config_read_stream(stream, "cell", config, error, sizeof(error)) : -errno;
	if (stream && err)
		log_error("%s", error);
	if (stream)
		fclose(stream);
	free(text);
	return err;
}

static int run_try(struct cell *cell, const struct cell_options *options)
{
	struct host_config config;
	int err = read_config(cell, options, &config);

	if (err)
		return err;
	if (contenders[cell->contender].kind == CONTENDER_BALLAST)
		err = cell_run_managed(cell, options, &config);
	else
		err = cell_run_plain(cell, options, &config);
	config_free(&config);
	cell->value[FIG_CPU_TOTAL] = cell->value[FIG_CPU_GUESTS] + cell->value[FIG_CPU_MANAGER] +
				     cell->value[FIG_CPU_KERNEL];
	return err;
}

/* Ours, from guests whose parent has died: this process is their subreaper. */
static void reap_all(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

/* Making a cgroup removes what dead processes left behind. */
void cell_sweep(void)
{
	struct cgroup *cgroup;
	const char *why;

	if (!cgroup_create("overcommit-sweep", &cgroup, &why))
		cgroup_destroy(cgroup);
}

static int await(struct cell *cell, const struct cell_options *options, pid_t pid)
{
	u64 deadline = clock_now_ns() + (options->patience_s + GRACE_S) * NSEC_PER_SEC;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (*options->interrupted || clock_now_ns() >= deadline) {
			kill(pid, SIGKILL);
			reap_all();
			cell_sweep();
			return *options->interrupted
				       ? -EINTR
				       : cell_end(cell, CELL_FAILED, "hung and was killed");
		}
		usleep(POLL_US);
	}
	reap_all();
	if (*options->interrupted)
		return -EINTR;
	if (WIFSIGNALED(status))
		return cell_end(cell, CELL_FAILED, "died of signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) && cell->outcome == CELL_PENDING)
		return cell_end(cell, CELL_FAILED, "%s", strerror(WEXITSTATUS(status)));
	return 0;
}

/* A try in a process of its own. Its result replaces that of the try before. */
static int fork_try(struct cell *shared, const struct cell_options *options)
{
	pid_t self = getpid(), pid;

	shared->outcome = CELL_PENDING;
	for (u32 i = 0; i < FIGURES; i++)
		shared->value[i] = NAN;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		process_dies_with(self);
		signal(SIGINT, SIG_IGN);
		log_set_level(LOG_LEVEL_ERROR);
		_exit(-run_try(shared, options) & 0xff);
	}
	return await(shared, options, pid);
}

static int setup(const struct cell *cell, const struct cell_options *options)
{
	struct rival_options rival = {
		.zram_bytes = cell_budget(cell, &options->scale) * POOL_PERCENT / 100 * ZRAM_RATIO /
			      PAGE_SIZE * PAGE_SIZE,
		.swap_bytes = SWAP_BYTES,
		.pages_to_scan = PAGES_TO_SCAN,
		.sleep_millisecs = SCAN_SLEEP_MS,
	};
	const char *why = "";
	char path[PATH_MAX];
	int err;

	cell_swap_path(path, sizeof(path), options, &contenders[cell->contender]);
	rival.swap_file = path;
	err = rival_setup(options->journal, &rival, &why);
	if (err)
		log_error("%s: %s", why, strerror(-err));
	return err;
}

static int run_once(struct cell *shared, const struct cell_options *options)
{
	bool rival = contenders[shared->contender].kind == CONTENDER_KERNEL;
	int err = rival ? setup(shared, options) : 0, undone;

	if (!err)
		err = fork_try(shared, options);
	undone = rival ? journal_undo(options->journal) : 0;
	return err ? err : undone;
}

int cell_run(struct cell *cell, const struct cell_options *options)
{
	struct cell *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u32 kills = 0;
	int err;

	if (shared == MAP_FAILED)
		return -errno;
	*shared = *cell;
	do {
		err = run_once(shared, options);
		kills += shared->outcome == CELL_KILLED;
	} while (!err && shared->outcome == CELL_KILLED && kills < options->tries);
	shared->value[FIG_KILLS] = kills;
	*cell = *shared;
	munmap(shared, sizeof(*shared));
	return err;
}
