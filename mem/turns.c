/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/turns.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/processors.h"
#include "lib/thread.h"
#include "mem/space.h"
#include "mem/turns_worth.h"

#define LOOK_NS	     (4 * NSEC_PER_MSEC)
#define LOOK_CALM_NS (32 * NSEC_PER_MSEC) /* while nobody thrashes */
#define LOOK_PART    16U /* a look at many guests takes long: a sixteenth of the time at most */
/* What a guest loses is an average over some so many looks. */
#define LOSS_LOOKS 8
/* Who loses less than that does not thrash. */
#define SHARE_LITTLE (SHARE_ONE / 16)
/*
 * Time in which a guest neither ran nor waited for memory makes what it waits matter less: it had nothing to do. But where
 * processors are short it has more likely waited for one, and where it waits for a turn, for its handler, which does; so much
 * of that time counts then.
 */
#define SHORT_PART 4
/* It has been worth a turn when it has waited so long for each page that is stored of it. */
#define SUFFER_PAGE_NS (2 * NSEC_PER_USEC)
/* Who has missed nothing for so long gets along. */
#define RELIEF_NS (200 * NSEC_PER_MSEC)
/* The least of a turn after it has been brought in; the most of bringing in, for each page that this may take; and the most of
 * all of it, for the sake of the others. */
#define CALM_LEAST_NS (20 * NSEC_PER_MSEC)
#define MOST_BASE_NS  (100 * NSEC_PER_MSEC)
#define MOST_PAGE_NS  (250 * NSEC_PER_USEC)
#define MOST_NS	      (4 * NSEC_PER_SEC)
/* Who has a turn and for so long has run, or had nothing to do, without being held up has been brought in: in that time a
 * processor gets through some hundred pages, so the way to the next fault is not taken for it, nor a wait for a processor. */
#define QUIET_NS (5 * NSEC_PER_MSEC)
/* Who has a turn, is not held up and uses less of a processor than that does nothing with it. For so long it may: what a VMM has
 * used can be a tick of 10 ms old. */
#define IDLE_PART 16U
#define IDLE_NS	  (22 * NSEC_PER_MSEC)
/* So much of a guest must fit. */
#define FIT_NUM 7U
#define FIT_DEN 8U
/* The next is brought in while those who have a turn hold less of what is resident, in per cent. */
#define HELD_PERCENT 60U
/* So long a fault waits for a turn, then it is served without: a guest that waits still gets on. */
#define WAIT_NS	      (20 * NSEC_PER_MSEC)
#define WAIT_PIECE_NS (2 * NSEC_PER_MSEC) /* of a VMM that may have something to say meanwhile */

struct turns {
	struct memory *memory;
	pthread_mutex_t lock; /* innermost; around changes of states, which guests wait for */
	pthread_cond_t changed;
	_Atomic bool stop;
	_Atomic bool on;
	u64 looked_ns; /* 0: never */
	bool busy;     /* at the last look somebody thrashed, waited or had a turn */
	struct turns_worth worth;
	u64 mins;     /* of all guests */
	double least; /* of those who waited when somebody last did, what one has had, at the least */
	bool started;
	pthread_t thread;
};

/* What one look has found. */
struct view {
	u64 now_ns, passed_ns;
	u32 waiting, having, ended;
	bool bringing; /* somebody's turn has only begun */
	u64 held;      /* pages resident in those who have a turn */
	u32 next;      /* who waits and has had least, by its shares */
	double least;  /* that */
	u64 mins;      /* of all guests, in pages, as of the look before */
	double behind; /* the same, at the look before */
	struct loss loss; /* of those who thrash, wait for a turn or have one */
	bool taken;	  /* turns are */
	bool processors_short;
};

/* What a guest's threads have done since the last look. */
struct spell {
	u64 lost_ns;  /* waited for what was stored */
	u64 ran_ns;   /* had a processor, to work or to fault */
	u64 rest_ns;  /* had nothing to do, as far as that is known: each of them, on average */
	bool held_up; /* what it lost was no small part of what it could have run */
};

static enum turn_state state_of(const struct space *space)
{
	return atomic_load_explicit(&space->turn.state, memory_order_relaxed);
}

bool turns_has(const struct space *space)
{
	return state_of(space) == TURN_HAS;
}

static void enter(struct space *space, enum turn_state state, u64 now_ns)
{
	struct turns *turns = space->memory->turns;

	pthread_mutex_lock(&turns->lock);
	atomic_store(&space->turn.state, state);
	pthread_cond_broadcast(&turns->changed);
	pthread_mutex_unlock(&turns->lock);
	space->turn.since_ns = now_ns;
}

/* What the VMM has used of processors. False: unknown. */
static bool cpu_time(const struct space *space, u64 *ns)
{
	struct timespec time;
	clockid_t clock;

	if (space->options.pid <= 0 || clock_getcpuclockid(space->options.pid, &clock) ||
	    clock_gettime(clock, &time))
		return false;
	*ns = (u64)time.tv_sec * NSEC_PER_SEC + (u64)time.tv_nsec;
	return true;
}

static u64 shares_of(const struct space *space)
{
	return MAX(atomic_load_explicit(&space->entitlement.shares, memory_order_relaxed), 1UL);
}

/* What has come to a counter since the last look. */
static u64 advance(u64 *seen, u64 now)
{
	u64 before = *seen;

	*seen = now;
	return now - before;
}

/* Whether nearly all of it could be brought in, with the others at their mins: else it would never be in. */
static bool fits(const struct space *space, const struct view *view)
{
	u64 pages = page_table_count(&space->table, PAGE_RESIDENT) + space_stored_pages(space);
	u64 others = view->mins - MIN(view->mins, atomic_load(&space->entitlement.min));

	return pages / FIT_DEN * FIT_NUM + others <= memory_resident_pages(space->memory);
}

/* Its VMM's since the last look. False: unknown. */
static bool cpu_since(struct space *space, u64 *ns)
{
	u64 before = space->turn.cpu_ns, now;

	if (!cpu_time(space, &now))
		return false;
	space->turn.cpu_ns = now;
	*ns = before ? now - MIN(now, before) : 0;
	return true;
}

static struct spell look_back(struct space *space, const struct view *view)
{
	struct turn *turn = &space->turn;
	u64 stall_ns = advance(&turn->stall_ns, pressure_waited_ns(&space->pressure, view->now_ns));
	u64 threads = MAX(space->options.threads, 1U), all_ns = view->passed_ns * threads, rest_ns;
	struct spell spell = {0};

	/* A miss is counted when its wait is over. */
	if (advance(&turn->missed, atomic_load(&space->counters.missed)))
		turn->missing = LOSS_LOOKS;
	else if (turn->missing && stall_ns < view->passed_ns / 2)
		turn->missing--;
	if (turn->missing)
		spell.lost_ns = stall_ns;
	if (!cpu_since(space, &spell.ran_ns))
		spell.ran_ns = all_ns - MIN(all_ns, spell.lost_ns);
	spell.held_up = spell.lost_ns * SHARE_ONE > (spell.lost_ns + spell.ran_ns) * SHARE_LITTLE;
	rest_ns = all_ns - MIN(all_ns, spell.lost_ns + spell.ran_ns);
	if (view->processors_short || state_of(space) == TURN_WAITS)
		rest_ns /= SHORT_PART;
	/* A wait for a page that is being read ahead is in no counter. */
	if (!atomic_load(&space->reading_ahead))
		spell.rest_ns = rest_ns / threads;
	turn->lost_ns += spell.lost_ns - turn->lost_ns / LOSS_LOOKS;
	turn->own_ns += spell.lost_ns + spell.ran_ns + rest_ns - turn->own_ns / LOSS_LOOKS;
	return spell;
}

/* What part of its time it loses. */
static u64 share_lost(const struct turn *turn)
{
	return turn->lost_ns * SHARE_ONE / MAX(turn->own_ns, 1UL);
}

/* A guest without a turn. */
static void look_at_others(struct space *space, struct view *view, const struct spell *spell)
{
	struct turn *turn = &space->turn;
	bool thrashes = share_lost(turn) >= SHARE_LITTLE;

	if (thrashes) {
		turn->since_ns = view->now_ns;
		turn->suffered_ns += spell->lost_ns;
	} else if (view->now_ns - turn->since_ns > RELIEF_NS) {
		turn->suffered_ns = 0;
	}
	/* What is within a min was promised. */
	if (thrashes && view->taken &&
	    turn->suffered_ns > space_stored_pages(space) * SUFFER_PAGE_NS &&
	    entitlement_standing(space) > STANDING_WITHIN_MIN && fits(space, view)) {
		enter(space, TURN_WAITS, view->now_ns);
		/* What it has not had while it did not ask it does not get later. */
		turn->had = MAX(turn->had, view->behind);
	}
}

static bool does_nothing(struct turn *turn, const struct view *view, const struct spell *spell)
{
	if (spell->held_up || spell->ran_ns > view->passed_ns / IDLE_PART)
		turn->idle_ns = 0;
	else
		turn->idle_ns += spell->rest_ns;
	return turn->idle_ns >= IDLE_NS;
}

/* It has run for as long as it took to bring it in, and some other has had less memory than it had, by their shares; or it
 * takes too long. */
static bool has_had_its_turn(const struct turn *turn, const struct view *view)
{
	return view->now_ns - turn->since_ns >= MOST_NS || turn->bringing_ns >= turn->most_ns ||
	       (turn->had >= view->behind &&
		turn->calm_ns >= MAX(turn->bringing_ns, CALM_LEAST_NS));
}

/* A guest that has a turn. */
static void look_at_holder(struct space *space, struct view *view, const struct spell *spell)
{
	struct turn *turn = &space->turn;
	bool in;

	if (spell->held_up)
		turn->quiet_ns = 0;
	else
		turn->quiet_ns += spell->ran_ns + (view->processors_short ? 0 : spell->rest_ns);
	in = turn->quiet_ns >= QUIET_NS;
	*(in ? &turn->calm_ns : &turn->bringing_ns) += view->passed_ns;
	if (does_nothing(turn, view, spell) || has_had_its_turn(turn, view)) {
		turn->suffered_ns = 0;
		turn->lost_ns = 0;
		enter(space, TURN_NONE, view->now_ns);
		view->ended++;
		return;
	}
	view->having++;
	view->held += page_table_count(&space->table, PAGE_RESIDENT);
	view->bringing |= !in;
}

static void look_at(struct space *space, struct view *view)
{
	struct turn *turn = &space->turn;
	struct spell spell = look_back(space, view);

	if (view->taken)
		turn->had += (double)page_table_count(&space->table, PAGE_RESIDENT) *
			     (double)view->passed_ns / (double)shares_of(space);
	if (state_of(space) == TURN_NONE)
		look_at_others(space, view, &spell);
	else if (state_of(space) == TURN_HAS)
		look_at_holder(space, view, &spell);
	if (state_of(space) != TURN_NONE || share_lost(turn) >= SHARE_LITTLE) {
		view->loss.shares += share_lost(turn);
		view->loss.guests++;
	}
	if (state_of(space) == TURN_WAITS) {
		if (!view->waiting++ || turn->had < view->least) {
			view->next = space->id;
			view->least = turn->had;
		}
	}
}

static void give_turn(struct space *space, u64 now_ns)
{
	struct turn *turn = &space->turn;

	turn->calm_ns = turn->bringing_ns = turn->quiet_ns = turn->idle_ns = 0;
	turn->most_ns = MOST_BASE_NS + space_stored_pages(space) * MOST_PAGE_NS;
	atomic_fetch_add_explicit(&turn->given, 1, memory_order_relaxed);
	enter(space, TURN_HAS, now_ns);
}

static void end_all(struct memory *memory, u64 now_ns)
{
	u32 used = atomic_load(&memory->slots_used);

	for (u32 i = 0; i < used; i++) {
		struct space *space = memory_get_space(memory, i);

		if (!space)
			continue;
		if (state_of(space) != TURN_NONE)
			enter(space, TURN_NONE, now_ns);
		space_put(space);
	}
}

static void decide(struct memory *memory, const struct view *view)
{
	struct space *space;

	if (!view->waiting)
		return;
	/* Who is alone has nobody to take turns with. */
	if (view->waiting + view->having + view->ended < 2) {
		end_all(memory, view->now_ns);
		return;
	}
	if (view->bringing || view->held * 100 > memory_resident_pages(memory) * HELD_PERCENT)
		return;
	space = memory_get_space(memory, view->next);
	if (!space)
		return;
	give_turn(space, view->now_ns);
	space_put(space);
}

void turns_look(struct turns *turns, u64 now_ns, bool processors_short)
{
	struct memory *memory = turns->memory;
	u32 used = atomic_load(&memory->slots_used);
	bool on = atomic_load_explicit(&turns->on, memory_order_relaxed);
	struct view view = {
		.now_ns = now_ns,
		.passed_ns = turns->looked_ns ? now_ns - turns->looked_ns : 0,
		.taken = on && turns->worth.mode == TURNS_TAKEN,
		.processors_short = processors_short,
		.loss.looks = 1,
		.behind = turns->least,
		.mins = turns->mins,
	};

	turns->looked_ns = now_ns;
	turns->mins = 0;
	for (u32 i = 0; i < used; i++) {
		struct space *space = memory_get_space(memory, i);

		if (!space)
			continue;
		turns->mins += atomic_load(&space->entitlement.min);
		look_at(space, &view);
		space_put(space);
	}
	if (view.waiting)
		turns->least = view.least;
	if (view.taken)
		decide(memory, &view);
	if (on)
		turns_worth_look(&turns->worth, now_ns, &view.loss, view.ended);
	else
		turns_worth_init(&turns->worth);
	if (turns->worth.mode != TURNS_TAKEN && (view.waiting || view.having))
		end_all(memory, now_ns);
	turns->busy = on && view.loss.guests;
}

void turns_wait(struct space *space, u64 began_ns)
{
	struct turns *turns = space->memory->turns;
	u64 start_ns, now_ns;

	if (state_of(space) != TURN_WAITS)
		return;
	start_ns = now_ns = clock_now_ns();
	pthread_mutex_lock(&turns->lock);
	while (state_of(space) == TURN_WAITS && now_ns < began_ns + WAIT_NS &&
	       !space_is_called(space)) {
		u64 piece_ns = space->options.removes ? WAIT_PIECE_NS : WAIT_NS;

		condition_wait(&turns->changed, &turns->lock,
			       MIN(now_ns + piece_ns, began_ns + WAIT_NS));
		now_ns = clock_now_ns();
	}
	pthread_mutex_unlock(&turns->lock);
	atomic_fetch_add_explicit(&space->turn.waited_ns, now_ns - start_ns, memory_order_relaxed);
}

void turns_enable(struct turns *turns, bool on)
{
	atomic_store_explicit(&turns->on, on, memory_order_relaxed);
}

static void *run(void *argument)
{
	struct turns *turns = argument;
	struct processors processors;

	pthread_setname_np(pthread_self(), "turns");
	processors_open(&processors);
	while (!atomic_load(&turns->stop)) {
		u64 began_ns = clock_read_ns(CLOCK_THREAD_CPUTIME_ID), took_ns, pause_ns;

		turns_look(turns, clock_now_ns(), processors_are_short(&processors));
		took_ns = clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns;
		pause_ns = MAX(turns->busy ? LOOK_NS : LOOK_CALM_NS, took_ns * LOOK_PART);
		usleep((useconds_t)(pause_ns / NSEC_PER_USEC));
	}
	processors_close(&processors);
	return NULL;
}

int turns_create(struct memory *memory, struct turns **out)
{
	struct turns *turns = calloc(1, sizeof(*turns));

	if (!turns)
		return -ENOMEM;
	turns->memory = memory;
	atomic_init(&turns->on, true);
	turns_worth_init(&turns->worth);
	pthread_mutex_init(&turns->lock, NULL);
	condition_init(&turns->changed);
	memory->turns = turns;
	*out = turns;
	return 0;
}

int turns_start(struct turns *turns)
{
	int result = thread_start(&turns->thread, run, turns);

	turns->started = !result;
	return result;
}

void turns_destroy(struct turns *turns)
{
	atomic_store(&turns->stop, true);
	if (turns->started)
		pthread_join(turns->thread, NULL);
	turns->memory->turns = NULL;
	pthread_cond_destroy(&turns->changed);
	pthread_mutex_destroy(&turns->lock);
	free(turns);
}
