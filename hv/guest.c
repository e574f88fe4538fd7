/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a guest: made, booted, started, stopped, ended. */
#include "hv/guest.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/thread.h"

#define GUEST_KICK_SIGNAL SIGUSR1
#define GUEST_SLEEP_MAX	  1000 /* ms */

void hv_event_raise(int eventfd)
{
	eventfd_write(eventfd, 1);
}

void hv_event_clear(int eventfd)
{
	eventfd_t count;

	eventfd_read(eventfd, &count);
}

static struct hv_guest *guest_alloc(void)
{
	struct hv_guest *guest = calloc(1, sizeof(*guest));

	if (!guest)
		return NULL;
	pthread_mutex_init(&guest->lock, NULL);
	pthread_cond_init(&guest->changed, NULL);
	console_init(&guest->console);
	guest->kernel.fd = -1;
	guest->notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	guest->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	guest->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return guest;
}

int hv_guest_create(const struct attach_guest *config, int data_fd, const struct boot_image *image,
		    struct hv_guest **created, char *text)
{
	struct hv_guest *guest = guest_alloc();
	int err = -ENOMEM;

	snprintf(text, ATTACH_TEXT_MAX, "out of memory or descriptors for the guest's state");
	if (!guest)
		return err;
	err = -EMFILE;
	if (guest->notify < 0 || guest->over < 0 || guest->doorbell < 0)
		goto destroy;
	guest->config = *config;
	guest->image = *image;
	guest->payload = payload_of(config->workload);
	err = guest->payload->check(guest, data_fd, text);
	if (err)
		goto destroy;
	err = config->devices & ATTACH_DEVICE_BALLOON ? hv_balloon_create(guest, &guest->balloon)
						      : 0;
	if (err) {
		snprintf(text, ATTACH_TEXT_MAX, "cannot make a balloon: %s", strerror(-err));
		goto destroy;
	}
	*created = guest;
	return 0;
destroy:
	hv_guest_destroy(guest);
	return err;
}

int hv_guest_prepare(struct hv_guest *guest, char *text)
{
	const struct accel_ops *const *all = guest->payload->accels;
	u32 wanted = guest->config.accel;
	int err = -EINVAL;

	snprintf(text, ATTACH_TEXT_MAX, "accel %u is none that can run workload %s", wanted,
		 guest->config.workload);
	for (u32 i = 0; all[i]; i++) {
		const char *why = "";

		if (wanted != ATTACH_ACCEL_AUTO && wanted != all[i]->kind)
			continue;
		err = all[i]->create(guest, &guest->accel, &why);
		if (!err)
			return 0;
		snprintf(text, ATTACH_TEXT_MAX, "accel %s: %s: %s", all[i]->name, why,
			 strerror(-err));
	}
	return err;
}

void hv_guest_boot(struct hv_guest *guest)
{
	if (guest->accel->ops->boot)
		guest->accel->ops->boot(guest->accel);
	if (guest->payload->boot)
		guest->payload->boot(guest);
}

static void kick_handler(int signal)
{
	(void)signal; /* its arrival is the message */
}

/* Without SA_RESTART: the signal is there to make system calls return. */
static void install_kick(void)
{
	struct sigaction action = {.sa_handler = kick_handler};

	sigaction(GUEST_KICK_SIGNAL, &action, NULL);
}

/* The calling thread can be kicked: its signals are blocked, as any thread's of ours. */
static void let_kicks_in(void)
{
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, GUEST_KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

struct vcpu_start {
	struct hv_guest *guest;
	u32 vcpu;
};

static void *vcpu_thread(void *argument)
{
	struct vcpu_start start = *(struct vcpu_start *)argument;
	struct hv_guest *guest = start.guest;
	char name[16];
	bool last;

	free(argument);
	snprintf(name, sizeof(name), "vcpu-%u", start.vcpu);
	pthread_setname_np(pthread_self(), name);
	let_kicks_in();
	guest->accel->ops->run(guest->accel, start.vcpu);
	pthread_mutex_lock(&guest->lock);
	last = !--guest->running;
	pthread_mutex_unlock(&guest->lock);
	if (last) {
		hv_event_raise(guest->over);
		hv_event_raise(guest->notify);
	}
	return NULL;
}

static int start_vcpu(struct hv_guest *guest, u32 vcpu)
{
	struct vcpu_start *start = malloc(sizeof(*start));
	int err;

	if (!start)
		return -ENOMEM;
	*start = (struct vcpu_start){guest, vcpu};
	err = thread_start(&guest->thread[vcpu], vcpu_thread, start);
	if (err)
		free(start);
	return err;
}

void hv_guest_start(struct hv_guest *guest)
{
	int err = 0;

	install_kick();
	pthread_mutex_lock(&guest->lock);
	for (u32 i = 0; i < guest->config.vcpus && !err && !guest->leaving; i++) {
		err = start_vcpu(guest, i);
		if (!err) {
			guest->threads++;
			guest->running++;
		}
	}
	pthread_mutex_unlock(&guest->lock);
	if (err)
		hv_guest_fail(guest, ATTACH_EXIT_VMM, "cannot start a vCPU's thread: %s",
			      strerror(-err));
}

void hv_guest_collect(const struct hv_guest *guest, struct attach_stats *stats)
{
	guest->payload->collect(guest, stats);
}

void hv_guest_order_stop(struct hv_guest *guest)
{
	guest->payload->order_stop(guest);
}

void hv_guest_begin(struct hv_guest *guest)
{
	if (guest->payload->begin)
		guest->payload->begin(guest);
}

void hv_guest_wake(struct hv_guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	guest->stopping = true;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

/* With the lock held. */
static void leave(struct hv_guest *guest)
{
	atomic_store(&guest->leaving, true);
	pthread_cond_broadcast(&guest->changed);
	for (u32 i = 0; i < guest->threads; i++) {
		if (guest->accel->ops->kick)
			guest->accel->ops->kick(guest->accel, i);
		pthread_kill(guest->thread[i], GUEST_KICK_SIGNAL);
	}
}

void hv_guest_halt(struct hv_guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	leave(guest);
	pthread_mutex_unlock(&guest->lock);
}

void hv_guest_abandon(struct hv_guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	leave(guest);
	for (u32 i = 0; i < guest->threads; i++)
		pthread_detach(guest->thread[i]);
	guest->threads = 0; /* nobody signals a thread that may be gone */
	pthread_mutex_unlock(&guest->lock);
}

bool hv_guest_ended(struct hv_guest *guest)
{
	bool ended;

	pthread_mutex_lock(&guest->lock);
	ended = guest->fatal || (guest->threads && !guest->running);
	pthread_mutex_unlock(&guest->lock);
	return ended;
}

void hv_guest_verdict(struct hv_guest *guest, struct attach_exit *exit)
{
	pthread_mutex_lock(&guest->lock);
	exit->code = guest->fatal	    ? guest->code
		     : guest->verify_failed ? ATTACH_EXIT_VERIFY
					    : ATTACH_EXIT_OK;
	if (!guest->fatal && guest->verify_failed)
		snprintf(exit->text, sizeof(exit->text), "the guest read what it did not write");
	else
		snprintf(exit->text, sizeof(exit->text), "%s", guest->text);
	pthread_mutex_unlock(&guest->lock);
}

void hv_guest_fail(struct hv_guest *guest, enum attach_exit_code code, const char *format, ...)
{
	va_list arguments;

	pthread_mutex_lock(&guest->lock);
	if (!guest->fatal) {
		guest->fatal = true;
		guest->code = code;
		va_start(arguments, format);
		vsnprintf(guest->text, sizeof(guest->text), format, arguments);
		va_end(arguments);
	}
	leave(guest);
	pthread_mutex_unlock(&guest->lock);
	hv_event_raise(guest->over);
	hv_event_raise(guest->notify);
}

void hv_guest_vcpu_exit(struct hv_guest *guest, u32 vcpu, u32 how)
{
	if (how == GUEST_EXIT_VERIFY) {
		pthread_mutex_lock(&guest->lock);
		guest->verify_failed = true;
		pthread_mutex_unlock(&guest->lock);
	} else if (how != GUEST_EXIT_OK) {
		hv_guest_fail(guest, ATTACH_EXIT_CRASH,
			      "vCPU %u gave up (exit %u): its console says why", vcpu, how);
	}
}

void hv_guest_interrupt(struct hv_guest *guest)
{
	struct guest_boot *boot = (struct guest_boot *)(guest->ram.base + GUEST_BOOT);

	/* First the word, then the waking: whoever wakes finds it. */
	__atomic_fetch_add(&boot->interrupts, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&guest->lock);
	guest->interrupts++;
	pthread_cond_broadcast(&guest->changed);
	pthread_mutex_unlock(&guest->lock);
}

void hv_guest_sleep(struct hv_guest *guest, u32 vcpu, u32 milliseconds)
{
	u64 until = clock_now_ns() + MIN(milliseconds, (u32)GUEST_SLEEP_MAX) * NSEC_PER_MSEC;
	struct timespec deadline = {(time_t)(until / NSEC_PER_SEC), (long)(until % NSEC_PER_SEC)};
	int err = 0;

	pthread_mutex_lock(&guest->lock);
	while (!guest->stopping && !guest->leaving && !err &&
	       guest->seen[vcpu] == guest->interrupts)
		err = pthread_cond_clockwait(&guest->changed, &guest->lock, CLOCK_MONOTONIC,
					     &deadline);
	guest->seen[vcpu] = guest->interrupts;
	pthread_mutex_unlock(&guest->lock);
}

void hv_guest_console(struct hv_guest *guest, const char *text, u32 length)
{
	if (console_put(&guest->console, text, length))
		hv_event_raise(guest->notify);
}

void hv_guest_stray(struct hv_guest *guest, const char *what, u64 address)
{
	if (atomic_fetch_add(&guest->strays, 1) || guest->payload->probes)
		return;
	log_warn("guest %s: touched %s 0x%llx, which no device owns: ignored, and so will be "
		 "others",
		 guest->config.name, what, (unsigned long long)address);
}

static void close_event(int eventfd)
{
	if (eventfd >= 0)
		close(eventfd);
}

void hv_guest_destroy(struct hv_guest *guest)
{
	hv_guest_halt(guest);
	for (u32 i = 0; i < guest->threads; i++)
		pthread_join(guest->thread[i], NULL);
	hv_balloon_destroy(guest->balloon);
	if (guest->accel)
		guest->accel->ops->destroy(guest->accel);
	ram_unmap(&guest->ram);
	if (guest->data)
		munmap(guest->data, guest->data_bytes);
	pvh_close(&guest->kernel);
	close_event(guest->notify);
	close_event(guest->over);
	close_event(guest->doorbell);
	pthread_cond_destroy(&guest->changed);
	pthread_mutex_destroy(&guest->lock);
	pthread_mutex_destroy(&guest->console.lock);
	free(guest);
}
