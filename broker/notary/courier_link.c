#include "broker/notary/courier_link.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "os/jlog.h"
#include "os/seqpacket.h"
#include "rpc/role_links.h"

#include "roles.pb-c.h"

#define QUEUE_MAX (4u * 1024u * 1024u)
#define FETCH_MS 20000u

struct mf_courier_link {
	const char *build_id;
	struct mf_seqpacket *pkt;
	enum mf_link_state state;
	uint64_t unasked;
	void (*fetched)(void *ctx, const Mayfly__Roles__V1__CloudFetchResult *r);
	void *fetched_ctx;
	const struct mf_courier_mints *mints;
	void *mints_ctx;
};

enum mf_status
mf_courier_link_new(const char *build_id, struct mf_courier_link **ret_l, struct mf_err *err)
{
	struct mf_courier_link *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "courier link: out of memory");
	l->build_id = build_id;
	*ret_l = l;
	return MF_OK;
}

static void
disconnect(struct mf_courier_link *l)
{
	bool was_open = mf_courier_link_open(l);
	mf_seqpacket_free(l->pkt);
	l->pkt = NULL;
	l->state = MF_LINK_HELLO;
	if (was_open && l->mints != NULL)
		l->mints->gone(l->mints_ctx);
}

void
mf_courier_link_free(struct mf_courier_link *l)
{
	if (l == NULL)
		return;
	mf_seqpacket_free(l->pkt);
	free(l);
}

enum mf_status
mf_courier_link_connect(struct mf_courier_link *l, int fd, struct mf_err *err)
{
	disconnect(l);
	enum mf_status s = mf_seqpacket_new(fd, QUEUE_MAX, &l->pkt, err);
	if (s != MF_OK)
		(void)close(fd);
	return s;
}

int
mf_courier_link_fd(const struct mf_courier_link *l)
{
	return l->pkt == NULL ? -1 : mf_seqpacket_fd(l->pkt);
}

bool
mf_courier_link_open(const struct mf_courier_link *l)
{
	return l->pkt != NULL && l->state == MF_LINK_OPEN;
}

uint64_t
mf_courier_link_unasked(const struct mf_courier_link *l)
{
	return l->unasked;
}

static bool
take(struct mf_courier_link *l, uint16_t type, const ProtobufCMessage *msg)
{
	const void *m = msg;
	if (type == MF_MSG_COURIER_HELLO) {
		const Mayfly__Roles__V1__CourierHello *h = m;
		if (strcmp(h->build_id, l->build_id) != 0)
			return false;
		l->state = MF_LINK_OPEN;
		if (l->mints != NULL && l->mints->here != NULL)
			l->mints->here(l->mints_ctx);
		return true;
	}
	if (type == MF_MSG_CLOUD_FETCH_RESULT && l->fetched != NULL) {
		l->fetched(l->fetched_ctx, m);
		return true;
	}
	if (type == MF_MSG_MINT_RESULT && l->mints != NULL) {
		l->mints->minted(l->mints_ctx, m);
		return true;
	}
	if (type == MF_MSG_CLOUD_REVOKE_RESULT && l->mints != NULL) {
		l->mints->revoked(l->mints_ctx, m);
		return true;
	}
	if (type == MF_MSG_CLOUD_PROBE_RESULT && l->mints != NULL) {
		l->mints->probed(l->mints_ctx, m);
		return true;
	}
	l->unasked++;
	MF_LOG(MF_LOG_WARN, "courier.unasked", "a result that nobody waits for was dropped",
	    mf_ju("type", type));
	return true;
}

void
mf_courier_link_read(struct mf_courier_link *l)
{
	struct mf_err err = { 0 };
	for (unsigned n = 0; n < 64 && l->pkt != NULL; n++) {
		struct mf_packet p;
		const struct mf_role_msg *row;
		MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
		enum mf_status s = mf_seqpacket_recv(l->pkt, &p, &err);
		if (s == MF_E_AGAIN)
			return;
		if (s == MF_OK)
			s = mf_role_decode(&mf_link_courier, MF_LINK_INNER, (unsigned)l->state, p.type,
			    p.payload, p.fd >= 0, &row, &msg, &err);
		if (s == MF_OK && !take(l, p.type, msg))
			s = MF_FAIL(
			    &err, MF_E_UNSUPPORTED, "the courier is of another build: restart mayfly-broker");
		if (s == MF_OK)
			continue;
		mf_jlog_err(MF_LOG_WARN, "courier.link", "the link to the courier is closed", &err);
		disconnect(l);
	}
}

void
mf_courier_link_on_fetched(struct mf_courier_link *l,
    void (*fetched)(void *ctx, const Mayfly__Roles__V1__CloudFetchResult *r), void *ctx)
{
	l->fetched = fetched;
	l->fetched_ctx = ctx;
}

bool
mf_courier_link_fetch(
    struct mf_courier_link *l, uint64_t fetch_id, const char *issuer, bool loopback, bool once)
{
	Mayfly__Roles__V1__CloudFetchRequest m = MAYFLY__ROLES__V1__CLOUD_FETCH_REQUEST__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	if (!mf_courier_link_open(l))
		return false;
	m.fetch_id = fetch_id;
	m.issuer = (char *)(uintptr_t)issuer; /* packing reads only */
	m.timeout_ms = FETCH_MS;
	m.loopback = loopback;
	m.once = once;
	return mf_role_encode(&mf_link_courier, MF_LINK_INNER, MF_MSG_CLOUD_FETCH_REQUEST, &m.base, false, &b,
		   NULL) == MF_OK &&
	       mf_seqpacket_send(l->pkt, MF_MSG_CLOUD_FETCH_REQUEST, mf_buf_slice(&b), -1, NULL) == MF_OK;
}

void
mf_courier_link_write(struct mf_courier_link *l)
{
	struct mf_err err = { 0 };
	if (l->pkt == NULL || !mf_seqpacket_wants_write(l->pkt) || mf_seqpacket_flush(l->pkt, &err) == MF_OK)
		return;
	mf_jlog_err(MF_LOG_WARN, "courier.link", "the link to the courier is closed", &err);
	disconnect(l);
}

static bool
ask(struct mf_courier_link *l, uint16_t type, const ProtobufCMessage *q)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	if (!mf_courier_link_open(l))
		return false;
	enum mf_status s = mf_role_encode(&mf_link_courier, MF_LINK_INNER, type, q, false, &b, &err);
	if (s == MF_OK)
		s = mf_seqpacket_queue(l->pkt, type, mf_buf_slice(&b), -1, &err);
	if (s != MF_OK)
		mf_jlog_err(MF_LOG_WARN, "courier.link", "a request did not go to the courier", &err);
	return s == MF_OK;
}

bool
mf_courier_link_mint(struct mf_courier_link *l, const Mayfly__Roles__V1__MintRequest *q)
{
	return ask(l, MF_MSG_MINT_REQUEST, &q->base);
}

bool
mf_courier_link_revoke(struct mf_courier_link *l, const Mayfly__Roles__V1__CloudRevokeRequest *q)
{
	return ask(l, MF_MSG_CLOUD_REVOKE_REQUEST, &q->base);
}

bool
mf_courier_link_probe(struct mf_courier_link *l, const Mayfly__Roles__V1__CloudProbeRequest *q)
{
	return ask(l, MF_MSG_CLOUD_PROBE_REQUEST, &q->base);
}

void
mf_courier_link_on_minted(struct mf_courier_link *l, const struct mf_courier_mints *ops, void *ctx)
{
	l->mints = ops;
	l->mints_ctx = ctx;
}

bool
mf_courier_link_wants_write(const struct mf_courier_link *l)
{
	return l->pkt != NULL && mf_seqpacket_wants_write(l->pkt);
}
