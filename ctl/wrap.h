/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ballast wrap`: starts QEMU so that its guest comes under a manager. What it needs to know it takes from
 * QEMU's own options, and adds what is missing.
 */
#ifndef CTL_WRAP_H
#define CTL_WRAP_H

#include "ctl/cli.h"

extern const struct cli_command wrap_command;

#define WRAP_NAME_MAX 64

/* What a command line of QEMU's says. */
struct wrap_view {
	char name[WRAP_NAME_MAX]; /* -name; "": none */
	u64 bytes;		  /* -m, 128 MiB by default */
	u64 max_bytes;		  /* ... with its maxmem */
	u32 vcpus;		  /* -smp */
	bool kvm;
	bool no_guest;	  /* it runs none: it is asked for its version, or what it can do */
	bool backend;	  /* it has memory backends of its own */
	char paths[2048]; /* their mem-paths, with `:` between */
};

/* Looks at the arguments behind QEMU's name. Returns 0; or -EINVAL and why. */
int wrap_look(int argc, char *const *argv, struct wrap_view *view, char *why, size_t size);

#endif
