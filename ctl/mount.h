/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control tree as a file system (FUSE): a folder for each scope, a file for each attribute, mode 0444
 * or 0644, owned by who started the host. A file's text is made when it is first read after open(), as
 * in sysfs, and is of that moment; a write is one value, whole: in one write(2) at the file's
 * beginning.
 */
#ifndef CTL_MOUNT_H
#define CTL_MOUNT_H

#include "ctl/control.h"

struct mount;

/*
 * Mounts at `path`, which is made if it is not there, and which what a crashed host left mounted there
 * is taken from. Returns 0; or -errno, with a sentence in `why`: -EBUSY, something alive is mounted
 * there. `control` must outlive it.
 */
int mount_start(struct control *control, const char *path, char *why, size_t size,
		struct mount **mount);

/* Unmounts, whoever has files of it open (they get errors), and removes the folder if it was made. NULL
 * is fine. */
void mount_stop(struct mount *mount);

#endif
