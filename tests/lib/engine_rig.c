#include "engine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"
#include "codec/join_token.h"
#include "crypto/hash.h"

#define TD "example.org"
#define ORIGIN "example.org/mayfly/b1"

/* ---- a seed makes a history ---- */

static void
fill(void *ctx, void *to, size_t n)
{
	struct rig *r = ctx;
	uint8_t *p = to;
	for (size_t i = 0; i < n; i++) {
		r->seed = r->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		p[i] = (uint8_t)(r->seed >> 56);
	}
}

/* ---- what the engine asks for ---- */

static void
op_sign(void *ctx, struct mf_sign_request *req)
{
	struct rig *r = ctx;
	assert_true(r->signing_n < MF_COUNT(r->signing));
	r->signing[r->signing_n++] = req;
}

static struct mf_jws_key *
op_jwt_key(void *ctx, const char *kid)
{
	MF_UNUSED(ctx);
	return mf_rig_jwt_key(kid);
}

static void
op_sign_jwt(void *ctx, struct mf_jwt_request *req)
{
	struct rig *r = ctx;
	assert_true(r->jwts_n < MF_COUNT(r->jwts));
	r->jwts[r->jwts_n++] = req;
}

static void
op_append(void *ctx, uint64_t index, struct mf_slice record, bool removal)
{
	struct rig *r = ctx;
	assert_int_equal(index, r->log_n);
	if (r->lean) {
		r->log_n++;
		return;
	}
	bool was = mf_rig_spare(true);
	if (r->log_n == r->log_cap) {
		r->log_cap = r->log_cap == 0 ? 256 : r->log_cap * 2;
		r->log = realloc(r->log, r->log_cap * sizeof(*r->log));
		assert_non_null(r->log);
	}
	uint8_t *p = malloc(record.n);
	assert_non_null(p);
	memcpy(p, record.p, record.n);
	r->log[r->log_n++] = (struct rig_record) { p, record.n, removal };
	if (r->tee != NULL)
		r->tee(r->tee_ctx, record, removal);
	(void)mf_rig_spare(was);
}

static bool
is_secret(const Mayfly__Agent__V1__Down *d)
{
	return d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_GRANT ||
	       d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_WELCOME ||
	       d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT ||
	       d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_OUTER_CERTIFICATE;
}

/* Invariant 1 from outside: whatever is secret or signed is in a durable record when it leaves. */
static bool
recorded_durably(const struct rig *r, const char *serial)
{
	for (size_t i = r->durable < r->log_n ? (size_t)r->durable : r->log_n; i-- > 0;)
		if (memmem(r->log[i].p, r->log[i].n, serial, strlen(serial)) != NULL)
			return true;
	return false;
}

static void
op_send(void *ctx, uint64_t sid, struct mf_slice down, enum mf_engine_lane lane, uint64_t coalesce)
{
	struct rig *r = ctx;
	MF_UNUSED(lane);
	MF_UNUSED(coalesce);
	if (r->lean) {
		r->sent++;
		return;
	}
	bool was = mf_rig_spare(true);
	Mayfly__Agent__V1__Down *d = mayfly__agent__v1__down__unpack(NULL, down.n, down.p);
	assert_non_null(d);
	if (is_secret(d) && r->durable == 0)
		r->sent_undurable = true;
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_GRANT)
		for (size_t i = 0; i < d->grant->n_issued; i++)
			if (!recorded_durably(r, d->grant->issued[i]->serial))
				r->sent_undurable = true;
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT)
		r->sent_undurable |= !recorded_durably(r, d->jwt_grant->jti);
	if (r->downs_n == r->downs_cap) {
		r->downs_cap = r->downs_cap == 0 ? 256 : r->downs_cap * 2;
		r->downs = realloc(r->downs, r->downs_cap * sizeof(*r->downs));
		assert_non_null(r->downs);
	}
	r->downs[r->downs_n++] = (struct rig_down) { sid, d };
	(void)mf_rig_spare(was);
}

static void
op_close(void *ctx, uint64_t sid, const char *reason)
{
	struct rig *r = ctx;
	MF_UNUSED(reason);
	r->closed[r->closed_n++ % MF_COUNT(r->closed)] = sid;
}

static void
op_admin_reply(void *ctx, const Mayfly__Roles__V1__AdminReply *reply)
{
	struct rig *r = ctx;
	size_t n = mayfly__roles__v1__admin_reply__get_packed_size(reply);
	bool was = mf_rig_spare(true);
	uint8_t *b = malloc(n + 1);
	assert_non_null(b);
	(void)mayfly__roles__v1__admin_reply__pack(reply, b);
	if (r->reply != NULL)
		mayfly__roles__v1__admin_reply__free_unpacked(r->reply, NULL);
	r->reply = mayfly__roles__v1__admin_reply__unpack(NULL, n, b);
	r->replies++;
	free(b);
	(void)mf_rig_spare(was);
}

static void
op_removal_kept(void *ctx, struct mf_slice what)
{
	struct rig *r = ctx;
	(void)snprintf(r->kept, sizeof(r->kept), "%.*s", (int)what.n, (const char *)what.p);
}

static void
op_removal_settled(void *ctx, uint64_t index)
{
	MF_UNUSED(ctx);
	MF_UNUSED(index);
}

static void
op_event(void *ctx, const char *event, const char *text)
{
	struct rig *r = ctx;
	bool broken = mf_rig_heard(r, event, text);
	if (broken && !r->may_break)
		fail_msg("engine broken: %s", text);
	r->broken |= broken;
}

static bool
op_verify(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__VerifyEvidence *e)
{
	struct rig *r = ctx;
	static uint8_t b[MF_LIM_IPC_MESSAGE];
	size_t n = mayfly__roles__v1__verify_evidence__pack(e, b);
	if (r->evidence != NULL)
		mayfly__roles__v1__verify_evidence__free_unpacked(r->evidence, NULL);
	r->evidence = mayfly__roles__v1__verify_evidence__unpack(NULL, n, b);
	r->ticket = ticket;
	return !r->no_verifiers;
}

static const struct mf_engine_ops ops = {
	.verify = op_verify,
	.sign = op_sign,
	.jwt_key = op_jwt_key,
	.sign_jwt = op_sign_jwt,
	.append = op_append,
	.send = op_send,
	.close = op_close,
	.admin_reply = op_admin_reply,
	.server_certificate = mf_rig_op_server_certificate,
	.assertion_key = mf_rig_op_assertion_key,
	.sign_assertion = mf_rig_op_sign_assertion,
	.mint = mf_rig_op_mint,
	.revoke = mf_rig_op_revoke,
	.probe = mf_rig_op_probe,
	.keep_handle = mf_rig_op_keep_handle,
	.open_handle = mf_rig_op_open_handle,
	.drop_handle = mf_rig_op_drop_handle,
	.has_handle = mf_rig_op_has_handle,
	.backend = mf_rig_op_backend,
	.removal_kept = op_removal_kept,
	.removal_settled = op_removal_settled,
	.removal_recorded = op_removal_settled,
	MF_RIG_KEY_OPS,
	.event = op_event,
	.ask_policy = mf_rig_asked,
};

/* ---- life ---- */

static void
permit(struct mf_policy *p, const char *profile, const char *user)
{
	const struct mf_slice who = mf_slice_str(user), pool = MF_SLICE_LIT("gpu");
	struct mf_err err = { 0 };
	char id[64];
	(void)snprintf(id, sizeof(id), "%s-may-%s", user, profile);
	struct mf_policy_rule rule = { .id = id,
		.owner = "t",
		.profile = profile,
		.review_by_s = INT64_C(4000000000),
		.nodes = MF_POLICY_EXPR,
		.when = MF_POLICY_EXPR };
	if (mf_policy_rule_begin(p, &rule, &err) != MF_OK ||
	    mf_policy_push(p, MF_POLICY_EQ, MF_SLICE_LIT("node.pool"), &pool, 1, &err) != MF_OK ||
	    mf_policy_rule_nodes(p, &err) != MF_OK ||
	    mf_policy_push(p, MF_POLICY_CONTAINS, MF_SLICE_LIT("attested.unix.user"), &who, 1, &err) !=
		MF_OK ||
	    mf_policy_rule_end(p, &err) != MF_OK)
		fail_msg("test policy: %s", err.msg);
}

static struct mf_policy *
make_policy(bool shell_interactive, uint64_t max_job_ms)
{
	struct mf_policy *p = NULL;
	struct mf_err err = { 0 };
	static const char *const audiences[] = { "vault.example", "tracking", "\"quoted\\" };
	struct mf_policy_profile train = { .name = "train",
		.purpose = "training",
		.owner = "t",
		.max_job_ms = max_job_ms,
		.drain_ms = 60000,
		.jwt_audiences = audiences,
		.n_jwt_audiences = MF_COUNT(audiences),
		.n_identities = 2,
		.identities = { { .path = "/{tenant}/job/{job}",
				    .hint = "job",
				    .cn = "{job}",
				    .x509_ttl_ms = 1200000,
				    .jwt_ttl_ms = 300000 },
		    { .path = "/{tenant}/run/{run}",
			.hint = "run",
			.cn = "",
			.x509_ttl_ms = 1200000,
			.jwt_ttl_ms = 300000 } } };
	struct mf_policy_profile shell = train;
	shell.name = "shell";
	shell.interactive = shell_interactive;
	shell.jwt_rs256 = true;
	assert_int_equal(mf_policy_new(&p, &err), MF_OK);
	if (mf_policy_add_profile(p, &train, &err) != MF_OK ||
	    mf_policy_add_profile(p, &shell, &err) != MF_OK)
		fail_msg("test policy: %s", err.msg);
	permit(p, "train", "alice");
	permit(p, "shell", "carol");
	if (mf_policy_seal(p, &err) != MF_OK)
		fail_msg("test policy: %s", err.msg);
	return p;
}

struct mf_policy *
mf_rig_policy(bool shell_interactive)
{
	return make_policy(shell_interactive, 3600000);
}

struct mf_policy *
mf_rig_policy_max(uint64_t max_job_ms)
{
	return make_policy(true, max_job_ms);
}

static void
make_engine(struct rig *r, struct mf_state *st)
{
	struct mf_engine_conf c = { .trust_domain = TD,
		.broker_id = "b1",
		.origin = ORIGIN,
		.release = "test",
		.address = "127.0.0.1:8461",
		.lease_ttl_ms = 300000,
		.heartbeat_ms = 30000,
		.manager_wait_ms = 600000,
		.node_ttl_s = 3600,
		.server_ttl_s = 3600,
		.backdate_s = 30,
		.ca = { .ttl_s = 90 * 86400,
		    .publish_s = 1800,
		    .scheduled = r->scheduled,
		    .prepare_before_s = 45 * 86400,
		    .activate_before_s = 30 * 86400 },
		.rand = { fill, r },
		.max_pending = 256,
		.attest = r->attest };
	mf_rig_first_keys(&c);
	assert_int_equal(mf_engine_new(&c, &ops, r, st, &r->e, NULL), MF_OK);
	mf_engine_start(r->e, r->now, "00000000-0000-7000-8000-000000000000");
	char hex[65];
	memset(hex, 'a', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_policy(true), hex);
}

static void
first_record(struct rig *r, struct mf_state *st)
{
	struct mf_record rec = { .type = MF_REC_LOG_OPENED, .ts_us = r->now.wall_us };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_RECORD);
	mf_record_set_str(&rec, MF_RS_ID, "00000000-0000-7000-8000-000000000001");
	mf_record_set_str(&rec, MF_RS_BROKER, "b1");
	mf_record_set_str(&rec, MF_RS_BOOT, "init");
	mf_record_set_str(&rec, MF_RS_ORIGIN, ORIGIN);
	mf_record_set_str(&rec, MF_RS_TRUST_DOMAIN, TD);
	mf_record_set_str(&rec, MF_RS_CA_SHA256, "00");
	mf_record_set_str(&rec, MF_RS_INNER, "00");
	mf_record_set_str(&rec, MF_RS_VKEY, "v");
	assert_int_equal(mf_record_encode(&rec, &b, NULL), MF_OK);
	assert_int_equal(mf_state_apply(st, 0, &rec, NULL), MF_OK);
	op_append(r, 0, mf_buf_slice(&b), false);
	r->durable = 1;
}

struct rig *
mf_rig_new(void)
{
	return mf_rig_new_with(NULL);
}

struct rig *
mf_rig_new_with(const struct mf_attest_conf *attest)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct mf_state *st = NULL;
	assert_non_null(r);
	r->attest = attest;
	r->seed = 42;
	r->now = (struct mf_now) { INT64_C(1800000000) * 1000000, 1000000 };
	assert_int_equal(mf_state_new(&st, NULL), MF_OK);
	first_record(r, st);
	make_engine(r, st);
	mf_rig_commit(r);
	return r;
}

static void
forget_answers(struct rig *r)
{
	for (size_t i = 0; i < r->downs_n; i++)
		mayfly__agent__v1__down__free_unpacked(r->downs[i].down, NULL);
	r->downs_n = 0;
	for (size_t i = 0; i < r->signing_n; i++)
		mf_sign_request_free(r->signing[i]);
	r->signing_n = 0;
	for (size_t i = 0; i < r->jwts_n; i++)
		mf_jwt_request_free(r->jwts[i]);
	r->jwts_n = 0;
	r->order.ticket = 0;
}

void
mf_rig_free(struct rig *r)
{
	forget_answers(r);
	mf_engine_free(r->e);
	if (r->evidence != NULL)
		mayfly__roles__v1__verify_evidence__free_unpacked(r->evidence, NULL);
	for (size_t i = 0; !r->lean && i < r->log_n; i++)
		free(r->log[i].p);
	if (r->reply != NULL)
		mayfly__roles__v1__admin_reply__free_unpacked(r->reply, NULL);
	free(r->log);
	free(r->jwt_bundle);
	free(r->oidc_jwks);
	free(r->downs);
	free(r);
}

struct mf_state *
mf_rig_replay(const struct rig *r, size_t n)
{
	struct mf_state *st = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(mf_state_new(&st, NULL), MF_OK);
	for (size_t i = 0; i < n; i++) {
		struct mf_record_doc *doc = NULL;
		if (mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &doc, &err) != MF_OK ||
		    mf_state_apply(st, i, mf_record_doc_get(doc), &err) != MF_OK)
			fail_msg("replay of record %zu: %s", i, err.msg);
		mf_record_doc_free(doc);
	}
	return st;
}

void
mf_rig_crash(struct rig *r)
{
	while (r->log_n > r->durable)
		free(r->log[--r->log_n].p);
	mf_engine_free(r->e);
	r->e = NULL;
	forget_answers(r);
	make_engine(r, mf_rig_replay(r, r->log_n));
	mf_rig_commit(r);
}

void
mf_rig_commit(struct rig *r)
{
	r->durable = r->log_n;
	mf_engine_durable(r->e, r->now, r->durable);
}

void
mf_rig_sign(struct rig *r, bool ok)
{
	struct mf_sign_request *todo[MF_COUNT(r->signing)];
	size_t n = r->signing_n;
	memcpy(todo, r->signing, n * sizeof(todo[0]));
	r->signing_n = 0;
	for (size_t i = 0; i < n; i++) {
		struct mf_sign_result res = { .ticket = todo[i]->ticket,
			.ok = ok,
			.chain = mf_slice(todo[i]->serial, sizeof(todo[i]->serial)) };
		mf_sha256(res.chain, res.der_sha256);
		mf_engine_signed(r->e, r->now, &res);
		mf_sign_request_free(todo[i]);
	}
	mf_rig_sign_jwts(r, ok);
}

void
mf_rig_settle(struct rig *r)
{
	do {
		mf_rig_sign(r, true);
		mf_rig_commit(r);
	} while (r->signing_n > 0 || r->jwts_n > 0 || r->durable < r->log_n);
}

void
mf_rig_advance(struct rig *r, uint64_t ms)
{
	r->now.mono_ms += ms;
	r->now.wall_us += (int64_t)ms * 1000;
	mf_engine_tick(r->e, r->now);
}

/* ---- what nodes say ---- */

void
mf_rig_key(unsigned k, uint8_t ret_key[32])
{
	memset(ret_key, 0, 32);
	ret_key[0] = (uint8_t)k;
	ret_key[1] = (uint8_t)(k >> 8);
	ret_key[31] = 1;
}

uint64_t
mf_rig_up(struct rig *r, uint64_t sid, unsigned k, Mayfly__Agent__V1__Up *up)
{
	uint8_t key[32];
	mf_rig_key(k, key);
	up->request_id = ++r->next_request;
	mf_engine_up(r->e, r->now, sid, key, up);
	return up->request_id;
}

const Mayfly__Agent__V1__Down *
mf_rig_hello(struct rig *r, uint64_t sid, unsigned k, const char *boot, const uint8_t *value, size_t value_n,
    const char *token)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Hello h = MAYFLY__AGENT__V1__HELLO__INIT;
	Mayfly__Agent__V1__Join j = MAYFLY__AGENT__V1__JOIN__INIT;
	struct mf_join_token *t = NULL;
	char boot_id[64], id[128], host[] = "host";
	static char keys[] = "keys.1", jwt_keys[] = "keys.2";
	static char *features[] = { keys, jwt_keys };
	uint8_t val[16] = { 0 }, secret[32];
	(void)snprintf(boot_id, sizeof(boot_id), "%s", boot);
	if (value_n > 0)
		memcpy(val, value, value_n);
	h.version_min = h.version_max = 1;
	h.boot_id = boot_id;
	h.hostname = host;
	h.n_features = r->features ? MF_COUNT(features) : 0;
	h.features = features;
	h.session_value.data = val;
	h.session_value.len = value_n;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_HELLO;
	up.hello = &h;
	if (token != NULL) {
		assert_int_equal(mf_join_token_decode(mf_slice_str(token), &t, NULL), MF_OK);
		(void)snprintf(id, sizeof(id), "%s", mf_join_token_public(t)->token_id);
		memcpy(secret, mf_join_token_secret(t).p, 32);
		j.hello = &h;
		j.token_id = id;
		j.token_secret.data = secret;
		j.token_secret.len = 32;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_JOIN;
		up.join = &j;
		mf_join_token_free(t);
	}
	uint64_t req = mf_rig_up(r, sid, k, &up);
	mf_rig_commit(r);
	return mf_rig_answer(r, sid, req);
}

char *
mf_rig_token(struct rig *r, uint32_t uses, uint32_t ttl_s)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry a =
	    MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry *pa = &a;
	char key[] = "pool", value[] = "gpu";
	a.key = key;
	a.value = value;
	q.n_attributes = 1;
	q.attributes = &pa;
	q.uses = uses;
	q.ttl_s = ttl_s;
	call.call_id = 7;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	call.create_join_token = &q;
	mf_engine_admin(r->e, r->now, &call);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN);
	return strdup(r->reply->join_token->token);
}

const Mayfly__Agent__V1__Down *
mf_rig_resync(struct rig *r, uint64_t sid, unsigned k, const char *const *keys, const char *const *leases,
    const uint32_t *epochs, size_t n)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
	up.session_stored = &stored;
	(void)mf_rig_up(r, sid, k, &up);
	Mayfly__Agent__V1__Up up2 = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Resync rs = MAYFLY__AGENT__V1__RESYNC__INIT;
	Mayfly__Agent__V1__HeldInstance held[16], *ph[16];
	char text[16][2][256];
	assert_true(n <= 16);
	for (size_t i = 0; i < n; i++) {
		mayfly__agent__v1__held_instance__init(&held[i]);
		(void)snprintf(text[i][0], 256, "%s", keys[i]);
		(void)snprintf(text[i][1], 256, "%s", leases[i]);
		held[i].instance_key = text[i][0];
		held[i].lease_id = text[i][1];
		held[i].epoch = epochs[i];
		ph[i] = &held[i];
	}
	rs.n_instances = n;
	rs.instances = ph;
	up2.body_case = MAYFLY__AGENT__V1__UP__BODY_RESYNC;
	up2.resync = &rs;
	uint64_t req = mf_rig_up(r, sid, k, &up2);
	mf_rig_commit(r);
	return mf_rig_answer(r, sid, req);
}

void
mf_rig_join(struct rig *r, uint64_t sid, unsigned k, char *ret_node, uint8_t ret_value[16])
{
	char *token = mf_rig_token(r, 1, 3600);
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, sid, k, RIG_BOOT, NULL, 0, token);
	free(token);
	assert_non_null(d);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	(void)snprintf(ret_node, MF_STATE_ID_MAX, "%s", d->welcome->node_id);
	memcpy(ret_value, d->welcome->session_value.data, 16);
	assert_non_null(mf_rig_resync(r, sid, k, NULL, NULL, NULL, 0));
}

uint64_t
mf_rig_attach(struct rig *r, uint64_t sid, unsigned k, const char *key, const char *profile, const char *user)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	ProtobufCBinaryData points[2];
	uint8_t bytes[2][65];
	char text[3][256], selector[300], *ps = selector, grade[] = "pidfd+cgroup";
	(void)snprintf(text[0], 256, "%s", key);
	(void)snprintf(text[1], 256, "%s", profile);
	(void)snprintf(text[2], 256, "%s", user);
	(void)snprintf(selector, sizeof(selector), "unix.user:%s", user);
	for (size_t i = 0; i < 2; i++) {
		fill(r, bytes[i], 65);
		bytes[i][0] = 4;
		points[i] = (ProtobufCBinaryData) { 65, bytes[i] };
	}
	a.instance_key = text[0];
	a.profile = text[1];
	a.unix_user = text[2];
	a.grade = grade;
	a.n_selectors = 1;
	a.selectors = &ps;
	a.n_points = 2;
	a.points = points;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &a;
	return mf_rig_up(r, sid, k, &up);
}

uint64_t
mf_rig_renew(struct rig *r, uint64_t sid, unsigned k, const char *lease, uint32_t epoch)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Renew n = MAYFLY__AGENT__V1__RENEW__INIT;
	ProtobufCBinaryData points[2];
	uint8_t bytes[2][65];
	char id[MF_STATE_ID_MAX];
	(void)snprintf(id, sizeof(id), "%s", lease);
	for (size_t i = 0; i < 2; i++) {
		fill(r, bytes[i], 65);
		points[i] = (ProtobufCBinaryData) { 65, bytes[i] };
	}
	n.lease_id = id;
	n.epoch = epoch;
	n.n_points = 2;
	n.points = points;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RENEW;
	up.renew = &n;
	return mf_rig_up(r, sid, k, &up);
}

uint64_t
mf_rig_end(struct rig *r, uint64_t sid, unsigned k, const char *key, const char *lease)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__End e = MAYFLY__AGENT__V1__END__INIT;
	char text[2][256];
	(void)snprintf(text[0], 256, "%s", key);
	(void)snprintf(text[1], 256, "%s", lease);
	e.instance_key = text[0];
	e.lease_id = text[1];
	e.cause = MAYFLY__AGENT__V1__END_CAUSE__END_EMPTY;
	e.detected_us = r->now.wall_us;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_END;
	up.end = &e;
	return mf_rig_up(r, sid, k, &up);
}

void
mf_rig_instance_key(char *to, const char *node, const char *boot, unsigned i)
{
	(void)snprintf(to, 256, "local/%s/%s/cg-%u", node, boot, i);
}
