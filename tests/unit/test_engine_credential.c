/*
 * `mayfly revoke --credential`: one credential of a job that goes on. It is over on record, at its node and at its provider;
 * another may be had, unless its grant was ended too. And a policy that takes a grant away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_rig_cloud.h"

#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define CLOUD_ENDED MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_ENDED
#define SVID_ENDED MAYFLY__AGENT__V1__DOWN__BODY_SVID_ENDED

static struct rig_cloud cloud;
static struct rig_job job;

static int
setup(void **state)
{
	MF_UNUSED(state);
	if (mf_jws_key_generate(MF_JWS_ES256, &mf_rig_jwt_keys[0], NULL) != MF_OK)
		return -1;
	return mf_jws_key_generate(MF_JWS_RS256, &mf_rig_assertion_key, NULL) == MF_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(mf_rig_assertion_key);
	mf_jws_key_free(mf_rig_jwt_keys[0]);
	mf_rig_assertion_key = mf_rig_jwt_keys[0] = NULL;
	mf_rig_free_spares();
	return 0;
}

static int64_t
now_s(const struct rig *r)
{
	return r->now.wall_us / 1000000;
}

/* The id of the token. */
static void
mint(struct rig *r, const char *grant, char ret_id[MF_STATE_ID_MAX])
{
	uint64_t req = mf_rig_mint_cloud(r, &job, grant);
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	mf_rig_settle(r);
	const Mayfly__Agent__V1__CloudGrant *g = mf_rig_cloud_grant(r, req);
	assert_non_null(g);
	(void)snprintf(ret_id, MF_STATE_ID_MAX, "%s", g->credential_id);
}

static const struct mf_cloud_cred *
token(const struct rig *r, const char *id)
{
	const struct mf_cloud_cred *c = mf_state_cloud(mf_engine_state(r->e), mf_slice_str(id));
	assert_non_null(c);
	return c;
}

/* NULL when it was refused. */
static const Mayfly__Admin__V1__RemovalResponse *
revoke(struct rig *r, const char *id, bool final)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndCredentialRequest q = MAYFLY__ADMIN__V1__END_CREDENTIAL_REQUEST__INIT;
	char typed[MF_STATE_ID_MAX], why[] = "leaked";
	(void)snprintf(typed, sizeof(typed), "%s", id);
	q.match = typed;
	q.reason = why;
	q.final = final;
	call.call_id = 9;
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_CREDENTIAL;
	call.end_credential = &q;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_settle(r);
	return r->reply->what_case == MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL ? r->reply->removal : NULL;
}

static const Mayfly__Agent__V1__Down *
last_push(const struct rig *r, uint64_t sid, Mayfly__Agent__V1__Down__BodyCase kind)
{
	for (size_t i = r->downs_n; i > 0; i--)
		if (r->downs[i - 1].sid == sid && r->downs[i - 1].down->body_case == kind)
			return r->downs[i - 1].down;
	return NULL;
}

static const Mayfly__Roles__V1__CloudRevokeRequest *
asked(struct rig *r)
{
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 1);
	return cloud.revoking[0];
}

static const Mayfly__Admin__V1__ListCredentialsResponse *
list(struct rig *r, const char *subject, const char *page)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ListCredentialsRequest q = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	char of[256], from[32];
	(void)snprintf(of, sizeof(of), "%s", subject);
	(void)snprintf(from, sizeof(from), "%s", page);
	q.subject = of;
	q.page = from;
	call.call_id = 1;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_CREDENTIALS;
	call.list_credentials = &q;
	mf_engine_admin(r->e, r->now, &call);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIALS);
	return r->reply->credentials;
}

/* One of two tokens of a grant, and one of another: only that one is over, and the provider denies it by its own tag. */
static void
test_one_token(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char old[MF_STATE_ID_MAX], id[MF_STATE_ID_MAX], other[MF_STATE_ID_MAX], next[MF_STATE_ID_MAX];
	mint(r, "data", old);
	mint(r, "data", id);
	mint(r, "other", other);
	const Mayfly__Admin__V1__RemovalResponse *a = revoke(r, id, false);
	assert_non_null(a);
	assert_true(a->effective && a->recorded);
	assert_string_equal(a->subject, id);
	assert_int_equal(a->credentials_ended, 1);
	assert_string_equal(a->grant_ended, "");
	assert_int_equal(a->n_credentials, 1);
	assert_string_equal(a->credentials[0]->id, id);
	assert_string_equal(a->credentials[0]->level, "");
	assert_int_equal(token(r, id)->state, MF_CLOUD_ENDED);
	assert_int_equal(token(r, old)->state, MF_CLOUD_SUPERSEDED);
	assert_int_equal(token(r, other)->state, MF_CLOUD_ACTIVE);
	assert_int_equal(mf_rig_count(r, MF_REC_CREDENTIAL_ENDED), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_REQUESTED), 1);
	/* The node hears of it, in both lanes. */
	assert_int_equal(mf_rig_pushes(r, 1, CLOUD_ENDED), 2);
	const Mayfly__Agent__V1__CloudEnded *told = last_push(r, 1, CLOUD_ENDED)->cloud_ended;
	assert_string_equal(told->lease_id, job.lease);
	assert_string_equal(told->grant, "data");
	assert_string_equal(told->credential_id, id);
	assert_true(told->may_ask_again);
	assert_non_null(strstr(told->reason, "leaked"));
	const Mayfly__Roles__V1__CloudRevokeRequest *q = asked(r);
	assert_int_equal(q->n_deny, 1);
	assert_string_equal(q->deny[0]->tag, "mayfly-cred");
	assert_string_equal(q->deny[0]->value, id);
	assert_string_equal(list(r, id, "")->credentials[0]->level, "");
	assert_true(mf_rig_revoked(r, NULL, now_s(r) + 5));
	mf_rig_settle(r);
	const Mayfly__Admin__V1__Credential *c = list(r, id, "")->credentials[0];
	assert_string_equal(c->level, "denied");
	assert_int_equal(c->dead_at, now_s(r) + 5);
	assert_int_equal(c->record_index, token(r, id)->completed_index);
	assert_int_equal(token(r, old)->state, MF_CLOUD_SUPERSEDED);
	/* The holder may have another one. */
	mint(r, "data", next);
	assert_int_equal(token(r, next)->state, MF_CLOUD_ACTIVE);
	/* Again: on record that it was asked for, and nothing else. */
	a = revoke(r, id, false);
	assert_non_null(a);
	assert_int_equal(a->credentials_ended, 0);
	assert_int_equal(mf_rig_count(r, MF_REC_CREDENTIAL_ENDED), 1);
	mf_rig_assert_all(r, true);
	assert_int_equal(cloud.revoking_n, 0);
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

/* What would only expire is denied when a person asks, and still is when its job ends before anybody confirmed. */
static void
test_on_end_expire(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char id[MF_STATE_ID_MAX];
	mint(r, "short", id);
	assert_non_null(revoke(r, id, false));
	assert_string_equal(asked(r)->deny[0]->value, id);
	assert_true(mf_rig_revoked(r, "transient", 0));
	(void)mf_rig_end(r, 1, 1, job.key, job.lease);
	for (unsigned i = 0; i < 5; i++)
		mf_rig_advance(r, 1000);
	assert_string_equal(asked(r)->deny[0]->tag, "mayfly-job");
	assert_true(mf_rig_revoked(r, NULL, 0));
	assert_int_equal(token(r, id)->level, 2);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* For good: every token of the grant is over, the next is refused by that name, in every epoch and after every restart. */
static void
test_final_token(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char old[MF_STATE_ID_MAX], id[MF_STATE_ID_MAX], other[MF_STATE_ID_MAX];
	mint(r, "data", old);
	mint(r, "data", id);
	const Mayfly__Admin__V1__RemovalResponse *a = revoke(r, id, true);
	assert_non_null(a);
	assert_string_equal(a->grant_ended, "cloud:data");
	assert_int_equal(a->credentials_ended, 2);
	assert_int_equal(token(r, old)->state, MF_CLOUD_ENDED);
	assert_int_equal(mf_rig_count(r, MF_REC_GRANT_ENDED), 1);
	const Mayfly__Agent__V1__CloudEnded *told = last_push(r, 1, CLOUD_ENDED)->cloud_ended;
	assert_string_equal(told->credential_id, "");
	assert_false(told->may_ask_again);
	assert_int_equal(asked(r)->n_deny, 2);
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "revoked cloud:data"));
	mint(r, "other", other);	       /* the rest goes on */
	assert_non_null(revoke(r, old, true)); /* again */
	assert_int_equal(mf_rig_count(r, MF_REC_GRANT_ENDED), 1);
	mf_rig_check_every_prefix(r);
	mf_rig_crash(r);
	assert_non_null(mf_lease_final(mf_rig_lease(r, job.lease), "cloud:data"));
	mf_rig_cloud_free(r);
}

static const struct mf_cred *
svid(const struct rig *r, bool jwt)
{
	const struct mf_cred *found = NULL;
	MF_LIST_EACH(p, &mf_rig_lease(r, job.lease)->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if ((c->kid[0] != '\0') == jwt)
			found = c;
	}
	assert_non_null(found);
	return found;
}

static uint64_t
mint_jwt(struct rig *r)
{
	static const char *const aud[] = { "vault.example" };
	return mf_rig_mint(r, 1, 1, job.lease, job.epoch, svid(r, false)->spiffe_id, aud, 1);
}

/* A certificate: its node is told to replace it, and does; the old one is said to be accepted until it expires. */
static void
test_one_certificate(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_job(&job);
	char serial[41];
	memcpy(serial, svid(r, false)->serial, sizeof(serial));
	char part[16];
	(void)snprintf(part, sizeof(part), "%.12s", serial); /* a unique beginning will do */
	const Mayfly__Admin__V1__RemovalResponse *a = revoke(r, part, false);
	assert_non_null(a);
	assert_string_equal(a->subject, serial);
	assert_string_equal(a->credentials[0]->level, "stopped");
	assert_int_equal(a->credentials[0]->dead_at, svid(r, false)->exp);
	assert_int_equal(a->credentials[0]->record_index, a->record_index);
	assert_string_equal(last_push(r, 1, SVID_ENDED)->svid_ended->serial, serial);
	uint64_t req = mf_rig_renew(r, 1, 1, job.lease, job.epoch);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	assert_string_not_equal(svid(r, false)->serial, serial);
	assert_int_equal(svid(r, false)->ended_us, 0);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

static void
test_final_identity(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_job(&job);
	uint64_t req = mint_jwt(r);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), 0);
	char id[MF_LIM_SPIFFE_ID + 1];
	(void)snprintf(id, sizeof(id), "%s", svid(r, false)->spiffe_id);
	const Mayfly__Admin__V1__RemovalResponse *a = revoke(r, svid(r, false)->serial, true);
	assert_non_null(a);
	assert_string_equal(a->grant_ended, id);
	assert_int_equal(a->credentials_ended, 2); /* its JWT too */
	assert_true(svid(r, true)->ended_us != 0);
	req = mint_jwt(r);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	/* The other identity goes on, with the first key that was sent. */
	req = mf_rig_renew(r, 1, 1, job.lease, job.epoch);
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	assert_int_equal(g->n_issued, 1);
	assert_int_equal(g->issued[0]->point, 0);
	assert_string_not_equal(g->issued[0]->spiffe_id, id);
	mf_rig_check_every_prefix(r);
	/* Another epoch of the lease changes nothing. */
	mf_rig_advance(r, 301000);
	req = mf_rig_attach(r, 1, 1, job.key, "train", "alice");
	mf_rig_settle(r);
	g = mf_rig_grant(r, 1, req);
	assert_non_null(g);
	assert_int_equal(g->n_issued, 1);
	assert_string_not_equal(g->issued[0]->spiffe_id, id);
	/* With the last one gone it has nothing. */
	assert_non_null(revoke(r, g->issued[0]->serial, true));
	req = mf_rig_renew(r, 1, 1, job.lease, g->epoch);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "for good"));
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

static void
test_one_jwt(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_job(&job);
	(void)mint_jwt(r);
	mf_rig_settle(r);
	char jti[41];
	memcpy(jti, svid(r, true)->serial, sizeof(jti));
	const Mayfly__Admin__V1__RemovalResponse *a = revoke(r, jti, false);
	assert_non_null(a);
	assert_string_equal(a->credentials[0]->kind, "jwt-svid");
	assert_string_equal(last_push(r, 1, SVID_ENDED)->svid_ended->serial, jti);
	uint64_t req = mint_jwt(r);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), 0);
	assert_string_not_equal(svid(r, true)->serial, jti);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* Revoked between its record and the moment when it would leave: nobody gets it. */
static void
test_before_it_leaves(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	uint64_t req = mf_rig_mint_cloud(r, &job, "data");
	mf_rig_settle(r);
	mf_rig_assert_all(r, true);
	assert_true(mf_rig_bring(r));
	const struct mf_list *all = mf_state_clouds(mf_engine_state(r->e));
	char id[MF_STATE_ID_MAX];
	memcpy(id, MF_LIST_ITEM(all->next, struct mf_cloud_cred, at)->id, sizeof(id));
	assert_null(mf_rig_answer(r, 1, req));
	assert_non_null(revoke(r, id, false));
	assert_null(mf_rig_cloud_grant(r, req));
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	uint64_t renewal = mf_rig_renew(r, 1, 1, job.lease, job.epoch);
	mf_rig_sign(r, true);
	char serial[41];
	memcpy(serial, svid(r, false)->serial, sizeof(serial));
	assert_non_null(revoke(r, serial, false));
	assert_int_equal(mf_rig_refusal(r, 1, renewal), UNAVAILABLE);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* An intent, at every step of its way: no token leaves, and what may have been made is taken back. */
static void
test_while_it_is_made(void **state)
{
	MF_UNUSED(state);
	for (unsigned when = 0; when < 3; when++)
		for (unsigned final = 0; final < 2; final++) {
			struct rig *r = mf_rig_with_cloud(&cloud, &job);
			uint64_t req = mf_rig_mint_cloud(r, &job, "data");
			const struct mf_list *all = mf_state_clouds(mf_engine_state(r->e));
			char id[MF_STATE_ID_MAX];
			memcpy(id, MF_LIST_ITEM(all->next, struct mf_cloud_cred, at)->id, sizeof(id));
			if (when == 1)
				mf_rig_commit(r);
			if (when == 2) {
				mf_rig_commit(r);
				mf_rig_assert_all(r, true);
			}
			assert_non_null(revoke(r, id, final == 1));
			mf_rig_settle(r);
			mf_rig_assert_all(r, true);
			bool brought = mf_rig_bring(r);
			mf_rig_settle(r);
			assert_int_equal(brought, when == 2);
			assert_null(mf_rig_cloud_grant(r, req));
			assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
			assert_int_equal(mf_rig_count(r, MF_REC_CLOUD_ISSUED), 0);
			if (brought) {
				assert_int_equal(token(r, id)->state, MF_CLOUD_ENDED);
				assert_true(token(r, id)->orphan && token(r, id)->asked);
			}
			mf_rig_check_every_prefix(r);
			mf_rig_cloud_free(r);
		}
}

/* The broker dies before it is recorded: what the supervisor keeps is done at the next start. */
static void
test_a_crash(void **state)
{
	MF_UNUSED(state);
	for (unsigned final = 0; final < 2; final++) {
		struct rig *r = mf_rig_with_cloud(&cloud, &job);
		char id[MF_STATE_ID_MAX], kept[128];
		mint(r, "data", id);
		size_t durable = (size_t)r->durable;
		assert_non_null(revoke(r, id, final == 1));
		memcpy(kept, r->kept, sizeof(kept));
		r->durable = durable; /* nothing of it reached the disk */
		mf_rig_crash(r);
		assert_int_equal(token(r, id)->state, MF_CLOUD_ACTIVE);
		mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
		mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept)); /* twice changes nothing */
		assert_int_equal(token(r, id)->state, MF_CLOUD_ENDED);
		assert_int_equal(mf_rig_count(r, MF_REC_CREDENTIAL_ENDED), 1);
		assert_int_equal(mf_rig_count(r, MF_REC_GRANT_ENDED), final);
		mf_rig_check_replay(r);
		mf_rig_cloud_free(r);
	}
}

/* A node that was away is told behind the answer to its resync. */
static void
test_missed(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char id[MF_STATE_ID_MAX], data[MF_STATE_ID_MAX], serial[41];
	mint(r, "other", id);
	mint(r, "data", data);
	mf_engine_session_gone(r->e, r->now, 1);
	memcpy(serial, svid(r, false)->serial, sizeof(serial));
	assert_non_null(revoke(r, id, false));
	assert_non_null(revoke(r, data, true));
	assert_non_null(revoke(r, serial, false));
	assert_int_equal(mf_rig_pushes(r, 1, CLOUD_ENDED), 0);
	const char *const keys[] = { job.key }, *const leases[] = { job.lease };
	assert_non_null(mf_rig_hello(r, 2, 1, RIG_BOOT, job.value, sizeof(job.value), NULL));
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
	up.session_stored = &stored;
	mf_rig_settle(r);
	(void)mf_rig_up(r, 2, 1, &up);
	assert_non_null(mf_rig_resync(r, 2, 1, keys, leases, &job.epoch, 1));
	mf_rig_settle(r);
	assert_int_equal(mf_rig_pushes(r, 2, CLOUD_ENDED), 3); /* the token, the other one, and its grant */
	assert_string_equal(last_push(r, 2, SVID_ENDED)->svid_ended->serial, serial);
	mf_rig_cloud_free(r);
}

/* Which is meant must be clear, and what is nobody's job's has another way. */
static void
test_refused(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char a[MF_STATE_ID_MAX], b[MF_STATE_ID_MAX];
	mint(r, "data", a);
	mint(r, "other", b);
	size_t n = 0;
	while (a[n] == b[n])
		n++;
	assert_true(n > 0);
	char part[MF_STATE_ID_MAX];
	(void)snprintf(part, sizeof(part), "%.*s", (int)n, a);
	assert_null(revoke(r, part, false));
	assert_non_null(strstr(r->reply->error, "begin so"));
	assert_null(revoke(r, "nothing-of-ours", false));
	assert_string_equal(r->reply->error_code, "not_found");
	assert_null(revoke(r, "", false));
	assert_int_equal(mf_rig_count(r, MF_REC_REVOKE_REQUESTED), 0);
	(void)mf_rig_end(r, 1, 1, job.key, job.lease); /* it is over anyway */
	mf_rig_settle(r);
	const Mayfly__Admin__V1__RemovalResponse *done = revoke(r, a, true);
	assert_non_null(done);
	assert_int_equal(done->credentials_ended, 0);
	assert_string_equal(done->grant_ended, "");
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* ---- policy ---- */

static void
set_policy(struct rig *r, const char *who, char letter)
{
	char hex[65];
	memset(hex, letter, 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_cloud_policy("20m", who), hex);
	mf_rig_advance(r, 1000);
	mf_rig_settle(r);
}

/* A policy that takes the grants away takes the tokens back; the same policy, or one that still gives them, does not. */
static void
test_policy(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char a[MF_STATE_ID_MAX], b[MF_STATE_ID_MAX];
	mint(r, "data", a);
	mint(r, "data", b);
	set_policy(r, "alice", 'c');
	set_policy(r, "alice", 'd'); /* another file, the same rules */
	assert_int_equal(mf_rig_count(r, MF_REC_CREDENTIAL_ENDED), 0);
	set_policy(r, "bob", 'e');
	assert_int_equal(mf_rig_count(r, MF_REC_CREDENTIAL_ENDED), 2);
	assert_int_equal(token(r, a)->state, MF_CLOUD_ENDED);
	assert_int_equal(token(r, b)->state, MF_CLOUD_ENDED);
	const Mayfly__Agent__V1__CloudEnded *told = last_push(r, 1, CLOUD_ENDED)->cloud_ended;
	assert_non_null(strstr(told->reason, "policy"));
	assert_true(told->may_ask_again); /* the next policy may give it again */
	assert_int_equal(asked(r)->n_deny, 2);
	assert_non_null(strstr(r->said, "2 cloud tokens are taken back"));
	assert_true(mf_rig_revoked(r, NULL, 0));
	mf_rig_settle(r);
	assert_int_equal(token(r, a)->level, 2);
	set_policy(r, "alice", 'f');
	mint(r, "data", a);
	mf_rig_check_every_prefix(r);
	mf_rig_cloud_free(r);
}

/* The sweep was cut by a crash, or the file changed while the broker was down: it is done at the next start. */
static void
test_policy_after_a_crash(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char a[MF_STATE_ID_MAX], hex[65];
	mint(r, "data", a);
	memset(hex, 'e', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_cloud_policy("20m", "bob"), hex);
	mf_rig_commit(r);
	mf_rig_crash(r); /* before the first tick; what the rig then loads gives no cloud tokens at all */
	assert_int_equal(token(r, a)->state, MF_CLOUD_ACTIVE);
	mf_rig_advance(r, 1000);
	mf_rig_settle(r);
	assert_int_equal(token(r, a)->state, MF_CLOUD_ENDED);
	mf_rig_check_replay(r);
	mf_rig_cloud_free(r);
}

/* ---- lists ---- */

/* What a removal ended, and nothing else; in pages that hold all of it. */
static void
test_pages(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char id[MF_STATE_ID_MAX], page[32] = "", key[256];
	mint(r, "data", id);
	for (unsigned i = 0; i < 600; i++) {
		mf_rig_instance_key(key, job.node, RIG_BOOT, 10 + i);
		uint64_t req = mf_rig_attach(r, 1, 1, key, "train", "alice");
		mf_rig_settle(r);
		assert_non_null(mf_rig_grant(r, 1, req));
		if (i % 100 == 99)
			mf_rig_forget_answers(r);
	}
	assert_int_equal(list(r, job.id, "")->n_credentials, 0); /* nothing is over */
	(void)mf_rig_end_job(r, job.id, false);
	const Mayfly__Admin__V1__ListCredentialsResponse *l = list(r, job.id, "");
	assert_int_equal(l->n_credentials, 3); /* two identities, one token */
	assert_string_equal(l->next_page, "");
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__FreezeRequest q = MAYFLY__ADMIN__V1__FREEZE_REQUEST__INIT;
	char kind[] = "person", who[] = "unix:alice";
	q.kind = kind;
	q.name = who;
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_FREEZE;
	call.freeze = &q;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_settle(r);
	size_t n = 0, pages = 0;
	do {
		l = list(r, "person:unix:alice", page);
		n += l->n_credentials;
		pages++;
		(void)snprintf(page, sizeof(page), "%s", l->next_page);
	} while (page[0] != '\0');
	assert_int_equal(n, 603);
	assert_true(pages > 1);
	assert_int_equal(list(r, "person:unix:bob", "")->n_credentials, 0);
	assert_int_equal(list(r, job.node, "")->n_credentials > 100, 1);
	mf_rig_cloud_free(r);
}

static void
test_show(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_with_cloud(&cloud, &job);
	char id[MF_STATE_ID_MAX];
	mint(r, "data", id);
	assert_non_null(revoke(r, id, false));
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__GetCredentialRequest q = MAYFLY__ADMIN__V1__GET_CREDENTIAL_REQUEST__INIT;
	q.match = id;
	call.call_id = 1;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_CREDENTIAL;
	call.get_credential = &q;
	mf_engine_admin(r->e, r->now, &call);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIAL);
	const Mayfly__Admin__V1__CredentialDetail *d = r->reply->credential;
	assert_string_equal(d->credential->id, id);
	assert_string_equal(d->credential->grant, "data");
	assert_string_equal(d->lease_id, job.lease);
	assert_string_equal(d->target, "lab");
	assert_string_equal(d->role, "role-1");
	assert_string_equal(d->provider_session, "AKID");
	assert_int_equal(strlen(d->scope_sha256), 64);
	assert_int_equal(d->n_records, 3);
	assert_int_equal(d->records[0]->index, token(r, id)->index);
	assert_int_equal(d->records[2]->index, token(r, id)->ended_index);
	char serial[41];
	memcpy(serial, svid(r, false)->serial, sizeof(serial));
	q.match = serial;
	mf_engine_admin(r->e, r->now, &call);
	d = r->reply->credential;
	assert_string_equal(d->credential->kind, "x509-svid");
	assert_string_equal(d->key_id, RIG_FIRST_CA);
	assert_int_equal(d->n_records, 1);
	mf_rig_cloud_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_token),
		cmocka_unit_test(test_on_end_expire),
		cmocka_unit_test(test_final_token),
		cmocka_unit_test(test_one_certificate),
		cmocka_unit_test(test_final_identity),
		cmocka_unit_test(test_one_jwt),
		cmocka_unit_test(test_before_it_leaves),
		cmocka_unit_test(test_while_it_is_made),
		cmocka_unit_test(test_a_crash),
		cmocka_unit_test(test_missed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_policy_after_a_crash),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_show),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
