/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/target.h"

#include "balloon/shares.h"

#define FELT_MS	    3000 /* so long an inflation is felt, and shows in statistics */
#define STUCK_STEPS 4	 /* a driver that moves nothing for so many steps will not */

static const char *const action_names[] = {
	[TARGET_HOLD] = "hold",
	[TARGET_INFLATE] = "inflate",
	[TARGET_DEFLATE] = "deflate",
};

static const char *const reason_texts[TARGET_REASONS] = {
	[TARGET_FITS] = "has no more than its goal",
	[TARGET_NO_NEED] = "has more than its goal, but the host has enough",
	[TARGET_NO_BALLOON] = "has more than its goal, and no balloon driver",
	[TARGET_SMALL] = "is within a step of its goal",
	[TARGET_EXCESS] = "has more than its goal, and the host needs it",
	[TARGET_ABOVE_MAX] = "has more than its max",
	[TARGET_STOP_LOSS] = "has more than its goal, but giving it hurts: the rest is swapped",
	[TARGET_STUCK] =
		"has more than its goal, but its balloon does not follow: the rest is swapped",
	[TARGET_WANTED] = "may have more, and the host has it",
	[TARGET_NONE_FREE] = "may have more, but the host has not got it yet",
	[TARGET_AHEAD] = "will soon have more than its goal, and the host will be short",
};

const char *target_action_name(enum target_action action)
{
	return action <= TARGET_DEFLATE ? action_names[action] : "unknown";
}

const char *target_reason_text(enum target_reason reason)
{
	return reason < TARGET_REASONS ? reason_texts[reason] : "unknown";
}

static u64 excess(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

static u64 clamp(u64 value, u64 least, u64 most)
{
	return MIN(MAX(value, least), most);
}

/* What its balloon holds. Whatever it says, it cannot have given up more than all. */
static u64 given_up(const struct target_guest *guest)
{
	return MIN(guest->ballooned, guest->memory);
}

/* The most a guest may have. */
static u64 cap_of(const struct target_guest *guest)
{
	return MAX(MIN(MIN(guest->max, guest->limit), guest->memory), guest->min);
}

/* What it keeps whatever its share is: who counts on less has goals that cannot all be reached, and then they say
 * nothing any more about who should give. */
static u64 floor_of(const struct target_guest *guest)
{
	return guest->balloon ? guest->min : MIN(MAX(guest->min, guest->pinned), cap_of(guest));
}

/* What it can use now: what it has, wherever that is, and room to grow by a step. A guest that its balloon
 * hurts can use all it may have. */
static u64 want_of(const struct target_guest *guest, bool hurts)
{
	u64 cap = cap_of(guest);

	if (hurts)
		return cap;
	return clamp(guest->resident + guest->stored + guest->memory / TARGET_STEP_MOST, guest->min,
		     cap);
}

/* What can be given to guests: all but what is somebody else's, and what is to stay free. */
static u64 divisible(const struct target_host *host)
{
	return excess(host->budget, host->overhead + host_state_level(&host->levels, HOST_SOFT));
}

static void set_goals(const struct target_host *host, const struct target_guest *guests,
		      const struct target_memory *memories, u32 count,
		      struct target_decision *decisions)
{
	struct claim claims[TARGET_GUESTS_MAX];
	u64 missed = 0;

	for (u32 i = 0; i < count; i++)
		missed += memories[i].misses.per_ks;
	for (u32 i = 0; i < count; i++)
		claims[i] = (struct claim){
			.shares = (u32)clamp(guests[i].shares, 1, SHARES_MAX),
			.has = guests[i].resident,
			.active = guests[i].active,
			.calm = misses_calm(&memories[i].misses, missed, count),
			.floor = floor_of(&guests[i]),
			.want = want_of(&guests[i], memories[i].stoploss.hurts),
			.cap = cap_of(&guests[i]),
		};
	shares_divide(claims, count, divisible(host), MIN(host->tax_pct, 99U));
	for (u32 i = 0; i < count; i++)
		decisions[i].goal = claims[i].share;
}

/* Bytes by which the guest will have grown when its balloon has taken all it never touched, and can begin to
 * hold it back. */
static u64 growth_of(const struct target_guest *guest, const struct target_memory *memory)
{
	u64 held = given_up(guest) + guest->resident + guest->stored;
	u64 step = MAX(guest->memory / TARGET_STEP_MOST, 1UL);

	return outlook_growth(&memory->outlook, excess(guest->memory, held) / step + 1);
}

/* Whether the host will be short by then if all go on as they do. */
static bool will_be_short(const struct target_host *host, const struct target_guest *guests,
			  const struct target_memory *memories, u32 count)
{
	u64 growth = 0;

	for (u32 i = 0; i < count; i++)
		growth += growth_of(&guests[i], &memories[i]);
	return host->free < host_state_level(&host->levels, HOST_SOFT) + growth;
}

/* Counts the steps in which the balloon did not move towards what it was told. */
static void watch_balloon(const struct target_guest *guest, struct target_memory *memory)
{
	u64 least = guest->memory / TARGET_STEP_LEAST;

	if (given_up(guest) + least < memory->balloon && given_up(guest) <= memory->ballooned)
		memory->stuck++;
	else
		memory->stuck = 0;
	memory->ballooned = given_up(guest);
}

/* The balloon that leaves it its goal. */
static u64 balloon_for(const struct target_guest *guest, u64 goal)
{
	return excess(guest->memory, MAX(goal, guest->min));
}

/* What is the same for all guests in a step. */
struct outset {
	enum host_state state;
	bool soon_short;
	u64 spare; /* what balloons may give back; less after each */
	u64 now_ms;
};

/* Whether, and how far, to inflate a guest that has more than its goal, or will have. */
static void inflate(const struct outset *outset, const struct target_guest *guest,
		    struct target_memory *memory, bool held, struct target_decision *decision)
{
	bool pressed = outset->state >= HOST_SOFT || outset->soon_short;
	u64 wanted = balloon_for(guest, decision->goal);
	bool above_max = guest->memory - given_up(guest) > cap_of(guest);
	u64 step = guest->memory / TARGET_STEP_MOST;

	decision->balloon = MAX(memory->balloon, given_up(guest));
	decision->balloon = MIN(decision->balloon, wanted);
	if (!guest->balloon) {
		decision->reason = TARGET_NO_BALLOON;
	} else if (held) {
		decision->reason = TARGET_STOP_LOSS;
		decision->balloon = MIN(given_up(guest), wanted);
	} else if (!pressed && !above_max) {
		decision->reason = TARGET_NO_NEED;
	} else {
		decision->reason = memory->stuck >= STUCK_STEPS	      ? TARGET_STUCK
				   : !pressed			      ? TARGET_ABOVE_MAX
				   : guest->resident > decision->goal ? TARGET_EXCESS
								      : TARGET_AHEAD;
		if (!pressed)
			wanted = balloon_for(guest, cap_of(guest));
		decision->balloon = MIN(wanted, given_up(guest) + step);
		decision->action = TARGET_INFLATE;
	}
}

/* Gives back what the guest may have and the host has. */
static void deflate(struct outset *outset, const struct target_guest *guest,
		    struct target_decision *decision)
{
	u64 wanted = given_up(guest) - balloon_for(guest, decision->goal);
	u64 given = MIN(wanted, outset->spare);

	if (given < guest->memory / TARGET_STEP_LEAST && given < wanted) {
		decision->reason = TARGET_NONE_FREE;
		decision->balloon = given_up(guest);
		return;
	}
	outset->spare -= given;
	decision->balloon = given_up(guest) - given;
	decision->action = TARGET_DEFLATE;
	decision->reason = TARGET_WANTED;
}

/* Whether it has more than it should, or will have before its balloon could stop it. */
static bool has_excess(const struct outset *outset, const struct target_guest *guest,
		       const struct target_memory *memory, u64 goal)
{
	if (guest->resident > goal || guest->memory - given_up(guest) > cap_of(guest))
		return true;
	return outset->soon_short && guest->resident + growth_of(guest, memory) > goal;
}

static void decide_balloon(struct outset *outset, const struct target_guest *guest,
			   struct target_memory *memory, bool held,
			   struct target_decision *decision)
{
	u64 wanted = balloon_for(guest, decision->goal);
	u64 has = guest->memory - given_up(guest);
	u64 rest = guest->memory / (memory->stoploss.hurts ? TARGET_STEP_LEAST : TARGET_REST);

	decision->balloon = given_up(guest);
	if (guest->balloon && given_up(guest) > wanted + rest)
		deflate(outset, guest, decision);
	else if (given_up(guest) + rest >= wanted)
		decision->reason = guest->resident > decision->goal ? TARGET_SMALL : TARGET_FITS;
	else if (has > decision->goal && has_excess(outset, guest, memory, decision->goal))
		inflate(outset, guest, memory, held, decision);
	else
		decision->reason = TARGET_FITS;
	memory->balloon = decision->balloon;
	if (decision->action == TARGET_INFLATE)
		memory->inflated_ms = outset->now_ms;
	if (outset->now_ms - memory->inflated_ms > FELT_MS)
		memory->inflating_ms = 0;
	else if (!memory->inflating_ms)
		memory->inflating_ms = outset->now_ms;
}

static bool gives_no_more(enum target_reason reason)
{
	return reason == TARGET_NO_BALLOON || reason == TARGET_STOP_LOSS || reason == TARGET_STUCK;
}

/* What has to be found elsewhere: the excess that its balloon does not give. In `hard` and `low` nobody
 * waits for a balloon any more. */
static u64 swap_for(enum host_state state, const struct target_guest *guest,
		    const struct target_decision *decision)
{
	u64 over = excess(guest->resident, MAX(decision->goal, guest->min));

	if (guest->resident > guest->limit)
		return MAX(over, guest->resident - guest->limit);
	if (state < HOST_SOFT)
		return 0;
	if (state >= HOST_HARD || gives_no_more(decision->reason))
		return over;
	return 0;
}

static void decide_rest(enum host_state state, const struct target_host *host,
			const struct target_guest *guest, struct target_memory *memory,
			struct target_decision *decision)
{
	u64 keep = MAX(decision->goal, guest->min);
	u64 slack = guest->memory / TARGET_STEP_MOST;

	decision->cold_ms = coldness_follow(&memory->coldness, &host->coldness, host->now_ms,
					    guest->refaulted, guest->active / PAGE_SIZE,
					    state >= HOST_SOFT);
	decision->swap = swap_for(state, guest, decision);
	decision->keep = MIN(keep, MAX(excess(guest->resident, guest->cold), guest->min));
	decision->block = state == HOST_LOW && guest->resident > keep + slack;
}

static bool look_for_pain(const struct target_guest *guest, struct target_memory *memory,
			  u64 now_ms)
{
	const struct stoploss_guest known = {memory->inflating_ms, guest->active};

	return stoploss_look(&memory->stoploss, &guest->signs, now_ms, &known);
}

enum host_state target_step(enum host_state state, const struct target_host *host,
			    const struct target_guest *guests, struct target_memory *memories,
			    u32 count, struct target_decision *decisions)
{
	struct outset outset = {.now_ms = host->now_ms};
	bool held[TARGET_GUESTS_MAX];

	count = MIN(count, TARGET_GUESTS_MAX);
	state = host_state_next(state, host->free, &host->levels);
	outset.state = state;
	outset.spare = excess(host->free, host_state_level(&host->levels, HOST_HARD));
	for (u32 i = 0; i < count; i++) {
		decisions[i] = (struct target_decision){0};
		watch_balloon(&guests[i], &memories[i]);
		held[i] = look_for_pain(&guests[i], &memories[i], host->now_ms);
		outlook_look(&memories[i].outlook, guests[i].resident, host->now_ms);
		misses_look(&memories[i].misses, guests[i].missed, host->now_ms);
	}
	outset.soon_short = will_be_short(host, guests, memories, count);
	set_goals(host, guests, memories, count, decisions);
	for (u32 i = 0; i < count; i++) {
		decide_balloon(&outset, &guests[i], &memories[i], held[i], &decisions[i]);
		decide_rest(state, host, &guests[i], &memories[i], &decisions[i]);
	}
	return state;
}
