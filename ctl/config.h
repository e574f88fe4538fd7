/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a configuration file (docs/config.md) into the values the manager works with. Everything in
 * the file is understood or it is an error: a typing mistake must not silently mean the default.
 */
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

#include <stdio.h>

#include "manager/config.h"

/*
 * Reads `path`. On success returns 0; the caller ends with config_free(). Otherwise returns -errno,
 * with "file:line: what is wrong and what is allowed" in `error`, and nothing to free.
 */
int config_read(const char *path, struct host_config *config, char *error, size_t size);

/* The same from an open stream, which stays the caller's; `path` is for messages. */
int config_read_stream(FILE *stream, const char *path, struct host_config *config, char *error,
		       size_t size);

/* The same for a file of [guest] sections alone, to be added to a host that runs: a [host] section is
 * refused. */
int config_read_guests(FILE *stream, const char *path, struct host_config *config, char *error,
		       size_t size);

void config_free(struct host_config *config);

#endif
