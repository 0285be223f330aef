/* One credential, by its id or how that begins: everything that the notary knows of it. */
#include <inttypes.h>
#include <stdio.h>

#include "broker/notary/credentials.h"

#define RECORDS_MAX 6u

enum mf_status
mf_engine_find_cred(const struct mf_engine *e, const char *typed, struct mf_found *ret_f, struct mf_err *err)
{
	size_t n = mf_state_find_cred(e->state, mf_slice_str(typed), ret_f);
	if (n == 0)
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "no credential of that id that has not expired: see 'mayfly credential ls --all', or "
		    "'mayfly "
		    "audit find --serial' for the records of one that has");
	if (n > 1)
		return MF_FAIL(err, MF_E_INVALID, "%zu credentials begin so, e.g. %s: give more of the id", n,
		    mf_found_id(ret_f));
	return MF_OK;
}

struct detail {
	Mayfly__Admin__V1__CredentialDetail m;
	char lease[MF_STATE_ID_MAX], sha256[65], key[MF_KEY_ID_MAX], scope[65];
	Mayfly__Admin__V1__CredentialRecord record[RECORDS_MAX], *records[RECORDS_MAX];
};

/* Index 0 is the log's first record, and of no credential. */
static void
add_record(struct detail *d, uint64_t index, const char *says)
{
	if (index == 0 || d->m.n_records == RECORDS_MAX)
		return;
	Mayfly__Admin__V1__CredentialRecord *r = &d->record[d->m.n_records];
	mayfly__admin__v1__credential_record__init(r);
	r->index = index;
	r->says = (char *)(uintptr_t)says; /* packing only reads */
	d->records[d->m.n_records++] = r;
	d->m.records = d->records;
}

static void
fill_svid(const struct mf_engine *e, struct detail *d, const struct mf_found *f)
{
	const struct mf_cred *c = f->cred;
	bool jwt = c->kid[0] != '\0';
	(void)snprintf(d->sha256, sizeof(d->sha256), "%s", jwt ? c->sha256 : c->der);
	(void)snprintf(d->key, sizeof(d->key), "%s", c->kid);
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); !jwt && k != NULL;
	     k = mf_state_next_key(e->state, k))
		if (k->index == c->key)
			(void)snprintf(d->key, sizeof(d->key), "%s", k->id);
	d->m.n_audiences = c->aud_n;
	d->m.audiences = c->aud;
	d->m.epoch = c->epoch;
	d->m.ended_us = c->ended_us;
	if (c->of != c->index)
		add_record(d, c->of, "the first of its identity");
	add_record(d, c->index, c->of != c->index ? "renewed" : "issued");
	add_record(d, c->ended_index, "ended");
	if (f->lease != NULL && c->ended_us == 0 && !mf_cred_is_live(c, f->lease)) {
		d->m.ended_us = f->lease->changed_us;
		add_record(d, f->lease->changed_index, "its lease ended, or was suspended");
	}
}

static void
fill_cloud(struct detail *d, const struct mf_cloud_cred *c)
{
	(void)snprintf(d->lease, sizeof(d->lease), "%s", c->lease_id);
	(void)snprintf(d->sha256, sizeof(d->sha256), "%s", c->token_hash);
	(void)snprintf(d->scope, sizeof(d->scope), "%s", c->scope_hash);
	d->m.epoch = c->epoch;
	d->m.ended_us = c->ended_us;
	d->m.target = c->target;
	d->m.backend = c->backend;
	d->m.role = c->role;
	d->m.session = c->session;
	d->m.principal = c->principal;
	d->m.provider_session = c->provider_session;
	d->m.generation = c->generation;
	d->m.provider_expires = c->exp;
	d->m.scope_sha256 = d->scope;
	add_record(d, c->index, "intent");
	add_record(d, c->issued_index, "issued");
	add_record(d, c->ended_index, "ended");
	add_record(d, c->completed_index, "completed: level and time of its death");
}

void
mf_engine_get_credential(struct mf_engine *e, struct mf_now now, uint64_t call_id,
    const Mayfly__Admin__V1__GetCredentialRequest *q)
{
	struct mf_err err = { 0 };
	struct mf_found f;
	MF_UNUSED(now);
	enum mf_status s = mf_engine_find_cred(e, q->match, &f, &err);
	struct removal_listing *one = s == MF_OK ? mf_removal_listing_new() : NULL;
	struct detail *d = one != NULL ? calloc(1, sizeof(*d)) : NULL;
	if (d != NULL)
		mf_removal_list_found(one, &f);
	if (s == MF_OK && (d == NULL || one->n == 0))
		s = MF_FAIL(&err, MF_E_NOMEM, "out of memory");
	if (s != MF_OK) {
		mf_engine_admin_fail(e, call_id, s, err.msg);
		mf_removal_listing_free(one);
		free(d);
		return;
	}
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	mayfly__admin__v1__credential_detail__init(&d->m);
	d->m.credential = one->v[0];
	if (f.lease != NULL)
		memcpy(d->lease, f.lease->id, sizeof(d->lease));
	if (f.cred != NULL)
		fill_svid(e, d, &f);
	else
		fill_cloud(d, f.cloud);
	d->m.lease_id = d->lease;
	d->m.sha256 = d->sha256;
	d->m.key_id = d->key;
	const struct mf_job *j = f.lease != NULL   ? f.lease->job
				 : f.cloud != NULL ? mf_state_job(e->state, mf_slice_str(f.cloud->job_id))
						   : NULL;
	if (j != NULL) {
		d->m.profile = j->profile;
		d->m.person = j->person;
		d->m.tenant = j->tenant;
	}
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIAL;
	reply.credential = &d->m;
	e->ops->admin_reply(e->ctx, &reply);
	mf_removal_listing_free(one);
	free(d);
}
