/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "manager/cgroup.h"

#define ZRAM	   "/sys/block/zram0/"
#define ZRAM_DEV   "/dev/zram0"
#define ZRAM_BYTES "2147483648"

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done;
	int err = 0;

	if (fd < 0)
		return -errno;
	done = write(fd, text, strlen(text));
	if (done != (ssize_t)strlen(text))
		err = done < 0 ? -errno : -EIO;
	close(fd);
	return err;
}

static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t done;

	if (fd < 0)
		return -errno;
	done = read(fd, text, size - 1);
	close(fd);
	if (done < 0)
		return -EIO;
	text[done] = '\0';
	return 0;
}

/* The name in brackets of "lzo [lz4] zstd". */
static void chosen(const char *list, char *name, size_t size)
{
	const char *open = strchr(list, '['), *close = open ? strchr(open, ']') : NULL;

	*name = '\0';
	if (close)
		snprintf(name, size, "%.*s", (int)(close - open - 1), open + 1);
}

static int make_swap(void)
{
	int status = system("mkswap " ZRAM_DEV " >/dev/null 2>&1");

	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return -EIO;
	return swapon(ZRAM_DEV, SWAP_FLAG_PREFER | 0x7fff) ? -errno : 0;
}

int peer_open(struct peer *peer, const char **why)
{
	char text[256];
	int err;

	*peer = PEER_NONE;
	*why = ZRAM_DEV;
	err = read_text(ZRAM "initstate", text, sizeof(text));
	if (!err && text[0] != '0')
		err = -EBUSY;
	if (!err)
		err = read_text(ZRAM "comp_algorithm", text, sizeof(text));
	if (err)
		return err;
	chosen(text, peer->algorithm, sizeof(peer->algorithm));
	peer->on = true;
	*why = "zram with lz4";
	err = write_text(ZRAM "comp_algorithm", "lz4");
	if (!err)
		err = write_text(ZRAM "disksize", ZRAM_BYTES);
	if (!err) {
		*why = "swap on " ZRAM_DEV;
		err = make_swap();
	}
	if (err)
		peer_close(peer);
	return err;
}

/* Making a cgroup removes what dead runs left behind. */
void peer_sweep(void)
{
	struct cgroup *cgroup;
	const char *why;

	if (!cgroup_create("bench-sweep", &cgroup, &why))
		cgroup_destroy(cgroup);
}

void peer_close(struct peer *peer)
{
	int err;

	if (!peer->on)
		return;
	if (swapoff(ZRAM_DEV) && errno != EINVAL)
		log_error("%s: cannot be swapped off: %s", ZRAM_DEV, strerror(errno));
	err = write_text(ZRAM "reset", "1");
	if (!err)
		err = write_text(ZRAM "comp_algorithm", peer->algorithm);
	if (err)
		log_error("%s: cannot be put back as it was: %s", ZRAM_DEV, strerror(-err));
	peer->on = false;
}

int peer_usage(struct peer_usage *usage)
{
	unsigned long long stored, compressed, used;
	char text[256];
	int err = read_text(ZRAM "mm_stat", text, sizeof(text));

	if (err)
		return err;
	if (sscanf(text, "%llu %llu %llu", &stored, &compressed, &used) != 3)
		return -EPROTO;
	*usage = (struct peer_usage){stored, compressed, used};
	return 0;
}

/* cgroup_set_limit() forbids the kernel to swap; here it shall. */
static int allow_swap(const struct cgroup *cgroup)
{
	char path[PATH_MAX + 64];
	int err;

	snprintf(path, sizeof(path), "%s/memory.swappiness", cgroup_path(cgroup));
	err = write_text(path, "60");
	if (err != -ENOENT)
		return err;
	snprintf(path, sizeof(path), "%s/memory.swap.max", cgroup_path(cgroup));
	return write_text(path, "max");
}

int peer_limit(u64 bytes, struct cgroup **cgroup)
{
	const char *why;
	int err = cgroup_create("bench", cgroup, &why);

	if (err)
		return err;
	err = cgroup_set_limit(*cgroup, bytes);
	if (!err)
		err = allow_swap(*cgroup);
	if (!err)
		err = cgroup_join(*cgroup, 0);
	if (err)
		cgroup_destroy(*cgroup);
	return err;
}

void peer_unlimit(struct cgroup *cgroup)
{
	cgroup_destroy(cgroup);
}
