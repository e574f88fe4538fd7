/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows. To add one: its path, kind and unit; where the number is (a field of the snapshot, or a
 * function); for what can be written, the range and the knob; and a line of help. docs/control.md is
 * made from this by `make docs`.
 */
#include <inttypes.h>
#include <string.h>

#include "balloon/abi.h"
#include "ctl/attr.h"
#include "ctl/attr_policy.h"
#include "ctl/attr_text.h"
#include "ctl/control.h"
#include "lib/clock.h"
#include "mem/page.h"

#define TiB (1024UL * GiB)

#define GAUGE(u)   .kind = ATTR_GAUGE, .unit = UNIT_##u
#define COUNTER(u) .kind = ATTR_COUNTER, .unit = UNIT_##u
#define SETTING(u) .kind = ATTR_SETTING, .unit = UNIT_##u
#define LINES(f)   .kind = ATTR_TEXT, .text = f

#define FIELD(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)NULL)->field)
#define HOST(field)	   FIELD(struct host_snapshot, field)
#define GUEST(field)	   FIELD(struct guest_snapshot, field)
#define POLICY(field)	   HOST(policy.tuning.field), .write = write_policy
#define PROMISE(field)	   GUEST(policy.tuning.field), .write = write_promise
#define KSM(field)	   HOST(ksm.options.field), .write = write_ksm
#define KNOB(name)	   .write = write_knob, .knob = MANAGER_##name
#define RANGE(low, high)   .min = (low), .max = (high)
#define STAT(name, tag, text)                                                                      \
	{                                                                                          \
		"balloon/stats/" name, LINES(text_stat), .state = BALLOON_STAT_##tag,              \
							 .help = "its driver says: " text          \
	}

static int write_knob(const struct attr_target *target, const struct attr *attr, u64 value,
		      char *error, size_t size)
{
	return manager_set(target->manager, attr->knob, value, error, size);
}

static int write_reclaim(const struct attr_target *target, const struct attr *attr, u64 value,
			 char *error, size_t size)
{
	(void)attr;
	return control_reclaim(target->control, target->index, value, error, size);
}

static int write_salting(const struct attr_target *target, const struct attr *attr, u64 value,
			 char *error, size_t size)
{
	(void)attr;
	return manager_set_salting(target->manager, (u32)value, error, size);
}

static u64 host_free(const struct attr_view *view)
{
	const struct host_snapshot *host = view->host;

	return host->budget_bytes - MIN(host->budget_bytes, host->used_bytes);
}

static u64 host_seconds(const struct attr_view *view)
{
	return view->host->duration_ns / NSEC_PER_SEC;
}

static u64 host_overcommit(const struct attr_view *view)
{
	return view->host->guest_bytes * 100 / MAX(view->host->budget_bytes, 1UL);
}

static u64 guest_state_bytes(const struct attr_view *view, enum page_state state)
{
	return view->guest->pages[state] * PAGE_SIZE;
}

static u64 guest_grant(const struct attr_view *view)
{
	return guest_state_bytes(view, PAGE_RESIDENT);
}

static u64 guest_zero(const struct attr_view *view)
{
	return guest_state_bytes(view, PAGE_ZERO) + guest_state_bytes(view, PAGE_SAME);
}

static u64 guest_shared(const struct attr_view *view)
{
	return guest_state_bytes(view, PAGE_SHARED);
}

static u64 guest_zip(const struct attr_view *view)
{
	return guest_state_bytes(view, PAGE_COMPRESSED);
}

static u64 guest_swapped(const struct attr_view *view)
{
	return guest_state_bytes(view, PAGE_DISK);
}

/* The pool does not know whose its blobs are: all guests' pages are taken to compress alike. */
static u64 guest_zip_saved(const struct attr_view *view)
{
	const struct host_snapshot *host = view->host;
	double plain = (double)host->pool_pages * PAGE_SIZE;
	double share = plain > 0 ? MIN((double)host->pool_bytes / plain, 1.0) : 0;

	return (u64)((double)guest_zip(view) * (1 - share));
}

static u64 guest_deflates(const struct attr_view *view)
{
	return view->guest->balloon.features >> BALLOON_F_DEFLATE_ON_OOM & 1;
}

static u64 guest_stall_us(const struct attr_view *view)
{
	return view->guest->stall_ns / NSEC_PER_USEC;
}

static u64 guest_turn_wait_us(const struct attr_view *view)
{
	return view->guest->turn_wait_ns / NSEC_PER_USEC;
}

static u64 guest_reclaimed(const struct attr_view *view)
{
	return control_reclaimed(view->control, view->index);
}

static u64 guest_p99(const struct attr_view *view)
{
	return hist_percentile(&view->guest->latency, 990) / NSEC_PER_USEC;
}

/* clang-format off */
static const struct attr host_attrs[] = {
	{ "name", LINES(text_host_name),
	  .help = "what the host is called" },
	{ "memory", SETTING(BYTES), HOST(target_bytes), KNOB(MEMORY),
	  RANGE(32 * MiB, 64 * TiB), .step = REGION_SIZE,
	  .help = "the budget; a larger one holds at once, a smaller one is approached (memory_now)" },
	{ "memory_now", GAUGE(BYTES), HOST(budget_bytes),
	  .help = "the budget in force: follows memory down as guests are squeezed" },
	{ "squeeze_rate", SETTING(BYTES_PER_S), HOST(squeeze_bytes_per_s), KNOB(SQUEEZE_RATE),
	  RANGE(1 * MiB, 1 * TiB),
	  .help = "how fast a budget comes down, at most; slower when reclaim cannot follow" },
	{ "used", GAUGE(BYTES), HOST(used_bytes),
	  .help = "guest pages in RAM, pool, metadata and data together" },
	{ "free", GAUGE(BYTES), .number = host_free,
	  .help = "what is left of the budget" },
	{ "peak", GAUGE(BYTES), HOST(peak_used_bytes),
	  .help = "the most that was used" },
	{ "slack", GAUGE(BYTES), HOST(slack_bytes),
	  .help = "what the memory cgroup allows above the budget: page tables, stacks, heaps" },
	{ "kernel", GAUGE(BYTES), HOST(kernel_bytes),
	  .help = "use by the cgroup's count; 0 without a cgroup" },
	{ "kernel_peak", GAUGE(BYTES), HOST(peak_kernel_bytes),
	  .help = "the most it was" },
	{ "resident", GAUGE(BYTES), HOST(resident_bytes),
	  .help = "guest pages in RAM" },
	{ "metadata", GAUGE(BYTES), HOST(metadata_bytes),
	  .help = "page descriptors and regions; the most it was" },
	{ "data", GAUGE(BYTES), HOST(data_bytes),
	  .help = "data files that guests fill their memory with" },
	{ "guest_memory", GAUGE(BYTES), HOST(guest_bytes),
	  .help = "memory of all guests together" },
	{ "overcommit_pct", GAUGE(PERCENT), .number = host_overcommit,
	  .help = "guest_memory by memory_now" },
	{ "guests", GAUGE(NONE), HOST(guest_count),
	  .help = "guests, those that have ended included" },
	{ "guests_running", GAUGE(NONE), HOST(guests_running),
	  .help = "guests that run" },
	{ "uptime_s", GAUGE(SECONDS), .number = host_seconds,
	  .help = "since the start" },
	{ "sample_ms", SETTING(MS), HOST(sample_ms), KNOB(SAMPLE_MS), RANGE(10, 600000),
	  .help = "time between two looks at what could be tidied while there is no pressure" },
	{ "state", LINES(text_host_state),
	  .help = "how short of memory the host is: high (plenty), clear, soft, hard, low" },
	{ "state_pct", LINES(text_state_pct), .take = take_state_pct,
	  .help = "where those begin, in per cent of min_free. Write five falling percentages" },
	{ "min_free", SETTING(BYTES), POLICY(min_free), RANGE(0, 64 * TiB),
	  .help = "free memory that the states are measured by; 0: a bit less than a tenth of the budget" },
	{ "policy/active", SETTING(NONE), POLICY(active), RANGE(0, 1),
	  .help = "1: decide who should have how much memory; 0: mins and limits alone hold" },
	{ "policy/dry_run", SETTING(NONE), POLICY(dry_run), RANGE(0, 1),
	  .help = "1: decide and log, but change nothing" },
	{ "policy/interval_ms", SETTING(MS), POLICY(interval_ms), RANGE(10, 60000),
	  .help = "time between two steps" },
	{ "policy/idle_tax_pct", SETTING(PERCENT), POLICY(idle_tax_pct), RANGE(0, 99),
	  .help = "an idle page costs a guest as much as 1 / (1 - tax) active ones" },
	{ "policy/turns", SETTING(NONE), POLICY(turns), RANGE(0, 1),
	  .help = "1: guests that drive out each other's memory all the time take turns" },
	{ "policy/steps", COUNTER(NONE), HOST(policy.steps),
	  .help = "steps it made" },
	{ "policy/decisions", LINES(text_decisions),
	  .help = "the last decisions, each with its inputs and its reason, those to do nothing too" },
	{ "wss/cold_age_s", SETTING(SECONDS), POLICY(cold_age_s), RANGE(1, 86400),
	  .help = "memory used within that time is never cold" },
	{ "wss/sample_pct", SETTING(PERCENT), POLICY(sample_pct), RANGE(0, 100),
	  .help = "so many places of a guest are sampled, in per cent of its 2 MiB regions: but 32 at least and 256 at most; from the next look on" },
	{ "wss/reclaim_cold", SETTING(NONE), POLICY(reclaim_cold), RANGE(0, 1),
	  .help = "1: memory that is cold is taken while the host has enough, too" },
	{ "wss/promotion_rate_target", SETTING(NONE), POLICY(promotion_rate_target), RANGE(1, 100000),
	  .help = "so many thousandths of a per cent of its working set a minute may come back to a guest" },
	{ "pressure", LINES(text_host_pressure),
	  .help = "share of time guests wait for memory, in the kernel's PSI format" },
	{ "direct_reclaims", COUNTER(NONE), HOST(direct_reclaims),
	  .help = "faults that found no frame and reclaimed for themselves" },
	{ "evict_cancelled", COUNTER(PAGES), HOST(evict_cancelled),
	  .help = "evictions given up because the guest touched the page" },
	{ "last_error", LINES(text_last_error),
	  .help = "why the last write outside vm/ was refused; empty when it was taken" },
	{ "watermarks/min", GAUGE(BYTES), HOST(watermark_min),
	  .help = "free memory that only reclaim may use, half of it sharing too" },
	{ "watermarks/low", GAUGE(BYTES), HOST(watermark_low),
	  .help = "free memory below which background reclaim starts" },
	{ "watermarks/high", GAUGE(BYTES), HOST(watermark_high),
	  .help = "free memory at which it stops" },
	{ "swap/enabled", SETTING(NONE), HOST(pool_accepts), KNOB(POOL_ACCEPTS), RANGE(0, 1),
	  .help = "0: evicted pages go to the swap file at once, none into the pool; what is there stays" },
	{ "swap/compressor", LINES(text_compressor),
	  .help = "how pages are compressed" },
	{ "swap/acceleration", SETTING(NONE), HOST(acceleration), KNOB(ACCELERATION), RANGE(1, 100),
	  .help = "LZ4's: 1 compresses best, more is faster; for pages stored from now on" },
	{ "swap/max_pool_percent", SETTING(PERCENT), HOST(pool_percent), KNOB(POOL_PERCENT),
	  RANGE(1, 80),
	  .help = "largest share of the budget the pool may take; a full one is emptied by write-back" },
	{ "swap/accept_threshold_percent", SETTING(PERCENT), HOST(accept_percent),
	  KNOB(ACCEPT_PERCENT), RANGE(1, 100),
	  .help = "once full, the pool takes no new pages until write-back has brought it to that part of max_pool_percent; they go to the swap file; 100: it takes them as room is made" },
	{ "swap/max_blob_bytes", SETTING(BYTES), HOST(max_blob_bytes), KNOB(MAX_BLOB_BYTES),
	  RANGE(256, 3072),
	  .help = "a page that compresses to more is stored raw, on disk" },
	{ "swap/share_before_swap", SETTING(NONE), HOST(share_before_swap), KNOB(SHARE_STORED),
	  RANGE(0, 1),
	  .help = "1: one stored blob for pages of the same content; for pages stored from now on" },
	{ "swap/io_depth", SETTING(NONE), HOST(io_depth), KNOB(IO_DEPTH), RANGE(1, 64),
	  .help = "reads of the swap file under way at once, at most; 0: there is no swap file. "
		  "On a host that was started with less than 640 MiB there are buffers for "
		  "fewer: a 256th of its memory" },
	{ "swap/readahead", SETTING(PAGES), HOST(readahead_pages), KNOB(READAHEAD),
	  RANGE(1, REGION_PAGES),
	  .help = "pages that one fault brings back, at most" },
	{ "swap/pool_total_size", GAUGE(BYTES), HOST(pool_bytes),
	  .help = "memory that the pool holds" },
	{ "swap/pool_limit", GAUGE(BYTES), HOST(pool_limit_bytes),
	  .help = "the most it may hold" },
	{ "swap/pool_pages", GAUGE(PAGES), HOST(pool_pages),
	  .help = "pages in the pool" },
	{ "swap/pool_blob_size", GAUGE(BYTES), HOST(pool_blob_bytes),
	  .help = "what they compressed to" },
	{ "swap/disk_size", GAUGE(BYTES), HOST(disk_bytes),
	  .help = "space taken in the swap file" },
	{ "swap/disk_limit", GAUGE(BYTES), HOST(disk_limit_bytes),
	  .help = "the swap file's largest size" },
	{ "swap/disk_pages", GAUGE(PAGES), HOST(disk_pages),
	  .help = "pages in the swap file" },
	{ "swap/stored_pages", COUNTER(PAGES), HOST(stored_pages),
	  .help = "pages that went to pool or disk" },
	{ "swap/same_filled_pages", COUNTER(PAGES), HOST(same_filled_pages),
	  .help = "pages that repeat one word and took no space" },
	{ "swap/compressed_in_bytes", COUNTER(BYTES), HOST(compressed_in_bytes),
	  .help = "plain bytes of pages stored in the pool" },
	{ "swap/compressed_out_bytes", COUNTER(BYTES), HOST(compressed_out_bytes),
	  .help = "what they compressed to" },
	{ "swap/dedup_hits", COUNTER(PAGES), HOST(dedup_hits),
	  .help = "pages whose content was in the pool already: not compressed, no space taken" },
	{ "swap/shared_blobs", GAUGE(NONE), HOST(shared_blobs),
	  .help = "stored blobs that stand for several pages" },
	{ "swap/shared_pages", GAUGE(PAGES), HOST(shared_blob_pages),
	  .help = "pages that refer to those" },
	{ "swap/written_bytes", COUNTER(BYTES), HOST(written_bytes),
	  .help = "written to the swap file" },
	{ "swap/read_bytes", COUNTER(BYTES), HOST(read_bytes),
	  .help = "read from the swap file" },
	{ "swap/written_back_pages", COUNTER(PAGES), HOST(written_back_pages),
	  .help = "pages that went from the pool to the swap file; of a blob that several share, one" },
	{ "swap/io_errors", COUNTER(NONE), HOST(io_errors),
	  .help = "of the swap file" },
	{ "swap/reject_compress_poor", COUNTER(PAGES), HOST(reject_compress_poor),
	  .help = "pages the pool turned away: they hardly shrink" },
	{ "swap/reject_threshold", COUNTER(PAGES), HOST(reject_recovering),
	  .help = "pages that went to the swap file because the pool was full, and not below accept_threshold_percent yet" },
	{ "swap/pool_limit_hit", COUNTER(NONE), HOST(pool_limit_hit),
	  .help = "times the pool had no room" },
	{ "swap/swap_full", COUNTER(NONE), HOST(swap_full),
	  .help = "times the swap file had no room" },
	{ "ksm/run", SETTING(NONE), KSM(run), RANGE(0, 2),
	  .help = "1: share equal pages; 0: look for no more; 2: give each page its own memory again" },
	{ "ksm/pages_to_scan", SETTING(PAGES), KSM(pages_to_scan), RANGE(1, 100000000),
	  .help = "pages to look at between two pauses; set by the advisor when there is one" },
	{ "ksm/sleep_millisecs", SETTING(MS), KSM(sleep_millisecs), RANGE(0, 3600000),
	  .help = "length of a pause; with smart_scan longer while nothing is found, and shorter in a hurry" },
	{ "ksm/smart_scan", SETTING(NONE), KSM(smart_scan), RANGE(0, 1),
	  .help = "1: look less and less often at pages that keep changing, and rest while nothing is found" },
	{ "ksm/use_zero_pages", SETTING(NONE), KSM(use_zero_pages), RANGE(0, 1),
	  .help = "1: drop pages that repeat one word" },
	{ "ksm/max_page_sharing", SETTING(NONE), KSM(max_page_sharing), RANGE(2, 1000000),
	  .help = "most references to one copy" },
	{ "ksm/advisor_mode", SETTING(NONE), KSM(advisor_mode), RANGE(0, 1),
	  .help = "1: set pages_to_scan so that a full scan takes advisor_target_scan_time" },
	{ "ksm/advisor_max_cpu", SETTING(PERCENT), KSM(advisor_max_cpu), RANGE(1, 100),
	  .help = "most of one processor that the advisor lets the scan take" },
	{ "ksm/advisor_target_scan_time", SETTING(SECONDS), KSM(advisor_target_scan_time),
	  RANGE(1, 100000),
	  .help = "what a full scan should take" },
	{ "ksm/vma_budget", SETTING(NONE), KSM(vma_budget), RANGE(0, 1000000),
	  .help = "mappings that sharing may add to a guest's VMM; below sysctl vm.max_map_count" },
	{ "ksm/salting", SETTING(NONE), HOST(salting), .write = write_salting,
	  RANGE(SALTING_NONE, SALTING_ALL),
	  .help = "who may share: 0 all; 1 guests of one salt, and those without; 2 guests of one salt only; not while ksm shares: write 2 to ksm/run first" },
	{ "ksm/pages_shared", GAUGE(PAGES), HOST(ksm.pages_shared),
	  .help = "copies that are shared" },
	{ "ksm/pages_sharing", GAUGE(PAGES), HOST(ksm.pages_sharing),
	  .help = "pages that take no memory because of them" },
	{ "ksm/pages_unshared", GAUGE(PAGES), HOST(ksm.pages_unshared),
	  .help = "pages that were like no other in the last full scan" },
	{ "ksm/pages_volatile", GAUGE(PAGES), HOST(ksm.pages_volatile),
	  .help = "pages that had changed since the scan before" },
	{ "ksm/pages_scanned", COUNTER(PAGES), HOST(ksm.pages_scanned),
	  .help = "pages read and hashed" },
	{ "ksm/pages_skipped", COUNTER(PAGES), HOST(ksm.pages_skipped),
	  .help = "pages not read: not written since, or backed off from" },
	{ "ksm/full_scans", COUNTER(NONE), HOST(ksm.full_scans),
	  .help = "times all memory was looked at" },
	{ "ksm/zero_pages", COUNTER(PAGES), HOST(ksm.zero_pages),
	  .help = "pages dropped because they repeat one word" },
	{ "ksm/cow_breaks", COUNTER(PAGES), HOST(ksm.cow_breaks),
	  .help = "writes to shared pages" },
	{ "ksm/break_waits", COUNTER(NONE), HOST(ksm.break_waits),
	  .help = "times a guest was held up before such a write, because it made too many" },
	{ "ksm/break_wait_us", COUNTER(US), HOST(ksm.break_wait_us),
	  .help = "time that guests were held up so" },
	{ "ksm/break_rate", GAUGE(PAGES), HOST(ksm.break_rate),
	  .help = "writes to shared pages a second, lately" },
	{ "ksm/break_reserve", GAUGE(BYTES), HOST(ksm.break_reserve),
	  .help = "part of the budget that is kept for such writes, sized from their rate" },
	{ "ksm/hash_collisions", COUNTER(NONE), HOST(ksm.hash_collisions),
	  .help = "pages of equal hash that were not equal" },
	{ "ksm/sheets", COUNTER(NONE), HOST(ksm.sheets),
	  .help = "regions that were mapped in one piece, with what they do not share between" },
	{ "ksm/pages_own", GAUGE(PAGES), HOST(ksm.pages_own),
	  .help = "pages that lie so, in their VMM's own memory: they cannot be evicted until they are home" },
	{ "ksm/brought_home", COUNTER(PAGES), HOST(ksm.brought_home),
	  .help = "pages that were written, or lay so, and came back to their RAM files" },
	{ "ksm/frames_stored", GAUGE(PAGES), HOST(ksm.frames_stored),
	  .help = "of pages_shared, copies that were cold, and are in the pool or the swap file" },
	{ "ksm/frames_left", COUNTER(PAGES), HOST(ksm.frames_left),
	  .help = "copies that left memory, because it was wanted elsewhere" },
	{ "ksm/frames_came", COUNTER(PAGES), HOST(ksm.frames_came),
	  .help = "copies that came back, because a guest touched them" },
	{ "ksm/vmas", GAUGE(NONE), HOST(ksm.vmas),
	  .help = "mappings that sharing has added to all VMMs" },
	{ "ksm/general_profit", LINES(text_ksm_profit),
	  .help = "bytes saved, less what frames, indexes and mappings take; may be negative" },
};

static const struct attr guest_attrs[] = {
	{ "state", LINES(text_guest_state),
	  .help = "starting, running, or how it ended" },
	{ "exit_text", LINES(text_guest_exit),
	  .help = "why it ended; empty while it runs and when all was well" },
	{ "pid", GAUGE(NONE), GUEST(pid),
	  .help = "of its VMM" },
	{ "accel", LINES(text_guest_accel),
	  .help = "kvm or thread" },
	{ "phase", LINES(text_guest_phase),
	  .help = "what its workload does, by its own word" },
	{ "progress", GAUGE(PERMILLE), GUEST(progress),
	  .help = "of that phase" },
	{ "ops", COUNTER(NONE), GUEST(ops),
	  .help = "operations of its workload" },
	{ "op_p99_us", GAUGE(US), .number = guest_p99,
	  .help = "99 of 100 operations took less" },
	{ "pages_verified", COUNTER(PAGES), GUEST(pages_verified),
	  .help = "pages it read and found right" },
	{ "verify_failures", COUNTER(PAGES), GUEST(verify_failures),
	  .help = "pages it read and found wrong: there must be none" },
	{ "config/memory", GAUGE(BYTES), GUEST(memory_bytes),
	  .help = "its RAM" },
	{ "config/min", SETTING(BYTES), PROMISE(min), RANGE(0, 16 * TiB), .step = PAGE_SIZE,
	  .help = "memory that stays its own whatever happens; all mins must fit the budget" },
	{ "config/max", SETTING(BYTES), PROMISE(max), RANGE(0, 16 * TiB), .step = PAGE_SIZE,
	  .help = "memory it should not go beyond: its balloon holds the rest; 0: all of it" },
	{ "config/limit", SETTING(BYTES), PROMISE(limit), RANGE(0, 16 * TiB), .step = PAGE_SIZE,
	  .help = "host memory it never gets beyond, whatever is free; 0: none" },
	{ "config/swap_max", SETTING(BYTES), PROMISE(swap_max), RANGE(0, 16 * TiB), .step = PAGE_SIZE,
	  .help = "as much of it may be in the pool and the swap file, counted plain; 0: any" },
	{ "config/shares", SETTING(NONE), PROMISE(shares), RANGE(0, 1000000),
	  .help = "its part when memory is short; 0: ten for each MiB of its memory" },
	{ "config/salt", LINES(text_guest_salt), .take = take_salt,
	  .help = "guests of one salt may share; empty: none. Not while ksm shares memory of it: write 2 to ksm/run first" },
	{ "config/tps", GAUGE(NONE), GUEST(shares),
	  .help = "1: its VMM has what sharing pages needs" },
	{ "config/balloon", GAUGE(NONE), GUEST(has_balloon),
	  .help = "1: it has a balloon" },
	{ "config/vcpus", GAUGE(NONE), GUEST(vcpus),
	  .help = "its virtual CPUs" },
	{ "config/workload", LINES(text_guest_workload),
	  .help = "what it does" },
	{ "config/node", LINES(text_guest_node),
	  .help = "NUMA node of its memory, or any" },
	{ "mem/memsz", GAUGE(BYTES), GUEST(memory_bytes),
	  .help = "its RAM" },
	{ "mem/grant", GAUGE(BYTES), .number = guest_grant,
	  .help = "of that, in host memory" },
	{ "mem/huge", GAUGE(BYTES), GUEST(huge_bytes),
	  .help = "of that, regions left to the kernel whole, mapped by 2 MiB pages where it can" },
	{ "mem/zero", GAUGE(BYTES), .number = guest_zero,
	  .help = "zero, untouched or same-filled: takes nothing" },
	{ "mem/shrd", GAUGE(BYTES), .number = guest_shared,
	  .help = "in frames that it shares" },
	{ "mem/shrdsvd", GAUGE(BYTES), GUEST(saved_bytes),
	  .help = "what that saves: all it would take, less its part of the frames" },
	{ "mem/cow_breaks", COUNTER(PAGES), GUEST(cow_breaks),
	  .help = "its writes to shared pages" },
	{ "mem/zip", GAUGE(BYTES), .number = guest_zip,
	  .help = "in the compressed pool, counted plain" },
	{ "mem/zipsaved", GAUGE(BYTES), .number = guest_zip_saved,
	  .help = "what compressing that saves, at the pool's ratio" },
	{ "mem/swcur", GAUGE(BYTES), .number = guest_swapped,
	  .help = "in the swap file, counted plain" },
	{ "mem/swr_s", GAUGE(BYTES_PER_S), GUEST(flow_bytes_per_s[PAGE_FLOW_SWAP_IN]),
	  .help = "coming back from the swap file, over the last second or two" },
	{ "mem/sww_s", GAUGE(BYTES_PER_S), GUEST(flow_bytes_per_s[PAGE_FLOW_SWAP_OUT]),
	  .help = "going to the swap file, from memory or from the pool, counted plain" },
	{ "mem/zip_s", GAUGE(BYTES_PER_S), GUEST(flow_bytes_per_s[PAGE_FLOW_ZIP]),
	  .help = "going into the compressed pool, counted plain" },
	{ "mem/unzip_s", GAUGE(BYTES_PER_S), GUEST(flow_bytes_per_s[PAGE_FLOW_UNZIP]),
	  .help = "coming back from the compressed pool" },
	{ "mem/overhd", GAUGE(BYTES), GUEST(metadata_bytes),
	  .help = "its page descriptors and regions" },
	{ "mem/evicted_pages", COUNTER(PAGES), GUEST(evicted_pages),
	  .help = "pages taken from it" },
	{ "mem/refaulted_pages", COUNTER(PAGES), GUEST(refaulted_pages),
	  .help = "pages brought back" },
	{ "mem/turns", COUNTER(NONE), GUEST(turns),
	  .help = "times it was brought in as a whole, because guests drove out each other's memory" },
	{ "mem/turn_wait_us", COUNTER(US), .number = guest_turn_wait_us,
	  .help = "how long its faults waited for such a turn; part of fault/stall_us" },
	{ "mem/active", GAUGE(BYTES), GUEST(policy.active),
	  .help = "memory it uses, estimated from samples" },
	{ "mem/mctltgt", GAUGE(BYTES), GUEST(balloon.target),
	  .help = "what its balloon should hold, as last told to it" },
	{ "mem/mctlsz", GAUGE(BYTES), GUEST(balloon.actual),
	  .help = "what its balloon holds, as the driver says" },
	{ "mem/goal", GAUGE(BYTES), GUEST(policy.goal),
	  .help = "host memory the policy means it to have" },
	{ "wss/cold", GAUGE(BYTES), GUEST(policy.cold),
	  .help = "memory it has not touched for cold_age_ms, estimated from samples" },
	{ "wss/cold_age_ms", GAUGE(MS), GUEST(policy.cold_age_ms),
	  .help = "how old memory must be to be cold: follows from what comes back" },
	{ "wss/cold_evicted_pages", COUNTER(PAGES), GUEST(cold_pages),
	  .help = "pages evicted ahead of need, because they were cold" },
	{ "balloon/target", SETTING(BYTES), GUEST(balloon.target), .write = write_balloon,
	  RANGE(0, 16 * TiB), .step = PAGE_SIZE,
	  .help = "what its balloon should hold; written by hand, the policy leaves it alone until 0 is written" },
	{ "balloon/actual", GAUGE(BYTES), GUEST(balloon.actual),
	  .help = "what it holds: the target is a wish" },
	{ "balloon/deflate_on_oom", GAUGE(NONE), .number = guest_deflates,
	  .help = "1: its driver takes memory back before the guest kills for want of it" },
	{ "balloon/stats_age_ms", LINES(text_stats_age),
	  .help = "milliseconds since the driver last gave its statistics; empty: it never did" },
	STAT("swap_in", SWAP_IN, "bytes swapped in, by the guest itself"),
	STAT("swap_out", SWAP_OUT, "bytes swapped out, by the guest itself"),
	STAT("major_faults", MAJOR_FAULTS, "its faults that had to read from a disk"),
	STAT("minor_faults", MINOR_FAULTS, "its other faults"),
	STAT("free_memory", FREE, "bytes it uses for nothing"),
	STAT("total_memory", TOTAL, "bytes it has"),
	STAT("available_memory", AVAILABLE, "bytes its programs could get without swapping"),
	STAT("disk_caches", CACHES, "bytes of its page cache"),
	STAT("hugetlb_allocations", HUGETLB_ALLOCATED, "huge pages it allocated"),
	STAT("hugetlb_failures", HUGETLB_FAILED, "huge pages it could not allocate"),
	STAT("oom_kills", OOM_KILLS, "processes it killed for want of memory"),
	STAT("alloc_stalls", ALLOC_STALLS, "allocations that had to wait"),
	STAT("async_scans", ASYNC_SCANNED, "pages its background reclaim looked at"),
	STAT("direct_scans", DIRECT_SCANNED, "pages that allocations looked at"),
	STAT("async_reclaims", ASYNC_RECLAIMED, "pages its background reclaim freed"),
	STAT("direct_reclaims", DIRECT_RECLAIMED, "pages that allocations freed"),
	{ "wss/age_hist", LINES(text_ages),
	  .help = "bytes of its memory in the host that were not seen in use for so long, from samples" },
	{ "wss/sampled", GAUGE(BYTES), GUEST(policy.sampled),
	  .help = "its memory in the places that are sampled now; 0: its VMM does not permit it" },
	{ "wss/promotion_rate", GAUGE(NONE), GUEST(policy.promotion),
	  .help = "thousandths of a per cent of its working set that came back in the last whole minute" },
	{ "last_decision", LINES(text_guest_decision),
	  .help = "what the policy last decided about it, and why" },
	{ "fault/missing", COUNTER(NONE), GUEST(faults_missing),
	  .help = "faults on pages that were not there" },
	{ "fault/minor", COUNTER(NONE), GUEST(faults_minor),
	  .help = "faults on pages that were there and not mapped, of a VMM that drops memory itself" },
	{ "fault/around", COUNTER(PAGES), GUEST(pages_around),
	  .help = "pages mapped before they were touched, because others of their group were" },
	{ "fault/wp", COUNTER(NONE), GUEST(faults_wp),
	  .help = "writes to pages that were write-protected" },
	{ "fault/remove", COUNTER(PAGES), GUEST(faults_removed),
	  .help = "pages its VMM dropped" },
	{ "fault/stall_us", COUNTER(US), .number = guest_stall_us,
	  .help = "time its vCPUs waited for memory, summed" },
	{ "fault/latency_hist/zero", LINES(text_latency), .state = PAGE_ZERO,
	  .help = "how long faults took on untouched pages" },
	{ "fault/latency_hist/resident", LINES(text_latency), .state = PAGE_RESIDENT,
	  .help = "... on pages that were there" },
	{ "fault/latency_hist/same_filled", LINES(text_latency), .state = PAGE_SAME,
	  .help = "... on pages that repeat one word" },
	{ "fault/latency_hist/shared", LINES(text_latency), .state = PAGE_SHARED,
	  .help = "... on shared pages, to write to them" },
	{ "fault/latency_hist/compressed", LINES(text_latency), .state = PAGE_COMPRESSED,
	  .help = "... on pages in the pool" },
	{ "fault/latency_hist/disk", LINES(text_latency), .state = PAGE_DISK,
	  .help = "... on pages in the swap file" },
	{ "pressure", LINES(text_guest_pressure),
	  .help = "share of time its vCPUs wait for memory, in the kernel's PSI format" },
	{ "reclaim", SETTING(BYTES), .number = guest_reclaimed, .write = write_reclaim,
	  RANGE(PAGE_SIZE, 16 * TiB),
	  .help = "write bytes: takes that much from it now, 5 s at most; read: what the last one got" },
	{ "last_error", LINES(text_last_error),
	  .help = "why the last write here was refused; empty when it was taken" },
};

static const struct attr node_attrs[] = {
	{ "size", GAUGE(BYTES), .number = node_size,
	  .help = "memory of the node" },
	{ "free", GAUGE(BYTES), .number = node_free,
	  .help = "memory of the node that the kernel has free" },
	{ "shared", GAUGE(BYTES), .number = node_shared,
	  .help = "frames in memory that guests share there; those of guests of node `any' are on node 0" },
	{ "pool", GAUGE(BYTES), .number = node_pool,
	  .help = "the pool's memory there; what it holds of guests of node `any' is on node 0" },
	{ "resident", GAUGE(BYTES), .number = node_resident,
	  .help = "pages in RAM of guests placed there; those of node `any' count only where there is one node" },
};
/* clang-format on */

const struct attr_table attr_tables[ATTR_SCOPES] = {
	[ATTR_HOST] = {host_attrs, ARRAY_SIZE(host_attrs)},
	[ATTR_GUEST] = {guest_attrs, ARRAY_SIZE(guest_attrs)},
	[ATTR_NODE] = {node_attrs, ARRAY_SIZE(node_attrs)},
};
