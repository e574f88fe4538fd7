/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to the person who runs us, on standard error. A message says what failed, on what, why,
 * and what to do; the level says whether anything was lost.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Messages above this level are dropped. Set before threads start; INFO at first. */
void log_set_level(enum log_level level);

/* "ballast: <level>: <message>\n", in one write, so lines of several processes do not mix.
 * Safe from any thread. errno is preserved. */
void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_message(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
