/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading data in two passes: the first lists the files and their sizes, the second copies. The list
 * is a tape: the files one after the other. A tape that is too long gives pieces of PIECE bytes at
 * even distances, so that every part of a large folder, and of a large file, is in the sample in
 * proportion to its size.
 */
#include "manager/data.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"

#define PIECE	  (64 * KiB)
#define FILES_MAX (1U << 20)

struct data_entry {
	struct data_entry *next;
	int fd;
	u64 bytes;
	char path[];
};

struct data_cache {
	u64 max_bytes;
	struct data_entry *entries;
};

struct data_file {
	char *path;
	u64 start; /* on the tape */
	u64 size;
};

struct file_list {
	struct data_file *files;
	u32 count;
	u64 total;
};

int data_cache_create(u64 max_bytes, struct data_cache **cache)
{
	*cache = calloc(1, sizeof(**cache));
	if (!*cache)
		return -ENOMEM;
	(*cache)->max_bytes = max_bytes;
	return 0;
}

static void file_list_free(struct file_list *list)
{
	for (u32 i = 0; i < list->count; i++)
		free(list->files[i].path);
	free(list->files);
}

static int file_list_add(struct file_list *list, const char *path, u64 size)
{
	/* Grows at powers of two. */
	if (!(list->count & (list->count - 1))) {
		u32 room = list->count ? 2 * list->count : 1;
		void *files = realloc(list->files, room * sizeof(*list->files));

		if (!files)
			return -ENOMEM;
		list->files = files;
	}
	list->files[list->count].path = strdup(path);
	if (!list->files[list->count].path)
		return -ENOMEM;
	list->files[list->count].start = list->total;
	list->files[list->count++].size = size;
	list->total += size;
	return 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int file_list_walk(struct file_list *list, const char *path)
{
	char *const roots[] = {(char *)path, NULL};
	FTSENT *entry;
	int ret = 0;
	FTS *fts;

	fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, by_name);
	if (!fts)
		return -errno;
	while (!ret && list->count < FILES_MAX && (entry = fts_read(fts)))
		if (entry->fts_info == FTS_F && S_ISREG(entry->fts_statp->st_mode) &&
		    entry->fts_statp->st_size > 0)
			ret = file_list_add(list, entry->fts_path, (u64)entry->fts_statp->st_size);
	fts_close(fts);
	return ret;
}

/* Copies `want` bytes at `offset` of a file; returns how many there were, 0 when it cannot be read or
 * is no longer what it was when listed. */
static u64 read_file(const char *path, u64 offset, u8 *to, u64 want)
{
	struct stat st;
	u64 done = 0;
	ssize_t got;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return 0;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		while (done < want &&
		       (got = pread(fd, to + done, want - done, (off_t)(offset + done))) > 0)
			done += (u64)got;
	close(fd);
	return done;
}

/* Copies `want` bytes at `start` of the tape; what cannot be read is left out. *cursor is the file
 * where the last piece ended: pieces are taken in order. */
static u64 read_tape(const struct file_list *list, u32 *cursor, u64 start, u8 *to, u64 want)
{
	u64 done = 0;

	while (want && *cursor < list->count) {
		const struct data_file *file = &list->files[*cursor];
		u64 offset = start - file->start;
		u64 length;

		if (offset >= file->size) {
			++*cursor;
			continue;
		}
		length = MIN(want, file->size - offset);
		done += read_file(file->path, offset, to + done, length);
		start += length;
		want -= length;
	}
	return done;
}

/* Fills `room` bytes, at most the length of the tape; returns how many were found. */
static u64 read_sample(const struct file_list *list, u8 *to, u64 room)
{
	u64 pieces = room < list->total ? MAX(room / PIECE, 1) : 1;
	u64 length = room / pieces;
	u64 distance = list->total / pieces;
	u32 cursor = 0;
	u64 done = 0;

	for (u64 i = 0; i < pieces; i++)
		done += read_tape(list, &cursor, i * distance, to + done, length);
	return done;
}

/* Nobody can change it any more, and the descriptor that leaves here cannot even try: kernels before
 * 6.7 refuse MAP_SHARED of a write-sealed file opened for writing. */
static int seal(int fd)
{
	char link[32];
	int ret;

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ret = open(link, O_RDONLY | O_CLOEXEC);
	return ret < 0 ? -errno : ret;
}

/* A sealed file with the pieces of the files listed; *bytes is set to their length. */
static int load(const struct file_list *list, u64 max_bytes, u64 *bytes)
{
	u64 room = MIN(list->total, max_bytes);
	u64 size = ALIGN_UP(room, REGION_SIZE);
	int fd, ret;
	u8 *map;

	fd = memfd_create("ballast-data", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size)) {
		ret = -errno;
		goto close_file;
	}
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		ret = -errno;
		goto close_file;
	}
	*bytes = ALIGN_UP(read_sample(list, map, room), PAGE_SIZE);
	munmap(map, size);
	if (!*bytes)
		ret = -ENODATA;
	else if (ftruncate(fd, (off_t)ALIGN_UP(*bytes, REGION_SIZE)))
		ret = -errno;
	else
		ret = seal(fd);
close_file:
	close(fd);
	return ret;
}

static const char *why_not(int error)
{
	switch (error) {
	case -ENODATA:
		return "no regular file in it can be read, or all are empty: name another";
	case -EINVAL:
		return "neither a regular file nor a folder: name one of these";
	case -EOPNOTSUPP:
		return "the limit on data is below one page: raise data-bytes or give no data";
	default:
		return strerror(-error);
	}
}

/* Lists and loads `real`, a path without symbolic links. Returns a new descriptor or -errno. */
static int open_data(const char *real, u64 max_bytes, u64 *bytes)
{
	struct file_list list = {0};
	struct stat st;
	int ret;

	if (max_bytes < PAGE_SIZE)
		return -EOPNOTSUPP;
	if (stat(real, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return -EINVAL;
	ret = file_list_walk(&list, real);
	if (!ret)
		ret = list.count ? load(&list, ALIGN_DOWN(max_bytes, PAGE_SIZE), bytes) : -ENODATA;
	file_list_free(&list);
	return ret;
}

static int add_entry(struct data_cache *cache, const char *real, struct data_entry **found)
{
	struct data_entry *entry;

	entry = calloc(1, sizeof(*entry) + strlen(real) + 1);
	if (!entry)
		return -ENOMEM;
	strcpy(entry->path, real);
	entry->fd = open_data(real, cache->max_bytes, &entry->bytes);
	if (entry->fd < 0) {
		int ret = entry->fd;

		free(entry);
		return ret;
	}
	entry->next = cache->entries;
	cache->entries = *found = entry;
	return 0;
}

static int find_entry(struct data_cache *cache, const char *path, struct data_entry **found)
{
	char real[PATH_MAX];

	if (!realpath(path, real))
		return -errno;
	for (struct data_entry *entry = cache->entries; entry; entry = entry->next) {
		if (strcmp(entry->path, real) != 0)
			continue;
		*found = entry;
		return 0;
	}
	return add_entry(cache, real, found);
}

void data_cache_load(struct data_cache *cache, const char *path)
{
	struct data_entry *entry;

	find_entry(cache, path, &entry);
}

int data_cache_get(struct data_cache *cache, const char *path, int *fd, u64 *bytes)
{
	struct data_entry *entry;
	int ret = find_entry(cache, path, &entry);

	if (ret) {
		log_error("data %s: cannot load: %s", path, why_not(ret));
		return ret;
	}
	*fd = entry->fd;
	*bytes = entry->bytes;
	return 0;
}

u64 data_cache_bytes(const struct data_cache *cache)
{
	u64 bytes = 0;

	for (const struct data_entry *entry = cache->entries; entry; entry = entry->next)
		bytes += entry->bytes;
	return bytes;
}

void data_cache_destroy(struct data_cache *cache)
{
	if (!cache)
		return;
	while (cache->entries) {
		struct data_entry *entry = cache->entries;

		cache->entries = entry->next;
		close(entry->fd);
		free(entry);
	}
	free(cache);
}
