/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that leave memory, and come back. */
#include <errno.h>
#include <semaphore.h>
#include <unistd.h>

#include "ksm/frame_table.h"
#include "mem/memory.h"
#include "mem/source.h"

void frames_hold(struct frames *frames, u32 first, u32 count)
{
	pthread_mutex_lock(&frames->lock);
	for (u32 i = first; i < first + count; i++)
		frames->table[i].holders++;
	pthread_mutex_unlock(&frames->lock);
}

void frames_release(struct frames *frames, u32 first, u32 count)
{
	struct frames_gone gone = {0};

	pthread_mutex_lock(&frames->lock);
	for (u32 i = first; i < first + count; i++) {
		frames->table[i].holders--;
		frame_settle(frames, i, &gone);
	}
	frames_unlock(frames, &gone);
}

struct loading {
	struct page_load load;
	sem_t done;
};

static void loaded(struct page_load *load)
{
	sem_post(&container_of(load, struct loading, load)->done);
}

/* Loads one blob, and waits for it. */
static int load_blob(const struct memory *memory, u64 place, void *buffer)
{
	struct page_source *pool = memory->sources[PAGE_COMPRESSED];
	struct page_load_slot slot = {.payload = place, .buffer = buffer};
	struct loading loading = {.load = {.count = 1, .slots = &slot, .done = loaded}};
	int result;

	sem_init(&loading.done, 0, 0);
	result = pool->ops->load(pool, &loading.load);
	while (result == -EINPROGRESS && sem_wait(&loading.done))
		;
	sem_destroy(&loading.done);
	return result && result != -EINPROGRESS ? result : slot.result;
}

/* Nobody waits for a scanner's frame: that may enter the reserve, but does not reclaim. */
static bool take_memory(struct memory *memory, bool wait)
{
	if (!wait)
		return budget_take(&memory->budget, PAGE_SIZE, BUDGET_SHARE);
	while (!budget_take(&memory->budget, PAGE_SIZE, BUDGET_NORMAL)) {
		atomic_fetch_add_explicit(&memory->direct_reclaims, 1, memory_order_relaxed);
		if (!memory->direct_reclaim || !memory->direct_reclaim(memory, 16 * PAGE_SIZE, NULL))
			return false;
	}
	return true;
}

/* The content of a frame that is COMING. Its page in the file is written before anybody can map it. */
static int fetch(struct frames *frames, u32 index, u64 place, bool wait)
{
	struct memory *memory = frames->options.memory;
	_Alignas(64) u8 plain[PAGE_SIZE];
	int result;

	if (!take_memory(memory, wait))
		return -ENOMEM;
	result = load_blob(memory, place, plain);
	if (!result && pwrite(frames->fd, plain, PAGE_SIZE, (off_t)((u64)index * PAGE_SIZE)) !=
			       (ssize_t)PAGE_SIZE)
		result = -EIO;
	if (result)
		budget_give(&memory->budget, PAGE_SIZE);
	return result;
}

/* Lock held, dropped meanwhile. */
static int bring_back(struct frames *frames, u32 index, bool wait)
{
	struct page_source *pool = frames->options.memory->sources[PAGE_COMPRESSED];
	struct frame *frame = &frames->table[index];
	u64 place = frame->place;
	int result;

	frame->where = FRAME_COMING;
	pthread_mutex_unlock(&frames->lock);
	result = fetch(frames, index, place, wait);
	pthread_mutex_lock(&frames->lock);
	if (result) {
		frame->where = FRAME_STORED;
	} else {
		frame->where = FRAME_HERE;
		frame->wanted = true;
		frame_link(frames, index);
		frames->stats.stored--;
		frames->stats.came++;
	}
	pthread_cond_broadcast(&frames->came);
	if (result)
		return result;
	pthread_mutex_unlock(&frames->lock);
	pool->ops->invalidate(pool, place);
	pthread_mutex_lock(&frames->lock);
	return 0;
}

int frames_bring(struct frames *frames, u32 first, u32 count, bool wait)
{
	int result = 0;

	pthread_mutex_lock(&frames->lock);
	for (u32 i = first; i < first + count && !result;) {
		u8 where = frames->table[i].where;

		if (where == FRAME_COMING)
			pthread_cond_wait(&frames->came, &frames->lock);
		else if (where == FRAME_STORED)
			result = bring_back(frames, i, wait);
		else
			i++;
	}
	pthread_mutex_unlock(&frames->lock);
	return result;
}

/* The next frame that may leave, LEAVING and held now; FRAME_NONE when it took all steps. */
static u32 next_victim(struct frames *frames, u64 *steps)
{
	u32 found = FRAME_NONE;

	pthread_mutex_lock(&frames->lock);
	while (*steps && found == FRAME_NONE) {
		u32 index = frames->hand < frames->top ? frames->hand : 0;
		struct frame *frame = &frames->table[index];

		(*steps)--;
		frames->hand = index + 1;
		if (!frame->references || frame->holders || frame->where != FRAME_HERE)
			continue;
		if (frame->wanted) {
			frame->wanted = false;
			continue;
		}
		frame->where = FRAME_LEAVING;
		frame->holders = 1;
		found = index;
	}
	pthread_mutex_unlock(&frames->lock);
	return found;
}

/* Ends the turn of a frame whose content is stored at `place`, or is not. Returns whether it has left. */
static bool leave(struct frames *frames, u32 index, bool stored, u64 place)
{
	struct page_source *pool = frames->options.memory->sources[PAGE_COMPRESSED];
	struct frame *frame = &frames->table[index];
	struct frames_gone gone = {0};
	bool left;

	pthread_mutex_lock(&frames->lock);
	left = stored && frame->references && frame->holders == 1;
	if (left) {
		frame_unlink(frames, index);
		frame_punch(frames, index, 1);
		frame->place = place;
		frames->stats.stored++;
		frames->stats.left++;
	}
	frame->where = left ? FRAME_STORED : FRAME_HERE;
	frame->holders--;
	frame_settle(frames, index, &gone);
	frames_unlock(frames, &gone);
	if (left)
		budget_give(&frames->options.memory->budget, PAGE_SIZE);
	else if (stored)
		pool->ops->invalidate(pool, place);
	return left;
}

/* Returns 1 when the frame has left, 0, or -errno. */
static int evict_one(struct frames *frames, u32 index)
{
	struct page_source *pool = frames->options.memory->sources[PAGE_COMPRESSED];
	_Alignas(64) u8 plain[PAGE_SIZE];
	struct page_store page = {
		.plain = plain,
		.node = frames->options.node,
		.salt = frames->options.salt,
		.unowned = true,
	};
	int result = frames_copy(frames, index, 1, plain) ? pool->ops->store(pool, &page) : -EIO;
	bool left = leave(frames, index, !result, page.payload);

	return result == -E2BIG ? 0 : result ? result : left;
}

s64 frames_evict(struct frames *frames, u64 count)
{
	u64 steps = 2UL * frames->top, left = 0;
	int result = 0;

	if (!frames->options.memory->sources[PAGE_COMPRESSED])
		return 0;
	while (left < count && result >= 0) {
		u32 index = next_victim(frames, &steps);

		if (index == FRAME_NONE)
			break;
		result = evict_one(frames, index);
		left += result > 0;
	}
	return left ? (s64)left : MIN(result, 0);
}
