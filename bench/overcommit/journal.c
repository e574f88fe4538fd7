/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text file: a line "owner PID STARTTIME", then a line a step, fields separated by tabs. The start
 * time tells a process from another that got its number later.
 */
#include "bench/overcommit/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

#include "bench/overcommit/textfile.h"
#include "lib/log.h"

#define STEPS_MAX 64
#define STEP_LINE 1024

struct step {
	enum undo undo;
	char path[STEP_LINE / 2], value[STEP_LINE / 4];
};

struct journal {
	char path[512];
	u32 count;
	struct step steps[STEPS_MAX];
};

static const char *const undo_names[] = {
	[UNDO_WRITE] = "write",
	[UNDO_SWAPOFF] = "swapoff",
	[UNDO_REMOVE] = "remove",
	[UNDO_ZRAM] = "zram",
};

/* Field 22 of /proc/PID/stat; the name before it is in parentheses and may hold anything. 0: no such
 * process. */
static u64 start_time(int pid)
{
	char path[64], text[1024];
	unsigned long long started = 0;
	char *after;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (textfile_read(path, text, sizeof(text)) || !(after = strrchr(text, ')')))
		return 0;
	sscanf(after + 1,
	       " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
	       &started);
	return started;
}

static int write_step(FILE *file, const struct step *step)
{
	return fprintf(file, "%s\t%s\t%s\n", undo_names[step->undo], step->path, step->value) < 0
		       ? -EIO
		       : 0;
}

/* The file anew, as a whole: an earlier version or this one is on disk, nothing between. */
static int save(const struct journal *journal)
{
	char temporary[sizeof(journal->path) + 8];
	FILE *file;
	int err = 0;

	snprintf(temporary, sizeof(temporary), "%s.new", journal->path);
	file = fopen(temporary, "we");
	if (!file)
		return -errno;
	fprintf(file, "owner\t%d\t%llu\n", getpid(), (unsigned long long)start_time(getpid()));
	for (u32 i = 0; i < journal->count && !err; i++)
		err = write_step(file, &journal->steps[i]);
	if (!err && (fflush(file) || fsync(fileno(file))))
		err = -errno;
	if (fclose(file) && !err)
		err = -errno;
	if (!err && rename(temporary, journal->path))
		err = -errno;
	return err;
}

static int undo_zram(const char *folder)
{
	char path[STEP_LINE];

	snprintf(path, sizeof(path), "%s/reset", folder);
	return textfile_write(path, "1");
}

static int undo_step(const struct step *step)
{
	int err = 0;

	switch (step->undo) {
	case UNDO_WRITE:
		err = textfile_write(step->path, step->value);
		break;
	case UNDO_SWAPOFF:
		err = swapoff(step->path) && errno != EINVAL && errno != ENOENT ? -errno : 0;
		break;
	case UNDO_REMOVE:
		err = unlink(step->path) && errno != ENOENT ? -errno : 0;
		break;
	case UNDO_ZRAM:
		err = undo_zram(step->path);
		break;
	}
	if (err)
		log_error("%s %s %s, to put the host back as it was: %s", undo_names[step->undo],
			  step->path, step->value, strerror(-err));
	return err;
}

static int parse_step(char *line, struct step *step)
{
	char *path = strchr(line, '\t'), *value = path ? strchr(path + 1, '\t') : NULL;

	if (!value)
		return -EPROTO;
	*path++ = '\0';
	*value++ = '\0';
	for (u32 i = 0; i < ARRAY_SIZE(undo_names); i++) {
		if (strcmp(line, undo_names[i]))
			continue;
		step->undo = i;
		snprintf(step->path, sizeof(step->path), "%s", path);
		snprintf(step->value, sizeof(step->value), "%s", value);
		return 0;
	}
	return -EPROTO;
}

/* Reads what is there. Returns 0, -EBUSY when its owner lives, -ENOENT, or -EPROTO. */
static int load(struct journal *journal)
{
	FILE *file = fopen(journal->path, "re");
	unsigned long long started;
	char line[STEP_LINE];
	int pid, err = 0;

	if (!file)
		return -errno;
	if (!fgets(line, sizeof(line), file) ||
	    sscanf(line, "owner\t%d\t%llu", &pid, &started) != 2)
		err = -EPROTO;
	else if (pid != getpid() && start_time(pid) == started)
		err = -EBUSY;
	while (!err && journal->count < STEPS_MAX && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		err = parse_step(line, &journal->steps[journal->count]);
		journal->count += !err;
	}
	fclose(file);
	return err;
}

static int recover(struct journal *journal)
{
	int err = load(journal);

	if (err == -ENOENT)
		return 0;
	if (err == -EBUSY)
		log_error("%s: another benchmark is running here: wait for its end", journal->path);
	else if (err)
		log_error("%s: cannot be read (%s): put swap, zram and KSM back by hand, then "
			  "remove it",
			  journal->path, strerror(-err));
	if (err || !journal->count)
		return err;
	log_info("putting back %u settings of a benchmark that died", journal->count);
	return journal_undo(journal);
}

int journal_open(const char *path, struct journal **opened)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	int err;

	if (!journal)
		return -ENOMEM;
	snprintf(journal->path, sizeof(journal->path), "%s", path);
	err = recover(journal);
	if (!err) {
		err = save(journal);
		if (err)
			log_error("%s: cannot be written: %s: the kernel's own mechanisms can only "
				  "be set up by root",
				  path, strerror(-err));
	}
	if (err)
		free(journal);
	else
		*opened = journal;
	return err;
}

int journal_note(struct journal *journal, enum undo undo, const char *path, const char *value)
{
	struct step *step = &journal->steps[journal->count];
	int err;

	if (journal->count == STEPS_MAX || strpbrk(path, "\t\n") || strpbrk(value, "\t\n") ||
	    strlen(path) >= sizeof(step->path) || strlen(value) >= sizeof(step->value))
		return -EINVAL;
	step->undo = undo;
	snprintf(step->path, sizeof(step->path), "%s", path);
	snprintf(step->value, sizeof(step->value), "%s", value);
	journal->count++;
	err = save(journal);
	if (err)
		journal->count--;
	return err;
}

int journal_note_file(struct journal *journal, const char *path)
{
	char text[256], value[256];
	int err = textfile_read(path, text, sizeof(text));

	if (err)
		return err;
	textfile_choice(text, value, sizeof(value));
	return journal_note(journal, UNDO_WRITE, path, value);
}

int journal_undo(struct journal *journal)
{
	u32 left = 0;
	int first = 0, err;

	for (u32 i = journal->count; i-- > 0;) {
		err = undo_step(&journal->steps[i]);
		if (!err)
			continue;
		first = first ? first : err;
		left = MAX(left, i + 1);
	}
	journal->count = left;
	err = save(journal);
	return first ? first : err;
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	if (!journal_undo(journal))
		unlink(journal->path);
	free(journal);
}
