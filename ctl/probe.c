/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/probe.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void probe_found(struct probe_result *result, enum probe_verdict verdict, const char *format, ...)
{
	va_list args;

	result->verdict = verdict;
	va_start(args, format);
	vsnprintf(result->found, sizeof(result->found), format, args);
	va_end(args);
}

void probe_costs(struct probe_result *result, const char *text)
{
	snprintf(result->cost, sizeof(result->cost), "%s", text);
}

void probe_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[MAX(length, 0)] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

const struct probe probes[] = {
	{"memory", true, probe_memory},
	{"kvm", false, probe_kvm},
	{"userfaultfd", true, probe_userfaultfd},
	{"uffd-shmem", true, probe_userfaultfd_features},
	{"io_uring", false, probe_io_uring},
	{"O_DIRECT", false, probe_direct_io},
	{"cgroup", false, probe_cgroup},
	{"huge-pages", false, probe_huge_pages},
	{"map-count", false, probe_map_count},
	{"fuse", false, probe_fuse},
	{"numa", false, probe_numa},
};
const u32 probe_count = ARRAY_SIZE(probes);
