/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what is wrong with it is told apart from what went wrong. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "ctl/cli.h"

static enum cli_status call(const char *a, const char *b, const char *c)
{
	char *argv[] = {"ballast", (char *)a, (char *)b, (char *)c, NULL};
	int argc = 1;

	while (argv[argc])
		argc++;
	cr_redirect_stdout();
	cr_redirect_stderr();
	return cli_main(argc, argv, NULL, 0);
}

Test(ctl_cli, no_command_is_a_misuse)
{
	cr_expect_eq(call(NULL, NULL, NULL), CLI_USAGE);
}

Test(ctl_cli, an_unknown_command_is_a_misuse)
{
	cr_expect_eq(call("rum", NULL, NULL), CLI_USAGE);
}

Test(ctl_cli, help_is_no_failure)
{
	cr_expect_eq(call("--help", NULL, NULL), CLI_OK);
	cr_expect_eq(call("run", "--help", NULL), CLI_OK);
	cr_expect_eq(call("help", "config", NULL), CLI_OK);
	cr_expect_eq(call("--version", NULL, NULL), CLI_OK);
}

Test(ctl_cli, options_are_checked_before_anything_is_done)
{
	cr_expect_eq(call("run", NULL, NULL), CLI_USAGE);
	cr_expect_eq(call("run", "--fast", "x.ini"), CLI_USAGE);
	cr_expect_eq(call("run", "x.ini", "--for"), CLI_USAGE);
	cr_expect_eq(call("run", "x.ini", "--for=soon"), CLI_USAGE);
	cr_expect_eq(call("doctor", "--swap", NULL), CLI_USAGE);
	cr_expect_eq(call("vmm", "--socket", "x"), CLI_USAGE);
}

Test(ctl_cli, a_file_that_is_not_there_is_a_failure)
{
	cr_expect_eq(call("run", "/nonexistent.ini", NULL), CLI_FAILED);
}

Test(ctl_cli, the_doctor_comes_to_a_verdict)
{
	enum cli_status status = call("doctor", "--swap", "/tmp/swap");

	cr_expect(status == CLI_OK || status == CLI_FAILED);
}
