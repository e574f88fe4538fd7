/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run as it is seen from outside: a snapshot of the host and of every guest at one moment, and what
 * follows from them. Progress, summary and report all show the same outcome.
 */
#ifndef CTL_OUTCOME_H
#define CTL_OUTCOME_H

#include "manager/manager.h"

#define OUTCOME_DECISIONS (32 * KiB)

struct outcome {
	struct host_snapshot host;
	u32 count; /* of guests */
	struct guest_snapshot *guests;
	char decisions[OUTCOME_DECISIONS]; /* the policy's last ones, a line each */
};

/* Makes room for `count` guests; there may come more. Returns 0 or -ENOMEM; ends with outcome_free(). */
int outcome_init(struct outcome *outcome, u32 count);
void outcome_free(struct outcome *outcome);

/* Asks the manager how all is now. Any thread. */
void outcome_take(struct outcome *outcome, struct manager *manager);

/* Asks it for the last decisions of its policy too. */
void outcome_take_decisions(struct outcome *outcome, struct manager *manager);

/* The guest ended, by itself or when told to, and every page it read was right. */
bool outcome_guest_ok(const struct guest_snapshot *guest);

/* Every guest ended OK. */
bool outcome_ok(const struct outcome *outcome);

u64 outcome_guest_faults(const struct guest_snapshot *guest);
u64 outcome_faults(const struct outcome *outcome);

/* Operations a second over the time it ran. */
double outcome_guest_rate(const struct guest_snapshot *guest);

/* Plain bytes by stored bytes of all that was compressed; 0 when nothing was. */
double outcome_ratio(const struct outcome *outcome);

const char *outcome_accel_name(u32 accel);

/* How the guest ended, in a word; "running" or "starting" before. */
const char *outcome_exit_name(const struct guest_snapshot *guest);

/* What the guests run on, in words: "KVM", "threads", "KVM and threads"; "" before any runs. */
const char *outcome_accel_words(const struct outcome *outcome);

#endif
