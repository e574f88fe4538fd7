/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a report, as text in cells: the page and the Markdown file print the same. */
#ifndef BENCH_OVERCOMMIT_ROWS_H
#define BENCH_OVERCOMMIT_ROWS_H

#include "bench/overcommit/results.h"

#define ROW_CELLS 12
#define ROW_TEXT  64

struct row {
	u32 count;
	char cells[ROW_CELLS][ROW_TEXT];
};

/* A table being printed, row by row; the first is its head. */
struct table_ops {
	void (*begin)(FILE *stream, const struct row *head);
	void (*row)(FILE *stream, const struct row *row);
	void (*end)(FILE *stream);
};

/* One row a scenario: how far each contender goes, and Ballast by the kernel at twice the memory. */
void rows_answer(FILE *stream, const struct table_ops *ops, const struct results *results);

/* One row a goal. */
void rows_goals(FILE *stream, const struct table_ops *ops, const struct results *results);

/* One row for each contender and overcommit of a scenario. */
void rows_scenario(FILE *stream, const struct table_ops *ops, const struct results *results,
		   u32 scenario);

#endif
