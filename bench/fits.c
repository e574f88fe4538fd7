/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No overcommit, no cost: a guest whose memory fits, under a manager and on plain memory with
 * transparent huge pages; the same program, data and seed. Speed is operations over the time they
 * took, as the guest itself measures it; filling and verifying do not count.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/cases.h"
#include "bench/host.h"
#include "hv/plain.h"
#include "lib/clock.h"
#include "manager/data.h"

#define GUEST_BYTES (256 * MiB)
#define DATA_BYTES  (32 * MiB)

static const struct {
	const char *workload, *args, *quick;
} workloads[] = {
	{"kv", "mix=B fill=80% ops=800K verify=no", "mix=B fill=80% ops=300K verify=no"},
	{"fill", "fill=80% ops=300K verify=no", "fill=80% ops=100K verify=no"},
	{"sweep", "fill=80% ops=300K verify=no", "fill=80% ops=100K verify=no"},
};

/* Operations a second. Those of a millisecond and more, a thousand times the usual, are left out:
 * another program had the processor, and no fault of memory that is there takes as long. */
static double rate(const struct hist *latency)
{
	double count = (double)latency->count, sum = (double)latency->sum;

	for (u32 i = hist_bucket(NSEC_PER_MSEC); i + 1 < HIST_BUCKETS; i++) {
		double middle = (double)(hist_bucket_floor(i) + hist_bucket_floor(i + 1)) / 2;

		count -= (double)latency->buckets[i];
		sum -= (double)latency->buckets[i] * middle;
	}
	return sum > 0 ? count * 1e9 / sum : 0;
}

static int run_managed(struct bench *bench, const char *workload, const char *args, double *ops)
{
	static struct guest_config guest;
	static struct host_config host;
	static struct host_result result;
	int err;

	host_config_defaults(&host);
	guest_config_defaults(&guest);
	host.memory_bytes = 2 * GUEST_BYTES;
	host.cgroup = false;
	host.data_bytes = DATA_BYTES;
	host.guest_count = 1;
	host.guests = &guest;
	guest.memory_bytes = GUEST_BYTES;
	snprintf(guest.name, sizeof(guest.name), "fits");
	snprintf(guest.workload, sizeof(guest.workload), "%s", workload);
	snprintf(guest.args, sizeof(guest.args), "%s", args);
	snprintf(guest.data, sizeof(guest.data), "%s", bench->options.data);
	err = host_run(bench, &host, &result);
	if (err)
		return err;
	if (!result.ok)
		return bench_fail(bench, -EIO, "the managed guest did not end well");
	*ops = rate(&result.latency);
	return 0;
}

static int run_plain(struct bench *bench, const char *workload, const char *args, double *ops)
{
	struct attach_guest guest = {
		.ram_bytes = GUEST_BYTES, .vcpus = 1, .seed = 1, .accel = ATTACH_ACCEL_AUTO};
	struct data_cache *cache;
	struct attach_stats stats;
	struct plain_orders orders = {.stop = false};
	int fd, err = data_cache_create(DATA_BYTES, &cache);

	if (err)
		return err;
	err = data_cache_get(cache, bench->options.data, &fd, &guest.data_bytes);
	snprintf(guest.name, sizeof(guest.name), "plain");
	snprintf(guest.workload, sizeof(guest.workload), "%s", workload);
	snprintf(guest.args, sizeof(guest.args), "%s", args);
	if (!err)
		err = plain_guest_run(&guest, fd, PLAIN_HUGE, &orders, &stats);
	data_cache_destroy(cache);
	if (err)
		return bench_fail(bench, err, "the plain guest did not end well");
	*ops = rate(&stats.latency);
	return 0;
}

static int run_pair(struct bench *bench, const char *workload, const char *args)
{
	double ops[2] = {0, 0};
	int err = 0;

	for (u32 i = 0; i < 2 && !err; i++) {
		u32 plain = (i + bench->round) % 2;

		err = plain ? run_plain(bench, workload, args, &ops[1])
			    : run_managed(bench, workload, args, &ops[0]);
	}
	if (err)
		return err;
	bench_put(bench, ops[0], -1, "ops/s", "fits.%s.managed", workload);
	bench_put(bench, ops[1], -1, "ops/s", "fits.%s.plain", workload);
	bench_put(bench, ops[0] / ops[1], -1, "x", "fits.%s.ratio", workload);
	return 0;
}

int fits_round(struct bench *bench)
{
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(workloads) && !err; i++)
		err = run_pair(bench, workloads[i].workload,
			       bench->options.quick ? workloads[i].quick : workloads[i].args);
	return err;
}
