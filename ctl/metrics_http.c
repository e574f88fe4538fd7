/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP side of the metrics: libmicrohttpd, with a thread of its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctl/metrics.h"
#include "ctl/parse.h"
#include "lib/thread.h"

#define CONNECTIONS_MAX 16U
#define PATIENCE_S	10U /* for a client that says nothing, or does not read */

struct metrics {
	struct control *control;
	struct MHD_Daemon *daemon;
};

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned int status, char *text,
			       size_t length, const char *type)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result respond_error(struct MHD_Connection *connection, unsigned int status,
				     const char *sentence)
{
	char *text = strdup(sentence);

	return text ? respond(connection, status, text, strlen(text), "text/plain") : MHD_NO;
}

/* libmicrohttpd's; its first argument is what it was given. */
static enum MHD_Result answer(void *argument, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	struct metrics *metrics = argument;
	char *text = NULL;
	size_t length = 0;
	FILE *out;
	int ret;

	(void)version;
	(void)upload;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
		*upload_size = 0;
		return respond_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
	}
	if (strcmp(url, "/metrics") != 0)
		return respond_error(connection, MHD_HTTP_NOT_FOUND, "there is only /metrics\n");
	out = open_memstream(&text, &length);
	if (!out)
		return MHD_NO;
	ret = metrics_write(metrics->control, out);
	if (fclose(out) || ret) {
		free(text);
		return respond_error(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	}
	return respond(connection, MHD_HTTP_OK, text, length, "text/plain; version=0.0.4");
}

/* "HOST:PORT" or "[HOST]:PORT", HOST a number. */
static int parse_address(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	const char *colon = strrchr(text, ':');
	char host[64];
	u64 port;

	if (!colon || (size_t)(colon - text) >= sizeof(host) || parse_number(colon + 1, &port) ||
	    !port || port > UINT16_MAX)
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &four->sin_addr) == 1 ? 0 : -EINVAL;
}

int metrics_start(struct control *control, const char *address, char *why, size_t size,
		  struct metrics **out)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	struct sockaddr_storage where;
	unsigned int flags = MHD_USE_INTERNAL_POLLING_THREAD;
	sigset_t before;
	int ret = -ENOMEM;

	snprintf(why, size, "out of memory");
	if (!metrics)
		return ret;
	metrics->control = control;
	ret = parse_address(address, &where);
	if (ret) {
		snprintf(why, size, "`%s' is no address: 127.0.0.1:9273 would be one", address);
		goto free_metrics;
	}
	if (where.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	errno = 0;
	signals_block(&before);
	metrics->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, answer, metrics, MHD_OPTION_SOCK_ADDR,
		(struct sockaddr *)&where, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE_S, MHD_OPTION_END);
	signals_restore(&before);
	if (!metrics->daemon) {
		ret = errno ? -errno : -EIO;
		snprintf(why, size, "nothing can listen at %s: %s", address, strerror(-ret));
		goto free_metrics;
	}
	*out = metrics;
	return 0;

free_metrics:
	free(metrics);
	return ret;
}

void metrics_stop(struct metrics *metrics)
{
	if (!metrics)
		return;
	MHD_stop_daemon(metrics->daemon);
	free(metrics);
}
