// SPDX-License-Identifier: Apache-2.0
/* What a cell of the overcommit benchmark runs. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "bench/overcommit/cell.h"
#include "ctl/config.h"
#include "guest-driver/args.h"

static const struct cell_options options = {
	.scale = {.guest_bytes = 64 * MiB, .work_percent = 50, .data = "/usr/bin"},
	.swap_folder = "/var/tmp",
};

static void read_config(const struct cell *cell, struct host_config *config)
{
	char error[1024] = "", *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	cell_write_config(stream, cell, &options);
	fclose(stream);
	stream = fmemopen(text, size, "r");
	cr_assert_eq(config_read_stream(stream, "cell", config, error, sizeof(error)), 0, "%s: %s",
		     scenarios[cell->scenario].name, error);
	fclose(stream);
	free(text);
}

static void check_args(const struct guest_config *guest)
{
	enum guest_workload kind;
	struct guest_args args;
	char error[512] = "";

	cr_assert_eq(
		guest_args_parse(guest->workload, guest->args, &kind, &args, error, sizeof(error)),
		0, "%s", error);
	cr_expect(args.hold && args.together && !args.verify_end);
}

Test(overcommit_cell, every_cell_is_a_valid_configuration)
{
	for (u32 i = 0; i < scenario_count; i++) {
		for (u32 j = 0; j < contender_count; j++) {
			const struct cell cell = {.scenario = i, .contender = j, .overcommit = 2};
			struct host_config config;

			read_config(&cell, &config);
			cr_expect_eq(config.guest_count, scenario_guests(&scenarios[i]));
			cr_expect_eq(config.memory_bytes,
				     config.guest_count * options.scale.guest_bytes / 2);
			for (u32 k = 0; k < config.guest_count; k++)
				check_args(&config.guests[k]);
			config_free(&config);
		}
	}
}

Test(overcommit_cell, variants_differ_from_ballast_in_what_they_say)
{
	const struct cell all = {.contender = BALLAST, .overcommit = 2};
	const struct cell none = {.contender = (u32)contender_find("no-dedup"), .overcommit = 2};
	struct host_config with, without;

	read_config(&all, &with);
	read_config(&none, &without);
	cr_expect(with.ksm.run && with.share_before_swap);
	cr_expect(!without.ksm.run && !without.share_before_swap);
	config_free(&with);
	config_free(&without);
}

Test(overcommit_cell, the_budget_is_the_memory_by_the_overcommit)
{
	const struct cell cell = {.overcommit = 1.25};
	u64 guests = scenario_guests(&scenarios[0]) * options.scale.guest_bytes;

	cr_expect_leq(cell_budget(&cell, &options.scale) * 5 / 4, guests);
	cr_expect_eq(cell_budget(&cell, &options.scale) % REGION_SIZE, 0);
}

Test(overcommit_cell, work_scales_and_never_becomes_none)
{
	struct scenario_part part = {.ops = 10};
	struct scale scale = {.work_percent = 50};

	cr_expect_eq(scenario_ops(&part, &scale), 5);
	scale.work_percent = 1;
	cr_expect_eq(scenario_ops(&part, &scale), 1);
	part.ops = 0;
	cr_expect_eq(scenario_ops(&part, &scale), 0);
}
