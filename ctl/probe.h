/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The single checks of `ballast doctor`. Each tries the thing itself rather than believing a version
 * number, leaves nothing behind, and may be called at any time by any user.
 */
#ifndef CTL_PROBE_H
#define CTL_PROBE_H

#include "lib/types.h"

enum probe_verdict {
	PROBE_YES,     /* there, as it should be */
	PROBE_LIMITED, /* there, with a limit that `cost` tells */
	PROBE_NO,      /* not there: `cost` tells what that means */
};

struct probe_result {
	enum probe_verdict verdict;
	char found[160]; /* what was found */
	char cost[200];	 /* what the limit or absence costs and, where one can, how to mend it */
};

struct probe {
	const char *name;
	bool needed; /* without it nothing runs */
	/* swap: where the swap file will be, or its folder. */
	void (*run)(const char *swap, struct probe_result *result);
};

extern const struct probe probes[];
extern const u32 probe_count;

/* For the checks themselves. */
void probe_found(struct probe_result *result, enum probe_verdict verdict, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void probe_costs(struct probe_result *result, const char *text);

/* The first line of a file; "" when it cannot be read. */
void probe_read(const char *path, char *text, size_t size);

void probe_userfaultfd(const char *swap, struct probe_result *result);
void probe_userfaultfd_features(const char *swap, struct probe_result *result);
void probe_huge_pages(const char *swap, struct probe_result *result);
void probe_map_count(const char *swap, struct probe_result *result);
void probe_numa(const char *swap, struct probe_result *result);
void probe_memory(const char *swap, struct probe_result *result);
void probe_kvm(const char *swap, struct probe_result *result);
void probe_io_uring(const char *swap, struct probe_result *result);
void probe_direct_io(const char *swap, struct probe_result *result);
void probe_cgroup(const char *swap, struct probe_result *result);
void probe_fuse(const char *swap, struct probe_result *result);

#endif
