#include "agent/front/sock_peer.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

#ifndef INET_DIAG_CGROUP_ID
#define INET_DIAG_CGROUP_ID 21 /* Linux 5.9; the headers of the build may be older */
#endif
#define HEAD sizeof(struct nlmsghdr) /* both are multiples of four */
#define ATTRIBUTE sizeof(struct nlattr)
#define REPLY_MAX 4096u
#define STALE_MAX 16 /* answers of questions that were given up */

static enum mf_status
take_error(struct mf_slice m, struct mf_err *err)
{
	struct nlmsgerr e;
	if (m.n < HEAD + sizeof(e))
		return MF_FAIL(err, MF_E_IO, "sock_diag: a short error");
	memcpy(&e, m.p + HEAD, sizeof(e));
	if (e.error == -ENOENT)
		return MF_FAIL(err, MF_E_NOTFOUND, "sock_diag: no such socket");
	/* The kernel says -1 to -4095; anything else is no number of an error. */
	return MF_FAIL(err, MF_E_UNSUPPORTED, "sock_diag: %s",
	    strerror(e.error < 0 && e.error > -4096 ? -e.error : EIO));
}

static void
take_attributes(struct mf_slice rest, struct mf_sock_peer *p)
{
	struct nlattr a;
	while (rest.n >= sizeof(a)) {
		memcpy(&a, rest.p, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > rest.n)
			return;
		if (a.nla_type == INET_DIAG_CGROUP_ID && a.nla_len == ATTRIBUTE + sizeof(p->cgroup_id))
			memcpy(&p->cgroup_id, rest.p + ATTRIBUTE, sizeof(p->cgroup_id));
		size_t step = ((size_t)a.nla_len + 3u) & ~(size_t)3u;
		if (step >= rest.n)
			return;
		rest = mf_slice(rest.p + step, rest.n - step);
	}
}

enum mf_status
mf_sock_peer_parse(struct mf_slice reply, uint32_t seq, struct mf_sock_peer *ret_p, struct mf_err *err)
{
	struct nlmsghdr h;
	struct inet_diag_msg d;
	if (reply.n < HEAD)
		return MF_FAIL(err, MF_E_IO, "sock_diag: a short answer");
	memcpy(&h, reply.p, sizeof(h));
	if (h.nlmsg_len < HEAD || h.nlmsg_len > reply.n)
		return MF_FAIL(err, MF_E_IO, "sock_diag: an answer of another length");
	if (h.nlmsg_seq != seq)
		return MF_E_AGAIN;
	struct mf_slice m = mf_slice(reply.p, h.nlmsg_len);
	if (h.nlmsg_type == NLMSG_ERROR)
		return take_error(m, err);
	if (h.nlmsg_type != SOCK_DIAG_BY_FAMILY || m.n < HEAD + sizeof(d))
		return MF_FAIL(err, MF_E_IO, "sock_diag: an answer of another kind");
	memcpy(&d, m.p + HEAD, sizeof(d));
	*ret_p = (struct mf_sock_peer) { .uid = d.idiag_uid };
	size_t from = HEAD + sizeof(d);
	take_attributes(mf_slice(m.p + from, m.n - from), ret_p);
	return MF_OK;
}

enum mf_status
mf_sock_peer_look(int diag_fd, const struct sockaddr_in *client, const struct sockaddr_in *server,
    struct mf_sock_peer *ret_p, struct mf_err *err)
{
	static uint32_t last_seq;
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = { .h = { .nlmsg_len = sizeof(q),
		    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		    .nlmsg_flags = NLM_F_REQUEST,
		    .nlmsg_seq = ++last_seq },
		.r = { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u } };
	uint8_t reply[REPLY_MAX];
	q.r.id.idiag_sport = client->sin_port;
	q.r.id.idiag_dport = server->sin_port;
	q.r.id.idiag_src[0] = client->sin_addr.s_addr;
	q.r.id.idiag_dst[0] = server->sin_addr.s_addr;
	q.r.id.idiag_cookie[0] = q.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (send(diag_fd, &q, sizeof(q), 0) != (ssize_t)sizeof(q))
		return MF_FAIL(err, MF_E_IO, "sock_diag: %s", strerror(errno));
	/* The kernel answers before send returns. */
	for (int i = 0; i < STALE_MAX; i++) {
		ssize_t n = recv(diag_fd, reply, sizeof(reply), MSG_DONTWAIT);
		if (n < 0)
			return MF_FAIL(err, MF_E_IO, "sock_diag: no answer: %s", strerror(errno));
		enum mf_status s = mf_sock_peer_parse(mf_slice(reply, (size_t)n), q.h.nlmsg_seq, ret_p, err);
		if (s != MF_E_AGAIN)
			return s;
	}
	return MF_FAIL(err, MF_E_IO, "sock_diag: answers of others only");
}
