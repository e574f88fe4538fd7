/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

void json_init(struct json *json, FILE *stream)
{
	*json = (struct json){.stream = stream, .empty = true};
}

static void write_text(struct json *json, const char *text)
{
	FILE *out = json->stream;

	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			/* Beyond ASCII may be no UTF-8 at all: a guest's text, a file's name. */
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* The comma, the line, the indent and the key that stand before a value. */
static void begin_value(struct json *json, const char *key)
{
	if (json->depth)
		fprintf(json->stream, "%s\n%*s", json->empty ? "" : ",", (int)(2 * json->depth),
			"");
	json->empty = false;
	if (!key)
		return;
	write_text(json, key);
	fputs(": ", json->stream);
}

void json_open(struct json *json, const char *key, char bracket)
{
	assert(json->depth < JSON_DEPTH);
	begin_value(json, key);
	fputc(bracket, json->stream);
	json->closers[json->depth++] = bracket == '{' ? '}' : ']';
	json->empty = true;
}

void json_close(struct json *json)
{
	assert(json->depth > 0);
	json->depth--;
	if (!json->empty)
		fprintf(json->stream, "\n%*s", (int)(2 * json->depth), "");
	fputc(json->closers[json->depth], json->stream);
	json->empty = false;
	if (!json->depth)
		fputc('\n', json->stream);
}

void json_string(struct json *json, const char *key, const char *text)
{
	begin_value(json, key);
	write_text(json, text);
}

void json_number(struct json *json, const char *key, u64 number)
{
	begin_value(json, key);
	fprintf(json->stream, "%" PRIu64, number);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin_value(json, key);
	fputs(value ? "true" : "false", json->stream);
}

void json_real(struct json *json, const char *key, double number)
{
	begin_value(json, key);
	fprintf(json->stream, "%.3f", isfinite(number) ? number : 0.0);
}
