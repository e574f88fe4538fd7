/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/overcommit/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int textfile_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got;
	int err;

	if (fd < 0)
		return -errno;
	while ((got = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t)got;
	err = got < 0 ? -errno : 0;
	close(fd);
	if (length && text[length - 1] == '\n')
		length--;
	text[length] = '\0';
	return err;
}

int textfile_write(const char *path, const char *text)
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

u64 textfile_number(const char *path)
{
	char text[64];

	return textfile_read(path, text, sizeof(text)) ? 0 : strtoull(text, NULL, 10);
}

u64 textfile_field(const char *path, const char *key)
{
	size_t length = strlen(key);
	char text[16384];

	if (textfile_read(path, text, sizeof(text)))
		return 0;
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == ' ')
			return strtoull(line + length, NULL, 10);
	}
	return 0;
}

void textfile_choice(const char *text, char *word, size_t size)
{
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	if (close)
		snprintf(word, size, "%.*s", (int)(close - open - 1), open + 1);
	else
		snprintf(word, size, "%s", text);
}
