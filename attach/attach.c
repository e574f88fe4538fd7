/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving and judging the messages between a VMM and the manager. The peer may be hostile, so a
 * message is copied out of the socket once, compared with one row of the table below (how long, how
 * many descriptors, what its fields may say), and refused whole with its descriptors closed if
 * anything is off. Checks do not ask who sent it: which side may send what, and when, is a matter of
 * the caller's state.
 */
#include "attach/attach.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/span.h"

/* Page indices are 32 bits wide: 16 TiB. KVM's own limit of vCPUs is 4096. */
#define ATTACH_RAM_MAX	 (1ULL << (32 + PAGE_SHIFT))
#define ATTACH_VCPUS_MAX 4096

/* A kind of message. `check` looks at fields, once the length is known to be right, and returns what
 * is wrong or NULL. */
struct attach_rule {
	const char *name;
	u32 min_length, max_length;
	u32 min_fds, max_fds;
	const char *(*check)(const union attach_message *message, u32 nfds);
};

/* Ends within its array, and cannot drive the terminal it may be printed on. */
static bool text_is_valid(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		u8 c = (u8)text[i];

		if (!c)
			return true;
		if ((c < ' ' && c != '\t' && c != '\n') || c == 0x7f)
			return false;
	}
	return false;
}

static bool span_is_valid(u64 start, u64 length, u64 align)
{
	u64 end;

	return !((start | length) & (align - 1)) && length &&
	       !__builtin_add_overflow(start, length, &end);
}

bool attach_name_is_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t length = strnlen(name, ATTACH_NAME_MAX);

	_Static_assert(ATTACH_NAME_MAX == 64, "ATTACH_NAME_RULE says so");
	return length && length < ATTACH_NAME_MAX && name[0] != '.' &&
	       strspn(name, allowed) == length;
}

static bool is_zero(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

/* A field that holds a name alone. */
static bool name_field_is_valid(const char name[ATTACH_NAME_MAX])
{
	size_t length = strnlen(name, ATTACH_NAME_MAX);

	return attach_name_is_valid(name) && is_zero(name + length, ATTACH_NAME_MAX - length);
}

static const char *check_hello(const union attach_message *message, u32 nfds)
{
	const struct attach_hello *hello = &message->hello;

	(void)nfds;
	if (hello->flags & ~(ATTACH_HELLO_REMOVES | ATTACH_HELLO_SHARES | ATTACH_HELLO_BRINGS) ||
	    hello->reserved)
		return "unknown HELLO flags, or reserved field is not zero";
	if (!(hello->flags & ATTACH_HELLO_BRINGS))
		return hello->ram_bytes || hello->vcpus ||
				       !is_zero(hello->name, sizeof(hello->name))
			       ? "a guest that it does not bring"
			       : NULL;
	if (!name_field_is_valid(hello->name))
		return "the guest has no valid name: " ATTACH_NAME_RULE;
	if (!span_is_valid(0, hello->ram_bytes, REGION_SIZE) || hello->ram_bytes > ATTACH_RAM_MAX)
		return "RAM size is zero, unaligned or too large";
	if (!hello->vcpus || hello->vcpus > ATTACH_VCPUS_MAX)
		return "number of vCPUs out of bounds";
	return NULL;
}

static const char *check_guest(const union attach_message *message, u32 nfds)
{
	const struct attach_guest *guest = &message->guest;

	if (!span_is_valid(0, guest->ram_bytes, REGION_SIZE) || guest->ram_bytes > ATTACH_RAM_MAX)
		return "RAM size is zero, unaligned or too large";
	if (guest->data_bytes > ATTACH_RAM_MAX)
		return "data size is too large";
	if (nfds != (guest->data_bytes ? 2 : 1))
		return "descriptors do not match the data size";
	if (!guest->vcpus || guest->vcpus > ATTACH_VCPUS_MAX)
		return "number of vCPUs out of bounds";
	if (guest->accel > ATTACH_ACCEL_THREAD)
		return "unknown accelerator";
	if (guest->devices & ~ATTACH_DEVICE_BALLOON || guest->reserved)
		return "unknown devices, or reserved field is not zero";
	if (!text_is_valid(guest->name, sizeof(guest->name)) ||
	    !text_is_valid(guest->workload, sizeof(guest->workload)) ||
	    !text_is_valid(guest->args, sizeof(guest->args)))
		return "text not terminated or not printable";
	return NULL;
}

static bool region_is_valid(const struct attach_region *region)
{
	return span_is_valid(region->gpa, region->length, REGION_SIZE) &&
	       span_is_valid(region->hva, region->length, REGION_SIZE) &&
	       span_is_valid(region->file_offset, region->length, REGION_SIZE);
}

static bool regions_overlap(const struct attach_region *a, const struct attach_region *b)
{
	return spans_overlap(a->gpa, a->length, b->gpa, b->length) ||
	       spans_overlap(a->hva, a->length, b->hva, b->length) ||
	       spans_overlap(a->file_offset, a->length, b->file_offset, b->length);
}

static const char *check_stage(const struct attach_memory *memory)
{
	if (!memory->stage)
		return NULL;
	if (!span_is_valid(memory->stage, REGION_SIZE, REGION_SIZE))
		return "stage is unaligned or wraps";
	for (u32 i = 0; i < memory->count; i++) {
		const struct attach_region *region = &memory->regions[i];

		if (spans_overlap(memory->stage, REGION_SIZE, region->hva, region->length))
			return "stage lies in a region";
	}
	return NULL;
}

static const char *check_memory(const union attach_message *message, u32 nfds)
{
	const struct attach_memory *memory = &message->memory;

	(void)nfds;
	if (memory->accel != ATTACH_ACCEL_KVM && memory->accel != ATTACH_ACCEL_THREAD)
		return "unknown accelerator";
	if (!memory->count || memory->count > ATTACH_MAX_REGIONS)
		return "number of regions out of bounds";
	for (u32 i = 0; i < memory->count; i++) {
		const struct attach_region *region = &memory->regions[i];

		if (!region_is_valid(region))
			return "region is empty, unaligned or wraps";
		for (u32 j = 0; j < i; j++)
			if (regions_overlap(region, &memory->regions[j]))
				return "regions overlap";
	}
	return check_stage(memory);
}

static const char *check_zap(const union attach_message *message, u32 nfds)
{
	const struct attach_zap *zap = &message->zap;

	(void)nfds;
	if (zap->reserved)
		return "reserved field is not zero";
	if (!zap->count || zap->count > ATTACH_MAX_RANGES)
		return "number of ranges out of bounds";
	/* A ZAP may end with its last range. */
	if (message->header.length < offsetof(struct attach_zap, ranges[zap->count]))
		return "ranges do not fit the message";
	for (u32 i = 0; i < zap->count; i++)
		if (!span_is_valid(zap->ranges[i].file_offset, zap->ranges[i].length, PAGE_SIZE))
			return "range is empty, unaligned or wraps";
	return NULL;
}

static const char *check_stop(const union attach_message *message, u32 nfds)
{
	const struct attach_stop *stop = &message->stop;

	(void)nfds;
	if (stop->graceful > 1)
		return "graceful is neither 0 nor 1";
	if (stop->reserved)
		return "reserved field is not zero";
	if (!text_is_valid(stop->reason, sizeof(stop->reason)))
		return "text not terminated or not printable";
	return NULL;
}

static const char *check_stats(const union attach_message *message, u32 nfds)
{
	const struct attach_stats *stats = &message->stats;

	(void)nfds;
	if (stats->progress > 1000)
		return "progress above 1000 permille";
	if (!text_is_valid(stats->phase, sizeof(stats->phase)))
		return "text not terminated or not printable";
	return NULL;
}

static const char *check_exit(const union attach_message *message, u32 nfds)
{
	const struct attach_exit *exit = &message->exit;

	(void)nfds;
	if (exit->code >= ATTACH_EXIT_CODES)
		return "unknown exit code";
	if (exit->reserved)
		return "reserved field is not zero";
	if (!text_is_valid(exit->text, sizeof(exit->text)))
		return "text not terminated or not printable";
	return NULL;
}

/* A page index is 32 bits wide, so is a target. */
static const char *check_balloon(const union attach_message *message, u32 nfds)
{
	(void)nfds;
	return message->balloon.target_pages > UINT32_MAX ? "balloon larger than any RAM" : NULL;
}

static const char *check_drop(const union attach_message *message, u32 nfds)
{
	const struct attach_drop *drop = &message->drop;

	(void)nfds;
	if (drop->what >= ATTACH_DROP_WHATS)
		return "unknown kind of DROP";
	if (drop->reserved || (drop->round && drop->what != ATTACH_DROP_HINT))
		return "round without hints, or reserved field is not zero";
	if (drop->count > ATTACH_MAX_RUNS || !drop->count != (drop->what == ATTACH_DROP_RESET))
		return "number of runs out of bounds";
	/* A DROP ends with its last run. */
	if (message->header.length != offsetof(struct attach_drop, runs[drop->count]))
		return "runs do not fit the message";
	for (u32 i = 0; i < drop->count; i++)
		if (!drop->runs[i].count ||
		    drop->runs[i].count - 1 > UINT32_MAX - drop->runs[i].first)
			return "run is empty or wraps";
	return NULL;
}

static const char *check_balloon_stats(const union attach_message *message, u32 nfds)
{
	(void)nfds;
	return message->balloon_stats.valid >> ATTACH_STATS_TAGS ? "unknown statistics" : NULL;
}

static const char *check_share(const union attach_message *message, u32 nfds)
{
	(void)nfds;
	if (!span_is_valid(0, message->share.frame_bytes, PAGE_SIZE))
		return "size of the frames is zero or unaligned";
	return NULL;
}

/* What is staged, and moved from there, is a region. */
static u64 remap_unit(const struct attach_remap_range *range)
{
	return range->file_offset == ATTACH_REMAP_STAGE || range->frame_offset == ATTACH_REMAP_MOVE
		       ? REGION_SIZE
		       : PAGE_SIZE;
}

/* Names no frames. */
static bool remap_is_of_ram(const struct attach_remap_range *range)
{
	return range->file_offset != ATTACH_REMAP_STAGE &&
	       (range->frame_offset == ATTACH_REMAP_HOME ||
		range->frame_offset == ATTACH_REMAP_MOVE);
}

static const char *check_remap(const union attach_message *message, u32 nfds)
{
	const struct attach_remap *remap = &message->remap;

	(void)nfds;
	if (remap->reserved)
		return "reserved field is not zero";
	if (!remap->count || remap->count > ATTACH_MAX_REMAPS)
		return "number of ranges out of bounds";
	/* A REMAP may end with its last range. */
	if (message->header.length < offsetof(struct attach_remap, ranges[remap->count]))
		return "ranges do not fit the message";
	for (u32 i = 0; i < remap->count; i++) {
		const struct attach_remap_range *range = &remap->ranges[i];

		if (range->file_offset != ATTACH_REMAP_STAGE &&
		    !span_is_valid(range->file_offset, range->length, remap_unit(range)))
			return "range is empty, unaligned or wraps";
		if (remap_unit(range) == REGION_SIZE && range->length != REGION_SIZE)
			return "what is staged or moved is not one region";
		if (!remap_is_of_ram(range) &&
		    !span_is_valid(range->frame_offset, range->length, PAGE_SIZE))
			return "frames are unaligned or wrap";
	}
	return NULL;
}

static const char *check_plug(const union attach_message *message, u32 nfds)
{
	const struct attach_plug *plug = &message->plug;

	(void)nfds;
	if (plug->what > ATTACH_PLUG_OUT || plug->reserved)
		return "unknown kind of PLUG, or reserved field is not zero";
	if (!region_is_valid(&plug->region))
		return "region is empty, unaligned or wraps";
	return NULL;
}

static const char *check_plugged(const union attach_message *message, u32 nfds)
{
	(void)nfds;
	return message->plugged.reserved ? "reserved field is not zero" : NULL;
}

#define EXACTLY(bytes)	 .min_length = (bytes), .max_length = (bytes)
#define BETWEEN(lo, hi)	 .min_length = (lo), .max_length = (hi)
#define WITH_FDS(lo, hi) .min_fds = (lo), .max_fds = (hi)

static const struct attach_rule rules[ATTACH_TYPES] = {
	[ATTACH_HELLO] = {"HELLO", EXACTLY(sizeof(struct attach_hello)), .check = check_hello},
	[ATTACH_GUEST] = {"GUEST", EXACTLY(sizeof(struct attach_guest)), WITH_FDS(1, 2),
			  .check = check_guest},
	[ATTACH_MEMORY] = {"MEMORY", EXACTLY(sizeof(struct attach_memory)), WITH_FDS(1, 1),
			   .check = check_memory},
	[ATTACH_START] = {"START", EXACTLY(sizeof(struct attach_header))},
	[ATTACH_ZAP] = {"ZAP",
			BETWEEN(offsetof(struct attach_zap, ranges[1]), sizeof(struct attach_zap)),
			.check = check_zap},
	[ATTACH_ZAPPED] = {"ZAPPED", EXACTLY(sizeof(struct attach_header))},
	[ATTACH_STOP] = {"STOP", EXACTLY(sizeof(struct attach_stop)), .check = check_stop},
	[ATTACH_STATS] = {"STATS", EXACTLY(sizeof(struct attach_stats)), .check = check_stats},
	[ATTACH_CONSOLE] = {"CONSOLE", BETWEEN(offsetof(struct attach_console, text[1]),
					       sizeof(struct attach_console))},
	[ATTACH_EXIT] = {"EXIT", EXACTLY(sizeof(struct attach_exit)), .check = check_exit},
	[ATTACH_BALLOON] = {"BALLOON", EXACTLY(sizeof(struct attach_balloon)),
			    .check = check_balloon},
	[ATTACH_DROP] = {"DROP",
			 BETWEEN(offsetof(struct attach_drop, runs), sizeof(struct attach_drop)),
			 .check = check_drop},
	[ATTACH_DROPPED] = {"DROPPED", EXACTLY(sizeof(struct attach_header))},
	[ATTACH_BALLOON_STATS] = {"BALLOON_STATS", EXACTLY(sizeof(struct attach_balloon_stats)),
				  .check = check_balloon_stats},
	[ATTACH_SHARE] = {"SHARE", EXACTLY(sizeof(struct attach_share)), WITH_FDS(2, 2),
			  .check = check_share},
	[ATTACH_REMAP] = {"REMAP",
			  BETWEEN(offsetof(struct attach_remap, ranges[1]),
				  sizeof(struct attach_remap)),
			  .check = check_remap},
	[ATTACH_REMAPPED] = {"REMAPPED", EXACTLY(sizeof(struct attach_header))},
	[ATTACH_BEGIN] = {"BEGIN", EXACTLY(sizeof(struct attach_header))},
	[ATTACH_PLUG] = {"PLUG", EXACTLY(sizeof(struct attach_plug)), .check = check_plug},
	[ATTACH_PLUGGED] = {"PLUGGED", EXACTLY(sizeof(struct attach_plugged)),
			    .check = check_plugged},
};

static const char *complaint(const union attach_message *message, u32 length, u32 nfds)
{
	const struct attach_header *header = &message->header;
	const struct attach_rule *rule;

	if (length < sizeof(*header) || length > ATTACH_MAX_MESSAGE)
		return "packet shorter than a header or longer than any message";
	if (header->magic != ATTACH_MAGIC)
		return "wrong magic number";
	if (header->version != ATTACH_VERSION)
		return "wrong protocol version";
	if (!header->type || header->type >= ATTACH_TYPES)
		return "unknown message type";
	if (header->length != length)
		return "length in the header is not that of the packet";
	rule = &rules[header->type];
	if (length < rule->min_length || length > rule->max_length)
		return "wrong length for its type";
	if (nfds < rule->min_fds || nfds > rule->max_fds)
		return "wrong number of descriptors for its type";
	return rule->check ? rule->check(message, nfds) : NULL;
}

int attach_check(const union attach_message *message, u32 length, u32 nfds, const char **why)
{
	*why = complaint(message, length, nfds);
	return *why ? -EPROTO : 0;
}

/* A control buffer must be aligned as its header is. */
union attach_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(ATTACH_MAX_FDS * sizeof(int))];
};

int attach_send(int socket, union attach_message *message, enum attach_type type, u32 length,
		u32 serial, const int *fds, u32 nfds)
{
	union attach_control control = {0};
	struct iovec iov = {.iov_base = message, .iov_len = length};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (length < sizeof(message->header) || length > sizeof(*message) || nfds > ATTACH_MAX_FDS)
		return -EINVAL;
	message->header = (struct attach_header){.magic = ATTACH_MAGIC,
						 .version = ATTACH_VERSION,
						 .type = (u16)type,
						 .length = length,
						 .serial = serial};
	if (nfds) {
		struct cmsghdr *cmsg = &control.align;

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	do
		sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	return errno == ECONNRESET ? -EPIPE : -errno;
}

static void close_all(const int *fds, u32 nfds)
{
	for (u32 i = 0; i < nfds; i++)
		close(fds[i]);
}

/* The descriptors of a packet, now ours. The control buffer bounds them to ATTACH_MAX_FDS. */
static u32 take_fds(struct msghdr *msg, int *fds)
{
	u32 nfds = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		u32 count;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (u32)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds + nfds, CMSG_DATA(cmsg), count * sizeof(int));
		nfds += count;
	}
	return nfds;
}

int attach_receive(int socket, union attach_message *message, int *fds, u32 *nfds, const char **why)
{
	union attach_control control;
	struct iovec iov = {.iov_base = message, .iov_len = sizeof(*message)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t length;
	int ret;

	*nfds = 0;
	*why = NULL;
	/* A peer that closes with messages of ours unread resets the connection. That is reported once,
	 * and before what it sent last: its EXIT may still be there. */
	do
		length = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (length < 0 && (errno == EINTR || errno == ECONNRESET));
	if (length < 0)
		return -errno;
	*nfds = take_fds(&msg, fds);
	if (!length && !*nfds)
		return -EPIPE;

	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		*why = "packet or descriptors cut off: more than any message has";
		ret = -EPROTO;
	} else {
		ret = attach_check(message, (u32)length, *nfds, why);
	}
	if (ret) {
		close_all(fds, *nfds);
		*nfds = 0;
		return ret;
	}
	/* What a shorter message leaves out reads as zero, not as the message before it. */
	memset(message->bytes + length, 0, sizeof(*message) - (size_t)length);
	return 0;
}

const char *attach_type_name(u32 type)
{
	return type && type < ATTACH_TYPES ? rules[type].name : "unknown";
}

const char *attach_exit_name(u32 code)
{
	static const char *const names[ATTACH_EXIT_CODES] = {
		[ATTACH_EXIT_OK] = "ok",	   [ATTACH_EXIT_VERIFY] = "verify",
		[ATTACH_EXIT_CRASH] = "crash",	   [ATTACH_EXIT_VMM] = "vmm",
		[ATTACH_EXIT_STOPPED] = "stopped",
	};

	return code < ATTACH_EXIT_CODES ? names[code] : "unknown";
}
