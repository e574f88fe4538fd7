/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bare.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "hv/ram.h"
#include "mem/uffd.h"

#define BARE_BYTES (64 * MiB)

struct bare {
	struct ram ram;
	int file;
	int uffd;
	bool polling;
	_Atomic bool stop;
	pthread_t thread;
	struct order order;
};

static void *bare_serve(void *argument)
{
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE] = {1};
	struct bare *bare = argument;
	struct pollfd ready = {.fd = bare->uffd, .events = POLLIN};
	struct uffd_msg message;

	while (!bare->stop) {
		u64 hva;

		/* A sleeper wakes now and then to look whether it is all over. */
		if (poll(&ready, 1, bare->polling ? 0 : 100) <= 0 ||
		    read(bare->uffd, &message, sizeof(message)) != sizeof(message))
			continue;
		hva = ALIGN_DOWN(message.arg.pagefault.address, PAGE_SIZE);
		uffd_copy(bare->uffd, hva, page, PAGE_SIZE);
		uffd_wake(bare->uffd, hva, PAGE_SIZE);
	}
	return NULL;
}

static int bare_open(struct bare *bare)
{
	int err;

	bare->file = memfd_create("bench", MFD_CLOEXEC);
	if (bare->file < 0 || ftruncate(bare->file, BARE_BYTES))
		return -errno;
	err = ram_map_file(&bare->ram, bare->file, BARE_BYTES);
	if (err)
		return err;
	bare->uffd = faultfd_open(true);
	err = bare->uffd < 0 ? bare->uffd
			     : faultfd_register(bare->uffd, (u64)(uintptr_t)bare->ram.base,
						bare->ram.bytes, false);
	return err ? err : -pthread_create(&bare->thread, NULL, bare_serve, bare);
}

int bare_measure(bool polling, u32 count, struct ticks *ticks)
{
	static struct bare bare;
	int err;

	bare = (struct bare){.polling = polling};
	err = bare_open(&bare);
	if (err)
		return err;
	order_make(&bare.order, 0, BARE_BYTES / PAGE_SIZE, 1, count, 3);
	order_touch(&bare.order, bare.ram.base);
	order_sum_up(&bare.order, count / 8, 0, ticks);
	bare.stop = true;
	pthread_join(bare.thread, NULL);
	close(bare.uffd);
	ram_unmap(&bare.ram);
	close(bare.file);
	return 0;
}
