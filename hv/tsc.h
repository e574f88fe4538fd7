/* SPDX-License-Identifier: Apache-2.0 */
/* The time stamp counter's frequency, which guests need to tell the time without a clock device. */
#ifndef HV_TSC_H
#define HV_TSC_H

#include "lib/types.h"

/* Measures the host's frequency in kHz against the monotonic clock; takes 10 ms. */
u64 tsc_measure_khz(void);

#endif
