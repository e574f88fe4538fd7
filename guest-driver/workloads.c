// SPDX-License-Identifier: Apache-2.0
/*
 * The workloads, by how they choose the next page: at random, in order, at random within a moving
 * window, or hardly ever. (kv chooses records: kv.c.)
 */
#include "guest-driver/guest.h"
#include "guest-driver/kv.h"
#include "guest-driver/pages.h"
#include "guest-driver/random.h"

#define IDLE_REST_MS 100

static void operate_random(struct guest_cpu *cpu)
{
	pages_access(cpu, random_below(&cpu->random, cpu->units));
}

/* Each page is touched once a pass: least recently used is always what comes next. */
static void operate_sweep(struct guest_cpu *cpu)
{
	struct pages *pages = &cpu->pages;

	pages_access(cpu, pages->cursor);
	pages->cursor = pages->cursor + 1 < cpu->units ? pages->cursor + 1 : 0;
}

/* `now` is a time or a number of operations. */
static void move_working_set(struct guest_cpu *cpu, u64 now)
{
	u64 stay = cpu->args.phase_ops ? cpu->args.phase_ops : cpu->args.phase_ms * 1000000ULL;

	cpu->pages.cursor = random_below(&cpu->random, cpu->units);
	cpu->pages.phase_ends = now + stay;
}

/* The working set is a run of pages that wraps round at the end. */
static void operate_phase(struct guest_cpu *cpu)
{
	u64 now = cpu->args.phase_ops ? cpu->stats->ops + 1 : guest_now_ns(cpu), page;
	u64 window = MAX(cpu->units * cpu->args.phase_percent / 100, 1);

	if (now >= cpu->pages.phase_ends)
		move_working_set(cpu, now);
	page = cpu->pages.cursor + random_below(&cpu->random, MIN(window, cpu->units));
	pages_access(cpu, page < cpu->units ? page : page - cpu->units);
}

const struct workload guest_workloads[GUEST_WORKLOADS] = {
	[GUEST_FILL] = {pages_prepare, pages_fill, operate_random, pages_verify, pages_audit, 0},
	[GUEST_KV] = {kv_prepare, kv_fill, kv_operate, kv_verify, kv_audit, 0},
	[GUEST_SWEEP] = {pages_prepare, pages_fill, operate_sweep, pages_verify, pages_audit, 0},
	[GUEST_PHASE] = {pages_prepare, pages_fill, operate_phase, pages_verify, pages_audit, 0},
	[GUEST_IDLE] = {pages_prepare, pages_fill, operate_random, pages_verify, pages_audit,
			IDLE_REST_MS},
};
