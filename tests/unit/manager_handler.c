/* SPDX-License-Identifier: Apache-2.0 */
/* The handler thread on a real userfaultfd: who is blocked waits, for a while; nobody else does. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "manager/handler.h"
#include "tests/unit/mem_rig.h"

#define BYTES (64 * MiB)
#define BLOCK (100 * NSEC_PER_MSEC) /* the longest pause before a batch of faults */

struct post {
	struct memory memory;
	struct mem_guest guest;
	struct handler *handler;
	u64 page;
	u64 waited_ns;
};

static void start(struct post *post)
{
	struct mem_guest_options options = {.bytes = BYTES, .small = true, .alone = true};

	memory_init(&post->memory, 64 * MiB);
	mem_guest_start(&post->guest, &post->memory, &options);
	cr_assert_eq(handler_start(post->guest.space, 0, &post->handler), 0);
}

static void stop(struct post *post)
{
	handler_stop(post->handler);
	mem_guest_stop(&post->guest);
	memory_destroy(&post->memory);
}

static void block(struct post *post, bool blocked)
{
	atomic_store(&post->guest.space->entitlement.blocked, blocked);
}

/* The guest touches memory that it never touched before. */
static void *touch(void *argument)
{
	struct post *post = argument;
	u64 began = clock_now_ns();

	*(volatile u8 *)(post->guest.ram + post->page * PAGE_SIZE) = 1;
	post->waited_ns = clock_now_ns() - began;
	post->page += REGION_PAGES;
	return NULL;
}

Test(manager_handler, who_is_blocked_waits_before_each_batch_and_is_served_all_the_same)
{
	static struct post post;
	u64 began;

	start(&post);
	block(&post, true);
	began = clock_now_ns();
	for (u32 i = 0; i < 3; i++)
		touch(&post);
	cr_expect_geq(clock_now_ns() - began, 2 * BLOCK, "from one batch to the next");
	stop(&post);
}

/* Of many faults the quickest tells whether anything pauses between them. */
Test(manager_handler, who_is_not_blocked_does_not_wait)
{
	static struct post post;
	u64 least = UINT64_MAX;

	start(&post);
	block(&post, false);
	for (u32 i = 0; i < BYTES / REGION_SIZE && least >= BLOCK; i++) {
		touch(&post);
		least = MIN(least, post.waited_ns);
	}
	cr_expect_lt(least, BLOCK);
	stop(&post);
}

Test(manager_handler, a_block_that_is_lifted_ends_the_wait)
{
	static struct post post;
	u64 least = UINT64_MAX;

	start(&post);
	for (u32 i = 0; i < BYTES / REGION_SIZE && least >= BLOCK; i++) {
		pthread_t guest;

		block(&post, true);
		pthread_create(&guest, NULL, touch, &post);
		usleep(1000);
		block(&post, false);
		pthread_join(guest, NULL);
		least = MIN(least, post.waited_ns);
	}
	cr_expect_lt(least, BLOCK);
	stop(&post);
}

Test(manager_handler, a_blocked_guest_can_end)
{
	static struct post post;

	start(&post);
	block(&post, true);
	touch(&post);
	stop(&post);
}
