// SPDX-License-Identifier: Apache-2.0
/* What the overcommit benchmark changes on a host is put back: by itself, or by the next. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/overcommit/journal.h"
#include "bench/overcommit/textfile.h"
#include "lib/log.h"

static char folder[64], journal_path[128], knob[128], file[128];

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/ballast-journal.XXXXXX");
	cr_assert(mkdtemp(folder));
	snprintf(journal_path, sizeof(journal_path), "%s/journal", folder);
	snprintf(knob, sizeof(knob), "%s/knob", folder);
	snprintf(file, sizeof(file), "%s/file", folder);
	fclose(fopen(knob, "w"));
	textfile_write(knob, "7\n");
	fclose(fopen(file, "w"));
	log_set_level(LOG_LEVEL_ERROR);
}

static void teardown(void)
{
	unlink(journal_path);
	unlink(knob);
	unlink(file);
	rmdir(folder);
}

static u64 knob_now(void)
{
	return textfile_number(knob);
}

static void change(struct journal *journal)
{
	cr_assert_eq(journal_note_file(journal, knob), 0);
	textfile_write(knob, "9");
	cr_assert_eq(journal_note(journal, UNDO_REMOVE, file, ""), 0);
}

/* Changes the host and dies. */
static void die_changed(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct journal *journal;

		if (!journal_open(journal_path, &journal))
			change(journal);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(knob_now(), 9);
}

Test(overcommit_journal, closing_puts_all_back, .init = setup, .fini = teardown)
{
	struct journal *journal;

	cr_assert_eq(journal_open(journal_path, &journal), 0);
	change(journal);
	journal_close(journal);
	cr_expect_eq(knob_now(), 7);
	cr_expect(access(file, F_OK));
	cr_expect(access(journal_path, F_OK));
}

Test(overcommit_journal, the_next_puts_back_what_a_dead_one_left, .init = setup, .fini = teardown)
{
	struct journal *journal;

	die_changed();
	cr_assert_eq(journal_open(journal_path, &journal), 0);
	cr_expect_eq(knob_now(), 7);
	cr_expect(access(file, F_OK));
	journal_close(journal);
}

Test(overcommit_journal, steps_are_undone_from_the_last, .init = setup, .fini = teardown)
{
	struct journal *journal;

	cr_assert_eq(journal_open(journal_path, &journal), 0);
	cr_assert_eq(journal_note(journal, UNDO_WRITE, knob, "1"), 0);
	cr_assert_eq(journal_note(journal, UNDO_WRITE, knob, "2"), 0);
	cr_assert_eq(journal_undo(journal), 0);
	cr_expect_eq(knob_now(), 1);
	journal_close(journal);
}

Test(overcommit_journal, what_cannot_be_put_back_stays_written_down, .init = setup,
     .fini = teardown)
{
	struct journal *journal;

	cr_assert_eq(journal_open(journal_path, &journal), 0);
	cr_assert_eq(journal_note_file(journal, knob), 0);
	cr_assert_eq(journal_note(journal, UNDO_WRITE, "/nowhere/at/all", "1"), 0);
	textfile_write(knob, "9");
	cr_expect_eq(journal_undo(journal), -ENOENT);
	cr_expect_eq(knob_now(), 7);
	journal_close(journal);
	cr_expect_eq(access(journal_path, F_OK), 0);
}

/* KSM's `run` is first 2, which unmerges, then what it was. A 2 that fails at first must not be the last. */
Test(overcommit_journal, what_failed_is_put_back_with_what_comes_after_it, .init = setup,
     .fini = teardown)
{
	struct journal *journal;

	cr_assert_eq(journal_open(journal_path, &journal), 0);
	cr_assert_eq(journal_note_file(journal, knob), 0);
	cr_assert_eq(journal_note(journal, UNDO_WRITE, file, "2"), 0);
	unlink(file);
	cr_expect_eq(journal_undo(journal), -ENOENT);
	cr_assert_eq(symlink(knob, file), 0);
	cr_expect_eq(journal_undo(journal), 0);
	cr_expect_eq(knob_now(), 7);
	journal_close(journal);
	cr_expect(access(journal_path, F_OK));
}

Test(overcommit_journal, one_owner_at_a_time, .init = setup, .fini = teardown)
{
	struct journal *journal;
	int status;
	pid_t pid;

	cr_assert_eq(journal_open(journal_path, &journal), 0);
	pid = fork();
	if (!pid) {
		struct journal *other;

		_exit(journal_open(journal_path, &other) == -EBUSY ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	journal_close(journal);
}

Test(overcommit_journal, a_file_that_is_no_journal_is_left_alone, .init = setup, .fini = teardown)
{
	struct journal *journal;

	fclose(fopen(journal_path, "w"));
	textfile_write(journal_path, "shopping list\n");
	cr_expect_eq(journal_open(journal_path, &journal), -EPROTO);
	cr_expect_eq(access(journal_path, F_OK), 0);
}

Test(overcommit_journal, the_choice_of_a_list_is_its_word_in_brackets)
{
	char word[16];

	textfile_choice("lzo [lz4] zstd", word, sizeof(word));
	cr_expect_str_eq(word, "lz4");
	textfile_choice("20", word, sizeof(word));
	cr_expect_str_eq(word, "20");
}
