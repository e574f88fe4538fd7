/* SPDX-License-Identifier: Apache-2.0 */
/* Many small guests on half the memory they have, as examples/many.ini has it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/cases.h"
#include "bench/host.h"

#define KINDS	    3
#define GUESTS	    64U
#define QUICK_S	    3
#define SECONDS	    20
#define GUEST_BYTES (64 * MiB)

static const struct {
	const char *name, *workload, *args;
	u32 count;
} kinds[KINDS] = {
	{"web", "kv", "mix=B fill=80% think=200us", 16},
	{"batch", "sweep", "fill=80% think=200us", 8},
	{"desk", "idle", "fill=80%", 40},
};

static void make_guests(const struct bench *bench, struct guest_config *guests)
{
	u32 made = 0;

	for (u32 i = 0; i < KINDS; i++) {
		for (u32 j = 0; j < kinds[i].count; j++, made++) {
			struct guest_config *guest = &guests[made];

			guest_config_defaults(guest);
			guest->memory_bytes = GUEST_BYTES;
			guest->seed = made + 1;
			snprintf(guest->name, sizeof(guest->name), "%s-%u", kinds[i].name, j);
			snprintf(guest->workload, sizeof(guest->workload), "%s", kinds[i].workload);
			snprintf(guest->args, sizeof(guest->args), "%s", kinds[i].args);
			snprintf(guest->data, sizeof(guest->data), "%s", bench->options.data);
		}
	}
}

int many_round(struct bench *bench)
{
	static struct guest_config guests[GUESTS];
	static struct host_config host;
	static struct host_result result;
	int err;

	host_config_defaults(&host);
	make_guests(bench, guests);
	snprintf(host.name, sizeof(host.name), "bench-many");
	snprintf(host.swap_file, sizeof(host.swap_file), "%s", bench->options.swap);
	host.memory_bytes = 2 * GiB;
	host.run_seconds = bench->options.quick ? QUICK_S : SECONDS;
	host.guest_count = GUESTS;
	host.guests = guests;
	err = host_run(bench, &host, &result);
	if (err)
		return err;
	bench_put(bench, result.ok == GUESTS, -1, "bool", "many.ok");
	bench_put(bench, (double)result.host.duration_ns / 1e9, -1, "s", "many.duration");
	bench_put(bench, (double)hist_percentile(&result.latency, 500) / 1e3,
		  (double)hist_percentile(&result.latency, 990) / 1e3, "us", "many.operation");
	bench_put(bench, (double)hist_percentile(&result.faults, 500) / 1e3,
		  (double)hist_percentile(&result.faults, 990) / 1e3, "us", "many.fault");
	bench_put(bench, (double)result.host.peak_used_bytes / MiB, -1, "MiB", "many.peak");
	return result.ok == GUESTS ? 0
				   : bench_fail(bench, -EIO, "%u of %u guests did not end well",
						GUESTS - result.ok, GUESTS);
}
