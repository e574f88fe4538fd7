/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plots as SVG that stands in an HTML page: no prolog, no background, lines and text in the page's
 * colours, ids of its own. gnuplot draws them.
 */
#ifndef BENCH_OVERCOMMIT_PLOT_H
#define BENCH_OVERCOMMIT_PLOT_H

#include <stdio.h>

#include "lib/types.h"

#define PLOT_LINES  4
#define PLOT_POINTS 8

struct plot_line {
	const char *title;
	u32 count;
	double x[PLOT_POINTS], y[PLOT_POINTS]; /* NAN: no point */
};

struct plot {
	const char *title, *x_label, *y_label;
	bool log_y;
	u32 number; /* in its page: ids */
	u32 count;
	struct plot_line lines[PLOT_LINES];
};

/* Writes the <svg> element. Returns 0, or -errno: then nothing was written (no gnuplot: -ENOENT). */
int plot_write(FILE *stream, const struct plot *plot);

#endif
