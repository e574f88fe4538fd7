/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a report. */
#include "bench/overcommit/report.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"

static const struct {
	const char *name;
	void (*write)(FILE *stream, const struct results *results);
} files[] = {
	{"report.json", report_json},
	{"report.md", report_markdown},
	{"report.html", report_html},
};

static int failed(const char *path, int err)
{
	log_error("%s: cannot be written: %s", path, strerror(-err));
	return err;
}

static int close_stream(FILE *stream)
{
	int err = ferror(stream) ? -EIO : 0;

	if (fclose(stream) && !err)
		err = -errno;
	return err;
}

static int write_file(const char *folder, u32 file, const struct results *results)
{
	char path[PATH_MAX];
	FILE *stream;
	int err;

	snprintf(path, sizeof(path), "%s/%s", folder, files[file].name);
	stream = fopen(path, "we");
	if (!stream)
		return failed(path, -errno);
	files[file].write(stream, results);
	err = close_stream(stream);
	return err ? failed(path, err) : 0;
}

/* So that anybody can run a cell by hand. */
static int write_config(const char *folder, u32 scenario, double overcommit,
			const struct cell_options *options)
{
	const struct cell cell = {
		.scenario = scenario, .contender = BALLAST, .overcommit = overcommit};
	char path[PATH_MAX];
	FILE *stream;
	int err;

	snprintf(path, sizeof(path), "%s/%s-%.2f.ini", folder, scenarios[scenario].name,
		 overcommit);
	stream = fopen(path, "we");
	if (!stream)
		return failed(path, -errno);
	cell_write_config(stream, &cell, options);
	err = close_stream(stream);
	return err ? failed(path, err) : 0;
}

int report_write_all(const char *folder, const struct results *results,
		     const struct cell_options *options)
{
	const struct plan *plan = &results->plan;
	int err = 0;

	if (mkdir(folder, 0755) && errno != EEXIST)
		return failed(folder, -errno);
	for (u32 i = 0; i < ARRAY_SIZE(files) && !err; i++)
		err = write_file(folder, i, results);
	for (u32 i = 0; i < scenario_count; i++)
		for (u32 j = 0; j < plan->overcommit_count && !err; j++)
			if (plan_has_scenario(plan, i))
				err = write_config(folder, i, plan->overcommits[j], options);
	return err;
}
