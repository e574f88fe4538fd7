/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/control.h"

#include <errno.h>
#include <numa.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/parse.h"

/* What is remembered for a guest, or the host. */
struct note {
	char error[ATTR_ERROR_MAX]; /* of the last write that was refused; "" it was taken */
	u64 reclaimed;
};

struct control {
	struct manager *manager;
	char name[ATTACH_NAME_MAX];
	pthread_mutex_t notes_lock; /* guards what follows; innermost */
	struct note host;
	struct note *guests;
	u32 guest_count; /* with a note */
};

int control_create(struct manager *manager, const char *name, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control)
		return -ENOMEM;
	control->manager = manager;
	snprintf(control->name, sizeof(control->name), "%s", name);
	pthread_mutex_init(&control->notes_lock, NULL);
	*out = control;
	return 0;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	pthread_mutex_destroy(&control->notes_lock);
	free(control->guests);
	free(control);
}

const char *control_name(const struct control *control)
{
	return control->name;
}

struct manager *control_manager(struct control *control)
{
	return control->manager;
}

/* ---- notes ---- */

/* The note of a guest (-1: of the host), made when there is none; NULL when there is no memory. Lock
 * held. */
static struct note *note_of(struct control *control, int index)
{
	u32 count = (u32)index + 1;
	struct note *guests;

	if (index < 0)
		return &control->host;
	if (count <= control->guest_count)
		return &control->guests[index];
	guests = reallocarray(control->guests, count, sizeof(*guests));
	if (!guests)
		return NULL;
	memset(guests + control->guest_count, 0, (count - control->guest_count) * sizeof(*guests));
	control->guests = guests;
	control->guest_count = count;
	return &guests[index];
}

static void note_error(struct control *control, int index, const char *error)
{
	struct note *note;

	pthread_mutex_lock(&control->notes_lock);
	note = note_of(control, index);
	if (note)
		snprintf(note->error, sizeof(note->error), "%s", error);
	pthread_mutex_unlock(&control->notes_lock);
}

void control_last_error(struct control *control, int index, char *error, size_t size)
{
	const struct note *note;

	pthread_mutex_lock(&control->notes_lock);
	note = note_of(control, index);
	snprintf(error, size, "%s", note ? note->error : "");
	pthread_mutex_unlock(&control->notes_lock);
}

int control_reclaim(struct control *control, u32 index, u64 bytes, char *error, size_t size)
{
	s64 freed = manager_reclaim(control->manager, index, bytes);
	struct note *note;

	if (freed < 0) {
		snprintf(error, size,
			 "reclaim: the guest has no memory: it has ended, or not begun");
		return -EINVAL;
	}
	pthread_mutex_lock(&control->notes_lock);
	note = note_of(control, (int)index);
	if (note)
		note->reclaimed = (u64)freed;
	pthread_mutex_unlock(&control->notes_lock);
	return 0;
}

u64 control_reclaimed(struct control *control, u32 index)
{
	const struct note *note;
	u64 bytes;

	pthread_mutex_lock(&control->notes_lock);
	note = note_of(control, (int)index);
	bytes = note ? note->reclaimed : 0;
	pthread_mutex_unlock(&control->notes_lock);
	return bytes;
}

/* ---- paths ---- */

/* A path's parts: where it begins, and what is left of it below that. */
struct place {
	enum attr_scope scope;
	bool above; /* "/vm" or "/numa": a folder of scopes, with nothing left */
	u32 index;
	char rest[CONTROL_PATH_MAX]; /* "" the scope's own folder */
};

static u32 node_count(void)
{
	return numa_available() < 0 ? 1 : (u32)numa_max_node() + 1;
}

/* "node3" -> 3. Returns -ENOENT for another name. */
static int find_node(const char *name, u32 *node)
{
	u64 number;

	if (strncmp(name, "node", 4) != 0 || parse_number(name + 4, &number) ||
	    number >= node_count())
		return -ENOENT;
	*node = (u32)number;
	return 0;
}

static int find_scope(struct control *control, enum attr_scope scope, const char *name, u32 *index)
{
	int found;

	if (scope == ATTR_NODE)
		return find_node(name, index);
	found = manager_find_guest(control->manager, name);
	if (found < 0)
		return found;
	*index = (u32)found;
	return 0;
}

/* Takes slashes at the ends and double ones out. Returns 0, or -ENOENT for a path that is too long. */
static int clean_path(const char *path, char *clean)
{
	size_t used = 0;

	for (; *path; path++) {
		if (*path == '/' && (!used || clean[used - 1] == '/'))
			continue;
		if (used + 1 == CONTROL_PATH_MAX)
			return -ENOENT;
		clean[used++] = *path;
	}
	if (used && clean[used - 1] == '/')
		used--;
	clean[used] = '\0';
	return 0;
}

static int find_place(struct control *control, const char *path, struct place *place)
{
	char clean[CONTROL_PATH_MAX];
	char *name, *rest = clean;

	*place = (struct place){.scope = ATTR_HOST};
	if (clean_path(path, clean))
		return -ENOENT;
	name = strsep(&rest, "/");
	if (strcmp(name, "vm") != 0 && strcmp(name, "numa") != 0) {
		snprintf(place->rest, sizeof(place->rest), "%s%s%s", name, rest ? "/" : "",
			 rest ? rest : "");
		return 0;
	}
	place->scope = name[0] == 'v' ? ATTR_GUEST : ATTR_NODE;
	place->above = !rest;
	if (!rest)
		return 0;
	name = strsep(&rest, "/");
	if (rest)
		snprintf(place->rest, sizeof(place->rest), "%s", rest);
	return find_scope(control, place->scope, name, &place->index);
}

/* Whether `path` is `folder` or lies in it; "" holds everything. */
static bool lies_in(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	if (!length)
		return true;
	return strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]);
}

int control_find(struct control *control, const char *path, struct control_node *node)
{
	const struct attr_table *table;
	struct place place;
	int ret = find_place(control, path, &place);

	if (ret)
		return ret;
	*node = (struct control_node){.scope = place.scope, .index = place.index};
	if (place.above || !place.rest[0])
		return 0;
	table = &attr_tables[place.scope];
	ret = -ENOENT;
	for (u32 i = 0; i < table->count; i++) {
		const struct attr *attr = &table->attrs[i];

		if (!lies_in(attr->path, place.rest))
			continue;
		if (strcmp(attr->path, place.rest) == 0)
			node->attr = attr;
		ret = 0;
	}
	return ret;
}

/* ---- listing ---- */

/* Adds the first `length` characters of `name`, once. */
static int add_name(struct control_names *names, const char *name, size_t length)
{
	char(*grown)[ATTACH_NAME_MAX];

	length = MIN(length, ATTACH_NAME_MAX - 1UL);
	for (u32 i = 0; i < names->count; i++)
		if (strncmp(names->names[i], name, length) == 0 && !names->names[i][length])
			return 0;
	grown = reallocarray(names->names, names->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	names->names = grown;
	memcpy(grown[names->count], name, length);
	grown[names->count++][length] = '\0';
	return 0;
}

/* The next part of every path in `folder`. */
static int list_table(const struct attr_table *table, const char *folder,
		      struct control_names *names)
{
	size_t skip = folder[0] ? strlen(folder) + 1 : 0;
	int ret = 0;

	for (u32 i = 0; i < table->count && !ret; i++) {
		const char *path = table->attrs[i].path;

		if (!lies_in(path, folder) || strlen(path) < skip)
			continue;
		ret = add_name(names, path + skip, strcspn(path + skip, "/"));
	}
	return ret;
}

static int list_guests(struct control *control, struct control_names *names)
{
	struct host_snapshot host;
	struct guest_snapshot *guest = malloc(sizeof(*guest));
	int ret = guest ? 0 : -ENOMEM;

	manager_host_snapshot(control->manager, &host);
	for (u32 i = 0; i < host.guest_count && !ret; i++) {
		manager_guest_snapshot(control->manager, i, guest);
		ret = add_name(names, guest->name, strlen(guest->name));
	}
	free(guest);
	return ret;
}

static int list_nodes(struct control_names *names)
{
	char name[32];
	int ret = 0;

	for (u32 i = 0; i < node_count() && !ret; i++) {
		snprintf(name, sizeof(name), "node%u", i);
		ret = add_name(names, name, strlen(name));
	}
	return ret;
}

static int list_place(struct control *control, const struct place *place,
		      struct control_names *names)
{
	int ret;

	if (place->above)
		return place->scope == ATTR_GUEST ? list_guests(control, names) : list_nodes(names);
	ret = list_table(&attr_tables[place->scope], place->rest, names);
	if (ret || place->scope != ATTR_HOST || place->rest[0])
		return ret;
	ret = add_name(names, "numa", 4);
	return ret ? ret : add_name(names, "vm", 2);
}

int control_list(struct control *control, const char *path, struct control_names *names)
{
	struct control_node node;
	struct place place;
	int ret = control_find(control, path, &node);

	*names = (struct control_names){0};
	if (ret)
		return ret;
	if (node.attr)
		return -ENOTDIR;
	ret = find_place(control, path, &place);
	if (!ret)
		ret = list_place(control, &place, names);
	if (ret) {
		free(names->names);
		names->names = NULL;
	}
	return ret;
}

/* ---- reading ---- */

/* The snapshots behind a view. */
struct moment {
	struct host_snapshot host;
	struct guest_snapshot guest;
	struct attr_view view;
};

static struct moment *take_moment(struct control *control, enum attr_scope scope, u32 index)
{
	struct moment *moment = malloc(sizeof(*moment));

	if (!moment)
		return NULL;
	moment->view = (struct attr_view){
		.control = control,
		.host = &moment->host,
		.guest = scope == ATTR_GUEST ? &moment->guest : NULL,
		.index = index,
		.node = index,
	};
	manager_host_snapshot(control->manager, &moment->host);
	if (scope == ATTR_GUEST)
		manager_guest_snapshot(control->manager, index, &moment->guest);
	return moment;
}

ssize_t control_read(struct control *control, const char *path, char **text)
{
	struct control_node node;
	struct moment *moment;
	size_t length = 0;
	FILE *out;
	int ret = control_find(control, path, &node);

	if (ret)
		return ret;
	if (!node.attr)
		return -EISDIR;
	moment = take_moment(control, node.scope, node.index);
	if (!moment)
		return -ENOMEM;
	*text = NULL;
	out = open_memstream(text, &length);
	if (out) {
		attr_show(node.attr, node.scope, &moment->view, out);
		ret = fclose(out) ? -ENOMEM : 0;
	} else {
		ret = -ENOMEM;
	}
	free(moment);
	if (ret) {
		free(*text);
		return ret;
	}
	return (ssize_t)length;
}

static void dump_attr(const struct attr *attr, enum attr_scope scope, const struct attr_view *view,
		      const char *prefix, FILE *out)
{
	char *text = NULL, *line, *rest;
	size_t length = 0;
	FILE *memory = open_memstream(&text, &length);

	if (!memory)
		return;
	attr_show(attr, scope, view, memory);
	if (fclose(memory) || !text) {
		free(text);
		return;
	}
	rest = text;
	do {
		line = strsep(&rest, "\n");
		fprintf(out, "%s%s\t%s\n", prefix, attr->path, line);
	} while (rest && *rest);
	free(text);
}

/* Every attribute of a scope that lies in `folder`. */
static int dump_scope(struct control *control, enum attr_scope scope, u32 index, const char *folder,
		      const char *prefix, FILE *out)
{
	struct moment *moment = take_moment(control, scope, index);
	const struct attr_table *table = &attr_tables[scope];

	if (!moment)
		return -ENOMEM;
	for (u32 i = 0; i < table->count; i++)
		if (lies_in(table->attrs[i].path, folder))
			dump_attr(&table->attrs[i], scope, &moment->view, prefix, out);
	free(moment);
	return 0;
}

/* All scopes of a kind: all guests, all nodes. */
static int dump_all(struct control *control, enum attr_scope scope, FILE *out)
{
	const struct place place = {.scope = scope, .above = true};
	struct control_names names = {0};
	char prefix[CONTROL_PATH_MAX];
	int ret = list_place(control, &place, &names);
	u32 index;

	for (u32 i = 0; i < names.count && !ret; i++) {
		if (find_scope(control, scope, names.names[i], &index))
			continue;
		snprintf(prefix, sizeof(prefix), "/%s/%s/", scope == ATTR_GUEST ? "vm" : "numa",
			 names.names[i]);
		ret = dump_scope(control, scope, index, "", prefix, out);
	}
	free(names.names);
	return ret;
}

static int dump_place(struct control *control, const struct place *place, const char *path,
		      FILE *out)
{
	char prefix[CONTROL_PATH_MAX] = "/", clean[CONTROL_PATH_MAX];
	int ret;

	if (place->above)
		return dump_all(control, place->scope, out);
	if (place->scope != ATTR_HOST) {
		clean_path(path, clean);
		clean[strlen(clean) - strlen(place->rest)] = '\0';
		snprintf(prefix, sizeof(prefix), "/%.*s%s", CONTROL_PATH_MAX - 3, clean,
			 place->rest[0] ? "" : "/");
		return dump_scope(control, place->scope, place->index, place->rest, prefix, out);
	}
	ret = dump_scope(control, ATTR_HOST, 0, place->rest, prefix, out);
	if (ret || place->rest[0])
		return ret;
	ret = dump_all(control, ATTR_NODE, out);
	return ret ? ret : dump_all(control, ATTR_GUEST, out);
}

int control_dump(struct control *control, const char *path, FILE *out)
{
	struct control_node node;
	struct place place;
	int ret = control_find(control, path, &node);

	if (!ret)
		ret = find_place(control, path, &place);
	return ret ? ret : dump_place(control, &place, path, out);
}

/* ---- writing ---- */

/* Copies what was written, without its newline. Returns 0 or -EINVAL and a sentence. */
static int take_value(const char *text, size_t length, char *value, char *error, size_t size)
{
	if (length && text[length - 1] == '\n')
		length--;
	if (length > ATTR_VALUE_MAX) {
		snprintf(error, size, "%zu characters are too many: a value has at most %d", length,
			 ATTR_VALUE_MAX);
		return -EINVAL;
	}
	if (memchr(text, '\0', length)) {
		snprintf(error, size, "a value is text, and this has a NUL in it");
		return -EINVAL;
	}
	memcpy(value, text, length);
	value[length] = '\0';
	return 0;
}

static int write_node(struct control *control, const struct control_node *node, const char *text,
		      size_t length, char *error, size_t size)
{
	const struct attr_target target = {control, control->manager, node->index};
	char value[ATTR_VALUE_MAX + 1];
	u64 number;
	int ret;

	if (!attr_writable(node->attr)) {
		snprintf(error, size, "%s can only be read", node->attr->path);
		return -EACCES;
	}
	ret = take_value(text, length, value, error, size);
	if (!ret && node->attr->take)
		return node->attr->take(&target, value, error, size);
	if (!ret)
		ret = attr_parse(node->attr, value, &number, error, size);
	return ret ? ret : node->attr->write(&target, node->attr, number, error, size);
}

int control_write(struct control *control, const char *path, const char *text, size_t length,
		  char *error, size_t size)
{
	struct control_node node;
	int ret = control_find(control, path, &node);

	error[0] = '\0';
	if (ret || !node.attr) {
		snprintf(error, size, "%.100s: %s", path,
			 ret ? "there is no such attribute" : "this is a folder");
		return ret ? ret : -EISDIR;
	}
	ret = write_node(control, &node, text, length, error, size);
	note_error(control, node.scope == ATTR_GUEST ? (int)node.index : -1, error);
	return ret;
}
