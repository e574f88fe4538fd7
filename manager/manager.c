/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/manager.h"

#include <errno.h>
#include <numa.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "balloon/abi.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "manager/cgroup.h"
#include "manager/data.h"
#include "manager/guest.h"
#include "manager/policy.h"
#include "manager/squeeze.h"
#include "mem/clock.h"
#include "mem/reclaim.h"
#include "mem/space.h"
#include "swap/swap.h"

/* What the cgroup allows above the budget: kernel memory we do not count (page tables of three
 * mappings, KVM's shadow pages, sockets), the processes' own stacks and heaps, buffers in flight. */
#define SLACK_BASE	 (32 * MiB)
#define SLACK_PER_GUEST	 (8 * MiB)
#define USAGE_PERIOD	 (100 * NSEC_PER_MSEC)
#define ORDERS_PERIOD	 (100 * NSEC_PER_MSEC)
#define MIN_BUDGET	 (32 * MiB)
#define POOL_MAX_PERCENT 80
#define PRESSURE_PERIOD	 (2 * NSEC_PER_SEC) /* the kernel's, for its averages */
#define SQUEEZE_MS	 20		    /* between two steps of a budget on its way down */
#define RECLAIM_PATIENCE (5 * NSEC_PER_SEC)
#define GUESTS_MAX	 4096U /* in all, those that have ended included */

struct manager {
	const struct host_config *config;
	pthread_mutex_t lock; /* outermost: guests, cgroup, and all that changes below */
	int wake;	      /* eventfd: something changed, the serving thread should look */
	u64 target_bytes;     /* the budget that was asked for */
	u64 squeeze_rate;     /* bytes a second */
	u64 squeezed_ns;      /* the last step towards it */
	u64 pressure_due_ns;
	struct pressure_average pressure;
	u32 pool_percent, sample_ms;
	struct cgroup *cgroup; /* NULL: none */
	struct cgroup_usage usage;
	u64 usage_due_ns;
	u64 slack;
	u64 started_ns, ended_ns;
	struct memory memory;
	struct swap *swap;
	struct clock *clock;
	struct reclaim *reclaim;
	struct data_cache *data;
	u64 data_charged;
	u64 metadata; /* the most it was: guests take theirs along when they end */
	bool woken;   /* the policy may want balloons changed */
	u64 orders_due_ns;
	struct policy *policy;
	struct guest_host host;
	u32 guest_count;
	struct guest **guests;
	struct guest_config **added; /* of guests that came later, else NULL; as long as guests */
	u32 guest_capacity;
	struct pollfd *polls; /* of the serving thread alone */
	u32 poll_capacity;
};

static int enter_cgroup(struct manager *manager)
{
	const struct host_config *config = manager->config;
	const char *why = "";
	int result;

	manager->slack = SLACK_BASE + config->guest_count * SLACK_PER_GUEST;
	if (!config->cgroup)
		return 0;
	result = cgroup_create(config->name, &manager->cgroup, &why);
	if (result) {
		log_warn(
			"no memory cgroup (%s): the budget of %lu MiB is kept, but the kernel does "
			"not enforce it; cgroup = no silences this",
			why, config->memory_bytes / MiB);
		manager->cgroup = NULL;
		return 0;
	}
	result = cgroup_set_limit(manager->cgroup, config->memory_bytes + manager->slack);
	if (!result)
		result = cgroup_join(manager->cgroup, 0);
	if (result)
		log_error("cgroup %s: a limit of %lu MiB cannot be set: %s",
			  cgroup_path(manager->cgroup),
			  (config->memory_bytes + manager->slack) / MiB, strerror(-result));
	return result;
}

/*
 * The one table of who stores and who reclaims. An evicted page is offered to the pool first, then
 * (when it does not compress) to the disk; memory comes back by eviction, and room in the pool by
 * write-back.
 */
static int wire(struct manager *manager)
{
	struct memory *memory = &manager->memory;
	struct reclaimer *reclaimers[RECLAIMERS_MAX + 1] = {clock_reclaimer(manager->clock)};
	struct page_source *compressed = swap_compressed(manager->swap);
	struct page_source *disk = swap_disk(manager->swap);
	u32 stores = 0, count = 1;

	if (compressed) {
		memory->sources[PAGE_COMPRESSED] = compressed;
		memory->stores[stores++] = compressed;
	}
	if (disk) {
		memory->sources[PAGE_DISK] = disk;
		memory->stores[stores++] = disk;
	}
	if (swap_writeback(manager->swap))
		reclaimers[count++] = swap_writeback(manager->swap);
	return reclaim_create(memory, reclaimers, manager->config->sample_ms, &manager->reclaim);
}

static int open_swap(struct manager *manager)
{
	const struct host_config *config = manager->config;
	struct swap_options options = {
		.memory = &manager->memory,
		.pool_bytes = config->memory_bytes / 100 * config->pool_percent,
		.pool_reserve =
			config->pool_percent ? config->memory_bytes / 100 * POOL_MAX_PERCENT : 0,
		.nodes = numa_available() < 0 ? 1 : (u32)numa_max_node() + 1,
		.path = config->swap_file[0] ? config->swap_file : NULL,
		.file_bytes = config->swap_bytes,
		.keep = config->swap_keep,
		.acceleration = config->acceleration,
		.share_before_swap = config->share_before_swap,
	};

	return swap_create(&options, &manager->swap);
}

static int create_parts(struct manager *manager)
{
	const struct host_config *config = manager->config;
	int result;

	if (config->memory_bytes < MIN_BUDGET) {
		log_error("a budget of %lu MiB is too small: %lu MiB is the least",
			  config->memory_bytes / MiB, MIN_BUDGET / MiB);
		return -EINVAL;
	}
	manager->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (manager->wake < 0)
		return -errno;
	result = enter_cgroup(manager);
	if (result)
		return result;
	result = data_cache_create(config->data_bytes, &manager->data);
	if (result)
		return result;
	result = open_swap(manager);
	if (result)
		return result;
	manager->clock = clock_create(&manager->memory);
	result = manager->clock ? wire(manager) : -ENOMEM;
	if (result)
		return result;
	return policy_create(config, &manager->memory, manager->wake, &manager->policy);
}

int manager_create(const struct host_config *config, struct manager **out)
{
	struct manager *manager = calloc(1, sizeof(*manager));
	int result;

	if (!manager)
		return -ENOMEM;
	manager->config = config;
	manager->wake = -1;
	pthread_mutex_init(&manager->lock, NULL);
	manager->target_bytes = config->memory_bytes;
	manager->squeeze_rate = squeeze_default_rate(config->memory_bytes);
	manager->pool_percent = config->pool_percent;
	manager->sample_ms = config->sample_ms;
	manager->started_ns = clock_now_ns();
	memory_init(&manager->memory, config->memory_bytes);
	manager->memory.huge_pages = config->huge_pages;
	result = create_parts(manager);
	if (result) {
		manager_destroy(manager);
		return result;
	}
	manager->host = (struct guest_host){
		.config = config,
		.memory = &manager->memory,
		.data = manager->data,
		.policy = manager->policy,
	};
	*out = manager;
	return 0;
}

/* The data lives in memory like everything else, and counts. */
static void charge_data(struct manager *manager)
{
	u64 bytes = data_cache_bytes(manager->data);

	budget_charge(&manager->memory.budget, bytes - manager->data_charged);
	manager->data_charged = bytes;
}

/* Room for one guest more. */
static int grow_guests(struct manager *manager)
{
	u32 capacity = MAX(manager->guest_capacity * 2, 16U);
	struct guest **guests;
	struct guest_config **added;

	if (manager->guest_count < manager->guest_capacity)
		return 0;
	guests = reallocarray(manager->guests, capacity, sizeof(*guests));
	if (!guests)
		return -ENOMEM;
	manager->guests = guests;
	added = reallocarray(manager->added, capacity, sizeof(*added));
	if (!added)
		return -ENOMEM;
	manager->added = added;
	manager->guest_capacity = capacity;
	return 0;
}

/* `added` is the manager's from now on, or NULL: the configuration is the host's. */
static struct guest *add_guest(struct manager *manager, const struct guest_config *config,
			       struct guest_config *added)
{
	struct guest *guest = NULL;

	if (!grow_guests(manager))
		guest = guest_start(&manager->host, config);
	if (!guest) {
		free(added);
		return NULL;
	}
	manager->added[manager->guest_count] = added;
	manager->guests[manager->guest_count++] = guest;
	return guest;
}

int manager_start_guests(struct manager *manager)
{
	u32 running = 0;

	for (u32 i = 0; i < manager->config->guest_count; i++) {
		struct guest *guest = add_guest(manager, &manager->config->guests[i], NULL);

		if (!guest)
			return -ENOMEM;
		running += guest_running(guest);
	}
	return running ? 0 : -ECHILD;
}

static void wake(struct manager *manager)
{
	eventfd_write(manager->wake, 1);
}

/* The cgroup's limit follows budget and slack. Down to below what the kernel counts it may refuse: then
 * the next step asks again. Lock held. */
static void follow_limit(struct manager *manager)
{
	if (manager->cgroup)
		cgroup_set_limit(manager->cgroup,
				 atomic_load(&manager->memory.budget.limit) + manager->slack);
}

static int find_guest(const struct manager *manager, const char *name)
{
	int found = -ENOENT;

	for (u32 i = 0; i < manager->guest_count; i++) {
		if (strcmp(guest_name(manager->guests[i]), name) != 0)
			continue;
		found = (int)i;
		if (guest_running(manager->guests[i]))
			break;
	}
	return found;
}

static int check_new_guest(const struct manager *manager, const struct guest_config *config,
			   char *error, size_t size)
{
	int same = find_guest(manager, config->name);

	if (same >= 0 && guest_running(manager->guests[same])) {
		snprintf(error, size, "a guest %s runs already: give this one another name",
			 config->name);
		return -EEXIST;
	}
	if (manager->ended_ns) {
		snprintf(error, size, "all guests have ended, and so does the run");
		return -ESHUTDOWN;
	}
	if (manager->guest_count >= GUESTS_MAX) {
		snprintf(error, size, "this run has had %u guests: it keeps no more", GUESTS_MAX);
		return -ENOSPC;
	}
	return 0;
}

/* Lock held. */
static int start_guest(struct manager *manager, const struct guest_config *config, char *error,
		       size_t size)
{
	int result = check_new_guest(manager, config, error, size);
	struct guest_config *copy;

	if (result)
		return result;
	copy = malloc(sizeof(*copy));
	if (!copy) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	*copy = *config;
	manager->slack += SLACK_PER_GUEST;
	follow_limit(manager);
	if (!add_guest(manager, copy, copy)) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	return (int)manager->guest_count - 1;
}

int manager_start_guest(struct manager *manager, const struct guest_config *config, char *error,
			size_t size)
{
	int result;

	pthread_mutex_lock(&manager->lock);
	result = start_guest(manager, config, error, size);
	pthread_mutex_unlock(&manager->lock);
	wake(manager);
	return result;
}

static void sample_usage(struct manager *manager)
{
	u64 now = clock_now_ns();

	if (!manager->cgroup || now < manager->usage_due_ns)
		return;
	manager->usage_due_ns = now + USAGE_PERIOD;
	cgroup_read_usage(manager->cgroup, &manager->usage);
}

static int count_running(struct manager *manager)
{
	int running = 0;

	for (u32 i = 0; i < manager->guest_count; i++)
		running += guest_running(manager->guests[i]);
	if (!running && !manager->ended_ns)
		manager->ended_ns = clock_now_ns();
	return running;
}

/* What a guest's balloon statistics say, in the policy's words. */
static void tell_policy(struct policy *policy, u32 index, const struct balloon_snapshot *balloon)
{
	const u64 *values = balloon->values;
	struct policy_balloon words = {
		.driver = balloon->features,
		.signs =
			{
				.age_ms = balloon->stats_age_ms,
				.major_faults = values[BALLOON_STAT_MAJOR_FAULTS],
				.alloc_stalls = values[BALLOON_STAT_ALLOC_STALLS],
				.direct_scans = values[BALLOON_STAT_DIRECT_SCANNED],
				.direct_reclaims = values[BALLOON_STAT_DIRECT_RECLAIMED],
				.refaults = values[BALLOON_STAT_SWAP_IN] / PAGE_SIZE,
			},
	};

	policy_hear(policy, index, &words);
}

/* Tells the policy how balloons are, and balloons what it decided. */
static void exchange_orders(struct manager *manager)
{
	u64 now = clock_now_ns(), bytes;

	if (!manager->woken && now < manager->orders_due_ns)
		return;
	manager->woken = false;
	manager->orders_due_ns = now + ORDERS_PERIOD;
	for (u32 i = 0; i < manager->guest_count; i++) {
		struct balloon_snapshot balloon;

		if (!guest_get_balloon(manager->guests[i], &balloon))
			continue;
		tell_policy(manager->policy, i, &balloon);
		if (policy_order(manager->policy, i, &bytes) &&
		    guest_set_balloon(manager->guests[i], bytes))
			policy_repeat_order(manager->policy, i);
	}
}

static void sample_pressure(struct manager *manager)
{
	u64 now = clock_now_ns();

	if (now < manager->pressure_due_ns)
		return;
	manager->pressure_due_ns = now + PRESSURE_PERIOD;
	pressure_sample(&manager->memory.pressure, &manager->pressure, now);
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_sample(manager->guests[i], now);
}

static void follow_pool(struct manager *manager)
{
	swap_set_pool_limit(manager->swap, atomic_load(&manager->memory.budget.limit) / 100 *
						   manager->pool_percent);
}

/* One step towards the budget that was asked for. */
static void squeeze(struct manager *manager)
{
	struct budget *budget = &manager->memory.budget;
	u64 limit = atomic_load(&budget->limit), now = clock_now_ns(), next;

	if (limit == manager->target_bytes)
		return;
	next = squeeze_step(limit, manager->target_bytes, atomic_load(&budget->used),
			    atomic_load(&budget->min), manager->squeeze_rate,
			    now - manager->squeezed_ns);
	manager->squeezed_ns = now;
	if (next == limit)
		return;
	budget_set_limit(budget, next);
	follow_pool(manager);
	follow_limit(manager);
}

/* Lists who is to be heard: the wake-up call first, then the guests. Returns how many, or 0 when there is
 * no memory for it. */
static u32 list_polls(struct manager *manager)
{
	u32 count = manager->guest_count + 1;

	if (count > manager->poll_capacity) {
		struct pollfd *polls =
			reallocarray(manager->polls, count * 2, sizeof(*manager->polls));

		if (!polls)
			return 0;
		manager->polls = polls;
		manager->poll_capacity = count * 2;
	}
	manager->polls[0] = (struct pollfd){.fd = manager->wake, .events = POLLIN};
	for (u32 i = 0; i < manager->guest_count; i++)
		manager->polls[i + 1] = (struct pollfd){
			.fd = guest_socket(manager->guests[i]),
			.events = POLLIN,
		};
	return count;
}

/* Waits for any guest's message and handles one of each. The lock, held before and after, is free
 * meanwhile. */
static void serve_once(struct manager *manager, int timeout_ms)
{
	u32 count = list_polls(manager);
	eventfd_t woken;
	int ready;

	if (atomic_load(&manager->memory.budget.limit) != manager->target_bytes)
		timeout_ms = MIN(timeout_ms, SQUEEZE_MS);
	pthread_mutex_unlock(&manager->lock);
	ready = poll(manager->polls, count, timeout_ms);
	pthread_mutex_lock(&manager->lock);
	if (ready <= 0 || !count)
		return;
	if (manager->polls[0].revents)
		manager->woken = !eventfd_read(manager->wake, &woken);
	/* Guests that came meanwhile are behind, and none ever goes. */
	for (u32 i = 0; i + 1 < count; i++) {
		if (manager->polls[i + 1].revents && guest_socket(manager->guests[i]) >= 0)
			guest_receive(manager->guests[i]);
	}
	charge_data(manager);
}

static int serve(struct manager *manager, int timeout_ms)
{
	u64 until = clock_now_ns() + (u64)MAX(timeout_ms, 0) * NSEC_PER_MSEC;
	int running = count_running(manager);

	while (running) {
		u64 now = clock_now_ns();
		int before = running;

		sample_usage(manager);
		sample_pressure(manager);
		squeeze(manager);
		exchange_orders(manager);
		for (u32 i = 0; i < manager->guest_count; i++)
			guest_tick(manager->guests[i]);
		serve_once(manager, now < until ? (int)((until - now) / NSEC_PER_MSEC) + 1 : 0);
		running = count_running(manager);
		if (running < before || clock_now_ns() >= until)
			break;
	}
	return running;
}

int manager_serve(struct manager *manager, int timeout_ms)
{
	int running;

	pthread_mutex_lock(&manager->lock);
	running = serve(manager, timeout_ms);
	pthread_mutex_unlock(&manager->lock);
	return running;
}

void manager_stop_guests(struct manager *manager, bool graceful, const char *reason)
{
	pthread_mutex_lock(&manager->lock);
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_stop(manager->guests[i], graceful, reason);
	pthread_mutex_unlock(&manager->lock);
}

int manager_stop_guest(struct manager *manager, u32 index, bool graceful, const char *reason)
{
	int result = -ESRCH;

	pthread_mutex_lock(&manager->lock);
	if (guest_running(manager->guests[index])) {
		guest_stop(manager->guests[index], graceful, reason);
		result = 0;
	}
	pthread_mutex_unlock(&manager->lock);
	return result;
}

int manager_find_guest(struct manager *manager, const char *name)
{
	int found;

	pthread_mutex_lock(&manager->lock);
	found = find_guest(manager, name);
	pthread_mutex_unlock(&manager->lock);
	return found;
}

/* What a budget must have room for: what cannot be evicted, and enough to work with. */
static int set_memory(struct manager *manager, u64 bytes, char *error, size_t size)
{
	u64 fixed = memory_metadata_bytes(&manager->memory) + manager->data_charged;

	if (bytes < fixed + MIN_BUDGET) {
		snprintf(error, size,
			 "a budget of %lu MiB is too small: %lu MiB of metadata and the guests' "
			 "data cannot be evicted, and %lu MiB is the least beside them",
			 bytes / MiB, fixed / MiB, MIN_BUDGET / MiB);
		return -EINVAL;
	}
	manager->target_bytes = bytes;
	manager->squeezed_ns = clock_now_ns();
	if (bytes > atomic_load(&manager->memory.budget.limit) && manager->cgroup)
		cgroup_set_limit(manager->cgroup, bytes + manager->slack);
	squeeze(manager);
	return 0;
}

static int set_pool_percent(struct manager *manager, u64 percent, char *error, size_t size)
{
	u64 bytes = atomic_load(&manager->memory.budget.limit) / 100 * percent;
	struct swap_stats stats;

	swap_stats(manager->swap, &stats);
	if (!stats.pool_limit_bytes) {
		snprintf(error, size,
			 "this host was started with pool-percent = 0: it has no pool");
		return -EINVAL;
	}
	if (!swap_disk(manager->swap) && bytes < stats.pool_bytes) {
		snprintf(error, size,
			 "the pool holds %lu MiB, %lu MiB would be the limit, and without a swap "
			 "file it cannot be emptied",
			 stats.pool_bytes / MiB, bytes / MiB);
		return -EINVAL;
	}
	manager->pool_percent = (u32)percent;
	follow_pool(manager);
	return 0;
}

static int set_knob(struct manager *manager, enum manager_knob knob, u64 value, char *error,
		    size_t size)
{
	switch (knob) {
	case MANAGER_MEMORY:
		return set_memory(manager, value, error, size);
	case MANAGER_SQUEEZE_RATE:
		manager->squeeze_rate = value;
		return 0;
	case MANAGER_SAMPLE_MS:
		manager->sample_ms = (u32)value;
		reclaim_set_tick(manager->reclaim, (u32)value);
		return 0;
	case MANAGER_POOL_PERCENT:
		return set_pool_percent(manager, value, error, size);
	case MANAGER_ACCELERATION:
		swap_set_acceleration(manager->swap, (u32)value);
		return 0;
	case MANAGER_MAX_BLOB_BYTES:
		swap_set_max_blob_bytes(manager->swap, (u32)value);
		return 0;
	case MANAGER_KNOBS:
		break;
	}
	snprintf(error, size, "there is no setting number %d", (int)knob);
	return -EINVAL;
}

int manager_set(struct manager *manager, enum manager_knob knob, u64 value, char *error,
		size_t size)
{
	int result;

	pthread_mutex_lock(&manager->lock);
	result = set_knob(manager, knob, value, error, size);
	pthread_mutex_unlock(&manager->lock);
	wake(manager);
	return result;
}

s64 manager_reclaim(struct manager *manager, u32 index, u64 bytes)
{
	struct space *space;
	u64 freed;

	pthread_mutex_lock(&manager->lock);
	space = guest_get_space(manager->guests[index]);
	pthread_mutex_unlock(&manager->lock);
	if (!space)
		return -ESRCH;
	freed = reclaim_from(manager->reclaim, space, bytes, clock_now_ns() + RECLAIM_PATIENCE);
	space_put(space);
	return (s64)freed;
}

static void snapshot_swap(struct manager *manager, struct host_snapshot *snapshot)
{
	struct swap_stats stats;

	swap_stats(manager->swap, &stats);
	snapshot->stored_pages = stats.stored_pages;
	snapshot->pool_bytes = stats.pool_bytes;
	snapshot->pool_blob_bytes = stats.pool_blob_bytes;
	snapshot->pool_pages = stats.pool_pages;
	snapshot->pool_limit_bytes = stats.pool_limit_bytes;
	snapshot->acceleration = stats.acceleration;
	snapshot->max_blob_bytes = stats.max_blob_bytes;
	snapshot->swap_enabled = stats.pool_limit_bytes || stats.disk_limit_bytes;
	snapshot->disk_bytes = stats.disk_bytes;
	snapshot->disk_pages = stats.disk_pages;
	snapshot->disk_limit_bytes = stats.disk_limit_bytes;
	snapshot->written_bytes = stats.written_bytes;
	snapshot->read_bytes = stats.read_bytes;
	snapshot->io_errors = stats.io_errors;
	snapshot->compressed_in_bytes = stats.compressed_in_bytes;
	snapshot->compressed_out_bytes = stats.compressed_out_bytes;
	snapshot->reject_compress_poor = stats.reject_compress_poor;
	snapshot->pool_limit_hit = stats.pool_limit_hit;
	snapshot->swap_full = stats.swap_full;
	snapshot->dedup_hits = stats.dedup_hits;
	snapshot->dedup_collisions = stats.hash_collisions;
	snapshot->shared_blobs = stats.shared_blobs;
	snapshot->shared_blob_pages = stats.shared_pages;
	snapshot->shared_disk_pages = stats.shared_disk_pages;
	snapshot->shared_saved_bytes = stats.shared_saved_bytes;
	snapshot->shared_peak_saved_bytes = stats.shared_peak_saved_bytes;
}

static void host_snapshot(struct manager *manager, struct host_snapshot *snapshot)
{
	struct memory *memory = &manager->memory;
	u64 end = manager->ended_ns ? manager->ended_ns : clock_now_ns();

	*snapshot = (struct host_snapshot){
		.budget_bytes = memory->budget.limit,
		.used_bytes = atomic_load(&memory->budget.used),
		.peak_used_bytes = atomic_load(&memory->budget.peak),
		.kernel_bytes = manager->usage.now,
		.peak_kernel_bytes = manager->usage.peak,
		.slack_bytes = manager->slack,
		.data_bytes = manager->data_charged,
		.duration_ns = end - manager->started_ns,
		.same_filled_pages = atomic_load(&memory->same_filled),
		.evict_cancelled = atomic_load(&memory->evict_cancelled),
		.direct_reclaims = atomic_load(&memory->direct_reclaims),
		.guest_count = manager->guest_count,
		.guests_running = (u32)count_running(manager),
		.target_bytes = manager->target_bytes,
		.squeeze_bytes_per_s = manager->squeeze_rate,
		.watermark_min = atomic_load(&memory->budget.min),
		.watermark_low = atomic_load(&memory->budget.low),
		.watermark_high = atomic_load(&memory->budget.high),
		.resident_bytes = memory_resident_pages(memory) * PAGE_SIZE,
		.pool_percent = manager->pool_percent,
		.sample_ms = manager->sample_ms,
	};
	pressure_show(&manager->pressure, &snapshot->pressure);
	for (u32 i = 0; i < manager->guest_count; i++)
		snapshot->guest_bytes += guest_memory_bytes(manager->guests[i]);
	manager->metadata = MAX(manager->metadata, memory_metadata_bytes(memory));
	snapshot->metadata_bytes = manager->metadata;
	snapshot_swap(manager, snapshot);
	policy_host_snapshot(manager->policy, &snapshot->policy);
}

int manager_set_balloon(struct manager *manager, u32 index, u64 target_bytes)
{
	int result;

	policy_set_by_hand(manager->policy, index, target_bytes);
	pthread_mutex_lock(&manager->lock);
	result = guest_set_balloon(manager->guests[index], target_bytes);
	pthread_mutex_unlock(&manager->lock);
	return result;
}

void manager_ask_free(struct manager *manager, u32 index)
{
	pthread_mutex_lock(&manager->lock);
	guest_ask_free(manager->guests[index]);
	pthread_mutex_unlock(&manager->lock);
}

void manager_host_snapshot(struct manager *manager, struct host_snapshot *snapshot)
{
	pthread_mutex_lock(&manager->lock);
	host_snapshot(manager, snapshot);
	pthread_mutex_unlock(&manager->lock);
}

void manager_guest_snapshot(struct manager *manager, u32 index, struct guest_snapshot *snapshot)
{
	pthread_mutex_lock(&manager->lock);
	guest_snapshot(manager->guests[index], snapshot);
	policy_guest_snapshot(manager->policy, index, &snapshot->policy);
	pthread_mutex_unlock(&manager->lock);
}

void manager_get_policy(struct manager *manager, struct policy_tuning *tuning)
{
	policy_get_tuning(manager->policy, tuning);
}

int manager_set_policy(struct manager *manager, const struct policy_tuning *tuning, char *why,
		       u32 size)
{
	return policy_set_tuning(manager->policy, tuning, why, size);
}

int manager_get_guest(struct manager *manager, u32 index, struct guest_tuning *tuning)
{
	return policy_get_guest(manager->policy, index, tuning);
}

int manager_set_guest(struct manager *manager, u32 index, const struct guest_tuning *tuning,
		      char *why, u32 size)
{
	return policy_set_guest(manager->policy, index, tuning, why, size);
}

u32 manager_decisions(struct manager *manager, char *text, u32 size)
{
	return policy_decisions(manager->policy, text, size);
}

void manager_destroy(struct manager *manager)
{
	for (u32 i = 0; i < manager->guest_count; i++)
		guest_destroy(manager->guests[i]);
	for (u32 i = 0; i < manager->guest_count; i++)
		free(manager->added[i]);
	if (manager->policy)
		policy_destroy(manager->policy);
	if (manager->reclaim)
		reclaim_destroy(manager->reclaim);
	if (manager->clock)
		clock_destroy(manager->clock);
	if (manager->swap)
		swap_destroy(manager->swap);
	if (manager->data)
		data_cache_destroy(manager->data);
	memory_destroy(&manager->memory);
	cgroup_destroy(manager->cgroup);
	if (manager->wake >= 0)
		close(manager->wake);
	pthread_mutex_destroy(&manager->lock);
	free(manager->polls);
	free(manager->added);
	free(manager->guests);
	free(manager);
}
