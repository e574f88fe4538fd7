// SPDX-License-Identifier: Apache-2.0
#include "guest-driver/balloon.h"
#include "guest-driver/free_pages.h"
#include "guest-driver/guest.h"
#include "guest-driver/memory.h"
#include "guest-driver/poison.h"
#include "virtio/mmio_abi.h"

#define OOM_PAGES    512U
#define TICK	     10000000ULL /* ns, while something is not done for want of others */
#define NO_LIMIT     UINT32_MAX
#define OUR_FEATURES ((1ULL << BALLOON_FEATURES) - 1)

static u32 read_register(struct guest_cpu *cpu, u32 offset)
{
	return cpu->platform->read_register(cpu, offset);
}

static void write_register(struct guest_cpu *cpu, u32 offset, u32 value)
{
	cpu->platform->write_register(cpu, offset, value);
}

u64 balloon_physical(const struct guest_cpu *cpu, u64 address)
{
	const struct guest_boot *boot = cpu->boot;

	return address < boot->hole_start ? address : address + boot->hole_bytes;
}

u64 balloon_physical_of(const struct guest_cpu *cpu, const void *pointer)
{
	return balloon_physical(cpu, guest_address(cpu, pointer));
}

/* ---- finding the device ---- */

/* Poisoning is agreed on only by a guest that does it: else the host would have to keep what is in free
 * pages for nothing. */
static u64 features_wanted(const struct guest_cpu *cpu)
{
	u64 features = OUR_FEATURES | 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_EVENT_IDX;

	return cpu->args.poisons ? features : features - (1ULL << BALLOON_F_PAGE_POISON);
}

static bool negotiate(struct guest_cpu *cpu)
{
	const u64 features = features_wanted(cpu);
	u32 status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

	if (read_register(cpu, VIRTIO_MMIO_MAGIC) != VIRTIO_MMIO_MAGIC_VALUE ||
	    read_register(cpu, VIRTIO_MMIO_VERSION) != VIRTIO_MMIO_VERSION_VALUE ||
	    read_register(cpu, VIRTIO_MMIO_DEVICE_ID) != BALLOON_DEVICE_ID)
		return false;
	write_register(cpu, VIRTIO_MMIO_STATUS, 0);
	write_register(cpu, VIRTIO_MMIO_STATUS, status);
	for (u32 half = 0; half < 2; half++) {
		u32 offered;

		write_register(cpu, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
		offered = read_register(cpu, VIRTIO_MMIO_DEVICE_FEATURES);
		/* All of it or nothing: device and driver are one project. */
		if ((u32)(features >> 32 * half) & ~offered)
			return false;
		write_register(cpu, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		write_register(cpu, VIRTIO_MMIO_DRIVER_FEATURES, (u32)(features >> 32 * half));
	}
	write_register(cpu, VIRTIO_MMIO_STATUS, status | VIRTIO_STATUS_FEATURES_OK);
	return read_register(cpu, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_FEATURES_OK;
}

static void set_up_queue(struct guest_cpu *cpu, struct vq *vq, u32 index, u8 *memory)
{
	const struct {
		u32 low, high;
		u64 offset;
	} parts[] = {
		{VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0},
		{VIRTIO_MMIO_QUEUE_DRIVER_LOW, VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
		 vq_available_offset()},
		{VIRTIO_MMIO_QUEUE_DEVICE_LOW, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, vq_used_offset()},
	};
	u64 base = balloon_physical_of(cpu, memory);

	vq_init(vq, index, memory);
	write_register(cpu, VIRTIO_MMIO_QUEUE_SEL, index);
	write_register(cpu, VIRTIO_MMIO_QUEUE_NUM, VQ_SIZE);
	for (u32 i = 0; i < ARRAY_SIZE(parts); i++) {
		write_register(cpu, parts[i].low, (u32)(base + parts[i].offset));
		write_register(cpu, parts[i].high, (u32)((base + parts[i].offset) >> 32));
	}
	write_register(cpu, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void send(struct guest_cpu *cpu, enum balloon_queue queue, const void *buffer, u32 bytes)
{
	struct vq *vq = &cpu->balloon.queues[queue];
	u16 before = vq->added;

	vq_add(vq, balloon_physical_of(cpu, buffer), bytes, false);
	vq_kick(vq, cpu, before);
}

static void read_config(struct guest_cpu *cpu);
static void send_stats(struct guest_cpu *cpu);

void balloon_start(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;

	if (!(cpu->boot->devices & GUEST_DEVICE_BALLOON) || !negotiate(cpu))
		return;
	balloon->shared = guest_pointer(cpu, GUEST_SHARED);
	balloon->frames_limit = NO_LIMIT;
	balloon->report_delay = FREE_DELAY_FIRST;
	balloon->report_due = guest_now_ns(cpu) + FREE_DELAY_FIRST;
	for (u32 i = 0; i < BALLOON_QUEUES; i++)
		set_up_queue(cpu, &balloon->queues[i], i, balloon->shared->rings[i]);
	if (cpu->args.poisons)
		write_register(cpu, VIRTIO_MMIO_CONFIG + offsetof(struct balloon_config, poison),
			       cpu->args.poison);
	write_register(cpu, VIRTIO_MMIO_STATUS,
		       VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
			       VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
	balloon->present = true;
	send_stats(cpu);
	read_config(cpu);
}

/* ---- statistics ---- */

struct cache_sums {
	u64 resident, free, faults, first, evicted, given, spare;
};

static struct cache_sums sum_caches(const struct guest_cpu *cpu)
{
	struct cache_sums sums = {};

	for (u32 i = 0; i < cpu->boot->vcpus; i++) {
		const struct exchange *exchange = &cpu->balloon.shared->exchange[i];

#define ADD(field) sums.field += __atomic_load_n(&exchange->field, __ATOMIC_RELAXED)
		ADD(resident);
		ADD(free);
		ADD(faults);
		ADD(first);
		ADD(evicted);
		ADD(given);
		ADD(spare);
#undef ADD
	}
	return sums;
}

/* True when this is sent, hence of no age. */
static void send_stats(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;
	struct cache_sums caches = sum_caches(cpu);
	u64 free = frames_free(&balloon->frames) + caches.free;
	const u64 values[BALLOON_STATS] = {
		[BALLOON_STAT_MAJOR_FAULTS] = caches.faults,
		[BALLOON_STAT_MINOR_FAULTS] = caches.first,
		[BALLOON_STAT_FREE] = free * PAGE_SIZE,
		[BALLOON_STAT_TOTAL] = cpu->boot->ram_bytes,
		[BALLOON_STAT_AVAILABLE] =
			(frames_spare(&balloon->frames) + caches.spare) * PAGE_SIZE,
		[BALLOON_STAT_CACHES] = caches.resident * PAGE_SIZE,
		[BALLOON_STAT_ALLOC_STALLS] = balloon->alloc_stalls,
		[BALLOON_STAT_ASYNC_SCANNED] = caches.given,
		[BALLOON_STAT_DIRECT_SCANNED] = caches.evicted,
		[BALLOON_STAT_ASYNC_RECLAIMED] = caches.given,
		[BALLOON_STAT_DIRECT_RECLAIMED] = caches.evicted,
	};

	for (u32 i = 0; i < BALLOON_STATS; i++)
		balloon->shared->stats[i] = (struct balloon_stat_entry){(u16)i, values[i]};
	send(cpu, BALLOON_STATS_QUEUE, balloon->shared->stats, sizeof(balloon->shared->stats));
}

/* ---- inflating and deflating ---- */

static void write_actual(struct guest_cpu *cpu)
{
	write_register(cpu, VIRTIO_MMIO_CONFIG + offsetof(struct balloon_config, actual),
		       cpu->balloon.actual);
}

static void start_transfer(struct guest_cpu *cpu, enum balloon_transfer transfer, bool of_caches,
			   u32 count)
{
	struct balloon_driver *balloon = &cpu->balloon;
	struct balloon_shared *shared = balloon->shared;

	if (!count)
		return;
	balloon->transfer = transfer;
	balloon->of_caches = of_caches;
	balloon->count = count;
	balloon->returned = 0;
	for (u32 i = 0; i < count; i++)
		shared->frames[i] =
			(u32)(balloon_physical(cpu, (u64)shared->pages[i] * PAGE_SIZE) / PAGE_SIZE);
	send(cpu, transfer == TRANSFER_INFLATE ? BALLOON_INFLATE_QUEUE : BALLOON_DEFLATE_QUEUE,
	     shared->frames, count * (u32)sizeof(shared->frames[0]));
}

/* Which vCPU's cache a page is of. */
static struct exchange *owner(struct guest_cpu *cpu, u32 page)
{
	u64 offset = (u64)page * PAGE_SIZE - heap_start(cpu->boot);

	return &cpu->balloon.shared->exchange[offset / heap_share(cpu->boot)];
}

/* Pages that are the caches' again; one whose mailbox is full comes back a little later. */
static void give_back(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;

	for (; balloon->returned < balloon->count; balloon->returned++) {
		u32 page = balloon->shared->pages[balloon->returned];
		struct exchange *exchange = owner(cpu, page);

		if (!exchange_put(&exchange->back, page) &&
		    !__atomic_load_n(&exchange->ended, __ATOMIC_ACQUIRE))
			return;
	}
	balloon->transfer = TRANSFER_NONE;
}

static void finish_inflate(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;

	balloon->actual += balloon->count;
	balloon->transfer = TRANSFER_NONE;
	write_actual(cpu);
}

/* Free again. A guest that poisons its free pages does so with these at once. */
static void set_free(struct guest_cpu *cpu, u32 page)
{
	struct frames *frames = &cpu->balloon.frames;

	poison_fill(cpu, guest_pointer(cpu, page * PAGE_SIZE));
	frames_set(frames, (u32)(page - frames->first),
		   cpu->args.poisons ? FRAME_DIRTY : FRAME_CLEAN);
}

static void finish_deflate(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;

	balloon->actual -= balloon->count;
	balloon->transfer = balloon->of_caches ? TRANSFER_RETURN : TRANSFER_NONE;
	for (u32 i = 0; i < balloon->count && !balloon->of_caches; i++)
		set_free(cpu, balloon->shared->pages[i]);
	write_actual(cpu);
}

static void continue_transfer(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;

	if (balloon->transfer == TRANSFER_INFLATE &&
	    vq_take(&balloon->queues[BALLOON_INFLATE_QUEUE]))
		finish_inflate(cpu);
	else if (balloon->transfer == TRANSFER_DEFLATE &&
		 vq_take(&balloon->queues[BALLOON_DEFLATE_QUEUE]))
		finish_deflate(cpu);
	if (balloon->transfer == TRANSFER_RETURN)
		give_back(cpu);
}

/* What a cache has given, and could give besides. One whose vCPU is done moves no more: *stuck grows by what
 * it has given. */
static u64 cache_total(const struct exchange *exchange, u64 *stuck)
{
	u64 held = __atomic_load_n(&exchange->held, __ATOMIC_RELAXED);

	if (__atomic_load_n(&exchange->ended, __ATOMIC_ACQUIRE)) {
		*stuck += held;
		return 0;
	}
	return held + __atomic_load_n(&exchange->spare, __ATOMIC_RELAXED);
}

/* Says how much of the target each cache should give, in proportion to what it could. */
static void ask_caches(struct guest_cpu *cpu, u64 pages)
{
	struct balloon_shared *shared = cpu->balloon.shared;
	u64 all = 0, stuck = 0;

	for (u32 i = 0; i < cpu->boot->vcpus; i++)
		all += cache_total(&shared->exchange[i], &stuck);
	pages -= MIN(pages, stuck);
	for (u32 i = 0; i < cpu->boot->vcpus; i++) {
		struct exchange *exchange = &shared->exchange[i];
		u64 has = MIN(cache_total(exchange, &stuck), all);
		u64 wanted = all ? MIN((pages * has + all - 1) / all, has) : 0;

		__atomic_store_n(&exchange->wanted, (u32)wanted, __ATOMIC_RELAXED);
		pages -= MIN(wanted, pages);
		all -= has;
	}
}

static u32 collect_given(struct guest_cpu *cpu)
{
	struct balloon_shared *shared = cpu->balloon.shared;
	u32 count = 0;

	for (u32 i = 0; i < cpu->boot->vcpus; i++)
		while (count < BALLOON_TRANSFER &&
		       exchange_get(&shared->exchange[i].give, &shared->pages[count]))
			count++;
	return count;
}

/* Only pages that are no longer on their way into the balloon. */
static u32 collect_reclaimed(struct guest_cpu *cpu)
{
	struct balloon_shared *shared = cpu->balloon.shared;
	u32 count = 0;

	for (u32 i = 0; i < cpu->boot->vcpus; i++) {
		struct exchange *exchange = &shared->exchange[i];
		u32 waiting = exchange_waiting(&exchange->reclaim);

		if (exchange_waiting(&exchange->give))
			continue;
		for (; waiting && count < BALLOON_TRANSFER; waiting--)
			exchange_get(&exchange->reclaim, &shared->pages[count++]);
	}
	return count;
}

/* The next step towards the target: free pages first when inflating, last when deflating. */
static void plan(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;
	struct frames *frames = &balloon->frames;
	u32 *pages = balloon->shared->pages;
	u32 has = frames->have[FRAME_BALLOONED]; /* or on their way */
	u32 frames_goal = MIN(balloon->target, has + frames_spare(frames));

	frames_goal = MIN(frames_goal, balloon->frames_limit);
	ask_caches(cpu, balloon->target - frames_goal);
	if (balloon->transfer != TRANSFER_NONE)
		return;
	if (has < frames_goal) {
		start_transfer(
			cpu, TRANSFER_INFLATE, false,
			frames_inflate(frames, pages, MIN(frames_goal - has, BALLOON_TRANSFER)));
		return;
	}
	start_transfer(cpu, TRANSFER_INFLATE, true, collect_given(cpu));
	if (balloon->transfer == TRANSFER_NONE)
		start_transfer(cpu, TRANSFER_DEFLATE, true, collect_reclaimed(cpu));
	if (balloon->transfer == TRANSFER_NONE && has > frames_goal)
		start_transfer(
			cpu, TRANSFER_DEFLATE, false,
			frames_deflate(frames, pages, MIN(has - frames_goal, BALLOON_TRANSFER)));
}

void balloon_out_of_memory(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;
	u32 from = MIN(balloon->frames.have[FRAME_BALLOONED], balloon->frames_limit);

	balloon->alloc_stalls++;
	if (!balloon->present || balloon->transfer != TRANSFER_NONE)
		return;
	balloon->frames_limit = from > OOM_PAGES ? from - OOM_PAGES : 0;
	plan(cpu);
}

void balloon_note_reuse(struct balloon_driver *balloon, u32 pages)
{
	balloon->reused += pages;
}

/* ---- what drives it ---- */

static u32 read_config_word(struct guest_cpu *cpu, u32 offset)
{
	return read_register(cpu, VIRTIO_MMIO_CONFIG + offset);
}

static void read_config(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;
	u32 target = read_config_word(cpu, offsetof(struct balloon_config, num_pages));
	u32 command = read_config_word(cpu, offsetof(struct balloon_config, hint_command));

	if (target != balloon->target)
		balloon->frames_limit = NO_LIMIT;
	balloon->target = target;
	balloon->hint_wanted |= command != balloon->hint_command && command >= BALLOON_HINT_FIRST;
	balloon->hint_command = command;
}

static void take_interrupt(struct guest_cpu *cpu)
{
	u32 why = read_register(cpu, VIRTIO_MMIO_INTERRUPT_STATUS);

	write_register(cpu, VIRTIO_MMIO_INTERRUPT_ACK, why);
	if (why & VIRTIO_INTERRUPT_CONFIG)
		read_config(cpu);
}

bool balloon_busy(const struct guest_cpu *cpu)
{
	const struct balloon_driver *balloon = &cpu->balloon;
	bool busy = balloon->transfer != TRANSFER_NONE;

	for (u32 i = 0; i < cpu->boot->vcpus && !busy; i++)
		busy = exchange_busy(&balloon->shared->exchange[i]);
	return busy;
}

void balloon_poll(struct guest_cpu *cpu, u64 now, bool interrupted)
{
	struct balloon_driver *balloon = &cpu->balloon;

	balloon->due = now + TICK;
	if (!balloon->present)
		return;
	if (interrupted)
		take_interrupt(cpu);
	continue_transfer(cpu);
	plan(cpu);
	if (vq_take(&balloon->queues[BALLOON_STATS_QUEUE]))
		send_stats(cpu);
	free_pages_report(cpu, now);
	free_pages_hint(cpu);
	if (balloon_busy(cpu))
		balloon->due = now;
}
