/* SPDX-License-Identifier: Apache-2.0 */
/* What runs guests, takes their swapped pages, and bounds them: devices and file systems. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/probe.h"

/* Whether the first CPU of /proc/cpuinfo has this flag. */
static bool cpu_flag(const char *flag)
{
	FILE *cpuinfo = fopen("/proc/cpuinfo", "re");
	char line[8192], *word, *rest = NULL;
	bool is_there = false;

	if (!cpuinfo)
		return false;
	while (!is_there && fgets(line, sizeof(line), cpuinfo)) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (word = strtok_r(line, " \t\n", &rest); word && !is_there;
		     word = strtok_r(NULL, " \t\n", &rest))
			is_there = strcmp(word, flag) == 0;
		break;
	}
	fclose(cpuinfo);
	return is_there;
}

/* What carries out guest code, told by the module in use. */
static void describe_kvm(struct probe_result *result)
{
	bool nested = cpu_flag("hypervisor");
	const char *inside = nested ? ", itself inside a virtual machine" : "";

	if (!access("/sys/module/kvm_intel", F_OK) && cpu_flag("vmx"))
		probe_found(result, PROBE_YES, "/dev/kvm: Intel VMX with %s%s",
			    cpu_flag("ept") ? "EPT" : "shadow page tables", inside);
	else if (!access("/sys/module/kvm_amd", F_OK) && cpu_flag("svm"))
		probe_found(result, PROBE_YES, "/dev/kvm: AMD SVM with %s%s",
			    cpu_flag("npt") ? "nested page tables" : "shadow page tables", inside);
	else if (!access("/sys/module/kvm_pvm", F_OK))
		probe_found(result, PROBE_LIMITED,
			    "/dev/kvm: PVM, shadow page tables without VMX or SVM");
	else
		probe_found(result, PROBE_YES, "/dev/kvm: of a kind this program does not know%s",
			    inside);
	if (result->verdict == PROBE_LIMITED)
		probe_costs(
			result,
			"an exit of the guest takes 20-60 us instead of 1-2, a fault 50-110 us");
	else if (nested)
		probe_costs(
			result,
			"exits and faults of guests take several times longer than on bare metal");
}

void probe_kvm(const char *swap, struct probe_result *result)
{
	int kvm, vm, error;

	(void)swap;
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		error = errno;
		probe_found(result, PROBE_NO, "/dev/kvm: %s", strerror(error));
		probe_costs(
			result,
			error == EACCES
				? "guests run as threads; to use KVM, join the group of /dev/kvm"
				: "guests run as threads of their VMM (accel = thread): no isolation");
		return;
	}
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0) {
		probe_found(result, PROBE_NO, "/dev/kvm opens, but makes no VM: %s",
			    strerror(errno));
		probe_costs(result, "guests run as threads of their VMM (accel = thread)");
	} else {
		describe_kvm(result);
		close(vm);
	}
	close(kvm);
}

void probe_io_uring(const char *swap, struct probe_result *result)
{
	struct io_uring ring;
	int ret = io_uring_queue_init(8, &ring, 0);

	(void)swap;
	if (ret) {
		probe_found(result, PROBE_NO, "io_uring: %s", strerror(-ret));
		probe_costs(result,
			    "no swap file: what does not fit the compressed pool stays in memory "
			    "(kernel.io_uring_disabled, or a container's seccomp filter?)");
		return;
	}
	io_uring_queue_exit(&ring);
	probe_found(result, PROBE_YES, "rings can be made");
}

/* An unnamed file in the folder of the path: nothing to clean up. */
static int open_direct(const char *path, char *folder, size_t size)
{
	struct stat status;
	char *slash;

	snprintf(folder, size, "%s", path);
	while (stat(folder, &status) || !S_ISDIR(status.st_mode)) {
		slash = strrchr(folder, '/');
		if (!slash) {
			snprintf(folder, size, ".");
			break;
		}
		slash[slash == folder] = '\0';
	}
	return open(folder, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
}

static bool write_block(int fd)
{
	void *block;
	bool written;

	if (posix_memalign(&block, PAGE_SIZE, PAGE_SIZE))
		return false;
	memset(block, 1, PAGE_SIZE);
	written = pwrite(fd, block, PAGE_SIZE, 0) == (ssize_t)PAGE_SIZE;
	free(block);
	return written;
}

void probe_direct_io(const char *swap, struct probe_result *result)
{
	char folder[4096];
	int fd = open_direct(swap, folder, sizeof(folder)), error = errno;

	if (fd >= 0) {
		if (write_block(fd))
			probe_found(result, PROBE_YES, "a direct write of 4 KiB in %.100s", folder);
		else
			probe_found(result, PROBE_LIMITED,
				    "%.100s: a direct write of 4 KiB fails: %s", folder,
				    strerror(errno));
		close(fd);
		return;
	}
	probe_found(result, PROBE_NO, "%.100s: %s", folder, strerror(error));
	if (error == EINVAL || error == EOPNOTSUPP)
		probe_costs(result, "swap goes through the page cache, the memory it should save: "
				    "put the file on ext4, xfs or btrfs");
	else
		probe_costs(result, "no swap file there: choose a folder that you may write to");
}

void probe_cgroup(const char *swap, struct probe_result *result)
{
	char controllers[256];

	(void)swap;
	probe_read("/sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers));
	if (strstr(controllers, "memory"))
		probe_found(result, PROBE_YES, "version 2 at /sys/fs/cgroup");
	else if (!access("/sys/fs/cgroup/memory/memory.limit_in_bytes", F_OK))
		probe_found(result, PROBE_YES, "version 1 at /sys/fs/cgroup/memory");
	else
		probe_found(result, PROBE_NO, "no memory controller below /sys/fs/cgroup");
	if (result->verdict == PROBE_NO) {
		probe_costs(result,
			    "the budget is kept by Ballast alone, with no proof by the kernel");
	} else if (access("/sys/fs/cgroup", W_OK)) {
		result->verdict = PROBE_LIMITED;
		probe_costs(result, "not writable: no cgroup of our own, unless one was delegated");
	}
}

void probe_fuse(const char *swap, struct probe_result *result)
{
	(void)swap;
	if (!access("/dev/fuse", R_OK | W_OK)) {
		probe_found(result, PROBE_YES, "/dev/fuse");
		return;
	}
	probe_found(result, PROBE_NO, "/dev/fuse: %s", strerror(errno));
	probe_costs(result,
		    "no file tree to watch and tune a running host; `ballast run` needs none");
}
