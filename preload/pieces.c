/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory is the guest's. A table of few entries, looked at seldom: a lock and a loop do. */
#include <pthread.h>

#include "preload/preload.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct piece pieces[ATTACH_PIECES_MAX];

static bool range_is_free(u64 offset, u64 length)
{
	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++) {
		const struct piece *piece = &pieces[i];

		if (piece->at && offset < piece->ram_offset + piece->length &&
		    piece->ram_offset < offset + length)
			return false;
	}
	return true;
}

/* The first place that is free: at the start, or behind a piece. Lock held. */
static u64 find_room(u64 length, u64 ram_bytes)
{
	u64 best = length <= ram_bytes && range_is_free(0, length) ? 0 : UINT64_MAX;

	for (u32 i = 0; i < ATTACH_PIECES_MAX && best; i++) {
		u64 offset = pieces[i].ram_offset + pieces[i].length;

		if (pieces[i].at && offset < best && length <= ram_bytes &&
		    offset <= ram_bytes - length && range_is_free(offset, length))
			best = offset;
	}
	return best;
}

static struct piece *empty_place(void)
{
	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++)
		if (!pieces[i].at)
			return &pieces[i];
	return NULL;
}

u64 pieces_room(u64 length, u64 ram_bytes)
{
	u64 offset;

	pthread_mutex_lock(&lock);
	offset = empty_place() ? find_room(length, ram_bytes) : UINT64_MAX;
	pthread_mutex_unlock(&lock);
	return offset;
}

void pieces_add(const struct piece *piece)
{
	pthread_mutex_lock(&lock);
	*empty_place() = *piece;
	pthread_mutex_unlock(&lock);
}

void pieces_remove(const struct piece *piece)
{
	pthread_mutex_lock(&lock);
	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++)
		if (pieces[i].at == piece->at)
			pieces[i] = (struct piece){0};
	pthread_mutex_unlock(&lock);
}

bool pieces_get(u32 i, struct piece *piece)
{
	pthread_mutex_lock(&lock);
	*piece = pieces[i];
	pthread_mutex_unlock(&lock);
	return piece->at;
}

bool pieces_at(const void *address, struct piece *piece)
{
	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++)
		if (pieces_get(i, piece) && (u64)((const u8 *)address - piece->at) < piece->length)
			return true;
	return false;
}

bool pieces_of(dev_t device, ino_t inode, u64 file_offset, struct piece *piece)
{
	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++)
		if (pieces_get(i, piece) && piece->device == device && piece->inode == inode &&
		    file_offset - piece->file_offset < piece->length)
			return true;
	return false;
}

bool pieces_know(dev_t device, ino_t inode)
{
	struct piece piece;

	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++)
		if (pieces_get(i, &piece) && piece.device == device && piece.inode == inode)
			return true;
	return false;
}

u64 pieces_bytes(void)
{
	struct piece piece;
	u64 bytes = 0;

	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++)
		if (pieces_get(i, &piece))
			bytes += piece.length;
	return bytes;
}

u8 *pieces_map(u64 offset, u64 length, u64 *part)
{
	struct piece piece;

	*part = length;
	for (u32 i = 0; i < ATTACH_PIECES_MAX; i++) {
		if (!pieces_get(i, &piece))
			continue;
		if (offset - piece.ram_offset < piece.length) {
			*part = MIN(length, piece.ram_offset + piece.length - offset);
			return piece.at + (offset - piece.ram_offset);
		}
		if (piece.ram_offset > offset)
			*part = MIN(*part, piece.ram_offset - offset);
	}
	return NULL;
}
