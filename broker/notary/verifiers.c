#include "broker/notary/verifiers.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/list.h"
#include "os/seqpacket.h"

#define QUEUE_MAX (4u * MF_LIM_IPC_MESSAGE)
#define DIED "the process that looks at evidence ended before it was done: try again"
#define LATE "looking at the evidence took too long: try again later"
#define RUBBISH "the process that looks at evidence broke its protocol: this evidence is not taken"

struct work {
	struct mf_list at;
	uint64_t ticket;
	uint64_t due_ms;	  /* 0: waits for a process to be asked for */
	struct mf_buf evidence;	  /* packed VerifyEvidence */
	struct mf_seqpacket *pkt; /* NULL: no process yet */
	enum mf_link_state state;
};

struct mf_verifiers {
	struct mf_verifiers_conf conf;
	struct mf_buf anchors; /* packed VerifyAnchors */
	struct mf_list works;  /* oldest first; those that run before those that wait */
	size_t n;
};

static void
work_free(struct mf_verifiers *v, struct work *w)
{
	mf_list_del(&w->at);
	v->n--;
	mf_seqpacket_free(w->pkt);
	mf_buf_fini(&w->evidence);
	free(w);
}

enum mf_status
mf_verifiers_anchors(struct mf_verifiers *v, struct mf_slice anchors, struct mf_err *err)
{
	Mayfly__Roles__V1__VerifyAnchors m = MAYFLY__ROLES__V1__VERIFY_ANCHORS__INIT;
	char **rules = calloc(v->conf.rules_n + 1, sizeof(*rules));
	enum mf_status s = rules == NULL ? MF_FAIL(err, MF_E_NOMEM, "verifiers: out of memory") : MF_OK;
	struct mf_buf packed;
	mf_buf_init(&packed, MF_LIM_IPC_MESSAGE);
	for (size_t i = 0; s == MF_OK && i < v->conf.rules_n; i++)
		if ((rules[i] = mf_slice_dup_str(v->conf.rules[i])) == NULL)
			s = MF_FAIL(err, MF_E_NOMEM, "verifiers: out of memory");
	memcpy(&m.pem.data, &anchors.p, sizeof(m.pem.data)); /* protobuf-c has no const; it is only read */
	m.pem.len = anchors.n;
	m.rules = rules;
	m.n_rules = v->conf.rules_n;
	if (s == MF_OK)
		s = mf_role_encode(
		    &mf_link_verifier, MF_LINK_INNER, MF_MSG_VERIFY_ANCHORS, &m.base, false, &packed, err);
	for (size_t i = 0; rules != NULL && i < v->conf.rules_n; i++)
		free(rules[i]);
	free(rules);
	if (s == MF_OK) {
		struct mf_buf old = v->anchors;
		v->anchors = packed;
		packed = old;
	}
	mf_buf_fini(&packed);
	return s;
}

enum mf_status
mf_verifiers_new(const struct mf_verifiers_conf *conf, struct mf_verifiers **ret_v, struct mf_err *err)
{
	MF_AUTO(mf_verifiers_free) struct mf_verifiers *v = calloc(1, sizeof(*v));
	if (v == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "verifiers: out of memory");
	v->conf = *conf;
	mf_list_init(&v->works);
	mf_buf_init(&v->anchors, MF_LIM_IPC_MESSAGE);
	MF_TRY(mf_verifiers_anchors(v, conf->anchors, err));
	*ret_v = MF_TAKE(v);
	return MF_OK;
}

void
mf_verifiers_free(struct mf_verifiers *v)
{
	if (v == NULL)
		return;
	while (v->works.next != NULL && !mf_list_empty(&v->works))
		work_free(v, MF_LIST_ITEM(v->works.next, struct work, at));
	mf_buf_fini(&v->anchors);
	free(v);
}

/* Ask for processes, as many as may run. */
static void
begin(struct mf_verifiers *v, struct mf_now now)
{
	size_t run = 0;
	MF_LIST_EACH(at, &v->works)
	{
		struct work *w = MF_LIST_ITEM(at, struct work, at);
		if (w->due_ms == 0 && (run >= MF_VERIFIERS_RUN || !v->conf.start(v->conf.start_ctx)))
			return;
		if (w->due_ms == 0)
			w->due_ms = now.mono_ms + MF_VERIFIERS_MS;
		run++;
	}
}

bool
mf_verifiers_submit(
    struct mf_verifiers *v, uint64_t ticket, const Mayfly__Roles__V1__VerifyEvidence *e, struct mf_now now)
{
	struct work *w = v->n >= MF_VERIFIERS_RUN + MF_VERIFIERS_WAIT ? NULL : calloc(1, sizeof(*w));
	if (w == NULL)
		return false;
	w->ticket = ticket;
	mf_list_init(&w->at);
	mf_buf_init(&w->evidence, MF_LIM_IPC_MESSAGE);
	mf_list_add_tail(&v->works, &w->at);
	v->n++;
	if (mf_role_encode(&mf_link_verifier, MF_LINK_INNER, MF_MSG_VERIFY_EVIDENCE, &e->base, false,
		&w->evidence, NULL) != MF_OK) {
		work_free(v, w);
		return false;
	}
	begin(v, now);
	return true;
}

static void
finish(struct mf_verifiers *v, struct work *w, const Mayfly__Roles__V1__Verified *said, const char *why)
{
	uint64_t ticket = w->ticket;
	work_free(v, w);
	v->conf.done(v->conf.ctx, ticket, said, why);
}

void
mf_verifiers_link(struct mf_verifiers *v, int fd, struct mf_now now)
{
	struct mf_seqpacket *pkt = NULL;
	MF_UNUSED(now);
	if (mf_seqpacket_new(fd, QUEUE_MAX, &pkt, NULL) != MF_OK) {
		(void)close(fd);
		return;
	}
	MF_LIST_EACH(at, &v->works)
	{
		struct work *w = MF_LIST_ITEM(at, struct work, at);
		if (w->due_ms == 0 || w->pkt != NULL)
			continue;
		w->pkt = pkt;
		/* What does not go out shows as its silence. */
		if (mf_seqpacket_queue(pkt, MF_MSG_VERIFY_ANCHORS, mf_buf_slice(&v->anchors), -1, NULL) ==
		    MF_OK)
			(void)(mf_seqpacket_queue(pkt, MF_MSG_VERIFY_EVIDENCE, mf_buf_slice(&w->evidence), -1,
				   NULL) == MF_OK);
		(void)(mf_seqpacket_flush(pkt, NULL) == MF_OK);
		return;
	}
	mf_seqpacket_free(pkt); /* nobody waits for it any more: its end is its end */
}

size_t
mf_verifiers_fds(const struct mf_verifiers *v, int ret_fds[MF_VERIFIERS_RUN])
{
	size_t n = 0;
	MF_LIST_EACH(at, &v->works)
	{
		const struct work *w = MF_LIST_ITEM(at, struct work, at);
		if (w->pkt != NULL && n < MF_VERIFIERS_RUN)
			ret_fds[n++] = mf_seqpacket_fd(w->pkt);
	}
	return n;
}

static bool
same_build(const struct mf_verifiers *v, const Mayfly__Roles__V1__VerifierHello *h)
{
	return strcmp(h->build_id, v->conf.build_id) == 0;
}

/* True when it is over. */
static bool
hear(struct mf_verifiers *v, struct work *w)
{
	struct mf_packet p;
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	enum mf_status s = mf_seqpacket_flush(w->pkt, NULL);
	if (s == MF_OK || s == MF_E_CLOSED)
		s = mf_seqpacket_recv(w->pkt, &p, NULL);
	if (s == MF_E_AGAIN)
		return false;
	if (s == MF_OK)
		s = mf_role_decode(&mf_link_verifier, MF_LINK_INNER, (unsigned)w->state, p.type, p.payload,
		    p.fd >= 0, &row, &msg, NULL);
	else
		s = s == MF_E_CLOSED ? MF_E_CLOSED : MF_E_INVALID;
	if (s == MF_OK && p.type == MF_MSG_VERIFIER_HELLO && same_build(v, (const void *)msg)) {
		w->state = MF_LINK_OPEN;
		return hear(v, w);
	}
	if (s == MF_OK && p.type == MF_MSG_VERIFIED)
		finish(v, w, (const void *)msg, NULL);
	else
		finish(v, w, NULL, s == MF_E_CLOSED ? DIED : RUBBISH);
	return true;
}

void
mf_verifiers_turn(struct mf_verifiers *v, struct mf_now now)
{
	MF_LIST_EACH(at, &v->works)
	{
		struct work *w = MF_LIST_ITEM(at, struct work, at);
		if (w->pkt != NULL && hear(v, w))
			continue;
		if (w->due_ms != 0 && now.mono_ms >= w->due_ms)
			finish(v, w, NULL, LATE);
	}
	begin(v, now);
}
