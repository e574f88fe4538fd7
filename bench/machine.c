/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The value of a key in /proc/cpuinfo, of the first processor. */
static void cpuinfo(const char *key, char *value, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096];

	*value = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) != 0 || !colon)
			continue;
		snprintf(value, size, "%s", colon + 2);
		value[strcspn(value, "\n")] = '\0';
		break;
	}
	if (file)
		fclose(file);
}

static const char *kvm_kind(void)
{
	char flags[4096];

	if (access("/dev/kvm", R_OK | W_OK))
		return "none";
	cpuinfo("flags", flags, sizeof(flags));
	if (strstr(flags, " vmx "))
		return "vmx";
	if (strstr(flags, " svm "))
		return "svm";
	return "without vmx or svm";
}

void machine_describe(struct machine *machine)
{
	time_t now = time(NULL);
	struct utsname names;
	struct sysinfo memory;
	struct tm utc;

	*machine = (struct machine){.cores = (u32)sysconf(_SC_NPROCESSORS_ONLN)};
	cpuinfo("model name", machine->cpu, sizeof(machine->cpu));
	if (!uname(&names))
		snprintf(machine->kernel, sizeof(machine->kernel), "%s %s", names.sysname,
			 names.release);
	if (!sysinfo(&memory))
		machine->memory_bytes = (u64)memory.totalram * memory.mem_unit;
	snprintf(machine->kvm, sizeof(machine->kvm), "%s", kvm_kind());
	if (getloadavg(&machine->load, 1) != 1)
		machine->load = -1;
	gmtime_r(&now, &utc);
	strftime(machine->date, sizeof(machine->date), "%Y-%m-%d %H:%M UTC", &utc);
}
