/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/turns.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/thread.h"
#include "mem/space.h"

#define LOOK_NS	     (4 * NSEC_PER_MSEC)
#define LOOK_CALM_NS (32 * NSEC_PER_MSEC) /* while nobody thrashes */
/* Shares of the time that a guest's threads wait for memory: in 1024ths, on average over some LOAD_WEIGHT looks. */
#define SHARE_ONE   1024
#define LOAD_WEIGHT 8
/* Who waits less than that does not thrash; and who has a turn and does, at one look, is in. */
#define SHARE_LITTLE (SHARE_ONE / 16)
/* When those who thrash wait so much, on average, turns are tried ... */
#define SHARE_TRY (SHARE_ONE / 8)
/*
 * ... and are worth it if without them the guests lose more. With turns they run for that part of the time that is the part of
 * their memory which fits; what they lose without is seen in part only, because what is measured begins when a fault is read
 * and ends before its guest wakes: of a loss of all, two fifths to a half.
 */
#define SEEN_NUM  5
#define SEEN_DEN  8
#define SEEN_MOST (SHARE_ONE * 9 / 25)
/* What they lose is looked at now and then, for a while without turns, of which the first third does not count. Each time that
 * they prove to be worth it, or not, it is left so for twice as long. */
#define TRIAL_NS       (300 * NSEC_PER_MSEC)
#define TRIAL_BEGIN_NS (100 * NSEC_PER_MSEC)
#define KEEP_FIRST_NS  (3 * NSEC_PER_SEC)
#define KEEP_MOST_NS   (60 * NSEC_PER_SEC)
/* It has been worth a turn when it has waited so long for each page that is stored of it. */
#define SUFFER_PAGE_NS (2 * NSEC_PER_USEC)
/* Who has missed nothing for so long gets along. */
#define RELIEF_NS (200 * NSEC_PER_MSEC)
/* The least of a turn in which nothing is missed; the most in which something is, for each page that it may have to bring
 * in; and the most of all of it, for the sake of the others. */
#define CALM_LEAST_NS (20 * NSEC_PER_MSEC)
#define MOST_BASE_NS  (100 * NSEC_PER_MSEC)
#define MOST_PAGE_NS  (100 * NSEC_PER_USEC)
#define MOST_NS	      (4 * NSEC_PER_SEC)
/* Who has a turn, misses nothing and uses less of a processor than that does nothing with it. */
#define IDLE_PART  16U
#define IDLE_LOOKS 3U
/* So much of a guest must fit. */
#define FIT_NUM 7U
#define FIT_DEN 8U
/* The next is brought in while those who have a turn hold less of what is resident, in per cent. */
#define HELD_PERCENT 60U
/* So long a fault waits for a turn, then it is served without: a guest that waits still gets on. */
#define WAIT_NS	      (20 * NSEC_PER_MSEC)
#define WAIT_PIECE_NS (2 * NSEC_PER_MSEC) /* of a VMM that may have something to say meanwhile */

enum mode {
	MODE_FREE,  /* all get along as they can */
	MODE_TURNS, /* those who thrash take turns */
	MODE_TRIAL, /* it is looked at what they lose without */
	MODE_NO,    /* as free; turns were not worth it */
};

struct turns {
	struct memory *memory;
	pthread_mutex_t lock; /* innermost; around changes of states, which guests wait for */
	pthread_cond_t changed;
	_Atomic bool stop;
	_Atomic bool on;
	u64 looked_ns; /* 0: never */
	bool busy;     /* at the last look somebody thrashed, waited or had a turn */
	enum mode mode;
	u64 mode_since_ns;
	u64 mins;     /* of all guests */
	double least; /* of those who waited when somebody last did, what one has had, at the least */
	u64 used_ns;	   /* when somebody last had a use for turns */
	bool worth;	   /* the last verdict */
	u64 keep_ns;	   /* so long it holds */
	u64 lost, lost_by; /* shares seen in this trial, summed, and of how many */
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
	/* Shares of the time of those who thrash, and neither have a turn nor wait for one: summed, and how many they are. */
	u64 lost, lost_by;
	bool taken; /* turns are */
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

/* A guest without a turn. */
static void look_at_others(struct space *space, struct view *view, u64 stall_ns)
{
	struct turn *turn = &space->turn;
	bool thrashes = turn->load >= SHARE_LITTLE;

	if (thrashes) {
		view->lost += (u64)turn->load;
		view->lost_by++;
		turn->since_ns = view->now_ns;
		turn->suffered_ns += stall_ns;
	} else if (view->now_ns - turn->since_ns > RELIEF_NS) {
		turn->suffered_ns = 0;
	}
	/* What is within a min was promised. */
	if (thrashes && view->taken && entitlement_standing(space) > STANDING_WITHIN_MIN &&
	    fits(space, view) && turn->suffered_ns > space_stored_pages(space) * SUFFER_PAGE_NS) {
		enter(space, TURN_WAITS, view->now_ns);
		/* What it has not had while it did not ask it does not get later. */
		turn->had = MAX(turn->had, view->behind);
	}
}

static bool does_nothing(struct space *space, const struct view *view, bool stalled)
{
	struct turn *turn = &space->turn;
	u64 cpu_ns;

	if (!cpu_time(space, &cpu_ns) || stalled ||
	    advance(&turn->cpu_ns, cpu_ns) > view->passed_ns / IDLE_PART)
		turn->idle = 0;
	else
		turn->idle++;
	return turn->idle >= IDLE_LOOKS;
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
static void look_at_holder(struct space *space, struct view *view, bool stalled)
{
	struct turn *turn = &space->turn;

	if (stalled)
		turn->bringing_ns += view->passed_ns;
	else
		turn->calm_ns += view->passed_ns;
	if (does_nothing(space, view, stalled) || has_had_its_turn(turn, view)) {
		turn->suffered_ns = 0;
		turn->load = 0;
		enter(space, TURN_NONE, view->now_ns);
		view->ended++;
		return;
	}
	view->having++;
	view->held += page_table_count(&space->table, PAGE_RESIDENT);
	view->bringing |= stalled || !turn->calm_ns;
}

static void look_at(struct space *space, struct view *view)
{
	struct turn *turn = &space->turn;
	u64 stall_ns = advance(&turn->stall_ns, atomic_load(&space->counters.stall_ns));
	u64 missed = advance(&turn->missed, atomic_load(&space->counters.missed));
	u64 most_ns = MAX(view->passed_ns * MAX(space->options.threads, 1U), 1UL);
	u64 share = missed ? MIN(stall_ns * SHARE_ONE / most_ns, (u64)SHARE_ONE) : 0;

	if (view->taken)
		turn->had += (double)page_table_count(&space->table, PAGE_RESIDENT) *
			     (double)view->passed_ns / (double)shares_of(space);
	turn->load += ((s32)share - turn->load) / LOAD_WEIGHT;
	if (state_of(space) == TURN_NONE)
		look_at_others(space, view, stall_ns);
	else if (state_of(space) == TURN_HAS)
		look_at_holder(space, view, share >= SHARE_LITTLE);
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

	turn->calm_ns = turn->bringing_ns = 0;
	turn->most_ns = MOST_BASE_NS + space_stored_pages(space) * MOST_PAGE_NS;
	turn->idle = 0;
	cpu_time(space, &turn->cpu_ns);
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

/* What those who thrash must be seen to lose, in shares, that turns are worth it. */
static u64 worth_from(struct memory *memory)
{
	u64 resident = memory_resident_pages(memory), stored = memory_stored_pages(memory);
	u64 seen = stored * SHARE_ONE * SEEN_NUM / SEEN_DEN / MAX(resident + stored, 1UL);

	return MIN(seen, (u64)SEEN_MOST);
}

static void change_mode(struct turns *turns, enum mode mode, u64 now_ns)
{
	turns->mode = mode;
	turns->mode_since_ns = now_ns;
	turns->lost = turns->lost_by = 0;
	if (mode != MODE_TURNS)
		end_all(turns->memory, now_ns);
}

/* A trial is over. */
static void judge(struct turns *turns, u64 now_ns)
{
	bool worth = turns->lost >= turns->lost_by * worth_from(turns->memory);

	if (!turns->lost_by) {
		change_mode(turns, MODE_FREE, now_ns);
		return;
	}
	turns->keep_ns =
		turns->worth == worth ? MIN(turns->keep_ns * 2, KEEP_MOST_NS) : KEEP_FIRST_NS;
	turns->worth = worth;
	change_mode(turns, worth ? MODE_TURNS : MODE_NO, now_ns);
}

static void step(struct turns *turns, const struct view *view)
{
	u64 passed_ns = view->now_ns - turns->mode_since_ns;

	switch (turns->mode) {
	case MODE_FREE:
		if (view->lost_by > 1 && view->lost >= view->lost_by * SHARE_TRY)
			change_mode(turns, turns->worth ? MODE_TURNS : MODE_TRIAL, view->now_ns);
		break;
	case MODE_TURNS:
		decide(turns->memory, view);
		if (view->lost_by || view->waiting || view->having)
			turns->used_ns = view->now_ns;
		if (view->now_ns - turns->used_ns > KEEP_FIRST_NS)
			change_mode(turns, MODE_FREE, view->now_ns);
		else if (passed_ns > turns->keep_ns)
			change_mode(turns, MODE_TRIAL, view->now_ns);
		break;
	case MODE_TRIAL:
		if (passed_ns > TRIAL_BEGIN_NS) {
			turns->lost += view->lost;
			turns->lost_by += view->lost_by;
		}
		if (passed_ns > TRIAL_NS)
			judge(turns, view->now_ns);
		break;
	case MODE_NO:
		if (passed_ns > turns->keep_ns)
			change_mode(turns, MODE_FREE, view->now_ns);
		break;
	}
}

void turns_look(struct turns *turns, u64 now_ns)
{
	struct memory *memory = turns->memory;
	u32 used = atomic_load(&memory->slots_used);
	struct view view = {
		.now_ns = now_ns,
		.passed_ns = turns->looked_ns ? now_ns - turns->looked_ns : 0,
		.taken = turns->mode == MODE_TURNS,
		.behind = turns->least,
		.mins = turns->mins,
	};

	turns->looked_ns = now_ns;
	turns->mins = 0;
	if (!atomic_load_explicit(&turns->on, memory_order_relaxed)) {
		change_mode(turns, MODE_FREE, now_ns);
		turns->busy = false;
		return;
	}
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
	step(turns, &view);
	turns->busy = view.lost_by || view.waiting || view.having;
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

	pthread_setname_np(pthread_self(), "turns");
	while (!atomic_load(&turns->stop)) {
		struct timespec pause = {
			.tv_nsec = (long)(turns->busy ? LOOK_NS : LOOK_CALM_NS),
		};

		nanosleep(&pause, NULL);
		turns_look(turns, clock_now_ns());
	}
	return NULL;
}

int turns_create(struct memory *memory, struct turns **out)
{
	struct turns *turns = calloc(1, sizeof(*turns));

	if (!turns)
		return -ENOMEM;
	turns->memory = memory;
	atomic_init(&turns->on, true);
	turns->worth = true;
	turns->keep_ns = KEEP_FIRST_NS;
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
