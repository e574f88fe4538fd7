/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attach protocol: how a VMM puts its guest's memory under a manager. docs/attach.md tells it in
 * full; this header is its binary form, and the two functions that move a message.
 *
 * AF_UNIX SOCK_SEQPACKET, one connection per guest, little-endian, one message per packet, file
 * descriptors by SCM_RIGHTS. Either side may be hostile to the other: each message is copied once,
 * checked whole, and only then acted on.
 *
 *	VMM                         manager
 *	HELLO            ->
 *	                 <-         GUEST  (fds: RAM file, data file if any)
 *	MEMORY           ->                (fd: userfaultfd, registered over every region)
 *	                 <-         START
 *	STATS, CONSOLE   ->                any time
 *	                 <-         ZAP    -> ZAPPED
 *	                 <-         BALLOON        any time
 *	DROP             ->                -> DROPPED
 *	BALLOON_STATS    ->                any time
 *	                 <-         SHARE  (fds: RAM file, frames), before START, if at all
 *	                 <-         REMAP  -> REMAPPED
 *	PLUG             ->                -> PLUGGED      any time, if it brings its guest
 *	                 <-         STOP
 *	EXIT             ->                last message
 */
#ifndef ATTACH_ATTACH_H
#define ATTACH_ATTACH_H

#include "lib/hist.h"
#include "lib/types.h"

#define ATTACH_MAGIC       0x54534c42U /* "BLST" */
#define ATTACH_VERSION	   5
#define ATTACH_MAX_MESSAGE 8192
#define ATTACH_MAX_FDS	   2
#define ATTACH_MAX_REGIONS 8
#define ATTACH_MAX_RANGES  256
#define ATTACH_MAX_RUNS    1000
#define ATTACH_MAX_DROPS   8 /* that a VMM may send before the first is answered */
#define ATTACH_NAME_MAX    64
#define ATTACH_TEXT_MAX    512

enum attach_type {
	ATTACH_HELLO = 1,
	ATTACH_GUEST,
	ATTACH_MEMORY,
	ATTACH_START,
	ATTACH_ZAP,
	ATTACH_ZAPPED,
	ATTACH_STOP,
	ATTACH_STATS,
	ATTACH_CONSOLE,
	ATTACH_EXIT,
	ATTACH_BALLOON,
	ATTACH_DROP,
	ATTACH_DROPPED,
	ATTACH_BALLOON_STATS,
	ATTACH_SHARE,
	ATTACH_REMAP,
	ATTACH_REMAPPED,
	ATTACH_BEGIN,
	ATTACH_PLUG,
	ATTACH_PLUGGED,
	ATTACH_TYPES
};

enum attach_accel { ATTACH_ACCEL_AUTO, ATTACH_ACCEL_KVM, ATTACH_ACCEL_THREAD };

struct attach_header {
	u32 magic;
	u16 version;
	u16 type;
	u32 length; /* of the whole message, this header included */
	u32 serial; /* ZAPPED, DROPPED, REMAPPED and PLUGGED echo that of what they answer; else 0 */
};

/* VMM: here I am. */
struct attach_hello {
	struct attach_header header;
	u32 pid;   /* for messages only: the kernel's word (SO_PEERCRED) counts */
	u32 flags; /* ATTACH_HELLO_* */
	/* With ATTACH_HELLO_BRINGS, else zero: */
	u64 ram_bytes; /* of the RAM file it wants, with what may be plugged in later */
	u32 vcpus;     /* threads that may wait for memory at once */
	u32 reserved;
	char name[ATTACH_NAME_MAX]; /* attach_name_is_valid(), and zeroes behind it */
};

/* The VMM's userfaultfd has UFFD_FEATURE_EVENT_REMOVE: memory it drops is void. Without this flag a
 * page that the manager knows resident and the file has lost is an error that stops the guest. */
#define ATTACH_HELLO_REMOVES (1U << 0)
/* The VMM answers REMAP: frames that guests have in common may be mapped in its guest. */
#define ATTACH_HELLO_SHARES  (1U << 1)
/* The VMM brings a guest of its own: the manager has it by name in its configuration, or by default. Its
 * regions need not be all of the RAM file, and may come and go (PLUG). */
#define ATTACH_HELLO_BRINGS  (1U << 2)

/* The workload whose data file is the image of a kernel, and whose args are its command line. */
#define ATTACH_WORKLOAD_LINUX "linux"

/* Manager: run this. fds: [0] RAM file of ram_bytes, [1] data file, when data_bytes > 0. */
struct attach_guest {
	struct attach_header header;
	u64 ram_bytes; /* a multiple of the region size */
	u64 data_bytes;
	u64 seed;
	u32 vcpus;
	u32 accel;		    /* enum attach_accel */
	char name[ATTACH_NAME_MAX]; /* NUL-terminated, as all strings here */
	char workload[ATTACH_NAME_MAX];
	char args[ATTACH_TEXT_MAX];
	u32 devices; /* ATTACH_DEVICE_* */
	u32 reserved;
};

/* The guest is to have a virtio balloon. */
#define ATTACH_DEVICE_BALLOON (1U << 0)

struct attach_region {
	u64 gpa;	 /* guest-physical address */
	u64 hva;	 /* where it is mapped in the VMM's address space */
	u64 file_offset; /* into the RAM file */
	u64 length;	 /* bytes; all four are multiples of the region size */
};

/* VMM: mapped and registered (MISSING|WP). fds: [0] userfaultfd. */
struct attach_memory {
	struct attach_header header;
	u32 accel; /* the one in use, never AUTO */
	u32 count;
	u64 stage; /* where in its address space REMAP stages a region (REGION_SIZE), or 0: it does not */
	struct attach_region regions[ATTACH_MAX_REGIONS];
};

/* START, ZAPPED: the header says all. */

struct attach_range {
	u64 file_offset;
	u64 length;
};

/* Manager: unmap these ranges (MADV_DONTNEED), keep their content. Answered by ZAPPED. */
struct attach_zap {
	struct attach_header header;
	u32 count;
	u32 reserved;
	struct attach_range ranges[ATTACH_MAX_RANGES];
};

/* Manager: end the guest. Graceful: let its workload verify and report first. */
struct attach_stop {
	struct attach_header header;
	u32 graceful;
	u32 reserved;
	char reason[ATTACH_TEXT_MAX];
};

/* VMM: how the guest does. Totals since its start; sent a few times a second and before EXIT. */
struct attach_stats {
	struct attach_header header;
	u64 ops;
	u64 pages_verified;
	u64 verify_failures;
	u64 progress;		     /* permille of the present phase; 1000 when it does not know */
	char phase[ATTACH_NAME_MAX]; /* "fill", "run", "verify", "done" */
	struct hist latency;	     /* of the guest's operations, all vCPUs, ns */
	u64 run_ns;		     /* phase "run" took that long, by the guest's clock; 0 before its end */
};

/* VMM: text the guest wrote to its console, not NUL-terminated; length from the header. */
struct attach_console {
	struct attach_header header;
	char text[ATTACH_TEXT_MAX];
};

enum attach_exit_code {
	ATTACH_EXIT_OK,	     /* the workload ended and found no error */
	ATTACH_EXIT_VERIFY,  /* the guest read something it did not write */
	ATTACH_EXIT_CRASH,   /* shutdown, bad exit, panic of the guest */
	ATTACH_EXIT_VMM,     /* the VMM could not go on: no KVM, no memory */
	ATTACH_EXIT_STOPPED, /* ended because the manager said so, not gracefully */
	ATTACH_EXIT_CODES
};

struct attach_exit {
	struct attach_header header;
	u32 code; /* enum attach_exit_code */
	u32 reserved;
	char text[ATTACH_TEXT_MAX];
};

/* Manager: what the balloon should be. */
struct attach_balloon {
	struct attach_header header;
	u64 target_pages; /* 4 KiB pages that the guest should give up, a wish */
	u32 stats_ms;	  /* how often to ask the guest for its statistics; 0: not at all */
	u32 hint_round;	  /* one more than before: ask it for its free pages; 0: no */
};

/* Pages of the RAM file. */
struct attach_run {
	u32 first;
	u32 count;
};

enum attach_drop_what {
	ATTACH_DROP_INFLATE, /* given up: content is void; not to be used before DEFLATE */
	ATTACH_DROP_DEFLATE, /* taken back */
	ATTACH_DROP_FREE,    /* free: content is void; may be used again at any time */
	ATTACH_DROP_HINT,    /* free when the guest said so, but perhaps in use again: void only if not
				written since it was hinted before */
	ATTACH_DROP_RESET,   /* all pages are taken back; no runs */
	ATTACH_DROP_WHATS
};

/* VMM: what the guest says of these pages. Answered by DROPPED once it is done; at most ATTACH_MAX_DROPS
 * unanswered. */
struct attach_drop {
	struct attach_header header;
	u32 what; /* enum attach_drop_what */
	u32 count;
	u32 round; /* HINT: the hint_round that the guest answers; else 0 */
	u32 reserved;
	struct attach_run runs[ATTACH_MAX_RUNS];
};

#define ATTACH_STATS_TAGS 16

/* VMM: the guest's side of the balloon, when it changes. */
struct attach_balloon_stats {
	struct attach_header header;
	u64 target_pages; /* as the guest is told */
	u64 actual_pages; /* as the guest says; it may lie */
	u64 features;	  /* negotiated; 0: no driver */
	u32 age_ms;	  /* of the values, when this was sent */
	u32 valid;	  /* which values there are, a bit for each */
	u64 values[ATTACH_STATS_TAGS]; /* by tag of the virtio specification */
};

/* Manager: frames will be mapped in this guest. fds: [0] RAM file again, [1] frames, for reading alone, of
 * frame_bytes. Keep both for REMAP. */
struct attach_share {
	struct attach_header header;
	u64 frame_bytes;
};

/* In the place of [file_offset, file_offset + length) of the RAM file: frames, MAP_PRIVATE, or, with
 * ATTACH_REMAP_HOME, the RAM file itself, MAP_SHARED. Both readable and writable. A whole region may be composed beside the
 * guest's memory: frames mapped at the stage (ATTACH_REMAP_STAGE in the place of file_offset), and later all that is there
 * then moved into the guest at once (ATTACH_REMAP_MOVE). */
struct attach_remap_range {
	u64 file_offset;
	u64 length;
	u64 frame_offset;
};
#define ATTACH_REMAP_HOME  UINT64_MAX
#define ATTACH_REMAP_MOVE  (UINT64_MAX - 1)
#define ATTACH_REMAP_STAGE UINT64_MAX
#define ATTACH_MAX_REMAPS  256

/* Manager: map these. Answered by REMAPPED. */
struct attach_remap {
	struct attach_header header;
	u32 count;
	u32 reserved;
	struct attach_remap_range ranges[ATTACH_MAX_REMAPS];
};

enum attach_plug_what { ATTACH_PLUG_IN, ATTACH_PLUG_OUT };

/* VMM: a region more, mapped and registered; or one less, whose pages were all dropped (DROP, FREE) and which
 * is mapped until this is answered. Answered by PLUGGED. */
struct attach_plug {
	struct attach_header header;
	u32 what; /* enum attach_plug_what */
	u32 reserved;
	struct attach_region region;
};

struct attach_plugged {
	struct attach_header header;
	u32 refused; /* 0: done; else an errno, and all is as it was */
	u32 reserved;
};

_Static_assert(sizeof(struct attach_plug) == 56, "ABI");
_Static_assert(sizeof(struct attach_plugged) == 24, "ABI");
_Static_assert(sizeof(struct attach_share) == 24, "ABI");
_Static_assert(sizeof(struct attach_remap) == 6168, "ABI");
_Static_assert(sizeof(struct attach_header) == 16, "ABI");
_Static_assert(sizeof(struct attach_hello) == 104, "ABI");
_Static_assert(sizeof(struct attach_guest) == 696, "ABI");
_Static_assert(sizeof(struct attach_memory) == 288, "ABI");
_Static_assert(sizeof(struct attach_zap) == 4120, "ABI");
_Static_assert(sizeof(struct attach_stop) == 536, "ABI");
_Static_assert(sizeof(struct attach_exit) == 536, "ABI");
_Static_assert(sizeof(struct attach_balloon) == 32, "ABI");
_Static_assert(sizeof(struct attach_drop) == 8032, "ABI");
_Static_assert(sizeof(struct attach_balloon_stats) == 176, "ABI");
_Static_assert(sizeof(struct attach_stats) <= ATTACH_MAX_MESSAGE, "fits a message");

/* Any message, aligned and large enough. */
union attach_message {
	struct attach_header header;
	struct attach_hello hello;
	struct attach_guest guest;
	struct attach_memory memory;
	struct attach_zap zap;
	struct attach_stop stop;
	struct attach_stats stats;
	struct attach_console console;
	struct attach_exit exit;
	struct attach_balloon balloon;
	struct attach_drop drop;
	struct attach_balloon_stats balloon_stats;
	struct attach_share share;
	struct attach_remap remap;
	struct attach_plug plug;
	struct attach_plugged plugged;
	u8 bytes[ATTACH_MAX_MESSAGE];
};

/*
 * Fills in the header (the rest of the message is the caller's) and sends it with `nfds`
 * descriptors, which stay the caller's. Blocks while the peer's queue is full. Returns 0 or -errno;
 * -EPIPE when the peer is gone (never a signal).
 */
int attach_send(int socket, union attach_message *message, enum attach_type type, u32 length,
		u32 serial, const int *fds, u32 nfds);

/*
 * Receives one message and checks it: magic, version, type, length for its type, counts, alignment
 * and overflow of regions and ranges, NUL-terminated strings, number of descriptors. On success
 * returns 0 and the caller owns *nfds descriptors in fds (array of ATTACH_MAX_FDS). Returns -EPIPE
 * at end of connection, -EPROTO for a message that breaks the protocol (its descriptors are closed;
 * *why says what was wrong), other -errno. Blocks unless the socket is non-blocking (-EAGAIN).
 */
int attach_receive(int socket, union attach_message *message, int *fds, u32 *nfds,
		   const char **why);

/* The checks of attach_receive() on a message of `length` bytes in memory: 0 or -EPROTO and *why. */
int attach_check(const union attach_message *message, u32 length, u32 nfds, const char **why);

/* What a guest may be called, here and in configuration files: its name becomes a file's, and a part of paths. Reads
 * ATTACH_NAME_MAX bytes at most. */
bool attach_name_is_valid(const char *name);
#define ATTACH_NAME_RULE                                                                           \
	"a name is 1 to 63 letters, digits, `_', `-' or `.', and does not begin with a dot"

const char *attach_type_name(u32 type);
const char *attach_exit_name(u32 code);

#endif
