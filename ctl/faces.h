/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All the faces of a running host's control tree: socket, mount, metrics. What is missing on this host
 * costs a warning, never the run.
 */
#ifndef CTL_FACES_H
#define CTL_FACES_H

#include "manager/manager.h"

struct faces;

/*
 * Shows the manager as the configuration has it. Returns 0, with a warning for each face that there
 * cannot be; or -EINVAL, with the reason logged, when the configuration asks for something that is
 * wrong. `config` and `manager` must outlive it.
 */
int faces_start(const struct host_config *config, struct manager *manager, struct faces **faces);

/* Takes all of them away: mount, socket, port. NULL is fine. */
void faces_stop(struct faces *faces);

#endif
