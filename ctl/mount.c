/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse's own loop can be ended only by a request that arrives, or by cancelling threads. Ours waits for
 * the device and for an eventfd, so it ends when told to, whoever holds files open.
 */
#define FUSE_USE_VERSION 31

#include "ctl/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <fuse3/fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/thread.h"

#define THREADS	  4U
#define FILE_SIZE 4096 /* what stat() says, as sysfs does; reading ends where the text does */

struct mount {
	struct control *control;
	char path[CONFIG_PATH_MAX];
	bool made; /* the folder is ours */
	struct fuse *fuse;
	struct timespec started;
	int stop; /* eventfd */
	u32 thread_count;
	pthread_t threads[THREADS];
	pthread_mutex_t files_lock; /* guards files */
	LIST_HEAD(, file) files;    /* open: libfuse forgets those that still are at the end */
};

/* An open file. */
struct file {
	LIST_ENTRY(file) others;
	pthread_mutex_t lock;
	char *text; /* NULL: not read yet */
	size_t length;
};

static struct mount *mount_of(void)
{
	return fuse_get_context()->private_data;
}

static struct file *file_of(const struct fuse_file_info *info)
{
	return (struct file *)(uintptr_t)info->fh;
}

static struct file *add_file(struct mount *mount)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	pthread_mutex_init(&file->lock, NULL);
	pthread_mutex_lock(&mount->files_lock);
	LIST_INSERT_HEAD(&mount->files, file, others);
	pthread_mutex_unlock(&mount->files_lock);
	return file;
}

static void remove_file(struct mount *mount, struct file *file)
{
	pthread_mutex_lock(&mount->files_lock);
	LIST_REMOVE(file, others);
	pthread_mutex_unlock(&mount->files_lock);
	pthread_mutex_destroy(&file->lock);
	free(file->text);
	free(file);
}

static int tree_getattr(const char *path, struct stat *stat, struct fuse_file_info *info)
{
	struct mount *mount = mount_of();
	struct control_node node;
	int ret = control_find(mount->control, path, &node);

	(void)info;
	if (ret)
		return ret;
	memset(stat, 0, sizeof(*stat));
	stat->st_uid = geteuid();
	stat->st_gid = getegid();
	stat->st_atim = stat->st_mtim = stat->st_ctim = mount->started;
	if (!node.attr) {
		stat->st_mode = S_IFDIR | 0555;
		stat->st_nlink = 2;
		return 0;
	}
	stat->st_mode = S_IFREG | (attr_writable(node.attr) ? 0644 : 0444);
	stat->st_nlink = 1;
	stat->st_size = FILE_SIZE;
	return 0;
}

static int tree_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
			struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
	struct control_names names;
	int ret = control_list(mount_of()->control, path, &names);

	(void)offset;
	(void)info;
	(void)flags;
	if (ret)
		return ret;
	fill(buffer, ".", NULL, 0, 0);
	fill(buffer, "..", NULL, 0, 0);
	for (u32 i = 0; i < names.count; i++)
		fill(buffer, names.names[i], NULL, 0, 0);
	free(names.names);
	return 0;
}

static int tree_open(const char *path, struct fuse_file_info *info)
{
	struct control_node node;
	struct file *file;
	int ret = control_find(mount_of()->control, path, &node);

	if (ret)
		return ret;
	if (!node.attr)
		return -EISDIR;
	if ((info->flags & O_ACCMODE) != O_RDONLY && !attr_writable(node.attr))
		return -EACCES;
	file = add_file(mount_of());
	if (!file)
		return -ENOMEM;
	info->fh = (uintptr_t)file;
	info->direct_io = 1;
	return 0;
}

static int tree_release(const char *path, struct fuse_file_info *info)
{
	(void)path;
	remove_file(mount_of(), file_of(info));
	return 0;
}

/* The text of this opening: made anew when the file is read from its beginning. */
static int read_file(struct file *file, const char *path, char *buffer, size_t size, size_t offset)
{
	if (!file->text || !offset) {
		char *text;
		ssize_t length = control_read(mount_of()->control, path, &text);

		if (length < 0)
			return (int)length;
		free(file->text);
		file->text = text;
		file->length = (size_t)length;
	}
	if (offset >= file->length)
		return 0;
	size = MIN(size, file->length - offset);
	memcpy(buffer, file->text + offset, size);
	return (int)size;
}

static int tree_read(const char *path, char *buffer, size_t size, off_t offset,
		     struct fuse_file_info *info)
{
	struct file *file = file_of(info);
	int ret;

	pthread_mutex_lock(&file->lock);
	ret = read_file(file, path, buffer, size, (size_t)offset);
	pthread_mutex_unlock(&file->lock);
	return ret;
}

static int tree_write(const char *path, const char *text, size_t size, off_t offset,
		      struct fuse_file_info *info)
{
	char error[ATTR_ERROR_MAX];
	int ret;

	(void)info;
	/* A value that comes in pieces is none: who would say which is the last? */
	if (offset)
		return -EINVAL;
	ret = control_write(mount_of()->control, path, text, size, error, sizeof(error));
	return ret ? ret : (int)size;
}

/* For the shell's `>`. */
static int tree_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
	struct control_node node;
	int ret = control_find(mount_of()->control, path, &node);

	(void)info;
	(void)size;
	if (ret)
		return ret;
	return node.attr && attr_writable(node.attr) ? 0 : -EACCES;
}

static void *tree_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
	(void)connection;
	/* Guests come and go, values change: nothing is remembered by the kernel. */
	config->entry_timeout = 0;
	config->attr_timeout = 0;
	config->negative_timeout = 0;
	config->direct_io = 1;
	return mount_of();
}

static const struct fuse_operations operations = {
	.getattr = tree_getattr,
	.truncate = tree_truncate,
	.open = tree_open,
	.read = tree_read,
	.write = tree_write,
	.release = tree_release,
	.readdir = tree_readdir,
	.init = tree_init,
};

/* Takes requests one after the other, till told to stop or the file system is gone. */
static void *serve(void *argument)
{
	struct mount *mount = argument;
	struct fuse_session *session = fuse_get_session(mount->fuse);
	struct fuse_buf buffer = {0};
	struct pollfd fds[] = {
		{.fd = fuse_session_fd(session), .events = POLLIN},
		{.fd = mount->stop, .events = POLLIN},
	};

	while (!fuse_session_exited(session)) {
		int got;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		got = fuse_session_receive_buf(session, &buffer);
		if (got == -EINTR || got == -EAGAIN)
			continue;
		if (got <= 0)
			break;
		fuse_session_process_buf(session, &buffer);
	}
	free(buffer.mem);
	return NULL;
}

/* Makes the folder, and takes away what a dead host left mounted on it. */
static int prepare_folder(struct mount *mount, char *why, size_t size)
{
	struct stat here, above;
	char parent[CONFIG_PATH_MAX + 4];
	int ret;

	if (stat(mount->path, &here) && errno == ENOTCONN) {
		if (umount2(mount->path, MNT_DETACH)) {
			ret = -errno;
			snprintf(
				why, size,
				"%s is what a dead host left mounted, and cannot be unmounted: %s; "
				"try: fusermount3 -uz %s",
				mount->path, strerror(-ret), mount->path);
			return ret;
		}
		/* Its folder was its own, as it is ours now. */
		mount->made = true;
		log_info("unmounted %s, left by a host that is dead", mount->path);
	}
	if (!mkdir(mount->path, 0755)) {
		mount->made = true;
	} else if (errno != EEXIST) {
		ret = -errno;
		snprintf(why, size, "%s cannot be made: %s", mount->path, strerror(-ret));
		return ret;
	}
	snprintf(parent, sizeof(parent), "%s/..", mount->path);
	if (!stat(mount->path, &here) && !stat(parent, &above) && here.st_dev != above.st_dev) {
		snprintf(why, size,
			 "something is mounted at %s: another host of this name? give this one "
			 "another `name' or `control'",
			 mount->path);
		return -EBUSY;
	}
	return 0;
}

static int mount_tree(struct mount *mount, char *why, size_t size)
{
	char *argv[] = {"ballast", "-o", "fsname=ballast,subtype=ballast,default_permissions",
			NULL};
	struct fuse_args args = FUSE_ARGS_INIT(ARRAY_SIZE(argv) - 1, argv);
	int ret = -EIO, fd;

	mount->fuse = fuse_new(&args, &operations, sizeof(operations), mount);
	fuse_opt_free_args(&args);
	if (!mount->fuse || fuse_mount(mount->fuse, mount->path)) {
		snprintf(why, size,
			 "%s cannot be mounted: is /dev/fuse there, and for others than root "
			 "fusermount3?",
			 mount->path);
		goto destroy;
	}
	/* Threads share the device: one of them gets the request, the others go on waiting. */
	fd = fuse_session_fd(fuse_get_session(mount->fuse));
	if (!fcntl(fd, F_SETFL, O_NONBLOCK | fcntl(fd, F_GETFL)) && !fcntl(fd, F_SETFD, FD_CLOEXEC))
		return 0;
	ret = -errno;
	snprintf(why, size, "the FUSE device cannot be set up: %s", strerror(errno));
	fuse_unmount(mount->fuse);
destroy:
	if (mount->fuse)
		fuse_destroy(mount->fuse);
	mount->fuse = NULL;
	return ret;
}

static int start_threads(struct mount *mount)
{
	int ret = 0;

	for (; mount->thread_count < THREADS && !ret; mount->thread_count += !ret)
		ret = thread_start(&mount->threads[mount->thread_count], serve, mount);
	return mount->thread_count ? 0 : ret;
}

int mount_start(struct control *control, const char *path, char *why, size_t size,
		struct mount **out)
{
	struct mount *mount = calloc(1, sizeof(*mount));
	int ret = -ENOMEM;

	snprintf(why, size, "out of memory");
	if (!mount)
		return ret;
	mount->control = control;
	pthread_mutex_init(&mount->files_lock, NULL);
	snprintf(mount->path, sizeof(mount->path), "%s", path);
	clock_gettime(CLOCK_REALTIME, &mount->started);
	mount->stop = eventfd(0, EFD_CLOEXEC);
	if (mount->stop < 0) {
		ret = -errno;
		goto free_mount;
	}
	ret = prepare_folder(mount, why, size);
	if (!ret)
		ret = mount_tree(mount, why, size);
	if (ret)
		goto remove_folder;
	ret = start_threads(mount);
	if (ret)
		goto unmount;
	*out = mount;
	return 0;

unmount:
	fuse_unmount(mount->fuse);
	fuse_destroy(mount->fuse);
remove_folder:
	if (mount->made)
		rmdir(mount->path);
	close(mount->stop);
free_mount:
	free(mount);
	return ret;
}

void mount_stop(struct mount *mount)
{
	if (!mount)
		return;
	eventfd_write(mount->stop, 1);
	for (u32 i = 0; i < mount->thread_count; i++)
		pthread_join(mount->threads[i], NULL);
	fuse_unmount(mount->fuse);
	fuse_destroy(mount->fuse);
	while (!LIST_EMPTY(&mount->files))
		remove_file(mount, LIST_FIRST(&mount->files));
	pthread_mutex_destroy(&mount->files_lock);
	if (mount->made && rmdir(mount->path))
		log_warn("%s: cannot be removed: %m", mount->path);
	close(mount->stop);
	free(mount);
}
