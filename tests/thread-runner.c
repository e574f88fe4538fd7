/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the unit tests under the thread sanitizer. Criterion cannot: it maps its arena at addresses
 * that the sanitizer keeps for itself. So this file stands in for its library: the same Test() macro,
 * the same assertions, the same last line, a child process per test, as many at a time as there are
 * CPUs. What a test uses and is missing here fails to link.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/types.h"

#define EXIT_SKIPPED	77
#define DEFAULT_TIMEOUT 300

/* The linker collects what Test() declares between these two. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
/* The same for TestSuite(), which may not occur at all. */
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

struct criterion_options criterion_options;

static const struct criterion_test *current;
static const struct criterion_test_extra_data *suite; /* of the current test */
static _Atomic bool failed;
static FILE *report; /* standard error, even when a test redirects it */

/* ---- what the macros call ---- */

void criterion_internal_test_setup(void)
{
	if (suite->init)
		suite->init();
	if (current->data->init)
		current->data->init();
}

void criterion_internal_test_main(void (*test)(void))
{
	test();
}

void criterion_internal_test_teardown(void)
{
	if (current->data->fini)
		current->data->fini();
	if (suite->fini)
		suite->fini();
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
	if (!stats->passed)
		fprintf(report, "[----] %s:%u: %s\n", stats->file, stats->line, stats->message);
}

/* The arguments are strings: the expression first. */
char *cr_translate_assert_msg(int index, ...)
{
	va_list args;
	char *text;

	(void)index;
	va_start(args, index);
	text = va_arg(args, char *);
	text = strdup(text ? text : "");
	va_end(args);
	return text;
}

int cr_asprintf(char **text, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(text, format, args);
	va_end(args);
	return length;
}

void cr_asprintf_free(char *text)
{
	free(text);
}

void cri_asserts_passed_incr(void)
{
}

void criterion_continue_test(void)
{
	failed = true;
}

void criterion_abort_test(void)
{
	_exit(EXIT_FAILURE);
}

/* Criterion would let the test read it; here it is only out of the way. */
static void discard(FILE *stream)
{
	fflush(stream);
	if (!freopen("/dev/null", "w", stream))
		criterion_abort_test();
}

void cr_redirect_stdout(void)
{
	discard(stdout);
}

void cr_redirect_stderr(void)
{
	discard(stderr);
}

void criterion_skip_test(const char *format, ...)
{
	va_list args;

	fprintf(report, "[SKIP] %s::%s: ", current->category, current->name);
	va_start(args, format);
	vfprintf(report, format, args);
	va_end(args);
	fputc('\n', report);
	fflush(report);
	_exit(EXIT_SKIPPED);
}

/* ---- the runner ---- */

static const struct criterion_test_extra_data *find_suite(const char *name)
{
	static const struct criterion_test_extra_data none;

	for (struct criterion_suite **at = __start_cr_sts; at < __stop_cr_sts; at++)
		if (*at && !strcmp((*at)->name, name))
			return (*at)->data;
	return &none;
}

static void run_child(void)
{
	double timeout = MAX(current->data->timeout, suite->timeout);

	alarm(timeout > 0 ? (unsigned int)timeout : DEFAULT_TIMEOUT);
	current->test();
	exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* What became of the tests. */
struct tally {
	u32 tested, failing, crashing;
};

/* The tests under way: as many as there are CPUs. */
static struct {
	pid_t pid; /* 0: free */
	const struct criterion_test *test;
} slots[8];

/* 0, the exit status of a test that failed, or -1 when it ended by a signal nobody expected. */
static int judge(const struct criterion_test *test, int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == test->data->signal ? 0 : -1;
	if (WEXITSTATUS(status) == test->data->exit_code)
		return test->data->signal ? EXIT_FAILURE : 0;
	return WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

static void count(struct tally *tally, const struct criterion_test *test, int status)
{
	int ret = judge(test, status);

	if (ret == EXIT_SKIPPED)
		return;
	tally->tested++;
	tally->failing += ret > 0;
	tally->crashing += ret < 0;
	if (ret)
		fprintf(report, "[FAIL] %s::%s\n", test->category, test->name);
}

/* Waits for one to end. Returns false when none is left. */
static bool await(struct tally *tally)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);

	if (pid < 0)
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(slots); i++) {
		if (slots[i].pid != pid)
			continue;
		slots[i].pid = 0;
		count(tally, slots[i].test, status);
	}
	return true;
}

/* Starts the current test once one of the first `limit` slots is free. */
static void start(struct tally *tally, u32 limit)
{
	u32 slot = 0;

	while (slots[slot].pid) {
		if (++slot < limit)
			continue;
		await(tally);
		slot = 0;
	}
	fflush(NULL);
	slots[slot].test = current;
	slots[slot].pid = fork();
	if (!slots[slot].pid)
		run_child();
	if (slots[slot].pid > 0)
		return;
	perror("[----] cannot run a test");
	slots[slot].pid = 0;
	tally->tested++;
	tally->crashing++;
}

/* `--filter SUITE/TEST`, as Criterion has it: a pattern. NULL: all tests. */
static const char *find_filter(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--filter") == 0)
			return argv[i + 1];
	return NULL;
}

static bool wanted(const struct criterion_test *test, const char *filter)
{
	char name[256];

	snprintf(name, sizeof(name), "%s/%s", test->category, test->name);
	return !filter || fnmatch(filter, name, 0) == 0;
}

int main(int argc, char **argv)
{
	const char *filter = find_filter(argc, argv);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	u32 limit = (u32)MIN(MAX(cpus, 1), (long)ARRAY_SIZE(slots));
	struct tally tally = {0};

	report = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0), "w");
	if (!report)
		return EXIT_FAILURE;
	setvbuf(report, NULL, _IOLBF, 0);
	for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
		current = *test;
		/* The linker may pad between the objects' shares of the section. */
		if (!current || !wanted(current, filter))
			continue;
		suite = find_suite(current->category);
		if (!current->data->disabled && !suite->disabled)
			start(&tally, limit);
	}
	while (await(&tally))
		;
	fprintf(report, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
		tally.tested, tally.tested - tally.failing - tally.crashing, tally.failing,
		tally.crashing);
	return tally.failing || tally.crashing ? EXIT_FAILURE : EXIT_SUCCESS;
}
