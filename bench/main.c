/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build/bench: runs the benchmarks of the table below, each round in a process of its own, prints
 * their figures beside the targets and writes them down as JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/cases.h"
#include "bench/kernel_ksm.h"
#include "bench/meter.h"
#include "bench/peer.h"
#include "bench/print.h"
#include "hv/vmm.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/process.h"

#define POLL_US	       2000
#define ROUNDS_DEFAULT 5
#define ROUNDS_QUICK   1

const struct bench_case bench_cases[] = {
	{"codec", "a page through codec, hash and pool", 0, 0, 30, codec_round},
	{"metadata", "what knowing about a guest page costs", 0, 1, 30, metadata_round},
	{"fault-host", "faults of a host thread", 0, 0, 60, fault_host_round},
	{"fault-kvm", "faults of a vCPU", BENCH_NEED_KVM, 0, 60, fault_kvm_round},
	{"refill", "evicted memory comes back, against the kernel's swap on zram",
	 BENCH_NEED_KVM | BENCH_NEED_PEER, 0, 60, refill_round},
	{"half", "faults while half of memory fits, against the kernel",
	 BENCH_NEED_KVM | BENCH_NEED_PEER, 0, 60, half_round},
	{"swapout", "CPU a page that leaves, against the kernel", BENCH_NEED_PEER, 0, 60,
	 swapout_round},
	{"evict", "whole regions and groups of small pages leave", 0, 0, 60, evict_round},
	{"stall", "what a vCPU loses while pages leave", BENCH_NEED_KVM, 0, 60, stall_round},
	{"disk", "the swap file against a raw file", 0, 0, 60, disk_round},
	{"fits", "a guest whose memory fits, against plain memory", 0, 0, 120, fits_round},
	{"dedup", "pages leave whose content is stored, and others", 0, 0, 60, dedup_round},
	{"balloon", "memory in and out of a balloon, and from guest to guest", BENCH_NEED_KVM, 0,
	 120, balloon_round},
	{"ksm", "equal pages become one, against the kernel's KSM", 0, 0, 300, ksm_round},
	{"balance",
	 "memory goes to who works: four guests that take turns, with balloons and without", 0, 1,
	 400, balance_round},
	{"many", "64 guests of 64 MiB on 2 GiB", 0, 1, 180, many_round},
};
const u32 bench_case_count = ARRAY_SIZE(bench_cases);

static volatile sig_atomic_t interrupted;
static struct meter meter;

static void take_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void catch_signals(void (*handler)(int))
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = handler};

	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &action, NULL);
}

/* Waits for all that a killed round has left: its children die with it and become ours. */
static void reap_all(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static u32 rounds_of(const struct bench *bench, const struct bench_case *which)
{
	u32 rounds = bench->options.rounds;

	return which->most_rounds ? MIN(rounds, which->most_rounds) : rounds;
}

/* Waits for a round's process, and kills it when its time is over or ours is. */
static int await(struct bench *bench, pid_t pid, const struct bench_case *which)
{
	u64 deadline = clock_now_ns() + which->patience_s * NSEC_PER_SEC;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		bool late = clock_now_ns() >= deadline;

		meter_show(&meter, which->name, bench->round, rounds_of(bench, which));
		if (interrupted || late) {
			kill(pid, SIGKILL);
			reap_all();
			return bench_fail(bench, -ETIME, "%s",
					  late ? "took too long" : "interrupted");
		}
		usleep(POLL_US);
	}
	if (WIFSIGNALED(status))
		return bench_fail(bench, -EIO, "died of signal %d", WTERMSIG(status));
	return -WEXITSTATUS(status);
}

static int run_round(struct bench *bench, const struct bench_case *which)
{
	pid_t self = getpid(), pid;

	bench->note[0] = '\0';
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		process_dies_with(self);
		catch_signals(SIG_DFL);
		log_set_level(LOG_LEVEL_WARN);
		_exit(-which->round(bench) & 0xff);
	}
	return await(bench, pid, which);
}

static int check_needs(struct bench *bench, const struct bench_case *which, struct peer *peer)
{
	if (which->needs & BENCH_NEED_KVM && access("/dev/kvm", R_OK | W_OK))
		return bench_fail(bench, -ENOTSUP, "no access to /dev/kvm");
	if (which->needs & BENCH_NEED_PEER) {
		const char *why = "";
		int err = peer_open(peer, &why);

		if (err)
			return bench_fail(bench, -ENOTSUP, "no kernel to compare with: %s: %s", why,
					  strerror(-err));
	}
	return 0;
}

static bool run_case(struct bench *bench, const struct bench_case *which)
{
	u32 rounds = rounds_of(bench, which), first = bench->count;
	struct peer peer = PEER_NONE;
	int err;

	fprintf(stderr, "%s: %s\n", which->name, which->summary);
	err = check_needs(bench, which, &peer);
	for (bench->round = 0; bench->round < rounds && !err; bench->round++, meter.done++)
		err = run_round(bench, which);
	meter_clear(&meter);
	/* One that gave up is as far as it will get. */
	meter.done += rounds - bench->round;
	if (err) {
		peer_sweep();
		kernel_ksm_sweep();
	}
	peer_close(&peer);
	print_metrics(bench, first);
	if (err)
		printf("%-44s %s: %s\n", which->name, err == -ENOTSUP ? "not measured" : "FAILED",
		       bench->note[0] ? bench->note : strerror(-err));
	return !err || err == -ENOTSUP;
}

static void usage(FILE *stream)
{
	fprintf(stream,
		"bench [--only NAME]... [--list] [--json FILE] [--rounds N] [--quick]\n"
		"      [--swap FILE] [--data PATH]\n\n"
		"  --only NAME   run only this benchmark (may be given again)\n"
		"  --list        list them\n"
		"  --json FILE   write the figures there as well\n"
		"  --rounds N    rounds of each, 1 to %u; %u unless said\n"
		"  --quick       less of everything\n"
		"  --swap FILE   where the swap file may be made\n"
		"  --data PATH   file or folder whose bytes are swapped; /usr/bin unless said\n",
		BENCH_ROUNDS_MAX, ROUNDS_DEFAULT);
}

static int list_cases(void)
{
	for (u32 i = 0; i < bench_case_count; i++)
		printf("%-12s %s\n", bench_cases[i].name, bench_cases[i].summary);
	return 0;
}

static s32 case_number(const char *name)
{
	for (u32 i = 0; i < bench_case_count; i++)
		if (!strcmp(bench_cases[i].name, name))
			return (s32)i;
	fprintf(stderr, "bench: there is no benchmark %s: see --list\n", name);
	return -1;
}

struct command {
	struct bench_options options;
	const char *json;
	u32 chosen; /* a bit per case; 0: all */
	bool list;
};

static int parse(int argc, char **argv, struct command *command)
{
	static const struct option longs[] = {
		{"only", required_argument, NULL, 'o'},
		{"list", no_argument, NULL, 'l'},
		{"json", required_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'},
		{"quick", no_argument, NULL, 'q'},
		{"swap", required_argument, NULL, 's'},
		{"data", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct bench_options *options = &command->options;
	int option;

	while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		s32 number;

		switch (option) {
		case 'o':
			number = case_number(optarg);
			if (number < 0)
				return -EINVAL;
			command->chosen |= 1U << number;
			break;
		case 'l':
			command->list = true;
			break;
		case 'j':
			command->json = optarg;
			break;
		case 'r':
			options->rounds = (u32)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			options->quick = true;
			break;
		case 's':
			options->swap = optarg;
			break;
		case 'd':
			options->data = optarg;
			break;
		default:
			usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? -ECANCELED : -EINVAL;
		}
	}
	if (!options->rounds)
		options->rounds = options->quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
	if (optind == argc && options->rounds <= BENCH_ROUNDS_MAX)
		return 0;
	usage(stderr);
	return -EINVAL;
}

static bool chosen(const struct command *command, u32 number)
{
	return !command->chosen || command->chosen >> number & 1;
}

static int run_all(const struct command *command, struct bench *bench)
{
	struct machine machine;
	u32 rounds = 0;
	bool ok = true;
	int err;

	for (u32 i = 0; i < bench_case_count; i++)
		rounds += chosen(command, i) ? rounds_of(bench, &bench_cases[i]) : 0;
	meter_begin(&meter, stderr, rounds);
	machine_describe(&machine);
	print_machine(&machine);
	print_header();
	for (u32 i = 0; i < bench_case_count && !interrupted; i++)
		if (chosen(command, i))
			ok &= run_case(bench, &bench_cases[i]);
	print_verdict(bench);
	if (!command->json)
		return ok ? 0 : 1;
	err = print_json(bench, &machine, command->json);
	if (err)
		log_error("%s: cannot be written: %s", command->json, strerror(-err));
	return ok && !err ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct command command = {
		.options = {.swap = "/var/tmp/ballast-bench-swap", .data = "/usr/bin"}};
	struct bench *bench;
	int err;

	/* The manager starts its guests' processes from its own program, which here is this one. */
	if (argc == 4 && !strcmp(argv[1], "vmm"))
		return vmm_main(atoi(argv[3]));
	err = parse(argc, argv, &command);
	if (err)
		return err == -ECANCELED ? 0 : 2;
	if (command.list)
		return list_cases();
	bench = mmap(NULL, sizeof(*bench), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (bench == MAP_FAILED)
		return 1;
	bench->options = command.options;
	catch_signals(take_signal);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return run_all(&command, bench);
}
