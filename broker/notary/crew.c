#include "broker/notary/crew.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "broker/notary/jwt_signer.h"
#include "codec/bundle.h"
#include "crypto/hash.h"
#include "crypto/inner.h"
#include "rpc/pb_check.h"

/* Until the initiator has shown who it is: a chain of four certificates and a signature fit. */
#define FIRST_MESSAGE_MAX 40960u
#define PATIENCE_MS 30000u

enum task_kind {
	TASK_HANDSHAKE,
	TASK_SEALED,
	TASK_SEND,
	TASK_CREDIT,
	TASK_CLOSE,
	TASK_CLOSE_ALL,
	TASK_SIGN,
	TASK_JWT,
	TASK_CHECK,
	TASK_ADD_KEY,
	TASK_DROP_KEY,
	TASK_ERRAND
};

/* What one worker signs with: its own, so that no two threads share a libcrypto key. */
struct signing_key {
	struct mf_list at;
	char id[MF_CA_KEY_ID + 1];
	struct mf_p256_signer *signer;
	struct mf_ca *ca;
	struct mf_buf
	    rest; /* what follows the leaf in its chain: the intermediates; empty under an own root */
};

struct task {
	struct mf_list at;
	enum task_kind kind;
	uint64_t sid;
	struct mf_buf bytes;
	enum mf_engine_lane lane;
	uint64_t coalesce;
	uint32_t credit;
	bool flush;
	struct mf_sign_request *sign;
	struct mf_jwt_request *jwt;
	struct mf_approval_job *job;
	struct signing_key *key; /* TASK_ADD_KEY */
	char key_id[MF_CA_KEY_ID + 1];
	void (*errand)(void *arg);
	void *arg;
};

struct inner_session {
	uint64_t sid;
	struct mf_noise *noise; /* until the handshake is done */
	struct mf_inner *inner;
	uint8_t remote[32], hash[MF_NOISE_HASH];
	uint32_t credit;
	bool closing, seen;
	uint64_t since_ms; /* when it began, or began to close */
	bool map_oom;
	UT_hash_handle hh;
};

struct worker {
	pthread_t thread;
	bool running;
	struct mf_crew *crew;
	struct mf_mailbox *box;
	struct mf_jwt_signer *jwt;
	struct mf_list keys; /* struct signing_key.at */
	struct inner_session *sessions;
	uint64_t swept_ms;
};

struct mf_crew {
	struct mf_crew_conf conf;
	struct mf_buf prologue;
	struct worker *workers;
	size_t n, next;
};

/* ---- events and tasks ---- */

void
mf_crew_event_free(struct mf_crew_event *ev)
{
	if (ev == NULL)
		return;
	if (ev->up != NULL)
		mf_pb_free(&ev->up->base);
	mf_buf_fini(&ev->bytes);
	mf_approval_job_free(ev->job);
	free(ev);
}

static struct mf_crew_event *
new_event(enum mf_crew_event_kind kind, uint64_t sid)
{
	struct mf_crew_event *ev = calloc(1, sizeof(*ev));
	if (ev == NULL)
		abort(); /* a lost event would leave a request without answer for ever: start over instead */
	ev->kind = kind;
	ev->sid = sid;
	mf_list_init(&ev->at);
	mf_buf_init(&ev->bytes, MF_LIM_INNER_MESSAGE);
	return ev;
}

static void
post(struct worker *w, struct mf_crew_event *ev)
{
	mf_mailbox_post(w->crew->conf.inbox, &ev->at);
}

static void
signing_key_free(struct signing_key *k)
{
	if (k == NULL)
		return;
	mf_list_del(&k->at);
	mf_p256_signer_free(k->signer);
	mf_ca_free(k->ca);
	mf_buf_fini(&k->rest);
	free(k);
}
MF_DEFINE_CLEANUP(struct signing_key, signing_key_free)

static void
task_free(struct task *t)
{
	signing_key_free(t->key);
	mf_buf_fini(&t->bytes);
	mf_sign_request_free(t->sign);
	mf_jwt_request_free(t->jwt);
	mf_approval_job_free(t->job);
	free(t);
}

static void
give(struct mf_crew *c, size_t worker, const struct task *model, struct mf_slice bytes)
{
	struct task *t = malloc(sizeof(*t));
	if (t == NULL)
		abort();
	*t = *model;
	mf_list_init(&t->at);
	mf_buf_init(&t->bytes, MF_LIM_INNER_MESSAGE);
	mf_buf_put_slice(&t->bytes, bytes);
	mf_mailbox_post(c->workers[worker].box, &t->at);
}

/* ---- sessions ---- */

static void
drop(struct worker *w, struct inner_session *s, const char *reason)
{
	if (reason != NULL) {
		struct mf_crew_event *ev = new_event(MF_CREW_DEAD, s->sid);
		ev->reason = reason;
		post(w, ev);
	}
	HASH_DELETE(hh, w->sessions, s);
	mf_noise_free(s->noise);
	mf_inner_free(s->inner);
	free(s);
}

static void
pump(struct worker *w, struct inner_session *s)
{
	while (s->credit > 0 && s->inner != NULL && mf_inner_pending(s->inner)) {
		struct mf_crew_event *ev = new_event(MF_CREW_SEALED, s->sid);
		if (mf_inner_next(s->inner, &ev->bytes, NULL) != MF_OK) {
			mf_crew_event_free(ev);
			drop(w, s, "sealing failed");
			return;
		}
		post(w, ev);
		s->credit--;
	}
	if (s->closing && (s->inner == NULL || !mf_inner_pending(s->inner)))
		drop(w, s, "closed");
}

static struct inner_session *
find(struct worker *w, uint64_t sid)
{
	struct inner_session *s = NULL;
	HASH_FIND(hh, w->sessions, &sid, sizeof(sid), s);
	return s;
}

static struct inner_session *
begin(struct worker *w, uint64_t sid)
{
	const struct mf_crew_conf *conf = &w->crew->conf;
	struct mf_noise_conf nc = { .role = MF_NOISE_RESPONDER,
		.prologue = mf_buf_slice(&w->crew->prologue),
		.local_static = conf->inner };
	if (HASH_COUNT(w->sessions) >= conf->max_sessions / w->crew->n)
		return NULL;
	struct inner_session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->sid = sid;
	s->since_ms = mf_now().mono_ms;
	if (mf_noise_new(&nc, &s->noise, NULL) != MF_OK) {
		free(s);
		return NULL;
	}
	HASH_ADD(hh, w->sessions, sid, sizeof(s->sid), s);
	if (s->map_oom) {
		mf_noise_free(s->noise);
		free(s);
		return NULL;
	}
	return s;
}

static void
not_begun(struct worker *w, uint64_t sid, const char *reason)
{
	struct mf_crew_event *ev = new_event(MF_CREW_DEAD, sid);
	ev->reason = reason;
	post(w, ev);
}

static void
handshake(struct worker *w, const struct task *t)
{
	struct inner_session *s = find(w, t->sid);
	if (s != NULL) {
		drop(w, s, "a second handshake message");
		return;
	}
	s = begin(w, t->sid);
	if (s == NULL) {
		not_begun(w, t->sid, "too many sessions");
		return;
	}
	struct mf_crew_event *ev = new_event(MF_CREW_HANDSHAKE, s->sid);
	bool ok = mf_noise_read(s->noise, mf_buf_slice(&t->bytes), NULL, NULL) == MF_OK &&
		  mf_noise_write(s->noise, mf_slice(NULL, 0), &ev->bytes, NULL) == MF_OK &&
		  mf_noise_remote_static(s->noise, s->remote, NULL) == MF_OK &&
		  mf_noise_hash(s->noise, s->hash, NULL) == MF_OK &&
		  mf_inner_new(s->noise, &s->inner, NULL) == MF_OK;
	if (!ok) {
		mf_crew_event_free(ev);
		drop(w, s, "the handshake does not verify");
		return;
	}
	s->noise = NULL; /* the session has it now */
	mf_inner_limit_message(s->inner, FIRST_MESSAGE_MAX);
	post(w, ev);
}

static void
sealed(struct worker *w, const struct task *t)
{
	struct inner_session *s = find(w, t->sid);
	enum mf_inner_lane lane;
	struct mf_slice message;
	ProtobufCMessage *msg = NULL;
	if (s == NULL || s->inner == NULL || s->closing)
		return;
	enum mf_status st = mf_inner_feed(s->inner, mf_buf_slice(&t->bytes), &lane, &message, NULL);
	if (st == MF_E_AGAIN)
		return;
	if (st != MF_OK) {
		drop(w, s, "a chunk does not verify");
		return;
	}
	if (!s->seen)
		mf_inner_limit_message(s->inner, MF_LIM_INNER_MESSAGE);
	s->seen = true;
	if (mf_pb_unpack(&mayfly__agent__v1__up__descriptor, message, &msg, NULL) != MF_OK) {
		drop(w, s, "a message that is not of the protocol");
		return;
	}
	struct mf_crew_event *ev = new_event(MF_CREW_UP, s->sid);
	memcpy(ev->remote, s->remote, sizeof(ev->remote));
	memcpy(ev->hash, s->hash, sizeof(ev->hash));
	ev->up = (Mayfly__Agent__V1__Up *)(void *)msg;
	post(w, ev);
}

static void
send_down(struct worker *w, const struct task *t)
{
	struct inner_session *s = find(w, t->sid);
	if (s == NULL || s->inner == NULL || s->closing)
		return;
	enum mf_inner_lane lane = t->lane == MF_ENGINE_REMOVAL ? MF_INNER_REMOVAL : MF_INNER_BOUNDED;
	if (mf_inner_send(s->inner, lane, t->coalesce, mf_buf_slice(&t->bytes), NULL) != MF_OK) {
		drop(w, s, "its peer takes nothing any more");
		return;
	}
	pump(w, s);
}

/* ---- certificates ---- */

static struct signing_key *
find_key(struct worker *w, const char *id)
{
	MF_LIST_EACH(p, &w->keys)
	{
		struct signing_key *k = MF_LIST_ITEM(p, struct signing_key, at);
		if (strcmp(k->id, id) == 0)
			return k;
	}
	return NULL;
}

/* ${chain} gets the leaf; what follows it is the caller's to add. */
static bool
make(struct signing_key *k, const struct mf_sign_request *r, struct mf_buf *chain)
{
	const struct mf_ca *ca = k->ca;
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	struct mf_x509_leaf leaf = { .issuer = mf_ca_subject(ca),
		.cn = mf_slice_str(r->cn),
		.not_before_s = r->nbf,
		.not_after_s = r->exp,
		.n_dns = r->dns_n < MF_LIM_DNS_NAMES ? r->dns_n : MF_LIM_DNS_NAMES };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf tbs;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	memcpy(leaf.serial, r->serial, sizeof(leaf.serial));
	memcpy(leaf.aki, mf_ca_key_id(ca), sizeof(leaf.aki));
	memcpy(leaf.point, r->point, sizeof(leaf.point));
	for (size_t i = 0; i < leaf.n_dns; i++)
		leaf.dns[i] = mf_slice_str(r->dns[i]);
	if (mf_p256_point_check(mf_slice(r->point, sizeof(r->point)), NULL) != MF_OK ||
	    mf_spiffe_id_parse(mf_slice_str(r->spiffe_id), &id, NULL) != MF_OK)
		return false;
	leaf.id = id;
	return mf_x509_tbs_leaf(&leaf, &tbs, NULL) == MF_OK &&
	       mf_x509_sign(mf_buf_slice(&tbs), k->signer, chain, NULL) == MF_OK;
}

static void
sign(struct worker *w, const struct task *t)
{
	struct mf_crew_event *ev = new_event(MF_CREW_SIGNED, 0);
	ev->ticket = t->sign->ticket;
	struct signing_key *k = find_key(w, t->sign->key);
	ev->ok = k != NULL && make(k, t->sign, &ev->bytes);
	if (ev->ok) {
		mf_sha256(mf_buf_slice(&ev->bytes), ev->der_sha256);
		mf_buf_put_slice(&ev->bytes, mf_buf_slice(&k->rest));
		ev->ok = mf_buf_check(&ev->bytes, NULL) == MF_OK;
	}
	post(w, ev);
}

static void
sign_jwt(struct worker *w, const struct task *t)
{
	struct mf_crew_event *ev = new_event(MF_CREW_JWT, 0);
	ev->ticket = t->jwt->ticket;
	if (mf_jwt_signer_make(w->jwt, t->jwt, &ev->bytes, NULL) != MF_OK)
		mf_buf_reset(&ev->bytes);
	post(w, ev);
}

/* ---- signatures of persons ---- */

static void
check(struct worker *w, struct task *t)
{
	struct mf_crew_event *ev = new_event(MF_CREW_CHECKED, 0);
	mf_approval_job_run(t->job);
	ev->job = MF_TAKE(t->job);
	post(w, ev);
}

/* ---- threads ---- */

static void
run_errand(struct worker *w, const struct task *t)
{
	struct mf_crew_event *ev = new_event(MF_CREW_DONE, 0);
	ev->arg = t->arg;
	t->errand(t->arg);
	post(w, ev);
}

static void
work(struct worker *w, struct task *t)
{
	struct inner_session *s;
	switch (t->kind) {
	case TASK_HANDSHAKE:
		handshake(w, t);
		break;
	case TASK_SEALED:
		sealed(w, t);
		break;
	case TASK_SEND:
		send_down(w, t);
		break;
	case TASK_CREDIT:
		if ((s = find(w, t->sid)) != NULL) {
			s->credit = s->credit > UINT32_MAX - t->credit ? UINT32_MAX : s->credit + t->credit;
			pump(w, s);
		}
		break;
	case TASK_CLOSE:
		if ((s = find(w, t->sid)) == NULL)
			break;
		s->closing = true;
		s->since_ms = mf_now().mono_ms;
		if (t->flush)
			pump(w, s);
		else
			drop(w, s, NULL);
		break;
	case TASK_CLOSE_ALL: {
		struct inner_session *tmp;
		HASH_ITER(hh, w->sessions, s, tmp)
		drop(w, s, NULL);
		break;
	}
	case TASK_SIGN:
		sign(w, t);
		break;
	case TASK_JWT:
		sign_jwt(w, t);
		break;
	case TASK_CHECK:
		check(w, t);
		break;
	case TASK_ADD_KEY:
		signing_key_free(find_key(w, t->key->id));
		mf_list_add_tail(&w->keys, &t->key->at);
		t->key = NULL;
		break;
	case TASK_DROP_KEY:
		signing_key_free(find_key(w, t->key_id));
		break;
	case TASK_ERRAND:
		run_errand(w, t);
		break;
	}
}

/* Sessions of peers that never show who they are, or never take the end of what was queued. */
static void
sweep(struct worker *w, uint64_t now_ms)
{
	struct inner_session *s, *tmp;
	HASH_ITER(hh, w->sessions, s, tmp)
	{
		if ((s->seen && !s->closing) || now_ms - s->since_ms < w->crew->conf.patience_ms)
			continue;
		drop(w, s,
		    s->closing ? "closed, and its peer does not read" : "no message after the handshake");
	}
}

static uint64_t
sweep_every_ms(const struct mf_crew *c)
{
	return c->conf.patience_ms / 4 + 1;
}

static void
turn(struct worker *w, struct mf_list *todo)
{
	MF_LIST_EACH(p, todo)
	{
		struct task *t = MF_LIST_ITEM(p, struct task, at);
		mf_list_del(p);
		work(w, t);
		task_free(t);
	}
	uint64_t now_ms = mf_now().mono_ms;
	if (now_ms - w->swept_ms >= sweep_every_ms(w->crew)) {
		w->swept_ms = now_ms;
		sweep(w, now_ms);
	}
}

static void *
run(void *arg)
{
	struct worker *w = arg;
	struct mf_list todo;
	mf_list_init(&todo);
	while (mf_mailbox_wait(w->box, &todo, sweep_every_ms(w->crew)) || !mf_mailbox_closed(w->box))
		turn(w, &todo);
	return NULL;
}

void
mf_crew_turn(struct mf_crew *c, size_t i)
{
	struct mf_list todo;
	mf_list_init(&todo);
	(void)mf_mailbox_take(c->workers[i].box, &todo);
	turn(&c->workers[i], &todo);
}

enum mf_status
mf_crew_new(const struct mf_crew_conf *conf, struct mf_crew **ret_c, struct mf_err *err)
{
	MF_AUTO(mf_crew_free) struct mf_crew *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "crew: out of memory");
	c->conf = *conf;
	if (c->conf.patience_ms == 0)
		c->conf.patience_ms = PATIENCE_MS;
	mf_buf_init(&c->prologue, 1024);
	mf_buf_put_slice(&c->prologue, conf->prologue);
	MF_TRY(mf_buf_check(&c->prologue, err));
	c->workers = calloc(conf->threads, sizeof(*c->workers));
	if (c->workers == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "crew: out of memory");
	for (size_t i = 0; i < conf->threads; i++) {
		struct worker *w = &c->workers[i];
		c->n = i + 1;
		w->crew = c;
		w->swept_ms = mf_now().mono_ms;
		mf_list_init(&w->keys);
		MF_TRY(mf_mailbox_new(false, &w->box, err));
		MF_TRY(mf_jwt_signer_new(&w->jwt, err));
	}
	/* Only now: a worker reads ${n}. */
	for (size_t i = 0; i < c->n && !conf->by_hand; i++) {
		if (pthread_create(&c->workers[i].thread, NULL, run, &c->workers[i]) != 0)
			return MF_FAIL(err, MF_E_NOMEM, "crew: no thread");
		c->workers[i].running = true;
	}
	*ret_c = MF_TAKE(c);
	return MF_OK;
}

void
mf_crew_free(struct mf_crew *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++)
		if (c->workers[i].box != NULL)
			mf_mailbox_close(c->workers[i].box);
	for (size_t i = 0; i < c->n; i++) {
		struct worker *w = &c->workers[i];
		struct mf_list left;
		mf_list_init(&left);
		if (w->running)
			(void)pthread_join(w->thread, NULL);
		if (w->box != NULL && mf_mailbox_take(w->box, &left))
			MF_LIST_EACH(p, &left)
		task_free(MF_LIST_ITEM(p, struct task, at));
		struct inner_session *s, *tmp;
		HASH_ITER(hh, w->sessions, s, tmp)
		drop(w, s, NULL);
		mf_jwt_signer_free(w->jwt);
		MF_LIST_EACH(q, &w->keys)
		signing_key_free(MF_LIST_ITEM(q, struct signing_key, at));
		mf_mailbox_free(w->box);
	}
	free(c->workers);
	mf_buf_fini(&c->prologue);
	free(c);
}

void
mf_crew_data(struct mf_crew *c, uint64_t sid, bool is_handshake, struct mf_slice body)
{
	struct task t = { .kind = is_handshake ? TASK_HANDSHAKE : TASK_SEALED, .sid = sid };
	give(c, sid % c->n, &t, body);
}

void
mf_crew_send(
    struct mf_crew *c, uint64_t sid, struct mf_slice down, enum mf_engine_lane lane, uint64_t coalesce)
{
	struct task t = { .kind = TASK_SEND, .sid = sid, .lane = lane, .coalesce = coalesce };
	give(c, sid % c->n, &t, down);
}

void
mf_crew_credit(struct mf_crew *c, uint64_t sid, uint32_t chunks)
{
	struct task t = { .kind = TASK_CREDIT, .sid = sid, .credit = chunks };
	give(c, sid % c->n, &t, mf_slice(NULL, 0));
}

void
mf_crew_close(struct mf_crew *c, uint64_t sid, bool flush)
{
	struct task t = { .kind = TASK_CLOSE, .sid = sid, .flush = flush };
	give(c, sid % c->n, &t, mf_slice(NULL, 0));
}

void
mf_crew_close_all(struct mf_crew *c)
{
	struct task t = { .kind = TASK_CLOSE_ALL };
	for (size_t i = 0; i < c->n; i++)
		give(c, i, &t, mf_slice(NULL, 0));
}

void
mf_crew_sign(struct mf_crew *c, struct mf_sign_request *req)
{
	struct task t = { .kind = TASK_SIGN, .sign = req };
	give(c, c->next++ % c->n, &t, mf_slice(NULL, 0));
}

void
mf_crew_sign_jwt(struct mf_crew *c, struct mf_jwt_request *req)
{
	struct task t = { .kind = TASK_JWT, .jwt = req };
	give(c, c->next++ % c->n, &t, mf_slice(NULL, 0));
}

void
mf_crew_check(struct mf_crew *c, struct mf_approval_job *job)
{
	struct task t = { .kind = TASK_CHECK, .job = job };
	give(c, c->next++ % c->n, &t, mf_slice(NULL, 0));
}

static enum mf_status
copy_key(
    const char *trust_domain, const struct mf_ca_key *from, struct signing_key **ret_k, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	size_t n = 0;
	MF_AUTO(signing_key_free) struct signing_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "crew: out of memory");
	mf_list_init(&k->at);
	mf_buf_init(&k->rest, MF_LIM_CHAIN * MF_LIM_CERT_DER);
	memcpy(k->id, from->id, sizeof(k->id));
	MF_TRY(mf_bundle_split(mf_buf_slice(&from->certificate), certs, MF_LIM_CHAIN, &n, err));
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "crew: a CA key without certificate");
	MF_TRY(from->anchor.n > 0 ? mf_ca_parse_issued(certs[0], mf_slice_str(trust_domain), &k->ca, err)
				  : mf_ca_parse(certs[0], mf_slice_str(trust_domain), &k->ca, err));
	MF_TRY(mf_p256_signer_new(from->key, &k->signer, err));
	/* Under an own root the chain is the leaf alone: the root is in the bundle. */
	for (size_t i = 0; from->anchor.n > 0 && i < n; i++)
		mf_buf_put_slice(&k->rest, certs[i]);
	MF_TRY(mf_buf_check(&k->rest, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_crew_add_key(struct mf_crew *c, const char *trust_domain, const struct mf_ca_key *k, struct mf_err *err)
{
	for (size_t i = 0; i < c->n; i++) {
		struct task t = { .kind = TASK_ADD_KEY };
		MF_TRY(copy_key(trust_domain, k, &t.key, err));
		give(c, i, &t, mf_slice(NULL, 0));
	}
	return MF_OK;
}

void
mf_crew_drop_key(struct mf_crew *c, const char *id)
{
	struct task t = { .kind = TASK_DROP_KEY };
	for (size_t i = 0; i < MF_CA_KEY_ID && id[i] != '\0'; i++)
		t.key_id[i] = id[i];
	for (size_t i = 0; i < c->n; i++)
		give(c, i, &t, mf_slice(NULL, 0));
}

void
mf_crew_errand(struct mf_crew *c, void (*errand)(void *arg), void *arg)
{
	struct task t = { .kind = TASK_ERRAND, .errand = errand, .arg = arg };
	give(c, c->next++ % c->n, &t, mf_slice(NULL, 0));
}
