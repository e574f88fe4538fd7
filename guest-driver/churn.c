// SPDX-License-Identifier: Apache-2.0
#include "guest-driver/churn.h"
#include "guest-driver/guest.h"
#include "guest-driver/poison.h"

#define RUN_PAGES 32U
/* Content of its own, beside that of the workload's units. */
#define CHURN_UNIT (1ULL << 40)

void churn_init(struct guest_cpu *cpu)
{
	cpu->churn = (struct churn){
		.wanted = (u32)((u64)cpu->balloon.frames.count * cpu->args.churn_percent / 100),
	};
}

static u8 *page_of(const struct guest_cpu *cpu, u32 frame)
{
	return guest_pointer(cpu, (cpu->balloon.frames.first + frame) * PAGE_SIZE);
}

static void take(struct guest_cpu *cpu, u32 frame)
{
	struct frames *frames = &cpu->balloon.frames;

	if (frames->state[frame] != FRAME_CLEAN)
		poison_check(cpu, page_of(cpu, frame));
	if (frames->state[frame] == FRAME_REPORTED)
		balloon_note_reuse(&cpu->balloon, 1);
	frames_set(frames, frame, FRAME_USED);
	frames->version[frame] = cpu->churn.version;
	content_write(&cpu->content, page_of(cpu, frame), PAGE_SIZE,
		      guest_piece(cpu, CHURN_UNIT + frame), 1U + cpu->churn.version);
}

static void let_go(struct guest_cpu *cpu, u32 frame)
{
	struct frames *frames = &cpu->balloon.frames;
	u8 *page = page_of(cpu, frame);
	u32 version = 1U + frames->version[frame];

	if (content_matches(&cpu->content, page, PAGE_SIZE, guest_piece(cpu, CHURN_UNIT + frame),
			    version))
		guest_verified(cpu, PAGE_SIZE);
	else
		guest_failed(cpu, page,
			     guest_diagnose(cpu, page, PAGE_SIZE, CHURN_UNIT + frame, version),
			     CHURN_UNIT + frame, version);
	poison_fill(cpu, page);
	frames_set(frames, frame, FRAME_DIRTY);
}

/* Takes what is free from `take_from` on, once around. */
static void take_run(struct guest_cpu *cpu)
{
	struct frames *frames = &cpu->balloon.frames;
	u32 taken = 0;

	cpu->churn.version++;
	for (u32 looked = 0; looked < frames->count && taken < RUN_PAGES; looked++) {
		u32 frame = cpu->churn.take_from++ % frames->count;

		if (!frame_is_free(frames->state[frame]))
			continue;
		take(cpu, frame);
		taken++;
	}
	cpu->churn.take_from %= frames->count;
	if (taken < RUN_PAGES)
		balloon_out_of_memory(cpu);
}

static void drop_run(struct guest_cpu *cpu)
{
	struct frames *frames = &cpu->balloon.frames;
	u32 dropped = 0;

	for (u32 looked = 0; looked < frames->count && dropped < RUN_PAGES; looked++) {
		u32 frame = cpu->churn.drop_from++ % frames->count;

		if (frames->state[frame] != FRAME_USED)
			continue;
		let_go(cpu, frame);
		dropped++;
	}
	cpu->churn.drop_from %= frames->count;
}

void churn_step(struct guest_cpu *cpu)
{
	if (!cpu->churn.wanted)
		return;
	if (cpu->balloon.frames.have[FRAME_USED] + RUN_PAGES <= cpu->churn.wanted)
		take_run(cpu);
	else
		drop_run(cpu);
}
