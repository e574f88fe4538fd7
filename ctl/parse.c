/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/parse.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* Reads the digits at *text and moves past them; there must be one at least. */
static int parse_digits(const char **text, u64 *value)
{
	const char *at = *text;
	u64 sum = 0;

	if (!isdigit((unsigned char)*at))
		return -EINVAL;
	for (; isdigit((unsigned char)*at); at++)
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (u64)(*at - '0'), &sum))
			return -ERANGE;
	*text = at;
	*value = sum;
	return 0;
}

int parse_number(const char *text, u64 *value)
{
	u64 number;
	int ret = parse_digits(&text, &number);

	if (ret)
		return ret;
	if (*text)
		return -EINVAL;
	*value = number;
	return 0;
}

/* The unit a size ends in, as a shift; -EINVAL when it is none. */
static int size_shift(const char *suffix)
{
	static const char units[] = "KMGT";
	const char *unit;

	if (!*suffix)
		return 0;
	unit = strchr(units, toupper((unsigned char)*suffix));
	if (!unit || (suffix[1] && strcasecmp(suffix + 1, "iB") != 0))
		return -EINVAL;
	return 10 * (int)(unit - units + 1);
}

int parse_size(const char *text, u64 *bytes)
{
	u64 whole, fraction = 0, scale = 1, size;
	int shift, ret;

	ret = parse_digits(&text, &whole);
	if (ret)
		return ret;
	if (*text == '.') {
		const char *first = ++text;

		ret = parse_digits(&text, &fraction);
		/* Six digits are more than a byte count needs and cannot overflow below. */
		if (ret || text - first > 6)
			return -EINVAL;
		for (; first < text; first++)
			scale *= 10;
	}
	shift = size_shift(text);
	if (shift < 0)
		return shift;
	if (!shift && fraction)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, 1UL << shift, &size) ||
	    __builtin_add_overflow(size, (fraction << shift) / scale, &size))
		return -ERANGE;
	*bytes = size;
	return 0;
}

int parse_percent(const char *text, u64 *percent)
{
	u64 number;
	int ret = parse_digits(&text, &number);

	if (ret)
		return ret;
	if (*text && strcmp(text, "%") != 0)
		return -EINVAL;
	*percent = number;
	return 0;
}

int parse_thousandths(const char *text, u64 *thousandths)
{
	u64 value, digit, unit = 1000;
	int ret = parse_digits(&text, &value);

	if (ret)
		return ret;
	if (__builtin_mul_overflow(value, unit, &value))
		return -ERANGE;
	if (*text == '.' && !isdigit((unsigned char)*++text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text) && unit > 1; text++) {
		digit = (u64)(*text - '0');
		value += digit * (unit /= 10);
	}
	if (*text == '%')
		text++;
	if (*text)
		return -EINVAL;
	*thousandths = value;
	return 0;
}

int parse_duration(const char *text, u64 *seconds)
{
	static const struct {
		const char *suffix;
		u32 seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}};
	u64 number;
	int ret = parse_digits(&text, &number);

	if (ret)
		return ret;
	for (u32 i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(number, (u64)units[i].seconds, &number))
			return -ERANGE;
		*seconds = number;
		return 0;
	}
	return -EINVAL;
}

int parse_yes_no(const char *text, bool *value)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {{"yes", true},    {"no", false}, {"true", true},
		     {"false", false}, {"on", true},  {"off", false}};

	for (u32 i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i].text) != 0)
			continue;
		*value = words[i].value;
		return 0;
	}
	return -EINVAL;
}
