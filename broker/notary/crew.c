#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "broker/notary/crew_internal.h"
#include "crypto/inner.h"
#include "rpc/pb_check.h"

/* Until the initiator has shown who it is: a chain of four certificates and a signature fit. */
#define FIRST_MESSAGE_MAX 40960u
#define PATIENCE_MS 30000u
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
push_out(struct worker *w)
{
	w->n_out = 0;
	if (w->here)
		mf_mailbox_keep(w->crew->conf.inbox, &w->out);
	else
		mf_mailbox_post_all(w->crew->conf.inbox, &w->out);
}

static void
post(struct worker *w, struct mf_crew_event *ev)
{
	mf_list_add_tail(&w->out, &ev->at);
	if (++w->n_out >= TOGETHER)
		push_out(w);
}

static void
task_free(struct task *t)
{
	mf_crew_key_free(t->key);
	mf_wipe(t->bytes, t->n);
	mf_sign_request_free(t->sign);
	mf_jwt_request_free(t->jwt);
	mf_approval_job_free(t->job);
	free(t);
}

static struct mf_slice
bytes_of(const struct task *t)
{
	return mf_slice(t->bytes, t->n);
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
	bool ok = mf_noise_read(s->noise, bytes_of(t), NULL, NULL) == MF_OK &&
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
	enum mf_status st = mf_inner_feed(s->inner, bytes_of(t), &lane, &message, NULL);
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
	if (mf_inner_send(s->inner, lane, t->coalesce, bytes_of(t), NULL) != MF_OK) {
		drop(w, s, "its peer takes nothing any more");
		return;
	}
	pump(w, s);
}

/* ---- certificates ---- */

static struct mf_crew_key *
find_key(struct worker *w, const char *id)
{
	MF_LIST_EACH(p, &w->keys)
	{
		struct mf_crew_key *k = MF_LIST_ITEM(p, struct mf_crew_key, at);
		if (strcmp(k->id, id) == 0)
			return k;
	}
	return NULL;
}

static void
sign(struct worker *w, const struct task *t)
{
	struct mf_crew_event *ev = new_event(MF_CREW_SIGNED, 0);
	ev->ticket = t->sign->ticket;
	struct mf_crew_key *k = find_key(w, t->sign->key);
	ev->ok = k != NULL && mf_crew_key_make(k, t->sign, &ev->bytes, ev->der_sha256);
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
	t->errand(t->arg, w->jwt);
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
		mf_crew_key_free(find_key(w, t->key->id));
		mf_list_add_tail(&w->keys, &t->key->at);
		t->key = NULL;
		break;
	case TASK_DROP_KEY:
		mf_crew_key_free(find_key(w, t->key_id));
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

void
mf_crew_work(struct worker *w, struct mf_list *todo)
{
	uint64_t n = 0;
	MF_LIST_EACH(p, todo)
	{
		struct task *t = MF_LIST_ITEM(p, struct task, at);
		mf_list_del(p);
		work(w, t);
		task_free(t);
		n++;
	}
	push_out(w);
	uint64_t now_ms = mf_now().mono_ms;
	if (now_ms - w->swept_ms >= sweep_every_ms(w->crew)) {
		w->swept_ms = now_ms;
		sweep(w, now_ms);
		push_out(w);
	}
	/* Last: who sees that all is done finds the answers in the inbox. */
	atomic_fetch_add(&w->done, n);
}

static void *
run(void *arg)
{
	struct worker *w = arg;
	struct mf_list todo;
	mf_list_init(&todo);
	while (mf_mailbox_wait(w->box, &todo, sweep_every_ms(w->crew)) || !mf_mailbox_closed(w->box)) {
		(void)pthread_mutex_lock(&w->at_work);
		mf_crew_work(w, &todo);
		(void)pthread_mutex_unlock(&w->at_work);
	}
	return NULL;
}

void
mf_crew_turn(struct mf_crew *c, size_t i)
{
	struct mf_list todo;
	mf_list_init(&todo);
	mf_crew_push_one(&c->workers[i]);
	(void)mf_mailbox_take(c->workers[i].box, &todo);
	mf_crew_work(&c->workers[i], &todo);
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
		mf_list_init(&w->held);
		mf_list_init(&w->out);
		(void)pthread_mutex_init(&w->at_work, NULL);
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
		if (c->workers[i].box != NULL) {
			mf_crew_push_one(&c->workers[i]);
			mf_mailbox_close(c->workers[i].box);
		}
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
		push_out(w);
		mf_jwt_signer_free(w->jwt);
		MF_LIST_EACH(q, &w->keys)
		mf_crew_key_free(MF_LIST_ITEM(q, struct mf_crew_key, at));
		mf_mailbox_free(w->box);
		(void)pthread_mutex_destroy(&w->at_work);
	}
	free(c->workers);
	mf_buf_fini(&c->prologue);
	free(c);
}
