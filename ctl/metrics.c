/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/metrics.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/abi.h"
#include "ctl/attr_text.h"
#include "ctl/outcome.h"
#include "lib/clock.h"
#include "mem/page.h"

/* How a unit is written in a metric: the suffix its path may have is taken off, this one put on. */
static const struct {
	const char *has, *suffix;
	double scale;
} units[UNITS] = {
	[UNIT_NONE] = {NULL, "", 1},
	[UNIT_BYTES] = {"_bytes", "_bytes", 1},
	[UNIT_BYTES_PER_S] = {"_s", "_bytes_per_second", 1},
	[UNIT_PAGES] = {"_pages", "_pages", 1},
	[UNIT_PERCENT] = {"_pct", "_ratio", 0.01},
	[UNIT_PERMILLE] = {NULL, "_ratio", 0.001},
	[UNIT_SECONDS] = {"_s", "_seconds", 1},
	[UNIT_MS] = {"_ms", "_seconds", 1e-3},
	[UNIT_US] = {"_us", "_seconds", 1e-6},
};

static const char *const scope_prefix[ATTR_SCOPES] = {
	[ATTR_HOST] = "ballast_",
	[ATTR_GUEST] = "ballast_guest_",
	[ATTR_NODE] = "ballast_node_",
};

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), ending = strlen(end);

	return length >= ending && strcmp(text + length - ending, end) == 0;
}

void metrics_name(const struct attr *attr, enum attr_scope scope, char *name, size_t size)
{
	const char *has = units[attr->unit].has;
	char path[96];

	name[0] = '\0';
	if (attr->kind == ATTR_TEXT)
		return;
	snprintf(path, sizeof(path), "%s", attr->path);
	if (has && ends_with(path, has))
		path[strlen(path) - strlen(has)] = '\0';
	for (char *c = path; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '_';
	snprintf(name, size, "%s%s%s%s", scope_prefix[scope], path, units[attr->unit].suffix,
		 attr->kind == ATTR_COUNTER ? "_total" : "");
}

/* One moment of all. */
struct metrics_moment {
	struct control *control;
	struct outcome outcome;
	u32 nodes;
};

static void put_head(const char *name, const char *type, const char *help, FILE *out)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(const char *name, const char *label, const char *value,
		      const struct attr *attr, double number, FILE *out)
{
	double scale = units[attr->unit].scale;

	if (label)
		fprintf(out, "%s{%s=\"%s\"} ", name, label, value);
	else
		fprintf(out, "%s ", name);
	/* A whole number keeps all its digits. */
	if (scale == 1)
		fprintf(out, "%.0f\n", number);
	else
		fprintf(out, "%.9g\n", number * scale);
}

/* A guest that has ended and whose name another one has taken would be the same series twice. */
static bool is_superseded(const struct outcome *outcome, u32 index)
{
	for (u32 i = index + 1; i < outcome->count; i++)
		if (strcmp(outcome->guests[i].name, outcome->guests[index].name) == 0)
			return true;
	return false;
}

static void put_attr(const struct metrics_moment *moment, const struct attr *attr,
		     enum attr_scope scope, FILE *out)
{
	struct attr_view view = {.control = moment->control, .host = &moment->outcome.host};
	char name[160], node[16];

	metrics_name(attr, scope, name, sizeof(name));
	if (!name[0])
		return;
	put_head(name, attr->kind == ATTR_COUNTER ? "counter" : "gauge", attr->help, out);
	if (scope == ATTR_HOST)
		put_value(name, NULL, NULL, attr, (double)attr_number(attr, scope, &view), out);
	for (; scope == ATTR_NODE && view.node < moment->nodes; view.node++) {
		snprintf(node, sizeof(node), "%u", view.node);
		put_value(name, "node", node, attr, (double)attr_number(attr, scope, &view), out);
	}
	for (; scope == ATTR_GUEST && view.index < moment->outcome.count; view.index++) {
		view.guest = &moment->outcome.guests[view.index];
		if (!is_superseded(&moment->outcome, view.index))
			put_value(name, "guest", view.guest->name, attr,
				  (double)attr_number(attr, scope, &view), out);
	}
}

/* ---- what a row of the table cannot say ---- */

static void put_pressure(const struct metrics_moment *moment, FILE *out)
{
	const struct outcome *outcome = &moment->outcome;
	static const char host[] = "ballast_pressure_seconds_total";
	static const char guest[] = "ballast_guest_pressure_seconds_total";
	double second = NSEC_PER_SEC;

	put_head(host, "counter",
		 "time in which some, or all, vCPUs of all guests waited for memory", out);
	fprintf(out, "%s{kind=\"some\"} %.6f\n%s{kind=\"full\"} %.6f\n", host,
		(double)outcome->host.pressure.some_ns / second, host,
		(double)outcome->host.pressure.full_ns / second);
	put_head(guest, "counter", "the same for each guest", out);
	for (u32 i = 0; i < outcome->count; i++) {
		const struct guest_snapshot *one = &outcome->guests[i];

		if (is_superseded(outcome, i))
			continue;
		fprintf(out, "%s{guest=\"%s\",kind=\"some\"} %.6f\n", guest, one->name,
			(double)one->pressure.some_ns / second);
		fprintf(out, "%s{guest=\"%s\",kind=\"full\"} %.6f\n", guest, one->name,
			(double)one->pressure.full_ns / second);
	}
}

/* What guests say of themselves: what they have not said is not there. */
static void put_balloon_stats(const struct metrics_moment *moment, FILE *out)
{
	static const char name[] = "ballast_guest_balloon_stat";

	put_head(name, "gauge", "what the driver of its balloon says, by balloon/stats/", out);
	for (u32 i = 0; i < moment->outcome.count; i++) {
		const struct guest_snapshot *guest = &moment->outcome.guests[i];

		for (u32 tag = 0; tag < BALLOON_STATS; tag++)
			if (guest->balloon.valid >> tag & 1 && !is_superseded(&moment->outcome, i))
				fprintf(out, "%s{guest=\"%s\",stat=\"%s\"} %" PRIu64 "\n", name,
					guest->name, attr_stat_name(tag),
					guest->balloon.values[tag]);
	}
}

static void put_histogram(const char *name, const struct guest_snapshot *guest, const char *source,
			  const struct hist *hist, FILE *out)
{
	u64 steps[LATENCY_STEPS];

	latency_steps(hist, steps);
	for (u32 i = 0; i < LATENCY_STEPS; i += 2)
		fprintf(out, "%s_bucket{guest=\"%s\",source=\"%s\",le=\"%.9g\"} %" PRIu64 "\n",
			name, guest->name, source,
			(double)(1UL << (LATENCY_FIRST + i)) / (double)NSEC_PER_SEC, steps[i]);
	fprintf(out, "%s_bucket{guest=\"%s\",source=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name,
		guest->name, source, hist->count);
	fprintf(out, "%s_sum{guest=\"%s\",source=\"%s\"} %.9f\n", name, guest->name, source,
		(double)hist->sum / (double)NSEC_PER_SEC);
	fprintf(out, "%s_count{guest=\"%s\",source=\"%s\"} %" PRIu64 "\n", name, guest->name,
		source, hist->count);
}

static void put_latency(const struct metrics_moment *moment, FILE *out)
{
	static const char name[] = "ballast_guest_fault_latency_seconds";
	static const char *const sources[PAGE_STATES] = {
		[PAGE_ZERO] = "zero",	     [PAGE_RESIDENT] = "resident",
		[PAGE_SAME] = "same_filled", [PAGE_COMPRESSED] = "compressed",
		[PAGE_DISK] = "disk",	     [PAGE_SHARED] = "shared",
	};

	put_head(name, "histogram", "how long a fault took, by where its page was", out);
	for (u32 i = 0; i < moment->outcome.count; i++)
		for (u32 state = 0; state < PAGE_STATES; state++)
			if (sources[state] && !is_superseded(&moment->outcome, i))
				put_histogram(name, &moment->outcome.guests[i], sources[state],
					      &moment->outcome.guests[i].fault_latency[state], out);
}

int metrics_write(struct control *control, FILE *out)
{
	struct metrics_moment moment = {.control = control};
	struct control_names nodes;
	int ret = outcome_init(&moment.outcome, 0);

	if (!ret)
		ret = control_list(control, "/numa", &nodes);
	if (ret)
		return ret;
	moment.nodes = nodes.count;
	free(nodes.names);
	outcome_take(&moment.outcome, control_manager(control));
	for (u32 scope = 0; scope < ATTR_SCOPES; scope++)
		for (u32 i = 0; i < attr_tables[scope].count; i++)
			put_attr(&moment, &attr_tables[scope].attrs[i], (enum attr_scope)scope,
				 out);
	put_pressure(&moment, out);
	put_balloon_stats(&moment, out);
	put_latency(&moment, out);
	outcome_free(&moment.outcome);
	return 0;
}
