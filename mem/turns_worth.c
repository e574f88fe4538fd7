/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/turns_worth.h"

#include "lib/clock.h"

/* When those who thrash lose so much, on average, turns are taken ... */
#define SHARE_THRASHED (SHARE_ONE / 8)
/*
 * ... and are worth it if without them the guests lose more. That is seen in part only: what is measured begins when a fault is
 * read and ends before its guest wakes, and what a fault costs the guest's own processor counts as work. Of a loss of all,
 * six to seven tenths; of a wait for a turn, which is most of what is lost with them, nearly all.
 */
#define SEEN_NUM 5
#define SEEN_DEN 8
/* What they lose without is looked at for a while, and at some looks, of both of which the first third does not count. */
#define TRIAL_NS    (300 * NSEC_PER_MSEC)
#define TRIAL_LOOKS 24U
/* Each time that turns prove to be worth it, or not, it is left so for twice as long. */
#define KEEP_FIRST_NS (3 * NSEC_PER_SEC)
#define KEEP_MOST_NS  (60 * NSEC_PER_SEC)
/* After they were not worth it, what they lose with is looked at for so long. */
#define AGAIN_NS NSEC_PER_SEC
/* Of what is lost with turns some last looks count, for guests come and go: about a second. */
#define WITH_LOOKS 256U
/* So long nobody needs a turn, then there are none. */
#define UNUSED_NS (3 * NSEC_PER_SEC)

void turns_worth_init(struct turns_worth *worth)
{
	*worth = (struct turns_worth){.worth = true, .keep_ns = KEEP_FIRST_NS};
}

static void change(struct turns_worth *worth, enum turns_mode mode, u64 now_ns)
{
	worth->mode = mode;
	worth->since_ns = now_ns;
	worth->looks = 0;
}

/* Whether nobody has needed turns for long: then what was found does not hold for whoever will. */
static bool unused(struct turns_worth *worth, u64 now_ns, bool needed)
{
	if (needed)
		worth->used_ns = now_ns;
	if (now_ns - worth->used_ns <= UNUSED_NS)
		return false;
	worth->worth = true;
	worth->keep_ns = KEEP_FIRST_NS;
	return true;
}

static void take(struct turns_worth *worth, u64 now_ns)
{
	change(worth, TURNS_TAKEN, now_ns);
	worth->used_ns = now_ns;
	worth->with = (struct loss){0};
	worth->ended = false;
}

static void add(struct loss *sum, const struct loss *loss)
{
	sum->shares += loss->shares;
	sum->guests += loss->guests;
	sum->looks += loss->looks;
}

/* Who is alone has nobody to take turns with. */
static bool by_several(const struct loss *loss)
{
	return loss->guests > loss->looks;
}

static bool thrash(const struct loss *loss)
{
	return by_several(loss) && loss->shares >= loss->guests * SHARE_THRASHED;
}

/* Of all together: who does not thrash without turns loses nothing. */
static u64 per_look(const struct loss *loss)
{
	return loss->shares / MAX(loss->looks, 1UL);
}

/* A trial is over. */
static void judge(struct turns_worth *worth, u64 now_ns)
{
	bool worth_it = per_look(&worth->without) * SEEN_DEN >= per_look(&worth->with) * SEEN_NUM;

	worth->keep_ns =
		worth->worth == worth_it ? MIN(worth->keep_ns * 2, KEEP_MOST_NS) : KEEP_FIRST_NS;
	worth->worth = worth_it;
	if (worth_it)
		take(worth, now_ns);
	else
		change(worth, TURNS_NO, now_ns);
}

/* While the first is brought in all lose all: that is not what turns are like. */
static void begin_with(struct turns_worth *worth, u64 now_ns)
{
	worth->ended = true;
	worth->since_ns = now_ns;
	worth->with = (struct loss){0};
}

static void look_with(struct turns_worth *worth, u64 now_ns, const struct loss *loss, u32 ended)
{
	if (ended && !worth->ended)
		begin_with(worth, now_ns);
	if (worth->with.looks >= WITH_LOOKS)
		worth->with = (struct loss){worth->with.shares / 2, worth->with.guests / 2,
					    worth->with.looks / 2};
	add(&worth->with, loss);
	if (unused(worth, now_ns, by_several(loss))) {
		change(worth, TURNS_FREE, now_ns);
	} else if (worth->ended &&
		   now_ns - worth->since_ns > (worth->worth ? worth->keep_ns : AGAIN_NS)) {
		worth->without = (struct loss){0};
		change(worth, TURNS_TRIAL, now_ns);
	}
}

static void look_without(struct turns_worth *worth, u64 now_ns, const struct loss *loss)
{
	u64 passed_ns = now_ns - worth->since_ns;

	if (passed_ns > TRIAL_NS / 3 && worth->looks > TRIAL_LOOKS / 3)
		add(&worth->without, loss);
	if (passed_ns > TRIAL_NS && worth->looks >= TRIAL_LOOKS)
		judge(worth, now_ns);
}

void turns_worth_look(struct turns_worth *worth, u64 now_ns, const struct loss *loss, u32 ended)
{
	worth->looks++;
	switch (worth->mode) {
	case TURNS_FREE:
		if (thrash(loss))
			take(worth, now_ns);
		else
			unused(worth, now_ns, false);
		break;
	case TURNS_TAKEN:
		look_with(worth, now_ns, loss, ended);
		break;
	case TURNS_TRIAL:
		look_without(worth, now_ns, loss);
		break;
	case TURNS_NO:
		if (unused(worth, now_ns, thrash(loss)) ||
		    now_ns - worth->since_ns > worth->keep_ns)
			change(worth, TURNS_FREE, now_ns);
		break;
	}
}
