/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that shares: scans a batch, brings home what is due, pauses. By small steps, mostly of some milliseconds, so that
 * how urgent it is and what is due are asked anew all the time: beside guests that compute a step takes ten times as long.
 */
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ksm/internal.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/thread.h"

/* Pages of a step. */
#define STEP_SCAN 1024U
#define STEP_HOME 64U
/* The longest pause while pages may have to come home, with the scan and without. */
#define LOOK_HOME_NS	(20 * NSEC_PER_MSEC)
#define LOOK_STOPPED_NS (100 * NSEC_PER_MSEC)

/* Above the process's own, by how urgent it is. */
static const int niceness[] = {
	[ADVISOR_IDLE] = 10,
	[ADVISOR_WORTH] = 0,
	[ADVISOR_HURRY] = -10,
};

/* `base`: the process's niceness. Without the privilege to hurry it stays as it is. */
static void set_nice(struct ksm *ksm, int base, enum advisor_pace pace)
{
	int wanted = base + niceness[pace];

	if (wanted != ksm->nice)
		setpriority(PRIO_PROCESS, (id_t)gettid(), wanted);
	ksm->nice = wanted;
}

/* Whoever asked for pages to come home waits, for the scan between two steps too. */
static void set_pace(struct ksm *ksm, int base)
{
	const struct budget *budget = &ksm->memory->budget;

	ksm->pace = advisor_pace(ksm->pace, ksm->worth, budget_free(budget),
				 atomic_load(&budget->limit));
	set_nice(ksm, base, ksm->home.asked ? ADVISOR_HURRY : ksm->pace);
}

/* Returns what is left of the batch. */
static u64 scan_step(struct ksm *ksm, u64 left, struct advisor_batch *batch)
{
	u64 pages = MIN(left, STEP_SCAN), began_ns;
	bool full;

	if (!pages || atomic_load(&ksm->run) != KSM_RUN)
		return 0;
	began_ns = clock_now_ns();
	full = ksm_scan(ksm, pages);
	batch->shared += ksm->taken;
	batch->fresh += ksm->fresh;
	batch->worked_ns += clock_now_ns() - began_ns;
	return full ? 0 : left - pages;
}

/* The pause after a batch. The advisor, who has a time for a full scan and a share of a processor, counts on what is set. */
static u64 pause_after(const struct ksm *ksm, const struct advisor_batch *batch)
{
	u64 pause_ns = ksm->options.sleep_millisecs * NSEC_PER_MSEC;

	if (!ksm->options.smart_scan || ksm->options.advisor_mode != KSM_ADVISOR_NONE)
		return pause_ns;
	return advisor_pause(ksm->pace, batch, pause_ns);
}

/* The scanner has not followed yet: the pause was by the old ones. */
static bool settings_changed(struct ksm *ksm)
{
	bool changed;

	pthread_mutex_lock(&ksm->wanted_lock);
	changed = ksm->changed;
	pthread_mutex_unlock(&ksm->wanted_lock);
	return changed;
}

/* A batch, if one is due, and what is to come home. */
static void work(struct ksm *ksm, int base)
{
	bool due = clock_now_ns() >= ksm->due_ns || settings_changed(ksm);
	struct advisor_batch batch = {.pages = atomic_load(&ksm->pages_to_scan)};
	u64 left = due ? batch.pages : 0;

	do {
		home_consider(ksm);
		set_pace(ksm, base);
		if (ksm->home.under_way)
			home_go_on(ksm, STEP_HOME);
		left = scan_step(ksm, left, &batch);
	} while ((left || ksm->home.under_way) && !atomic_load(&ksm->stop));
	if (due)
		ksm->due_ns = clock_now_ns() + pause_after(ksm, &batch);
}

/* Till the next batch; but where guests can write to what is shared it is looked more often whether it should come home. */
static u64 pause_now(const struct ksm *ksm)
{
	u64 now_ns = clock_now_ns(), ns = ksm->due_ns - MIN(now_ns, ksm->due_ns);

	if (atomic_load(&ksm->run) != KSM_RUN)
		return LOOK_STOPPED_NS;
	return atomic_load(&ksm->memory->foreign_pages) ? MIN(ns, LOOK_HOME_NS) : ns;
}

static void pause_scan(struct ksm *ksm)
{
	struct timespec until;
	u64 ns = pause_now(ksm);

	/* No guest can write to what is shared. */
	if (atomic_load(&ksm->run) == KSM_STOP && !atomic_load(&ksm->memory->foreign_pages)) {
		sem_wait(&ksm->wake);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	ns += (u64)until.tv_nsec;
	until.tv_sec += (time_t)(ns / NSEC_PER_SEC);
	until.tv_nsec = (long)(ns % NSEC_PER_SEC);
	sem_timedwait(&ksm->wake, &until);
}

static void *scan_thread(void *argument)
{
	struct ksm *ksm = argument;
	int base = getpriority(PRIO_PROCESS, 0);

	pthread_setname_np(pthread_self(), "ksm");
	ksm->nice = base;
	while (!atomic_load(&ksm->stop)) {
		work(ksm, base);
		if (atomic_load(&ksm->run) == KSM_UNMERGE && !atomic_load(&ksm->stop)) {
			set_nice(ksm, base, ADVISOR_WORTH);
			ksm_unmerge(ksm);
		}
		pause_scan(ksm);
	}
	return NULL;
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
