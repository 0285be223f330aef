/* The tables: making, finding, walking, freeing. What changes them is state_apply.c. */
#include <stdlib.h>

#include "broker/core/state_internal.h"

enum mf_status
mf_state_new(struct mf_state **ret_st, struct mf_err *err)
{
	struct mf_state *st = calloc(1, sizeof(*st));
	if (st == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "state: out of memory");
	mf_list_init(&st->broker_creds);
	mf_list_init(&st->ended);
	mf_list_init(&st->nonces);
	mf_list_init(&st->freezes);
	mf_list_init(&st->sessions);
	mf_list_init(&st->keys);
	mf_list_init(&st->managed_waiting);
	mf_list_init(&st->managed_over);
	mf_list_init(&st->runs_idle);
	mf_list_init(&st->clouds_order);
	*ret_st = st;
	return MF_OK;
}

char *
mf_state_dup(struct mf_slice s)
{
	char *c = malloc(s.n + 1);
	if (c == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(c, s.p, s.n);
	c[s.n] = '\0';
	return c;
}

char **
mf_state_dup_list(const struct mf_slice *v, size_t n)
{
	char **list = calloc(n + 1, sizeof(*list));
	if (list == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		list[i] = mf_state_dup(v[i]);
		if (list[i] == NULL) {
			mf_state_free_list(list, n);
			return NULL;
		}
	}
	return list;
}

void
mf_state_free_list(char **v, size_t n)
{
	for (size_t i = 0; v != NULL && i < n; i++)
		free(v[i]);
	free(v);
}

bool
mf_state_copy(char *to, size_t cap, struct mf_slice from)
{
	if (from.n >= cap)
		return false;
	if (from.n > 0)
		memcpy(to, from.p, from.n);
	to[from.n] = '\0';
	return true;
}

void
mf_cred_free(struct mf_cred *c)
{
	if (c == NULL)
		return;
	if (c->of == c->index) {
		free(c->spiffe_id);
		free(c->hint);
	}
	mf_state_free_list(c->aud, c->aud_n);
	free(c);
}

static void
free_creds(struct mf_list *head)
{
	MF_LIST_EACH(p, head)
	{
		mf_list_del(p);
		mf_cred_free(MF_LIST_ITEM(p, struct mf_cred, at));
	}
}

void
mf_node_free(struct mf_node *n)
{
	if (n == NULL)
		return;
	free_creds(&n->creds);
	mf_state_free_list(n->attributes, n->attributes_n);
	free(n->spiffe_id);
	free(n->hostname);
	free(n->evict_reason);
	free(n);
}

void
mf_token_free(struct mf_token *t)
{
	if (t == NULL)
		return;
	mf_state_free_list(t->attributes, t->attributes_n);
	free(t);
}

void
mf_job_free(struct mf_job *j)
{
	if (j == NULL)
		return;
	mf_state_free_list(j->attributes, j->attributes_n);
	free(j->key);
	free(j->tenant);
	free(j->person);
	free(j->profile);
	free(j->rule);
	free(j->name);
	free(j->cause);
	free(j->reason);
	free(j->ending_cause);
	free(j->ending_reason);
	free(j);
}

void
mf_lease_free(struct mf_lease *l)
{
	if (l == NULL)
		return;
	free_creds(&l->creds);
	mf_state_free_finals(l);
	mf_state_free_list(l->selectors, l->selectors_n);
	free(l->key);
	free(l->grade);
	free(l->rule);
	free(l->policy);
	free(l->cause);
	free(l->reason);
	free(l);
}

void
mf_state_forget_lease(struct mf_state *st, struct mf_lease *l)
{
	struct mf_job *j = l->job;
	mf_state_cloud_orphan(l);
	mf_list_del(&l->at_node);
	mf_list_del(&l->at_job);
	mf_list_del(&l->at_ended);
	HASH_DELETE(hh, st->leases, l);
	mf_state_free_instance(st, l);
	mf_lease_free(l);
	if (!mf_list_empty(&j->leases) || !j->ended)
		return;
	HASH_DELETE(hh, st->jobs, j);
	HASH_DELETE(hh_key, st->jobs_by_key, j);
	mf_job_free(j);
}

void
mf_state_free(struct mf_state *st)
{
	if (st == NULL)
		return;
	struct mf_lease *l, *lt;
	HASH_CLEAR(hh_key, st->leases_by_key);
	HASH_ITER(hh, st->leases, l, lt)
	{
		HASH_DELETE(hh, st->leases, l);
		mf_lease_free(l);
	}
	struct mf_job *j, *jt;
	HASH_CLEAR(hh_key, st->jobs_by_key);
	HASH_ITER(hh, st->jobs, j, jt)
	{
		HASH_DELETE(hh, st->jobs, j);
		mf_job_free(j);
	}
	struct mf_node *n, *nt;
	HASH_CLEAR(hh_inner, st->nodes_by_inner);
	HASH_CLEAR(hh_evidence, st->nodes_by_evidence);
	HASH_ITER(hh, st->nodes, n, nt)
	{
		HASH_DELETE(hh, st->nodes, n);
		mf_node_free(n);
	}
	struct mf_token *t, *tt;
	HASH_ITER(hh, st->tokens, t, tt)
	{
		HASH_DELETE(hh, st->tokens, t);
		mf_token_free(t);
	}
	mf_state_free_managed(st);
	mf_state_free_runs(st);
	mf_state_free_clouds(st);
	free_creds(&st->broker_creds);
	MF_LIST_EACH(p, &st->keys)
	mf_key_free(MF_LIST_ITEM(p, struct mf_key, at));
	free(st->origin);
	free(st->trust_domain);
	mf_state_free_nonces(st);
	mf_state_free_freezes(st);
	mf_state_free_sessions(st);
	free(st);
}

void
mf_state_forget_tokens(struct mf_state *st)
{
	struct mf_token *t, *tmp;
	HASH_ITER(hh, st->tokens, t, tmp)
	{
		if (t->expires * 1000000 >= st->last_us)
			continue;
		HASH_DELETE(hh, st->tokens, t);
		mf_token_free(t);
	}
}

uint64_t
mf_state_size(const struct mf_state *st)
{
	return st->size;
}

int64_t
mf_state_last_us(const struct mf_state *st)
{
	return st->last_us;
}

const char *
mf_state_origin(const struct mf_state *st)
{
	return st->origin == NULL ? "" : st->origin;
}

const char *
mf_state_trust_domain(const struct mf_state *st)
{
	return st->trust_domain == NULL ? "" : st->trust_domain;
}

const char *
mf_state_policy(const struct mf_state *st)
{
	return st->policy;
}

const struct mf_node *
mf_state_node(const struct mf_state *st, struct mf_slice id)
{
	struct mf_node *n = NULL;
	HASH_FIND(hh, st->nodes, id.p, id.n, n);
	return n;
}

const struct mf_node *
mf_state_node_by_inner(const struct mf_state *st, struct mf_slice inner_hex)
{
	struct mf_node *n = NULL;
	HASH_FIND(hh_inner, st->nodes_by_inner, inner_hex.p, inner_hex.n, n);
	return n;
}

const struct mf_node *
mf_state_node_by_evidence(const struct mf_state *st, struct mf_slice evidence_hex)
{
	struct mf_node *n = NULL;
	HASH_FIND(hh_evidence, st->nodes_by_evidence, evidence_hex.p, evidence_hex.n, n);
	return n;
}

const struct mf_token *
mf_state_token(const struct mf_state *st, struct mf_slice id)
{
	struct mf_token *t = NULL;
	HASH_FIND(hh, st->tokens, id.p, id.n, t);
	return t;
}

const struct mf_job *
mf_state_job(const struct mf_state *st, struct mf_slice id)
{
	struct mf_job *j = NULL;
	HASH_FIND(hh, st->jobs, id.p, id.n, j);
	return j;
}

const struct mf_job *
mf_state_job_by_key(const struct mf_state *st, struct mf_slice key)
{
	struct mf_job *j = NULL;
	HASH_FIND(hh_key, st->jobs_by_key, key.p, key.n, j);
	return j;
}

const struct mf_lease *
mf_state_lease(const struct mf_state *st, struct mf_slice id)
{
	struct mf_lease *l = NULL;
	HASH_FIND(hh, st->leases, id.p, id.n, l);
	return l;
}

const struct mf_lease *
mf_state_lease_by_key(const struct mf_state *st, struct mf_slice instance_key)
{
	struct mf_lease *l = NULL;
	HASH_FIND(hh_key, st->leases_by_key, instance_key.p, instance_key.n, l);
	return l;
}

const struct mf_node *
mf_state_next_node(const struct mf_state *st, const struct mf_node *after)
{
	return after == NULL ? st->nodes : after->hh.next;
}

const struct mf_token *
mf_state_next_token(const struct mf_state *st, const struct mf_token *after)
{
	return after == NULL ? st->tokens : after->hh.next;
}

const struct mf_job *
mf_state_next_job(const struct mf_state *st, const struct mf_job *after)
{
	return after == NULL ? st->jobs : after->hh.next;
}

const struct mf_lease *
mf_state_next_lease(const struct mf_state *st, const struct mf_lease *after)
{
	return after == NULL ? st->leases : after->hh.next;
}

const struct mf_list *
mf_state_broker_creds(const struct mf_state *st)
{
	return &st->broker_creds;
}

const struct mf_list *
mf_state_ended(const struct mf_state *st)
{
	return &st->ended;
}

uint32_t
mf_state_leases_open(const struct mf_state *st)
{
	return st->open;
}

void
mf_state_loading(struct mf_state *st, bool on)
{
	st->loading = on;
}

void
mf_state_set_position(struct mf_state *st, uint64_t size, int64_t last_us)
{
	st->size = size;
	st->last_us = last_us;
}
