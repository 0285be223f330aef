/*
 * JWT keys in the engine: in the bundle before they sign, one order with issuance, tainted and revoked, kill -9 anywhere.
 * Tokens are real and judged by the bundle that is out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/jwk_set.h"
#include "codec/jws.h"
#include "codec/jwt_svid.h"
#include "engine_jobs.h"
#include "engine_keys.h"

#define DAY_MS UINT64_C(86400000)
#define ES MF_KEY_USE_JWT_ES256
#define JWT_BUNDLE MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE
#define CODE(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x

static const char *const vault[] = { "vault.example" };

struct job {
	char node[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX], name[512];
	uint8_t value[16];
	uint64_t sid;
	unsigned k;
	uint32_t epoch;
};

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_ES256, &mf_rig_jwt_keys[0], NULL) != MF_OK ||
	       mf_jws_key_generate(MF_JWS_RS256, &mf_rig_jwt_keys[1], NULL) != MF_OK;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(mf_rig_jwt_keys[0]);
	mf_jws_key_free(mf_rig_jwt_keys[1]);
	mf_rig_free_spares();
	return 0;
}

static const char *
first(void)
{
	return mf_jws_key_kid(mf_rig_jwt_keys[0]);
}

static const char *
spare(unsigned i)
{
	return mf_jws_key_kid(mf_rig_spare_jwt(i));
}

/* Node ${k} with one job of profile train. */
static void
begin(struct rig *r, struct job *j, uint64_t sid, unsigned k)
{
	char key[256];
	j->sid = sid;
	j->k = k;
	mf_rig_join(r, sid, k, j->node, j->value);
	mf_rig_instance_key(key, j->node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(r, sid, k, key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, sid, req);
	assert_non_null(g);
	(void)snprintf(j->lease, sizeof(j->lease), "%s", g->lease_id);
	(void)snprintf(j->name, sizeof(j->name), "%s", g->issued[0]->spiffe_id);
	j->epoch = g->epoch;
}

static uint64_t
mint(struct rig *r, const struct job *j)
{
	return mf_rig_mint(r, j->sid, j->k, j->lease, j->epoch, j->name, vault, 1);
}

static const char *
token(const struct rig *r, const struct job *j, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, j->sid, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT ? d->jwt_grant->token
										    : NULL;
}

/* The kid of a token; the caller frees nothing, the text lives until the next call. */
static const char *
kid_of(const char *text)
{
	static char kid[MF_JWS_KID_SIZE];
	MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
	assert_non_null(text);
	assert_int_equal(mf_jws_parse(mf_slice_str(text), &jws, NULL), MF_OK);
	assert_int_equal(mf_jws_kid(jws).n, sizeof(kid) - 1);
	memcpy(kid, mf_jws_kid(jws).p, sizeof(kid) - 1);
	return kid;
}

static const struct mf_jwk_set *
keys_of(void *ctx, struct mf_slice td)
{
	return mf_slice_eq_str(td, "example.org") ? ctx : NULL;
}

static size_t
in_bundle(const struct rig *r)
{
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	assert_int_equal(mf_jwk_set_read(mf_slice_str(r->jwt_bundle), MF_JWKS_SPIFFE, &set, NULL), MF_OK);
	return mf_jwk_set_count(set);
}

/* By the bundle that is out now. */
static bool
is_valid(const struct rig *r, const char *text)
{
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	MF_AUTO(mf_jwt_svid_free) struct mf_jwt_svid *svid = NULL;
	assert_int_equal(mf_jwk_set_read(mf_slice_str(r->jwt_bundle), MF_JWKS_SPIFFE, &set, NULL), MF_OK);
	struct mf_jwt_svid_check c = { mf_slice_str(vault[0]), r->now.wall_us / 1000000, 0, keys_of, set };
	return mf_jwt_svid_validate(mf_slice_str(text), &c, &svid, NULL) == MF_OK;
}

/* A token that comes now, valid by the bundle; the rig's. */
static const char *
fresh(struct rig *r, const struct job *j)
{
	uint64_t req = mint(r, j);
	mf_rig_settle(r);
	const char *text = token(r, j, req);
	assert_non_null(text);
	assert_true(is_valid(r, text));
	return text;
}

static void
prepare(struct rig *r, const char *use, unsigned i)
{
	mf_rig_ask_prepare(r, use);
	mf_rig_jwt_made(r, i, true);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_KEY);
	assert_string_equal(r->reply->key->key->use, use);
}

static void
activate(struct rig *r, const char *use)
{
	(void)mf_rig_activate_key(r, use, true);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_KEY);
	assert_string_equal(r->reply->key->key->state, "active");
}

static void
take_away(struct rig *r, const char *id, bool revoke)
{
	(void)mf_rig_take_key_away(r, id, revoke);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL);
	assert_true(r->reply->removal->recorded);
}

/* ---- the first keys ---- */

/* JWT-12, JWT-5: both algorithms' keys are in the bundle from the first start on, by the log's word; no restart changes it. */
static void
test_first(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = mf_rig_new();
	mf_rig_commit(r);
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_ACTIVATED), 3);
	assert_int_equal(r->jwt_number, 2);
	assert_int_equal(r->bundle_number, 1);
	assert_int_equal(in_bundle(r), 2);
	assert_non_null(strstr(r->jwt_bundle, first()));
	begin(r, &j, 1, 1);
	const Mayfly__Agent__V1__Down *v = mf_rig_push(r, 1, MAYFLY__AGENT__V1__DOWN__BODY_VOUCH);
	assert_int_equal(v->vouch->kind, JWT_BUNDLE);
	assert_int_equal(v->vouch->number, 2);
	assert_string_equal(kid_of(fresh(r, &j)), first());
	mf_rig_crash(r);
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_PREPARED), 3);
	assert_int_equal(r->jwt_number, 2);
	mf_rig_free(r);
}

/* A log of a release that recorded no JWT keys: its tokens live on, and their end is the first key's. */
static void
test_older_log(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct mf_jws_key *kept[2] = { mf_rig_jwt_keys[0], mf_rig_jwt_keys[1] };
	struct mf_record t = { .type = MF_REC_JWT_ISSUED };
	struct mf_err err = { 0 };
	mf_rig_jwt_keys[0] = mf_rig_jwt_keys[1] = NULL;
	struct rig *r = mf_rig_new();
	begin(r, &j, 1, 1);
	mf_rig_jwt_keys[0] = kept[0];
	mf_rig_jwt_keys[1] = kept[1];
	/* What that release wrote, put behind what is there. */
	MF_AUTO(mf_state_free) struct mf_state *st = mf_rig_replay(r, r->log_n);
	t.ts_us = r->now.wall_us;
	mf_record_set_str(&t, MF_RS_LEASE, j.lease);
	mf_record_set_str(&t, MF_RS_SERIAL, "00112233445566778899aabbccddeeff");
	mf_record_set_str(&t, MF_RS_KID, first());
	mf_record_set_str(&t, MF_RS_SPIFFE_ID, j.name);
	mf_record_set_num(&t, MF_RN_NBF, r->now.wall_us / 1000000);
	mf_record_set_num(&t, MF_RN_EXP, r->now.wall_us / 1000000 + 300);
	mf_record_set_num(&t, MF_RN_SLOT, 0);
	mf_record_set_num(&t, MF_RN_EPOCH, j.epoch);
	assert_int_equal(mf_state_apply(st, mf_state_size(st), &t, &err), MF_OK);
	/* Once there are keys, a token of none of them is not believed. */
	struct mf_record k = { .type = MF_REC_KEY_PREPARED, .ts_us = r->now.wall_us };
	mf_record_set_str(&k, MF_RS_KEY_ID, first());
	mf_record_set_str(&k, MF_RS_KEY_USE, ES);
	mf_record_set_str(&k, MF_RS_JWK, "{\"kty\":\"EC\"}");
	mf_record_set_num(&k, MF_RN_BUNDLE, 1);
	assert_int_equal(mf_state_apply(st, mf_state_size(st), &k, &err), MF_OK);
	mf_record_set_str(&t, MF_RS_SERIAL, "ff112233445566778899aabbccddeeff");
	assert_int_equal(mf_state_apply(st, mf_state_size(st), &t, &err), MF_E_CORRUPT);
	assert_non_null(strstr(err.msg, "not active"));
	/* And the start itself. */
	mf_rig_crash(r);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, first()), MF_KEY_ACTIVE);
	mf_rig_free(r);
}

/* ---- a life ---- */

/* FED-16 of JWT keys: "published before its first use", confirmed by who can, and gone after the last token's end. */
static void
test_life(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = mf_rig_new();
	r->features = true;
	begin(r, &j, 1, 1);
	(void)fresh(r, &j);
	mf_rig_ask_prepare(r, ES);
	mf_rig_jwt_made(r, 0, true);
	assert_int_equal(in_bundle(r), 2); /* not on disk */
	mf_rig_assert_error(mf_rig_activate_key(r, ES, true), "not on disk yet");
	mf_rig_commit(r);
	assert_int_equal(r->jwt_number, 3);
	assert_int_equal(r->bundle_number, 1); /* the other bundle is as it was */
	assert_int_equal(in_bundle(r), 3);
	assert_int_equal(mf_rig_push(r, 1, MAYFLY__AGENT__V1__DOWN__BODY_VOUCH)->vouch->number, 3);
	assert_string_equal(kid_of(fresh(r, &j)), first()); /* it does not sign */
	mf_rig_assert_error(mf_rig_activate_key(r, ES, false), "--force");
	mf_rig_advance(r, 1801000);
	mf_rig_assert_error(mf_rig_activate_key(r, ES, false), "1 of 1 connected agents");
	mf_rig_held(r, 1, 1, JWT_BUNDLE, 4); /* of a bundle that it was not told of */
	mf_rig_held(r, 1, 1, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE, 3);
	mf_rig_assert_error(mf_rig_activate_key(r, ES, false), "1 of 1 connected agents");
	mf_rig_held(r, 1, 1, JWT_BUNDLE, 3);
	(void)mf_rig_activate_key(r, ES, false);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, first()), MF_KEY_RETIRED);
	begin(r, &j, 2, 2); /* the first one was silent for half an hour */
	assert_string_equal(kid_of(fresh(r, &j)), spare(0));
	/* The other algorithm's key was not touched. */
	assert_int_equal(mf_rig_key_state(r, mf_jws_key_kid(mf_rig_jwt_keys[1])), MF_KEY_ACTIVE);
	/* Tokens of five minutes, from before the half hour: the retired one leaves, and its file is named by its use. */
	mf_rig_advance(r, 370000);
	mf_rig_commit(r);
	mf_rig_advance(r, 2000);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, first()), MF_KEY_GONE);
	assert_string_equal(r->forgotten, first());
	assert_int_equal(in_bundle(r), 2);
	assert_null(strstr(r->jwt_bundle, first()));
	assert_int_equal(r->bundle_certs, 1);
	mf_rig_free(r);
}

/* A key leaves only when the last token that it signed is dead, and tokens of its time are valid until then. */
static void
test_outlives_its_tokens(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = mf_rig_new();
	begin(r, &j, 1, 1);
	uint64_t req = mint(r, &j);
	mf_rig_settle(r);
	char text[4096];
	(void)snprintf(text, sizeof(text), "%s", token(r, &j, req));
	int64_t exp = mf_rig_answer(r, 1, req)->jwt_grant->expires;
	prepare(r, ES, 0);
	activate(r, ES);
	while (r->now.wall_us / 1000000 < exp) {
		assert_true(is_valid(r, text));
		mf_rig_advance(r, 10000);
		mf_rig_commit(r);
	}
	assert_int_equal(mf_rig_key_state(r, first()), MF_KEY_RETIRED); /* clocks of verifiers lag */
	mf_rig_advance(r, 63000);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_key_state(r, first()), MF_KEY_GONE);
	mf_rig_free(r);
}

/* Signed by one key, recorded after another became active: made anew, never granted. */
static void
test_in_flight(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = mf_rig_new();
	begin(r, &j, 1, 1);
	prepare(r, ES, 0);
	uint64_t req = mint(r, &j);
	assert_int_equal(r->jwts_n, 1);
	activate(r, ES);
	mf_rig_sign_jwts(r, true);
	assert_int_equal(mf_rig_count(r, MF_REC_JWT_ISSUED), 0);
	assert_int_equal(r->jwts_n, 1); /* again */
	mf_rig_settle(r);
	assert_string_equal(kid_of(token(r, &j, req)), spare(0));
	assert_int_equal(mf_rig_count(r, MF_REC_JWT_ISSUED), 1);
	/* The next one is in the signer's hands when its key is taken away altogether. */
	req = mint(r, &j);
	prepare(r, ES, 1);
	activate(r, ES);
	take_away(r, spare(0), false);
	take_away(r, spare(0), true);
	mf_rig_settle(r);
	assert_string_equal(kid_of(token(r, &j, req)), spare(1));
	/* Its end comes while it is signed anew: invariant 3 does not look at how often. */
	req = mint(r, &j);
	prepare(r, ES, 2);
	activate(r, ES);
	mf_rig_sign_jwts(r, true);
	char key[256];
	mf_rig_instance_key(key, j.node, RIG_BOOT, 1);
	(void)mf_rig_end(r, 1, 1, key, j.lease);
	mf_rig_settle(r);
	assert_null(token(r, &j, req));
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(ENDED));
	mf_rig_free(r);
}

/* ---- distrust ---- */

static void
test_taint_and_revoke(void **state)
{
	MF_UNUSED(state);
	struct job j, away;
	struct rig *r = mf_rig_new();
	begin(r, &j, 1, 1);
	char stolen[4096];
	(void)snprintf(stolen, sizeof(stolen), "%s", fresh(r, &j));
	mf_rig_assert_error(mf_rig_take_key_away(r, first(), false), "activate --force");
	prepare(r, ES, 0);
	activate(r, ES);
	/* Tainted: the agents hear at once, whatever the disk does. Nobody is cut off yet. */
	(void)mf_rig_take_key_away(r, first(), false);
	assert_null(r->reply);
	const Mayfly__Agent__V1__Down *d = mf_rig_push(r, 1, MAYFLY__AGENT__V1__DOWN__BODY_DISTRUST);
	assert_int_equal(d->distrust->n_key_ids, 0);
	assert_int_equal(d->distrust->n_jwt_key_ids, 1);
	assert_string_equal(d->distrust->jwt_key_ids[0], first());
	assert_int_equal(r->distrusted_n, 0); /* the front's certificate has nothing to do with it */
	mf_rig_commit(r);
	assert_int_equal(r->reply->removal->leases, 1); /* one still has a token of it */
	assert_true(is_valid(r, stolen));
	assert_string_equal(kid_of(fresh(r, &j)), spare(0));
	begin(r, &away, 2, 2); /* one that was away hears at its resync */
	assert_string_equal(
	    mf_rig_push(r, 2, MAYFLY__AGENT__V1__DOWN__BODY_DISTRUST)->distrust->jwt_key_ids[0], first());
	/* Revoked: out of the bundle with its record, at once for whoever has the new one. */
	(void)mf_rig_take_key_away(r, first(), true);
	assert_true(is_valid(r, stolen));
	mf_rig_commit(r);
	assert_false(is_valid(r, stolen));
	assert_int_equal(in_bundle(r), 2);
	assert_string_equal(r->forgotten, first());
	assert_int_equal(r->bundle_number, 1);
	/* A crash between the two changes nothing of it. */
	mf_rig_crash(r);
	assert_false(is_valid(r, stolen));
	assert_int_equal(mf_rig_key_state(r, first()), MF_KEY_REVOKED);
	/* Distrusted until the last token is dead, then forgotten without another bundle. */
	uint64_t number = r->jwt_number;
	mf_rig_advance(r, 400000);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_key_state(r, first()), MF_KEY_GONE);
	assert_int_equal(r->jwt_number, number);
	mf_rig_free(r);
}

/* What is in no bundle waits for nobody. */
static void
test_unpublished(void **state)
{
	MF_UNUSED(state);
	struct job j;
	static const char use[] = "jwt-selfserve-es256", rsa[] = "jwt-selfserve-rs256";
	struct rig *r = mf_rig_new();
	r->features = true;
	begin(r, &j, 1, 1);
	uint64_t number = r->jwt_number;
	prepare(r, use, 3);
	assert_non_null(strstr(r->reply->key->note, use));
	assert_false(r->reply->key->key->published);
	assert_string_equal(r->reply->key->key->activation, "ready");
	(void)mf_rig_activate_key(r, use, false);
	mf_rig_commit(r);
	assert_int_equal(mf_rig_key_state(r, spare(3)), MF_KEY_ACTIVE);
	prepare(r, use, 4);
	activate(r, use);
	take_away(r, spare(3), false);
	take_away(r, spare(3), true);
	mf_rig_advance(r, 62000);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_key_state(r, spare(3)), MF_KEY_GONE);
	assert_int_equal(r->jwt_number, number);
	assert_int_equal(
	    mf_rig_push(r, 1, MAYFLY__AGENT__V1__DOWN__BODY_DISTRUST)->distrust->n_jwt_key_ids, 0);
	/* Of a use that this release does not know there is nothing. */
	mf_rig_ask_prepare(r, "jwt-svid");
	mf_rig_assert_error(r->reply, "jwt-svid-es256");
	mf_rig_assert_error(mf_rig_activate_key(r, "wit-svid", true), "jwt-svid-es256");
	mf_rig_ask_prepare(r, rsa);
	mf_rig_jwt_made(r, 5, false);
	mf_rig_assert_error(r->reply, "the disk is full");
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* The file of the active key is lost: certificates are made, tokens refused with the cure; the cure works. */
static void
test_lost(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = mf_rig_new();
	begin(r, &j, 1, 1);
	prepare(r, ES, 6);
	struct mf_jws_key *lost = mf_rig_jwt_keys[0];
	mf_rig_jwt_keys[0] = NULL;
	uint64_t req = mint(r, &j);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), CODE(UNAVAILABLE));
	assert_non_null(strstr(mf_rig_answer(r, 1, req)->refusal->reason, "mayfly key prepare"));
	req = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	activate(r, ES);
	assert_string_equal(kid_of(fresh(r, &j)), spare(6));
	mf_rig_jwt_keys[0] = lost;
	mf_rig_free(r);
}

/* ---- the schedule, crashes, random histories ---- */

static void
test_schedule(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	struct job j;
	unsigned next = 0, ca = 2;
	r->scheduled = true;
	mf_rig_crash(r);
	for (unsigned day = 0; day < 500; day++) {
		for (unsigned turn = 0; turn < 8; turn++) {
			mf_rig_advance(r, DAY_MS / 8);
			char id[41];
			uint8_t der[] = { 0x30, 0x03, 0x02, 0x01, (uint8_t)ca };
			(void)snprintf(id, sizeof(id), "%040x", ca);
			struct mf_key_made m = { .ok = true,
				.id = id,
				.certificate = mf_slice(der, sizeof(der)),
				.nbf = r->order.nbf,
				.exp = r->order.exp };
			if (r->order.ticket != 0 && mf_key_use_is_x509(r->order.use)) {
				mf_rig_key_made(r, &m);
				ca++;
			} else if (r->order.ticket != 0) {
				mf_rig_jwt_made(r, next++, true);
			}
			mf_rig_commit(r);
		}
		assert_in_range(in_bundle(r), 2, 4);
		/* JWT-5: no day without a key that signs and is known. */
		const struct mf_key *k = mf_state_active_key(mf_engine_state(r->e), ES);
		assert_non_null(strstr(r->jwt_bundle, k->id));
	}
	/* Two uses, each of 90 days, the next one made when 45 are left; the CA's beside them. */
	assert_in_range(next, 2 * (500 / 46), 2 * (500 / 44) + 2);
	begin(r, &j, 1, 1);
	(void)fresh(r, &j);
	mf_rig_free(r);
}

/* One rotation, cut after each of its records: the next start goes on, and tokens are made and valid. */
static void
test_cut_anywhere(void **state)
{
	MF_UNUSED(state);
	struct job j;
	struct rig *r = mf_rig_new();
	begin(r, &j, 1, 1);
	(void)fresh(r, &j);
	prepare(r, ES, 7);
	activate(r, ES);
	take_away(r, first(), false);
	take_away(r, first(), true);
	(void)fresh(r, &j);
	size_t whole = r->log_n;
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
	for (size_t cut = 2; cut <= whole; cut++) {
		r = mf_rig_new();
		begin(r, &j, 1, 1);
		(void)fresh(r, &j);
		prepare(r, ES, 7);
		activate(r, ES);
		take_away(r, first(), false);
		take_away(r, first(), true);
		while (r->log_n > cut)
			free(r->log[--r->log_n].p);
		r->durable = r->log_n;
		/* What was out with a record that is cut now was never out: the rig knows no more of it. */
		r->jwt_number = r->bundle_number = 0;
		mf_rig_crash(r);
		mf_rig_commit(r);
		begin(r, &j, 2, 102);
		(void)fresh(r, &j);
		if (mf_state_prepared_key(mf_engine_state(r->e), ES) == NULL)
			prepare(r, ES, 8);
		activate(r, ES);
		(void)fresh(r, &j);
		mf_rig_free(r);
	}
}

static uint64_t
draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (*seed >> 33) % below;
}

/* Whatever comes between: the state refuses a token of a key that is not active at its place, and the rig a bundle too early. */
static void
one_history(uint64_t seed, bool thorough)
{
	struct job j;
	struct rig *r = mf_rig_new();
	unsigned next = 0, boots = 0;
	uint64_t sid = 1;
	begin(r, &j, sid, 1);
	for (unsigned step = 0; step < 100; step++) {
		switch (draw(&seed, 9)) {
		case 0:
			mf_rig_ask_prepare(r, ES);
			break;
		case 1:
			if (r->order.ticket != 0 && next < RIG_SPARE_JWTS)
				mf_rig_jwt_made(r, next++, draw(&seed, 4) != 0);
			break;
		case 2:
			(void)mf_rig_activate_key(r, ES, true);
			break;
		case 3:
			(void)mf_rig_take_key_away(
			    r, next == 0 ? first() : spare((unsigned)draw(&seed, next)), draw(&seed, 2) == 0);
			break;
		case 4:
		case 5:
			(void)mint(r, &j);
			break;
		case 6:
			mf_rig_sign(r, true);
			break;
		case 7:
			mf_rig_commit(r);
			break;
		default:
			if (boots++ % 3 != 0)
				break;
			mf_rig_crash(r);
			sid++;
			begin(r, &j, sid, (unsigned)sid + 100);
			break;
		}
	}
	mf_rig_settle(r);
	assert_false(r->sent_undurable);
	(void)fresh(r, &j);
	if (thorough)
		mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

static void
test_histories(void **state)
{
	MF_UNUSED(state);
	for (uint64_t i = 1; i <= 60; i++)
		one_history(i * UINT64_C(7919), i % 20 == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_older_log),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_outlives_its_tokens),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_taint_and_revoke),
		cmocka_unit_test(test_unpublished),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_histories),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
