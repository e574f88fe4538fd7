/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes of the policy: what it is told, what each guest is promised, and what it decided. */
#ifndef CTL_ATTR_POLICY_H
#define CTL_ATTR_POLICY_H

#include "ctl/attr.h"

/* Write functions for rows whose number is a field of the snapshot's tuning: the same field is changed in
 * what is in force, and all of that is checked together (manager/tuning.h). */
/* Tests only: writers do not take turns, so that it can be seen that they have to. */
extern _Atomic bool attr_policy_without_turns;

int write_policy(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
		 size_t size);
/* "400 100 64 32 16": where the host's states begin. */
int take_state_pct(const struct attr_target *target, const char *text, char *error, size_t size);
int write_promise(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
		  size_t size);

/* The same for the options of the sharing scanner, which are right in any combination. */
int write_ksm(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
	      size_t size);

/* Bytes a guest's balloon should hold, by hand; 0 gives it back to the policy. */
int write_balloon(const struct attr_target *target, const struct attr *attr, u64 value, char *error,
		  size_t size);

void text_ksm_profit(const struct attr_view *view, u32 state, FILE *out);
void text_host_state(const struct attr_view *view, u32 state, FILE *out);
void text_state_pct(const struct attr_view *view, u32 state, FILE *out);
void text_decisions(const struct attr_view *view, u32 state, FILE *out);
void text_guest_decision(const struct attr_view *view, u32 state, FILE *out);

#endif
