/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: one line, one write, whatever is put into them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/types.h"

/* Standard error, turned into a pipe that is read when the message is out. */
static int capture[2];

static void capture_begin(void)
{
	cr_assert_eq(pipe2(capture, O_CLOEXEC | O_NONBLOCK), 0);
	cr_assert_geq(dup2(capture[1], STDERR_FILENO), 0);
}

static ssize_t capture_read(char *text, size_t size)
{
	ssize_t length = read(capture[0], text, size - 1);

	text[MAX(length, 0)] = '\0';
	return length;
}

Test(lib_log, a_line_names_the_program_and_the_level, .init = capture_begin)
{
	char text[256];

	log_error("guest %s: %d", "web1", 7);
	capture_read(text, sizeof(text));
	cr_expect_str_eq(text, "ballast: error: guest web1: 7\n");
	log_info("hello");
	capture_read(text, sizeof(text));
	cr_expect_str_eq(text, "ballast: hello\n");
}

Test(lib_log, levels_below_the_threshold_are_silent, .init = capture_begin)
{
	char text[256];

	log_debug("not by default");
	cr_expect_lt(capture_read(text, sizeof(text)), 0);
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("nor this");
	cr_expect_lt(capture_read(text, sizeof(text)), 0);
	log_error("but this");
	cr_expect_gt(capture_read(text, sizeof(text)), 0);
}

Test(lib_log, a_message_too_long_is_cut_and_still_ends_its_line, .init = capture_begin)
{
	char text[4096], message[3000];
	ssize_t length;

	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	log_error("%s", message);
	length = capture_read(text, sizeof(text));
	cr_assert_gt(length, 1000);
	cr_expect_leq(length, 1024);
	cr_expect_eq(text[length - 1], '\n');
	cr_expect_null(memchr(text, '\0', (size_t)length));
}

Test(lib_log, errno_is_preserved, .init = capture_begin)
{
	close(STDERR_FILENO);
	errno = EXDEV;
	log_error("nobody hears this");
	cr_expect_eq(errno, EXDEV);
}
