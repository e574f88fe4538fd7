/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/doctor.h"

#include <stdio.h>
#include <string.h>

#include "ctl/probe.h"

static void print_result(const struct probe *probe, const struct probe_result *result)
{
	static const char *const words[] = {
		[PROBE_YES] = "yes",
		[PROBE_LIMITED] = "limited",
		[PROBE_NO] = "no",
	};

	printf("%-8s %-12s %s\n", words[result->verdict], probe->name, result->found);
	if (*result->cost)
		printf("%-8s %-12s   %s\n", "", "", result->cost);
}

/* Returns true when guests can run here. */
static bool examine(const char *swap)
{
	bool possible = true;

	for (u32 i = 0; i < probe_count; i++) {
		struct probe_result result = {.verdict = PROBE_YES};

		probes[i].run(swap, &result);
		print_result(&probes[i], &result);
		if (probes[i].needed && result.verdict == PROBE_NO)
			possible = false;
	}
	return possible;
}

static enum cli_status doctor_main(int argc, char **argv)
{
	const char *swap = ".";
	bool possible;

	if (argc == 3 && strcmp(argv[1], "--swap") == 0)
		swap = argv[2];
	else if (argc > 1)
		return cli_misused("doctor", "%s: there is only --swap PATH", argv[1]);
	possible = examine(swap);
	printf("\n%s\n", possible ? "Guests can run on this host."
				  : "No guest can run on this host: see the lines with `no`.");
	return possible ? CLI_OK : CLI_FAILED;
}

const struct cli_command doctor_command = {
	.name = "doctor",
	.summary = "say what this host offers and lacks",
	.synopsis = "doctor [--swap PATH]",
	.help = "Tries out, one by one, what Ballast builds on. Each line says whether it is there, and\n"
		"what it costs where it is not. Changes nothing and leaves nothing behind.\n"
		"\n"
		"  --swap PATH  the swap file that is planned, or its folder (default: here)\n"
		"\n"
		"Exits with 0 if guests can run here, with 1 if not.\n",
	.run = doctor_main,
};
