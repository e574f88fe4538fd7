/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SUFFIX ".sock"

void rundir_path(char *path, size_t size)
{
	const char *session = getenv("XDG_RUNTIME_DIR");

	if (!geteuid())
		snprintf(path, size, "/run/ballast");
	else if (session && session[0] == '/')
		snprintf(path, size, "%.200s/ballast", session);
	else
		snprintf(path, size, "/tmp/ballast-%u", geteuid());
}

int rundir_make(void)
{
	char path[RUNDIR_PATH_MAX];
	struct stat info;

	rundir_path(path, sizeof(path));
	if (mkdir(path, geteuid() ? 0700 : 0755) && errno != EEXIST)
		return -errno;
	if (lstat(path, &info))
		return -errno;
	return S_ISDIR(info.st_mode) && info.st_uid == geteuid() ? 0 : -EPERM;
}

static bool socket_path(const char *host, const char *suffix, char *path, size_t size)
{
	char folder[RUNDIR_PATH_MAX];
	int length;

	rundir_path(folder, sizeof(folder));
	length = snprintf(path, size, "%s/%s%s", folder, host, suffix);
	return length > 0 && (size_t)length < size &&
	       (size_t)length < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

bool rundir_socket(const char *host, char *path, size_t size)
{
	return socket_path(host, SUFFIX, path, size);
}

bool rundir_attach(const char *host, char *path, size_t size)
{
	return socket_path(host, ".attach", path, size);
}

int rundir_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* A socket in the folder that somebody listens at. */
static bool answers(const char *entry, char *host, size_t size)
{
	char path[RUNDIR_PATH_MAX];
	size_t length = strlen(entry), suffix = strlen(SUFFIX);
	int fd;

	if (length <= suffix || strcmp(entry + length - suffix, SUFFIX) != 0)
		return false;
	snprintf(host, size, "%.*s", (int)(length - suffix), entry);
	if (!rundir_socket(host, path, sizeof(path)))
		return false;
	fd = rundir_connect(path);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int rundir_only_host(char *name, size_t size)
{
	char folder[RUNDIR_PATH_MAX], host[RUNDIR_PATH_MAX];
	struct dirent *entry;
	u32 found = 0;
	size_t at = 0;
	DIR *dir;

	rundir_path(folder, sizeof(folder));
	dir = opendir(folder);
	name[0] = '\0';
	while (dir && (entry = readdir(dir))) {
		if (!answers(entry->d_name, host, sizeof(host)))
			continue;
		if (at < size)
			at += (size_t)snprintf(name + at, size - at, "%s%s", found ? " " : "",
					       host);
		found++;
	}
	if (dir)
		closedir(dir);
	return found == 1 ? 0 : found ? -ENOTUNIQ : -ENOENT;
}
