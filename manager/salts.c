/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/salts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Domain 0 is that of all who have none of their own; 1 to 2^30 are of one guest each; then those of salts. */
#define NAMED (1U << 30)

u32 salts_domain(struct salts *salts, enum host_salting salting, const char *salt, u32 alone)
{
	char(*grown)[ATTACH_NAME_MAX];

	if (salting == SALTING_NONE)
		return 0;
	if (!salt[0])
		return salting == SALTING_SOME ? 0 : alone + 1;
	for (u32 i = 0; i < salts->count; i++)
		if (strcmp(salts->names[i], salt) == 0)
			return NAMED + 1 + i;
	grown = reallocarray(salts->names, salts->count + 1, sizeof(*grown));
	if (!grown)
		return alone + 1;
	salts->names = grown;
	snprintf(grown[salts->count], sizeof(*grown), "%s", salt);
	return NAMED + 1 + salts->count++;
}

void salts_free(struct salts *salts)
{
	free(salts->names);
	*salts = (struct salts){0};
}
