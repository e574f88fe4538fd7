/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/readahead.h"

#define SUCCESS_ONE    1024U
#define SUCCESS_WEIGHT 8U /* of so many probes, one is forgotten with each new one */
#define PROBE_EVERY    8U
/* A run that begins with a single page costs one fault more, some 75 us. A group brought back for one
 * page costs 15 pages of filling and compressing again, some 240 us. So groups pay from 3 in 4. */
#define SUCCESS_ENOUGH (SUCCESS_ONE * 3 / 4)

void readahead_init(struct readahead *readahead)
{
	/* Trust at first: a guest that comes back usually comes back in runs. */
	*readahead = (struct readahead){.limit = READAHEAD_MAX_PAGES, .success = SUCCESS_ONE};
}

/* A fault counts as going on a stream up to half a window past its end, because other threads of the
 * guest may have brought in the pages between. */
static struct readahead_stream *find_stream(struct readahead *readahead, u64 index)
{
	for (u32 i = 0; i < READAHEAD_STREAMS; i++) {
		struct readahead_stream *stream = &readahead->streams[i];

		if (stream->window && index >= stream->next &&
		    index - stream->next <= stream->window / 2)
			return stream;
	}
	return NULL;
}

static struct readahead_stream *oldest_stream(struct readahead *readahead)
{
	struct readahead_stream *oldest = &readahead->streams[0];

	for (u32 i = 0; i < READAHEAD_STREAMS; i++) {
		struct readahead_stream *stream = &readahead->streams[i];

		if (!stream->window)
			return stream;
		if (readahead->faults - stream->used > readahead->faults - oldest->used)
			oldest = stream;
	}
	return oldest;
}

static void learn(struct readahead *readahead, bool success)
{
	readahead->success -= readahead->success / SUCCESS_WEIGHT;
	if (success)
		readahead->success += SUCCESS_ONE / SUCCESS_WEIGHT;
}

/* The fault goes on a stream: first to the end of its group, then as far again as it has come. */
static u32 continue_stream(struct readahead *readahead, struct readahead_stream *stream, u64 index)
{
	if (stream->probe)
		learn(readahead, true);
	stream->probe = false;
	if (stream->total < GROUP_PAGES)
		return MIN(GROUP_PAGES - (u32)(index % GROUP_PAGES), readahead->limit);
	return MIN(stream->total, readahead->limit);
}

static u32 start_stream(struct readahead *readahead, struct readahead_stream *stream, u32 least)
{
	if (stream->window && stream->probe)
		learn(readahead, false);
	stream->total = 0;
	stream->probe = readahead->limit < GROUP_PAGES ||
			(!least && (readahead->starts++ % PROBE_EVERY == 0 ||
				     readahead->success < SUCCESS_ENOUGH));
	if (stream->probe)
		return 1;
	return least > readahead->limit ? GROUP_PAGES : MAX(least, GROUP_PAGES);
}

struct readahead_window readahead_fault(struct readahead *readahead, u64 index, u32 least)
{
	struct readahead_stream *stream = find_stream(readahead, index);
	struct readahead_window window = {.first = index, .stream = stream};
	u64 region_end = ALIGN_DOWN(index, REGION_PAGES) + REGION_PAGES;

	readahead->faults++;
	if (stream) {
		stream->window = continue_stream(readahead, stream, index);
	} else {
		stream = oldest_stream(readahead);
		stream->window = start_stream(readahead, stream, least);
		/* What was evicted as a group comes back as one. */
		window.first = ALIGN_DOWN(index, stream->window);
	}
	window.count = MIN(window.first + stream->window, region_end) - window.first;
	stream->next = window.first + window.count;
	stream->total += (u32)window.count;
	stream->used = readahead->faults;
	return window;
}

void readahead_defer(struct readahead *readahead, u64 first, u64 end)
{
	if (first >= end)
		return;
	readahead->newest = (readahead->newest + 1) % READAHEAD_PENDING;
	readahead->pending[readahead->newest] = (struct readahead_pending){first, end, 0};
}

static struct readahead_window cut_piece(struct readahead_pending *pending, u64 piece)
{
	struct readahead_window window = {
		.first = pending->next,
		.count = MIN(piece, pending->end - pending->next),
		.stream = true,
	};

	pending->next += window.count;
	pending->done += (u32)window.count;
	return window;
}

bool readahead_claim(struct readahead *readahead, u64 index, struct readahead_window *piece)
{
	for (u32 i = 0; i < READAHEAD_PENDING; i++) {
		struct readahead_pending *pending = &readahead->pending[i];

		if (index < pending->next || index >= pending->end)
			continue;
		pending->next = index;
		/* The guest is faster than we are. Another fault costs it more than these pages. */
		*piece = cut_piece(pending,
				   pending->done < GROUP_PAGES ? GROUP_PAGES : 2 * GROUP_PAGES);
		return true;
	}
	return false;
}

bool readahead_take(struct readahead *readahead, struct readahead_window *piece)
{
	for (u32 i = 0; i < READAHEAD_PENDING; i++) {
		u32 place = (readahead->newest + READAHEAD_PENDING - i) % READAHEAD_PENDING;
		struct readahead_pending *pending = &readahead->pending[place];

		if (pending->next == pending->end)
			continue;
		/* Small pieces at first, which the guest may be about to touch; then some that cost
		 * less each. */
		*piece = cut_piece(pending,
				   pending->done < GROUP_PAGES ? GROUP_PAGES / 4 : GROUP_PAGES);
		return true;
	}
	return false;
}
