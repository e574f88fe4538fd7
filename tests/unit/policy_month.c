/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A month on a simulated host: guests whose working sets come and go by day and night, balloons that
 * follow, an evictor that obeys, samples that are noisy. Whatever happens, what must hold holds; and
 * when nothing changes any more, the balloons come to rest.
 */
#include <criterion/criterion.h>

#include "balloon/estimate.h"
#include "balloon/target.h"
#include "tests/unit/mem_rig.h"

#define GUESTS	  4
#define BUDGET	  (2 * GiB)
#define STEP_MS	  20000UL
#define DAY_STEPS (24UL * 3600 * 1000 / STEP_MS)
#define SAMPLES	  32

struct simulation {
	struct target_host host;
	struct target_guest guests[GUESTS];
	struct target_memory memories[GUESTS];
	struct target_decision decisions[GUESTS];
	struct estimate estimates[GUESTS];
	u64 working_set[GUESTS];
	enum host_state state;
	u64 random;
	u32 turns[GUESTS]; /* changes between inflating and deflating */
	int direction[GUESTS];
};

static void start(struct simulation *sim)
{
	*sim = (struct simulation){
		.host = {.budget = BUDGET,
			 .overhead = 64 * MiB,
			 .levels = {200 * MiB, {400, 100, 64, 32, 16}},
			 .tax_pct = 75,
			 .coldness = {120, 200},
			 .now_ms = 1},
		.random = 42,
	};
	for (u32 i = 0; i < GUESTS; i++)
		sim->guests[i] = (struct target_guest){
			.memory = GiB,
			.min = 64 * MiB * i,
			.max = GiB,
			.limit = UINT64_MAX,
			.shares = 10240,
			.balloon = i != 3,
			.signs = {.age_ms = UINT64_MAX},
		};
}

static u64 resident_sum(const struct simulation *sim)
{
	u64 sum = 0;

	for (u32 i = 0; i < GUESTS; i++)
		sum += sim->guests[i].resident;
	return sum;
}

/* Guests use their working sets as far as their balloons let them; what does not fit goes where `keep`
 * says that there is too much. */
static void live(struct simulation *sim)
{
	u64 room = BUDGET - sim->host.overhead;

	for (u32 i = 0; i < GUESTS; i++) {
		struct target_guest *guest = &sim->guests[i];
		u64 may = guest->memory - guest->ballooned;
		u64 wants = MIN(MAX(guest->resident, sim->working_set[i]), may);

		guest->stored = sim->working_set[i] > may ? 0 : guest->stored;
		guest->resident = wants;
	}
	for (u32 i = 0; i < GUESTS && resident_sum(sim) > room; i++) {
		struct target_guest *guest = &sim->guests[i];
		u64 over = guest->resident - MIN(guest->resident, sim->decisions[i].keep);

		over = MIN(over, resident_sum(sim) - room);
		guest->resident -= over;
		guest->stored += over;
	}
	for (u32 i = 0; i < GUESTS; i++)
		sim->guests[i].resident -= MIN(sim->guests[i].resident, sim->decisions[i].swap);
	sim->host.free = room - MIN(resident_sum(sim), room);
}

static void sample(struct simulation *sim, u32 i)
{
	struct target_guest *guest = &sim->guests[i];
	u64 in_use = MIN(sim->working_set[i], guest->resident);
	u32 touched = 0;

	for (u32 n = 0; n < SAMPLES && guest->resident; n++)
		touched += mem_random(&sim->random) % guest->resident < in_use;
	estimate_add(&sim->estimates[i], touched, guest->resident ? SAMPLES : 0);
	guest->active = estimate_active(&sim->estimates[i], guest->resident);
}

static void count_turns(struct simulation *sim, u32 i)
{
	int direction = sim->decisions[i].action == TARGET_INFLATE   ? 1
			: sim->decisions[i].action == TARGET_DEFLATE ? -1
								     : 0;

	if (!direction)
		return;
	sim->turns[i] += sim->direction[i] && direction != sim->direction[i];
	sim->direction[i] = direction;
}

static void check(const struct simulation *sim)
{
	u64 goals = 0;

	for (u32 i = 0; i < GUESTS; i++) {
		const struct target_guest *guest = &sim->guests[i];
		const struct target_decision *decision = &sim->decisions[i];

		goals += decision->goal;
		cr_assert_geq(decision->goal, guest->min);
		cr_assert_geq(decision->keep, guest->min);
		cr_assert_leq(decision->balloon, guest->memory - guest->min);
		cr_assert_leq(decision->balloon,
			      guest->ballooned + guest->memory / TARGET_STEP_MOST);
		cr_assert(!decision->block || guest->resident > decision->goal);
	}
	cr_assert_leq(goals, BUDGET - sim->host.overhead);
}

static void step(struct simulation *sim)
{
	sim->host.now_ms += STEP_MS;
	live(sim);
	for (u32 i = 0; i < GUESTS; i++)
		sample(sim, i);
	sim->state = target_step(sim->state, &sim->host, sim->guests, sim->memories, GUESTS,
				 sim->decisions);
	check(sim);
	for (u32 i = 0; i < GUESTS; i++) {
		count_turns(sim, i);
		/* A driver is not always quick. */
		if (sim->guests[i].balloon && mem_random(&sim->random) % 4)
			sim->guests[i].ballooned = sim->decisions[i].balloon;
	}
}

/* Working by day, each on its own shift, hardly anything by night. */
static void work(struct simulation *sim, u64 now)
{
	for (u32 i = 0; i < GUESTS; i++) {
		bool day = (now / (DAY_STEPS / GUESTS) + i) % GUESTS < 2;

		sim->working_set[i] = day ? 700 * MiB : 50 * MiB;
	}
}

Test(policy_month, a_month_of_days_and_nights)
{
	struct simulation sim;
	u64 satisfied = 0, busy = 0;

	start(&sim);
	for (u64 now = 0; now < 30 * DAY_STEPS; now++) {
		work(&sim, now);
		step(&sim);
		for (u32 i = 0; i < GUESTS; i++) {
			bool works = sim.working_set[i] > GiB / 2;

			busy += works;
			satisfied += works && sim.guests[i].resident >= 600 * MiB;
		}
	}
	cr_expect_geq(satisfied * 100, busy * 97, "busy guests had their memory %lu times in %lu",
		      satisfied, busy);
	/* Each shift is one reason to turn, give or take the noise of a few samples. */
	for (u32 i = 0; i < GUESTS; i++)
		cr_expect_leq(sim.turns[i], 30 * GUESTS * 8, "guest %u turned %u times", i,
			      sim.turns[i]);
}

Test(policy_month, a_steady_load_comes_to_rest)
{
	static const u64 loads[][GUESTS] = {
		{700 * MiB, 700 * MiB, 50 * MiB, 50 * MiB},
		{900 * MiB, 900 * MiB, 900 * MiB, 900 * MiB},
		{300 * MiB, 300 * MiB, 300 * MiB, 300 * MiB},
		{10 * MiB, 10 * MiB, 10 * MiB, 10 * MiB},
	};

	for (u32 l = 0; l < ARRAY_SIZE(loads); l++) {
		struct simulation sim;

		start(&sim);
		for (u32 i = 0; i < GUESTS; i++)
			sim.guests[i].resident = 400 * MiB;
		for (u64 now = 0; now < 30 * DAY_STEPS / 8; now++) {
			for (u32 i = 0; i < GUESTS; i++)
				sim.working_set[i] = loads[l][i];
			if (now == DAY_STEPS / 4)
				for (u32 i = 0; i < GUESTS; i++)
					sim.turns[i] = 0;
			step(&sim);
		}
		for (u32 i = 0; i < GUESTS; i++)
			cr_expect_leq(sim.turns[i], 30 * 4, "load %u: guest %u turned %u times", l,
				      i, sim.turns[i]);
	}
}
