/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/types.h"

static enum log_level log_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	log_level = level;
}

void log_message(enum log_level level, const char *format, ...)
{
	static const char *const prefix[] = {
		[LOG_LEVEL_ERROR] = "error: ",
		[LOG_LEVEL_WARN] = "warning: ",
		[LOG_LEVEL_INFO] = "",
		[LOG_LEVEL_DEBUG] = "debug: ",
	};
	int saved = errno;
	char line[1024];
	va_list args;
	int head, body;

	if (level > log_level)
		return;
	head = snprintf(line, sizeof(line), "ballast: %s", prefix[level]);
	va_start(args, format);
	body = vsnprintf(line + head, sizeof(line) - head - 1, format, args);
	va_end(args);
	head = MIN(head + MAX(body, 0), (int)sizeof(line) - 2);
	line[head++] = '\n';
	if (write(STDERR_FILENO, line, head) < 0) {
		/* Nowhere left to say so. */
	}
	errno = saved;
}
