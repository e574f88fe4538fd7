/* SPDX-License-Identifier: Apache-2.0 */
/* A guest on plain memory. */
#include "hv/plain.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>

#include "guest-driver/image.h"
#include "hv/guest.h"
#include "lib/log.h"

#define PLAIN_POLL_MS 20

static void plain_console(struct hv_guest *guest)
{
	char text[512];
	u32 length;

	while ((length = console_take(&guest->console, text, sizeof(text))) > 0)
		log_info("guest %s: console: %.*s", guest->config.name,
			 (int)length - (text[length - 1] == '\n'), text);
}

static void plain_wait(struct hv_guest *guest, const struct plain_orders *orders,
		       struct attach_stats *stats)
{
	struct pollfd notify = {.fd = guest->notify, .events = POLLIN};
	bool told = false, begun = false;

	while (!hv_guest_ended(guest)) {
		if (orders->begin && !begun) {
			hv_guest_begin(guest);
			begun = true;
		}
		if (orders->stop && !told) {
			hv_guest_order_stop(guest);
			told = true;
		}
		if (poll(&notify, 1, PLAIN_POLL_MS) > 0)
			hv_event_clear(guest->notify);
		plain_console(guest);
		hv_guest_collect(guest, stats);
	}
}

static int plain_result(struct hv_guest *guest)
{
	struct attach_exit exit = {};

	hv_guest_verdict(guest, &exit);
	if (exit.code == ATTACH_EXIT_OK)
		return 0;
	log_error("guest %s: %s", guest->config.name, exit.text);
	return exit.code == ATTACH_EXIT_VERIFY ? -EILSEQ : -EIO;
}

static int plain_map(struct ram *ram, u64 bytes, u32 memory)
{
	int err = ram_map_plain(ram, bytes, memory & PLAIN_HUGE);

	if (!err && memory & PLAIN_MERGEABLE && madvise(ram->base, bytes, MADV_MERGEABLE))
		err = -errno;
	if (err)
		ram_unmap(ram);
	return err;
}

int plain_guest_run(const struct attach_guest *config, int data_fd, u32 memory,
		    const struct plain_orders *orders, struct attach_stats *stats)
{
	const struct boot_image image = {guest_image_start,
					 (size_t)(guest_image_end - guest_image_start)};
	char text[ATTACH_TEXT_MAX];
	struct hv_guest *guest;
	int err;

	*stats = (struct attach_stats){};
	err = hv_guest_create(config, data_fd, &image, &guest, text);
	if (err) {
		log_error("guest %s: %s", config->name, text);
		return err;
	}
	err = plain_map(&guest->ram, config->ram_bytes, memory);
	if (err) {
		log_error("guest %s: cannot map its memory: error %d", config->name, -err);
		goto destroy;
	}
	err = hv_guest_prepare(guest, text);
	if (err) {
		log_error("guest %s: %s", config->name, text);
		goto destroy;
	}
	hv_guest_boot(guest);
	hv_guest_start(guest);
	plain_wait(guest, orders, stats);
	plain_console(guest);
	hv_guest_collect(guest, stats);
	err = plain_result(guest);
	/* After a failure other vCPUs may run on, and not every accelerator can be kicked. */
	hv_guest_order_stop(guest);
destroy:
	hv_guest_destroy(guest);
	return err;
}
