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

#include "bench/overcommit/textfile.h"
#include "lib/log.h"
#include "manager/cgroup.h"

#define ZRAM	   "/sys/block/zram0/"
#define ZRAM_DEV   "/dev/zram0"
#define ZRAM_BYTES "2147483648"

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
	err = textfile_read(ZRAM "initstate", text, sizeof(text));
	if (!err && text[0] != '0')
		err = -EBUSY;
	if (!err)
		err = textfile_read(ZRAM "comp_algorithm", text, sizeof(text));
	if (err)
		return err;
	textfile_choice(text, peer->algorithm, sizeof(peer->algorithm));
	peer->on = true;
	*why = "zram with lz4";
	err = textfile_write(ZRAM "comp_algorithm", "lz4");
	if (!err)
		err = textfile_write(ZRAM "disksize", ZRAM_BYTES);
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
	err = textfile_write(ZRAM "reset", "1");
	if (!err)
		err = textfile_write(ZRAM "comp_algorithm", peer->algorithm);
	if (err)
		log_error("%s: cannot be put back as it was: %s", ZRAM_DEV, strerror(-err));
	peer->on = false;
}

int peer_usage(struct peer_usage *usage)
{
	unsigned long long stored, compressed, used;
	char text[256];
	int err = textfile_read(ZRAM "mm_stat", text, sizeof(text));

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
	err = textfile_write(path, "60");
	if (err != -ENOENT)
		return err;
	snprintf(path, sizeof(path), "%s/memory.swap.max", cgroup_path(cgroup));
	return textfile_write(path, "max");
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
