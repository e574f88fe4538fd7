/* SPDX-License-Identifier: Apache-2.0 */
/* The attribute tables: rows that make sense, names that are there once, values that are checked. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balloon/abi.h"
#include "ctl/attr.h"
#include "ctl/metrics.h"
#include "ctl/remote.h"

static const struct attr *find(enum attr_scope scope, const char *path)
{
	for (u32 i = 0; i < attr_tables[scope].count; i++)
		if (strcmp(attr_tables[scope].attrs[i].path, path) == 0)
			return &attr_tables[scope].attrs[i];
	return NULL;
}

Test(ctl_attr, every_row_is_whole)
{
	for (u32 scope = 0; scope < ATTR_SCOPES; scope++)
		for (u32 i = 0; i < attr_tables[scope].count; i++) {
			const struct attr *attr = &attr_tables[scope].attrs[i];

			cr_expect(attr->help && *attr->help, "%s has no help", attr->path);
			cr_expect(!strchr(attr->help, '|'), "%s would break the table", attr->path);
			cr_expect_eq(find((enum attr_scope)scope, attr->path), attr,
				     "%s is there twice", attr->path);
			cr_expect_eq(attr->kind == ATTR_SETTING, attr->write != NULL, "%s",
				     attr->path);
			cr_expect_eq(attr->kind == ATTR_TEXT, attr->text != NULL, "%s", attr->path);
			if (attr->kind != ATTR_TEXT)
				cr_expect((attr->width != 0) != (attr->number != NULL), "%s",
					  attr->path);
			cr_expect(!attr->take || attr->kind == ATTR_TEXT, "%s", attr->path);
			if (attr->write)
				cr_expect_lt(attr->min, attr->max, "%s", attr->path);
		}
}

Test(ctl_attr, no_two_metrics_have_one_name)
{
	char one[160], other[160];

	for (u32 scope = 0; scope < ATTR_SCOPES; scope++)
		for (u32 i = 0; i < attr_tables[scope].count; i++) {
			metrics_name(&attr_tables[scope].attrs[i], (enum attr_scope)scope, one,
				     sizeof(one));
			for (u32 j = 0; one[0] && j < i; j++) {
				metrics_name(&attr_tables[scope].attrs[j], (enum attr_scope)scope,
					     other, sizeof(other));
				cr_expect_str_neq(one, other);
			}
		}
}

Test(ctl_attr, metrics_are_named_for_path_and_unit)
{
	char name[160];

	metrics_name(find(ATTR_HOST, "swap/written_bytes"), ATTR_HOST, name, sizeof(name));
	cr_expect_str_eq(name, "ballast_swap_written_bytes_total");
	metrics_name(find(ATTR_HOST, "sample_ms"), ATTR_HOST, name, sizeof(name));
	cr_expect_str_eq(name, "ballast_sample_seconds");
	metrics_name(find(ATTR_GUEST, "mem/zip"), ATTR_GUEST, name, sizeof(name));
	cr_expect_str_eq(name, "ballast_guest_mem_zip_bytes");
	metrics_name(find(ATTR_HOST, "pressure"), ATTR_HOST, name, sizeof(name));
	cr_expect_str_eq(name, "");
}

Test(ctl_attr, a_value_is_taken_whole_or_refused_with_what_is_allowed)
{
	const struct attr *memory = find(ATTR_HOST, "memory");
	const struct attr *percent = find(ATTR_HOST, "swap/max_pool_percent");
	static const char *const rubbish[] = {
		"",    " ",   "-1",   "1G ", "0x40000000",	     "64M1",
		"31M", "33M", "65T+", "1e9", "99999999999999999999", "64M\n64M",
		"64M,"};
	char error[ATTR_ERROR_MAX];
	u64 value = 7;

	for (u32 i = 0; i < ARRAY_SIZE(rubbish); i++) {
		error[0] = '\0';
		cr_expect_eq(attr_parse(memory, rubbish[i], &value, error, sizeof(error)), -EINVAL,
			     "%s", rubbish[i]);
		cr_expect(strstr(error, "32M to 64T"), "%s", error);
	}
	cr_expect_eq(value, 7);
	cr_expect_eq(attr_parse(memory, "64M", &value, error, sizeof(error)), 0);
	cr_expect_eq(value, 64 * MiB);
	cr_expect_eq(attr_parse(percent, "30%", &value, error, sizeof(error)), 0);
	cr_expect_eq(value, 30);
	cr_expect_eq(attr_parse(percent, "81", &value, error, sizeof(error)), -EINVAL);
}

Test(ctl_attr, a_long_value_is_quoted_in_part_and_cannot_steer_a_terminal)
{
	char text[200], error[ATTR_ERROR_MAX];
	u64 value;

	memset(text, '\033', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cr_expect_eq(attr_parse(find(ATTR_HOST, "memory"), text, &value, error, sizeof(error)),
		     -EINVAL);
	cr_expect_null(strchr(error, '\033'));
	cr_expect(strstr(error, "..."));
}

/* The part of docs/control.md that `make docs` writes. */
Test(ctl_attr, the_documentation_has_the_tables)
{
	FILE *stream = fopen("docs/control.md", "r");
	char *page = NULL, *made = NULL, *begin, *end;
	size_t size = 0, length = 0;
	FILE *out;

	if (!stream)
		cr_skip_test("not started in the source's folder");
	cr_assert_geq(getdelim(&page, &size, EOF, stream), 0);
	fclose(stream);
	begin = strstr(page, "<!-- attributes:");
	cr_assert(begin);
	begin = strchr(begin, '\n') + 1;
	end = strstr(begin, "\n<!-- end of attributes -->");
	cr_assert(end);
	*end = '\0';
	out = open_memstream(&made, &length);
	remote_print_attributes(out, true);
	fclose(out);
	cr_expect_str_eq(begin, made, "make docs");
	free(made);
	free(page);
}

Test(ctl_attr, every_statistic_of_a_balloon_has_an_attribute)
{
	for (u32 tag = 0; tag < BALLOON_STATS; tag++)
		cr_expect_str_neq(attr_stat_name(tag), "unknown", "tag %u", tag);
	cr_expect_str_eq(attr_stat_name(BALLOON_STAT_FREE), "free_memory");
}
