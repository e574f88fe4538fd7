/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/rival.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

#include "bench/overcommit/textfile.h"

#define ZRAM	   "/sys/block/zram0"
#define ZRAM_DEV   "/dev/zram0"
#define KSM	   "/sys/kernel/mm/ksm/"
#define ZRAM_FIRST (SWAP_FLAG_PREFER | 100) /* priorities: the higher is filled first */
#define FILE_LAST  (SWAP_FLAG_PREFER | 1)

static int set_number(const char *path, u64 number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return textfile_write(path, text);
}

int rival_check(const char **why)
{
	char state[16];
	int err = textfile_read(ZRAM "/initstate", state, sizeof(state));

	*why = ZRAM_DEV " is missing: modprobe zram";
	if (err)
		return err;
	*why = ZRAM_DEV " is in use";
	if (state[0] != '0')
		return -EBUSY;
	*why = "not permitted: run as root";
	if (access(ZRAM_DEV, R_OK | W_OK))
		return -errno;
	*why = "the kernel has no KSM";
	return access(KSM "run", W_OK) ? -errno : 0;
}

/* The header of a swap area, as mkswap(8) writes it: in the first page, version and last page at byte
 * 1024, and the magic word at the page's end (linux/include/linux/swap.h, union swap_header). */
static int write_swap_header(int fd, u64 bytes)
{
	u8 page[PAGE_SIZE] = {0};
	const u32 info[2] = {1, (u32)(bytes / PAGE_SIZE - 1)};

	memcpy(page + 1024, info, sizeof(info));
	memcpy(page + PAGE_SIZE - 10, "SWAPSPACE2", 10);
	if (pwrite(fd, page, sizeof(page), 0) != (ssize_t)sizeof(page))
		return errno ? -errno : -EIO;
	return fsync(fd) ? -errno : 0;
}

static int swap_on(struct journal *journal, int fd, const char *path, u64 bytes, int flags)
{
	int err = write_swap_header(fd, bytes);

	if (!err)
		err = journal_note(journal, UNDO_SWAPOFF, path, "");
	if (!err && swapon(path, flags))
		err = -errno;
	return err;
}

static int setup_zram(struct journal *journal, u64 bytes)
{
	int fd, err = journal_note_file(journal, ZRAM "/comp_algorithm");

	if (!err)
		err = journal_note(journal, UNDO_ZRAM, ZRAM, "");
	if (!err)
		err = textfile_write(ZRAM "/comp_algorithm", "lz4");
	if (!err)
		err = set_number(ZRAM "/disksize", bytes);
	if (err)
		return err;
	fd = open(ZRAM_DEV, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = swap_on(journal, fd, ZRAM_DEV, bytes, ZRAM_FIRST);
	close(fd);
	return err;
}

/* Preallocated: the kernel swaps to the blocks of a file, and takes none with holes. */
static int setup_file(struct journal *journal, const char *path, u64 bytes)
{
	int fd, err = journal_note(journal, UNDO_REMOVE, path, "");

	if (err)
		return err;
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = -posix_fallocate(fd, 0, (off_t)bytes);
	if (!err)
		err = swap_on(journal, fd, path, bytes, FILE_LAST);
	close(fd);
	return err;
}

static int setup_ksm(struct journal *journal, const struct rival_options *options)
{
	static const char *const knobs[] = {KSM "pages_to_scan", KSM "sleep_millisecs",
					    KSM "use_zero_pages", KSM "advisor_mode", KSM "run"};
	int err = 0;

	/* The advisor, first to be put back to, would overwrite pages_to_scan. */
	for (u32 i = 0; i < ARRAY_SIZE(knobs) && !err; i++)
		err = access(knobs[i], F_OK) ? 0 : journal_note_file(journal, knobs[i]);
	if (!err && !access(KSM "advisor_mode", W_OK))
		err = textfile_write(KSM "advisor_mode", "none");
	if (!err)
		err = set_number(KSM "pages_to_scan", options->pages_to_scan);
	if (!err)
		err = set_number(KSM "sleep_millisecs", options->sleep_millisecs);
	if (!err)
		err = set_number(KSM "use_zero_pages", 1);
	if (!err)
		err = set_number(KSM "run", 1);
	return err;
}

int rival_setup(struct journal *journal, const struct rival_options *options, const char **why)
{
	int err = rival_check(why);

	if (err)
		return err;
	*why = "swap on " ZRAM_DEV;
	err = setup_zram(journal, options->zram_bytes);
	if (err)
		return err;
	*why = "the kernel's swap file";
	err = setup_file(journal, options->swap_file, options->swap_bytes);
	if (err)
		return err;
	*why = "the kernel's KSM";
	return setup_ksm(journal, options);
}

/* In use of a swap area, from /proc/swaps (path, type, size, used, priority; KiB). */
static u64 swap_used(const char *wanted)
{
	FILE *file = fopen("/proc/swaps", "re");
	unsigned long long used = 0, found;
	char line[1024], path[512], real[4096];

	if (!realpath(wanted, real))
		snprintf(real, sizeof(real), "%s", wanted);
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%511s %*s %*u %llu", path, &found) == 2 && !strcmp(path, real))
			used = found * KiB;
	if (file)
		fclose(file);
	return used;
}

void rival_read(const char *swap_file, struct rival_usage *usage)
{
	unsigned long long stored = 0, used = 0, same = 0, read = 0, written = 0;
	char text[512];

	/* Documentation/admin-guide/blockdev/zram.rst: orig_data_size, compr_data_size,
	 * mem_used_total, mem_limit, mem_used_max, same_pages. */
	if (!textfile_read(ZRAM "/mm_stat", text, sizeof(text)))
		sscanf(text, "%llu %*u %llu %*u %*u %llu", &stored, &used, &same);
	/* Documentation/block/stat.rst: the third and seventh number are sectors read and written. */
	if (!textfile_read(ZRAM "/stat", text, sizeof(text)))
		sscanf(text, "%*u %*u %llu %*u %*u %*u %llu", &read, &written);
	*usage = (struct rival_usage){
		.zram_used = used,
		.zram_stored = stored,
		.zram_same_pages = same,
		.zram_read = read * 512,
		.zram_written = written * 512,
		.swap_read = textfile_field("/proc/vmstat", "pswpin") * PAGE_SIZE,
		.swap_written = textfile_field("/proc/vmstat", "pswpout") * PAGE_SIZE,
		.file_bytes = swap_used(swap_file),
		.sharing_pages = textfile_number(KSM "pages_sharing") +
				 textfile_number(KSM "ksm_zero_pages"),
	};
}
