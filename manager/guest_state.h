/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest is, for the files that are the guest: guest.c begins and ends it, guest_messages.c hears its
 * VMM, guest_attach.c takes over its memory, guest_space.c does what that memory asks of the VMM, and
 * guest_snapshot.c describes it.
 */
#ifndef MANAGER_GUEST_STATE_H
#define MANAGER_GUEST_STATE_H

#include "attach/attach.h"
#include "manager/guest.h"
#include "manager/process.h"
#include "mem/page_table.h"

#define BALLOON_STATS_MS 1000		    /* between two questions how a guest is */
#define STOP_PATIENCE	 (5 * NSEC_PER_SEC) /* a VMM that was told to end at once has so long */

/* How fast pages come and go, measured from one guest_sample() to the next. */
struct guest_rates {
	u64 since_ns;	      /* 0: not begun */
	u64 flow[PAGE_FLOWS]; /* the totals then */
	u64 bytes_per_s[PAGE_FLOWS];
};

/* Which message comes next. */
enum stage { STAGE_HELLO, STAGE_MEMORY, STAGE_RUNNING, STAGE_ENDED };

struct guest {
	struct space_client client;
	const struct guest_host *host;
	const struct guest_config *config;
	enum stage stage;
	int socket;
	struct process vmm;
	int ram; /* until the space has it */
	u32 hello_flags;
	bool shares; /* its VMM has the frames of its domain */
	struct space *space;
	struct handler *handler;
	struct guest_balloon *balloon; /* NULL: none, or not running */
	u64 started_ns;
	bool begun;	     /* told that all guests are filled */
	u64 hurry_ns;	     /* MEMORY must have come by then; 0: whenever */
	_Atomic u64 kill_ns; /* when a VMM told to end at once is killed; 0: not told */
	bool exit_known;
	u32 index; /* in the policy */
	struct pressure_average pressure;
	struct guest_rates rates;
	char line[ATTACH_TEXT_MAX]; /* of its console, unfinished */
	u32 line_used;
	struct guest_snapshot last; /* statistics of the guest; all of it once ended */
	pthread_mutex_t why_lock;   /* guards why */
	char why[ATTACH_TEXT_MAX];  /* why the manager ended it; "" it did not */
};

/* Why the manager ends it, unless that is known already. Any thread. */
void guest_set_why(struct guest *guest, const char *why);

/* STOP to its VMM. Returns 0 or -errno of the socket. Any thread. */
int guest_send_stop(struct guest *guest, bool graceful, const char *reason);

/* Kills its VMM for that reason, and ends it. */
void __attribute__((format(printf, 2, 3)))
guest_refuse(struct guest *guest, const char *format, ...);

/* The end of the road, however it was reached: nothing of the guest is left but its last snapshot. */
void guest_end(struct guest *guest);

/* Logs what the guest has printed since it began its line. */
void guest_print_line(struct guest *guest);

/* Answers of the walk through the protocol. HELLO: tell it what to run. MEMORY: take it over, and let the
 * guest run; `uffd` is taken. */
void guest_answer_hello(struct guest *guest, const struct attach_hello *hello);
void guest_answer_memory(struct guest *guest, const struct attach_memory *memory, int uffd);

/* PLUG: a part of its memory comes or goes. */
void guest_answer_plug(struct guest *guest, const struct attach_plug *plug);

/* Copies what its memory counts into a snapshot. */
void guest_count_space(const struct guest *guest, struct guest_snapshot *snapshot);

/* Closes it if it is open; it is -1 then. */
void guest_close_fd(int *fd);

extern const struct space_client_ops guest_space_ops;

#endif
