#include "agent/resolver/answer.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "roles.pb-c.h"

struct found {
	char text[MF_RESOLVER_ADDRESSES][NI_MAXHOST];
	char *list[MF_RESOLVER_ADDRESSES];
	size_t n;
};

/* libc has sorted them already (RFC 6724): the first one is to be tried first. */
static void
keep(struct found *f, const struct addrinfo *a)
{
	char *to = f->text[f->n];
	if (f->n == MF_RESOLVER_ADDRESSES ||
	    getnameinfo(a->ai_addr, a->ai_addrlen, to, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) != 0)
		return;
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->list[i], to) == 0)
			return;
	if (strchr(to, '%') == NULL) /* link-local, by an interface: nothing that a broker has */
		f->list[f->n++] = to;
}

static const char *
look_up(const char *host, struct found *f)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM }, *all = NULL;
	int rc = getaddrinfo(host, NULL, &want, &all);
	if (rc != 0)
		return gai_strerror(rc);
	for (const struct addrinfo *a = all; a != NULL; a = a->ai_next)
		keep(f, a);
	freeaddrinfo(all);
	return f->n > 0 ? "" : "it has no address";
}

enum mf_status
mf_resolver_answer(
    uint16_t type, struct mf_slice payload, bool has_fd, struct mf_buf *answer, struct mf_err *err)
{
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	Mayfly__Roles__V1__Resolved m = MAYFLY__ROLES__V1__RESOLVED__INIT;
	struct found f = { .n = 0 };
	char reason[128];
	MF_TRY(mf_role_decode(
	    &mf_link_resolver, MF_LINK_FRONT, MF_LINK_HELLO, type, payload, has_fd, &row, &msg, err));
	(void)snprintf(reason, sizeof(reason), "%s",
	    look_up(((const Mayfly__Roles__V1__Resolve *)(const void *)msg)->host, &f));
	m.addresses = f.list;
	m.n_addresses = f.n;
	m.reason = reason;
	mf_buf_reset(answer);
	return mf_role_encode(&mf_link_resolver, MF_LINK_FRONT, MF_MSG_RESOLVED, &m.base, false, answer, err);
}
