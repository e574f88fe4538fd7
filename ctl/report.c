/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "balloon/abi.h"
#include "ctl/attr.h"
#include "ctl/json.h"
#include "lib/clock.h"
#include "mem/page.h"

static const char *const state_names[PAGE_STATES] = {
	[PAGE_ZERO] = "zero",		[PAGE_RESIDENT] = "resident",	  [PAGE_SHARED] = "shared",
	[PAGE_SAME] = "same_filled",	[PAGE_COMPRESSED] = "compressed", [PAGE_DISK] = "disk",
	[PAGE_BALLOONED] = "ballooned",
};

static void write_latency(struct json *json, const char *key, const struct hist *hist)
{
	static const struct {
		const char *key;
		u32 permille;
	} marks[] = {{"p50", 500}, {"p99", 990}, {"p999", 999}};

	json_open(json, key, '{');
	for (u32 i = 0; i < ARRAY_SIZE(marks); i++)
		json_real(json, marks[i].key,
			  (double)hist_percentile(hist, marks[i].permille) / NSEC_PER_USEC);
	json_real(json, "max", (double)hist->max / NSEC_PER_USEC);
	json_number(json, "count", hist->count);
	json_close(json);
}

static void write_faults(struct json *json, const struct guest_snapshot *guest)
{
	json_open(json, "faults", '{');
	json_number(json, "missing", guest->faults_missing);
	json_number(json, "minor", guest->faults_minor);
	json_number(json, "wp", guest->faults_wp);
	json_close(json);
	json_open(json, "fault_latency_us", '{');
	for (u32 i = 0; i < PAGE_STATES; i++)
		if (guest->fault_latency[i].count)
			write_latency(json, state_names[i], &guest->fault_latency[i]);
	json_close(json);
}

static void write_entitlement(struct json *json, const struct policy_guest *policy)
{
	json_open(json, "policy", '{');
	json_number(json, "min_bytes", policy->min);
	json_number(json, "max_bytes", policy->max);
	if (policy->limit != UINT64_MAX)
		json_number(json, "limit_bytes", policy->limit);
	json_number(json, "shares", policy->shares);
	json_number(json, "goal_bytes", policy->goal);
	json_number(json, "active_bytes", policy->active);
	json_number(json, "cold_bytes", policy->cold);
	json_number(json, "cold_age_s", policy->cold_age_ms / 1000);
	json_number(json, "promotion_rate", policy->promotion);
	json_number(json, "balloon_bytes", policy->balloon);
	json_number(json, "blocked_steps", policy->blocked);
	json_close(json);
}

static void write_decisions(struct json *json, const char *text)
{
	char line[512];

	json_open(json, "last_decisions", '[');
	while (*text) {
		size_t length = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)length, text);
		json_string(json, NULL, line);
		text += length + (text[length] == '\n');
	}
	json_close(json);
}

static void write_policy(struct json *json, const struct outcome *outcome)
{
	const struct policy_host *policy = &outcome->host.policy;

	json_open(json, "policy", '{');
	json_bool(json, "active", policy->active);
	json_bool(json, "dry_run", policy->dry_run);
	json_string(json, "state", host_state_name(policy->state));
	json_number(json, "min_free_bytes", policy->min_free);
	json_number(json, "steps", policy->steps);
	json_number(json, "decisions", policy->decisions);
	json_number(json, "state_changes", policy->state_changes);
	json_open(json, "state_steps", '{');
	for (u32 i = 0; i < HOST_STATES; i++)
		json_number(json, host_state_name(i), policy->state_steps[i]);
	json_close(json);
	write_decisions(json, outcome->decisions);
	json_close(json);
}

/* Of what the guest says of itself only what it has said, by the names of the Linux driver. */
static void write_balloon(struct json *json, const struct balloon_snapshot *balloon)
{
	json_open(json, "balloon", '{');
	json_bool(json, "driver", balloon->features);
	json_number(json, "target_bytes", balloon->target);
	json_number(json, "actual_bytes", balloon->actual);
	json_number(json, "inflated_pages", balloon->inflated);
	json_number(json, "deflated_pages", balloon->deflated);
	json_number(json, "freed_pages", balloon->freed);
	json_number(json, "hinted_pages", balloon->hinted);
	json_open(json, "stats", '{');
	for (u32 i = 0; i < BALLOON_STATS; i++)
		if (balloon->valid >> i & 1)
			json_number(json, attr_stat_name(i), balloon->values[i]);
	json_close(json);
	json_close(json);
}

static void write_guest(struct json *json, const struct guest_snapshot *guest)
{
	json_open(json, NULL, '{');
	json_string(json, "name", guest->name);
	json_string(json, "workload", guest->workload);
	json_string(json, "accel", outcome_accel_name(guest->accel));
	json_number(json, "memory_bytes", guest->memory_bytes);
	json_string(json, "phase", guest->phase);
	json_string(json, "exit", outcome_exit_name(guest));
	json_string(json, "exit_text", guest->exit_text);
	json_bool(json, "ok", outcome_guest_ok(guest));
	json_real(json, "run_s", (double)guest->run_ns / NSEC_PER_SEC);
	json_real(json, "worked_s", (double)guest->worked_ns / NSEC_PER_SEC);
	json_number(json, "ops", guest->ops);
	json_real(json, "ops_per_s", outcome_guest_rate(guest));
	write_latency(json, "latency_us", &guest->latency);
	json_number(json, "pages_verified", guest->pages_verified);
	json_number(json, "verify_failures", guest->verify_failures);
	json_number(json, "stall_us", guest->stall_ns / NSEC_PER_USEC);
	write_faults(json, guest);
	json_number(json, "evicted_pages", guest->evicted_pages);
	json_number(json, "refaulted_pages", guest->refaulted_pages);
	json_number(json, "cold_evicted_pages", guest->cold_pages);
	json_number(json, "turns", guest->turns);
	json_number(json, "turn_wait_us", guest->turn_wait_ns / NSEC_PER_USEC);
	json_number(json, "huge_bytes", guest->huge_bytes);
	json_number(json, "shrd", guest->pages[PAGE_SHARED] * PAGE_SIZE);
	json_number(json, "shrdsvd", guest->saved_bytes);
	json_number(json, "zero", guest->pages[PAGE_ZERO] * PAGE_SIZE);
	json_number(json, "cow_breaks", guest->cow_breaks);
	json_open(json, "mem", '{');
	for (u32 i = 0; i < PAGE_STATES; i++)
		json_number(json, state_names[i], guest->pages[i]);
	json_close(json);
	write_entitlement(json, &guest->policy);
	write_balloon(json, &guest->balloon);
	json_close(json);
}

static void write_swap(struct json *json, const struct outcome *outcome)
{
	const struct host_snapshot *host = &outcome->host;

	json_open(json, "swap", '{');
	json_number(json, "stored_pages", host->stored_pages);
	json_number(json, "same_filled_pages", host->same_filled_pages);
	json_number(json, "pool_bytes", host->pool_bytes);
	json_number(json, "pool_blob_bytes", host->pool_blob_bytes);
	json_number(json, "pool_pages", host->pool_pages);
	json_number(json, "disk_bytes", host->disk_bytes);
	json_number(json, "disk_pages", host->disk_pages);
	json_number(json, "disk_limit_bytes", host->disk_limit_bytes);
	json_real(json, "compression_ratio", outcome_ratio(outcome));
	json_number(json, "written_bytes", host->written_bytes);
	json_number(json, "read_bytes", host->read_bytes);
	json_number(json, "io_errors", host->io_errors);
	json_number(json, "reject_compress_poor", host->reject_compress_poor);
	json_number(json, "pool_limit_hit", host->pool_limit_hit);
	json_number(json, "swap_full", host->swap_full);
	json_number(json, "dedup_hits", host->dedup_hits);
	json_number(json, "hash_collisions", host->dedup_collisions);
	json_number(json, "shared_blobs", host->shared_blobs);
	json_number(json, "shared_pages", host->shared_blob_pages);
	json_number(json, "shared_disk_pages", host->shared_disk_pages);
	json_number(json, "shared_saved_bytes", host->shared_saved_bytes);
	json_number(json, "shared_peak_saved_bytes", host->shared_peak_saved_bytes);
	json_close(json);
}

static void write_ksm(struct json *json, const struct ksm_stats *ksm)
{
	json_open(json, "ksm", '{');
	json_number(json, "pages_shared", ksm->pages_shared);
	json_number(json, "pages_sharing", ksm->pages_sharing);
	json_number(json, "pages_unshared", ksm->pages_unshared);
	json_number(json, "pages_volatile", ksm->pages_volatile);
	json_number(json, "pages_scanned", ksm->pages_scanned);
	json_number(json, "pages_skipped", ksm->pages_skipped);
	json_number(json, "full_scans", ksm->full_scans);
	json_number(json, "zero_pages", ksm->zero_pages);
	json_number(json, "cow_breaks", ksm->cow_breaks);
	json_number(json, "break_waits", ksm->break_waits);
	json_number(json, "break_wait_us", ksm->break_wait_us);
	json_number(json, "break_rate", ksm->break_rate);
	json_number(json, "break_reserve_bytes", ksm->break_reserve);
	json_number(json, "sheets", ksm->sheets);
	json_number(json, "pages_own", ksm->pages_own);
	json_number(json, "brought_home", ksm->brought_home);
	json_number(json, "hash_collisions", ksm->hash_collisions);
	json_number(json, "frames_stored", ksm->frames_stored);
	json_number(json, "frames_left", ksm->frames_left);
	json_number(json, "frames_came", ksm->frames_came);
	json_number(json, "vmas", ksm->vmas);
	json_real(json, "general_profit", (double)ksm->general_profit);
	json_number(json, "peak_saved_pages", ksm->peak_saved_pages);
	json_number(json, "metadata_bytes", ksm->metadata_bytes);
	json_number(json, "cpu_us", ksm->cpu_ns / NSEC_PER_USEC);
	json_close(json);
}

void report_write(FILE *stream, const struct outcome *outcome)
{
	const struct host_snapshot *host = &outcome->host;
	struct json json;

	json_init(&json, stream);
	json_open(&json, NULL, '{');
	json_bool(&json, "ok", outcome_ok(outcome));
	json_real(&json, "duration_s", (double)host->duration_ns / NSEC_PER_SEC);
	json_number(&json, "budget_bytes", host->budget_bytes);
	json_number(&json, "slack_bytes", host->slack_bytes);
	json_number(&json, "guest_bytes", host->guest_bytes);
	json_number(&json, "used_bytes", host->used_bytes);
	json_number(&json, "peak_used_bytes", host->peak_used_bytes);
	json_number(&json, "peak_kernel_bytes", host->peak_kernel_bytes);
	json_number(&json, "metadata_bytes", host->metadata_bytes);
	json_number(&json, "data_bytes", host->data_bytes);
	json_number(&json, "evict_cancelled", host->evict_cancelled);
	json_number(&json, "direct_reclaims", host->direct_reclaims);
	write_policy(&json, outcome);
	write_swap(&json, outcome);
	write_ksm(&json, &host->ksm);
	json_open(&json, "guests", '[');
	for (u32 i = 0; i < outcome->count; i++)
		write_guest(&json, &outcome->guests[i]);
	json_close(&json);
	json_close(&json);
}

/* 0 once all is on the disk; closes the stream in any case. */
static int finish_stream(FILE *stream)
{
	int ret = 0;

	if (fflush(stream) || ferror(stream) || fsync(fileno(stream)))
		ret = errno ? -errno : -EIO;
	if (fclose(stream) && !ret)
		ret = -errno;
	return ret;
}

/* Makes a file of a name like `temporary`, which becomes its name, and writes the report there. */
static int save_temporary(char *temporary, const struct outcome *outcome)
{
	FILE *stream;
	int fd, ret;

	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* mkostemp() makes a private file; a report is for whoever may read the folder. */
	if (fchmod(fd, 0644) || !(stream = fdopen(fd, "w"))) {
		ret = -errno;
		close(fd);
		goto remove;
	}
	errno = 0;
	report_write(stream, outcome);
	ret = finish_stream(stream);
	if (!ret)
		return 0;
remove:
	unlink(temporary);
	return ret;
}

int report_save(const char *path, const struct outcome *outcome)
{
	char *temporary;
	int ret;

	/* Beside its final place: a rename does not cross file systems. */
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	ret = save_temporary(temporary, outcome);
	if (!ret && rename(temporary, path)) {
		ret = -errno;
		unlink(temporary);
	}
	free(temporary);
	return ret;
}
