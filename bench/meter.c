/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/meter.h"

#include <unistd.h>

#include "ctl/format.h"
#include "ctl/progress.h"
#include "lib/clock.h"

#define PERIOD_NS (250 * NSEC_PER_MSEC)
#define BAR_WIDTH 24

void meter_begin(struct meter *meter, FILE *out, u32 rounds)
{
	*meter = (struct meter){
		.out = progress_style_for(out) == PROGRESS_BLOCK ? out : NULL,
		.began_ns = clock_now_ns(),
		.rounds = rounds,
	};
}

void meter_line(const struct meter *meter, u64 now_ns, const char *name, u32 round, u32 rounds,
		char *text, size_t size)
{
	const struct bar_part part = {meter->done, '#'};
	u64 elapsed_ns = now_ns - meter->began_ns;
	char bar[BAR_WIDTH + 1], left[48] = "";

	format_bar(bar, BAR_WIDTH, meter->rounds, &part, 1);
	if (meter->done)
		snprintf(left, sizeof(left), ", about %s left",
			 format_clock(elapsed_ns / meter->done * (meter->rounds - meter->done))
				 .text);
	snprintf(text, size, "[%s] %3u%%  %s, round %u of %u  %s%s", bar,
		 format_percent(meter->done, meter->rounds), name, round + 1, rounds,
		 format_clock(elapsed_ns).text, left);
}

void meter_show(struct meter *meter, const char *name, u32 round, u32 rounds)
{
	u64 now_ns = clock_now_ns();
	char text[80];

	if (!meter->out || now_ns - meter->drawn_ns < PERIOD_NS)
		return;
	meter->drawn_ns = now_ns;
	meter_line(meter, now_ns, name, round, rounds, text, sizeof(text));
	fprintf(meter->out, "\r%s\033[K", text);
	fflush(meter->out);
}

void meter_clear(struct meter *meter)
{
	if (!meter->out || !meter->drawn_ns)
		return;
	fputs("\r\033[K", meter->out);
	fflush(meter->out);
	meter->drawn_ns = 0;
}
