/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "manager/data.h"
#include "swap/codec.h"

#define CONTENT_BYTES (128 * MiB)
#define BLOB_MAX      (PAGE_SIZE / 4 * 3)

bool content_same_filled(const u8 *page)
{
	return !memcmp(page, page + sizeof(u32), PAGE_SIZE - sizeof(u32));
}

static bool wanted(const u8 *page)
{
	u8 packed[BLOB_MAX];

	return !content_same_filled(page) &&
	       codec_find(CODEC_LZ4)->compress(page, packed, sizeof(packed), 1);
}

static int choose(struct content *content, const u8 *bytes, u64 pages)
{
	content->bytes = malloc(pages * PAGE_SIZE);
	if (!content->bytes)
		return -ENOMEM;
	for (u64 i = 0; i < pages; i++)
		if (wanted(bytes + i * PAGE_SIZE))
			memcpy(content->bytes + content->pages++ * PAGE_SIZE, bytes + i * PAGE_SIZE,
			       PAGE_SIZE);
	return content->pages ? 0 : -ENODATA;
}

int content_open(struct bench *bench, struct content *content)
{
	struct data_cache *cache;
	void *map;
	u64 bytes;
	int fd, err;

	*content = (struct content){0};
	err = data_cache_create(CONTENT_BYTES, &cache);
	if (err)
		return err;
	err = data_cache_get(cache, bench->options.data, &fd, &bytes);
	if (!err) {
		map = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
		err = map == MAP_FAILED ? -errno : choose(content, map, bytes / PAGE_SIZE);
		if (map != MAP_FAILED)
			munmap(map, bytes);
	}
	data_cache_destroy(cache);
	return err ? bench_fail(bench, err, "no data in %s", bench->options.data) : 0;
}

void content_fill(const struct content *content, u8 *base, u64 first, u64 end)
{
	for (u64 i = first; i < end; i++)
		memcpy(base + i * PAGE_SIZE, content->bytes + (i % content->pages) * PAGE_SIZE,
		       PAGE_SIZE);
}

void content_fill_same(u8 *base, u64 first, u64 end)
{
	for (u64 i = first; i < end; i++) {
		u32 *words = (u32 *)(base + i * PAGE_SIZE);

		for (u32 j = 0; j < PAGE_SIZE / sizeof(*words); j++)
			words[j] = (u32)i + 1;
	}
}
