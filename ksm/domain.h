/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sharing domain: guests that may have pages in common, on one NUMA node. It has frames and hints of its own,
 * so nothing that one domain holds can be found, or felt in time, by another.
 */
#ifndef KSM_DOMAIN_H
#define KSM_DOMAIN_H

#include "ksm/frames.h"
#include "ksm/unstable.h"

struct domain {
	u32 salt, node;
	struct frames *frames;
	struct unstable *unstable;
};

#define DOMAINS_MAX 1024U

/* The payload of a SHARED page: its domain's number, and the frame below it. */
static inline u64 domain_payload(u32 domain, u32 frame)
{
	return (u64)domain << 32 | frame;
}

static inline u32 payload_domain(u64 payload)
{
	return (u32)(payload >> 32);
}

static inline u32 payload_frame(u64 payload)
{
	return (u32)payload;
}

#endif
