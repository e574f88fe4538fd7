/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's memory wants of its VMM: page tables zapped, pages mapped elsewhere, an end. */
#include <errno.h>
#include <stddef.h>

#include "lib/clock.h"
#include "manager/guest_state.h"
#include "mem/space.h"

static struct guest *guest_of(struct space_client *client)
{
	return container_of(client, struct guest, client);
}

static int guest_zap(struct space_client *client, const struct space_range *ranges, u32 count)
{
	struct guest *guest = guest_of(client);
	union attach_message message;
	struct attach_zap *zap = &message.zap;

	zap->count = MIN(count, ATTACH_MAX_RANGES);
	zap->reserved = 0;
	for (u32 i = 0; i < zap->count; i++)
		zap->ranges[i] = (struct attach_range){ranges[i].file_offset, ranges[i].length};
	return attach_send(
		guest->socket, &message, ATTACH_ZAP,
		(u32)(offsetof(struct attach_zap, ranges) + zap->count * sizeof(zap->ranges[0])), 1,
		NULL, 0);
}

static int guest_remap(struct space_client *client, const struct space_remap *ranges, u32 count)
{
	struct guest *guest = guest_of(client);
	union attach_message message;
	struct attach_remap *remap = &message.remap;
	int result;

	_Static_assert(SPACE_REMAP_MAX <= ATTACH_MAX_REMAPS, "a batch fits a message");
	_Static_assert(SPACE_REMAP_HOME == ATTACH_REMAP_HOME &&
			       SPACE_REMAP_MOVE == ATTACH_REMAP_MOVE &&
			       SPACE_REMAP_STAGE == ATTACH_REMAP_STAGE,
		       "the same words for the same things");
	if (!guest->shares)
		return -ENOTSUP;
	remap->count = count;
	remap->reserved = 0;
	for (u32 i = 0; i < count; i++)
		remap->ranges[i] = (struct attach_remap_range){
			ranges[i].file_offset, ranges[i].length, ranges[i].frame_offset};
	result = attach_send(
		guest->socket, &message, ATTACH_REMAP,
		(u32)(offsetof(struct attach_remap, ranges) + count * sizeof(remap->ranges[0])), 1,
		NULL, 0);
	/* It has ended, well or not: its EXIT, or how its process ended, says which. */
	return result == -EPIPE || result == -ECONNRESET ? -ESRCH : result;
}

/* The thread that serves will see the VMM end; here it is only told to. */
static void guest_failed(struct space_client *client, const char *why)
{
	struct guest *guest = guest_of(client);

	guest_set_why(guest, why);
	atomic_store(&guest->kill_ns, clock_now_ns() + STOP_PATIENCE);
	if (guest_send_stop(guest, false, why))
		process_kill(&guest->vmm);
}

const struct space_client_ops guest_space_ops = {
	.zap = guest_zap, .remap = guest_remap, .failed = guest_failed};
