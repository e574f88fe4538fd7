/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmark changes on the host, and how it was before. Each change is written down, and on
 * disk, before it is made; putting back goes through the list from its end. So it is put back after a
 * normal end, an interrupt or a failure by whoever made it, and after a death by the next one to come.
 * Steps may be repeated and may find nothing to do: a death may come between writing and changing.
 *
 * The file is also a lock: one benchmark at a time changes a host.
 */
#ifndef BENCH_OVERCOMMIT_JOURNAL_H
#define BENCH_OVERCOMMIT_JOURNAL_H

#include "lib/types.h"

#define JOURNAL_PATH "/run/ballast-overcommit.journal"

enum undo {
	UNDO_WRITE,   /* write `value` into the file `path` */
	UNDO_SWAPOFF, /* stop swapping to `path` */
	UNDO_REMOVE,  /* remove the file `path` */
	UNDO_ZRAM,    /* empty the zram device whose sysfs folder is `path` */
};

struct journal;

/*
 * Puts back what a dead owner of the journal at `path` left, and opens an empty one. Returns 0;
 * -EBUSY when its owner lives; other -errno. The reason is logged.
 */
int journal_open(const char *path, struct journal **journal);

/* Writes down how to undo what the caller is about to do. `value` counts for UNDO_WRITE; neither may
 * have a tab or a line break. Returns 0 or -errno: then do not do it. */
int journal_note(struct journal *journal, enum undo undo, const char *path, const char *value);

/* Notes the value that a file has now. */
int journal_note_file(struct journal *journal, const char *path);

/* Puts all back and empties the journal. Returns 0, or -errno of the first step that failed, after
 * trying all; what failed stays written down, and what comes after it: undone alone, it might undo that. */
int journal_undo(struct journal *journal);

/* Undoes and removes the journal. NULL is fine. */
void journal_close(struct journal *journal);

#endif
