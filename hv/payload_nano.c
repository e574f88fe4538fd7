/* SPDX-License-Identifier: Apache-2.0 */
/* The nano guest as a payload: its settings, its boot page, its statistics. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guest-driver/args.h"
#include "guest-driver/host.h"
#include "hv/guest.h"
#include "hv/layout.h"
#include "hv/payload.h"
#include "hv/tsc.h"

static int map_data(struct hv_guest *guest, int fd)
{
	u64 bytes = guest->config.data_bytes;
	struct stat file;
	void *data;

	if (!bytes)
		return 0;
	if (fstat(fd, &file))
		return -errno;
	/* Reading a mapping beyond the end of its file is a fault no guest should be blamed for. */
	if (file.st_size < 0 || (u64)file.st_size < bytes)
		return -EINVAL;
	data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	guest->data = data;
	guest->data_bytes = ALIGN_UP(bytes, PAGE_SIZE);
	return 0;
}

static int check_config(struct hv_guest *guest, char *text)
{
	const struct attach_guest *config = &guest->config;
	const char *why;
	int err;

	if (!config->vcpus || config->vcpus > GUEST_MAX_VCPUS) {
		snprintf(text, ATTACH_TEXT_MAX, "%u vCPUs: choose 1 to %u", config->vcpus,
			 GUEST_MAX_VCPUS);
		return -EINVAL;
	}
	err = boot_check_size(config->ram_bytes, config->data_bytes);
	if (err) {
		snprintf(text, ATTACH_TEXT_MAX, "%llu MiB of memory with %llu MiB of data: %s",
			 (unsigned long long)(config->ram_bytes / MiB),
			 (unsigned long long)(config->data_bytes / MiB),
			 err == -E2BIG ? "more than the guest's page tables can map"
				       : "choose a multiple of 2 MiB, at least 4 MiB");
		return err;
	}
	err = boot_check_image(&guest->image, &guest->entry, &why);
	if (err) {
		snprintf(text, ATTACH_TEXT_MAX, "guest image: %s", why);
		return err;
	}
	return guest_args_parse(config->workload, config->args, &guest->workload, &guest->args,
				text, ATTACH_TEXT_MAX);
}

static int nano_check(struct hv_guest *guest, int data_fd, char *text)
{
	int err = check_config(guest, text);

	if (err)
		return err;
	err = map_data(guest, data_fd);
	if (err)
		snprintf(text, ATTACH_TEXT_MAX, "cannot map %llu bytes of data: %s",
			 (unsigned long long)guest->config.data_bytes, strerror(-err));
	return err;
}

static void nano_boot(struct hv_guest *guest)
{
	struct guest_boot boot = {
		.magic = GUEST_ABI_MAGIC,
		.version = GUEST_ABI_VERSION,
		.vcpus = guest->config.vcpus,
		.ram_bytes = guest->ram.bytes,
		.heap_start = GUEST_LOW_BYTES,
		.data_bytes = guest->config.data_bytes,
		.tsc_khz = guest->tsc_khz ? guest->tsc_khz : tsc_measure_khz(),
		.seed = guest->config.seed,
		.workload = guest->workload,
		.args = guest->args,
		.devices = guest->balloon ? GUEST_DEVICE_BALLOON : 0,
		.hole_start = HV_HOLE_START,
		.hole_bytes = HV_HOLE_END - HV_HOLE_START,
	};

	memcpy(guest->ram.base + GUEST_BOOT, &boot, sizeof(boot));
}

static void sum_vcpu(const struct hv_guest *guest, u32 vcpu, struct attach_stats *stats, u32 *phase)
{
	const u8 *from = guest->ram.base + GUEST_STATS + vcpu * GUEST_STATS_STRIDE;
	struct guest_vcpu_stats now;
	u32 at, permille;

	guest_stats_copy(&now, (const struct guest_vcpu_stats *)from);
	stats->ops += now.ops;
	stats->pages_verified += now.pages_verified;
	stats->verify_failures += now.verify_failures;
	hist_merge(&stats->latency, &now.latency);
	/* The guest is as far as its slowest vCPU. */
	at = MIN(now.phase, (u32)GUEST_PHASE_DONE);
	permille = MIN(now.permille, 1000U);
	if (at < *phase) {
		*phase = at;
		stats->progress = permille;
	} else if (at == *phase) {
		stats->progress = MIN(stats->progress, (u64)permille);
	}
}

/* How long the slowest vCPU worked; 0 while any still does. */
static u64 worked_ns(const struct hv_guest *guest)
{
	const u8 *stats = guest->ram.base + GUEST_STATS;
	u64 longest = 0;

	for (u32 i = 0; i < guest->config.vcpus; i++) {
		const struct guest_vcpu_stats *vcpu =
			(const struct guest_vcpu_stats *)(stats + i * GUEST_STATS_STRIDE);
		u64 run_ns = __atomic_load_n(&vcpu->run_ns, __ATOMIC_RELAXED);

		if (!run_ns)
			return 0;
		longest = MAX(longest, run_ns);
	}
	return longest;
}

static void nano_collect(const struct hv_guest *guest, struct attach_stats *stats)
{
	static const char *const phases[] = {
		[GUEST_PHASE_BOOT] = "boot",	 [GUEST_PHASE_FILL] = "fill",
		[GUEST_PHASE_WAIT] = "wait",	 [GUEST_PHASE_RUN] = "run",
		[GUEST_PHASE_VERIFY] = "verify", [GUEST_PHASE_DONE] = "done",
	};
	u32 phase = GUEST_PHASE_DONE;

	*stats = (struct attach_stats){.progress = 1000};
	for (u32 i = 0; i < guest->config.vcpus; i++)
		sum_vcpu(guest, i, stats, &phase);
	stats->run_ns = worked_ns(guest);
	snprintf(stats->phase, sizeof(stats->phase), "%s", phases[phase]);
}

/* First the word, then the waking: whoever wakes finds it. */
static void nano_order_stop(struct hv_guest *guest)
{
	guest_stop((struct guest_boot *)(guest->ram.base + GUEST_BOOT));
	hv_guest_wake(guest);
}

static void nano_begin(struct hv_guest *guest)
{
	struct guest_boot *boot = (struct guest_boot *)(guest->ram.base + GUEST_BOOT);

	__atomic_store_n(&boot->begin, 1, __ATOMIC_RELEASE);
}

static const struct accel_ops *const nano_accels[] = {&accel_kvm_ops, &accel_thread_ops, NULL};

const struct payload_ops payload_nano = {
	.accels = nano_accels,
	.on_triple_fault = "the guest took an exception, as after a wild pointer or jump",
	.check = nano_check,
	.boot = nano_boot,
	.collect = nano_collect,
	.order_stop = nano_order_stop,
	.begin = nano_begin,
};
