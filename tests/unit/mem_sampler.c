/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling on real page tables: what is used is seen, what is not is not, and nothing gets lost. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "mem/clock.h"
#include "mem/sampler.h"
#include "tests/unit/ksm_rig.h"
#include "tests/unit/mem_rig.h"

#define LOOKS 12

struct sampled {
	struct mem_rig rig;
	struct sampler *sampler;
	u32 looked, touched;
	struct sampler_view last;
	u64 now_ns;
	u32 percent;
};

static void start(struct sampled *sampled, const struct mem_guest_options *options)
{
	*sampled = (struct sampled){.now_ns = NSEC_PER_SEC};
	mem_rig_start_with(&sampled->rig, options, 512 * MiB, false);
	mem_guest_write_all(&sampled->rig.guest, 1);
	mem_guest_settle(&sampled->rig.guest);
	sampled->sampler = sampler_create(3);
}

static void stop(struct sampled *sampled)
{
	cr_expect_eq(mem_guest_check_all(&sampled->rig.guest, 1), 0);
	free(sampled->sampler);
	mem_rig_stop(&sampled->rig);
}

/* The guest reads a page of each group in the first so many percent of its memory. */
static void use(struct sampled *sampled, u64 percent)
{
	struct mem_guest *guest = &sampled->rig.guest;
	u64 pages = guest->bytes / PAGE_SIZE * percent / 100;

	for (u64 i = 0; i < pages; i += GROUP_PAGES)
		(void)*(volatile u8 *)(guest->ram + i * PAGE_SIZE);
	mem_guest_settle(guest);
}

static int look(struct sampled *sampled, u64 now_ns, u64 cold_ns)
{
	struct sampler_look look = {now_ns, NSEC_PER_SEC, cold_ns, sampled->percent};

	return sampler_look(sampled->sampler, sampled->rig.guest.space, &look, &sampled->last);
}

/* Looks several times, with the guest using its memory in between. */
static void watch(struct sampled *sampled, u64 percent, u64 cold_ns)
{
	for (u32 i = 0; i < LOOKS; i++) {
		sampled->now_ns += NSEC_PER_SEC;
		cr_assert_eq(look(sampled, sampled->now_ns, cold_ns), 0);
		sampled->looked += sampled->last.looked;
		sampled->touched += sampled->last.touched;
		use(sampled, percent);
	}
}

static u32 percent_touched(const struct sampled *sampled)
{
	cr_assert_gt(sampled->looked, LOOKS * 16);
	return sampled->touched * 100 / sampled->looked;
}

static void expect_use(bool small, u64 percent, u32 least, u32 most)
{
	struct mem_guest_options options = {.bytes = 128 * MiB, .small = small};
	struct sampled sampled;

	start(&sampled, &options);
	watch(&sampled, percent, 120 * NSEC_PER_SEC);
	cr_expect_geq(percent_touched(&sampled), least);
	cr_expect_leq(percent_touched(&sampled), most);
	stop(&sampled);
}

Test(mem_sampler, sees_an_idle_guest)
{
	expect_use(false, 0, 0, 0);
	expect_use(true, 0, 0, 0);
}

Test(mem_sampler, sees_a_busy_guest)
{
	expect_use(false, 100, 100, 100);
	expect_use(true, 100, 100, 100);
}

Test(mem_sampler, sees_how_much_is_used)
{
	expect_use(false, 50, 35, 65);
	expect_use(true, 50, 35, 65);
	expect_use(true, 20, 8, 32);
}

Test(mem_sampler, tells_what_is_cold)
{
	struct mem_guest_options options = {.bytes = 64 * MiB};
	struct sampled sampled;

	start(&sampled, &options);
	watch(&sampled, 50, 8 * NSEC_PER_SEC);
	cr_expect_geq(sampled.last.aged, 4);
	cr_expect_gt(sampled.last.cold, 0);
	cr_expect_lt(sampled.last.cold, sampled.last.aged);
	watch(&sampled, 100, 8 * NSEC_PER_SEC);
	cr_expect_eq(sampled.last.cold, 0);
	stop(&sampled);
}

/* What it costs: an idle guest nothing once the samples are drawn, but for those that are exchanged. */
Test(mem_sampler, tells_how_old_memory_is)
{
	struct mem_guest_options options = {.bytes = 128 * MiB, .small = true};
	u32 ages[SAMPLER_AGES], count;
	struct sampled sampled;

	start(&sampled, &options);
	cr_expect_eq(sampler_ages(sampled.sampler, NSEC_PER_SEC, ages), 0, "nothing is known yet");
	watch(&sampled, 100, 120 * NSEC_PER_SEC);
	cr_assert_eq(look(&sampled, sampled.now_ns += NSEC_PER_SEC, 120 * NSEC_PER_SEC), 0);
	count = sampler_ages(sampled.sampler, sampled.now_ns, ages);
	cr_expect_eq(count, SAMPLER_PLACES);
	cr_expect_eq(ages[0], count, "all is in use");
	count = sampler_ages(sampled.sampler, sampled.now_ns + 100 * NSEC_PER_SEC, ages);
	cr_expect_eq(ages[7], count, "all was, 64 to 128 s ago");
	count = sampler_ages(sampled.sampler, sampled.now_ns + 100000 * NSEC_PER_SEC, ages);
	cr_expect_eq(ages[SAMPLER_AGES - 1], count);
	stop(&sampled);
}

/* Looks, and says how much is watched then. */
static u64 watched(struct sampled *sampled, u32 percent)
{
	sampled->percent = percent;
	cr_assert_eq(look(sampled, sampled->now_ns += NSEC_PER_SEC, 120 * NSEC_PER_SEC), 0);
	mem_guest_settle(&sampled->rig.guest);
	return sampler_bytes(sampled->sampler);
}

Test(mem_sampler, watches_as_much_as_is_asked_for)
{
	struct mem_guest_options options = {.bytes = 256 * MiB, .small = true};
	const u64 place = GROUP_PAGES * PAGE_SIZE;
	struct sampled sampled;

	start(&sampled, &options);
	cr_expect_eq(sampler_bytes(sampled.sampler), 0);
	cr_expect_eq(watched(&sampled, 0), SAMPLER_PLACES * place);
	cr_expect_eq(watched(&sampled, 50), 64 * place);
	cr_expect_eq(watched(&sampled, 100), 128 * place);
	watch(&sampled, 50, 8 * NSEC_PER_SEC);
	cr_expect_geq(sampled.last.looked, 100);
	cr_expect_geq(sampled.last.aged, 32);
	cr_expect_eq(watched(&sampled, 10), SAMPLER_PLACES * place);
	stop(&sampled);
}

Test(mem_sampler, an_idle_guest_pays_nothing)
{
	struct mem_guest_options options = {.bytes = 64 * MiB};
	struct sampled sampled;

	start(&sampled, &options);
	watch(&sampled, 0, 120 * NSEC_PER_SEC);
	cr_expect_leq(sampled.rig.guest.zaps, LOOKS, "one request a look at most");
	stop(&sampled);
}

Test(mem_sampler, follows_memory_that_leaves_and_returns)
{
	struct mem_guest_options options = {.bytes = 32 * MiB, .small = true};
	struct sampled sampled;

	start(&sampled, &options);
	watch(&sampled, 100, NSEC_PER_SEC);
	mem_guest_evict_all(&sampled.rig.guest);
	cr_expect_eq(look(&sampled, sampled.now_ns + 1, NSEC_PER_SEC), 0);
	cr_expect_eq(sampled.last.looked, 0);
	watch(&sampled, 100, NSEC_PER_SEC);
	cr_expect_gt(sampled.last.looked, 0);
	stop(&sampled);
}

Test(mem_sampler, says_when_it_cannot)
{
	struct mem_guest_options options = {.bytes = 8 * MiB, .removes = true};
	struct sampled sampled;

	start(&sampled, &options);
	cr_expect_eq(look(&sampled, 1, 1), -ENOTSUP);
	stop(&sampled);
}

Test(mem_sampler, waits_for_a_vmm_that_does_not_answer)
{
	struct mem_guest_options options = {.bytes = 8 * MiB, .mute = true};
	struct sampled sampled;

	start(&sampled, &options);
	cr_expect_eq(look(&sampled, 1, 1), 0);
	cr_expect_eq(look(&sampled, 2, 1), -EBUSY);
	stop(&sampled);
}

/* Looks at a guest of which half of every group is shared, and so mapped whatever it does. */
static u32 touched_beside_frames(bool used)
{
	const struct ksm_rig_options options = {.bytes = 16 * MiB};
	struct sampler *sampler = sampler_create(3);
	u32 looked = 0, touched = 0;
	struct mem_guest *guest;
	struct ksm_rig rig;

	ksm_rig_start(&rig, &options);
	/* No sheets: what they have is not looked at. */
	rig.memory.reclaiming = true;
	guest = &rig.guests[0];
	for (u32 i = 0; i < KSM_RIG_GUESTS; i++)
		ksm_rig_fill(&rig.guests[i], 1);
	for (u64 i = 0; i < guest->bytes / PAGE_SIZE; i++)
		if (i % GROUP_PAGES < GROUP_PAGES / 2)
			ksm_rig_write(guest, i, 2);
	ksm_rig_scan(&rig);
	cr_assert_geq(atomic_load(&guest->space->counters.foreign), guest->bytes / PAGE_SIZE / 4);
	for (u64 now = 1; now <= LOOKS; now++) {
		struct sampler_look look = {now * NSEC_PER_SEC, NSEC_PER_SEC, 120 * NSEC_PER_SEC, 1};
		struct sampler_view view;

		cr_assert_eq(sampler_look(sampler, guest->space, &look, &view), 0);
		looked += view.looked;
		touched += view.touched;
		for (u64 i = 0; used && i < guest->bytes / PAGE_SIZE; i++)
			(void)*(volatile u8 *)(guest->ram + i * PAGE_SIZE);
	}
	cr_assert_gt(looked, LOOKS * 16);
	free(sampler);
	ksm_rig_stop(&rig);
	return touched * 100 / looked;
}

Test(mem_sampler, what_is_shared_hides_nobody_idle)
{
	cr_expect_eq(touched_beside_frames(false), 0);
	cr_expect_eq(touched_beside_frames(true), 100);
}

struct writer {
	struct mem_guest *guest;
	_Atomic bool stop;
	u64 wrong;
};

static void *write_and_verify(void *argument)
{
	struct writer *writer = argument;
	u64 random = 5;

	while (!writer->stop) {
		u64 index = mem_random(&random) % (writer->guest->bytes / PAGE_SIZE);

		writer->wrong += !mem_guest_check(writer->guest, index, 1);
		mem_guest_write(writer->guest, index, 1);
	}
	return NULL;
}

/* Sampling, the clock and the guest, all at once. */
Test(mem_sampler, a_guest_verifies_while_it_is_sampled_and_evicted)
{
	struct mem_guest_options options = {.bytes = 32 * MiB};
	struct sampled sampled;
	struct writer writer = {.guest = &sampled.rig.guest};
	struct clock *clock;
	struct reclaimer *reclaimer;
	pthread_t thread;

	start(&sampled, &options);
	clock = clock_create(&sampled.rig.memory);
	reclaimer = clock_reclaimer(clock);
	pthread_create(&thread, NULL, write_and_verify, &writer);
	for (u32 i = 0; i < 300; i++) {
		look(&sampled, clock_now_ns(), NSEC_PER_MSEC);
		reclaimer->ops->scan(reclaimer, MiB);
		usleep(500);
	}
	writer.stop = true;
	pthread_join(thread, NULL);
	cr_expect_eq(writer.wrong, 0);
	mem_guest_check_counters(&sampled.rig.guest);
	clock_destroy(clock);
	stop(&sampled);
}
