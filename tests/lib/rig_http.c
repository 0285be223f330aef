#include "rig_http.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

void
mf_rig_http_dial(struct rig *r, struct rig_http *c, struct in_addr to, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = to };
	*c = (struct rig_http) { .r = r, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	assert_true(c->fd >= 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

void
mf_rig_http_say(struct rig_http *c, const char *text)
{
	c->n = 0;
	c->code = 0;
	assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

bool
mf_rig_http_heard(void *ctx)
{
	static const char name[] = "Content-Length: ";
	struct rig_http *c = ctx;
	ssize_t n = recv(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
	if (n > 0)
		c->n += (size_t)n;
	c->in[c->n] = '\0';
	char *end = strstr(c->in, "\r\n\r\n"), *length = strstr(c->in, name);
	if (end == NULL || length == NULL || length > end)
		return n == 0 || (n < 0 && errno != EAGAIN);
	c->code = atoi(c->in + strlen("HTTP/1.1 "));
	c->body = end + 4;
	return strlen(c->body) >= (size_t)atoi(length + sizeof(name) - 1);
}

int
mf_rig_http_hear(struct rig_http *c)
{
	assert_true(mf_frig_until(c->r, mf_rig_http_heard, c));
	return c->code;
}
