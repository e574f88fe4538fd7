/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON (RFC 8259), one value after the other, indented for people. There is nothing to read
 * here, only to write, so a library's tree of values would be built to be thrown away.
 *
 *	json_open(&json, NULL, '{');
 *	json_number(&json, "budget_bytes", 1 << 30);
 *	json_close(&json);
 *
 * `key` is NULL inside an array and for the outermost value. Errors stick to the stream: ask
 * ferror() at the end.
 */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <stdio.h>

#include "lib/types.h"

#define JSON_DEPTH 16

struct json {
	FILE *stream; /* the caller's */
	u32 depth;
	char closers[JSON_DEPTH];
	bool empty; /* nothing written yet in the innermost object or array */
};

void json_init(struct json *json, FILE *stream);

/* bracket: '{' or '['. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json);

void json_string(struct json *json, const char *key, const char *text);
void json_number(struct json *json, const char *key, u64 number);
void json_bool(struct json *json, const char *key, bool value);

/* With three decimals; 0 for what JSON cannot say (infinity, not a number). */
void json_real(struct json *json, const char *key, double number);

#endif
