// SPDX-License-Identifier: Apache-2.0
/* The workloads' outside world when they are threads: calls to whoever runs them. */
#include "guest-driver/guest.h"
#include "guest-driver/host.h"

static void thread_console(struct guest_cpu *cpu, const char *text, size_t length)
{
	cpu->host->ops->console(cpu->host, cpu->index, text, length);
}

static void thread_sleep_ms(struct guest_cpu *cpu, u32 milliseconds)
{
	cpu->host->ops->sleep_ms(cpu->host, cpu->index, milliseconds);
}

static void thread_doorbell(struct guest_cpu *cpu)
{
	cpu->host->ops->doorbell(cpu->host, cpu->index);
}

static u32 thread_read_register(struct guest_cpu *cpu, u32 offset)
{
	return cpu->host->ops->read_register(cpu->host, offset);
}

static void thread_write_register(struct guest_cpu *cpu, u32 offset, u32 value)
{
	cpu->host->ops->write_register(cpu->host, offset, value);
}

static const struct guest_platform thread_platform = {
	.console = thread_console,
	.sleep_ms = thread_sleep_ms,
	.doorbell = thread_doorbell,
	.read_register = thread_read_register,
	.write_register = thread_write_register,
};

enum guest_exit guest_thread_main(struct guest_host *host, u32 vcpu)
{
	struct guest_cpu cpu = {
		.platform = &thread_platform, .host = host, .ram = (u64)host->ram, .index = vcpu};

	return guest_run(&cpu, host->data);
}

#define copy_field(field) (to->field = __atomic_load_n(&from->field, __ATOMIC_RELAXED))

void guest_stats_copy(struct guest_vcpu_stats *to, const struct guest_vcpu_stats *from)
{
	copy_field(ops);
	copy_field(pages_verified);
	copy_field(verify_failures);
	copy_field(bad_address);
	copy_field(phase);
	copy_field(permille);
	copy_field(run_ns);
	copy_field(latency.count);
	copy_field(latency.sum);
	copy_field(latency.max);
	for (u32 i = 0; i < HIST_BUCKETS; i++)
		copy_field(latency.buckets[i]);
}
