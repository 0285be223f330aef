#include "engine_rig_cloud.h"
#include "rig_handles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/policy/policy_load.h"

struct mf_jws_key *mf_rig_assertion_key, *mf_rig_assertion_es256;

struct mf_jws_key *
mf_rig_op_assertion_key(void *ctx, const char *kid)
{
	MF_UNUSED(ctx);
	struct mf_jws_key *const all[] = { mf_rig_assertion_key, mf_rig_assertion_es256 };
	for (size_t i = 0; i < MF_COUNT(all); i++)
		if (all[i] != NULL && strcmp(kid, mf_jws_key_kid(all[i])) == 0)
			return mf_jws_key_ref(all[i]);
	return NULL;
}

/* Is the intent on disk? */
static bool
is_durable(const struct rig *r, const char *cred)
{
	struct mf_state *st = mf_rig_replay(r, (size_t)r->durable);
	bool there = mf_state_cloud(st, mf_slice_str(cred)) != NULL;
	mf_state_free(st);
	return there;
}

void
mf_rig_op_sign_assertion(void *ctx, struct mf_assertion_request *req)
{
	struct rig_cloud *c = ((struct rig *)ctx)->cloud;
	assert_true(c->signing_n < RIG_MINTS);
	c->signing[c->signing_n++] = req;
}

bool
mf_rig_op_mint(void *ctx, const Mayfly__Roles__V1__MintRequest *req)
{
	struct rig *r = ctx;
	struct rig_cloud *c = r->cloud;
	static uint8_t b[65536];
	if (c->away)
		return false;
	bool was = mf_rig_spare(true);
	if (c->asked_in_all < 64 && !r->lean) /* a replay for each is dear */
		c->undurable |= !is_durable(r, req->credential_id);
	size_t n = mayfly__roles__v1__mint_request__pack(req, b);
	assert_true(c->asked_n < RIG_MINTS && n < sizeof(b));
	c->asked[c->asked_n++] = mayfly__roles__v1__mint_request__unpack(NULL, n, b);
	c->asked_in_all++;
	(void)mf_rig_spare(was);
	return true;
}

bool
mf_rig_op_revoke(void *ctx, const Mayfly__Roles__V1__CloudRevokeRequest *req)
{
	struct rig_cloud *c = ((struct rig *)ctx)->cloud;
	static uint8_t b[262144];
	if (c->away)
		return false;
	bool was = mf_rig_spare(true);
	size_t n = mayfly__roles__v1__cloud_revoke_request__get_packed_size(req);
	assert_true(c->revoking_n < RIG_MINTS && n < sizeof(b));
	(void)mayfly__roles__v1__cloud_revoke_request__pack(req, b);
	c->revoking[c->revoking_n++] = mayfly__roles__v1__cloud_revoke_request__unpack(NULL, n, b);
	c->revoked_in_all++;
	(void)mf_rig_spare(was);
	return true;
}

void
mf_rig_forget_revoking(struct rig *r)
{
	struct rig_cloud *c = r->cloud;
	mayfly__roles__v1__cloud_revoke_request__free_unpacked(c->revoking[0], NULL);
	memmove(c->revoking, c->revoking + 1, --c->revoking_n * sizeof(c->revoking[0]));
}

bool
mf_rig_revoked(struct rig *r, const char *error, int64_t dead_at)
{
	struct rig_cloud *c = r->cloud;
	Mayfly__Roles__V1__CloudRevokeResult res = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	char word[32];
	if (c->revoking_n == 0)
		return false;
	(void)snprintf(word, sizeof(word), "%s", error == NULL ? "" : error);
	res.revoke_id = c->revoking[0]->revoke_id;
	res.confirmed = error == NULL;
	res.error = word;
	res.level = c->revoking[0]->older_than > 0 ? 3 : 2;
	res.dead_at = dead_at;
	mf_rig_forget_revoking(r);
	mf_engine_revoked(r->e, r->now, &res);
	return true;
}

const struct mf_token_backend *
mf_rig_op_backend(void *ctx, const char *name)
{
	struct rig_cloud *c = ((struct rig *)ctx)->cloud;
	return c != NULL && strcmp(name, c->backend.name) == 0 ? &c->backend : NULL;
}

static enum mf_status
render(const Mayfly__Roles__V1__CloudTarget *t, const struct mf_scope *s, int64_t not_after,
    struct mf_buf *to, struct mf_err *err)
{
	MF_UNUSED(t);
	for (size_t i = 0; i < s->statements_n; i++)
		for (size_t k = 0; k < s->statements[i].resources_n; k++) {
			mf_buf_put_slice(to, s->statements[i].resources[k]);
			mf_buf_put_u8(to, '\n');
		}
	if (not_after != 0)
		mf_buf_putf(to, "until %lld\n", (long long)not_after);
	return mf_buf_check(to, err);
}

struct mf_policy *
mf_rig_cloud_policy(const char *ttl, const char *who)
{
	char text[4096];
	(void)snprintf(text, sizeof(text),
	    "mayfly_policy: 1\n"
	    "profiles:\n"
	    "  train:\n"
	    "    purpose: training\n"
	    "    owner: t\n"
	    "    max_job: 1h\n"
	    "    identities: [{path: \"/{tenant}/job/{job}\"}]\n"
	    "    cloud:\n"
	    "      - {name: data, target: lab, role: role-1, ttl: %s, scope: [{actions: [get], resources: "
	    "[\"runs/{run}/*\"]}]}\n"
	    "      - {name: short, target: lab, on_end: expire, max_residual: 5m, scope: [{actions: [get], "
	    "resources: [a]}]}\n"
	    "      - {name: other, target: lab, ttl: 20m, allow_overhang: true, scope: [{actions: [get], "
	    "resources: [b]}]}\n"
	    "      - {name: nowhere, target: gone, scope: [{actions: [get], resources: [b]}]}\n"
	    "rules:\n"
	    "  - {id: r1, effect: permit, profile: train, owner: t, review_by: 2090-01-01, nodes: any, when: "
	    "{contains: [attested.unix.user, %s]}}\n",
	    ttl, who);
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new("p");
	struct mf_policy *p = NULL;
	struct mf_err err = { 0 };
	if (mf_policy_load(mf_slice_str(text), problems, &p, &err) != MF_OK)
		fail_msg("cloud policy: %s", err.msg);
	return p;
}

void
mf_rig_cloud_conf(struct rig *r)
{
	char name[] = "lab", backend[] = "fake", endpoint[] = "https://sts.example",
	     issuer[] = "https://issuer.example", region[] = "r1", es256[] = "ES256";
	Mayfly__Roles__V1__CloudTarget t = MAYFLY__ROLES__V1__CLOUD_TARGET__INIT, *pt = &t;
	Mayfly__Roles__V1__CloudConf conf = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	char hex[65];
	t.name = name;
	t.backend = backend;
	t.endpoint = endpoint;
	t.region = region;
	if (r->cloud != NULL && r->cloud->es256)
		t.algorithm = es256;
	if (r->cloud != NULL && r->cloud->handles != NULL)
		mf_rig_handles_target(r->cloud->handles, &t);
	conf.issuer = issuer;
	conf.n_targets = 1;
	conf.targets = &pt;
	assert_int_equal(mf_engine_cloud(r->e, &conf, NULL), MF_OK);
	memset(hex, 'c', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_cloud_policy("20m", "alice"), hex);
	mf_rig_settle(r);
}

struct rig *
mf_rig_with_cloud(struct rig_cloud *c, struct rig_job *j)
{
	memset(c, 0, sizeof(*c));
	mf_rig_cloud_backend(c);
	struct rig *r = mf_rig_with_job(j);
	r->cloud = c;
	mf_rig_cloud_conf(r);
	return r;
}

void
mf_rig_cloud_backend(struct rig_cloud *c)
{
	c->backend = (struct mf_token_backend) { .name = "fake",
		.caps = { .kind = "aws",
		    .audience = "sts.example",
		    .ttl_min_s = 900,
		    .ttl_max_s = 43200,
		    .ttl_default_s = 3600,
		    .ttl_settable = true,
		    .bomb = true,
		    .tags = true,
		    .levels = MF_REVOKE_STOPPED | MF_REVOKE_DENIED },
		.render_scope = render };
}

void
mf_rig_forget_asked(struct rig *r)
{
	struct rig_cloud *c = r->cloud;
	mayfly__roles__v1__mint_request__free_unpacked(c->asked[0], NULL);
	memmove(c->asked, c->asked + 1, --c->asked_n * sizeof(c->asked[0]));
}

void
mf_rig_cloud_free(struct rig *r)
{
	struct rig_cloud *c = r->cloud;
	while (c->asked_n > 0)
		mf_rig_forget_asked(r);
	while (c->revoking_n > 0)
		mf_rig_forget_revoking(r);
	for (size_t i = 0; i < c->signing_n; i++)
		mf_assertion_request_free(c->signing[i]);
	c->signing_n = 0;
	assert_false(c->undurable);
	assert_false(r->sent_undurable);
	mf_rig_free(r);
}

uint64_t
mf_rig_mint_cloud(struct rig *r, const struct rig_job *j, const char *grant)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintCloud m = MAYFLY__AGENT__V1__MINT_CLOUD__INIT;
	char lease[MF_STATE_ID_MAX], name[64];
	(void)snprintf(lease, sizeof(lease), "%s", j->lease);
	(void)snprintf(name, sizeof(name), "%s", grant);
	m.lease_id = lease;
	m.epoch = j->epoch;
	m.grant = name;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD;
	up.mint_cloud = &m;
	return mf_rig_up(r, 1, 1, &up);
}

void
mf_rig_assert_all(struct rig *r, bool ok)
{
	struct mf_assertion_request *todo[RIG_MINTS];
	size_t n = r->cloud->signing_n;
	memcpy(todo, r->cloud->signing, n * sizeof(todo[0]));
	r->cloud->signing_n = 0;
	for (size_t i = 0; i < n; i++) {
		mf_engine_assertion_signed(r->e, r->now, todo[i]->ticket,
		    ok ? MF_SLICE_LIT("header.claims.signature") : mf_slice(NULL, 0), mf_slice(NULL, 0));
		mf_assertion_request_free(todo[i]);
	}
}

Mayfly__Roles__V1__MintResult
mf_rig_good_result(const struct rig *r, const Mayfly__Roles__V1__MintRequest *q, uint8_t token[256])
{
	static char id[] = "AKID", secret[] = "secret", session[] = "session-token", request[] = "req-1",
		    principal[] = "arn:aws:sts::1:assumed-role/r/s";
	Mayfly__Roles__V1__MintResult m = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	Mayfly__Roles__V1__CloudToken t = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	t.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS;
	t.access_key_id = id;
	t.secret_access_key = secret;
	t.session_token = session;
	m.mint_id = q->mint_id;
	m.minted = true;
	m.token.len = mayfly__roles__v1__cloud_token__pack(&t, token);
	m.token.data = token;
	m.expires = r->now.wall_us / 1000000 + q->ttl_s;
	m.provider_request_id = request;
	m.principal = principal;
	m.provider_session = id;
	return m;
}

bool
mf_rig_bring(struct rig *r)
{
	uint8_t token[256];
	if (r->cloud->asked_n == 0)
		return false;
	Mayfly__Roles__V1__MintResult m = mf_rig_good_result(r, r->cloud->asked[0], token);
	if (r->cloud->handles != NULL)
		mf_rig_handles_result(r->cloud->handles, r->cloud->asked[0], &m);
	mf_engine_minted(r->e, r->now, &m);
	mf_rig_forget_asked(r);
	return true;
}

const Mayfly__Agent__V1__CloudGrant *
mf_rig_cloud_grant(const struct rig *r, uint64_t request)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, request);
	return d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT ? d->cloud_grant : NULL;
}

/* ---- of a whole program ---- */

int
mf_rig_cloud_setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_RS256, &mf_rig_assertion_key, NULL) == MF_OK ? 0 : -1;
}

int
mf_rig_cloud_teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(mf_rig_assertion_key);
	mf_rig_assertion_key = NULL;
	mf_rig_free_spares();
	return 0;
}
