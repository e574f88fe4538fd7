/* SPDX-License-Identifier: Apache-2.0 */
/* The table of figures, and their arithmetic. */
#include "bench/overcommit/figure.h"

#include <math.h>
#include <stdlib.h>

const struct figure_info figure_info[FIGURES] = {
	[FIG_THROUGHPUT] = {"throughput", "operations/s", "operations a second"},
	[FIG_P50] = {"p50_us", "us", "operation, median"},
	[FIG_P99] = {"p99_us", "us", "operation, 99 %"},
	[FIG_P999] = {"p999_us", "us", "operation, 99.9 %"},
	[FIG_STALL] = {"stall_s", "s", "time lost in operations"},
	[FIG_CPU_GUESTS] = {"cpu_guests_s", "s", "CPU of the guests' processes"},
	[FIG_CPU_MANAGER] = {"cpu_manager_s", "s", "CPU of the manager"},
	[FIG_CPU_KERNEL] = {"cpu_kernel_s", "s", "CPU of kernel threads"},
	[FIG_CPU_TOTAL] = {"cpu_total_s", "s", "CPU in all"},
	[FIG_CPU_MEMORY] = {"cpu_memory_s", "s", "CPU beyond what the work takes"},
	[FIG_MEMORY_MEAN] = {"memory_bytes", "bytes", "host memory, mean"},
	[FIG_MEMORY_PEAK] = {"memory_peak_bytes", "bytes", "host memory, peak"},
	[FIG_DISK_READ] = {"disk_read_bytes", "bytes", "read from disk"},
	[FIG_DISK_WRITTEN] = {"disk_written_bytes", "bytes", "written to disk"},
	[FIG_SAVED_SHARING] = {"saved_sharing_bytes", "bytes", "saved by sharing"},
	[FIG_SAVED_SAME] = {"saved_same_bytes", "bytes", "saved: zero and same-filled"},
	[FIG_SAVED_COMPRESSION] = {"saved_compression_bytes", "bytes", "saved by compression"},
	[FIG_SAVED_DISK] = {"saved_disk_bytes", "bytes", "kept on disk"},
	[FIG_SAVED_BALLOON] = {"saved_balloon_bytes", "bytes", "given up by balloons"},
	[FIG_FILL] = {"fill_s", "s", "until all guests were filled"},
	[FIG_STEADY] = {"steady_s", "s", "until memory use was steady"},
	[FIG_DURATION] = {"duration_s", "s", "duration"},
	[FIG_PRESSURE] = {"pressure_s", "s", "kernel's memory pressure (some)"},
	[FIG_OPERATIONS] = {"operations", "", "operations"},
	[FIG_BUSY] = {"busy_s", "s", "time in operations"},
	[FIG_VERIFIED] = {"verified_pages", "pages", "pages read and checked"},
	[FIG_KILLS] = {"kills", "", "tries ended by the kernel's OOM killer"},
};

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

struct summary summary_of(const double *values, u32 count)
{
	double sorted[ROUNDS_MAX];
	struct summary summary = {};
	u32 n = 0;

	for (u32 i = 0; i < count && n < ROUNDS_MAX; i++)
		if (isfinite(values[i]))
			sorted[n++] = values[i];
	if (!n)
		return summary;
	qsort(sorted, n, sizeof(*sorted), compare);
	summary.median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
	summary.least = sorted[0];
	summary.most = sorted[n - 1];
	summary.rounds = n;
	return summary;
}

double ratio_of(double a, double b)
{
	return isfinite(a) && isfinite(b) && b != 0 ? a / b : NAN;
}

double largest_within(const double *x, const double *y, u32 count, double base, double share)
{
	double largest = 0;

	for (u32 i = 0; i < count && y[i] >= (1 - share) * base; i++)
		largest = x[i];
	return largest;
}

double steady_from(const double *times, const double *values, u32 count, double share)
{
	double last = values[count - 1];
	u32 first = count - 1;

	while (first > 0 && fabs(values[first - 1] - last) <= share * fabs(last))
		first--;
	return times[first];
}
