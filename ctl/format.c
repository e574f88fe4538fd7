/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"

/* `value` units with three significant digits: "1.23", "12.3", "123", then more. */
static struct formatted format_digits(double value, const char *unit)
{
	struct formatted out;
	int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

	snprintf(out.text, sizeof(out.text), "%.*f%s", decimals, value, unit);
	return out;
}

struct formatted format_size(u64 bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	struct formatted out;
	double value = (double)bytes / 1024;
	u32 unit = 0;

	if (bytes < 1024) {
		snprintf(out.text, sizeof(out.text), "%" PRIu64 " B", bytes);
		return out;
	}
	for (; value >= 1023.5 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	snprintf(out.text, sizeof(out.text), "%.*f %s", value < 9.95 ? 1 : 0, value, units[unit]);
	return out;
}

struct formatted format_size_exact(u64 bytes)
{
	static const char *const units[] = {"", "K", "M", "G", "T"};
	struct formatted out;
	u32 unit = 0;

	for (; bytes && bytes % 1024 == 0 && unit + 1 < ARRAY_SIZE(units); unit++)
		bytes /= 1024;
	snprintf(out.text, sizeof(out.text), "%" PRIu64 "%s", bytes, units[unit]);
	return out;
}

struct formatted format_count(u64 count)
{
	static const char *const units[] = {"k", "M", "G", "T", "P", "E"};
	struct formatted out;
	double value = (double)count / 1000;
	u32 unit = 0;

	if (count < 1000) {
		snprintf(out.text, sizeof(out.text), "%" PRIu64, count);
		return out;
	}
	for (; value >= 999.5 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1000;
	return format_digits(value, units[unit]);
}

struct formatted format_latency(u64 ns)
{
	struct formatted out = {"-"};

	if (!ns)
		return out;
	if (ns < NSEC_PER_USEC) {
		snprintf(out.text, sizeof(out.text), "%" PRIu64 "ns", ns);
		return out;
	}
	if (ns < NSEC_PER_MSEC - NSEC_PER_USEC / 2)
		return format_digits((double)ns / NSEC_PER_USEC, "us");
	if (ns < NSEC_PER_SEC - NSEC_PER_MSEC / 2)
		return format_digits((double)ns / NSEC_PER_MSEC, "ms");
	return format_digits((double)ns / NSEC_PER_SEC, "s");
}

struct formatted format_clock(u64 ns)
{
	struct formatted out;
	u64 seconds = ns / NSEC_PER_SEC;
	u32 minutes = (u32)(seconds / 60 % 60);

	if (seconds < 3600)
		snprintf(out.text, sizeof(out.text), "%02u:%02u", minutes, (u32)(seconds % 60));
	else
		snprintf(out.text, sizeof(out.text), "%" PRIu64 ":%02u:%02u", seconds / 3600,
			 minutes, (u32)(seconds % 60));
	return out;
}

u32 format_percent(u64 part, u64 whole)
{
	return whole ? (u32)((double)part * 100 / (double)whole) : 0;
}

void format_bar(char *text, u32 width, u64 whole, const struct bar_part *parts, u32 count)
{
	double sum = 0;
	u32 at = 0;

	/* Ends are rounded, not lengths: then parts that make a whole fill the bar exactly. */
	for (u32 i = 0; i < count && whole; i++) {
		u32 end;

		sum += (double)parts[i].amount / (double)whole;
		end = sum >= 1 ? width : (u32)(sum * width + 0.5);
		while (at < end)
			text[at++] = parts[i].fill;
	}
	memset(text + at, ' ', width - at);
	text[width] = '\0';
}

void format_printable(char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
}
