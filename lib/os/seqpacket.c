#include "os/seqpacket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/secret.h"

#define SEND_BATCH 16u
/* Room for more descriptors than may come, so that a wrong peer's extra ones are seen and closed here. */
#define FDS_SEEN 16u

struct out {
	struct mf_list link;
	size_t n;      /* bytes in data */
	int fd;	       /* owned, or -1 */
	uint8_t *data; /* in the same allocation */
};

struct mf_seqpacket {
	int fd;
	int in_fd;   /* of the last message, or -1 */
	size_t in_n; /* its bytes in ${in}: wiped by the next recv, since they may be a token */
	size_t queued, queue_max;
	enum mf_status ended; /* MF_OK while the link lives */
	struct mf_list out;
	uint8_t in[MF_LIM_IPC_MESSAGE];
};

static void
close_quietly(int fd)
{
	int saved = errno;
	if (fd >= 0)
		(void)close(fd);
	errno = saved;
}

static void
out_free(struct out *o)
{
	close_quietly(o->fd);
	mf_wipe(o->data, o->n);
	free(o);
}

/* The link is over: what waits will never leave, and its descriptors must not be held. */
static enum mf_status
end(struct mf_seqpacket *s, enum mf_status why)
{
	s->ended = why;
	MF_LIST_EACH(pos, &s->out)
	{
		mf_list_del(pos);
		out_free(MF_LIST_ITEM(pos, struct out, link));
	}
	s->queued = 0;
	return why;
}

static enum mf_status
ended(const struct mf_seqpacket *s, struct mf_err *err)
{
	if (s->ended == MF_OK)
		return MF_OK;
	return MF_FAIL(err, s->ended, "the role link has ended (%s); its supervisor makes a new one",
	    mf_status_name(s->ended));
}

enum mf_status
mf_seqpacket_pair(int ret_fds[2], struct mf_err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds) != 0)
		return MF_FAIL(err, MF_E_IO, "socketpair for a role link: %s", strerror(errno));
	return MF_OK;
}

enum mf_status
mf_seqpacket_new(int fd, size_t queue_max, struct mf_seqpacket **ret_s, struct mf_err *err)
{
	int domain = 0, type = 0;
	socklen_t n = sizeof(domain);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) != 0)
		return MF_FAIL(err, MF_E_INVALID, "descriptor %d is no role link: %s", fd, strerror(errno));
	n = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0 || domain != AF_UNIX ||
	    type != SOCK_SEQPACKET)
		return MF_FAIL(
		    err, MF_E_INVALID, "descriptor %d is a socket, but not AF_UNIX SOCK_SEQPACKET", fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return MF_FAIL(err, MF_E_IO, "descriptor flags of a role link: %s", strerror(errno));
	struct mf_seqpacket *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory for a role link");
	s->fd = fd;
	s->in_fd = -1;
	s->queue_max = queue_max;
	mf_list_init(&s->out);
	*ret_s = s;
	return MF_OK;
}

void
mf_seqpacket_free(struct mf_seqpacket *s)
{
	if (s == NULL)
		return;
	(void)end(s, MF_E_CLOSED);
	close_quietly(s->in_fd);
	close_quietly(s->fd);
	mf_wipe(s->in, sizeof(s->in));
	free(s);
}

int
mf_seqpacket_fd(const struct mf_seqpacket *s)
{
	return s->fd;
}

bool
mf_seqpacket_wants_write(const struct mf_seqpacket *s)
{
	return !mf_list_empty(&s->out);
}

size_t
mf_seqpacket_queued(const struct mf_seqpacket *s)
{
	return s->queued;
}

enum mf_status
mf_seqpacket_queue(struct mf_seqpacket *s, uint16_t type, struct mf_slice payload, int fd, struct mf_err *err)
{
	MF_TRY(ended(s, err));
	if (payload.n > MF_PACKET_PAYLOAD_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "role message %u has %zu bytes, the most is %u", type,
		    payload.n, MF_PACKET_PAYLOAD_MAX);
	size_t n = MF_PACKET_HEADER + payload.n;
	if (n > s->queue_max || s->queued > s->queue_max - n)
		return MF_FAIL(err, MF_E_EXHAUSTED,
		    "the peer role does not read: %zu bytes wait, the most is %zu", s->queued, s->queue_max);
	struct out *o = malloc(sizeof(*o) + n);
	if (o == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory for a role message");
	o->n = n;
	o->fd = fd;
	o->data = (uint8_t *)(o + 1);
	o->data[0] = (uint8_t)(type >> 8);
	o->data[1] = (uint8_t)type;
	o->data[2] = o->data[3] = 0;
	if (payload.n > 0)
		memcpy(o->data + MF_PACKET_HEADER, payload.p, payload.n);
	mf_list_add_tail(&s->out, &o->link);
	s->queued += n;
	return MF_OK;
}

struct fd_control {
	_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];
};

static void
fill(struct msghdr *h, struct iovec *iov, struct fd_control *ctl, struct out *o)
{
	*iov = (struct iovec) { .iov_base = o->data, .iov_len = o->n };
	*h = (struct msghdr) { .msg_iov = iov, .msg_iovlen = 1 };
	if (o->fd < 0)
		return;
	memset(ctl, 0, sizeof(*ctl));
	h->msg_control = ctl->bytes;
	h->msg_controllen = sizeof(ctl->bytes);
	struct cmsghdr *c = CMSG_FIRSTHDR(h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &o->fd, sizeof(int));
}

/* Hand one batch to the kernel: how many it took, or -1 with errno. */
static int
send_batch(struct mf_seqpacket *s)
{
	struct mmsghdr m[SEND_BATCH];
	struct iovec iov[SEND_BATCH];
	struct fd_control ctl[SEND_BATCH];
	unsigned n = 0;
	MF_LIST_EACH(pos, &s->out)
	{
		if (n == SEND_BATCH)
			break;
		m[n].msg_len = 0;
		fill(&m[n].msg_hdr, &iov[n], &ctl[n], MF_LIST_ITEM(pos, struct out, link));
		n++;
	}
	int sent;
	do
		sent = sendmmsg(s->fd, m, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent;
}

enum mf_status
mf_seqpacket_flush(struct mf_seqpacket *s, struct mf_err *err)
{
	MF_TRY(ended(s, err));
	while (!mf_list_empty(&s->out)) {
		int sent = send_batch(s);
		if (sent < 0 && errno == EAGAIN)
			return MF_OK;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)) {
			(void)end(s, MF_E_CLOSED);
			return MF_FAIL(err, MF_E_CLOSED, "the peer role is gone");
		}
		if (sent < 0) {
			(void)end(s, MF_E_IO);
			return MF_FAIL(err, MF_E_IO, "send on a role link: %s", strerror(errno));
		}
		for (; sent > 0 && !mf_list_empty(&s->out); sent--) {
			struct out *o = MF_LIST_ITEM(s->out.next, struct out, link);
			mf_list_del(&o->link);
			s->queued -= o->n;
			out_free(o);
		}
	}
	return MF_OK;
}

enum mf_status
mf_seqpacket_send(struct mf_seqpacket *s, uint16_t type, struct mf_slice payload, int fd, struct mf_err *err)
{
	MF_TRY(mf_seqpacket_queue(s, type, payload, fd, err));
	return mf_seqpacket_flush(s, err);
}

enum mf_status
mf_packet_parse(struct mf_slice datagram, struct mf_packet *ret_p, struct mf_err *err)
{
	struct mf_reader r = mf_reader(datagram);
	uint16_t type = 0, flags = 0;
	if (!mf_read_u16be(&r, &type) || !mf_read_u16be(&r, &flags))
		return MF_FAIL(
		    err, MF_E_INVALID, "role message of %zu bytes: shorter than its header", datagram.n);
	if (flags != 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "role message %u: flags 0x%04x, none are defined", type, flags);
	*ret_p = (struct mf_packet) { .type = type, .payload = mf_slice(r.p, r.n), .fd = -1 };
	return MF_OK;
}

/* Keep the one descriptor a message may carry; close all when there is anything else. False then. */
static bool
collect_fds(struct msghdr *h, int *ret_fd)
{
	bool good = (h->msg_flags & MSG_CTRUNC) == 0;
	*ret_fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			good = false;
			continue;
		}
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd = -1;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*ret_fd < 0 && good) {
				*ret_fd = fd;
			} else {
				close_quietly(fd);
				good = false;
			}
		}
	}
	if (!good) {
		close_quietly(*ret_fd);
		*ret_fd = -1;
	}
	return good;
}

static enum mf_status
recv_failed(struct mf_seqpacket *s, struct mf_err *err)
{
	if (errno == EAGAIN)
		return MF_FAIL(err, MF_E_AGAIN, "no role message waits");
	if (errno == ECONNRESET || errno == EPIPE || errno == ENOTCONN) {
		(void)end(s, MF_E_CLOSED);
		return MF_FAIL(err, MF_E_CLOSED, "the peer role is gone");
	}
	(void)end(s, MF_E_IO);
	return MF_FAIL(err, MF_E_IO, "receive on a role link: %s", strerror(errno));
}

enum mf_status
mf_seqpacket_recv(struct mf_seqpacket *s, struct mf_packet *ret_p, struct mf_err *err)
{
	MF_TRY(ended(s, err));
	close_quietly(mf_seqpacket_take_fd(s));
	mf_wipe(s->in, s->in_n);
	s->in_n = 0;
	struct {
		_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int) * FDS_SEEN)];
	} ctl;
	struct iovec iov = { .iov_base = s->in, .iov_len = sizeof(s->in) };
	struct msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.bytes,
		.msg_controllen = sizeof(ctl.bytes) };
	ssize_t n;
	do
		n = recvmsg(s->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return recv_failed(s, err);
	s->in_n = (size_t)n;
	int fd = -1;
	if (!collect_fds(&h, &fd)) {
		(void)end(s, MF_E_INVALID);
		return MF_FAIL(err, MF_E_INVALID,
		    "role message with more than one descriptor, or this role may hold no more "
		    "(RLIMIT_NOFILE)");
	}
	/* Our messages have a header: nothing at all is the end of the stream. */
	if (n == 0 && fd < 0) {
		(void)end(s, MF_E_CLOSED);
		return MF_FAIL(err, MF_E_CLOSED, "the peer role is gone");
	}
	enum mf_status bad = MF_OK;
	struct mf_packet p = { 0 };
	if ((h.msg_flags & MSG_TRUNC) != 0)
		bad = MF_FAIL(err, MF_E_TOOBIG, "role message longer than %u bytes", MF_LIM_IPC_MESSAGE);
	else
		bad = mf_packet_parse(mf_slice(s->in, (size_t)n), &p, err);
	if (bad != MF_OK) {
		close_quietly(fd);
		return end(s, bad);
	}
	s->in_fd = p.fd = fd;
	*ret_p = p;
	return MF_OK;
}

int
mf_seqpacket_take_fd(struct mf_seqpacket *s)
{
	int fd = s->in_fd;
	s->in_fd = -1;
	return fd;
}
