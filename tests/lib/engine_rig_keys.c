/* The rig's part about keys: orders are kept for the test, bundles are compared with what their number stood for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/jwk_set.h"
#include "crypto/hash.h"
#include "engine_rig.h"

/* A DER SEQUENCE that names its key: bundles cut it, nobody else looks at it. */
const uint8_t mf_rig_first_der[5] = { 0x30, 0x03, 0x02, 0x01, 0x00 };

void
mf_rig_op_make_key(void *ctx, const struct mf_key_order *order)
{
	struct rig *r = ctx;
	assert_int_equal(r->order.ticket, 0);
	r->order = *order;
}

void
mf_rig_op_forget_key(void *ctx, const char *use, const char *id)
{
	struct rig *r = ctx;
	assert_non_null(mf_key_use_find(mf_slice_str(use)));
	(void)snprintf(r->forgotten, sizeof(r->forgotten), "%s", id);
	r->forgotten_n++;
}

/* A number stands for one content for ever, and is never out before its record is on disk. */
void
mf_rig_op_publish(void *ctx, uint64_t number, struct mf_slice bundle_der)
{
	struct rig *r = ctx;
	struct mf_state *st = mf_rig_replay(r, (size_t)r->durable);
	uint8_t sha[32];
	assert_true(mf_state_bundle(st, MF_KEY_IN_X509) >= number);
	mf_state_free(st);
	mf_sha256(bundle_der, sha);
	assert_true(number > r->bundle_number ||
		    (number == r->bundle_number && memcmp(sha, r->bundle_sha256, 32) == 0));
	r->bundle_number = number;
	memcpy(r->bundle_sha256, sha, sizeof(sha));
	r->bundle_certs = 0;
	for (size_t i = 0; i < bundle_der.n; i += 2u + bundle_der.p[i + 1])
		r->bundle_certs++;
}

void
mf_rig_op_jwt_bundle(void *ctx, uint64_t number, struct mf_slice jwks)
{
	struct rig *r = ctx;
	struct mf_jwk_set *set = NULL;
	struct mf_err err = { 0 };
	struct mf_state *st = mf_rig_replay(r, (size_t)r->durable);
	assert_true(mf_state_bundle(st, MF_KEY_IN_JWT) >= number);
	mf_state_free(st);
	if (mf_jwk_set_read(jwks, MF_JWKS_SPIFFE, &set, &err) != MF_OK)
		fail_msg("JWT bundle: %s", err.msg);
	mf_jwk_set_free(set);
	assert_true(
	    number > r->jwt_number || (number == r->jwt_number && mf_slice_eq_str(jwks, r->jwt_bundle)));
	free(r->jwt_bundle);
	r->jwt_bundle = mf_slice_dup_str(jwks);
	r->jwt_number = number;
}

const char *mf_rig_watch_issuer;

bool
mf_rig_op_fetch_issuer(void *ctx, uint64_t fetch_id)
{
	struct rig *r = ctx;
	r->fetch_id = r->no_courier ? 0 : fetch_id;
	return !r->no_courier;
}

bool
mf_rig_op_fetch_documents(void *ctx, uint64_t fetch_id, const char *issuer, bool loopback)
{
	MF_UNUSED(issuer);
	MF_UNUSED(loopback);
	return mf_rig_op_fetch_issuer(ctx, fetch_id);
}

/* What is published is in the durable log, and answered like a disk would. */
void
mf_rig_op_oidc(void *ctx, const struct mf_oidc_set *set)
{
	struct rig *r = ctx;
	struct mf_state *st = mf_rig_replay(r, (size_t)r->durable);
	assert_true(mf_state_bundle(st, MF_KEY_IN_OIDC) >= set->number);
	assert_true(set->revision < r->durable && set->number >= r->oidc_number);
	mf_state_free(st);
	free(r->oidc_jwks);
	r->oidc_jwks = mf_slice_dup_str(set->jwks);
	(void)snprintf(r->oidc_x5c, sizeof(r->oidc_x5c), "%s", set->x5c);
	r->oidc_number = set->number;
	r->oidc_revision = set->revision;
	if (!r->oidc_hold && r->e != NULL)
		mf_engine_oidc_written(r->e, set->number);
}

/* ---- JWT keys: real ones, which tokens are signed with ---- */

struct mf_jws_key *mf_rig_jwt_keys[2];
static struct mf_jws_key *spares[RIG_SPARE_JWTS];
static struct mf_buf first_jwk[4]; /* of the keys that are given now */

struct mf_jws_key *
mf_rig_spare_jwt(unsigned i)
{
	assert_true(i < RIG_SPARE_JWTS);
	if (spares[i] == NULL)
		assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &spares[i], NULL), MF_OK);
	return spares[i];
}

void
mf_rig_free_spares(void)
{
	for (size_t i = 0; i < RIG_SPARE_JWTS; i++) {
		mf_jws_key_free(spares[i]);
		spares[i] = NULL;
	}
	for (size_t i = 0; i < MF_COUNT(first_jwk); i++)
		mf_buf_fini(&first_jwk[i]);
}

struct mf_jws_key *
mf_rig_jwt_key(const char *kid)
{
	for (size_t i = 0; i < MF_COUNT(mf_rig_jwt_keys) + RIG_SPARE_JWTS; i++) {
		struct mf_jws_key *k = i < 2 ? mf_rig_jwt_keys[i] : spares[i - 2];
		if (k != NULL && strcmp(mf_jws_key_kid(k), kid) == 0)
			return mf_jws_key_ref(k);
	}
	return NULL;
}

void
mf_rig_first_keys(struct mf_engine_conf *c)
{
	static const char *const uses[] = { MF_KEY_USE_JWT_ES256, MF_KEY_USE_JWT_RS256,
		MF_KEY_USE_ASSERTION_RS256, MF_KEY_USE_ASSERTION_ES256 };
	struct mf_jws_key *const keys[] = { mf_rig_jwt_keys[0], mf_rig_jwt_keys[1], mf_rig_assertion_key,
		mf_rig_assertion_es256 };
	c->watch_issuer = mf_rig_watch_issuer;
	c->first[c->first_n++] = (struct mf_key_made) { .use = mf_key_use_find(MF_SLICE_LIT(MF_KEY_USE_X509)),
		.id = RIG_FIRST_CA,
		.certificate = mf_slice(mf_rig_first_der, sizeof(mf_rig_first_der)),
		.nbf = 1,
		.exp = INT64_C(1800000000) + 90 * 86400 };
	for (size_t i = 0; i < MF_COUNT(uses); i++) {
		if (keys[i] == NULL)
			continue;
		if (first_jwk[i].n == 0) {
			mf_buf_init(&first_jwk[i], 2048);
			mf_jws_key_put_jwk(keys[i], &first_jwk[i]);
		}
		assert_int_equal(mf_buf_check(&first_jwk[i], NULL), MF_OK);
		c->first[c->first_n++] = (struct mf_key_made) { .use = mf_key_use_find(mf_slice_str(uses[i])),
			.id = mf_jws_key_kid(keys[i]),
			.jwk = mf_buf_slice(&first_jwk[i]) };
	}
}

void
mf_rig_op_distrusted(void *ctx, struct mf_slice ids)
{
	struct rig *r = ctx;
	r->distrusted_n = ids.n / 20;
}
