/* The socket of a connection: bytes in with their sender, bytes out. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/conn_internal.h"

#define READ_SIZE 8192u
#define READS_PER_TURN 8

/* linux/socket.h; absent from older libcs, present in the kernels that set it. */
#define SCM_PIDFD_NUMBER 0x04

/* The descriptors that a message may bring: ours to close, whatever comes. */
struct brought {
	struct mf_net_sender sender;
	bool has_sender, has_rights;
};

static void
take_control(struct msghdr *mh, struct brought *b)
{
	*b = (struct brought) { .sender.pidfd = -1 };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_len < CMSG_LEN(0))
			continue;
		size_t n = c->cmsg_len - CMSG_LEN(0);
		const unsigned char *data = CMSG_DATA(c);
		struct ucred cred;
		int fd;
		switch (c->cmsg_type) {
		case SCM_CREDENTIALS:
			if (n < sizeof(cred))
				break;
			memcpy(&cred, data, sizeof(cred));
			b->sender.pid = cred.pid;
			b->sender.uid = cred.uid;
			b->sender.gid = cred.gid;
			b->has_sender = true;
			break;
		case SCM_PIDFD_NUMBER:
			if (n < sizeof(fd))
				break;
			memcpy(&fd, data, sizeof(fd));
			if (b->sender.pidfd >= 0)
				(void)close(b->sender.pidfd);
			b->sender.pidfd = fd;
			break;
		case SCM_RIGHTS:
			b->has_rights = true;
			for (size_t i = 0; i + sizeof(fd) <= n; i += sizeof(fd)) {
				memcpy(&fd, data + i, sizeof(fd));
				(void)close(fd);
			}
			break;
		default:
			break;
		}
	}
}

/*
 * One recvmsg on a Unix socket. The kernel never joins bytes of two senders in one of them, so the
 * control message is about all of what was read.
 */
static ssize_t
read_unix(struct mf_net_conn *c, uint8_t *to, size_t room)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) +
			   CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { to, room };
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct brought b;
	struct mf_err err = { 0 };
	ssize_t n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n;
	take_control(&mh, &b);
	bool good = b.has_sender && !b.has_rights && (mh.msg_flags & MSG_CTRUNC) == 0;
	if (!good)
		(void)MF_FAIL(&err, MF_E_DENIED, "a message with descriptors in it, or without its sender");
	else if (c->ops->on_sender != NULL && !c->ops->on_sender(c->ctx, c, &b.sender))
		good = !MF_FAIL(&err, MF_E_DENIED, "the sender was refused");
	if (b.sender.pidfd >= 0)
		(void)close(b.sender.pidfd);
	if (good)
		return n;
	mf_net_conn_end(c, MF_NET_REFUSED, &err);
	errno = EAGAIN;
	return -1;
}

static void
feed_grpc(struct mf_net_conn *c, struct mf_slice in)
{
	struct mf_err err = { 0 };
	if (in.n == 0 || c->grpc == NULL || c->closing || c->state != MF_NET_OPEN)
		return;
	enum mf_status s = mf_grpc_recv(c->grpc, in, mf_net_now(), &err);
	if (s != MF_OK)
		mf_net_conn_end(c, s == MF_E_EXHAUSTED ? MF_NET_CALM : MF_NET_PROTOCOL, &err);
}

static void
feed_tls(struct mf_net_conn *c, struct mf_slice in)
{
	struct mf_err err = { 0 };
	if (mf_tls_feed(c->tls, in, &err) != MF_OK) {
		mf_net_conn_end(c, MF_NET_PROTOCOL, &err);
		return;
	}
	if (!mf_tls_open(c->tls))
		return;
	if (c->state == MF_NET_HANDSHAKE)
		mf_net_conn_start(c);
	mf_buf_reset(&c->plain);
	enum mf_status s = mf_tls_read(c->tls, &c->plain, &err);
	feed_grpc(c, mf_buf_slice(&c->plain));
	mf_buf_fini(&c->plain); /* wiped */
	if (s != MF_OK)
		mf_net_conn_end(c,
		    s == MF_E_CLOSED	  ? MF_NET_PEER_CLOSED
		    : s == MF_E_EXHAUSTED ? MF_NET_CALM
					  : MF_NET_PROTOCOL,
		    &err);
}

void
mf_net_read(struct mf_net_conn *c)
{
	uint8_t in[READ_SIZE];
	for (int i = 0; i < READS_PER_TURN; i++) {
		if (c->closing || c->hold || c->state == MF_NET_FLUSHING)
			return;
		ssize_t n = c->is_unix ? read_unix(c, in, sizeof(in)) : recv(c->fd, in, sizeof(in), 0);
		if (n > 0) {
			struct mf_slice got = mf_slice(in, (size_t)n);
			if (c->tls != NULL)
				feed_tls(c, got);
			else
				feed_grpc(c, got);
			/* Answers go out between reads, or a flood would pile them up. */
			if (!c->closing && !mf_net_flush(c))
				mf_net_conn_end(c, MF_NET_PEER_CLOSED, NULL);
			/* That was all: whatever comes now is told by the loop. Unix sockets part at each sender. */
			if (!c->is_unix && (size_t)n < sizeof(in))
				return;
		} else if (n == 0) {
			mf_net_conn_end(c, MF_NET_PEER_CLOSED, NULL);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			mf_net_conn_end(c, errno == ECONNRESET ? MF_NET_PEER_CLOSED : MF_NET_IO, NULL);
		}
	}
}

/* What gRPC has to say, through TLS if there is one, into c->out. */
static enum mf_status
collect(struct mf_net_conn *c, struct mf_err *err)
{
	if (c->grpc != NULL && mf_grpc_wants_write(c->grpc) && (c->tls == NULL || mf_tls_open(c->tls))) {
		if (c->tls == NULL)
			return mf_grpc_pull(c->grpc, &c->out, c->limits.write_queue, err);
		mf_buf_reset(&c->plain);
		enum mf_status s = mf_grpc_pull(c->grpc, &c->plain, c->limits.write_queue, err);
		if (s == MF_OK)
			s = mf_tls_write(c->tls, mf_buf_slice(&c->plain), err);
		mf_buf_fini(&c->plain);
		MF_TRY(s);
	}
	return c->tls == NULL ? MF_OK : mf_tls_pull(c->tls, &c->out, err);
}

bool
mf_net_flush(struct mf_net_conn *c)
{
	struct mf_err err = { 0 };
	if (c->state == MF_NET_CONNECTING)
		return true;
	for (;;) {
		if (c->out.n == 0 && collect(c, &err) != MF_OK && c->out.n == 0) {
			if (c->state != MF_NET_FLUSHING)
				mf_net_conn_end(c, MF_NET_PROTOCOL, &err);
			return false;
		}
		if (c->out.n == 0) {
			c->progress_ms = mf_net_now();
			return true;
		}
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
		if (n > 0) {
			if ((size_t)n == c->out.n)
				mf_buf_fini(&c->out); /* an idle connection holds no buffer */
			else
				mf_buf_consume(&c->out, (size_t)n);
			c->progress_ms = mf_net_now();
		} else if (n < 0 && errno == EAGAIN) {
			return true;
		} else if (n == 0 || errno != EINTR) {
			return false;
		}
	}
}

bool
mf_net_wants_write(const struct mf_net_conn *c)
{
	return c->out.n > 0;
}
