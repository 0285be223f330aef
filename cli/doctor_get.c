/* doctor_get: one HTTP request, as an SDK would make it; the user verbs load no HTTP library. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/doctor.h"

#define HEAD_MAX 4096u

/* "http://127.1.2.3:8465/v1/aws/data". */
static enum mf_status
parse(const char *url, struct sockaddr_in *ret_to, const char **ret_path, struct mf_err *err)
{
	char host[INET_ADDRSTRLEN];
	uint64_t port;
	const char *at = strncmp(url, "http://", 7) == 0 ? url + 7 : "";
	size_t n = strcspn(at, ":"), digits = at[n] == ':' ? strspn(at + n + 1, "0123456789") : 0;
	*ret_to = (struct sockaddr_in) { .sin_family = AF_INET };
	if (n > 0 && n < sizeof(host))
		(void)snprintf(host, sizeof(host), "%.*s", (int)n, at);
	if (n == 0 || n >= sizeof(host) || digits == 0 || at[n + 1 + digits] != '/' ||
	    !mf_parse_u64(mf_slice(at + n + 1, digits), &port) || port == 0 || port > UINT16_MAX ||
	    inet_pton(AF_INET, host, &ret_to->sin_addr) != 1)
		return MF_FAIL(err, MF_E_INVALID, "it is at no address of this machine");
	ret_to->sin_port = htons((uint16_t)port);
	*ret_path = at + n + 1 + digits;
	return MF_OK;
}

static bool
wait_for(int fd, short what, uint64_t until_ms)
{
	uint64_t now = mf_now().mono_ms;
	struct pollfd p = { .fd = fd, .events = what };
	return now < until_ms && poll(&p, 1, (int)(until_ms - now)) == 1;
}

static bool
send_all(int fd, struct mf_slice s, uint64_t until_ms)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno != EAGAIN || !wait_for(fd, POLLOUT, until_ms)))
			return false;
		if (n > 0)
			s = mf_slice_sub(s, (size_t)n, s.n);
	}
	return true;
}

/* "HTTP/1.1 200 ...": the number; 0: that is none. The rest is not read. */
static unsigned
read_status(int fd, uint64_t until_ms)
{
	char head[HEAD_MAX];
	size_t have = 0;
	uint64_t code;
	while (have < 13) {
		ssize_t n =
		    wait_for(fd, POLLIN, until_ms) ? recv(fd, head + have, sizeof(head) - have, 0) : 0;
		if (n <= 0)
			return 0;
		have += (size_t)n;
	}
	if (memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ' || !mf_parse_u64(mf_slice(head + 9, 3), &code))
		return 0;
	return (unsigned)code;
}

enum mf_status
mf_doctor_get(
    const char *url, struct mf_slice secret, unsigned timeout_ms, unsigned *ret_status, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b; /* wiped */
	struct sockaddr_in to;
	const char *path;
	char text[128];
	uint64_t until = mf_now().mono_ms + timeout_ms;
	mf_buf_init(&b, HEAD_MAX);
	MF_TRY(parse(url, &to, &path, err));
	mf_buf_putf(&b, "GET %s HTTP/1.1\r\nHost: %.*s\r\nAuthorization: ", path, (int)strcspn(url + 7, "/"),
	    url + 7);
	mf_buf_put_slice(&b, secret);
	mf_buf_put_str(&b, "\r\nConnection: close\r\n\r\n");
	MF_TRY(mf_buf_check(&b, err));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
		(void)MF_FAIL(err, MF_E_UNAVAILABLE, "%s", strerror_r(errno, text, sizeof(text)));
		if (fd >= 0)
			(void)close(fd);
		return err->code;
	}
	unsigned status = send_all(fd, mf_buf_slice(&b), until) ? read_status(fd, until) : 0;
	(void)close(fd);
	if (status == 0)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "no answer, or none of HTTP");
	*ret_status = status;
	return MF_OK;
}
