/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest that took over its VMM could still do. Each forbidden thing is tried in a process of
 * its own, on a thread that was there before the process was sealed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/faultfd.h"
#include "hv/sandbox.h"
#include "lib/types.h"
#include "tests/unit/hv_manager.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define RAM_BYTES    REGION_SIZE
#define SHARED_BYTES (64 * MiB) /* the RAM that the sandbox is told of */

/* What a VMM holds; but for the file made by the process that is sealed. */
static int ram_fd;
static int frames_fd; /* shared frames; sealed in only if `shares` */
static bool shares;
static int faultfd;
static struct ram ram;

/* An attempt returns 0 when it worked, else -errno. */
typedef int attempt_fn(void);

static int outcome(long result)
{
	return result < 0 ? -errno : 0;
}

struct sealed {
	attempt_fn *attempt;
	int begin[2], result[2];
};

static void *attempt_thread(void *argument)
{
	struct sealed *sealed = argument;
	int result;
	char go;

	if (read(sealed->begin[0], &go, 1) != 1)
		_exit(98);
	result = sealed->attempt();
	if (write(sealed->result[1], &result, sizeof(result)) != sizeof(result))
		_exit(98);
	return NULL;
}

/* Here, because guest RAM is not for children to inherit. */
static void map_ram(void)
{
	if (ram_map_file(&ram, ram_fd, RAM_BYTES))
		_exit(96);
	faultfd = faultfd_open(false);
	if (faultfd >= 0 && faultfd_register(faultfd, (u64)(uintptr_t)ram.base, ram.bytes, false))
		_exit(96);
}

static _Noreturn void sealed_process(struct sealed *sealed)
{
	struct sandbox_share share = {
		.ram = shares ? ram_fd : -1,
		.frames = shares ? frames_fd : -1,
		.bytes = shares ? SHARED_BYTES : 0,
	};
	const struct rlimit no_core = {};
	pthread_t thread;

	setrlimit(RLIMIT_CORE, &no_core);
	map_ram();
	share.stage = ram.stage;
	if (shares && ram_share(&ram, ram_fd, frames_fd, RAM_BYTES))
		_exit(96);
	if (pthread_create(&thread, NULL, attempt_thread, sealed) || sandbox_seal(&share))
		_exit(97);
	if (write(sealed->begin[1], "!", 1) != 1)
		_exit(98);
	pthread_join(thread, NULL);
	_exit(0);
}

/* The attempt's result, or the signal that ended the process. */
static int try_sealed(attempt_fn *attempt)
{
	struct sealed sealed = {.attempt = attempt};
	int result = -ESRCH;
	int status;
	pid_t pid;

	cr_assert(!pipe(sealed.begin) && !pipe(sealed.result));
	pid = fork();
	if (!pid)
		sealed_process(&sealed);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		result = WTERMSIG(status);
	} else {
		cr_assert_eq(status, 0, "status 0x%x", status);
		cr_assert_eq(read(sealed.result[0], &result, sizeof(result)), sizeof(result));
	}
	for (u32 i = 0; i < 2; i++) {
		close(sealed.begin[i]);
		close(sealed.result[i]);
	}
	return result;
}

static void set_up(void)
{
	ram_fd = memfd_create("ram", MFD_CLOEXEC);
	cr_assert(!ftruncate(ram_fd, RAM_BYTES));
	frames_fd = memfd_create("frames", MFD_CLOEXEC);
	cr_assert(!ftruncate(frames_fd, RAM_BYTES));
}

#define FIXTURE .init = set_up, .timeout = 60

#define ATTEMPT(name, expression)                                                                  \
	static int name(void)                                                                      \
	{                                                                                          \
		return outcome((long)(expression));                                                \
	}

struct attempt {
	const char *name;
	attempt_fn *attempt;
};

#define A(name)                                                                                    \
	{                                                                                          \
#name, name                                                                        \
	}

static void expect_all(const struct attempt *attempts, u32 count, int expected)
{
	for (u32 i = 0; i < count; i++) {
		int result = try_sealed(attempts[i].attempt);

		cr_expect_eq(result, expected, "%s: %d, not %d", attempts[i].name, result,
			     expected);
	}
}

#define EXPECT_ALL(attempts, expected) expect_all(attempts, ARRAY_SIZE(attempts), expected)

ATTEMPT(shrink_ram, ftruncate(ram_fd, 0))
ATTEMPT(grow_ram, ftruncate(ram_fd, 2 * RAM_BYTES))
ATTEMPT(punch_ram, fallocate(ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE))
ATTEMPT(fill_ram, fallocate(ram_fd, 0, 0, RAM_BYTES))
ATTEMPT(remap_ram, syscall(SYS_remap_file_pages, ram.base, PAGE_SIZE, 0, 1, 0))
ATTEMPT(another_userfaultfd, syscall(SYS_userfaultfd, 0))
ATTEMPT(make_file, memfd_create("more", 0))

Test(hv_sandbox, reaching_for_the_ram_file_kills, FIXTURE)
{
	static const struct attempt attempts[] = {
		A(shrink_ram),		A(grow_ram),  A(punch_ram), A(fill_ram), A(remap_ram),
		A(another_userfaultfd), A(make_file),
	};
	struct stat file;

	EXPECT_ALL(attempts, SIGSYS);
	cr_assert(!fstat(ram_fd, &file));
	cr_assert_eq(file.st_size, (off_t)RAM_BYTES);
	cr_assert_eq(file.st_blocks, 0);
}

static char word[8];
static struct iovec words = {word, sizeof(word)};
static char *const arguments[] = {"true", NULL};

ATTEMPT(run_program, syscall(SYS_execve, "/bin/true", arguments, NULL))
ATTEMPT(run_descriptor, syscall(SYS_execveat, ram_fd, "", arguments, NULL, AT_EMPTY_PATH))
ATTEMPT(old_fork, syscall(SYS_fork))
ATTEMPT(trace_parent, syscall(SYS_ptrace, PTRACE_ATTACH, getpid(), NULL, NULL))
ATTEMPT(read_parent, syscall(SYS_process_vm_readv, getpid(), &words, 1, &words, 1, 0))
ATTEMPT(write_parent, syscall(SYS_process_vm_writev, getpid(), &words, 1, &words, 1, 0))
ATTEMPT(advise_parent, syscall(SYS_process_madvise, ram_fd, &words, 1, MADV_COLD, 0))
ATTEMPT(take_descriptor, syscall(SYS_pidfd_getfd, ram_fd, 0, 0))

Test(hv_sandbox, reaching_for_other_processes_kills, FIXTURE)
{
	static const struct attempt attempts[] = {
		A(run_program), A(run_descriptor), A(old_fork),	     A(trace_parent),
		A(read_parent), A(write_parent),   A(advise_parent), A(take_descriptor),
	};

	EXPECT_ALL(attempts, SIGSYS);
}

static struct io_uring_params ring;

ATTEMPT(make_socket, socket(AF_INET, SOCK_STREAM, 0))
ATTEMPT(make_unix_socket, socket(AF_UNIX, SOCK_STREAM, 0))
ATTEMPT(make_ring, syscall(SYS_io_uring_setup, 8, &ring))
ATTEMPT(enter_ring, syscall(SYS_io_uring_enter, ram_fd, 1, 1, 0, NULL, 0))
ATTEMPT(load_bpf, syscall(SYS_bpf, 0, NULL, 0))
ATTEMPT(leave_namespace, unshare(CLONE_NEWUSER))
ATTEMPT(count_events, syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0))

Test(hv_sandbox, reaching_for_the_host_kills, FIXTURE)
{
	static const struct attempt attempts[] = {
		A(make_socket), A(make_unix_socket), A(make_ring),    A(enter_ring),
		A(load_bpf),	A(leave_namespace),  A(count_events),
	};

	EXPECT_ALL(attempts, SIGSYS);
}

ATTEMPT(open_file, open("/dev/null", O_RDWR))
ATTEMPT(open_own_memory, open("/proc/self/mem", O_RDWR))
ATTEMPT(create_file, open("/dev/shm/ballast-test", O_RDWR | O_CREAT | O_TRUNC, 0600))
ATTEMPT(remove_file, unlink("/nonexistent"))
ATTEMPT(end_parent, kill(getppid(), 0))
ATTEMPT(signal_parent, syscall(SYS_tgkill, getppid(), getppid(), 0))
ATTEMPT(new_process, syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0))
ATTEMPT(write_ram_file, pwrite(ram_fd, word, sizeof(word), 0))
ATTEMPT(type_on_terminal, ioctl(ram_fd, TIOCSTI, word))

Test(hv_sandbox, what_a_vmm_has_no_use_for_is_refused, FIXTURE)
{
	static const struct attempt attempts[] = {
		A(open_file),	A(open_own_memory), A(create_file),
		A(remove_file), A(end_parent),	    A(signal_parent),
		A(new_process), A(write_ram_file),  A(type_on_terminal),
	};

	EXPECT_ALL(attempts, -EPERM);
}

static int unregister_ram(void)
{
	struct uffdio_range range = {(u64)(uintptr_t)ram.base, RAM_BYTES};

	return outcome(ioctl(faultfd, UFFDIO_UNREGISTER, &range));
}

static int fill_by_userfaultfd(void)
{
	struct uffdio_zeropage zero = {.range = {(u64)(uintptr_t)ram.base, PAGE_SIZE}};

	return outcome(ioctl(faultfd, UFFDIO_ZEROPAGE, &zero));
}

Test(hv_sandbox, memory_cannot_leave_the_manager_by_the_userfaultfd, FIXTURE)
{
	struct stat file;

	faultfd = faultfd_open(false);
	if (faultfd < 0)
		cr_skip_test("no userfaultfd");
	cr_assert_eq(try_sealed(unregister_ram), -EPERM);
	cr_assert_eq(try_sealed(fill_by_userfaultfd), -EPERM);
	cr_assert(!fstat(ram_fd, &file));
	cr_assert_eq(file.st_blocks, 0);
}

/* The filter of a sanitized build permits what follows, as the sanitizers need it. */
#if !SANITIZED

static int raise_limit(void)
{
	const struct rlimit limit = {1 << 20, 1 << 20};

	return outcome(setrlimit(RLIMIT_NOFILE, &limit));
}

static int mapping(int protection, int flags, int fd)
{
	return mmap(NULL, PAGE_SIZE, protection, flags, fd, 0) == MAP_FAILED ? -errno : 0;
}

ATTEMPT(move_ram, syscall(SYS_mremap, ram.base, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE, 0))
ATTEMPT(alias_ram, syscall(SYS_mremap, ram.base, 0, PAGE_SIZE, MREMAP_MAYMOVE, 0))
ATTEMPT(remove_ram, madvise(ram.base, PAGE_SIZE, MADV_REMOVE))
ATTEMPT(make_code, mprotect(ram.base, PAGE_SIZE, PROT_READ | PROT_EXEC))
ATTEMPT(replace_filter, prctl(PR_SET_SECCOMP, 0, NULL))

static int map_ram_again(void)
{
	return mapping(PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd);
}

static int map_code(void)
{
	return mapping(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int map_much(void)
{
	return mmap(NULL, GiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -errno
		       : 0;
}

Test(hv_sandbox, memory_cannot_leave_the_manager_by_mappings, FIXTURE)
{
	static const struct attempt attempts[] = {
		A(move_ram),	   A(alias_ram),     A(remove_ram), A(make_code),
		A(replace_filter), A(map_ram_again), A(map_code),
	};

	EXPECT_ALL(attempts, -EPERM);
}

/* What a VMM whose pages are shared may map, and in no other way. */

static int map_over_ram(int protection, int flags, int fd)
{
	return mmap(ram.base, PAGE_SIZE, protection, flags, fd, 0) == MAP_FAILED ? -errno : 0;
}

#define OVER (MAP_FIXED | MAP_NORESERVE)

ATTEMPT(map_frames, ram_remap(&ram, 0, PAGE_SIZE, PAGE_SIZE) ? -1 : 0)
ATTEMPT(map_home, ram_remap(&ram, 0, PAGE_SIZE, RAM_HOME) ? -1 : 0)
ATTEMPT(move_region,
	ram_remap(&ram, RAM_STAGE, REGION_SIZE, 0) || ram_remap(&ram, 0, REGION_SIZE, RAM_MOVE) ? -1
												: 0)
ATTEMPT(move_stage_part, syscall(SYS_mremap, ram.stage, PAGE_SIZE, PAGE_SIZE,
				 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, ram.base))
ATTEMPT(grow_stage, syscall(SYS_mremap, ram.stage, REGION_SIZE, 2 * REGION_SIZE, MREMAP_MAYMOVE, 0))
ATTEMPT(move_ram_region, syscall(SYS_mremap, ram.base, REGION_SIZE, REGION_SIZE,
				 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, ram.stage))
ATTEMPT(write_frames, map_over_ram(PROT_READ | PROT_WRITE, MAP_SHARED | OVER, frames_fd))
ATTEMPT(run_frames, map_over_ram(PROT_READ | PROT_EXEC, MAP_PRIVATE | OVER, frames_fd))
ATTEMPT(read_frames, map_over_ram(PROT_READ, MAP_PRIVATE | OVER, frames_fd))
ATTEMPT(own_ram, map_over_ram(PROT_READ | PROT_WRITE, MAP_PRIVATE | OVER, ram_fd))
ATTEMPT(other_file, map_over_ram(PROT_READ | PROT_WRITE, MAP_SHARED | OVER, STDIN_FILENO))
ATTEMPT(map_home_unshared, map_over_ram(PROT_READ | PROT_WRITE, MAP_SHARED | OVER, ram_fd))
ATTEMPT(map_frames_unshared, map_over_ram(PROT_READ | PROT_WRITE, MAP_PRIVATE | OVER, frames_fd))
ATTEMPT(ram_elsewhere, mapping(PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd))
ATTEMPT(frames_elsewhere, mapping(PROT_READ | PROT_WRITE, MAP_PRIVATE, frames_fd))
ATTEMPT(fork_ram, madvise(ram.base, PAGE_SIZE, MADV_DOFORK))
ATTEMPT(shrink_frames, ftruncate(frames_fd, 0))
ATTEMPT(punch_frames,
	fallocate(frames_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE))

Test(hv_sandbox, a_vmm_that_shares_maps_its_two_files_in_one_way_each, FIXTURE)
{
	static const struct attempt works[] = {A(map_frames), A(map_home), A(move_region)};
	static const struct attempt fails[] = {
		A(write_frames),    A(run_frames),    A(read_frames),	   A(own_ram),
		A(other_file),	    A(ram_elsewhere), A(frames_elsewhere), A(fork_ram),
		A(move_ram),	    A(alias_ram),     A(remove_ram),	   A(map_code),
		A(move_stage_part), A(grow_stage),    A(move_ram_region),
	};
	static const struct attempt kills[] = {A(shrink_ram), A(punch_ram), A(shrink_frames),
					       A(punch_frames)};

	shares = true;
	EXPECT_ALL(works, 0);
	EXPECT_ALL(fails, -EPERM);
	EXPECT_ALL(kills, SIGSYS);
}

Test(hv_sandbox, a_vmm_that_does_not_share_maps_neither, FIXTURE)
{
	static const struct attempt attempts[] = {A(map_home_unshared), A(map_frames_unshared),
						  A(ram_elsewhere), A(frames_elsewhere)};

	EXPECT_ALL(attempts, -EPERM);
}

/* Private memory of so many bytes: the limit without frames, which nobody can have all of, as some is used; and one
 * beyond it with them. */
static int map_private(u64 bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -errno
		       : 0;
}

ATTEMPT(map_limit, map_private(128 * MiB) ? -1 : 0)
ATTEMPT(map_beyond, map_private(128 * MiB + SHARED_BYTES) ? -1 : 0)

/* Frames that are written become memory of the VMM's own: as much as there is RAM, and no more. */
Test(hv_sandbox, private_memory_is_allowed_for_frames_only_where_there_are_any, FIXTURE)
{
	cr_expect_eq(try_sealed(map_limit), -ENOMEM);
	shares = true;
	cr_expect_eq(try_sealed(map_limit), 0);
	cr_expect_eq(try_sealed(map_beyond), -ENOMEM);
}

Test(hv_sandbox, limits_stay, FIXTURE)
{
	cr_assert_eq(try_sealed(raise_limit), -EPERM);
	cr_assert_eq(try_sealed(map_much), -ENOMEM);
}

#endif

static void *idle_thread(void *argument)
{
	pthread_setname_np(pthread_self(), "idle");
	return argument;
}

static void on_signal(int signal)
{
	(void)signal;
}

/* What a VMM does all day. */
static int live(void)
{
	const struct sigaction action = {.sa_handler = on_signal};
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd poll_event = {.fd = event, .events = POLLIN};
	struct timespec moment = {0, 1000000};
	char *memory = malloc(MiB);
	pthread_t threads[16];

	if (event < 0 || !memory || sigaction(SIGUSR1, &action, NULL))
		return -1;
	memset(memory, 1, MiB);
	free(memory);
	for (u32 i = 0; i < ARRAY_SIZE(threads); i++)
		if (pthread_create(&threads[i], NULL, idle_thread, NULL))
			return -2;
	for (u32 i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	if (eventfd_write(event, 1) || poll(&poll_event, 1, 1000) != 1)
		return -3;
	nanosleep(&moment, NULL);
	if (pthread_kill(pthread_self(), SIGUSR1) || ram_zap(&ram, 0, PAGE_SIZE))
		return -4;
	return close(event);
}

Test(hv_sandbox, what_a_vmm_needs_works, FIXTURE)
{
	int result = try_sealed(live);

	cr_assert_eq(result, 0, "%d", result);
}

/* A line of /proc/PID/task/TID/status, as a number. */
static u64 task_status(pid_t pid, pid_t task, const char *key, int base)
{
	char path[64], line[256];
	u64 value = UINT64_MAX;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, task);
	file = fopen(path, "re");
	cr_assert(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			value = strtoull(line + strlen(key) + 1, NULL, base);
	fclose(file);
	return value;
}

/* What it was not told to share it holds no descriptor of. */
static void expect_no_ram_file(pid_t pid)
{
	for (int fd = 0; fd < 64; fd++) {
		char path[64];
		struct stat stat_fd;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		if (!stat(path, &stat_fd))
			cr_expect(!S_ISREG(stat_fd.st_mode) || stat_fd.st_size < (off_t)MiB,
				  "descriptor %d is a file of %ld bytes", fd,
				  (long)stat_fd.st_size);
	}
}

static void expect_sealed(enum attach_accel accel)
{
	static struct test_manager manager;

	test_manager_init(&manager);
	manager.guest.accel = accel;
	cr_assert(test_manager_start(&manager), "%s", manager.exit.text);
	cr_assert(test_manager_serve(&manager, ATTACH_STATS, 20000));
	cr_expect_eq(task_status(manager.pid, manager.pid, "Seccomp", 10), 2);
	cr_expect_eq(task_status(manager.pid, manager.pid, "CapEff", 16), 0);
	cr_expect_eq(task_status(manager.pid, manager.pid, "CapPrm", 16), 0);
	cr_expect_eq(task_status(manager.pid, manager.pid, "NoNewPrivs", 10), 1);
	expect_no_ram_file(manager.pid);
	if (!SANITIZED) {
		struct rlimit limit;

		cr_assert(!prlimit(manager.pid, RLIMIT_DATA, NULL, &limit));
		cr_expect_eq(limit.rlim_max, 128 * MiB);
	}
	test_manager_stop(&manager, true);
	cr_assert(test_manager_serve(&manager, ATTACH_EXIT, 20000));
	cr_assert_eq(manager.exit.code, ATTACH_EXIT_OK, "%s", manager.exit.text);
	test_manager_end(&manager);
}

Test(hv_sandbox, vmm_of_a_thread_guest_is_sealed, .timeout = 60)
{
	expect_sealed(ATTACH_ACCEL_THREAD);
}

Test(hv_sandbox, vmm_of_a_kvm_guest_is_sealed, .timeout = 60)
{
	if (!test_have_kvm())
		cr_skip_test("no access to /dev/kvm");
	expect_sealed(ATTACH_ACCEL_KVM);
}
