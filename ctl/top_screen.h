/* SPDX-License-Identifier: Apache-2.0 */
/* top's screen: curses, and the keys. */
#ifndef CTL_TOP_SCREEN_H
#define CTL_TOP_SCREEN_H

#include "ctl/top_sample.h"

/* What the user looks at. */
struct top_screen {
	enum top_column sort;
	bool ascending;
	u32 selected;		      /* row */
	u32 scroll;		      /* lines of the one guest that are above the screen */
	char detail[ATTACH_NAME_MAX]; /* the guest shown alone; "" all */
};

/* Takes the terminal. Returns 0, or -ENOTTY when it is none that can be drawn on. */
int top_screen_open(struct top_screen *screen);

/* Gives it back as it was. */
void top_screen_close(void);

/* Draws the sample, sorting it; `text` is the answer it was read from, for a guest's detail. */
void top_screen_draw(struct top_screen *screen, struct top_sample *sample, const char *text,
		     u64 interval_ms);

/* Waits for a key for so many ms and does what it says. Returns false to quit; sets *redraw when the
 * screen should look different. */
bool top_screen_key(struct top_screen *screen, const struct top_sample *sample, int wait_ms,
		    bool *redraw);

#endif
