/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/outcome.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"

int outcome_init(struct outcome *outcome, u32 count)
{
	*outcome = (struct outcome){.count = count};
	outcome->guests = calloc(MAX(count, 1U), sizeof(*outcome->guests));
	return outcome->guests ? 0 : -ENOMEM;
}

void outcome_free(struct outcome *outcome)
{
	free(outcome->guests);
	outcome->guests = NULL;
}

/* Guests may have been added. Without memory for them they are left out. */
static void grow(struct outcome *outcome, u32 count)
{
	struct guest_snapshot *guests;

	if (count <= outcome->count)
		return;
	guests = reallocarray(outcome->guests, count, sizeof(*guests));
	if (!guests)
		return;
	memset(guests + outcome->count, 0, (count - outcome->count) * sizeof(*guests));
	outcome->guests = guests;
	outcome->count = count;
}

void outcome_take(struct outcome *outcome, struct manager *manager)
{
	manager_host_snapshot(manager, &outcome->host);
	grow(outcome, outcome->host.guest_count);
	for (u32 i = 0; i < MIN(outcome->count, outcome->host.guest_count); i++)
		manager_guest_snapshot(manager, i, &outcome->guests[i]);
}

void outcome_take_decisions(struct outcome *outcome, struct manager *manager)
{
	manager_decisions(manager, outcome->decisions, sizeof(outcome->decisions));
}

bool outcome_guest_ok(const struct guest_snapshot *guest)
{
	return guest->life == GUEST_LIFE_ENDED && guest->exit_code == ATTACH_EXIT_OK &&
	       !guest->verify_failures;
}

bool outcome_ok(const struct outcome *outcome)
{
	for (u32 i = 0; i < outcome->count; i++)
		if (!outcome_guest_ok(&outcome->guests[i]))
			return false;
	return outcome->count > 0;
}

u64 outcome_guest_faults(const struct guest_snapshot *guest)
{
	return guest->faults_missing + guest->faults_minor + guest->faults_wp;
}

u64 outcome_faults(const struct outcome *outcome)
{
	u64 sum = 0;

	for (u32 i = 0; i < outcome->count; i++)
		sum += outcome_guest_faults(&outcome->guests[i]);
	return sum;
}

double outcome_guest_rate(const struct guest_snapshot *guest)
{
	return guest->run_ns ? (double)guest->ops * NSEC_PER_SEC / (double)guest->run_ns : 0;
}

double outcome_ratio(const struct outcome *outcome)
{
	const struct host_snapshot *host = &outcome->host;

	if (!host->compressed_out_bytes)
		return 0;
	return (double)host->compressed_in_bytes / (double)host->compressed_out_bytes;
}

const char *outcome_accel_name(u32 accel)
{
	switch (accel) {
	case ATTACH_ACCEL_KVM:
		return "kvm";
	case ATTACH_ACCEL_THREAD:
		return "thread";
	default:
		return "-";
	}
}

const char *outcome_exit_name(const struct guest_snapshot *guest)
{
	if (guest->life == GUEST_LIFE_STARTING)
		return "starting";
	return guest->life == GUEST_LIFE_RUNNING ? "running" : attach_exit_name(guest->exit_code);
}

const char *outcome_accel_words(const struct outcome *outcome)
{
	bool kvm = false, thread = false;

	for (u32 i = 0; i < outcome->count; i++) {
		kvm |= outcome->guests[i].accel == ATTACH_ACCEL_KVM;
		thread |= outcome->guests[i].accel == ATTACH_ACCEL_THREAD;
	}
	if (kvm && thread)
		return "KVM and threads";
	return kvm ? "KVM" : thread ? "threads, without KVM" : "";
}
