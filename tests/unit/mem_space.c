/* SPDX-License-Identifier: Apache-2.0 */
/* Spaces: where pages lie, and how stores move what they hold. */
#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#include "manager/ramfile.h"
#include "mem/relocate.h"
#include "tests/unit/mem_rig.h"

#define HVA_LOW	 (4 * GiB)
#define HVA_HIGH (16 * GiB)

static void nobody_failed(struct space_client *client, const char *why)
{
	(void)client;
	cr_assert(false, "%s", why);
}

static const struct space_client_ops quiet_ops = {.failed = nobody_failed};

/* 4 MiB below a hole, 2 MiB above it, in one file. */
static struct space *begin_in_two_parts(struct memory *memory, struct space_client *client)
{
	struct space_options options = {
		.name = "two",
		.client = client,
		.uffd = -1,
		.pagemap = -1,
		.pidfd = -1,
		.bytes = 6 * MiB,
		.mappings = 2,
		.mapping = {{HVA_LOW, 0, 4 * MiB}, {HVA_HIGH, 4 * MiB, 2 * MiB}},
	};
	struct space *space;
	bool huge;

	memory_init(memory, GiB);
	client->ops = &quiet_ops;
	options.ram = ramfile_create(options.bytes, true, &huge);
	cr_assert_eq(space_begin(memory, &options, &space), 0);
	return space;
}

Test(mem_space, pages_lie_on_both_sides_of_a_hole)
{
	struct space_client client;
	struct memory memory;
	struct space *space = begin_in_two_parts(&memory, &client);

	cr_expect_eq(space_hva(space, 0), HVA_LOW);
	cr_expect_eq(space_hva(space, 1023), HVA_LOW + 1023 * PAGE_SIZE);
	cr_expect_eq(space_hva(space, 1024), HVA_HIGH);
	cr_expect_eq(space_hva(space, 1535), HVA_HIGH + 511 * PAGE_SIZE);
	for (u64 i = 0; i < 1536; i++)
		cr_assert_eq(space_index(space, space_hva(space, i)), i);
	cr_expect_eq(space_index(space, HVA_HIGH + 4097), 1025);
	space_end(space);
	memory_destroy(&memory);
}

Test(mem_space, addresses_outside_are_refused)
{
	struct space_client client;
	struct memory memory;
	struct space *space = begin_in_two_parts(&memory, &client);

	cr_expect_eq(space_index(space, 0), -EFAULT);
	cr_expect_eq(space_index(space, HVA_LOW - 1), -EFAULT);
	cr_expect_eq(space_index(space, HVA_LOW + 4 * MiB), -EFAULT);
	cr_expect_eq(space_index(space, HVA_HIGH - 1), -EFAULT);
	cr_expect_eq(space_index(space, HVA_HIGH + 2 * MiB), -EFAULT);
	cr_expect_eq(space_index(space, UINT64_MAX), -EFAULT);
	cr_expect_eq(space_hva(space, 1536), 0);
	space_end(space);
	memory_destroy(&memory);
}

Test(mem_space, metadata_comes_out_of_the_budget_and_goes_back)
{
	struct space_client client;
	struct memory memory;
	struct space *space = begin_in_two_parts(&memory, &client);

	cr_expect_eq(memory.budget.used, space->metadata_bytes);
	cr_expect_eq(memory_metadata_bytes(&memory), space->metadata_bytes);
	cr_expect_geq(space->metadata_bytes, 1536 * sizeof(u64));
	space_end(space);
	cr_expect_eq(memory.budget.used, 0);
	memory_destroy(&memory);
}

Test(mem_space, ids_are_used_again)
{
	struct space_client client;
	struct memory memory;
	struct space *space = begin_in_two_parts(&memory, &client), *found;
	u32 id = space->id;

	found = memory_get_space(&memory, id);
	cr_expect_eq(found, space);
	space_put(found);
	cr_expect_null(memory_get_space(&memory, id + 1));
	cr_expect_null(memory_get_space(&memory, UINT32_MAX));
	space_end(space);
	cr_expect_null(memory_get_space(&memory, id));
	memory_destroy(&memory);
}

/* A guest whose page 0 is in the pool. */
static struct page_word start_stored(struct mem_rig *rig, struct page_owner *owner)
{
	mem_rig_start(rig, 4 * MiB, 64 * MiB, false);
	mem_guest_write_all(&rig->guest, 1);
	mem_guest_evict_all(&rig->guest);
	*owner = (struct page_owner){rig->guest.space->id, 0};
	cr_assert_eq(mem_guest_state(&rig->guest, 0), PAGE_COMPRESSED);
	return relocate_peek(&rig->memory, *owner);
}

Test(mem_relocate, a_page_held_is_busy_and_then_as_it_was)
{
	struct page_owner owner;
	struct mem_rig rig;
	struct page_word word = start_stored(&rig, &owner);

	cr_expect_eq(relocate_begin(&rig.memory, owner, word), 0);
	cr_expect_eq(relocate_begin(&rig.memory, owner, word), -EBUSY);
	cr_expect_not(relocate_end(&rig.memory, owner, word));
	cr_expect_eq(relocate_peek(&rig.memory, owner).bits, word.bits);
	cr_expect_eq(mem_guest_check_all(&rig.guest, 1), 0);
	mem_rig_stop(&rig);
}

Test(mem_relocate, what_has_moved_on_is_stale)
{
	struct page_owner owner;
	struct mem_rig rig;
	struct page_word word = start_stored(&rig, &owner), other = word;

	other.bits += 1ULL << PAGE_PAYLOAD_SHIFT;
	cr_expect_eq(relocate_begin(&rig.memory, owner, other), -ESTALE);
	cr_expect(mem_guest_check(&rig.guest, 0, 1));
	cr_expect_eq(relocate_begin(&rig.memory, owner, word), -ESTALE);
	owner.index = 1U << 30;
	cr_expect_eq(relocate_begin(&rig.memory, owner, word), -ESTALE);
	owner = (struct page_owner){77, 0};
	cr_expect_eq(relocate_begin(&rig.memory, owner, word), -ESTALE);
	mem_rig_stop(&rig);
}

static void *touch_first_page(void *argument)
{
	struct mem_guest *guest = argument;

	cr_expect(mem_guest_check(guest, 0, 1));
	return NULL;
}

Test(mem_relocate, a_guest_that_waits_is_woken_and_finds_the_new_place)
{
	struct page_store moved;
	struct page_owner owner;
	struct mem_rig rig;
	struct page_word word = start_stored(&rig, &owner);
	pthread_t thread;

	cr_assert_eq(relocate_begin(&rig.memory, owner, word), 0);
	pthread_create(&thread, NULL, touch_first_page, &rig.guest);
	while (!page_word_waiter(relocate_peek(&rig.memory, owner)))
		usleep(100);
	/* A copy in another place. */
	moved = (struct page_store){.owner = owner,
				    .plain = rig.pool.pages[page_word_payload(word)]};
	cr_assert_eq(rig.pool.ops.store(&rig.pool.source, &moved), 0);
	cr_expect(relocate_end(&rig.memory, owner, page_word(PAGE_COMPRESSED, moved.payload)));
	rig.pool.ops.invalidate(&rig.pool.source, page_word_payload(word));
	pthread_join(thread, NULL);
	mem_guest_settle(&rig.guest);
	mem_rig_check_counters(&rig);
	mem_rig_stop(&rig);
}
