/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of a host's socket: what `ballast get` and its like ask with. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stdio.h>

#include "lib/types.h"

/*
 * Finds the socket of a host: by its name; by the path of its socket, which has a slash; or, with NULL,
 * the only one that runs. Returns 0; or -errno, with a sentence logged.
 */
int client_find(const char *host, char *path, size_t size);

/*
 * Asks the host at the socket `path` (ctl/wire.h). Returns 0 and the answer's text, NUL-terminated, for the
 * caller to free; or an errno of the host's, positive, with its sentence as text; or -errno when
 * nobody answered, with the reason logged and no text.
 */
int client_ask(const char *path, const char *const *words, u32 count, char **text);

#endif
