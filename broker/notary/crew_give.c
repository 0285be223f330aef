/* Tasks on their way to the workers: all of these are called by one thread, the state thread. */
#include <stdlib.h>

#include "broker/notary/crew_internal.h"

/*
 * So many are done by who gives them, when all workers are idle: waking one, and being woken by its answer, costs more than they
 * do. Nothing that takes longer than a signature.
 */
#define HERE 2u

void
mf_crew_push_one(struct worker *w)
{
	w->given += w->n_held;
	w->n_held = 0;
	mf_mailbox_post_all(w->box, &w->held);
}

static void
give(struct mf_crew *c, size_t worker, const struct task *model, struct mf_slice bytes)
{
	struct worker *w = &c->workers[worker];
	struct task *t = malloc(sizeof(*t) + bytes.n);
	if (t == NULL)
		abort();
	*t = *model;
	mf_list_init(&t->at);
	t->n = bytes.n;
	if (bytes.n > 0)
		memcpy(t->bytes, bytes.p, bytes.n);
	mf_list_add_tail(&w->held, &t->at);
	if (++w->n_held >= TOGETHER)
		mf_crew_push_one(w);
}

void
mf_crew_push(struct mf_crew *c)
{
	for (size_t i = 0; i < c->n; i++)
		mf_crew_push_one(&c->workers[i]);
}

static bool
is_short(const struct task *t)
{
	switch (t->kind) {
	case TASK_SEALED:
	case TASK_SEND:
	case TASK_CREDIT:
	case TASK_CLOSE:
	case TASK_SIGN:
		return true;
	default:
		return false;
	}
}

static bool
may_be_here(struct mf_crew *c)
{
	unsigned n = 0;
	for (size_t i = 0; i < c->n; i++) {
		struct worker *w = &c->workers[i];
		n += w->n_held;
		if (n > HERE || w->given != atomic_load(&w->done))
			return false;
		MF_LIST_EACH(p, &w->held)
		if (!is_short(MF_LIST_ITEM(p, struct task, at)))
			return false;
	}
	/* What a worker has answered comes before what is answered here. */
	return n > 0 && mf_mailbox_is_empty(c->conf.inbox);
}

bool
mf_crew_here(struct mf_crew *c)
{
	if (!may_be_here(c))
		return false;
	bool did = false;
	for (size_t i = 0; i < c->n; i++) {
		struct worker *w = &c->workers[i];
		if (w->n_held == 0 || pthread_mutex_trylock(&w->at_work) != 0)
			continue; /* it looks for peers that are gone */
		w->given += w->n_held;
		w->n_held = 0;
		w->here = true;
		mf_crew_work(w, &w->held);
		w->here = false;
		(void)pthread_mutex_unlock(&w->at_work);
		did = true;
	}
	return did;
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

enum mf_status
mf_crew_add_key(struct mf_crew *c, const char *trust_domain, const struct mf_ca_key *k, struct mf_err *err)
{
	for (size_t i = 0; i < c->n; i++) {
		struct task t = { .kind = TASK_ADD_KEY };
		MF_TRY(mf_crew_key_new(trust_domain, k, &t.key, err));
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
mf_crew_errand(struct mf_crew *c, mf_crew_errand_fn errand, void *arg)
{
	struct task t = { .kind = TASK_ERRAND, .errand = errand, .arg = arg };
	give(c, c->next++ % c->n, &t, mf_slice(NULL, 0));
}
