/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where running hosts are found: a folder with a socket NAME.sock for each, and by default the mounted
 * control tree NAME. /run/ballast for root; for others $XDG_RUNTIME_DIR/ballast, or /tmp/ballast-UID.
 */
#ifndef CTL_RUNDIR_H
#define CTL_RUNDIR_H

#include "lib/types.h"

#define RUNDIR_PATH_MAX 256

/* Its path. Nothing is made. */
void rundir_path(char *path, size_t size);

/* Makes it if it is not there, for this user alone to write. Returns 0 or -errno: -EPERM, it is
 * somebody else's. */
int rundir_make(void);

/* The socket of a host; false: the path is too long for a socket. */
bool rundir_socket(const char *host, char *path, size_t size);

/* The socket at which VMMs bring their guests to it. Likewise. */
bool rundir_attach(const char *host, char *path, size_t size);

/*
 * The name of the one host whose socket answers. Returns 0; -ENOENT when there is none, -ENOTUNIQ for
 * several, whose names are in `name` then, with blanks between.
 */
int rundir_only_host(char *name, size_t size);

/* Connects to a host's socket. Returns the descriptor or -errno. */
int rundir_connect(const char *path);

#endif
