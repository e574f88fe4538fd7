/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes that are words or lines, not numbers, and those that ask somebody else. */
#ifndef CTL_ATTR_TEXT_H
#define CTL_ATTR_TEXT_H

#include "ctl/attr.h"

void text_host_name(const struct attr_view *view, u32 state, FILE *out);
void text_host_pressure(const struct attr_view *view, u32 state, FILE *out);
void text_last_error(const struct attr_view *view, u32 state, FILE *out);
void text_compressor(const struct attr_view *view, u32 state, FILE *out);
void text_guest_state(const struct attr_view *view, u32 state, FILE *out);
void text_guest_exit(const struct attr_view *view, u32 state, FILE *out);
void text_guest_accel(const struct attr_view *view, u32 state, FILE *out);
void text_guest_phase(const struct attr_view *view, u32 state, FILE *out);
void text_guest_workload(const struct attr_view *view, u32 state, FILE *out);
void text_guest_salt(const struct attr_view *view, u32 state, FILE *out);
void text_stats_age(const struct attr_view *view, u32 state, FILE *out);
void text_stat(const struct attr_view *view, u32 state, FILE *out);
void text_ages(const struct attr_view *view, u32 state, FILE *out);
void text_guest_node(const struct attr_view *view, u32 state, FILE *out);
void text_guest_pressure(const struct attr_view *view, u32 state, FILE *out);

/* Writes config/salt. */
int take_salt(const struct attr_target *target, const char *text, char *error, size_t size);

/* A histogram of faults on pages in `state`: count, sum and percentiles, then a line for each power of
 * two that has any. */
void text_latency(const struct attr_view *view, u32 state, FILE *out);

/* As the kernel counts the NUMA node, in bytes. */
u64 node_size(const struct attr_view *view);
u64 node_free(const struct attr_view *view);

/* As the manager does: struct node_snapshot. */
u64 node_shared(const struct attr_view *view);
u64 node_pool(const struct attr_view *view);
u64 node_resident(const struct attr_view *view);

/* For each power of two of nanoseconds: how many records lie below it, cumulative. */
#define LATENCY_STEPS 28
#define LATENCY_FIRST 10 /* 2^10 ns, said to be a microsecond */
void latency_steps(const struct hist *hist, u64 steps[LATENCY_STEPS]);

#endif
