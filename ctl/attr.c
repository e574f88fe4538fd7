/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/attr.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/format.h"
#include "ctl/parse.h"

static const struct {
	const char *name;
	const char *noun; /* what to write */
	int (*parse)(const char *text, u64 *value);
} units[UNITS] = {
	[UNIT_NONE] = {"", "a number", parse_number},
	[UNIT_BYTES] = {"bytes", "a size", parse_size},
	[UNIT_BYTES_PER_S] = {"bytes/s", "a size", parse_size},
	[UNIT_PAGES] = {"pages", "a number", parse_number},
	[UNIT_PERCENT] = {"%", "a percentage", parse_percent},
	[UNIT_PERMILLE] = {"permille", "a number", parse_number},
	[UNIT_SECONDS] = {"s", "a number", parse_number},
	[UNIT_MS] = {"ms", "a number", parse_number},
	[UNIT_US] = {"us", "a number", parse_number},
};

const char *attr_unit_name(enum attr_unit unit)
{
	return units[unit].name;
}

/* A field of 1, 4 or 8 bytes. */
static u64 field(const char *base, u32 offset, u32 width)
{
	u64 wide;
	u32 narrow;

	if (width == sizeof(wide)) {
		memcpy(&wide, base + offset, sizeof(wide));
		return wide;
	}
	if (width == 1)
		return (u8)base[offset];
	memcpy(&narrow, base + offset, sizeof(narrow));
	return narrow;
}

u64 attr_number(const struct attr *attr, enum attr_scope scope, const struct attr_view *view)
{
	const char *base =
		scope == ATTR_GUEST ? (const char *)view->guest : (const char *)view->host;

	if (attr->number)
		return attr->number(view);
	return field(base, attr->offset, attr->width);
}

void attr_show(const struct attr *attr, enum attr_scope scope, const struct attr_view *view,
	       FILE *out)
{
	if (attr->kind == ATTR_TEXT)
		attr->text(view, attr->state, out);
	else
		fprintf(out, "%" PRIu64 "\n", attr_number(attr, scope, view));
}

static bool is_size(const struct attr *attr)
{
	return attr->unit == UNIT_BYTES || attr->unit == UNIT_BYTES_PER_S;
}

static struct formatted bound(const struct attr *attr, u64 value)
{
	struct formatted out;

	if (is_size(attr))
		return format_size_exact(value);
	snprintf(out.text, sizeof(out.text), "%" PRIu64, value);
	return out;
}

void attr_describe(const struct attr *attr, char *text, size_t size)
{
	char step[40] = "";

	if (attr->step)
		snprintf(step, sizeof(step), ", a multiple of %s", bound(attr, attr->step).text);
	snprintf(text, size, "%s from %s to %s%s", units[attr->unit].noun,
		 bound(attr, attr->min).text, bound(attr, attr->max).text, step);
}

int attr_parse(const struct attr *attr, const char *text, u64 *value, char *error, size_t size)
{
	char allowed[160], shown[48];
	u64 number;

	if (!units[attr->unit].parse(text, &number) && number >= attr->min && number <= attr->max &&
	    (!attr->step || number % attr->step == 0)) {
		*value = number;
		return 0;
	}
	attr_describe(attr, allowed, sizeof(allowed));
	snprintf(shown, sizeof(shown), "%s", text);
	format_printable(shown);
	snprintf(error, size, "%s: `%s%s' should be %s", attr->path, shown,
		 strlen(text) >= sizeof(shown) ? "..." : "", allowed);
	return -EINVAL;
}
