/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring underneath the swap file's reader and writer. */
#include "swap/ring.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/log.h"
#include "lib/thread.h"
#include "lib/urgent.h"
#include "mem/budget.h"

#define SHARE 256U /* of the budget: what the buffers may take */
#define LEAST 4U   /* one is filled or emptied while others are under way */

struct ring {
	struct swapfile *file;
	const char *name;
	struct budget *budget;
	u8 *memory;
	u32 buffers, buffer_bytes;
	bool registered; /* the kernel knows the buffers */
	struct io_uring uring;
	pthread_mutex_t lock; /* the submission side, and `in_flight` */
	u32 in_flight;
	bool stopping;
	pthread_t thread;
};

u32 ring_buffers(const struct ring *ring)
{
	return ring->buffers;
}

u8 *ring_buffer(const struct ring *ring, u32 index)
{
	return ring->memory + (u64)index * ring->buffer_bytes;
}

static u64 memory_bytes(const struct ring *ring)
{
	return (u64)ring->buffers * ring->buffer_bytes;
}

static u32 affordable(const struct budget *budget, u32 buffers, u32 buffer_bytes)
{
	u64 many = budget ? atomic_load(&budget->limit) / SHARE / buffer_bytes : buffers;

	return (u32)MIN(MAX(many, LEAST), buffers);
}

static void prepare(struct ring *ring, struct ring_request *request)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
	u8 *buffer = ring_buffer(ring, request->buffer);
	int fd = swapfile_fd(ring->file), index = (int)request->buffer;

	assert(sqe && request->length <= ring->buffer_bytes);
	swapfile_io_begin(ring->file, request->op, request->offset, buffer, request->length);
	if (!ring->registered && request->op == SWAP_IO_WRITE)
		io_uring_prep_write(sqe, fd, buffer, request->length, request->offset);
	else if (!ring->registered)
		io_uring_prep_read(sqe, fd, buffer, request->length, request->offset);
	else if (request->op == SWAP_IO_WRITE)
		io_uring_prep_write_fixed(sqe, fd, buffer, request->length, request->offset, index);
	else
		io_uring_prep_read_fixed(sqe, fd, buffer, request->length, request->offset, index);
	io_uring_sqe_set_data(sqe, request);
}

/* With the lock held. What io_uring_submit() can return for a ring that is set up as ours is, is that
 * it lacks memory or was interrupted. */
static void submit_all(struct ring *ring)
{
	int sent;

	while (io_uring_sq_ready(&ring->uring)) {
		sent = io_uring_submit(&ring->uring);
		assert(sent >= 0 || sent == -EAGAIN || sent == -EINTR || sent == -EBUSY ||
		       sent == -ENOMEM);
		if (sent < 0)
			sched_yield();
	}
}

void ring_submit(struct ring *ring, struct ring_request *const *requests, u32 count)
{
	if (!count)
		return;
	pthread_mutex_lock(&ring->lock);
	ring->in_flight += count;
	assert(ring->in_flight <= ring->buffers);
	for (u32 i = 0; i < count; i++)
		prepare(ring, requests[i]);
	submit_all(ring);
	pthread_mutex_unlock(&ring->lock);
}

/* Also makes the submitter's writes to the request ours: the kernel orders them, but the language
 * knows nothing of that. */
static void leave_flight(struct ring *ring, const struct ring_request *request)
{
	pthread_mutex_lock(&ring->lock);
	if (request)
		ring->in_flight--;
	else
		ring->stopping = true;
	pthread_mutex_unlock(&ring->lock);
}

static void complete_one(struct ring *ring, struct io_uring_cqe *cqe)
{
	struct ring_request *request = io_uring_cqe_get_data(cqe);
	s32 result = cqe->res;

	io_uring_cqe_seen(&ring->uring, cqe);
	leave_flight(ring, request);
	if (!request)
		return;
	result = swapfile_io_end(ring->file, request->op, request->offset,
				 ring_buffer(ring, request->buffer), request->length, result);
	request->complete(request, result);
}

static bool finished(struct ring *ring)
{
	bool done;

	pthread_mutex_lock(&ring->lock);
	done = ring->stopping && !ring->in_flight;
	pthread_mutex_unlock(&ring->lock);
	return done;
}

static void *ring_main(void *argument)
{
	struct ring *ring = argument;
	struct io_uring_cqe *cqe;

	thread_is_urgent();
	do {
		if (!io_uring_wait_cqe(&ring->uring, &cqe))
			complete_one(ring, cqe);
	} while (!finished(ring));
	return NULL;
}

static int allocate_buffers(struct ring *ring)
{
	ring->memory = mmap(NULL, memory_bytes(ring), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (ring->memory == MAP_FAILED)
		return -errno;
	if (ring->budget)
		budget_charge(ring->budget, memory_bytes(ring));
	return 0;
}

static void free_buffers(struct ring *ring)
{
	munmap(ring->memory, memory_bytes(ring));
	if (ring->budget)
		budget_give(ring->budget, memory_bytes(ring));
}

static int register_buffers(struct ring *ring)
{
	struct iovec *vectors = calloc(ring->buffers, sizeof(*vectors));
	int err;

	if (!vectors)
		return -ENOMEM;
	for (u32 i = 0; i < ring->buffers; i++)
		vectors[i] = (struct iovec){ring_buffer(ring, i), ring->buffer_bytes};
	err = io_uring_register_buffers(&ring->uring, vectors, ring->buffers);
	free(vectors);
	return err;
}

static int set_up(struct ring *ring)
{
	int err = io_uring_queue_init(2 * ring->buffers, &ring->uring, 0);

	if (err) {
		log_error("swap file: no io_uring (%s): allow the io_uring system calls, or run "
			  "without swap-file",
			  strerror(-err));
		return err;
	}
	err = register_buffers(ring);
	ring->registered = !err;
	if (err)
		log_warn(
			"swap file: the kernel does not register %.1f MiB of buffers (%s), so each "
			"transfer costs more: raise the limit of locked memory (ulimit -l)",
			(double)memory_bytes(ring) / (double)MiB, strerror(-err));
	return 0;
}

int ring_create(struct swapfile *file, const char *name, u32 buffers, u32 buffer_bytes,
		struct budget *budget, struct ring **result)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int err;

	if (!ring)
		return -ENOMEM;
	ring->file = file;
	ring->name = name;
	ring->budget = budget;
	ring->buffers = affordable(budget, buffers, buffer_bytes);
	ring->buffer_bytes = buffer_bytes;
	pthread_mutex_init(&ring->lock, NULL);
	err = allocate_buffers(ring);
	if (err)
		goto free_ring;
	err = set_up(ring);
	if (err)
		goto free_buffers;
	err = thread_start(&ring->thread, ring_main, ring);
	if (err)
		goto exit_uring;
	pthread_setname_np(ring->thread, name);
	*result = ring;
	return 0;

exit_uring:
	io_uring_queue_exit(&ring->uring);
free_buffers:
	free_buffers(ring);
free_ring:
	pthread_mutex_destroy(&ring->lock);
	free(ring);
	return err;
}

/* A request that is none tells the thread to end. */
static void stop_thread(struct ring *ring)
{
	struct io_uring_sqe *sqe;

	pthread_mutex_lock(&ring->lock);
	sqe = io_uring_get_sqe(&ring->uring);
	assert(sqe);
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	submit_all(ring);
	pthread_mutex_unlock(&ring->lock);
	pthread_join(ring->thread, NULL);
}

void ring_destroy(struct ring *ring)
{
	stop_thread(ring);
	io_uring_queue_exit(&ring->uring);
	free_buffers(ring);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}
