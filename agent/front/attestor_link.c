#include "agent/front/attestor_link.h"

#include <stdlib.h>
#include <unistd.h>

#include "os/jlog.h"
#include "os/seqpacket.h"

#define TURN_MESSAGES 64u /* then others of the loop have their turn */

struct mf_attestor_link {
	struct mf_loop *loop;
	const char *build_id;
	const struct mf_attestor_link_ops *ops;
	void *ctx;
	struct mf_seqpacket *sock; /* NULL: no end */
	struct mf_loop_fd *watch;
	struct mf_loop_defer *broken; /* closes after a failed send */
	struct mf_err why;
	enum mf_link_state state;
	uint32_t generation;
	bool crowded;
};

bool
mf_attestor_link_open(const struct mf_attestor_link *k)
{
	return k->sock != NULL && k->state == MF_LINK_OPEN;
}

uint32_t
mf_attestor_link_generation(const struct mf_attestor_link *k)
{
	return k->generation;
}

static void
drop(struct mf_attestor_link *k)
{
	mf_loop_fd_free(MF_TAKE(k->watch));
	mf_seqpacket_free(MF_TAKE(k->sock));
	k->state = MF_LINK_HELLO;
	k->crowded = false;
	k->why = (struct mf_err) { 0 };
}

static void
close_link(struct mf_attestor_link *k, const struct mf_err *why)
{
	bool was_open = mf_attestor_link_open(k);
	mf_jlog_err(MF_LOG_WARN, "attestor.link_lost",
	    "the link to the attestor is over; waiting for a new one", why);
	drop(k);
	if (was_open)
		k->ops->closed(k->ctx, why);
}

static void
on_broken(void *ctx)
{
	struct mf_attestor_link *k = ctx;
	struct mf_err why = k->why;
	if (k->sock != NULL && why.code != MF_OK)
		close_link(k, &why);
}

static void
want_write(struct mf_attestor_link *k)
{
	unsigned interest = MF_LOOP_READ;
	if (mf_seqpacket_wants_write(k->sock))
		interest |= MF_LOOP_WRITE;
	struct mf_err err = { 0 };
	if (mf_loop_fd_set(k->watch, interest, &err) != MF_OK) {
		k->why = err;
		mf_loop_defer_set(k->broken);
	}
}

static enum mf_status
take_hello(struct mf_attestor_link *k, const ProtobufCMessage *msg, struct mf_err *err)
{
	const Mayfly__Roles__V1__AttestorHello *h = (const void *)msg;
	if (strcmp(h->build_id, k->build_id) != 0)
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    "attestor is of build %.64s, this is %s: restart the agent", h->build_id, k->build_id);
	k->state = MF_LINK_OPEN;
	k->ops->opened(k->ctx, h);
	return MF_OK;
}

/* One message. MF_E_AGAIN: none. */
static enum mf_status
take_one(struct mf_attestor_link *k, struct mf_err *err)
{
	struct mf_packet p;
	MF_TRY(mf_seqpacket_recv(k->sock, &p, err));
	const struct mf_role_msg *row = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_TRY(mf_role_decode(
	    &mf_link_agent, MF_LINK_FRONT, k->state, p.type, p.payload, p.fd >= 0, &row, &msg, err));
	if (row->type == MF_MSG_ATTESTOR_HELLO)
		return take_hello(k, msg, err);
	k->ops->message(k->ctx, row->type, msg);
	return MF_OK;
}

static void
on_ready(void *ctx, unsigned ready)
{
	struct mf_attestor_link *k = ctx;
	struct mf_err err = { 0 };
	uint32_t generation = k->generation;
	enum mf_status s = MF_OK;
	if ((ready & MF_LOOP_WRITE) != 0)
		s = mf_seqpacket_flush(k->sock, &err);
	for (unsigned i = 0; s == MF_OK && (ready & MF_LOOP_READ) != 0 && i < TURN_MESSAGES; i++) {
		s = take_one(k, &err);
		if (k->sock == NULL || k->generation != generation)
			return; /* a callback replaced it */
	}
	if (s != MF_OK && s != MF_E_AGAIN) {
		close_link(k, &err);
		return;
	}
	want_write(k);
	if (k->crowded && mf_seqpacket_queued(k->sock) < MF_ATTESTOR_LINK_CROWDED / 2) {
		k->crowded = false;
		if (k->ops->room != NULL)
			k->ops->room(k->ctx);
	}
}

enum mf_status
mf_attestor_link_new(struct mf_loop *l, const char *build_id, const struct mf_attestor_link_ops *ops,
    void *ctx, struct mf_attestor_link **ret_k, struct mf_err *err)
{
	MF_AUTO(mf_attestor_link_free) struct mf_attestor_link *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "attestor link: out of memory");
	k->loop = l;
	k->build_id = build_id;
	k->ops = ops;
	k->ctx = ctx;
	MF_TRY(mf_loop_defer_new(l, on_broken, k, &k->broken, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}

void
mf_attestor_link_free(struct mf_attestor_link *k)
{
	if (k == NULL)
		return;
	drop(k);
	mf_loop_defer_free(k->broken);
	free(k);
}

static enum mf_status
send_any(struct mf_attestor_link *k, uint16_t type, const ProtobufCMessage *msg, int fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	struct mf_err mine = { 0 };
	enum mf_status s = mf_role_encode(&mf_link_agent, MF_LINK_FRONT, type, msg, fd >= 0, &b, err);
	if (s == MF_OK)
		s = mf_seqpacket_queue(k->sock, type, mf_buf_slice(&b), fd, err);
	if (s != MF_OK) {
		if (fd >= 0)
			(void)close(fd);
		return s;
	}
	if (mf_seqpacket_flush(k->sock, &mine) != MF_OK) {
		k->why = mine;
		mf_loop_defer_set(k->broken);
		return MF_OK; /* it was taken; what it meant is void with the link */
	}
	want_write(k);
	return MF_OK;
}

enum mf_status
mf_attestor_link_attach(struct mf_attestor_link *k, int fd, struct mf_err *err)
{
	if (k->sock != NULL) {
		struct mf_err why = { 0 };
		(void)MF_FAIL(&why, MF_E_CLOSED, "replaced by a new end");
		close_link(k, &why);
	}
	enum mf_status s = mf_seqpacket_new(fd, MF_ATTESTOR_LINK_QUEUE, &k->sock, err);
	if (s != MF_OK) {
		(void)close(fd);
		return s;
	}
	k->generation++;
	k->state = MF_LINK_HELLO;
	s = mf_loop_fd_new(k->loop, fd, MF_LOOP_READ, on_ready, k, &k->watch, err);
	if (s == MF_OK) {
		Mayfly__Roles__V1__AgentFrontHello hello = MAYFLY__ROLES__V1__AGENT_FRONT_HELLO__INIT;
		hello.build_id = (char *)(uintptr_t)k->build_id;
		s = send_any(k, MF_MSG_AGENT_FRONT_HELLO, &hello.base, -1, err);
	}
	if (s != MF_OK)
		drop(k);
	return s;
}

enum mf_status
mf_attestor_link_send(
    struct mf_attestor_link *k, uint16_t type, const ProtobufCMessage *msg, int fd, struct mf_err *err)
{
	if (mf_attestor_link_open(k))
		return send_any(k, type, msg, fd, err);
	if (fd >= 0)
		(void)close(fd);
	return MF_FAIL(err, MF_E_UNAVAILABLE, "the agent's attestor is not there; it is being started");
}

bool
mf_attestor_link_crowded(struct mf_attestor_link *k)
{
	if (k->sock != NULL && mf_seqpacket_queued(k->sock) >= MF_ATTESTOR_LINK_CROWDED)
		k->crowded = true;
	return k->crowded;
}
