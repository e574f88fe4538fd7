/* SPDX-License-Identifier: Apache-2.0 */
/* The attribute tables as a page: of help, and of docs/control.md. */
#include <stdio.h>
#include <string.h>

#include "ctl/attr.h"
#include "ctl/metrics.h"
#include "ctl/remote.h"

static const char *const titles[ATTR_SCOPES] = {
	[ATTR_HOST] = "/",
	[ATTR_GUEST] = "/vm/NAME/",
	[ATTR_NODE] = "/numa/nodeN/",
};

static void print_plain(const struct attr *attr, FILE *out)
{
	char allowed[160];

	fprintf(out, "  %-28s %s", attr->path, attr->help);
	if (attr_unit_name(attr->unit)[0])
		fprintf(out, " [%s]", attr_unit_name(attr->unit));
	fputc('\n', out);
	if (!attr->write)
		return;
	attr_describe(attr, allowed, sizeof(allowed));
	fprintf(out, "  %-28s write %s\n", "", allowed);
}

static void print_markdown(const struct attr *attr, enum attr_scope scope, FILE *out)
{
	static const char *const kinds[] = {"gauge", "counter", "setting", "text"};
	char allowed[160] = "", metric[160];

	metrics_name(attr, scope, metric, sizeof(metric));
	if (attr->write)
		attr_describe(attr, allowed, sizeof(allowed));
	fprintf(out, "| `%s` | %s | %s | %s%s%s | %s%s%s |\n", attr->path, kinds[attr->kind],
		attr_unit_name(attr->unit), attr->help, attr->write ? ". Write " : "", allowed,
		metric[0] ? "`" : "", metric, metric[0] ? "`" : "");
}

void remote_print_attributes(FILE *out, bool markdown)
{
	for (u32 scope = 0; scope < ATTR_SCOPES; scope++) {
		const struct attr_table *table = &attr_tables[scope];

		fprintf(out, markdown ? "\n### %s\n\n" : "\n%s\n", titles[scope]);
		if (markdown)
			fprintf(out, "| path | kind | unit | meaning | metric |\n"
				     "|---|---|---|---|---|\n");
		for (u32 i = 0; i < table->count; i++)
			if (markdown)
				print_markdown(&table->attrs[i], (enum attr_scope)scope, out);
			else
				print_plain(&table->attrs[i], out);
	}
}
