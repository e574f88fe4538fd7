/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nano guest's balloon driver and the balloon device, connected by registers and rings in plain memory.
 * Behind the device somebody drops pages as a host does: they read as zeroes then.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/device.h"
#include "guest-driver/free_pages.h"
#include "guest-driver/guest.h"
#include "guest-driver/poison.h"
#include "virtio/mmio_abi.h"

#define RAM	   (32 * MiB)
#define FREE_START (4 * MiB)
#define POISON	   0xa5a5a5a5U
#define MS	   1000000ULL

static struct {
	struct virtio_host machine;
	struct balloon_host host;
	u8 *ram;
	struct balloon *device;
	u64 dropped[BALLOON_DROP_RESET + 1]; /* pages */
	struct balloon_status status;
	u32 interrupts;
} rig;

static struct guest_cpu cpu;
static struct guest_boot boot;
static struct guest_vcpu_stats stats;
static u64 now = 1000 * MS;

static int map(struct virtio_host *host, gpa_t gpa, u64 length, hva_t *hva)
{
	u64 end;

	(void)host;
	if (!length || __builtin_add_overflow(gpa.value, length, &end) || end > RAM)
		return -EFAULT;
	hva->ptr = rig.ram + gpa.value;
	return 0;
}

static void interrupt(struct virtio_host *host)
{
	(void)host;
	rig.interrupts++;
}

static const struct virtio_host_ops machine_ops = {.map = map, .interrupt = interrupt};

static int drop(struct balloon_host *host, enum balloon_drop what, u32 round,
		const struct balloon_run *runs, u32 count)
{
	(void)host;
	(void)round;
	for (u32 i = 0; i < count; i++) {
		rig.dropped[what] += runs[i].count;
		if (what == BALLOON_DROP_INFLATE || what == BALLOON_DROP_FREE)
			memset(rig.ram + runs[i].first * PAGE_SIZE, 0, runs[i].count * PAGE_SIZE);
	}
	return 0;
}

static void changed(struct balloon_host *host, const struct balloon_status *status)
{
	(void)host;
	rig.status = *status;
}

static const struct balloon_host_ops host_ops = {drop, changed};

static u32 read_register(struct guest_cpu *of, u32 offset)
{
	(void)of;
	return (u32)virtio_mmio_read(balloon_mmio(rig.device), offset, 4);
}

static void write_register(struct guest_cpu *of, u32 offset, u32 value)
{
	(void)of;
	virtio_mmio_write(balloon_mmio(rig.device), offset, 4, value);
}

static void console(struct guest_cpu *of, const char *text, size_t length)
{
	(void)of;
	(void)text;
	(void)length;
}

static const struct guest_platform platform = {
	.console = console, .read_register = read_register, .write_register = write_register};

static void setup(void)
{
	memset(&rig, 0, sizeof(rig));
	memset(&cpu, 0, sizeof(cpu));
	memset(&stats, 0, sizeof(stats));
	rig.machine.ops = &machine_ops;
	rig.host.ops = &host_ops;
	rig.ram = aligned_alloc(REGION_SIZE, RAM);
	memset(rig.ram, 0, RAM);
	cr_assert_eq(balloon_create(&rig.machine, &rig.host, &rig.device), 0);
	boot = (struct guest_boot){.ram_bytes = RAM,
				   .vcpus = 1,
				   .heap_start = 2 * MiB,
				   .devices = GUEST_DEVICE_BALLOON,
				   .hole_start = RAM};
	cpu.platform = &platform;
	cpu.ram = (u64)(uintptr_t)rig.ram;
	cpu.boot = &boot;
	cpu.stats = &stats;
	cpu.tsc_khz = 1000000;
	cpu.exchange = &((struct balloon_shared *)guest_pointer(&cpu, GUEST_SHARED))->exchange[0];
}

static void teardown(void)
{
	balloon_destroy(rig.device);
	free(rig.ram);
}

TestSuite(guest_balloon, .init = setup, .fini = teardown);

/* The guest boots. */
static void start(void)
{
	frames_init(&cpu.balloon.frames, &cpu, FREE_START);
	if (cpu.args.touch_free)
		frames_touch(&cpu.balloon.frames, &cpu);
	balloon_start(&cpu);
	now = guest_now_ns(&cpu) + MS;
	balloon_serve(rig.device);
	cr_assert(cpu.balloon.present);
}

/* Driver and device by turns, until there is nothing to do. */
static void settle(void)
{
	for (u32 i = 0; i < 64; i++) {
		u32 before = rig.interrupts;

		balloon_serve(rig.device);
		balloon_poll(&cpu, now, rig.interrupts != before || !i);
	}
	balloon_serve(rig.device);
}

static void order(u32 pages)
{
	const struct balloon_order wanted = {.target = pages};

	balloon_order(rig.device, &wanted);
	settle();
}

static u32 *page_of(u32 frame)
{
	return guest_pointer(&cpu, (cpu.balloon.frames.first + frame) * PAGE_SIZE);
}

Test(guest_balloon, actual_says_how_far_it_got)
{
	u32 spare;

	start();
	spare = frames_spare(&cpu.balloon.frames);
	order(1000);
	cr_expect_eq(rig.status.actual, 1000);
	cr_expect_eq(rig.dropped[BALLOON_DROP_INFLATE], 1000);
	order(UINT32_MAX);
	cr_expect_eq(rig.status.actual, spare, "all but the reserve, and not the target");
	order(0);
	cr_expect_eq(rig.status.actual, 0);
	cr_expect_eq(rig.dropped[BALLOON_DROP_DEFLATE], spare);
}

Test(guest_balloon, out_of_memory_takes_some_back_unasked)
{
	start();
	order(4000);
	balloon_out_of_memory(&cpu);
	settle();
	cr_expect_eq(rig.status.actual, 4000 - 512);
	cr_expect_eq(cpu.balloon.alloc_stalls, 1);
	settle();
	cr_expect_eq(rig.status.actual, 4000 - 512, "and it leaves it at that");
	order(4001);
	cr_expect_eq(rig.status.actual, 4001, "until the next target");
}

Test(guest_balloon, an_empty_balloon_has_nothing_for_a_guest_without_memory)
{
	start();
	balloon_out_of_memory(&cpu);
	settle();
	cr_expect_eq(rig.status.actual, 0);
	cr_expect_eq(cpu.balloon.frames.have[FRAME_BALLOONED], 0);
}

Test(guest_balloon, poison_is_negotiated_and_told)
{
	cpu.args.poisons = 1;
	cpu.args.poison = POISON;
	start();
	cr_expect(rig.status.features >> BALLOON_F_PAGE_POISON & 1);
	cr_expect_eq(
		read_register(&cpu, VIRTIO_MMIO_CONFIG + offsetof(struct balloon_config, poison)),
		POISON);
}

Test(guest_balloon, who_does_not_poison_does_not_say_so)
{
	start();
	cr_expect_not(rig.status.features >> BALLOON_F_PAGE_POISON & 1);
}

Test(guest_balloon, what_comes_out_of_the_balloon_is_poisoned_at_once)
{
	cpu.args.poisons = 1;
	cpu.args.poison = POISON;
	start();
	order(2000);
	order(0);
	cr_expect_eq(cpu.balloon.frames.have[FRAME_DIRTY], 2000);
	for (u32 i = 0; i < cpu.balloon.frames.count; i++)
		if (cpu.balloon.frames.state[i] == FRAME_DIRTY)
			cr_assert_eq(page_of(i)[PAGE_SIZE / 4 - 1], POISON);
}

/* All free pages are poisoned, reported, and used again. Returns how many were not as they were left. */
static u64 report_and_use(u32 poison, bool negotiate)
{
	struct frames *frames = &cpu.balloon.frames;

	cpu.args.poisons = negotiate;
	cpu.args.poison = poison;
	cpu.args.touch_free = 1;
	start();
	cpu.args.poisons = 1;
	for (u32 i = 0; i < frames->count && !negotiate; i++)
		poison_fill(&cpu, page_of(i));
	now += 2 * FREE_DELAY_FIRST;
	settle();
	cr_assert_gt(frames->have[FRAME_REPORTED], 0);
	for (u32 i = 0; i < frames->count; i++)
		poison_check(&cpu, page_of(i));
	return stats.verify_failures;
}

Test(guest_balloon, reported_pages_keep_their_poison)
{
	cr_expect_eq(report_and_use(POISON, true), 0);
	cr_expect_eq(rig.dropped[BALLOON_DROP_FREE], 0);
}

Test(guest_balloon, pages_poisoned_with_zero_can_be_dropped)
{
	cr_expect_eq(report_and_use(0, true), 0);
	cr_expect_gt(rig.dropped[BALLOON_DROP_FREE], 0);
}

/* The protection taken out: the host is not told of the poison, and brings zeroes. */
Test(guest_balloon, without_the_feature_poison_is_lost_and_that_is_seen)
{
	cr_expect_gt(report_and_use(POISON, false), 0);
	cr_expect_gt(rig.dropped[BALLOON_DROP_FREE], 0);
}

Test(guest_balloon, free_blocks_are_reported_when_the_delay_is_over_and_not_before)
{
	cpu.args.touch_free = 1;
	start();
	now = cpu.balloon.report_due - 1;
	settle();
	cr_expect_eq(rig.dropped[BALLOON_DROP_FREE], 0);
	now++;
	settle();
	cr_expect_eq(rig.dropped[BALLOON_DROP_FREE], cpu.balloon.frames.have[FRAME_REPORTED]);
	cr_expect_gt(rig.dropped[BALLOON_DROP_FREE], 0);
}

/* So many of 1024 reported pages are used again within a delay. */
static u64 adapt(u64 delay, u32 reused)
{
	struct balloon_driver balloon = {.report_delay = delay, .reported = 1024};

	balloon_note_reuse(&balloon, reused);
	free_pages_adapt(&balloon);
	cr_expect_eq(balloon.reported, 0);
	cr_expect_eq(balloon.reused, 0);
	return balloon.report_delay;
}

Test(guest_balloon, the_delay_doubles_when_reported_pages_are_soon_used_again)
{
	cr_expect_eq(adapt(FREE_DELAY_FIRST, 257), 2 * FREE_DELAY_FIRST);
	cr_expect_eq(adapt(FREE_DELAY_FIRST, 1024), 2 * FREE_DELAY_FIRST);
	cr_expect_eq(adapt(FREE_DELAY_MOST - 1, 1024), FREE_DELAY_MOST);
}

Test(guest_balloon, the_delay_halves_when_they_are_not)
{
	cr_expect_eq(adapt(FREE_DELAY_FIRST, 0), FREE_DELAY_FIRST / 2);
	cr_expect_eq(adapt(FREE_DELAY_FIRST, 64), FREE_DELAY_FIRST / 2);
	cr_expect_eq(adapt(FREE_DELAY_LEAST, 0), FREE_DELAY_LEAST);
}

Test(guest_balloon, the_delay_stays_in_between)
{
	cr_expect_eq(adapt(FREE_DELAY_FIRST, 65), FREE_DELAY_FIRST);
	cr_expect_eq(adapt(FREE_DELAY_FIRST, 256), FREE_DELAY_FIRST);
}

/* A guest whose free memory is always in use again soon comes to report it rarely, and one that calms down
 * comes back to reporting at once. */
Test(guest_balloon, the_delay_follows_what_the_guest_does)
{
	struct frames *frames = &cpu.balloon.frames;

	cpu.args.touch_free = 1;
	start();
	for (u32 n = 0; n < 8; n++) {
		now = cpu.balloon.report_due;
		settle();
		for (u32 i = 0; i < frames->count; i++) {
			if (frames->state[i] != FRAME_REPORTED)
				continue;
			balloon_note_reuse(&cpu.balloon, 1);
			frames_set(frames, i, FRAME_DIRTY);
		}
	}
	cr_expect_eq(cpu.balloon.report_delay, FREE_DELAY_MOST);
	for (u32 n = 0; n < 32; n++) {
		frames_touch(frames, &cpu);
		now = cpu.balloon.report_due;
		settle();
	}
	cr_expect_eq(cpu.balloon.report_delay, FREE_DELAY_LEAST);
}
