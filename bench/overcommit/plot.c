/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the lines, by turns; seen well on white and on black, also without red and green. */
static const char *const colours[PLOT_LINES] = {"#3f7fd0", "#e0822f", "#888888", "#9a5fb8"};

static void write_data(FILE *script, const struct plot_line *line)
{
	for (u32 i = 0; i < line->count; i++)
		if (isfinite(line->y[i]))
			fprintf(script, "%g %g\n", line->x[i], line->y[i]);
	fprintf(script, "e\n");
}

static bool has_points(const struct plot_line *line)
{
	for (u32 i = 0; i < line->count; i++)
		if (isfinite(line->y[i]))
			return true;
	return false;
}

static void write_script(FILE *script, const struct plot *plot)
{
	const char *separator = "plot";

	fprintf(script,
		"set terminal svg size 460,300 font 'sans-serif,13'\n"
		"set title '%s'\nset xlabel '%s'\nset ylabel '%s'\nset grid\n"
		"set key outside bottom center horizontal\nset xrange [0.9:3.1<*]\n%s\n",
		plot->title, plot->x_label, plot->y_label,
		plot->log_y ? "set logscale y" : "set yrange [0:*]");
	for (u32 i = 0; i < plot->count; i++) {
		if (!has_points(&plot->lines[i]))
			continue;
		fprintf(script, "%s '-' title '%s' with linespoints lw 2 pt %u ps 0.7 lc rgb '%s'",
			separator, plot->lines[i].title, 5 + 2 * i, colours[i]);
		separator = ",";
	}
	fprintf(script, "\n");
	for (u32 i = 0; i < plot->count; i++)
		if (has_points(&plot->lines[i]))
			write_data(script, &plot->lines[i]);
}

/* gnuplot numbers the ids of every picture alike, and a page may have each once. */
static int run_gnuplot(const struct plot *plot, const char *path)
{
	char command[512];
	FILE *script;
	int status;

	if (system("command -v gnuplot >/dev/null 2>&1"))
		return -ENOENT;
	snprintf(
		command, sizeof(command),
		"gnuplot 2>/dev/null | sed -e 's/gnuplot_plot/p%u_plot/g' -e 's/gp\\(Dot\\|Pt\\)/p%u\\1/g' "
		"-e 's/gnuplot_canvas/p%u_canvas/g' >'%s'",
		plot->number, plot->number, plot->number, path);
	script = popen(command, "w");
	if (!script)
		return -errno;
	write_script(script, plot);
	status = pclose(script);
	return status ? -EIO : 0;
}

static int copy_svg(FILE *stream, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[4096];
	bool inside = false;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		inside = inside || !strncmp(line, "<svg", 4);
		if (inside)
			fputs(line, stream);
	}
	fclose(file);
	return inside ? 0 : -EIO;
}

static bool is_empty(const struct plot *plot)
{
	for (u32 i = 0; i < plot->count; i++)
		if (has_points(&plot->lines[i]))
			return false;
	return true;
}

int plot_write(FILE *stream, const struct plot *plot)
{
	char path[] = "/tmp/ballast-plot.XXXXXX";
	int fd, err;

	if (is_empty(plot))
		return -ENODATA;
	fd = mkstemp(path);
	if (fd < 0)
		return -errno;
	close(fd);
	err = run_gnuplot(plot, path);
	if (!err)
		err = copy_svg(stream, path);
	unlink(path);
	return err;
}
