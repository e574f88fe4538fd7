/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control tree: the attribute tables with paths, values and guests put to them. Its faces (mount,
 * socket, metrics) call this and nothing else, from any thread.
 *
 *	/memory              an attribute of the host
 *	/vm/NAME/reclaim     ... of a guest
 *	/numa/nodeN/free     ... of a NUMA node
 *
 * A write is checked here and applied by the manager, under its lock, as one: two writers never tear a
 * value. A read shows a snapshot that was taken under the same lock. The control's own lock, for what it
 * notes, is innermost. No lock is held while anybody's answer is sent.
 */
#ifndef CTL_CONTROL_H
#define CTL_CONTROL_H

#include <stdio.h>
#include <sys/types.h>

#include "ctl/attr.h"

#define CONTROL_PATH_MAX 256

struct control;

/* What a path names. */
struct control_node {
	const struct attr *attr; /* NULL: a folder */
	enum attr_scope scope;
	u32 index; /* of the guest, or number of the NUMA node */
};

/* The entries of a folder, each once. */
struct control_names {
	u32 count;
	char (*names)[ATTACH_NAME_MAX];
};

/* `manager` must outlive it. Returns 0 or -ENOMEM. */
int control_create(struct manager *manager, const char *name, struct control **control);

/* All faces must be gone. NULL is fine. */
void control_destroy(struct control *control);

const char *control_name(const struct control *control);
struct manager *control_manager(struct control *control);

/* Finds what a path names; slashes at its ends and double ones mean nothing. Returns 0 or -ENOENT. */
int control_find(struct control *control, const char *path, struct control_node *node);

/* Lists a folder. Returns 0, -ENOENT or -ENOTDIR, -ENOMEM; free names->names then. */
int control_list(struct control *control, const char *path, struct control_names *names);

/* The text of an attribute at this moment, NUL-terminated, for the caller to free. Returns its length;
 * or -ENOENT, -EISDIR, -ENOMEM. */
ssize_t control_read(struct control *control, const char *path, char **text);

/*
 * Writes an attribute: `length` bytes, a final newline or not. Returns 0; or -ENOENT, -EISDIR,
 * -EACCES (read-only), -EINVAL, with a sentence in `error` (ATTR_ERROR_MAX), which is also the scope's
 * last_error.
 */
int control_write(struct control *control, const char *path, const char *text, size_t length,
		  char *error, size_t size);

/* Every attribute at or below `path`: "path<TAB>line" for each of its lines, and "path<TAB>" for one
 * without any. Each scope's values are of one moment. Returns 0 or -ENOENT, -ENOMEM. */
int control_dump(struct control *control, const char *path, FILE *out);

/* For the attributes themselves. `index` is a guest's, or -1: the host's. */
void control_last_error(struct control *control, int index, char *error, size_t size);
int control_reclaim(struct control *control, u32 index, u64 bytes, char *error, size_t size);
u64 control_reclaimed(struct control *control, u32 index);

#endif
