/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/redirect.h"

#include <errno.h>
#include <stdlib.h>

#include "swap/shared.h"

struct redirect {
	struct page_load load; /* of the file's source */
	struct page_load *whole;
	struct shared *shared;
	struct redirect_slot {
		u32 index; /* in the whole load */
		u32 number;
	} * from;
	struct page_load_slot slots[];
};

static void finish(struct redirect *redirect)
{
	for (u32 i = 0; i < redirect->load.count; i++) {
		const struct redirect_slot *from = &redirect->from[i];

		redirect->whole->slots[from->index].result = redirect->slots[i].result;
		shared_read_end(redirect->shared, from->number);
	}
	free(redirect->from);
	free(redirect);
}

static void redirect_done(struct page_load *load)
{
	struct redirect *redirect = container_of(load, struct redirect, load);
	struct page_load *whole = redirect->whole;

	finish(redirect);
	whole->done(whole);
}

struct redirect *redirect_create(struct page_load *load, struct shared *shared)
{
	struct redirect *redirect =
		malloc(sizeof(*redirect) + load->count * sizeof(redirect->slots[0]));

	if (!redirect)
		return NULL;
	redirect->from = malloc(load->count * sizeof(*redirect->from));
	if (!redirect->from) {
		free(redirect);
		return NULL;
	}
	redirect->load = (struct page_load){
		.slots = redirect->slots,
		.done = redirect_done,
		.ahead = load->ahead,
		.patient = load->patient,
	};
	redirect->whole = load;
	redirect->shared = shared;
	return redirect;
}

void redirect_add(struct redirect *redirect, u32 index, u32 number, u64 place)
{
	u32 i = redirect->load.count++;

	redirect->from[i] = (struct redirect_slot){index, number};
	redirect->slots[i] = (struct page_load_slot){
		.payload = place,
		.buffer = redirect->whole->slots[index].buffer,
	};
}

int redirect_start(struct redirect *redirect, struct page_source *disk)
{
	int result = disk->ops->load(disk, &redirect->load);

	if (result == -EINPROGRESS)
		return result;
	for (u32 i = 0; i < redirect->load.count && result; i++)
		redirect->slots[i].result = result;
	finish(redirect);
	return 0;
}
