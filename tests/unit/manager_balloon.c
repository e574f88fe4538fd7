/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's side of a balloon: what a VMM may ask it to drop, and what it is answered. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "balloon/abi.h"
#include "manager/balloon.h"
#include "tests/unit/mem_rig.h"

#define PAGES (4 * MiB / PAGE_SIZE)

static struct mem_rig rig;
static struct guest_balloon *balloon;
static int ends[2];

static void setup(void)
{
	const struct mem_guest_options options = {.bytes = 4 * MiB, .small = true};

	mem_rig_start_with(&rig, &options, 64 * MiB, false);
	mem_guest_write_all(&rig.guest, 1);
	mem_guest_settle(&rig.guest);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	balloon = guest_balloon_create(rig.guest.space, ends[0]);
	cr_assert_not_null(balloon);
}

static void teardown(void)
{
	guest_balloon_destroy(balloon);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
	close(ends[0]);
	close(ends[1]);
}

TestSuite(manager_balloon, .init = setup, .fini = teardown, .timeout = 60);

/* Says `what` of a run; returns what guest_balloon_drop() does. */
static int say_in(enum attach_drop_what what, u32 round, u32 first, u32 count, u32 serial)
{
	struct attach_drop drop = {
		.header.serial = serial, .what = what, .round = round, .count = count != 0};
	const char *why = "";

	drop.runs[0] = (struct attach_run){first, count};
	return guest_balloon_drop(balloon, &drop, &why);
}

static void await_type(u32 type, union attach_message *message)
{
	int fds[ATTACH_MAX_FDS];
	const char *why;
	u32 nfds;

	cr_assert_eq(attach_receive(ends[1], message, fds, &nfds, &why), 0);
	cr_assert_eq(message->header.type, type);
}

static void say(enum attach_drop_what what, u32 round, u32 first, u32 count)
{
	static u32 serial;
	union attach_message message;

	cr_assert_eq(say_in(what, round, first, count, ++serial), 0);
	await_type(ATTACH_DROPPED, &message);
	cr_assert_eq(message.header.serial, serial);
}

static u64 ballooned(void)
{
	return page_table_count(&rig.guest.space->table, PAGE_BALLOONED);
}

Test(manager_balloon, pages_go_and_come_back)
{
	struct balloon_snapshot snapshot;

	say(ATTACH_DROP_INFLATE, 0, 100, 600);
	cr_expect_eq(ballooned(), 600);
	say(ATTACH_DROP_DEFLATE, 0, 0, 150);
	cr_expect_eq(ballooned(), 550);
	say(ATTACH_DROP_RESET, 0, 0, 0);
	cr_expect_eq(ballooned(), 0);
	say(ATTACH_DROP_FREE, 0, 800, 10);
	guest_balloon_snapshot(balloon, &snapshot);
	cr_expect_eq(snapshot.inflated, 600);
	cr_expect_eq(snapshot.deflated, 600);
	cr_expect_eq(snapshot.freed, 10);
}

Test(manager_balloon, pages_beyond_ram_are_refused_whole)
{
	cr_expect_eq(say_in(ATTACH_DROP_INFLATE, 0, PAGES - 1, 2, 1), -EPROTO);
	cr_expect_eq(say_in(ATTACH_DROP_INFLATE, 0, UINT32_MAX, 1, 1), -EPROTO);
	cr_expect_eq(say_in(ATTACH_DROP_INFLATE, 0, 0, UINT32_MAX, 1), -EPROTO);
	cr_expect_eq(ballooned(), 0);
}

/* Somebody works on a page, or has done with it. */
static void set_busy(u64 index, bool busy)
{
	struct region *region = space_region(rig.guest.space, index);

	pthread_mutex_lock(&region->lock);
	if (busy)
		page_hold(&rig.guest.space->table, index);
	else
		page_release(&rig.guest.space->table, index);
	region->held = busy;
	pthread_mutex_unlock(&region->lock);
}

Test(manager_balloon, too_many_at_once_are_refused)
{
	union attach_message message;
	u32 taken = 0;

	set_busy(5, true);
	while (taken < 100 && !say_in(ATTACH_DROP_INFLATE, 0, 0, 10, taken))
		taken++;
	cr_expect_eq(taken, ATTACH_MAX_DROPS, "%u", taken);
	set_busy(5, false);
	for (u32 i = 0; i < taken; i++) {
		await_type(ATTACH_DROPPED, &message);
		cr_expect_eq(message.header.serial, i, "in their order");
	}
	cr_expect_eq(ballooned(), 10);
}

Test(manager_balloon, only_hints_in_answer_to_the_last_question_count)
{
	struct balloon_snapshot snapshot;
	union attach_message message;

	for (u32 round = 1; round <= 3; round++) {
		cr_assert_eq(guest_balloon_ask_free(balloon), 0);
		await_type(ATTACH_BALLOON, &message);
		cr_assert_eq(message.balloon.hint_round, round);
		if (round > 1)
			say(ATTACH_DROP_HINT, round - 1, 0, 64); /* late */
		if (round != 2)
			say(ATTACH_DROP_HINT, round, 0, 32);
	}
	guest_balloon_snapshot(balloon, &snapshot);
	cr_expect_eq(snapshot.hinted, 32);
	cr_expect(mem_guest_check(&rig.guest, 40, 1), "named late, twice");
}

Test(manager_balloon, orders_and_statistics_go_both_ways)
{
	struct attach_balloon_stats stats = {
		.actual_pages = 7, .features = 1, .valid = 1 << 4, .age_ms = 1000};
	struct balloon_snapshot snapshot;
	union attach_message message;

	guest_balloon_snapshot(balloon, &snapshot);
	cr_expect_eq(snapshot.stats_age_ms, UINT64_MAX);
	stats.values[BALLOON_STAT_FREE] = 99;
	cr_assert_eq(guest_balloon_order(balloon, 3 * MiB, 500), 0);
	await_type(ATTACH_BALLOON, &message);
	cr_expect_eq(message.balloon.target_pages, 3 * MiB / PAGE_SIZE);
	cr_expect_eq(message.balloon.stats_ms, 500);
	guest_balloon_take_stats(balloon, &stats);
	guest_balloon_snapshot(balloon, &snapshot);
	cr_expect_eq(snapshot.target, 3 * MiB);
	cr_expect_eq(snapshot.actual, 7 * PAGE_SIZE);
	cr_expect_eq(snapshot.values[BALLOON_STAT_FREE], 99);
	cr_expect_geq(snapshot.stats_age_ms, 1000, "the age they had counts");
}
