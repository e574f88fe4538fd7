/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager: owns the memory of every guest on the host. It wires page sources and reclaimers
 * together, starts a VMM process per guest, serves their faults, reclaims, and says how all is.
 *
 * One thread serves: it talks to the VMMs and starts and ends guests. The others (control tree, metrics)
 * ask and change at any time: every function but create and destroy takes the manager's one
 * lock, which the serving thread gives up while it waits. The lock is outermost, and so held that a guest's
 * end (two seconds at worst) or the loading of its data may keep the others waiting.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <sys/types.h>

#include "attach/attach.h"
#include "ksm/ksm.h"
#include "manager/balloon.h"
#include "manager/config.h"
#include "manager/policy.h"
#include "mem/page_table.h"

struct manager;

enum guest_life {
	GUEST_LIFE_STARTING,
	GUEST_LIFE_RUNNING,
	GUEST_LIFE_ENDED, /* `exit` says how */
};

/* Waiting for memory, as mem/pressure.h has it: totals, and averages over 10, 60, 300 s in percent. */
struct pressure_snapshot {
	u64 some_ns, full_ns;
	double some[3], full[3];
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
	u32 vcpus;
	s32 node; /* NUMA node, -1: any */
	u64 memory_bytes;
	u64 progress; /* permille of the phase */
	u64 ops, pages_verified, verify_failures;
	u64 run_ns;    /* since START, until it ended */
	u64 worked_ns; /* its phase "run" took that long, by its own clock; 0 before its end */
	struct hist latency;
	u64 stall_ns; /* summed over its vCPUs */
	u64 faults_missing, faults_minor, faults_wp;
	u64 pages_around;
	u64 evicted_pages, refaulted_pages;
	u64 turns, turn_wait_ns; /* it has had; its faults have waited for one */
	u64 cold_pages; /* of those evicted, ahead of need: nobody had touched them for long */
	u64 saved_bytes; /* of its shared pages: what it would take, less its part of the frames */
	u64 cow_breaks;	 /* writes to shared pages */
	u64 private_pages; /* resident away from its RAM file: written since they were shared, or between shared ones */
	u64 huge_bytes;	   /* mapped by 2 MiB pages */
	u64 pages[8];	   /* by enum page_state; stays as it was when it ended */
	struct hist fault_latency[8]; /* by the state the page was in */
	struct policy_guest policy;
	struct balloon_snapshot balloon;
	u64 faults_removed, metadata_bytes;
	u64 flow_pages[PAGE_FLOWS];	  /* totals */
	u64 flow_bytes_per_s[PAGE_FLOWS]; /* over the last second or two; 0 once ended */
	char salt[ATTACH_NAME_MAX];	  /* "": none */
	bool has_balloon;		  /* is configured */
	bool shares;			  /* its pages may be shared */
	struct pressure_snapshot pressure;
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
	u64 target_bytes; /* the budget that was asked for; budget_bytes follows it downwards */
	u64 squeeze_bytes_per_s;
	u64 watermark_min, watermark_low, watermark_high;
	u64 resident_bytes;
	u64 pool_limit_bytes;
	u32 pool_percent, accept_percent, acceleration, max_blob_bytes, sample_ms;
	bool swap_enabled; /* there is a pool or a swap file */
	struct pressure_snapshot pressure;
	struct policy_host policy;
	struct ksm_stats ksm; /* all zero when nothing is shared */
	u32 salting;	      /* enum host_salting */
	u32 readahead_pages, io_depth;
	u64 written_back_pages, reject_recovering;
	bool pool_accepts, share_before_swap;
};

/*
 * What lies on one NUMA node, in bytes, as far as it was asked for there. `resident` is of the guests whose
 * `node` it is: where the others' pages lie the kernel decides, so they count where there is only one node, and
 * nowhere else.
 */
struct node_snapshot {
	u64 shared, pool, resident;
};

/* Settings that can change while guests run. */
enum manager_knob {
	MANAGER_MEMORY,		/* bytes: the budget */
	MANAGER_SQUEEZE_RATE,	/* bytes a second by which it comes down at most */
	MANAGER_SAMPLE_MS,	/* sample-ms of the configuration */
	MANAGER_POOL_PERCENT,	/* pool-percent */
	MANAGER_ACCEPT_PERCENT, /* accept-threshold-percent */
	MANAGER_ACCELERATION,	/* acceleration */
	MANAGER_MAX_BLOB_BYTES, /* a page that takes more is stored raw, on disk */
	MANAGER_POOL_ACCEPTS,	/* 0: evicted pages go to the swap file, not into the pool */
	MANAGER_SHARE_STORED,	/* share-before-swap */
	MANAGER_IO_DEPTH,	/* reads of the swap file under way at once, at most */
	MANAGER_READAHEAD,	/* pages that one fault brings back, at most */
	MANAGER_KNOBS
};

/*
 * Makes a manager: budget, sources, swap file, cgroup, NUMA. `config` must outlive it. On failure
 * returns -errno with the reason logged.
 */
int manager_create(const struct host_config *config, struct manager **manager);

/* Starts every guest of the configuration. A guest that cannot start ends with a reason; the others
 * run. Returns 0, or -errno if none could start. */
int manager_start_guests(struct manager *manager);

/*
 * Starts one more guest, whose configuration is copied. Returns its index; or -errno with a sentence in
 * `error`: -EEXIST, one of that name runs; -ESHUTDOWN, the run is over; -ENOSPC, too many.
 */
int manager_start_guest(struct manager *manager, const struct guest_config *config, char *error,
			size_t size);

/* Where the configuration says `listens`, manager_start_guests() starts none: VMMs bring them, as its sections
 * allow, and manager_serve() goes on while there is none. */

/* Serves the guests for up to timeout_ms, or until one ends. Returns how many are still running. The
 * thread that calls this is the one that talks to the VMMs; call it in a loop. */
int manager_serve(struct manager *manager, int timeout_ms);

/* Asks every running guest to end: gracefully (verify and report first) or at once. */
void manager_stop_guests(struct manager *manager, bool graceful, const char *reason);

/* Wants a guest to give up that many bytes by its balloon, whatever the policy thinks; 0: as the policy
 * likes again. Returns 0; -ENODEV when it has no balloon or does not run, or -errno. */
int manager_set_balloon(struct manager *manager, u32 index, u64 target_bytes);

/* Asks a guest for its free pages: those it names twice are dropped. While memory is short that happens by
 * itself. */
void manager_ask_free(struct manager *manager, u32 index);

/* The same for one. Returns 0, or -ESRCH when it has ended already. */
int manager_stop_guest(struct manager *manager, u32 index, bool graceful, const char *reason);

/*
 * Changes a setting: the whole value, or nothing. Returns 0; or -EINVAL with a sentence in `error`.
 *
 * A larger budget holds at once. A smaller one is approached: the limit in force comes down by
 * MANAGER_SQUEEZE_RATE at most, and no faster than reclaim finds memory to take, so that no guest's
 * fault is refused for it; the cgroup's limit follows. It may never get there, where the stores are
 * full: compare budget_bytes with target_bytes.
 */
int manager_set(struct manager *manager, enum manager_knob knob, u64 value, char *error,
		size_t size);

/*
 * Another salt for a guest that runs, or another rule for all (enum host_salting): who may share with whom. When they
 * return 0, no page is shared by guests that may not share any more. -EBUSY with a sentence, and nothing has
 * changed: a guest that would change its domain has frames mapped, or stored pages that it shares could not be brought
 * back within a few seconds. Frames of its new domain a guest can map only from its next start on; what is stored it
 * shares at once.
 */
int manager_set_salt(struct manager *manager, u32 index, const char *salt, char *error,
		     size_t size);
int manager_set_salting(struct manager *manager, u32 salting, char *error, size_t size);

/* Reclaims that much of one guest's memory by hand, for a few seconds at most, with no lock held. Returns
 * the bytes it got; or -ESRCH when the guest has no memory (any more). */
s64 manager_reclaim(struct manager *manager, u32 index, u64 bytes);

/* The index of the guest of that name: the one that runs, else the last that did; or -ENOENT. */
int manager_find_guest(struct manager *manager, const char *name);

/* Options of the sharing scanner. Any thread. */
void manager_get_ksm(struct manager *manager, struct ksm_options *options);
void manager_set_ksm(struct manager *manager, const struct ksm_options *options);

void manager_host_snapshot(struct manager *manager, struct host_snapshot *snapshot);

/* index < guest_count; guests stay listed after they end. */
void manager_guest_snapshot(struct manager *manager, u32 index, struct guest_snapshot *snapshot);

/* A node that is not there has nothing. */
void manager_node_snapshot(struct manager *manager, u32 node, struct node_snapshot *snapshot);

/* Ends guests that still run, by pid, waits for them, and gives everything back: threads, files,
 * cgroup. */
void manager_destroy(struct manager *manager);

#endif
