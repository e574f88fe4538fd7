/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two generations of one idea under two sets of names: a table holds the names, the code knows only
 * the idea. Everything is a small text file in a folder that we keep open.
 */
#include "manager/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"

#define CGROUP_PREFIX "ballast-"

/* What a version calls the files, and the keys in them ("file:key"; NULL: it does not tell). */
struct cgroup_names {
	const char *limit, *no_swap, *no_swap_value;
	const char *now, *peak, *anon, *shmem, *cache, *kernel, *limit_hits, *oom_kills;
};

static const struct cgroup_names cgroup_names[] = {
	[1] = {.limit = "memory.limit_in_bytes",
	       .no_swap = "memory.swappiness",
	       .no_swap_value = "0",
	       .now = "memory.usage_in_bytes",
	       .peak = "memory.max_usage_in_bytes",
	       .anon = "memory.stat:total_rss",
	       .shmem = "memory.stat:total_shmem",
	       .cache = "memory.stat:total_cache",
	       .kernel = "memory.kmem.usage_in_bytes",
	       .limit_hits = "memory.failcnt",
	       .oom_kills = "memory.oom_control:oom_kill"},
	[2] = {.limit = "memory.max",
	       .no_swap = "memory.swap.max",
	       .no_swap_value = "0",
	       .now = "memory.current",
	       .peak = "memory.peak",
	       .anon = "memory.stat:anon",
	       .shmem = "memory.stat:shmem",
	       .cache = "memory.stat:file",
	       .kernel = "memory.stat:kernel",
	       .limit_hits = "memory.events:max",
	       .oom_kills = "memory.events:oom_kill"},
};

struct cgroup {
	const struct cgroup_names *names;
	int home_fd;   /* where we were */
	int parent_fd; /* where it is made */
	int fd;	       /* itself */
	u64 peak;      /* the most seen */
	char name[NAME_MAX];
	char path[PATH_MAX + NAME_MAX + 1];
};

/* ---- where ---- */

static bool list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += length)
		if ((at == list || strchr(", ", at[-1])) && strchr(", \n", at[length]))
			return true;
	return false;
}

struct mount {
	char root[PATH_MAX];
	char point[PATH_MAX];
};

/* The mount of version `version` that carries the memory controller (proc(5), mountinfo: the fields
 * up to the mount point, options of varying number, " - ", type, source, options). */
static bool find_mount(const char *mountinfo, u32 version, struct mount *mount)
{
	const char *type = version == 1 ? "cgroup" : "cgroup2";

	for (const char *line = mountinfo; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char options[512], found[32];
		const char *tail = strstr(line, " - ");

		if (!tail || (strchr(line, '\n') && tail > strchr(line, '\n')))
			continue;
		if (sscanf(tail, " - %31s %*s %511s", found, options) != 2 || strcmp(found, type))
			continue;
		if (version == 1 && !list_has(options, "memory"))
			continue;
		if (sscanf(line, "%*s %*s %*s %4095s %4095s", mount->root, mount->point) == 2)
			return true;
	}
	return false;
}

/* The process' path in the hierarchy: "4:memory:/path" in version 1, "0::/path" in 2. */
static bool find_membership(const char *membership, u32 version, char *path)
{
	for (const char *line = membership; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char controllers[256] = "";
		int start = 0;

		if (version == 2 && !strncmp(line, "0::", 3))
			return sscanf(line + 3, "%4095s", path) == 1;
		if (version == 1 && sscanf(line, "%*u:%255[^:\n]:%n", controllers, &start) == 1 &&
		    start && list_has(controllers, "memory"))
			return sscanf(line + start, "%4095s", path) == 1;
	}
	return false;
}

int cgroup_find(const char *mountinfo, const char *membership, struct cgroup_place *place,
		const char **why)
{
	char path[PATH_MAX];
	struct mount mount;
	const char *below = path;

	*why = "no memory cgroups are mounted";
	for (place->version = 1; place->version <= 2; place->version++)
		if (find_mount(mountinfo, place->version, &mount))
			break;
	if (place->version > 2 || !find_membership(membership, place->version, path))
		return -ENOENT;

	/* In a container only a part of the hierarchy may be mounted: `root` is where it starts. */
	*why = "our cgroup lies outside what is mounted here";
	if (strcmp(mount.root, "/")) {
		size_t length = strlen(mount.root);

		if (strncmp(path, mount.root, length) || (path[length] && path[length] != '/'))
			return -EXDEV;
		below += length;
	}
	if (strstr(below, "/.."))
		return -EXDEV;
	place->top = !*below || !strcmp(below, "/");
	if (snprintf(place->home, sizeof(place->home), "%s%s", mount.point,
		     place->top ? "" : below) >= (int)sizeof(place->home))
		return -EXDEV;
	*why = NULL;
	return 0;
}

/* ---- small files ---- */

/* Reads a file of a folder as text; returns its length or -errno. */
static ssize_t read_text(int folder, const char *name, char *text, size_t size)
{
	size_t length = 0;
	ssize_t got;
	int fd, error;

	fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((got = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t)got;
	error = errno;
	close(fd);
	text[length] = '\0';
	return got < 0 ? -error : (ssize_t)length;
}

static int write_text(int folder, const char *name, const char *text)
{
	ssize_t done;
	int fd, error;

	fd = openat(folder, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	done = write(fd, text, strlen(text));
	error = errno;
	close(fd);
	return done < 0 ? -error : 0;
}

/* The number after `key` in lines of "key number", or the number a text starts with if no key. */
static u64 parse_value(const char *text, const char *key)
{
	size_t length = key ? strlen(key) : 0;

	if (!key)
		return strtoull(text, NULL, 10);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == ' ')
			return strtoull(line + length, NULL, 10);
	}
	return 0;
}

/* One counter by its name in the table; 0 where there is none. */
static u64 read_counter(const struct cgroup *cgroup, const char *name)
{
	char file[64], text[8192];
	const char *key = strchr(name, ':');

	snprintf(file, sizeof(file), "%.*s", (int)strcspn(name, ":"), name);
	if (read_text(cgroup->fd, file, text, sizeof(text)) < 0)
		return 0;
	return parse_value(text, key ? key + 1 : NULL);
}

int cgroup_find_self(struct cgroup_place *place, const char **why)
{
	static const size_t size = 256 * KiB;
	char *text = malloc(2 * size);
	int ret = -ENOMEM;

	*why = "out of memory";
	if (!text)
		return ret;
	*why = "cannot read /proc/self/mountinfo or /proc/self/cgroup";
	ret = (int)read_text(AT_FDCWD, "/proc/self/mountinfo", text, size);
	if (ret >= 0)
		ret = (int)read_text(AT_FDCWD, "/proc/self/cgroup", text + size, size);
	if (ret >= 0)
		ret = cgroup_find(text, text + size, place, why);
	free(text);
	return ret;
}

/* ---- life ---- */

/* The pid in "ballast-<name>-<pid>", 0 if it is no name of ours. */
static pid_t owner_of(const char *name)
{
	const char *dash = strrchr(name, '-');
	char *end;
	long pid;

	if (strncmp(name, CGROUP_PREFIX, strlen(CGROUP_PREFIX)) || !dash || !dash[1])
		return 0;
	pid = strtol(dash + 1, &end, 10);
	return *end || pid <= 0 || pid > INT_MAX ? 0 : (pid_t)pid;
}

/* Removes cgroups of ours whose process is dead. The kernel refuses while anyone is in one, so a
 * wrong guess (a pid of another namespace) does no harm. */
static void remove_stale(int parent)
{
	int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		pid_t pid = owner_of(entry->d_name);

		if (pid && kill(pid, 0) && errno == ESRCH &&
		    !unlinkat(parent, entry->d_name, AT_REMOVEDIR))
			log_info("removed cgroup %s of a run that is dead", entry->d_name);
	}
	closedir(dir);
}

/* Makes the cgroup in `parent` and sees whether it has a memory limit. */
static int create_in(struct cgroup *cgroup, int parent, const char **why)
{
	int ret;

	*why = "not permitted here: run as root, or where systemd delegates memory to you";
	remove_stale(parent);
	if (mkdirat(parent, cgroup->name, 0755) && errno != EEXIST)
		return -errno;
	cgroup->fd = openat(parent, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->fd < 0) {
		ret = -errno;
		goto remove_folder;
	}
	if (!faccessat(cgroup->fd, cgroup->names->limit, W_OK, 0)) {
		cgroup->parent_fd = parent;
		return 0;
	}
	ret = -errno;
	if (ret == -ENOENT)
		*why = "the memory controller is not enabled here (cgroup.subtree_control)";
	close(cgroup->fd);
	cgroup->fd = -1;
remove_folder:
	unlinkat(parent, cgroup->name, AT_REMOVEDIR);
	return ret;
}

/* Below the caller's cgroup where possible, else beside it. */
static int create_near(struct cgroup *cgroup, const struct cgroup_place *place, const char **why)
{
	int parent, ret;

	if (place->version == 2)
		write_text(cgroup->home_fd, "cgroup.subtree_control", "+memory");
	snprintf(cgroup->path, sizeof(cgroup->path), "%s/%s", place->home, cgroup->name);
	parent = dup(cgroup->home_fd);
	ret = parent < 0 ? -errno : create_in(cgroup, parent, why);
	if (!ret)
		return 0;
	close(parent);
	if (place->version == 1 || place->top)
		return ret;

	snprintf(cgroup->path, sizeof(cgroup->path), "%.*s/%s",
		 (int)(strrchr(place->home, '/') - place->home), place->home, cgroup->name);
	parent = openat(cgroup->home_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return ret;
	ret = create_in(cgroup, parent, why);
	if (ret)
		close(parent);
	return ret;
}

int cgroup_create(const char *name, struct cgroup **made, const char **why)
{
	struct cgroup_place place;
	struct cgroup *cgroup;
	int ret;

	ret = cgroup_find_self(&place, why);
	if (ret)
		return ret;
	*why = "out of memory";
	cgroup = calloc(1, sizeof(*cgroup));
	if (!cgroup)
		return -ENOMEM;
	cgroup->names = &cgroup_names[place.version];
	snprintf(cgroup->name, sizeof(cgroup->name), CGROUP_PREFIX "%s-%d", name, getpid());
	*why = "our own cgroup is not visible here";
	cgroup->home_fd = open(place.home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->home_fd < 0) {
		ret = -errno;
		goto free_cgroup;
	}
	ret = create_near(cgroup, &place, why);
	if (ret)
		goto close_home;
	*why = NULL;
	*made = cgroup;
	return 0;
close_home:
	close(cgroup->home_fd);
free_cgroup:
	free(cgroup);
	return ret;
}

int cgroup_set_limit(struct cgroup *cgroup, u64 bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	/* Absent where the kernel has no swap support: then there is nothing to keep it from. */
	write_text(cgroup->fd, cgroup->names->no_swap, cgroup->names->no_swap_value);
	return write_text(cgroup->fd, cgroup->names->limit, text);
}

int cgroup_join(struct cgroup *cgroup, pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", pid);
	return write_text(cgroup->fd, "cgroup.procs", text);
}

int cgroup_read_usage(struct cgroup *cgroup, struct cgroup_usage *usage)
{
	const struct cgroup_names *names = cgroup->names;
	char text[64];
	ssize_t got = read_text(cgroup->fd, names->now, text, sizeof(text));

	if (got < 0)
		return (int)got;
	*usage = (struct cgroup_usage){.now = parse_value(text, NULL),
				       .peak = read_counter(cgroup, names->peak),
				       .anon = read_counter(cgroup, names->anon),
				       .shmem = read_counter(cgroup, names->shmem),
				       .cache = read_counter(cgroup, names->cache),
				       .kernel = read_counter(cgroup, names->kernel),
				       .limit_hits = read_counter(cgroup, names->limit_hits),
				       .oom_kills = read_counter(cgroup, names->oom_kills)};
	cgroup->peak = MAX(cgroup->peak, MAX(usage->now, usage->peak));
	usage->peak = cgroup->peak;
	/* Both versions count memory files among the cached files. */
	usage->cache -= MIN(usage->cache, usage->shmem);
	return 0;
}

const char *cgroup_path(const struct cgroup *cgroup)
{
	return cgroup->path;
}

/* Sends every process in it home: ourselves, and any child that outlives us. */
static void send_home(struct cgroup *cgroup)
{
	char text[4096], *line, *rest = text;

	if (read_text(cgroup->fd, "cgroup.procs", text, sizeof(text)) <= 0)
		return;
	while ((line = strsep(&rest, "\n")))
		if (*line)
			write_text(cgroup->home_fd, "cgroup.procs", line);
}

void cgroup_destroy(struct cgroup *cgroup)
{
	const struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};

	if (!cgroup)
		return;
	/* Processes that exit leave a moment later than wait(2) says. */
	for (int tries = 0; tries < 50; tries++) {
		send_home(cgroup);
		if (!unlinkat(cgroup->parent_fd, cgroup->name, AT_REMOVEDIR) || errno != EBUSY)
			break;
		nanosleep(&moment, NULL);
	}
	if (!faccessat(cgroup->parent_fd, cgroup->name, F_OK, 0))
		log_warn("cgroup %s: cannot remove: %m; the next run will, or: rmdir it",
			 cgroup->path);
	close(cgroup->fd);
	close(cgroup->parent_fd);
	close(cgroup->home_fd);
	free(cgroup);
}
