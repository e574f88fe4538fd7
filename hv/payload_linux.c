/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linux kernel as a payload. The data file is its image, the workload's arguments are its command
 * line, to which the devices are added that it cannot find by itself. It tells us nothing and takes no
 * orders: it is taken to run from its first instruction until it is ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hv/guest.h"
#include "hv/payload.h"

static int check_settings(const struct attach_guest *config, int data_fd, char *text)
{
	if (config->vcpus != 1) {
		snprintf(text, ATTACH_TEXT_MAX,
			 "%u vCPUs: a kernel boots on 1, for nothing tells it of more",
			 config->vcpus);
		return -EINVAL;
	}
	if (!config->data_bytes || data_fd < 0) {
		snprintf(text, ATTACH_TEXT_MAX,
			 "no kernel: workload " ATTACH_WORKLOAD_LINUX " needs one as its data file");
		return -EINVAL;
	}
	return 0;
}

static int linux_check(struct hv_guest *guest, int data_fd, char *text)
{
	const struct attach_guest *config = &guest->config;
	const char *why;
	int err = check_settings(config, data_fd, text);

	if (err)
		return err;
	err = pvh_open(data_fd, config->data_bytes, config->ram_bytes, &guest->kernel, &why);
	if (err)
		snprintf(text, ATTACH_TEXT_MAX, "kernel: %s", why);
	return err;
}

/* Its file is of no more use; nor is a guest whose kernel is not all there. */
static void linux_boot(struct hv_guest *guest)
{
	int err = pvh_load(&guest->kernel, &guest->ram);

	pvh_close(&guest->kernel);
	if (err)
		hv_guest_fail(guest, ATTACH_EXIT_VMM, "kernel: its file cannot be read: %s",
			      err == -ENODATA ? "it has become shorter" : strerror(-err));
}

static void linux_collect(const struct hv_guest *guest, struct attach_stats *stats)
{
	(void)guest;
	*stats = (struct attach_stats){.progress = 1000, .phase = "run"};
}

static void linux_order_stop(struct hv_guest *guest)
{
	hv_guest_halt(guest);
}

static const struct accel_ops *const linux_accels[] = {&accel_pc_ops, NULL};

const struct payload_ops payload_linux = {
	.accels = linux_accels,
	.on_triple_fault = "the kernel reset its machine, or lost control: its console says why",
	.probes = true,
	.check = linux_check,
	.boot = linux_boot,
	.collect = linux_collect,
	.order_stop = linux_order_stop,
};
