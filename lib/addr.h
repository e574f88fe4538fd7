/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two kinds of address that must never be mixed up. Each is a struct of one member, so that the
 * compiler refuses to take a guest's number for a pointer of ours.
 */
#ifndef LIB_ADDR_H
#define LIB_ADDR_H

#include "lib/types.h"

/* Guest-physical: what the guest's page tables hold and the devices are told. */
typedef struct {
	u64 value;
} gpa_t;

/* Host-virtual: where that memory is mapped in this process. */
typedef struct {
	u8 *ptr;
} hva_t;

static inline gpa_t gpa(u64 value)
{
	return (gpa_t){value};
}

#endif
