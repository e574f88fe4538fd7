/* SPDX-License-Identifier: Apache-2.0 */
/* Turns: who gets one, for how long, what it is worth; and what nobody may lose by it. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/process.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "mem/turns.h"
#include "tests/unit/mem_rig.h"

#define BYTES	     (16 * MiB)
#define PAGES	     (BYTES / PAGE_SIZE)
#define LOOK	     (4 * NSEC_PER_MSEC)
#define ENOUGH	     100U /* looks, after which whoever is going to get a turn has one */
#define GUESTS	     3U
#define ENOUGH_TURNS 8U /* of a storm */

/* Guests whose memory is all stored, and a clock that the test moves. */
struct round {
	struct mem_rig rig;
	struct mem_guest more[GUESTS - 1];
	struct mem_guest *guests[GUESTS];
	struct turns *turns;
	u64 now_ns;
	bool processors_short;
};

static void start(struct round *round)
{
	struct mem_guest_options options = {.bytes = BYTES};

	mem_rig_start_with(&round->rig, &options, 512 * MiB, false);
	/* The vault is made for one guest. */
	free(round->rig.pool.pages);
	round->rig.pool.capacity = GUESTS * PAGES + 2;
	round->rig.pool.pages = calloc(round->rig.pool.capacity, sizeof(*round->rig.pool.pages));
	cr_assert_eq(turns_create(&round->rig.memory, &round->turns), 0);
	round->guests[0] = &round->rig.guest;
	for (u32 i = 1; i < GUESTS; i++) {
		round->guests[i] = &round->more[i - 1];
		mem_guest_start(round->guests[i], &round->rig.memory, &options);
	}
	for (u32 i = 0; i < GUESTS; i++) {
		mem_guest_write_all(round->guests[i], i + 1);
		mem_guest_settle(round->guests[i]);
	}
	round->now_ns = NSEC_PER_SEC;
	round->processors_short = false;
	turns_look(round->turns, round->now_ns, false);
}

static void stop(struct round *round)
{
	for (u32 i = GUESTS - 1; i; i--)
		mem_guest_stop(round->guests[i]);
	mem_guest_end(&round->rig.guest);
	turns_destroy(round->turns);
	mem_rig_stop(&round->rig);
}

static enum turn_state state(const struct round *round, u32 guest)
{
	return atomic_load(&round->guests[guest]->space->turn.state);
}

static void wait_so_long(const struct round *round, u32 guest, u64 ns)
{
	struct pressure *pressure = &round->guests[guest]->space->pressure;

	pthread_mutex_lock(&pressure->lock);
	pressure->waited_ns += ns;
	pthread_mutex_unlock(&pressure->lock);
}

/* The guest has missed what was stored, and waited so long for it. */
static void stall(const struct round *round, u32 guest, u64 ns)
{
	atomic_fetch_add(&round->guests[guest]->space->counters.missed, 20);
	wait_so_long(round, guest, ns);
}

/* The guests whose bits are set miss what was stored, till the next look. */
static void look(struct round *round, u32 stalled)
{
	for (u32 i = 0; i < GUESTS; i++) {
		if (stalled >> i & 1)
			stall(round, i, LOOK);
	}
	round->now_ns += LOOK;
	turns_look(round->turns, round->now_ns, round->processors_short);
}

/* Looks until the guest is in that state; returns how often, at most ENOUGH. */
static u32 look_till(struct round *round, u32 stalled, u32 guest, enum turn_state wanted)
{
	u32 looks = 0;

	while (looks < ENOUGH && state(round, guest) != wanted) {
		look(round, stalled);
		looks++;
	}
	return looks;
}

/* The third keeps its memory: so much there is for the other two. */
static void evict_two(struct round *round)
{
	mem_guest_evict_all(round->guests[0]);
	mem_guest_evict_all(round->guests[1]);
}

Test(mem_turns, who_thrash_get_a_turn_one_after_the_other)
{
	static struct round round;
	const u32 first = 0, second = 1;

	start(&round);
	evict_two(&round);
	cr_assert_lt(look_till(&round, 3, first, TURN_HAS), ENOUGH);
	cr_expect_eq(state(&round, second), TURN_WAITS);
	cr_expect_eq(state(&round, 2), TURN_NONE);
	/* While it is brought in the other waits on ... */
	for (u32 i = 0; i < 20; i++)
		look(&round, 3);
	cr_expect_eq(state(&round, first), TURN_HAS);
	cr_expect_eq(state(&round, second), TURN_WAITS);
	/* ... and gets its turn as soon as that is done, though the first goes on for as long as it took. */
	cr_expect_leq(look_till(&round, 1U << second, second, TURN_HAS), 3);
	cr_expect_eq(state(&round, first), TURN_HAS);
	for (u32 i = 0; i < 15; i++)
		look(&round, 1U << second);
	cr_expect_eq(state(&round, first), TURN_HAS);
	cr_expect_lt(look_till(&round, 1U << second, first, TURN_NONE), 20);
	cr_expect_eq(atomic_load(&round.guests[first]->space->turn.given), 1);
	stop(&round);
}

Test(mem_turns, who_waits_gets_its_turn_though_the_other_is_content)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	cr_assert_lt(look_till(&round, 3, 0, TURN_HAS), ENOUGH);
	cr_expect_eq(state(&round, 1), TURN_WAITS);
	cr_expect_lt(look_till(&round, 2, 0, TURN_NONE), ENOUGH);
	cr_expect_eq(state(&round, 1), TURN_HAS);
	stop(&round);
}

Test(mem_turns, who_is_alone_in_missing_something_does_not_wait)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	for (u32 i = 0; i < ENOUGH; i++) {
		look(&round, 1);
		cr_assert_eq(state(&round, 0), TURN_NONE);
	}
	/* What it has missed counts as soon as another does too. */
	look_till(&round, 3, 1, TURN_WAITS);
	cr_expect_eq(state(&round, 0), TURN_HAS);
	stop(&round);
}

Test(mem_turns, who_is_left_alone_in_it_gets_no_turn)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	cr_assert_lt(look_till(&round, 3, 0, TURN_HAS), ENOUGH);
	cr_assert_lt(look_till(&round, 0, 0, TURN_NONE), ENOUGH);
	cr_assert_lt(look_till(&round, 0, 1, TURN_NONE), ENOUGH);
	for (u32 i = 0; i < ENOUGH; i++) {
		look(&round, 1);
		cr_assert_eq(state(&round, 0), TURN_NONE);
	}
	stop(&round);
}

Test(mem_turns, who_could_not_be_brought_in_does_not_wait)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	/* What the third has to keep is not for them. */
	atomic_store(&round.guests[2]->space->entitlement.min, PAGES / 2);
	for (u32 i = 0; i < ENOUGH; i++) {
		look(&round, 3);
		cr_assert_eq(state(&round, 0), TURN_NONE);
		cr_assert_eq(state(&round, 1), TURN_NONE);
	}
	stop(&round);
}

Test(mem_turns, who_is_within_its_min_does_not_wait)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	atomic_store(&round.guests[0]->space->entitlement.min, 1);
	for (u32 i = 0; i < ENOUGH; i++) {
		look(&round, 3);
		cr_assert_eq(state(&round, 0), TURN_NONE);
	}
	stop(&round);
}

Test(mem_turns, who_misses_little_does_not_wait)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	for (u32 i = 0; i < ENOUGH; i++) {
		/* One after the other for a moment, with rests in which what was missed is forgotten. */
		look(&round, i % 64 == 0 ? 3 : 0);
		cr_assert_eq(state(&round, 0), TURN_NONE);
		cr_assert_eq(state(&round, 1), TURN_NONE);
	}
	stop(&round);
}

Test(mem_turns, a_turn_has_an_end_though_its_guest_never_has_enough)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	cr_assert_lt(look_till(&round, 3, 0, TURN_HAS), ENOUGH);
	/* 100 ms, and a quarter of one for each page. */
	for (u64 i = 0; i < (100 + PAGES / 4) / 4 + 2; i++)
		look(&round, 3);
	cr_expect_neq(state(&round, 0), TURN_HAS);
	cr_expect_eq(state(&round, 1), TURN_HAS);
	stop(&round);
}

/* How many looks the first guest's turn lasts, when another waits that has had all of the first one's memory for 600 ms. */
static u32 looks_of_turn(u64 shares)
{
	static struct round round;
	u32 looks = 0;

	start(&round);
	mem_guest_evict_all(round.guests[1]);
	mem_guest_evict_all(round.guests[2]);
	round.guests[1]->space->turn.had = 1e18; /* lest it goes first */
	cr_assert_lt(look_till(&round, 3, 0, TURN_HAS), ENOUGH);
	atomic_store(&round.guests[0]->space->entitlement.shares, shares);
	round.guests[0]->space->turn.had = 0;
	round.guests[1]->space->turn.had = (double)PAGES * 600 * NSEC_PER_MSEC;
	for (; state(&round, 0) == TURN_HAS && looks < 500; looks++)
		look(&round, 2);
	stop(&round);
	return looks;
}

Test(mem_turns, memory_is_shared_out_over_time_by_shares)
{
	u32 one = looks_of_turn(1), two = looks_of_turn(2);

	/* Of its memory some is zero, and so not in memory. */
	cr_expect(one >= 150 && one < 200, "%u", one);
	cr_expect(two >= 2 * one - 4 && two <= 2 * one + 4, "%u, %u", one, two);
}

/* A process that does nothing, as the VMM of a guest at rest. */
static pid_t idle_process(void)
{
	pid_t self = getpid(), child;
	int ready[2];
	char byte = 0;

	cr_assert_eq(pipe(ready), 0);
	child = fork();
	if (!child) {
		process_dies_with(self);
		(void)!write(ready[1], &byte, 1);
		for (;;)
			pause();
	}
	/* It has used up what it uses. */
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return child;
}

Test(mem_turns, who_does_nothing_with_its_turn_loses_it)
{
	static struct round round;
	pid_t idle = idle_process();

	start(&round);
	evict_two(&round);
	round.guests[0]->space->options.pid = idle;
	cr_assert_lt(look_till(&round, 3, 0, TURN_HAS), ENOUGH);
	for (u32 i = 0; i < 40; i++)
		look(&round, 3);
	cr_expect_eq(state(&round, 0), TURN_HAS);
	cr_expect_leq(look_till(&round, 2, 0, TURN_NONE), 8);
	round.guests[0]->space->options.pid = 0;
	stop(&round);
	kill(idle, SIGKILL);
	waitpid(idle, NULL, 0);
}

/* Whether they get turns when that is what they do. */
static bool get_turns(bool processors_short)
{
	static struct round round;
	pid_t idle = idle_process();
	bool got = false;

	start(&round);
	evict_two(&round);
	round.processors_short = processors_short;
	for (u32 i = 0; i < 2; i++)
		round.guests[i]->space->options.pid = idle;
	for (u32 i = 0; i < 20 * ENOUGH; i++) {
		for (u32 j = 0; j < 2; j++)
			stall(&round, j, LOOK / 20);
		look(&round, 0);
		got |= state(&round, 0) != TURN_NONE;
	}
	for (u32 i = 0; i < 2; i++)
		round.guests[i]->space->options.pid = 0;
	stop(&round);
	kill(idle, SIGKILL);
	waitpid(idle, NULL, 0);
	return got;
}

Test(mem_turns, who_has_nothing_to_do_does_not_thrash)
{
	cr_expect(!get_turns(false));
}

Test(mem_turns, who_gets_no_processor_thrashes_by_what_it_waits_for_memory)
{
	cr_expect(get_turns(true));
}

/* Guest 0 has a turn, and guest 1 waits for one. */
static void start_a_turn(struct round *round)
{
	start(round);
	evict_two(round);
	cr_assert_lt(look_till(round, 3, 0, TURN_HAS), ENOUGH);
}

Test(mem_turns, who_waits_for_a_processor_has_not_been_brought_in)
{
	static struct round round;
	pid_t idle = idle_process();

	start_a_turn(&round);
	cr_expect_eq(state(&round, 1), TURN_WAITS);
	/* It has not run: no sign that it has what it needs. Nor has it lost its turn: it may get a processor. */
	round.guests[0]->space->options.pid = idle;
	round.processors_short = true;
	for (u32 i = 0; i < 15; i++) {
		look(&round, 2);
		cr_expect_eq(state(&round, 0), TURN_HAS);
		cr_expect_eq(state(&round, 1), TURN_WAITS);
	}
	/* It runs. */
	round.guests[0]->space->options.pid = 0;
	cr_expect_leq(look_till(&round, 2, 1, TURN_HAS), 3);
	stop(&round);
	kill(idle, SIGKILL);
	waitpid(idle, NULL, 0);
}

Test(mem_turns, a_wait_that_goes_on_for_many_looks_is_no_rest)
{
	static struct round round;
	pid_t idle = idle_process();

	start_a_turn(&round);
	/* It waits for a slow disk: what it has missed is counted when that is over. */
	round.guests[0]->space->options.pid = idle;
	for (u32 i = 0; i < 40; i++) {
		wait_so_long(&round, 0, LOOK);
		look(&round, 2);
		cr_assert_eq(state(&round, 0), TURN_HAS);
		cr_assert_eq(state(&round, 1), TURN_WAITS);
	}
	round.guests[0]->space->options.pid = 0;
	stop(&round);
	kill(idle, SIGKILL);
	waitpid(idle, NULL, 0);
}

/* Two guests lose that part of their time, in 1024ths, for so many looks; with turns all of it, as who waits does. Returns
 * at how many of the looks somebody had a turn. */
static u32 looks_with_turns(struct round *round, u64 part, u32 looks)
{
	u32 with = 0;

	for (u32 i = 0; i < looks; i++) {
		for (u32 j = 0; j < 2; j++)
			stall(round, j, state(round, j) == TURN_WAITS ? LOOK : LOOK * part / 1024);
		look(round, 0);
		with += state(round, 0) == TURN_HAS || state(round, 1) == TURN_HAS;
	}
	return with;
}

#define SECOND (NSEC_PER_SEC / LOOK)

Test(mem_turns, where_guests_lose_little_without_turns_they_are_given_up)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	/* Who waits loses all. */
	cr_expect_gt(looks_with_turns(&round, 256, 3 * SECOND), SECOND);
	looks_with_turns(&round, 256, SECOND / 2);
	/* They are taken again after 3, 6 and 12 seconds, for one and the first turn of it. */
	cr_expect_lt(looks_with_turns(&round, 256, 30 * SECOND), 8 * SECOND);
	/* They come back when guests lose more. */
	looks_with_turns(&round, 640, 60 * SECOND);
	cr_expect_gt(looks_with_turns(&round, 640, 10 * SECOND), 5 * SECOND);
	stop(&round);
}

Test(mem_turns, where_guests_lose_much_without_turns_they_go_on)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	looks_with_turns(&round, 640, SECOND);
	/* Less a look at what they would lose, now and then. */
	cr_expect_gt(looks_with_turns(&round, 640, 60 * SECOND), 55 * SECOND);
	stop(&round);
}

Test(mem_turns, no_turn_lasts_longer_than_four_seconds)
{
	static struct round round;
	u32 looks = 0;

	start(&round);
	evict_two(&round);
	/* The first look at what is lost without turns is over, the next is some seconds away. */
	looks_with_turns(&round, 640, 5 * SECOND);
	cr_assert_lt(look_till(&round, 3, 0, TURN_HAS), ENOUGH);
	round.guests[1]->space->turn.had = 1e18; /* the first one never catches up with that */
	for (; state(&round, 0) == TURN_HAS && looks < 2000; looks++)
		look(&round, 2);
	cr_expect_leq(looks, 4 * SECOND);
	stop(&round);
}

Test(mem_turns, switched_off_they_end_all)
{
	static struct round round;

	start(&round);
	evict_two(&round);
	cr_assert_lt(look_till(&round, 3, 0, TURN_HAS), ENOUGH);
	turns_enable(round.turns, false);
	look(&round, 3);
	cr_expect_eq(state(&round, 0), TURN_NONE);
	cr_expect_eq(state(&round, 1), TURN_NONE);
	stop(&round);
}

/* Takes memory for a while, or until the second guest has nothing left. */
static void take(struct round *round, struct reclaimer *reclaimer)
{
	u64 until = clock_now_ns() + 10 * NSEC_PER_SEC;

	while (page_table_count(&round->guests[1]->space->table, PAGE_RESIDENT) &&
	       clock_now_ns() < until) {
		cr_assert_geq(reclaimer->ops->scan(reclaimer, MiB), 0);
		usleep(1000);
	}
}

static u64 left_after_taking(enum turn_state first)
{
	static struct round round;
	struct clock *clock;
	u64 left;

	start(&round);
	clock = clock_create(&round.rig.memory);
	mem_guest_evict_all(round.guests[2]);
	atomic_store(&round.guests[0]->space->turn.state, first);
	take(&round, clock_reclaimer(clock));
	left = page_table_count(&round.guests[0]->space->table, PAGE_RESIDENT);
	clock_destroy(clock);
	stop(&round);
	return left;
}

Test(mem_turns, who_has_one_is_spared_while_others_have_memory)
{
	cr_expect_eq(left_after_taking(TURN_HAS), PAGES);
}

Test(mem_turns, without_one_nobody_is_spared)
{
	cr_expect_lt(left_after_taking(TURN_NONE), PAGES);
}

/* How long a guest in that state waits for a page, in ns. */
static u64 fault(struct round *round, u64 page)
{
	u64 began = clock_now_ns();

	(void)*(volatile u8 *)(round->guests[0]->ram + page * PAGE_SIZE);
	return clock_now_ns() - began;
}

static void *end_the_wait(void *argument)
{
	struct round *round = argument;

	usleep(5000);
	turns_enable(round->turns, false);
	turns_look(round->turns, clock_now_ns(), false);
	return NULL;
}

Test(mem_turns, who_waits_is_served_now_and_then)
{
	static struct round round;
	const u64 enough = 4 * 19 * NSEC_PER_MSEC;
	const _Atomic u64 *waited_ns;
	u64 least = UINT64_MAX;

	start(&round);
	evict_two(&round);
	waited_ns = &round.guests[0]->space->turn.waited_ns;
	atomic_store(&round.guests[0]->space->turn.state, TURN_WAITS);
	/* A handler that is kept from its processor waits the less. No page that is zero: it is not waited for. */
	for (u32 i = 0; i < 4 || (i < 16 && atomic_load(waited_ns) < enough); i++) {
		u64 waited = fault(&round, i * 7 * 2 * GROUP_PAGES);

		least = MIN(least, waited);
	}
	cr_expect_geq(least, 19 * NSEC_PER_MSEC);
	cr_expect_geq(atomic_load(waited_ns), enough);
	stop(&round);
}

Test(mem_turns, who_gets_its_turn_waits_no_longer)
{
	static struct round round;
	u64 least = UINT64_MAX;

	start(&round);
	evict_two(&round);
	for (u32 i = 0; i < 18 && least >= 19 * NSEC_PER_MSEC; i++) {
		pthread_t other;
		u64 waited;

		turns_enable(round.turns, true);
		atomic_store(&round.guests[0]->space->turn.state, TURN_WAITS);
		pthread_create(&other, NULL, end_the_wait, &round);
		/* None of those that are zero: they are not waited for. */
		waited = fault(&round, i * 7 * 2 * GROUP_PAGES);
		least = MIN(least, waited);
		pthread_join(other, NULL);
	}
	cr_expect_lt(least, 19 * NSEC_PER_MSEC);
	stop(&round);
}

/* One guest of the storm: it writes pages at random and reads what it wrote. */
struct worker {
	struct mem_guest *guest;
	u32 versions[PAGES];
	u64 wrong;
	_Atomic bool *stop;
	pthread_t thread;
};

static void *work(void *argument)
{
	struct worker *worker = argument;
	u64 random = (u64)(uintptr_t)worker | 1;

	while (!atomic_load(worker->stop)) {
		u64 page = mem_random(&random) % PAGES;

		worker->wrong += !mem_guest_check(worker->guest, page, worker->versions[page]);
		if (mem_random(&random) % 4 == 0)
			mem_guest_write(worker->guest, page, ++worker->versions[page]);
	}
	return NULL;
}

static u64 turns_given(const struct round *round)
{
	u64 given = 0;

	for (u32 i = 0; i < GUESTS; i++)
		given += atomic_load(&round->guests[i]->space->turn.given);
	return given;
}

/* Real thrashing, real turns: who writes while others are brought in loses nothing. */
Test(mem_turns, guests_that_take_turns_lose_nothing)
{
	static struct worker workers[GUESTS];
	static struct round round;
	struct reclaimer *reclaimers[2] = {NULL};
	struct reclaim *reclaim;
	struct clock *clock;
	_Atomic bool over = false;
	u64 until, looked_ns;

	start(&round);
	clock = clock_create(&round.rig.memory);
	reclaimers[0] = clock_reclaimer(clock);
	cr_assert_eq(reclaim_create(&round.rig.memory, reclaimers, 20, &reclaim), 0);
	budget_set_limit(&round.rig.memory.budget, GUESTS * BYTES / 2);
	cr_assert_eq(turns_start(round.turns), 0);
	for (u32 i = 0; i < GUESTS; i++) {
		workers[i].guest = round.guests[i];
		workers[i].stop = &over;
		for (u32 page = 0; page < PAGES; page++)
			workers[i].versions[page] = i + 1;
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	until = clock_now_ns() + 30 * NSEC_PER_SEC;
	/* Where computing is slow, as under a sanitizer, turns would not be worth it: nobody may find that out. */
	looked_ns = clock_now_ns();
	while (turns_given(&round) < ENOUGH_TURNS && clock_now_ns() < until) {
		u64 now_ns = clock_now_ns();

		for (u32 i = 0; i < GUESTS; i++) {
			if (state(&round, i) != TURN_HAS)
				stall(&round, i, now_ns - looked_ns);
		}
		looked_ns = now_ns;
		usleep(LOOK / NSEC_PER_USEC);
	}
	atomic_store(&over, true);
	for (u32 i = 0; i < GUESTS; i++) {
		pthread_join(workers[i].thread, NULL);
		cr_expect_eq(workers[i].wrong, 0, "guest %u: %lu pages not as written", i,
			     workers[i].wrong);
	}
	cr_expect_geq(turns_given(&round), ENOUGH_TURNS);
	/* A handler may still bring what follows the last fault. */
	for (u32 i = 0; i < GUESTS; i++)
		mem_guest_settle(round.guests[i]);
	reclaim_destroy(reclaim);
	clock_destroy(clock);
	stop(&round);
}
