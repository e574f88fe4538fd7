/* SPDX-License-Identifier: Apache-2.0 */
/* Records of runs: what is written is read again, damage is seen, and the policy's decisions come out anew. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/attr.h"
#include "ctl/whatif.h"
#include "lib/clock.h"
#include "manager/recorder.h"
#include "tests/unit/mem_rig.h"

#define GUESTS 3U
#define STEPS  400U

/* A host with guests that grow, rest and hurt by turns; what the policy says is obeyed at once. */
struct world {
	struct target_host host;
	struct target_guest guests[GUESTS];
	struct target_memory memories[GUESTS];
	struct target_decision decisions[GUESTS];
	u32 numbers[GUESTS];
	enum host_state state;
};

static void begin_world(struct world *world)
{
	*world = (struct world){
		.host = {.budget = 1 * GiB,
			 .overhead = 64 * MiB,
			 .free = 512 * MiB,
			 .levels = {64 * MiB, {400, 100, 64, 32, 16}},
			 .tax_pct = 75,
			 .coldness = {120, 200},
			 .now_ms = 1000},
	};
	for (u32 i = 0; i < GUESTS; i++) {
		world->numbers[i] = i * 7;
		world->guests[i] = (struct target_guest){
			.memory = 512 * MiB,
			.min = 32 * MiB,
			.max = 512 * MiB,
			.limit = UINT64_MAX,
			.shares = 1000,
			.balloon = i != 1,
			.signs = {.age_ms = UINT64_MAX},
		};
	}
}

static void live(struct world *world, u32 step)
{
	u64 resident = 0;

	for (u32 i = 0; i < GUESTS; i++) {
		struct target_guest *guest = &world->guests[i];

		guest->ballooned = world->decisions[i].balloon;
		guest->active = (step / 50 + i) % 2 ? 300 * MiB : 20 * MiB;
		guest->resident = MIN(guest->resident + (u64)(step % 9) * MiB,
				      guest->memory - guest->ballooned);
		guest->cold = guest->resident / 4;
		guest->refaulted += step % 5 * 100;
		guest->signs = (struct guest_signs){.age_ms = 10, .major_faults = step / 100 * 40};
		resident += guest->resident;
	}
	world->host.now_ms += 250;
	world->host.free =
		world->host.budget - MIN(resident + world->host.overhead, world->host.budget);
}

static void make_step(struct world *world, struct recorder *recorder)
{
	const struct record_step step = {
		.before = world->state, .active = true, .host = world->host, .count = GUESTS};

	recorder_begin_step(recorder, &step, world->numbers, world->guests, world->memories);
	world->state = target_step(world->state, &world->host, world->guests, world->memories,
				   GUESTS, world->decisions);
	recorder_end_step(recorder, world->state, GUESTS, world->decisions);
}

/* A record of such a world. The caller frees. */
static u8 *make_record(size_t *size)
{
	static struct memory memory;
	char path[] = "/tmp/ballast-record.XXXXXX";
	struct recorder *recorder;
	struct world world;
	FILE *file;
	u8 *bytes;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	memory_init(&memory, 64 * MiB);
	cr_assert_eq(recorder_open(path, "world", &memory, &recorder), 0);
	begin_world(&world);
	for (u32 i = 0; i < GUESTS; i++)
		recorder_guest(recorder, world.numbers[i], i, i ? "other" : "guest");
	for (u32 i = 0; i < STEPS; i++) {
		const struct trace_fault fault = {clock_now_ns(), 5000 + i, i, i % GUESTS,
						  PAGE_COMPRESSED};

		live(&world, i);
		make_step(&world, recorder);
		trace_put(atomic_load(&memory.trace), &fault);
	}
	recorder_close(recorder);
	memory_destroy(&memory);
	file = fdopen(fd, "rb");
	bytes = malloc(4 * MiB);
	*size = fread(bytes, 1, 4 * MiB, file);
	fclose(file);
	unlink(path);
	return bytes;
}

/* As the command does. Returns 0 once the end was there. */
static int replay(const u8 *bytes, size_t size, struct whatif *whatif)
{
	struct record_in in = {.data = bytes + 8, .left = size - MIN(size, 8UL)}, frame;
	struct record_host host;
	struct record_end end;
	enum record_type type;
	int ret = record_take(&in, &type, &frame);

	if (!ret && type != RECORD_HOST)
		ret = -EBADMSG;
	if (!ret)
		ret = record_get_host(&frame, &host);
	while (!ret && !(ret = record_take(&in, &type, &frame))) {
		if (type == RECORD_END)
			return record_get_end(&frame, &end);
		ret = whatif_take(whatif, type, &frame);
	}
	return ret;
}

Test(record_replay, unchanged_settings_make_the_same_decisions)
{
	const struct whatif_totals *totals;
	struct whatif *whatif;
	size_t size;
	u8 *bytes = make_record(&size);

	cr_assert_eq(whatif_create(NULL, 0, &whatif), 0);
	cr_assert_eq(replay(bytes, size, whatif), 0);
	totals = whatif_totals(whatif);
	cr_expect_eq(totals->steps, STEPS);
	cr_expect_eq(totals->decisions, STEPS * GUESTS);
	cr_expect_eq(totals->differ, 0);
	cr_expect_eq(totals->states_differ, 0);
	cr_expect_eq(totals->faults, STEPS);
	cr_expect_eq(totals->foreign_faults, 0);
	cr_expect_gt(whatif_guest(whatif, 0)->recorded.actions[TARGET_INFLATE], 0,
		     "the world puts guests under pressure");
	cr_expect_gt(whatif_guest(whatif, 7)->faults[PAGE_COMPRESSED].count, 0);
	whatif_destroy(whatif);
	free(bytes);
}

Test(record_replay, changed_settings_make_others)
{
	static const char *const changes[] = {"policy/idle_tax_pct=0",
					      "/vm/guest/config/shares=9000", "vm/*/config/max=64M",
					      "memory=512M", "state_pct=900 800 700 600 500"};
	char error[ATTR_ERROR_MAX];
	struct whatif *whatif;
	size_t size;
	u8 *bytes = make_record(&size);

	for (u32 i = 0; i < ARRAY_SIZE(changes); i++) {
		cr_assert_eq(whatif_create(NULL, 0, &whatif), 0);
		cr_assert_eq(whatif_set(whatif, changes[i], error, sizeof(error)), 0, "%s", error);
		cr_assert_eq(replay(bytes, size, whatif), 0);
		cr_expect_gt(whatif_totals(whatif)->differ + whatif_totals(whatif)->states_differ,
			     0, "%s", changes[i]);
		whatif_destroy(whatif);
	}
	free(bytes);
}

Test(record_replay, settings_that_decide_nothing_are_refused)
{
	static const char *const wrong[] = {"",
					    "=",
					    "memory",
					    "memory=",
					    "memory=x",
					    "swap/enabled=1",
					    "vm/a/config/memory=1G",
					    "policy/idle_tax_pct=100",
					    "vm//config/min=1M",
					    "state_pct=1 2 3 4 5"};
	char error[ATTR_ERROR_MAX];
	struct whatif *whatif;

	cr_assert_eq(whatif_create(NULL, 0, &whatif), 0);
	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		error[0] = '\0';
		cr_expect_eq(whatif_set(whatif, wrong[i], error, sizeof(error)), -EINVAL, "%s",
			     wrong[i]);
		cr_expect(error[0], "a sentence for %s", wrong[i]);
	}
	cr_expect_not(whatif_changes(whatif));
	whatif_destroy(whatif);
}

Test(record_replay, a_record_that_is_cut_short_is_seen_to_be)
{
	struct whatif *whatif;
	size_t size;
	u8 *bytes = make_record(&size);

	for (size_t cut = 8; cut < size; cut += 1 + cut / 37) {
		cr_assert_eq(whatif_create(NULL, 0, &whatif), 0);
		cr_expect_eq(replay(bytes, cut, whatif), -ENODATA, "cut at %zu", cut);
		whatif_destroy(whatif);
	}
	free(bytes);
}

Test(record_replay, every_flipped_bit_is_seen)
{
	struct whatif *whatif;
	size_t size;
	u8 *bytes = make_record(&size);

	for (size_t at = 8; at < size; at += 1 + at / 29) {
		bytes[at] ^= (u8)(1U << at % 8);
		cr_assert_eq(whatif_create(NULL, 0, &whatif), 0);
		cr_expect_neq(replay(bytes, size, whatif), 0, "flipped at %zu", at);
		whatif_destroy(whatif);
		bytes[at] ^= (u8)(1U << at % 8);
	}
	free(bytes);
}

/* Checksums are no secret: content that was made up is refused by its own bounds, or does no harm. */
Test(record_replay, frames_made_up_do_no_harm)
{
	static const char types[] = "GSFXE";
	struct whatif *whatif;
	u32 random = 1;
	u8 bytes[600];

	cr_assert_eq(whatif_create(NULL, 0, &whatif), 0);
	for (u32 i = 0; i < 20000; i++) {
		struct record_in frame = {bytes, i % sizeof(bytes), false};

		for (u32 at = 0; at < frame.left; at++) {
			random = random * 1664525 + 1013904223;
			bytes[at] = (u8)(random >> 24) & (i % 2 ? 255 : 15);
		}
		whatif_take(whatif, (enum record_type)types[i % 5], &frame);
	}
	whatif_destroy(whatif);
}

Test(record_replay, a_full_queue_drops_and_counts)
{
	struct trace *trace = trace_create();
	struct trace_fault fault = {0}, taken;

	for (u32 i = 0; i < TRACE_SLOTS + 5; i++) {
		fault.index = i;
		trace_put(trace, &fault);
	}
	cr_expect_eq(trace->dropped, 5);
	for (u32 i = 0; i < TRACE_SLOTS; i++) {
		cr_assert(trace_take(trace, &taken));
		cr_assert_eq(taken.index, i);
	}
	cr_expect_not(trace_take(trace, &taken));
	trace_put(trace, &fault);
	cr_expect(trace_take(trace, &taken), "there is room again");
	free(trace);
}

#define PUTTERS 3U
#define PUTS	60000U

struct putter {
	struct trace *trace;
	u32 number;
};

static void *put_many(void *argument)
{
	const struct putter *putter = argument;

	for (u64 i = 1; i <= PUTS; i++) {
		const struct trace_fault fault = {i, i * 3, i * 5, putter->number, PAGE_DISK};

		trace_put(putter->trace, &fault);
	}
	return NULL;
}

Test(record_replay, faults_of_many_threads_are_whole_and_in_order)
{
	struct trace *trace = trace_create();
	struct putter putters[PUTTERS];
	u64 last[PUTTERS] = {0}, taken = 0;
	pthread_t threads[PUTTERS];
	struct trace_fault fault;

	for (u32 i = 0; i < PUTTERS; i++) {
		putters[i] = (struct putter){trace, i};
		pthread_create(&threads[i], NULL, put_many, &putters[i]);
	}
	while (taken + atomic_load(&trace->dropped) < PUTTERS * PUTS) {
		if (!trace_take(trace, &fault))
			continue;
		taken++;
		cr_assert_lt(fault.space, PUTTERS);
		cr_assert_gt(fault.ended_ns, last[fault.space]);
		cr_assert(fault.ns == fault.ended_ns * 3 && fault.index == fault.ended_ns * 5);
		last[fault.space] = fault.ended_ns;
	}
	for (u32 i = 0; i < PUTTERS; i++)
		pthread_join(threads[i], NULL);
	free(trace);
}
