/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "ctl/config.h"
#include "ctl/faces.h"
#include "ctl/rundir.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "manager/manager.h"

#define SERVE_MS   200
#define GRACE_NS   (60 * NSEC_PER_SEC) /* for guests to shut down */
#define AT_ONCE_NS (10 * NSEC_PER_SEC)

static volatile sig_atomic_t signals_taken;

static void take_signal(int number)
{
	(void)number;
	if (signals_taken < 3)
		signals_taken = signals_taken + 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = take_signal};

	signals_taken = 0;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* Serves until all guests have ended, the time is over, or one more signal has come. */
static void wind_down(struct manager *manager, bool graceful, u64 patience_ns)
{
	u64 until = clock_now_ns() + patience_ns;
	int before = signals_taken;

	manager_stop_guests(manager, graceful, "the manager is told to end");
	while (manager_serve(manager, SERVE_MS) > 0 && clock_now_ns() < until &&
	       signals_taken == before)
		;
}

static void serve(struct manager *manager, const struct host_config *config)
{
	log_info("host %s: %lu MiB for guests that are brought to %s", config->name,
		 config->memory_bytes / MiB, config->attach);
	sd_notifyf(0, "READY=1\nSTATUS=VMMs bring their guests to %s", config->attach);
	while (!signals_taken)
		manager_serve(manager, SERVE_MS);
	sd_notify(0, "STOPPING=1\nSTATUS=Guests shut down, no others are taken");
	if (manager_serve(manager, 0) > 0) {
		log_info("guests shut down; a second signal ends them at once");
		wind_down(manager, true, GRACE_NS);
	}
	if (manager_serve(manager, 0) > 0)
		wind_down(manager, false, AT_ONCE_NS);
}

/* Where it listens, unless the file says. */
static int choose_socket(struct host_config *config)
{
	int ret = 0;

	config->listens = true;
	if (config->attach[0])
		return 0;
	ret = rundir_make();
	if (!ret && !rundir_attach(config->name, config->attach, sizeof(config->attach)))
		ret = -ENAMETOOLONG;
	if (ret)
		log_error("no folder for the socket: %s; set attach = PATH", strerror(-ret));
	return ret;
}

static enum cli_status run_service(struct host_config *config)
{
	struct manager *manager;
	struct faces *faces;

	if (choose_socket(config))
		return CLI_FAILED;
	catch_signals();
	if (manager_create(config, &manager))
		return CLI_FAILED;
	if (faces_start(config, manager, &faces)) {
		manager_destroy(manager);
		return CLI_FAILED;
	}
	serve(manager, config);
	faces_stop(faces);
	manager_destroy(manager);
	return CLI_OK;
}

static enum cli_status manager_main(int argc, char **argv)
{
	struct host_config config;
	enum cli_status status;
	char error[1024];

	if (argc != 2 || argv[1][0] == '-')
		return cli_misused("manager", "%s",
				   argc < 2 ? "which configuration file?"
					    : "one configuration file, and no options");
	if (config_read(argv[1], &config, error, sizeof(error))) {
		log_error("%s", error);
		return CLI_FAILED;
	}
	status = run_service(&config);
	config_free(&config);
	return status;
}

const struct cli_command manager_command = {
	.name = "manager",
	.summary = "serve guests of other VMMs (QEMU)",
	.synopsis = "manager FILE.ini",
	.help = "Runs a manager without guests of its own. VMMs bring theirs to its socket, `attach` in\n"
		"FILE.ini, by default /run/ballast/NAME.attach: QEMU by `ballast wrap`. The [guest NAME]\n"
		"sections say who may come and what it is promised, [guest-default] holds for all others.\n"
		"\n"
		"Tells systemd when it is ready. SIGTERM or Ctrl-C asks the guests to shut down and ends\n"
		"when they have, after a minute at the latest; a second one ends them at once.\n"
		"\n"
		"`ballast help config` lists the keys of FILE.ini; docs/qemu.md has an example.\n",
	.run = manager_main,
};
