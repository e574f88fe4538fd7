/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of system calls, and their way into the kernel with libseccomp. The kernel reads the
 * arguments as registers of 64 bits, but most are ints, whose upper half means nothing: hence
 * comparisons under a mask.
 */
#include "hv/syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/types.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* A thread of this process, in its namespaces. */
#define THREAD_FLAGS (CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define NAMESPACE_FLAGS                                                                            \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE)

static const int allowed[] = {
	/* the manager, eventfds, the log */
	SCMP_SYS(read),
	SCMP_SYS(pread64), /* of a kernel's image into guest memory */
	SCMP_SYS(write),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(poll),
	SCMP_SYS(close),
	SCMP_SYS(eventfd2),
	/* memory: see conditions[] for the rest */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	/* threads */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), /* malloc counts processors */
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* signals */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(restart_syscall),
	/* time, where the kernel has no faster way */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(getrandom),
#if SANITIZED
	/* Shadow memory, alternate stacks, and reading symbols for a report. */
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mincore),
	SCMP_SYS(prctl),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getuid),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(stat),
	SCMP_SYS(fstat),
	SCMP_SYS(lseek),
	SCMP_SYS(uname),
#endif
};

static const int killed[] = {
	/* the RAM file: its size and its holes are the manager's */
	SCMP_SYS(ftruncate),
	SCMP_SYS(truncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(remap_file_pages),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(memfd_create),
	/* other processes */
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(process_madvise),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	/* the network, and ways around this filter */
	SCMP_SYS(socket),
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	/* the kernel */
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(reboot),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
};

/* Allowed if the bits of `mask` in one or two arguments are as they should be. */
struct condition {
	int call;
	struct {
		u32 argument;
		u64 mask, bits;
	} check[2];
	u32 checks;
};

#define INT_MASK 0xffffffffUL

static const struct condition conditions[] = {
	/* The virtual machine is complete; what is left is to run it and to describe its death. In
	 * particular nobody unregisters or fills memory through the userfaultfd. */
	{SCMP_SYS(ioctl), {{1, INT_MASK, KVM_RUN}}, 1},
	{SCMP_SYS(ioctl), {{1, INT_MASK, KVM_GET_REGS}}, 1},
	{SCMP_SYS(ioctl), {{1, INT_MASK, KVM_GET_SREGS}}, 1},
	{SCMP_SYS(prctl), {{0, INT_MASK, PR_SET_NAME}}, 1},
	{SCMP_SYS(clone), {{0, THREAD_FLAGS | NAMESPACE_FLAGS, THREAD_FLAGS}}, 1},
#if SANITIZED
	{SCMP_SYS(openat), {{2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY}}, 1},
	{SCMP_SYS(open), {{1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY}}, 1},
#else
	/* Memory of its own, never of a file, never to execute. Not mremap(), but for one place (add_move()): it moves
	 * guest RAM out of the userfaultfd's sight. Not MADV_REMOVE: it is a hole in the RAM file. */
	{SCMP_SYS(mmap), {{2, PROT_EXEC, 0}, {3, MAP_ANONYMOUS, MAP_ANONYMOUS}}, 2},
	{SCMP_SYS(mprotect), {{2, PROT_EXEC, 0}}, 1},
	{SCMP_SYS(madvise), {{2, INT_MASK, MADV_DONTNEED}}, 1},
	{SCMP_SYS(madvise), {{2, INT_MASK, MADV_POPULATE_READ}}, 1},
#endif
};

static int add_plain(scmp_filter_ctx filter, u32 action, const int *calls, u32 count)
{
	int err = 0;

	for (u32 i = 0; i < count && !err; i++)
		err = seccomp_rule_add_array(filter, action, calls[i], 0, NULL);
	return err;
}

static int add_condition(scmp_filter_ctx filter, const struct condition *condition)
{
	struct scmp_arg_cmp compare[ARRAY_SIZE(condition->check)];

	for (u32 i = 0; i < condition->checks; i++)
		compare[i] = SCMP_CMP64(condition->check[i].argument, SCMP_CMP_MASKED_EQ,
					condition->check[i].mask, condition->check[i].bits);
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, condition->call, condition->checks,
				      compare);
}

/* A signal to a thread of ours alone. */
static int add_tgkill(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp self = SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, INT_MASK, (u32)getpid());

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &self);
}

#if SANITIZED
static int add_remaps(scmp_filter_ctx filter, const struct syscall_files *files)
{
	(void)filter;
	(void)files;
	return 0; /* mmap() is allowed as it is */
}
#else
/*
 * Guest RAM is mapped anew where frames take its place, and home again. At which addresses is not looked at: a
 * mapping elsewhere gives nothing that one over guest RAM would not.
 */
static int add_remap(scmp_filter_ctx filter, int file, u64 flags)
{
	const struct scmp_arg_cmp compare[] = {
		SCMP_CMP64(2, SCMP_CMP_EQ, PROT_READ | PROT_WRITE),
		SCMP_CMP64(3, SCMP_CMP_MASKED_EQ, INT_MASK, flags),
		SCMP_CMP64(4, SCMP_CMP_MASKED_EQ, INT_MASK, (u32)file),
	};

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), ARRAY_SIZE(compare),
				      compare);
}

/* What was composed at the stage is moved to where it is wanted. That too is no more than mapping it there. */
static int add_move(scmp_filter_ctx filter, const void *stage)
{
	const struct scmp_arg_cmp compare[] = {
		SCMP_CMP64(0, SCMP_CMP_EQ, (u64)(uintptr_t)stage),
		SCMP_CMP64(1, SCMP_CMP_EQ, REGION_SIZE),
		SCMP_CMP64(2, SCMP_CMP_EQ, REGION_SIZE),
		SCMP_CMP64(3, SCMP_CMP_EQ, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP),
	};

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mremap), ARRAY_SIZE(compare),
				      compare);
}

static int add_remaps(scmp_filter_ctx filter, const struct syscall_files *files)
{
	int err;

	if (files->ram < 0 || files->frames < 0)
		return 0;
	err = add_remap(filter, files->ram, MAP_SHARED | MAP_FIXED | MAP_NORESERVE);
	if (!err)
		err = add_remap(filter, files->frames, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE);
	if (!err)
		err = add_move(filter, files->stage);
	return err;
}
#endif

static int add_rules(scmp_filter_ctx filter, const struct syscall_files *files)
{
	int err = add_plain(filter, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));

	if (!err)
		err = add_plain(filter, SCMP_ACT_KILL_PROCESS, killed, ARRAY_SIZE(killed));
	for (u32 i = 0; i < ARRAY_SIZE(conditions) && !err; i++)
		err = add_condition(filter, &conditions[i]);
	if (!err)
		err = add_remaps(filter, files);
	if (!err)
		err = add_tgkill(filter);
	/* Its flags lie in memory, where no filter can look; the C library then calls clone(). */
	if (!err)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* Looked up first: a vCPU has no other call. */
	if (!err)
		err = seccomp_syscall_priority(filter, SCMP_SYS(ioctl), UINT8_MAX);
	return err;
}

static int set_attributes(scmp_filter_ctx filter)
{
	int err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	if (!err) /* 32-bit calls on a 64-bit kernel have other numbers */
		err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	return err;
}

int syscall_filter_load(const struct syscall_files *files)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!filter)
		return -ENOMEM;
	err = set_attributes(filter);
	if (!err)
		err = add_rules(filter, files);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}
