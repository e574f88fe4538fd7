// SPDX-License-Identifier: Apache-2.0
#include "guest-driver/free_pages.h"
#include "guest-driver/guest.h"

/* A quarter of what was reported used again within a delay is too much, a sixteenth very little. */
void free_pages_adapt(struct balloon_driver *balloon)
{
	if (balloon->reused * 4 > balloon->reported)
		balloon->report_delay = MIN(balloon->report_delay * 2, FREE_DELAY_MOST);
	else if (balloon->reused * 16 <= balloon->reported)
		balloon->report_delay = MAX(balloon->report_delay / 2, FREE_DELAY_LEAST);
	balloon->reported = balloon->reused = 0;
}

static void finish_reports(struct balloon_driver *balloon)
{
	while (vq_take(&balloon->queues[BALLOON_REPORT_QUEUE]))
		;
	if (!balloon->reports || vq_pending(&balloon->queues[BALLOON_REPORT_QUEUE]))
		return;
	for (u32 i = 0; i < balloon->reports; i++) {
		u32 first = (u32)(balloon->shared->reports[i] - balloon->frames.first);

		for (u32 j = first; j < first + REGION_PAGES; j++)
			frames_set(&balloon->frames, j, FRAME_REPORTED);
	}
	balloon->reported += balloon->reports * REGION_PAGES;
	balloon->reports = 0;
}

void free_pages_report(struct guest_cpu *cpu, u64 now)
{
	struct balloon_driver *balloon = &cpu->balloon;
	struct vq *vq = &balloon->queues[BALLOON_REPORT_QUEUE];
	u16 before = vq->added;

	finish_reports(balloon);
	if (balloon->reports || now < balloon->report_due || cpu->args.no_reports)
		return;
	if (balloon->reported)
		free_pages_adapt(balloon);
	balloon->report_due = now + balloon->report_delay;
	if (balloon->frames.have[FRAME_DIRTY] < REGION_PAGES)
		return;
	balloon->reports =
		frames_report(&balloon->frames, balloon->shared->reports, BALLOON_REPORTS);
	for (u32 i = 0; i < balloon->reports; i++)
		vq_add(vq, balloon_physical(cpu, (u64)balloon->shared->reports[i] * PAGE_SIZE),
		       REGION_SIZE, true);
	if (balloon->reports)
		vq_kick(vq, cpu, before);
}

/* The round's number, what is free, the end: all at once. The pages may be used while the host has the
 * hints; it keeps what is written. */
static void answer_hint(struct guest_cpu *cpu)
{
	struct balloon_driver *balloon = &cpu->balloon;
	struct vq *vq = &balloon->queues[BALLOON_HINT_QUEUE];
	u32 *command = balloon->shared->hint_command;
	u16 before = vq->added;
	u32 at = 0, count;

	command[0] = balloon->hint_command;
	command[1] = BALLOON_HINT_STOP;
	vq_add(vq, balloon_physical_of(cpu, &command[0]), sizeof(command[0]), false);
	while (vq_pending(vq) < VQ_SIZE - 1) {
		u64 address;

		at = frames_find_free(&balloon->frames, at, &count);
		if (!count)
			break;
		address = (balloon->frames.first + at) * PAGE_SIZE;
		count = MIN(count, (u32)(GiB / PAGE_SIZE));
		if (address < cpu->boot->hole_start) /* a buffer is in one piece */
			count = (u32)MIN(count, (cpu->boot->hole_start - address) / PAGE_SIZE);
		vq_add(vq, balloon_physical(cpu, address), count * (u32)PAGE_SIZE, true);
		at += count;
	}
	vq_add(vq, balloon_physical_of(cpu, &command[1]), sizeof(command[1]), false);
	vq_kick(vq, cpu, before);
	balloon->hint_wanted = false;
}

void free_pages_hint(struct guest_cpu *cpu)
{
	struct vq *vq = &cpu->balloon.queues[BALLOON_HINT_QUEUE];

	while (vq_take(vq))
		;
	if (cpu->balloon.hint_wanted && !vq_pending(vq))
		answer_hint(cpu);
}
