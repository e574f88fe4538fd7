/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/kernel_ksm.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/overcommit/journal.h"
#include "bench/overcommit/textfile.h"

#define KNOBS "/sys/kernel/mm/ksm/"

static int knob_set(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), KNOBS "%s", name);
	return textfile_write(path, text);
}

static int find_thread(void)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	int pid = 0;

	while (folder && !pid && (entry = readdir(folder))) {
		char path[300], name[32];

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (!textfile_read(path, name, sizeof(name)) && !strcmp(name, "ksmd"))
			pid = atoi(entry->d_name);
	}
	if (folder)
		closedir(folder);
	return pid;
}

/* What is undone first is noted last: unmerge all, then the knobs, then whether it runs. */
static int note_knobs(struct journal *journal)
{
	static const char *const knobs[] = {KNOBS "run", KNOBS "pages_to_scan",
					    KNOBS "sleep_millisecs", KNOBS "smart_scan"};
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(knobs) && !err; i++)
		err = journal_note_file(journal, knobs[i]);
	return err ? err : journal_note(journal, UNDO_WRITE, KNOBS "run", "2");
}

int kernel_ksm_start(struct bench *bench, struct kernel_ksm *ksm, bool smart_scan)
{
	ksm->pid = find_thread();
	if (!ksm->pid)
		return bench_fail(bench, -ENOTSUP, "the kernel has no KSM");
	if (journal_open(JOURNAL_PATH, &ksm->journal))
		return bench_fail(bench, -ENOTSUP, "KSM's settings cannot be written down");
	if (note_knobs(ksm->journal) || knob_set("smart_scan", smart_scan ? "1" : "0") ||
	    knob_set("sleep_millisecs", "0") || knob_set("pages_to_scan", "20000") ||
	    knob_set("run", "1")) {
		kernel_ksm_stop(ksm);
		return bench_fail(bench, -ENOTSUP, "KSM cannot be set to work: not root?");
	}
	return 0;
}

void kernel_ksm_stop(struct kernel_ksm *ksm)
{
	journal_close(ksm->journal);
}

void kernel_ksm_sweep(void)
{
	struct journal *journal;

	if (!access(JOURNAL_PATH, F_OK) && !journal_open(JOURNAL_PATH, &journal))
		journal_close(journal);
}

u64 kernel_ksm_read(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), KNOBS "%s", name);
	return textfile_number(path);
}

/* The scheduler's own account (first field, ns), which is finer than ticks. */
double kernel_ksm_cpu_us(const struct kernel_ksm *ksm)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/schedstat", ksm->pid);
	return (double)textfile_number(path) / 1000;
}
