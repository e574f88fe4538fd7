/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/rundir.h"
#include "ctl/wire.h"
#include "lib/log.h"

int client_find(const char *host, char *path, size_t size)
{
	char names[1024], folder[RUNDIR_PATH_MAX];
	int ret;

	if (host && strchr(host, '/')) {
		snprintf(path, size, "%s", host);
		return 0;
	}
	rundir_path(folder, sizeof(folder));
	if (!host) {
		ret = rundir_only_host(names, sizeof(names));
		if (ret == -ENOTUNIQ)
			log_error("several hosts run (%s): say which with --host", names);
		else if (ret)
			log_error("no host runs: nobody answers in %s; start one with ballast run",
				  folder);
		if (ret)
			return ret;
		host = names;
	}
	if (rundir_socket(host, path, size))
		return 0;
	log_error("host %s: the name is too long for a socket in %s", host, folder);
	return -ENAMETOOLONG;
}

int client_ask(const char *path, const char *const *words, u32 count, char **text)
{
	int socket = rundir_connect(path), ret;
	size_t length = 0;
	FILE *out;

	*text = NULL;
	if (socket < 0) {
		log_error("no host answers at %s: %s", path, strerror(-socket));
		return socket;
	}
	out = open_memstream(text, &length);
	ret = out ? wire_ask(socket, words, count) : -ENOMEM;
	if (!ret)
		ret = wire_receive(socket, out);
	if (out && fclose(out))
		ret = -ENOMEM;
	close(socket);
	if (ret >= 0)
		return ret;
	free(*text);
	*text = NULL;
	if (ret == -E2BIG)
		log_error("this is more than %lu KiB, which is the most a host takes at once",
			  WIRE_REQUEST_MAX / KiB);
	else
		log_error("the host at %s broke off: %s", path, strerror(-ret));
	return ret;
}
