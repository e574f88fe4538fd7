/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the processors are enough. That they are cannot be tested: others use them, too. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/processors.h"

static _Atomic bool over;

static void *spin(void *argument)
{
	while (!atomic_load(&over))
		;
	return argument;
}

Test(lib_processors, more_threads_than_processors_are_seen)
{
	struct processors processors;
	u64 until = clock_now_ns() + 30 * NSEC_PER_SEC;
	pthread_t *threads;
	bool seen = false;
	long count;

	processors_open(&processors);
	cr_assert_geq(processors.loadavg, 0);
	count = processors.online + 1;
	threads = calloc((size_t)count, sizeof(*threads));
	for (long i = 0; i < count; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, spin, NULL), 0);
	while (!seen && clock_now_ns() < until) {
		usleep(1000);
		seen = processors_are_short(&processors);
	}
	atomic_store(&over, true);
	for (long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	processors_close(&processors);
	cr_expect(seen);
}

Test(lib_processors, where_nobody_tells_they_are_enough)
{
	struct processors processors = {.loadavg = -1, .online = 1};

	cr_expect(!processors_are_short(&processors));
	processors_close(&processors);
}
