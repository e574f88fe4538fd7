/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a payload. */
#include "hv/payload.h"

#include <string.h>

const struct payload_ops *payload_of(const char *workload)
{
	return strcmp(workload, ATTACH_WORKLOAD_LINUX) ? &payload_nano : &payload_linux;
}
