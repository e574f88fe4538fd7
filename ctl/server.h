/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host's socket: answers what `ballast get`, `set`, `top` and the others ask (ctl/wire.h). A few threads
 * share it; each serves one connection with one request, and waits two seconds at most for a client
 * that says nothing, or does not read.
 */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

#include "ctl/control.h"

struct server;

/*
 * Listens at `path`, mode 0600. A socket that nobody listens at any more is replaced; -EADDRINUSE: somebody
 * does. Returns 0 or -errno. `control` must outlive it.
 */
int server_start(struct control *control, const char *path, struct server **server);

/* Finishes what is being served, and removes the socket. NULL is fine. */
void server_stop(struct server *server);

#endif
