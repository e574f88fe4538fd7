// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a vCPU: check what the VMM says, fill, run, verify. Written once for all workloads,
 * so that all of them count, time, stop and report alike.
 */
#include "guest-driver/line.h"
#include "guest-driver/guest.h"
#include "guest-driver/memory.h"
#include "guest-driver/pages.h"
#include "guest-driver/random.h"
#include "guest-driver/stats.h"

#define MAX_COMPLAINTS 8
#define TEXT_BYTES     (256 * KiB)
#define LARGEST_PIECE  (64 * KiB)
#define TURN_REST_MS   100 /* before each operation of a guest whose turn it is to rest */
#define THINK_STEP_US  1000
#define HOLD_REST_MS   100

u64 guest_now_ns(const struct guest_cpu *cpu)
{
	u64 ticks = __builtin_ia32_rdtsc();

	/* In two steps, because ticks * 1000000 overflows within hours of uptime. */
	return ticks / cpu->tsc_khz * 1000000 + ticks % cpu->tsc_khz * 1000000 / cpu->tsc_khz;
}

void guest_verified(struct guest_cpu *cpu, u64 bytes)
{
	cpu->verified_bytes += bytes;
	stats_set(cpu->stats->pages_verified, cpu->verified_bytes / PAGE_SIZE);
}

static void complain(struct guest_cpu *cpu, const void *where, const char *what, u64 unit,
		     u32 version)
{
	struct line line;

	line_begin(&line, cpu);
	line_text(&line, "verify failure at ");
	line_address(&line, guest_address(cpu, where));
	line_text(&line, ": ");
	line_text(&line, what);
	line_text(&line, " (unit ");
	line_number(&line, unit);
	line_text(&line, ", version ");
	line_number(&line, version);
	line_text(&line, ")");
	if (cpu->complaints == MAX_COMPLAINTS)
		line_text(&line, "; further ones are only counted");
	line_write(&line, cpu);
}

void guest_failed(struct guest_cpu *cpu, const void *where, const char *what, u64 unit, u32 version)
{
	if (!cpu->stats->verify_failures)
		stats_set(cpu->stats->bad_address, guest_address(cpu, where));
	stats_add(cpu->stats->verify_failures, 1);
	if (cpu->complaints < MAX_COMPLAINTS) {
		cpu->complaints++;
		complain(cpu, where, what, unit, version);
	}
}

static bool all_zero(const u64 *words, u32 bytes)
{
	u64 any = 0;

	for (u32 i = 0; i < bytes / 8; i++)
		any |= words[i];
	return !any;
}

const char *guest_diagnose(const struct guest_cpu *cpu, const void *from, u32 bytes, u64 unit,
			   u32 version)
{
	u64 piece = guest_piece(cpu, unit);

	if (all_zero(from, bytes))
		return "lost: reads as zeroes";
	if (version > 1 && content_matches(&cpu->content, from, bytes, piece, version - 1))
		return "stale: holds the version before";
	if (content_matches(&cpu->content, from, bytes, piece, version + 1))
		return "its version is stale: holds the one after";
	return "damaged";
}

/* How many polls go by between two looks at the clock: one costs as much as many polls. */
#define POLL_PATIENCE 32

void guest_poll(struct guest_cpu *cpu)
{
	u32 interrupts = __atomic_load_n(&cpu->boot->interrupts, __ATOMIC_ACQUIRE);
	bool interrupted = interrupts != cpu->interrupts;
	u64 now;

	if (!interrupted && cpu->patience--)
		return;
	cpu->patience = POLL_PATIENCE;
	cpu->interrupts = interrupts;
	if (exchange_busy(cpu->exchange))
		cache_trade(cpu);
	if (cpu->index)
		return;
	now = guest_now_ns(cpu);
	if (!interrupted && now < cpu->balloon.due)
		return;
	churn_step(cpu);
	balloon_poll(cpu, now, interrupted);
}

/* A run that only a stop ends does not know how far it is: 1000, as the attach protocol has it. */
static void progress(struct guest_cpu *cpu, u64 done, u64 all)
{
	stats_set(cpu->stats->permille, all ? (u32)(done * 1000 / all) : 1000);
}

static void enter(struct guest_cpu *cpu, enum guest_phase phase)
{
	stats_set(cpu->stats->permille, 0);
	stats_set(cpu->stats->phase, phase);
	cpu->platform->doorbell(cpu);
}

/* Sleeps while the fill is ahead of the time it was given. */
static void pace_fill(struct guest_cpu *cpu, u64 began)
{
	u64 due_ms = cpu->args.fill_ms * cpu->filled / cpu->units;
	u64 passed_ms = (guest_now_ns(cpu) - began) / 1000000;

	if (due_ms > passed_ms) {
		cpu->platform->sleep_ms(cpu, (u32)(due_ms - passed_ms));
		cpu->patience = 0;
	}
}

static void fill(struct guest_cpu *cpu, const struct workload *workload)
{
	u64 began = guest_now_ns(cpu);

	enter(cpu, GUEST_PHASE_FILL);
	while (cpu->filled < cpu->units && !guest_stopped(cpu)) {
		workload->fill(cpu, cpu->filled++);
		if (cpu->args.fill_ms)
			pace_fill(cpu, began);
		guest_poll(cpu);
		progress(cpu, cpu->filled, cpu->units);
	}
}

/* Think time is slept a millisecond or more at a time: that is as finely as a VMM can sleep, and to
 * spin for less would cost the host a core. The average is right. */
static void think(struct guest_cpu *cpu)
{
	cpu->thought_us += cpu->args.think_us;
	if (cpu->thought_us < THINK_STEP_US)
		return;
	cpu->platform->sleep_ms(cpu, (u32)(cpu->thought_us / THINK_STEP_US));
	cpu->thought_us %= THINK_STEP_US;
	cpu->patience = 0;
}

static void operate(struct guest_cpu *cpu, const struct workload *workload)
{
	u64 start = guest_now_ns(cpu);

	workload->operate(cpu);
	stats_record(&cpu->stats->latency, guest_now_ns(cpu) - start);
	stats_add(cpu->stats->ops, 1);
	progress(cpu, cpu->stats->ops, cpu->args.ops);
}

/* Whether it is this guest's turn to rest. */
static bool resting(const struct guest_cpu *cpu)
{
	u64 turn_ns = cpu->args.turn_ms * 1000000ULL;

	return turn_ns &&
	       ((guest_now_ns(cpu) - cpu->run_began) / turn_ns + cpu->args.rest_first) % 2;
}

/* Who is asked for pages does not sleep long. */
static bool wanted(const struct guest_cpu *cpu)
{
	return exchange_busy(cpu->exchange) ||
	       (!cpu->index && cpu->balloon.present && balloon_busy(cpu));
}

/* Sleeps before an operation. False: it was woken early, to serve the balloon and nothing else. */
static bool rest(struct guest_cpu *cpu, u32 milliseconds)
{
	bool early = wanted(cpu);

	cpu->platform->sleep_ms(cpu, early ? 1 : milliseconds);
	cpu->patience = 0;
	guest_poll(cpu);
	return !early;
}

/* All of memory at once, when its time has come: where pages are shared, a storm of writes to them. */
static void rewrite_when_due(struct guest_cpu *cpu)
{
	if (!cpu->rewrite_at || guest_now_ns(cpu) < cpu->rewrite_at)
		return;
	cpu->rewrite_at = 0;
	for (u64 page = 0; page < cpu->filled && !guest_stopped(cpu); page++)
		pages_rewrite(cpu, page);
}

static void await_others(struct guest_cpu *cpu)
{
	enter(cpu, GUEST_PHASE_WAIT);
	while (!__atomic_load_n(&cpu->boot->begin, __ATOMIC_ACQUIRE) && !guest_stopped(cpu))
		rest(cpu, HOLD_REST_MS);
}

static void run(struct guest_cpu *cpu, const struct workload *workload)
{
	enter(cpu, GUEST_PHASE_RUN);
	cpu->run_began = guest_now_ns(cpu);
	if (cpu->args.rewrite_ms)
		cpu->rewrite_at = guest_now_ns(cpu) + cpu->args.rewrite_ms * 1000000ULL;
	while (!guest_stopped(cpu) && (!cpu->args.ops || cpu->stats->ops < cpu->args.ops)) {
		u32 pause = resting(cpu) ? TURN_REST_MS : workload->rest_ms;

		if (pause && (!rest(cpu, pause) || guest_stopped(cpu)))
			continue;
		operate(cpu, workload);
		guest_poll(cpu);
		rewrite_when_due(cpu);
		if (cpu->args.think_us)
			think(cpu);
	}
	stats_set(cpu->stats->run_ns, guest_now_ns(cpu) - cpu->run_began);
	while (cpu->args.hold && !guest_stopped(cpu))
		rest(cpu, HOLD_REST_MS);
}

/* Only units that were filled: a stop may have come early. */
static void verify(struct guest_cpu *cpu, const struct workload *workload)
{
	enter(cpu, GUEST_PHASE_VERIFY);
	for (u64 unit = 0; unit < cpu->filled; unit++) {
		workload->verify(cpu, unit);
		guest_poll(cpu);
		progress(cpu, unit + 1, cpu->filled);
	}
	workload->audit(cpu);
}

static enum guest_exit panic(struct guest_cpu *cpu, const char *why)
{
	struct line line;

	line_begin(&line, cpu);
	line_text(&line, "panic: ");
	line_text(&line, why);
	line_write(&line, cpu);
	return GUEST_EXIT_PANIC;
}

/* NULL, or what is wrong with the boot page. */
static const char *check_boot(const struct guest_boot *boot, u32 index)
{
	if (boot->magic != GUEST_ABI_MAGIC || boot->version != GUEST_ABI_VERSION)
		return "the boot page is none, or of another ABI version";
	if (!boot->vcpus || boot->vcpus > GUEST_MAX_VCPUS || index >= boot->vcpus)
		return "the boot page knows no such vCPU";
	if (!boot->tsc_khz)
		return "the boot page gives no TSC frequency";
	if (boot->workload >= GUEST_WORKLOADS)
		return "the boot page names no workload of ours";
	if (boot->args.fill_percent > 100 || boot->args.value_bytes > LARGEST_PIECE)
		return "the boot page's workload arguments are out of range";
	return NULL;
}

/* The data file if it is large enough to cut pieces from, or text of our own making. */
static bool find_data(struct guest_cpu *cpu, const u8 *data)
{
	u64 text;

	cpu->content.data = data;
	cpu->content.data_bytes = cpu->boot->data_bytes;
	if (data && cpu->boot->data_bytes >= 2 * LARGEST_PIECE)
		return true;
	text = heap_take(&cpu->heap, TEXT_BYTES);
	if (!text)
		return false;
	cpu->content.data = guest_pointer(cpu, text);
	cpu->content.data_bytes = TEXT_BYTES;
	/* What guests have in common is cut from the same text. */
	content_make_text(guest_pointer(cpu, text), TEXT_BYTES,
			  cpu->args.common_percent ? 0 : cpu->boot->seed);
	return true;
}

static void begin(struct guest_cpu *cpu)
{
	struct balloon_shared *shared = guest_pointer(cpu, GUEST_SHARED);

	cpu->args = cpu->boot->args;
	cpu->tsc_khz = cpu->boot->tsc_khz;
	cpu->random = random_mix(cpu->boot->seed + cpu->index + 1);
	heap_init(&cpu->heap, cpu->boot, cpu->index);
	cpu->exchange = &shared->exchange[cpu->index];
	content_init(&cpu->content, &cpu->args, cpu->boot->seed);
}

/* What no workload has is free memory, vCPU 0's to manage. */
static void begin_balloon(struct guest_cpu *cpu)
{
	frames_init(&cpu->balloon.frames, cpu,
		    heap_start(cpu->boot) + cpu->boot->vcpus * heap_share(cpu->boot));
	if (cpu->args.touch_free)
		frames_touch(&cpu->balloon.frames, cpu);
	balloon_start(cpu);
	churn_init(cpu);
}

enum guest_exit guest_run(struct guest_cpu *cpu, const u8 *data)
{
	const struct workload *workload;
	const char *wrong;

	cpu->boot = guest_pointer(cpu, GUEST_BOOT);
	cpu->stats = guest_pointer(cpu, GUEST_STATS + cpu->index * GUEST_STATS_STRIDE);
	wrong = check_boot(cpu->boot, cpu->index);
	if (wrong)
		return panic(cpu, wrong);
	begin(cpu);
	workload = &guest_workloads[cpu->boot->workload];
	if (!find_data(cpu, data) || !workload->prepare(cpu))
		return panic(cpu, "too little memory for this workload: "
				  "raise memory or fill, or use fewer vCPUs");
	if (!cpu->index)
		begin_balloon(cpu);
	fill(cpu, workload);
	if (cpu->args.together)
		await_others(cpu);
	run(cpu, workload);
	if (cpu->args.verify_end)
		verify(cpu, workload);
	__atomic_store_n(&cpu->exchange->ended, 1, __ATOMIC_RELEASE);
	enter(cpu, GUEST_PHASE_DONE);
	return cpu->stats->verify_failures ? GUEST_EXIT_VERIFY : GUEST_EXIT_OK;
}
