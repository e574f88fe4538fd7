/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager: owns the memory of every guest on the host. It wires page sources and reclaimers
 * together, starts a VMM process per guest, serves their faults, reclaims, and says how all is.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <sys/types.h>

#include "attach/attach.h"
#include "manager/balloon.h"
#include "manager/config.h"

struct manager;

enum guest_life {
	GUEST_LIFE_STARTING,
	GUEST_LIFE_RUNNING,
	GUEST_LIFE_ENDED, /* `exit` says how */
};

/* How one guest is; totals since it started. */
struct guest_snapshot {
	char name[ATTACH_NAME_MAX];
	char workload[ATTACH_NAME_MAX];
	char phase[ATTACH_NAME_MAX];
	char exit_text[ATTACH_TEXT_MAX]; /* why it ended, "" while it runs or when all was well */
	enum guest_life life;
	u32 exit_code; /* enum attach_exit_code, once ended */
	u32 accel;     /* enum attach_accel, once running */
	pid_t pid;
	u64 memory_bytes;
	u64 progress; /* permille of the phase */
	u64 ops, pages_verified, verify_failures;
	u64 run_ns; /* since START, until it ended */
	struct hist latency;
	u64 stall_ns; /* summed over its vCPUs */
	u64 faults_missing, faults_minor, faults_wp;
	u64 evicted_pages, refaulted_pages;
	u64 huge_bytes;		      /* mapped by 2 MiB pages */
	u64 pages[8];		      /* by enum page_state; stays as it was when it ended */
	struct hist fault_latency[8]; /* by the state the page was in */
	struct balloon_snapshot balloon;
};

struct host_snapshot {
	u64 budget_bytes, used_bytes, peak_used_bytes;
	u64 kernel_bytes, peak_kernel_bytes; /* the cgroup's figures; 0 without a cgroup */
	u64 slack_bytes;		     /* the cgroup's limit is budget + slack */
	u64 metadata_bytes, data_bytes;
	u64 guest_bytes; /* all guests' memory together */
	u64 duration_ns;
	u64 stored_pages,
		same_filled_pages; /* totals: went to the pool or disk; found same-filled */
	u64 pool_bytes, pool_blob_bytes, pool_pages;
	u64 disk_bytes, disk_pages, disk_limit_bytes;
	u64 written_bytes, read_bytes, io_errors;
	u64 compressed_in_bytes, compressed_out_bytes; /* totals, for the ratio */
	u64 reject_compress_poor, pool_limit_hit, swap_full;
	u64 evict_cancelled; /* evictions given up because the guest touched the page */
	u64 direct_reclaims; /* faults that had to reclaim for themselves */
	u32 guest_count, guests_running;
	/* Blobs that several pages refer to: totals, and now. Saved: what they would take once more for
	 * each page but one. */
	u64 dedup_hits, dedup_collisions;
	u64 shared_blobs, shared_blob_pages, shared_disk_pages;
	u64 shared_saved_bytes, shared_peak_saved_bytes;
};

/*
 * Makes a manager: budget, sources, swap file, cgroup, NUMA. `config` must outlive it. On failure
 * returns -errno with the reason logged.
 */
int manager_create(const struct host_config *config, struct manager **manager);

/* Starts every guest of the configuration. A guest that cannot start ends with a reason; the others
 * run. Returns 0, or -errno if none could start. */
int manager_start_guests(struct manager *manager);

/* Serves the guests for up to timeout_ms, or until one ends. Returns how many are still running. The
 * thread that calls this is the one that talks to the VMMs; call it in a loop. */
int manager_serve(struct manager *manager, int timeout_ms);

/* Asks every running guest to end: gracefully (verify and report first) or at once. */
void manager_stop_guests(struct manager *manager, bool graceful, const char *reason);

/* Wants a guest to give up that many bytes by its balloon. Returns 0; -ENODEV when it has no balloon or does
 * not run, or -errno. Same thread as manager_serve(). */
int manager_set_balloon(struct manager *manager, u32 index, u64 target_bytes);

/* Asks a guest for its free pages: those it names twice are dropped. While memory is short that happens by
 * itself. */
void manager_ask_free(struct manager *manager, u32 index);

void manager_host_snapshot(struct manager *manager, struct host_snapshot *snapshot);

/* index < guest_count; guests stay listed after they end. */
void manager_guest_snapshot(struct manager *manager, u32 index, struct guest_snapshot *snapshot);

/* Ends guests that still run, by pid, waits for them, and gives everything back: threads, files,
 * cgroup. */
void manager_destroy(struct manager *manager);

#endif
