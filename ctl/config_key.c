/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/config_key.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/parse.h"
#include "guest-driver/abi.h"

#define TiB (1024UL * GiB)

#define FIELD(kind, section, field) .type = CONFIG_##kind, .offset = offsetof(section, field)
#define SIZE(section, field)	    FIELD(SIZE, section, field)
#define TEXT(section, field)                                                                       \
	FIELD(TEXT, section, field), .max = sizeof(((section *)NULL)->field) - 1

/* clang-format off */
static const struct config_key host_keys[] = {
	{ .name = "name", TEXT(struct host_config, name), .min = 1, .preset = "ballast",
	  .help = "what this host is called in messages, reports and the cgroup's name" },
	{ .name = "memory", SIZE(struct host_config, memory_bytes), .min = 32 * MiB,
	  .max = 64 * TiB, .step = REGION_SIZE, .required = true,
	  .help = "the budget: all that guests, pool and metadata together may use" },
	{ .name = "swap-file", TEXT(struct host_config, swap_file), .preset = "",
	  .help = "where cold pages go when the pool is full; created at the start; empty: nowhere" },
	{ .name = "swap-size", SIZE(struct host_config, swap_bytes), .min = 16 * MiB,
	  .max = 256 * TiB, .step = REGION_SIZE, .preset = "8G",
	  .help = "the swap file never grows beyond this" },
	{ .name = "swap-keep", FIELD(YES_NO, struct host_config, swap_keep), .preset = "no",
	  .help = "leave the swap file there at the end" },
	{ .name = "pool-percent", FIELD(PERCENT, struct host_config, pool_percent), .max = 80,
	  .preset = "20",
	  .help = "largest share of the budget that compressed pages may take; 0: no pool" },
	{ .name = "accept-threshold-percent",
	  FIELD(PERCENT, struct host_config, accept_percent), .min = 1, .max = 100,
	  .preset = "100",
	  .help = "a pool that was full takes new pages again when it is down to that part of its "
		  "limit; 100: as room is made" },
	{ .name = "acceleration", FIELD(COUNT, struct host_config, acceleration), .min = 1,
	  .max = 100, .preset = "1",
	  .help = "LZ4's: 1 compresses best, more is faster" },
	{ .name = "cgroup", FIELD(YES_NO, struct host_config, cgroup), .preset = "yes",
	  .help = "run inside a memory cgroup whose hard limit is the budget and a little slack" },
	{ .name = "accel", FIELD(ACCEL, struct host_config, accel), .preset = "auto",
	  .help = "run guests under KVM, or as threads; auto: KVM where there is one" },
	{ .name = "huge-pages", FIELD(YES_NO, struct host_config, huge_pages), .preset = "yes",
	  .help = "2 MiB pages for memory that is resident as a whole" },
	{ .name = "fault-poll-us", FIELD(COUNT, struct host_config, fault_poll_us),
	  .max = 1000000, .preset = "100",
	  .help = "while faults follow closely, a handler stays awake that long for the next; 0: "
		  "never" },
	{ .name = "sample-ms", FIELD(COUNT, struct host_config, sample_ms), .min = 10,
	  .max = 600000, .preset = "1000",
	  .help = "time between two looks at which memory is idle" },
	{ .name = "data-size", SIZE(struct host_config, data_bytes), .min = PAGE_SIZE,
	  .max = 64 * GiB, .preset = "32M",
	  .help = "at most that much of a guest's `data` is loaded" },
	{ .name = "for", FIELD(DURATION, struct host_config, run_seconds), .max = UINT32_MAX,
	  .preset = "0",
	  .help = "tell the guests to verify and end after that time; 0: when they are done" },
	{ .name = "control", TEXT(struct host_config, control), .preset = "",
	  .help = "where the control tree is mounted, or off; empty: /run/ballast/NAME" },
	{ .name = "metrics", TEXT(struct host_config, metrics), .preset = "",
	  .help = "ADDRESS:PORT at which metrics can be scraped; empty: none" },
	{ .name = "attach", TEXT(struct host_config, attach), .preset = "",
	  .help = "socket at which VMMs bring their guests to `ballast manager`; empty: "
		  "/run/ballast/NAME.attach" },
	{ .name = "attach-mode", FIELD(MODE, struct host_config, attach_mode), .max = 0777,
	  .preset = "0660",
	  .help = "permissions of that socket: who can write to it can bring a guest" },
	{ .name = "attach-group", TEXT(struct host_config, attach_group), .preset = "",
	  .help = "group of that socket; empty: as it comes" },
};

static const struct config_key policy_keys[] = {
	{ .name = "active", FIELD(YES_NO, struct policy_tuning, active), .preset = "yes",
	  .help = "decide who should have how much memory; no: limits and mins alone hold" },
	{ .name = "dry-run", FIELD(YES_NO, struct policy_tuning, dry_run), .preset = "no",
	  .help = "decide and log, but change nothing" },
	{ .name = "interval-ms", FIELD(COUNT, struct policy_tuning, interval_ms), .min = 10,
	  .max = 60000, .preset = "250",
	  .help = "time between two steps" },
	{ .name = "idle-tax-pct", FIELD(PERCENT, struct policy_tuning, idle_tax_pct), .max = 99,
	  .preset = "75",
	  .help = "an idle page costs a guest as much as 1 / (1 - tax) active ones" },
	{ .name = "state-pct", FIELD(LEVELS, struct policy_tuning, state_pct),
	  .preset = "400 100 64 32 16",
	  .help = "where the states high, clear, soft, hard and low begin, of min-free" },
	{ .name = "min-free", SIZE(struct policy_tuning, min_free), .max = 64 * TiB, .preset = "0",
	  .help = "free memory that the states are measured by; 0: a bit less than a tenth of the "
		  "budget" },
	{ .name = "sample-pct", FIELD(PERCENT, struct policy_tuning, sample_pct), .max = 100,
	  .preset = "0",
	  .help = "so many places of a guest are sampled, in per cent of its 2 MiB regions; 32 at "
		  "least and 256 at most" },
	{ .name = "cold-age", FIELD(DURATION, struct policy_tuning, cold_age_s), .min = 1,
	  .max = 86400, .preset = "120",
	  .help = "memory used within that time is never cold" },
	{ .name = "reclaim-cold", FIELD(YES_NO, struct policy_tuning, reclaim_cold),
	  .preset = "yes",
	  .help = "take cold memory while the host has enough, too" },
	{ .name = "turns", FIELD(YES_NO, struct policy_tuning, turns), .preset = "yes",
	  .help = "guests that drive out each other's memory all the time take turns" },
	{ .name = "promotion-rate-target",
	  FIELD(THOUSANDTHS, struct policy_tuning, promotion_rate_target), .min = 1,
	  .max = 100000, .preset = "0.2",
	  .help = "so many per cent of its working set a minute may come back to a guest" },
};

static const struct config_key guest_keys[] = {
	{ .name = "memory", SIZE(struct guest_section, guest.memory_bytes), .min = 8 * MiB,
	  .max = 16 * TiB, .step = REGION_SIZE, .required = true,
	  .help = "the guest's RAM" },
	{ .name = "vcpus", FIELD(COUNT, struct guest_section, guest.vcpus), .min = 1,
	  .max = GUEST_MAX_VCPUS, .preset = "1",
	  .help = "virtual CPUs, a thread each" },
	{ .name = "workload", TEXT(struct guest_section, guest.workload), .min = 1,
	  .preset = "fill",
	  .help = "what the guest does: fill, kv, sweep, phase or idle" },
	{ .name = "workload-args", TEXT(struct guest_section, guest.args), .preset = "",
	  .help = "how it does it: key=value, separated by blanks" },
	{ .name = "data", TEXT(struct guest_section, guest.data), .preset = "",
	  .help = "file or folder whose bytes fill the guest's pages; empty: made-up text" },
	{ .name = "kernel", TEXT(struct guest_section, guest.kernel), .preset = "",
	  .help = "boot this Linux kernel (an uncompressed vmlinux with CONFIG_PVH) instead" },
	{ .name = "cmdline", TEXT(struct guest_section, guest.args), .preset = "",
	  .help = "the kernel's command line" },
	{ .name = "node", FIELD(NODE, struct guest_section, guest.node), .max = 1023,
	  .preset = "any",
	  .help = "NUMA node of the guest's memory" },
	{ .name = "seed", FIELD(NUMBER, struct guest_section, guest.seed), .max = UINT64_MAX,
	  .help = "of all random choices of the guest; by default made from its name" },
	{ .name = "min", SIZE(struct guest_section, guest.tuning.min), .max = 16 * TiB,
	  .step = PAGE_SIZE, .preset = "0",
	  .help = "memory that stays its own whatever happens; all mins must fit the budget" },
	{ .name = "max", SIZE(struct guest_section, guest.tuning.max), .max = 16 * TiB,
	  .step = PAGE_SIZE, .preset = "0",
	  .help = "memory it should not go beyond: its balloon holds the rest; 0: all of it" },
	{ .name = "limit", SIZE(struct guest_section, guest.tuning.limit), .max = 16 * TiB,
	  .step = PAGE_SIZE, .preset = "0",
	  .help = "host memory it never gets beyond, whatever is free; 0: none" },
	{ .name = "swap-max", SIZE(struct guest_section, guest.tuning.swap_max), .max = 16 * TiB,
	  .step = PAGE_SIZE, .preset = "0",
	  .help = "as much of it may be in the pool and the swap file, counted plain; 0: any" },
	{ .name = "shares", FIELD(COUNT, struct guest_section, guest.tuning.shares),
	  .max = 1000000, .preset = "0",
	  .help = "its part when memory is short; 0: ten for each MiB of its memory" },
	{ .name = "balloon", FIELD(YES_NO, struct guest_section, guest.balloon), .preset = "yes",
	  .help = "a virtio balloon, by which it can be asked for memory" },
	{ .name = "balloon-target", SIZE(struct guest_section, guest.balloon_target),
	  .max = 16 * TiB, .step = PAGE_SIZE, .preset = "0",
	  .help = "how much memory the balloon asks for at the start" },
	{ .name = "count", FIELD(COUNT, struct guest_section, count), .min = 1, .max = 1024,
	  .preset = "1",
	  .help = "that many guests alike: NAME-0, NAME-1, ... with seed, seed + 1, ..." },
	{ .name = "salt", TEXT(struct guest_section, guest.salt), .preset = "",
	  .help = "guests of the same salt may share content; see salting in [ksm]" },
	{ .name = "user", TEXT(struct guest_section, guest.user), .preset = "",
	  .help = "whose VMM may bring this guest, root's apart; empty: any that can connect" },
};

static const struct config_key ksm_keys[] = {
	{ .name = "run", FIELD(COUNT, struct host_config, ksm.run), .max = KSM_UNMERGE,
	  .preset = "0",
	  .help = "1: look for equal pages and share them; 2: give each page its own memory again" },
	{ .name = "pages_to_scan", FIELD(COUNT, struct host_config, ksm.pages_to_scan), .min = 1,
	  .max = 100000000, .preset = "10000",
	  .help = "pages to look at between two pauses" },
	{ .name = "sleep_millisecs", FIELD(COUNT, struct host_config, ksm.sleep_millisecs),
	  .max = 3600000, .preset = "20",
	  .help = "length of a pause; with smart_scan longer while nothing is found, and shorter in a hurry" },
	{ .name = "smart_scan", FIELD(YES_NO, struct host_config, ksm.smart_scan),
	  .preset = "yes",
	  .help = "look less and less often at pages that keep changing, and rest while nothing is found" },
	{ .name = "use_zero_pages", FIELD(YES_NO, struct host_config, ksm.use_zero_pages),
	  .preset = "yes",
	  .help = "drop pages that repeat one word" },
	{ .name = "max_page_sharing", FIELD(COUNT, struct host_config, ksm.max_page_sharing),
	  .min = 2, .max = 1000000, .preset = "256",
	  .help = "most references to one copy" },
	{ .name = "advisor_mode", FIELD(COUNT, struct host_config, ksm.advisor_mode),
	  .max = KSM_ADVISOR_SCAN_TIME, .preset = "0",
	  .help = "1: set pages_to_scan so that a full scan takes advisor_target_scan_time" },
	{ .name = "advisor_max_cpu", FIELD(PERCENT, struct host_config, ksm.advisor_max_cpu),
	  .min = 1, .max = 100, .preset = "70",
	  .help = "most of one processor that the advisor lets the scan take" },
	{ .name = "advisor_target_scan_time",
	  FIELD(COUNT, struct host_config, ksm.advisor_target_scan_time), .min = 1,
	  .max = 100000, .preset = "200",
	  .help = "seconds that a full scan should take" },
	{ .name = "vma_budget", FIELD(COUNT, struct host_config, ksm.vma_budget),
	  .max = 1000000, .preset = "50000",
	  .help = "mappings that sharing may add to a guest; below sysctl vm.max_map_count" },
	{ .name = "salting", FIELD(COUNT, struct host_config, salting), .max = SALTING_ALL,
	  .preset = "2",
	  .help = "who shares content: 0: all guests; 1: guests of the same `salt`, and those "
		  "without one; 2: guests of the same `salt` alone" },
	{ .name = "share-before-swap", FIELD(YES_NO, struct host_config, share_before_swap),
	  .preset = "yes",
	  .help = "a page whose content is in the pool already is not compressed and stored again" },
};
/* clang-format on */

const struct config_keys config_host_keys = {host_keys, ARRAY_SIZE(host_keys)};
const struct config_keys config_policy_keys = {policy_keys, ARRAY_SIZE(policy_keys)};
const struct config_keys config_guest_keys = {guest_keys, ARRAY_SIZE(guest_keys)};
const struct config_keys config_ksm_keys = {ksm_keys, ARRAY_SIZE(ksm_keys)};

static const char *const accel_names[] = {
	[ATTACH_ACCEL_AUTO] = "auto",
	[ATTACH_ACCEL_KVM] = "kvm",
	[ATTACH_ACCEL_THREAD] = "thread",
};

int config_key_find(const struct config_keys *keys, const char *name)
{
	for (u32 i = 0; i < keys->count; i++)
		if (strcmp(keys->keys[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

static int parse_accel(const char *text, u64 *accel)
{
	for (u32 i = 0; i < ARRAY_SIZE(accel_names); i++) {
		if (strcmp(accel_names[i], text) != 0)
			continue;
		*accel = i;
		return 0;
	}
	return -EINVAL;
}

static int parse_mode(const char *text, u64 *mode)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	*mode = strtoull(text, &end, 8);
	return *end ? -EINVAL : 0;
}

/* A type's syntax: how to read it, and what to call it. Text has none. */
static const struct {
	int (*parse)(const char *text, u64 *value);
	const char *noun;
	const char *syntax;
} types[CONFIG_TYPES] = {
	[CONFIG_SIZE] = {parse_size, "a size", "bytes, or a number with K, M, G or T"},
	[CONFIG_NUMBER] = {parse_number, "a number", NULL},
	[CONFIG_COUNT] = {parse_number, "a number", NULL},
	[CONFIG_PERCENT] = {parse_percent, "a percentage", NULL},
	[CONFIG_DURATION] = {parse_duration, "a duration", "seconds, or a number with s, m or h"},
	[CONFIG_NODE] = {parse_number, "a NUMA node", "or `any`"},
	[CONFIG_YES_NO] = {NULL, "`yes` or `no`", NULL},
	[CONFIG_THOUSANDTHS] = {parse_thousandths, "a percentage from 0.001 to 100", NULL},
	[CONFIG_LEVELS] = {NULL, "five falling percentages, as in `400 100 64 32 16`", NULL},
	[CONFIG_ACCEL] = {parse_accel, "`auto`, `kvm` or `thread`", NULL},
	[CONFIG_MODE] = {parse_mode, "permissions in octal, as in `0660`", NULL},
	[CONFIG_TEXT] = {NULL, "text", NULL},
};

static struct formatted bound(const struct config_key *key, u64 value)
{
	struct formatted out;

	if (key->type == CONFIG_SIZE)
		return format_size_exact(value);
	snprintf(out.text, sizeof(out.text), "%" PRIu64 "%s", value,
		 key->type == CONFIG_PERCENT ? "%" : "");
	return out;
}

void config_key_describe(const struct config_key *key, char *text, size_t size)
{
	const char *noun = types[key->type].noun, *syntax = types[key->type].syntax;
	char step[40] = "";

	if (key->step)
		snprintf(step, sizeof(step), ", a multiple of %s",
			 format_size_exact(key->step).text);
	switch (key->type) {
	case CONFIG_YES_NO:
	case CONFIG_ACCEL:
	case CONFIG_THOUSANDTHS:
	case CONFIG_LEVELS:
	case CONFIG_MODE:
		snprintf(text, size, "%s", noun);
		break;
	case CONFIG_TEXT:
		snprintf(text, size, "text, up to %" PRIu64 " characters", key->max);
		break;
	case CONFIG_NUMBER:
	case CONFIG_DURATION:
		snprintf(text, size, "%s%s%s", noun, syntax ? ": " : "", syntax ? syntax : "");
		break;
	default:
		snprintf(text, size, "%s from %s to %s%s%s%s", noun, bound(key, key->min).text,
			 bound(key, key->max).text, step, syntax ? ": " : "", syntax ? syntax : "");
	}
}

/* -EINVAL, with what is allowed. */
static int refuse(const struct config_key *key, const char *value, char *error, size_t size)
{
	char allowed[160];

	config_key_describe(key, allowed, sizeof(allowed));
	snprintf(error, size, "`%s = %s': should be %s", key->name, value, allowed);
	return -EINVAL;
}

static int refuse_step(const struct config_key *key, const char *value, u64 number, char *error,
		       size_t size)
{
	u64 below = number / key->step * key->step;

	snprintf(error, size, "`%s = %s': must be a multiple of %s; %s or %s would do", key->name,
		 value, format_size_exact(key->step).text,
		 format_size_exact(MAX(below, ALIGN_UP(key->min, key->step))).text,
		 format_size_exact(below + key->step).text);
	return -EINVAL;
}

static int set_text(const struct config_key *key, char *field, const char *value, char *error,
		    size_t size)
{
	size_t length = strlen(value);

	if (length > key->max) {
		snprintf(error, size, "`%s' has %zu characters; at most %" PRIu64 " are allowed",
			 key->name, length, key->max);
		return -EINVAL;
	}
	if (length < key->min) {
		snprintf(error, size, "`%s' must not be empty", key->name);
		return -EINVAL;
	}
	memcpy(field, value, length + 1);
	return 0;
}

static int set_number(const struct config_key *key, char *field, const char *value, char *error,
		      size_t size)
{
	bool any = key->type == CONFIG_NODE && strcmp(value, "any") == 0;
	u64 number = 0;
	u32 narrow;

	if (!any && types[key->type].parse(value, &number))
		return refuse(key, value, error, size);
	if (key->type != CONFIG_ACCEL && !any && (number < key->min || number > key->max))
		return refuse(key, value, error, size);
	if (key->step && number % key->step)
		return refuse_step(key, value, number, error, size);
	if (key->type == CONFIG_SIZE || key->type == CONFIG_NUMBER) {
		memcpy(field, &number, sizeof(number));
		return 0;
	}
	narrow = any ? (u32)-1 : (u32)number;
	memcpy(field, &narrow, sizeof(narrow));
	return 0;
}

int config_key_set(const struct config_key *key, char *base, const char *value, char *error,
		   size_t size)
{
	char *field = base + key->offset;
	bool flag;

	if (key->type == CONFIG_TEXT)
		return set_text(key, field, value, error, size);
	if (key->type == CONFIG_LEVELS)
		return host_state_parse(value, (u32 *)(void *)field)
			       ? refuse(key, value, error, size)
			       : 0;
	if (key->type != CONFIG_YES_NO)
		return set_number(key, field, value, error, size);
	if (parse_yes_no(value, &flag))
		return refuse(key, value, error, size);
	memcpy(field, &flag, sizeof(flag));
	return 0;
}
