/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/wrap.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach/attach.h"
#include "ctl/rundir.h"
#include "lib/log.h"

#define LIBRARY	   "libballast-attach.so"
#define ADDED_MAX  12
#define RAM_FOLDER "/run/ballast/ram"

struct wrap_options {
	const char *name, *host, *socket;
	char **command; /* QEMU's */
	int count;
};

/* The arguments that QEMU gets. */
struct wrap_command {
	char **argv;
	int argc;
	char object[128], chardev[64];
};

static int set_text(const char *variable, const char *text)
{
	return setenv(variable, text, 1) ? -errno : 0;
}

static int set_number(const char *variable, u64 number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", number);
	return set_text(variable, text);
}

/* Beside this program, or where it is installed. */
static bool find_library(char *path, size_t size)
{
	static const char *const places[] = {"", "../lib/ballast/", "../lib/"};
	const char *given = getenv("BALLAST_LIBRARY");
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (given) {
		snprintf(path, size, "%s", given);
		return !access(path, R_OK);
	}
	if (length <= 0)
		return false;
	self[length] = '\0';
	slash = strrchr(self, '/');
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, size, "%.*s/%s" LIBRARY, (int)(slash - self), self, places[i]);
		if (!access(path, R_OK))
			return true;
	}
	return false;
}

static int preload(void)
{
	const char *others = getenv("LD_PRELOAD");
	char path[PATH_MAX + 64], text[2 * PATH_MAX];

	if (!find_library(path, sizeof(path))) {
		log_error(
			"%s is not beside this program, nor in ../lib/ballast: install it, or say "
			"where it is in BALLAST_LIBRARY",
			LIBRARY);
		return -ENOENT;
	}
	snprintf(text, sizeof(text), "%s%s%s", path, others && *others ? ":" : "",
		 others ? others : "");
	return set_text("LD_PRELOAD", text);
}

/* The manager's socket: as given, of the host given, or of the one host that there is. */
static int find_socket(const struct wrap_options *options, char *path, size_t size)
{
	char host[RUNDIR_PATH_MAX];
	int err = 0;

	if (options->socket) {
		snprintf(path, size, "%s", options->socket);
		return 0;
	}
	if (options->host)
		snprintf(host, sizeof(host), "%s", options->host);
	else
		err = rundir_only_host(host, sizeof(host));
	if (err == -ENOTUNIQ)
		log_error("several hosts run (%s): say which by --host", host);
	else if (err)
		log_error("no manager runs here: start `ballast manager`, or give its --socket");
	else if (!rundir_attach(host, path, size))
		err = -ENAMETOOLONG;
	return err;
}

static int set_environment(const struct wrap_options *options, const struct wrap_view *view)
{
	char socket_path[PATH_MAX], paths[sizeof(view->paths) + 64];
	const char *name = options->name ? options->name : view->name;
	int err;

	if (!*name) {
		log_error(
			"the guest has no name: give QEMU -name NAME, or ballast wrap --name NAME");
		return -EINVAL;
	}
	if (!attach_name_is_valid(name)) {
		log_error("a guest cannot be called `%.80s': " ATTACH_NAME_RULE
			  "; give another by ballast wrap --name NAME",
			  name);
		return -EINVAL;
	}
	err = find_socket(options, socket_path, sizeof(socket_path));
	if (err)
		return err;
	snprintf(paths, sizeof(paths), RAM_FOLDER "%s%s", view->paths[0] ? ":" : "", view->paths);
	err = set_text("BALLAST_SOCKET", socket_path);
	if (!err)
		err = set_text("BALLAST_NAME", name);
	if (!err)
		err = set_number("BALLAST_RAM", view->max_bytes);
	if (!err)
		err = set_number("BALLAST_VCPUS", view->vcpus);
	if (!err)
		err = set_text("BALLAST_ACCEL", view->kvm ? "kvm" : "tcg");
	if (!err)
		err = set_text("BALLAST_RAM_PATHS", paths);
	return err ? err : preload();
}

static void add(struct wrap_command *command, const char *argument)
{
	command->argv[command->argc++] = (char *)(uintptr_t)argument;
}

/* Guest RAM that can be managed, where QEMU would take plain memory. */
static void add_backend(struct wrap_command *command, const struct wrap_view *view)
{
	snprintf(command->object, sizeof(command->object),
		 "memory-backend-memfd,id=ballast-ram,size=%lu,share=on", view->bytes);
	add(command, "-object");
	add(command, command->object);
	add(command, "-machine");
	add(command, "memory-backend=ballast-ram");
}

/* A monitor for the library, in the same process: nobody else can reach it, and no file is left behind. */
static int add_monitor(struct wrap_command *command)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -errno;
	snprintf(command->chardev, sizeof(command->chardev), "socket,id=ballast-qmp,fd=%d",
		 pair[0]);
	add(command, "-chardev");
	add(command, command->chardev);
	add(command, "-mon");
	add(command, "chardev=ballast-qmp,mode=control");
	return set_number("BALLAST_QMP_FD", (u64)pair[1]);
}

static enum cli_status run_wrapped(const struct wrap_options *options)
{
	struct wrap_command command = {
		.argv = calloc((size_t)options->count + ADDED_MAX, sizeof(*command.argv))};
	struct wrap_view view;
	char why[256];
	int err = 0;

	if (!command.argv)
		return CLI_FAILED;
	if (wrap_look(options->count - 1, options->command + 1, &view, why, sizeof(why))) {
		log_error("%s", why);
		return CLI_FAILED;
	}
	if (!view.no_guest)
		err = set_environment(options, &view);
	for (int i = 0; i < options->count; i++)
		add(&command, options->command[i]);
	if (!err && !view.backend && !view.no_guest)
		add_backend(&command, &view);
	if (!err && !view.no_guest)
		err = add_monitor(&command);
	if (err)
		return CLI_FAILED;
	execvp(command.argv[0], command.argv);
	log_error("%s: cannot be started: %s", command.argv[0], strerror(errno));
	return CLI_FAILED;
}

static enum cli_status wrap_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"name", required_argument, NULL, 'n'},
		{"host", required_argument, NULL, 'h'},
		{"socket", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct wrap_options options = {0};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:", longs, NULL)) != -1) {
		if (option == 'n')
			options.name = optarg;
		else if (option == 'h')
			options.host = optarg;
		else if (option == 's')
			options.socket = optarg;
		else
			return cli_misused("wrap",
					   option == ':' ? "%s needs a value" : "unknown option %s",
					   argv[optind - 1]);
	}
	if (optind == argc)
		return cli_misused("wrap", "which command? ballast wrap -- qemu-system-x86_64 ...");
	options.command = argv + optind;
	options.count = argc - optind;
	return run_wrapped(&options);
}

const struct cli_command wrap_command = {
	.name = "wrap",
	.summary = "start QEMU, its guest under the manager that runs",
	.synopsis = "wrap [--name NAME] [--host HOST | --socket PATH] -- qemu-system-x86_64 ...",
	.help = "Starts QEMU with a library that brings its guest to a manager (`ballast manager`). QEMU\n"
		"and the guest need no change. Guest memory is in a shared memory backend: where the\n"
		"options name none, one is added; one of their own needs share=on.\n"
		"\n"
		"  --name NAME    what the guest is called; otherwise as QEMU's -name says\n"
		"  --host HOST    the manager's host name, when several run\n"
		"  --socket PATH  its socket, where it is not in /run/ballast\n"
		"\n"
		"Exits as QEMU does. docs/qemu.md tells more, libvirt included.\n",
	.run = wrap_main,
};
