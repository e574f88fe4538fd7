/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/kthreads.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/overcommit/textfile.h"

static bool manages_memory(const char *name)
{
	static const char *const names[] = {"ksmd", "kswapd", "kcompactd", "khugepaged"};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(name, names[i], strlen(names[i])))
			return true;
	return false;
}

double kthreads_cpu(void)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	double seconds = 0;

	while (folder && (entry = readdir(folder))) {
		char path[300], text[128];

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (textfile_read(path, text, sizeof(text)) || !manages_memory(text))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/schedstat", entry->d_name);
		seconds += (double)textfile_number(path) / 1e9;
	}
	if (folder)
		closedir(folder);
	return seconds;
}
