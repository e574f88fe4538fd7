// SPDX-License-Identifier: Apache-2.0
/* The harness of the guest's tests. */
#include "guest_rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest-driver/args.h"

struct rig_vcpu {
	struct guest_rig *rig;
	u32 index;
	pthread_t thread;
};

static struct guest_rig *rig_of(struct guest_host *host)
{
	return container_of(host, struct guest_rig, host);
}

static void rig_console(struct guest_host *host, u32 vcpu, const char *text, size_t length)
{
	struct guest_rig *rig = rig_of(host);

	(void)vcpu;
	pthread_mutex_lock(&rig->lock);
	length = MIN(length, RIG_CONSOLE - 1 - rig->length);
	memcpy(rig->text + rig->length, text, length);
	rig->length += length;
	pthread_mutex_unlock(&rig->lock);
}

static void sleep_for(u32 milliseconds)
{
	struct timespec time = {.tv_sec = milliseconds / 1000,
				.tv_nsec = milliseconds % 1000 * 1000000L};

	nanosleep(&time, NULL);
}

static void rig_sleep_ms(struct guest_host *host, u32 vcpu, u32 milliseconds)
{
	struct guest_rig *rig = rig_of(host);

	(void)vcpu;
	while (milliseconds-- && !__atomic_load_n(&rig->boot->stop, __ATOMIC_RELAXED))
		sleep_for(1);
}

static void rig_doorbell(struct guest_host *host, u32 vcpu)
{
	struct guest_rig *rig = rig_of(host);

	if (rig->hook)
		rig->hook(rig, vcpu, rig_stats(rig, vcpu)->phase);
}

static const struct guest_host_ops rig_ops = {
	.console = rig_console,
	.sleep_ms = rig_sleep_ms,
	.doorbell = rig_doorbell,
};

/* The frequency only scales latencies here: near enough is good enough. */
static u64 tsc_khz(void)
{
	u64 start = __builtin_ia32_rdtsc();

	sleep_for(5);
	return (__builtin_ia32_rdtsc() - start) / 5;
}

void rig_start(struct guest_rig *rig, u64 ram_bytes, u32 vcpus, const char *workload,
	       const char *args, const u8 *data, u64 data_bytes)
{
	enum guest_workload kind;
	char error[256];

	memset(rig, 0, sizeof(*rig));
	pthread_mutex_init(&rig->lock, NULL);
	rig->host.ram = calloc(1, ram_bytes);
	cr_assert_not_null(rig->host.ram);
	rig->host.data = data;
	rig->host.ops = &rig_ops;
	rig->boot = (struct guest_boot *)(rig->host.ram + GUEST_BOOT);
	*rig->boot = (struct guest_boot){.magic = GUEST_ABI_MAGIC,
					 .version = GUEST_ABI_VERSION,
					 .vcpus = vcpus,
					 .ram_bytes = ram_bytes,
					 .heap_start = GUEST_LOW_BYTES,
					 .data_bytes = data_bytes,
					 .tsc_khz = tsc_khz(),
					 .seed = 42};
	cr_assert_eq(
		guest_args_parse(workload, args, &kind, &rig->boot->args, error, sizeof(error)), 0,
		"%s", error);
	rig->boot->workload = kind;
}

static void *vcpu_thread(void *argument)
{
	struct rig_vcpu *vcpu = argument;

	vcpu->rig->exits[vcpu->index] = guest_thread_main(&vcpu->rig->host, vcpu->index);
	return NULL;
}

static void start_vcpus(struct guest_rig *rig, struct rig_vcpu *vcpus)
{
	for (u32 i = 0; i < rig->boot->vcpus; i++) {
		vcpus[i] = (struct rig_vcpu){.rig = rig, .index = i};
		cr_assert_eq(pthread_create(&vcpus[i].thread, NULL, vcpu_thread, &vcpus[i]), 0);
	}
}

static enum guest_exit join_vcpus(struct guest_rig *rig, struct rig_vcpu *vcpus)
{
	enum guest_exit worst = GUEST_EXIT_OK;

	for (u32 i = 0; i < rig->boot->vcpus; i++) {
		pthread_join(vcpus[i].thread, NULL);
		worst = MAX(worst, rig->exits[i]);
	}
	return worst;
}

enum guest_exit rig_run(struct guest_rig *rig)
{
	struct rig_vcpu vcpus[GUEST_MAX_VCPUS];

	start_vcpus(rig, vcpus);
	return join_vcpus(rig, vcpus);
}

static bool all_filled(struct guest_rig *rig)
{
	struct guest_vcpu_stats stats;

	for (u32 i = 0; i < rig->boot->vcpus; i++) {
		guest_stats_copy(&stats, rig_stats(rig, i));
		if (stats.phase < GUEST_PHASE_RUN)
			return false;
	}
	return true;
}

enum guest_exit rig_run_for(struct guest_rig *rig, u32 milliseconds)
{
	struct rig_vcpu vcpus[GUEST_MAX_VCPUS];

	start_vcpus(rig, vcpus);
	for (u32 tries = 0; tries < 10000 && !all_filled(rig); tries++)
		sleep_for(1);
	sleep_for(milliseconds);
	guest_stop(rig->boot);
	return join_vcpus(rig, vcpus);
}

void rig_end(struct guest_rig *rig)
{
	pthread_mutex_destroy(&rig->lock);
	free(rig->before);
	free(rig->host.ram);
}

struct guest_vcpu_stats *rig_stats(struct guest_rig *rig, u32 vcpu)
{
	return (struct guest_vcpu_stats *)(rig->host.ram + GUEST_STATS + vcpu * GUEST_STATS_STRIDE);
}

void rig_snapshot(struct guest_rig *rig)
{
	rig->before = malloc(rig->boot->ram_bytes);
	cr_assert_not_null(rig->before);
	memcpy(rig->before, rig->host.ram, rig->boot->ram_bytes);
}

u64 rig_changed_page(struct guest_rig *rig, u64 from)
{
	for (u64 page = from; page < rig->boot->ram_bytes; page += PAGE_SIZE) {
		if (memcmp(rig->before + page, rig->host.ram + page, PAGE_SIZE))
			return page;
	}
	return 0;
}
