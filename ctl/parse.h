/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values people write: sizes, percentages, durations, yes and no. Each function takes the whole
 * text or nothing: it returns 0, -EINVAL when the text is something else, -ERANGE when it does not
 * fit, and leaves *value alone on error.
 */
#ifndef CTL_PARSE_H
#define CTL_PARSE_H

#include "lib/types.h"

/* Decimal digits only: no sign, no blank, no hexadecimal. */
int parse_number(const char *text, u64 *value);

/* Bytes: "4096", "512M", "1.5G", "2GiB"; K, M, G, T are powers of 1024, in either case. */
int parse_size(const char *text, u64 *bytes);

/* "20" or "20%". */
int parse_percent(const char *text, u64 *percent);

/* Thousandths of a per cent: "0.2", "0.2%", "1.25". */
int parse_thousandths(const char *text, u64 *thousandths);

/* Seconds: "90", "90s", "5m", "2h". */
int parse_duration(const char *text, u64 *seconds);

/* yes, no; also true, false, on, off. */
int parse_yes_no(const char *text, bool *value);

#endif
