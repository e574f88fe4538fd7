/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM process. Its first thread, the control thread, sets everything up and then does nothing
 * but talk to the manager: it must always be able to answer, because the manager may wait for it
 * while a vCPU waits for the manager. It therefore never touches guest memory and never waits for a
 * thread that does.
 *
 * The userfaultfd stays open here until the process is gone. When the manager dies its copy closes,
 * and were that the last one the kernel would fill every missing page with zeros and let the guest run
 * on over them. With ours open the vCPUs stay blocked, and we end the guest.
 */
#include "hv/vmm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "attach/attach.h"
#include "attach/faultfd.h"
#include "guest-driver/image.h"
#include "hv/caretaker.h"
#include "hv/guest.h"
#include "hv/sandbox.h"
#include "lib/clock.h"
#include "lib/log.h"

#define VMM_STATS_MS 200
/* How long a message may wait for a manager that does not read. */
#define VMM_SEND_SECONDS 10
/* How long the end of a guest may wait for its last statistics. */
#define VMM_FINAL_MS 2000

struct vmm {
	int socket;
	int faultfd;
	const struct boot_image *image;
	struct hv_guest *guest;
	struct caretaker caretaker;
	u64 stats_due;		      /* monotonic ns */
	u64 ended_at;		      /* 0 while the guest runs */
	union attach_message message; /* of the control thread */
};

static const char *vmm_name(const struct vmm *vmm)
{
	return vmm->guest ? vmm->guest->config.name : "(unnamed)";
}

static int vmm_send(struct vmm *vmm, enum attach_type type, u32 length, const int *fds, u32 nfds)
{
	return attach_send(vmm->socket, &vmm->message, type, length, 0, fds, nfds);
}

static int vmm_send_exit(struct vmm *vmm, const struct attach_exit *exit)
{
	vmm->message.exit = *exit;
	if (vmm_send(vmm, ATTACH_EXIT, sizeof(vmm->message.exit), NULL, 0)) {
		log_error("guest %s: cannot tell the manager how it ended: %s", vmm_name(vmm),
			  exit->text);
		return VMM_STATUS_FAILED;
	}
	return VMM_STATUS_OK;
}

/* Ends before the guest has begun. */
static int __attribute__((format(printf, 2, 3)))
vmm_refuse(struct vmm *vmm, const char *format, ...)
{
	struct attach_exit exit = {.code = ATTACH_EXIT_VMM};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(exit.text, sizeof(exit.text), format, arguments);
	va_end(arguments);
	return vmm_send_exit(vmm, &exit);
}

/* Reports what attach_receive() or a message out of turn did to us. */
static int vmm_lost(struct vmm *vmm, const char *when, int err, const char *why)
{
	if (err == -EPROTO)
		return vmm_refuse(vmm, "%s: the manager broke the protocol: %s", when, why);
	log_error("guest %s: lost the manager %s: %s", vmm_name(vmm), when, strerror(-err));
	return VMM_STATUS_ORPHAN;
}

/* Writes what goes wrong into text. */
static int make_guest(struct vmm *vmm, int ram_fd, int data_fd, char *text)
{
	/* The message is the control thread's scratch; the guest keeps a copy. */
	const struct attach_guest *config = &vmm->message.guest;
	bool kernel_faults = config->accel != ATTACH_ACCEL_THREAD;
	int err;

	err = hv_guest_create(config, data_fd, vmm->image, &vmm->guest, text);
	if (err)
		return err;
	err = ram_map_file(&vmm->guest->ram, ram_fd, config->ram_bytes);
	if (err) {
		snprintf(text, ATTACH_TEXT_MAX, "cannot map %llu MiB of guest memory: %s",
			 (unsigned long long)(config->ram_bytes / MiB), strerror(-err));
		return err;
	}
	vmm->faultfd = faultfd_open(kernel_faults);
	if (vmm->faultfd < 0) {
		err = vmm->faultfd;
		snprintf(text, ATTACH_TEXT_MAX,
			 "cannot open a userfaultfd: %s: run as root, or set the sysctl "
			 "vm.unprivileged_userfaultfd=1, or allow access to /dev/userfaultfd",
			 strerror(-err));
		return err;
	}
	err = faultfd_register(vmm->faultfd, (u64)(uintptr_t)vmm->guest->ram.base,
			       vmm->guest->ram.bytes, false);
	if (err) {
		snprintf(text, ATTACH_TEXT_MAX,
			 "cannot register guest memory with userfaultfd: %s: Linux 5.19 or later "
			 "and a tmpfs file are needed",
			 strerror(-err));
		return err;
	}
	return hv_guest_prepare(vmm->guest, text);
}

static void close_all(int *fds, u32 count)
{
	for (u32 i = 0; i < count; i++)
		close(fds[i]);
}

static int send_memory(struct vmm *vmm)
{
	const struct ram *ram = &vmm->guest->ram;
	struct attach_memory *memory = &vmm->message.memory;

	vmm->message.memory = (struct attach_memory){
		.accel = vmm->guest->accel->ops->kind,
		.count = ram->count,
		.stage = (u64)(uintptr_t)ram->stage,
	};
	for (u32 i = 0; i < ram->count; i++) {
		const struct ram_region *region = &ram->regions[i];

		memory->regions[i] = (struct attach_region){
			.gpa = region->gpa.value,
			.hva = (u64)(uintptr_t)(ram->base + region->offset),
			.file_offset = region->offset,
			.length = region->length,
		};
	}
	return vmm_send(vmm, ATTACH_MEMORY, sizeof(*memory), &vmm->faultfd, 1);
}

/* Up to MEMORY sent. Returns true when the guest is ready for START; else *status says how the
 * process ends. */
static bool vmm_attach(struct vmm *vmm, int *status)
{
	const char *why = "";
	char text[ATTACH_TEXT_MAX];
	int fds[ATTACH_MAX_FDS];
	u32 nfds;
	int err;

	vmm->message.hello = (struct attach_hello){
		.pid = (u32)getpid(),
		.flags = ATTACH_HELLO_SHARES,
	};
	err = vmm_send(vmm, ATTACH_HELLO, sizeof(vmm->message.hello), NULL, 0);
	if (!err)
		err = attach_receive(vmm->socket, &vmm->message, fds, &nfds, &why);
	if (err) {
		*status = vmm_lost(vmm, "before it named a guest", err, why);
		return false;
	}
	if (vmm->message.header.type != ATTACH_GUEST) {
		close_all(fds, nfds);
		*status = vmm_refuse(vmm, "expected GUEST, got %s",
				     attach_type_name(vmm->message.header.type));
		return false;
	}
	err = make_guest(vmm, fds[0], nfds > 1 ? fds[1] : -1, text);
	close_all(fds, nfds);
	if (err) {
		*status = vmm_refuse(vmm, "%s", text);
		return false;
	}
	err = send_memory(vmm);
	if (!err)
		return true;
	*status = vmm_lost(vmm, "when its memory was to be handed over", err, "");
	return false;
}

/* SHARE: keeps the two files that frames, and the RAM file again, are mapped from. */
static int vmm_share(struct vmm *vmm, const int *fds)
{
	int err = vmm->guest->ram.foreign ? -EPROTO : 0;

	if (!err)
		err = ram_share(&vmm->guest->ram, fds[0], fds[1], vmm->message.share.frame_bytes);
	if (err)
		close_all((int *)fds, 2);
	return err;
}

static bool vmm_await_start(struct vmm *vmm, int *status)
{
	const char *why = "";
	int fds[ATTACH_MAX_FDS];
	u32 nfds;
	int err = attach_receive(vmm->socket, &vmm->message, fds, &nfds, &why);

	if (!err && vmm->message.header.type == ATTACH_SHARE) {
		err = vmm_share(vmm, fds);
		nfds = 0;
		why = "SHARE twice";
		if (!err)
			err = attach_receive(vmm->socket, &vmm->message, fds, &nfds, &why);
	}

	if (err) {
		*status = vmm_lost(vmm, "before the guest started", err, why);
		return false;
	}
	close_all(fds, nfds);
	if (vmm->message.header.type == ATTACH_START)
		return true;
	if (vmm->message.header.type == ATTACH_STOP) {
		struct attach_exit exit = {.code = ATTACH_EXIT_STOPPED};

		memcpy(exit.text, vmm->message.stop.reason, sizeof(exit.text));
		*status = vmm_send_exit(vmm, &exit);
	} else {
		*status = vmm_refuse(vmm, "expected START, got %s",
				     attach_type_name(vmm->message.header.type));
	}
	return false;
}

/* The manager is gone: nobody will resolve another fault. */
static _Noreturn void vmm_orphaned(struct vmm *vmm, int err)
{
	hv_guest_abandon(vmm->guest);
	log_error("guest %s: stopped, because the manager is gone (%s) and the guest's memory with "
		  "it",
		  vmm_name(vmm), strerror(-err));
	_exit(VMM_STATUS_ORPHAN);
}

/* A message that must arrive; a manager that does not read for so long is as good as dead. */
static void vmm_must(struct vmm *vmm, int err)
{
	if (err)
		vmm_orphaned(vmm, err);
}

/* What may be dropped is sent only when it will not wait. */
static bool vmm_writable(const struct vmm *vmm)
{
	struct pollfd out = {.fd = vmm->socket, .events = POLLOUT};

	return poll(&out, 1, 0) > 0 && out.revents & POLLOUT;
}

static void vmm_send_stats(struct vmm *vmm)
{
	caretaker_stats(&vmm->caretaker, &vmm->message.stats);
	vmm_must(vmm, vmm_send(vmm, ATTACH_STATS, sizeof(vmm->message.stats), NULL, 0));
}

static void vmm_send_console(struct vmm *vmm)
{
	struct attach_console *console = &vmm->message.console;
	u32 length;

	while (vmm_writable(vmm)) {
		length = console_take(&vmm->guest->console, console->text, sizeof(console->text));
		if (!length)
			return;
		vmm_must(vmm,
			 vmm_send(vmm, ATTACH_CONSOLE,
				  (u32)offsetof(struct attach_console, text) + length, NULL, 0));
	}
}

static void vmm_zap(struct vmm *vmm)
{
	const struct attach_zap *zap = &vmm->message.zap;
	u32 serial = zap->header.serial;

	for (u32 i = 0; i < zap->count; i++) {
		const struct attach_range *range = &zap->ranges[i];
		int err = ram_zap(&vmm->guest->ram, range->file_offset, range->length);

		if (!err)
			continue;
		hv_guest_fail(vmm->guest, ATTACH_EXIT_VMM,
			      "the manager asked to unmap 0x%llx bytes at 0x%llx of RAM: %s",
			      (unsigned long long)range->length,
			      (unsigned long long)range->file_offset, strerror(-err));
		return;
	}
	vmm_must(vmm, attach_send(vmm->socket, &vmm->message, ATTACH_ZAPPED,
				  sizeof(struct attach_header), serial, NULL, 0));
}

static void vmm_remap(struct vmm *vmm)
{
	const struct attach_remap *remap = &vmm->message.remap;
	u32 serial = remap->header.serial;

	for (u32 i = 0; i < remap->count; i++) {
		const struct attach_remap_range *range = &remap->ranges[i];
		int err = ram_remap(&vmm->guest->ram, range->file_offset, range->length,
				    range->frame_offset);

		if (!err)
			continue;
		hv_guest_fail(vmm->guest, ATTACH_EXIT_VMM,
			      "the manager asked to map 0x%llx bytes at 0x%llx of RAM anew: %s",
			      (unsigned long long)range->length,
			      (unsigned long long)range->file_offset, strerror(-err));
		return;
	}
	vmm_must(vmm, attach_send(vmm->socket, &vmm->message, ATTACH_REMAPPED,
				  sizeof(struct attach_header), serial, NULL, 0));
}

static void vmm_stop(struct vmm *vmm)
{
	const struct attach_stop *stop = &vmm->message.stop;

	if (stop->graceful)
		caretaker_order_stop(&vmm->caretaker);
	else
		hv_guest_fail(vmm->guest, ATTACH_EXIT_STOPPED, "%s", stop->reason);
}

static void vmm_receive(struct vmm *vmm)
{
	const char *why = "";
	int fds[ATTACH_MAX_FDS];
	u32 nfds;
	int err = attach_receive(vmm->socket, &vmm->message, fds, &nfds, &why);

	if (err == -EPROTO) {
		hv_guest_fail(vmm->guest, ATTACH_EXIT_VMM, "the manager broke the protocol: %s",
			      why);
		return;
	}
	vmm_must(vmm, err);
	close_all(fds, nfds);
	switch (vmm->message.header.type) {
	case ATTACH_ZAP:
		vmm_zap(vmm);
		break;
	case ATTACH_REMAP:
		vmm_remap(vmm);
		break;
	case ATTACH_STOP:
		vmm_stop(vmm);
		break;
	case ATTACH_BALLOON:
		if (vmm->guest->balloon)
			hv_balloon_order(vmm->guest->balloon, &vmm->message.balloon);
		break;
	case ATTACH_BEGIN:
		caretaker_begin(&vmm->caretaker);
		break;
	case ATTACH_DROPPED:
		if (vmm->guest->balloon)
			hv_balloon_dropped(vmm->guest->balloon);
		break;
	default:
		hv_guest_fail(vmm->guest, ATTACH_EXIT_VMM, "unexpected %s from the manager",
			      attach_type_name(vmm->message.header.type));
	}
}

static int vmm_wait_ms(const struct vmm *vmm, u64 now)
{
	return now < vmm->stats_due ? (int)((vmm->stats_due - now) / NSEC_PER_MSEC) + 1 : 0;
}

/* The guest has ended, and either its last statistics are in or they take too long: its memory may
 * be what the manager cannot bring. */
static bool vmm_finished(struct vmm *vmm, u64 now)
{
	if (!hv_guest_ended(vmm->guest))
		return false;
	if (!vmm->ended_at)
		vmm->ended_at = now;
	return vmm->caretaker.finished || now - vmm->ended_at > VMM_FINAL_MS * NSEC_PER_MSEC;
}

static void vmm_serve(struct vmm *vmm)
{
	struct pollfd events[] = {
		{.fd = vmm->socket, .events = POLLIN},
		{.fd = vmm->guest->notify, .events = POLLIN},
	};
	u64 now;

	while (now = clock_now_ns(), !vmm_finished(vmm, now)) {
		if (now >= vmm->stats_due) {
			vmm->stats_due = now + VMM_STATS_MS * NSEC_PER_MSEC;
			if (vmm_writable(vmm))
				vmm_send_stats(vmm);
			vmm_send_console(vmm);
		}
		if (poll(events, ARRAY_SIZE(events), vmm_wait_ms(vmm, now)) <= 0)
			continue;
		if (events[1].revents) {
			hv_event_clear(vmm->guest->notify);
			vmm_send_console(vmm);
		}
		if (events[0].revents)
			vmm_receive(vmm);
	}
}

static _Noreturn void vmm_finish(struct vmm *vmm)
{
	struct attach_exit exit = {};
	u64 strays = atomic_load(&vmm->guest->strays);

	vmm_send_console(vmm);
	vmm_send_stats(vmm);
	if (strays && !vmm->guest->payload->probes)
		log_warn("guest %s: %llu accesses to devices that do not exist", vmm_name(vmm),
			 (unsigned long long)strays);
	hv_guest_abandon(vmm->guest);
	hv_guest_verdict(vmm->guest, &exit);
	_exit(vmm_send_exit(vmm, &exit));
}

static void vmm_bound_sends(int socket)
{
	const struct timeval limit = {.tv_sec = VMM_SEND_SECONDS};

	setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

/* Ctrl-C at the terminal and its hangup go to the whole process group; when a guest stops is for the
 * manager to say. And a closed log is no reason to die. */
static void vmm_ignore_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

static int vmm_seal(const struct vmm *vmm)
{
	const struct ram *ram = &vmm->guest->ram;
	const struct sandbox_share share = {
		.ram = ram->foreign ? ram->ram_fd : -1,
		.frames = ram->foreign ? ram->frames_fd : -1,
		.stage = ram->stage,
		.bytes = ram->bytes + REGION_SIZE,
	};

	return sandbox_seal(&share);
}

int vmm_run(int socket, const struct boot_image *image)
{
	static struct vmm vmm;
	int status = VMM_STATUS_FAILED;
	int err = sandbox_enter(socket);

	vmm = (struct vmm){.socket = socket, .faultfd = -1, .image = image};
	vmm_bound_sends(socket);
	vmm_ignore_signals();
	if (err)
		return vmm_refuse(&vmm, "cannot enter the sandbox: %s", strerror(-err));
	if (!vmm_attach(&vmm, &status) || !vmm_await_start(&vmm, &status))
		return status;
	/* From here on there may be code of the guest's in this process. */
	err = vmm_seal(&vmm);
	if (err)
		return vmm_refuse(&vmm,
				  "cannot give up system calls: %s: the kernel needs "
				  "seccomp filters, and must permit them here",
				  strerror(-err));
	err = caretaker_start(&vmm.caretaker, vmm.guest);
	if (!err && vmm.guest->balloon)
		err = hv_balloon_start(vmm.guest->balloon, socket);
	if (err)
		return vmm_refuse(&vmm, "cannot start a thread: %s", strerror(-err));
	vmm_serve(&vmm);
	vmm_finish(&vmm);
}

int vmm_main(int socket)
{
	const struct boot_image image = {guest_image_start,
					 (size_t)(guest_image_end - guest_image_start)};

	/* Run through /proc/self/exe it would be listed as "exe". */
	prctl(PR_SET_NAME, "ballast-vmm");
	return vmm_run(socket, &image);
}
