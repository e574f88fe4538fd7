/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"

#define RAW_DEPTH 64U
#define RAW_BLOCK (256 * KiB)

struct raw {
	int fd;
	u8 *buffers; /* RAW_DEPTH of RAW_BLOCK */
	struct io_uring ring;
};

int raw_open(const char *path, u64 bytes, struct raw **out)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int err;

	if (!raw)
		return -ENOMEM;
	raw->buffers = aligned_alloc(PAGE_SIZE, RAW_DEPTH * RAW_BLOCK);
	raw->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
	if (raw->fd < 0)
		return -errno;
	unlink(path);
	if (!raw->buffers || fallocate(raw->fd, 0, 0, (off_t)bytes))
		return -ENOSPC;
	memset(raw->buffers, 0x5a, RAW_DEPTH * RAW_BLOCK);
	err = io_uring_queue_init(RAW_DEPTH, &raw->ring, 0);
	*out = raw;
	return err;
}

void raw_close(struct raw *raw)
{
	io_uring_queue_exit(&raw->ring);
	close(raw->fd);
	free(raw->buffers);
	free(raw);
}

static u64 place(const struct raw_job *job, u32 number, u64 *seed)
{
	u64 slots = job->span / job->bytes;

	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (job->random ? (*seed >> 33) % slots : number % slots) * job->bytes;
}

static void start(struct raw *raw, const struct raw_job *job, u32 buffer, u64 offset)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&raw->ring);
	u8 *memory = raw->buffers + buffer * RAW_BLOCK;

	if (job->write)
		io_uring_prep_write(sqe, raw->fd, memory, job->bytes, offset);
	else
		io_uring_prep_read(sqe, raw->fd, memory, job->bytes, offset);
	io_uring_sqe_set_data64(sqe, buffer);
}

int raw_run(struct raw *raw, const struct raw_job *job, struct raw_result *result)
{
	u32 started = 0, ended = 0;
	u64 began = clock_now_ns(), seed = 9;

	while (started < MIN(job->depth, job->count)) {
		start(raw, job, started, place(job, started, &seed));
		started++;
	}
	while (ended < job->count) {
		struct io_uring_cqe *cqe;
		u32 buffer;
		int err = io_uring_submit_and_wait(&raw->ring, 1);

		if (err < 0)
			return err;
		while (!io_uring_peek_cqe(&raw->ring, &cqe)) {
			if (cqe->res != (int)job->bytes)
				return cqe->res < 0 ? cqe->res : -EIO;
			buffer = (u32)io_uring_cqe_get_data64(cqe);
			io_uring_cqe_seen(&raw->ring, cqe);
			ended++;
			if (started < job->count) {
				start(raw, job, buffer, place(job, started, &seed));
				started++;
			}
		}
	}
	result->seconds = (double)(clock_now_ns() - began) / 1e9;
	return 0;
}
