/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory cgroup a host runs in: its hard limit is the proof that the guests really live on the
 * budget, and its counters are what our own accounting is checked against. Version 1 and 2.
 */
#ifndef MANAGER_CGROUP_H
#define MANAGER_CGROUP_H

#include <limits.h>
#include <sys/types.h>

#include "lib/types.h"

struct cgroup;

/* Where memory cgroups are on this host, and where in them a process is. */
struct cgroup_place {
	u32 version;	     /* 1 or 2 */
	bool top;	     /* home is as high as we can see */
	char home[PATH_MAX]; /* folder of the process' own cgroup */
};

/* What the kernel counts, in bytes unless said otherwise. */
struct cgroup_usage {
	u64 now;	/* all of it */
	u64 peak;	/* the most it was; where the kernel keeps no peak, the most we ever saw */
	u64 anon;	/* private memory of processes */
	u64 shmem;	/* RAM files, data: memory files of any kind */
	u64 cache;	/* of files on disk; the kernel drops it when memory is short */
	u64 kernel;	/* page tables, VMAs, slabs */
	u64 limit_hits; /* how often the limit made someone wait for reclaim */
	u64 oom_kills;
};

/*
 * Finds the place from the text of /proc/self/mountinfo and /proc/self/cgroup: version 1's memory
 * controller if it is mounted, else version 2. Returns 0, or -ENOENT (no memory cgroups) or
 * -EXDEV (the process' cgroup lies outside what is mounted), and *why.
 */
int cgroup_find(const char *mountinfo, const char *membership, struct cgroup_place *place,
		const char **why);

/* The same for the calling process, from the files themselves. */
int cgroup_find_self(struct cgroup_place *place, const char **why);

/*
 * Makes the cgroup "ballast-<name>-<pid>" below the caller's own, or beside it where version 2
 * allows no child (a cgroup with processes passes no controllers on). First removes what runs that
 * are dead left behind. Returns 0, or -errno and *why: absent, not permitted, no memory controller.
 */
int cgroup_create(const char *name, struct cgroup **cgroup, const char **why);

/* Sets the hard limit in bytes (the kernel rounds to pages), and keeps the kernel from swapping what
 * is in the cgroup: that is our trade. Returns 0 or -errno. */
int cgroup_set_limit(struct cgroup *cgroup, u64 bytes);

/* Moves a process in (0: the caller). What it allocates from now on counts, what it has does not;
 * children are born in its cgroup. Returns 0 or -errno. */
int cgroup_join(struct cgroup *cgroup, pid_t pid);

/* Reads the counters; what the kernel does not tell stays 0. Returns 0 or -errno. Cheap enough for
 * ten times a second. One thread at a time. */
int cgroup_read_usage(struct cgroup *cgroup, struct cgroup_usage *usage);

/* Its folder, for messages. */
const char *cgroup_path(const struct cgroup *cgroup);

/* Moves whoever is left in it back to where we came from and removes it. NULL is fine. */
void cgroup_destroy(struct cgroup *cgroup);

#endif
