/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing domains as numbers. Salts are words of the administrator; each gets a number when it is first seen, and keeps
 * it, so that no two ever meet. Wants the manager's lock.
 */
#ifndef MANAGER_SALTS_H
#define MANAGER_SALTS_H

#include "manager/config.h"

struct salts {
	enum host_salting salting;
	u32 count;
	char (*names)[ATTACH_NAME_MAX];
};

/*
 * The sharing domain of a guest with that salt ("": none) under that rule, for space_options.salt: two
 * guests have the same number if and only if they may share. `alone` is a number below 2^30 that no other
 * guest has at that time. Where there is no memory for a new salt, its guest shares with nobody.
 */
u32 salts_domain(struct salts *salts, enum host_salting salting, const char *salt, u32 alone);

void salts_free(struct salts *salts);

#endif
