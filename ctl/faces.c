/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/faces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/control.h"
#include "ctl/metrics.h"
#include "ctl/mount.h"
#include "ctl/rundir.h"
#include "ctl/server.h"
#include "lib/log.h"

struct faces {
	struct control *control;
	struct server *server;
	struct mount *mount;
	struct metrics *metrics;
};

/* A name that can be a file's. */
static bool is_file_name(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/');
}

static void show_socket(struct faces *faces, const struct host_config *config)
{
	char path[RUNDIR_PATH_MAX], folder[RUNDIR_PATH_MAX];
	int ret = rundir_make();

	rundir_path(folder, sizeof(folder));
	if (!is_file_name(config->name)) {
		log_warn("no control socket: a host called `%s' cannot have a file of that name",
			 config->name);
		return;
	}
	if (!ret)
		ret = rundir_socket(config->name, path, sizeof(path)) ? 0 : -ENAMETOOLONG;
	if (!ret)
		ret = server_start(faces->control, path, &faces->server);
	if (ret == -EADDRINUSE)
		log_warn("no control socket: another host called %s runs; give this one another "
			 "`name', or ballast get, set and top will not find it",
			 config->name);
	else if (ret)
		log_warn("no control socket in %s: %s; ballast get, set and top will not find "
			 "this host",
			 folder, strerror(-ret));
}

static void show_mount(struct faces *faces, const struct host_config *config)
{
	char folder[RUNDIR_PATH_MAX], path[CONFIG_PATH_MAX], why[1024];

	if (strcmp(config->control, "off") == 0)
		return;
	rundir_path(folder, sizeof(folder));
	if (!config->control[0] && (!is_file_name(config->name) || !faces->server))
		return; /* said already */
	if (config->control[0])
		snprintf(path, sizeof(path), "%s", config->control);
	else
		snprintf(path, sizeof(path), "%s/%s", folder, config->name);
	if (mount_start(faces->control, path, why, sizeof(why), &faces->mount))
		log_warn("no control tree: %s; ballast get, set and tree do without; control = off "
			 "silences this",
			 why);
}

int faces_start(const struct host_config *config, struct manager *manager, struct faces **out)
{
	struct faces *faces = calloc(1, sizeof(*faces));
	char why[256];
	int ret = 0;

	if (!faces || control_create(manager, config->name, &faces->control)) {
		free(faces);
		log_error("out of memory for the control tree");
		return -ENOMEM;
	}
	show_socket(faces, config);
	show_mount(faces, config);
	if (config->metrics[0])
		ret = metrics_start(faces->control, config->metrics, why, sizeof(why),
				    &faces->metrics);
	if (ret == -EINVAL) {
		log_error("metrics: %s", why);
		faces_stop(faces);
		return ret;
	}
	if (ret)
		log_warn("no metrics: %s", why);
	*out = faces;
	return 0;
}

void faces_stop(struct faces *faces)
{
	char folder[RUNDIR_PATH_MAX];

	if (!faces)
		return;
	metrics_stop(faces->metrics);
	mount_stop(faces->mount);
	server_stop(faces->server);
	control_destroy(faces->control);
	free(faces);
	/* Unless another host lives there. */
	rundir_path(folder, sizeof(folder));
	rmdir(folder);
}
