/*
 * Cloud tokens through the notary as it is run: an honest attestor asks, the test is the courier, honest or not. What the courier
 * is given, what it may say, and what is on disk before anything leaves.
 */
#include "integration/notary_rig.h"

#include "codec/jws.h"

#define CLOUD_GRANT MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT
#define REFUSAL MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL
#define KEY_USE "jwt-assertion-rs256"

static const char policy[] =
    "mayfly_policy: 1\nprofiles:\n  p:\n    purpose: test\n    owner: tests\n    max_job: 1h\n    drain: 0s\n"
    "    identities:\n      - {path: \"/{tenant}/p/job/{job}\", hint: job, x509_ttl: 20m}\n"
    "    cloud:\n      - {name: data, target: lab, role: \"arn:aws:iam::000000000000:role/r\", ttl: 20m,\n"
    "         scope: [{actions: [\"s3:GetObject\"], resources: [\"arn:aws:s3:::lab/runs/{run}/*\"]}]}\n"
    "rules:\n  - {id: p, effect: permit, profile: p, owner: tests, review_by: 2099-01-01, "
    "nodes: {eq: [node.pool, gpu]}, when: {contains: [attested.unix.uid, \"7\"]}}\n";

static struct mf_seqpacket *courier;

/* ---- the courier ---- */

static void
courier_say(uint16_t type, const ProtobufCMessage *m)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	assert_int_equal(mf_role_encode(&mf_link_courier, MF_LINK_FRONT, type, m, false, &b, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_send(courier, type, mf_buf_slice(&b), -1, NULL), MF_OK);
}

static void
courier_link(struct nrig *r)
{
	int fds[2];
	Mayfly__Roles__V1__CourierHello h = MAYFLY__ROLES__V1__COURIER_HELLO__INIT;
	mf_seqpacket_free(courier);
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 4u << 20, &courier, NULL), MF_OK);
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_LINK, "courier", fds[1], NULL), MF_OK);
	h.build_id = (char *)(uintptr_t)mf_build_id();
	courier_say(MF_MSG_COURIER_HELLO, &h.base);
	nr_status(r); /* the notary has had a turn */
}

/* The request that the courier has; NULL: none yet. */
static Mayfly__Roles__V1__MintRequest *
courier_asked(struct nrig *r)
{
	struct mf_packet p;
	(void)nr_turn(r, 5);
	enum mf_status s = mf_seqpacket_recv(courier, &p, NULL);
	if (s != MF_OK || p.type == MF_MSG_CLOUD_REVOKE_REQUEST) /* what ended is taken back, too */
		return NULL;
	assert_int_equal(p.type, MF_MSG_MINT_REQUEST);
	return mayfly__roles__v1__mint_request__unpack(NULL, p.payload.n, p.payload.p);
}

/* A good answer to ${q}. */
static void
courier_mints(const Mayfly__Roles__V1__MintRequest *q)
{
	Mayfly__Roles__V1__MintResult m = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	Mayfly__Roles__V1__CloudToken t = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	uint8_t bytes[256];
	t.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS;
	t.access_key_id = (char *)(uintptr_t) "AKID";
	t.secret_access_key = (char *)(uintptr_t) "canary-secret";
	t.session_token = (char *)(uintptr_t) "canary-session";
	m.mint_id = q->mint_id;
	m.minted = true;
	m.expires = mf_now().wall_us / 1000000 + q->ttl_s;
	m.token = (ProtobufCBinaryData) { mayfly__roles__v1__cloud_token__pack(&t, bytes), bytes };
	m.principal = (char *)(uintptr_t) "arn:aws:sts::000000000000:assumed-role/r/s";
	courier_say(MF_MSG_MINT_RESULT, &m.base);
}

/* ---- the rest ---- */

static void
reload(struct nrig *r, const char *what, const void *p, size_t n)
{
	assert_int_equal(
	    mf_control_send(r->control, MF_CONTROL_RELOAD, what, nr_memfd(what, p, n), NULL), MF_OK);
	nr_status(r);
}

static void
targets(struct nrig *r)
{
	uint8_t packed[512];
	Mayfly__Roles__V1__CloudTarget t = MAYFLY__ROLES__V1__CLOUD_TARGET__INIT, *pt = &t;
	Mayfly__Roles__V1__CloudConf c = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	t.name = (char *)(uintptr_t) "lab";
	t.backend = (char *)(uintptr_t) "aws-sts";
	t.endpoint = (char *)(uintptr_t) "https://sts.example";
	t.audience = (char *)(uintptr_t) "sts.example";
	c.issuer = (char *)(uintptr_t) "https://issuer.example";
	c.targets = &pt;
	c.n_targets = 1;
	reload(r, "cloud", packed, mayfly__roles__v1__cloud_conf__pack(&c, packed));
}

/* A key for assertions, where the broker was made without one. */
static void
assertion_key(struct nrig *r)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__PrepareKeyRequest p = MAYFLY__ADMIN__V1__PREPARE_KEY_REQUEST__INIT;
	Mayfly__Admin__V1__ActivateKeyRequest a = MAYFLY__ADMIN__V1__ACTIVATE_KEY_REQUEST__INIT;
	p.use = a.use = (char *)(uintptr_t)KEY_USE;
	p.reason = a.reason = (char *)(uintptr_t) "test";
	a.force = true;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PREPARE_KEY;
	c.prepare_key = &p;
	(void)nr_admin(r, &c);
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_ACTIVATE_KEY;
	c.activate_key = &a;
	(void)nr_admin(r, &c);
}

static int
setup(void **state)
{
	struct nrig *r = nr_new();
	*state = r;
	reload(r, "policy", policy, sizeof(policy) - 1);
	targets(r);
	assertion_key(r);
	courier_link(r);
	return 0;
}

static int
teardown(void **state)
{
	nr_free(*state);
	mf_seqpacket_free(courier);
	courier = NULL;
	return 0;
}

static void
ask(struct nrig *r, struct npeer *p)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintCloud m = MAYFLY__AGENT__V1__MINT_CLOUD__INIT;
	m.lease_id = p->lease;
	m.epoch = p->epoch;
	m.grant = (char *)(uintptr_t) "data";
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD;
	up.mint_cloud = &m;
	nr_say(r, p, &up);
}

static Mayfly__Roles__V1__MintRequest *
asked(struct nrig *r)
{
	Mayfly__Roles__V1__MintRequest *q = NULL;
	NR_UNTIL(r, (q = courier_asked(r)) != NULL);
	return q;
}

static void
job(struct nrig *r, unsigned i)
{
	nr_attach(r, &r->peer[0], i, "7");
	if (!nr_granted(r, &r->peer[0]))
		fail_msg("not granted: %s", r->refusal);
}

/* What the assertion says, and that it is one of ours; the cred tag is the intent's id, which is on disk. */
static void
look_at_assertion(struct nrig *r, const Mayfly__Roles__V1__MintRequest *q)
{
	struct mf_jws *jws = NULL;
	char cred[80], scope[] = "lab/runs/r-";
	assert_int_equal(mf_jws_parse(mf_slice(q->assertion.data, q->assertion.len), &jws, NULL), MF_OK);
	assert_int_equal(mf_jws_alg(jws), MF_JWS_RS256);
	struct mf_slice claims = mf_jws_payload(jws);
	(void)snprintf(cred, sizeof(cred), "\"mayfly-cred\":[\"%s\"]", q->credential_id);
	assert_non_null(memmem(claims.p, claims.n, cred, strlen(cred)));
	assert_non_null(memmem(claims.p, claims.n, "\"iss\":\"https://issuer.example\"", 30));
	assert_non_null(memmem(claims.p, claims.n, "\"aud\":\"sts.example\"", 19));
	assert_non_null(memmem(q->scope.data, q->scope.len, scope, strlen(scope)));
	mf_jws_free(jws);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_INTENT), 1);
	assert_string_equal(q->target, "lab");
	assert_int_equal(q->ttl_s, 1200);
}

static void
test_from_the_job_to_the_courier_and_back(void **state)
{
	struct nrig *r = *state;
	job(r, 1);
	ask(r, &r->peer[0]);
	Mayfly__Roles__V1__MintRequest *q = asked(r);
	look_at_assertion(r, q);
	courier_mints(q);
	if (nr_answer(r, &r->peer[0]) != CLOUD_GRANT)
		fail_msg("no token: %s", r->refusal);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 1);
	const Mayfly__Agent__V1__CloudGrant *g =
	    ((const Mayfly__Agent__V1__Down *)(const void *)r->peer[0].down)->cloud_grant;
	assert_string_equal(g->credential_id, q->credential_id);
	assert_non_null(memmem(g->token.data, g->token.len, "canary-secret", 13));
	/* The same answer again, and one that nobody asked for: nothing. */
	courier_mints(q);
	q->mint_id += 100;
	courier_mints(q);
	nr_status(r);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 1);
	assert_int_equal(nr_told(r, "canary"), 0);
	mayfly__roles__v1__mint_request__free_unpacked(q, NULL);
}

static void
test_the_courier_dies_in_between(void **state)
{
	struct nrig *r = *state;
	job(r, 1);
	for (unsigned i = 0; i < 5; i++) {
		ask(r, &r->peer[0]);
		mayfly__roles__v1__mint_request__free_unpacked(asked(r), NULL);
		mf_seqpacket_free(courier);
		courier = NULL;
		assert_int_equal(nr_answer(r, &r->peer[0]), REFUSAL); /* an answer, and soon */
		NR_UNTIL(r, nr_count(r, MF_REC_CLOUD_RECONCILED) == i + 1);
		ask(r, &r->peer[0]); /* without one it is refused at once */
		assert_int_equal(nr_answer(r, &r->peer[0]), REFUSAL);
		courier_link(r);
	}
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 0);
}

static void
test_too_late(void **state)
{
	struct nrig *r = *state;
	job(r, 1);
	ask(r, &r->peer[0]);
	Mayfly__Roles__V1__MintRequest *q = asked(r);
	nr_end(r, &r->peer[0], 1);
	NR_UNTIL(r, nr_count(r, MF_REC_LEASE_ENDED) == 1);
	courier_mints(q);
	NR_UNTIL(r, nr_count(r, MF_REC_CLOUD_RECONCILED) == 1);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 0);
	mayfly__roles__v1__mint_request__free_unpacked(q, NULL);
}

/* Garbage ends its link, and nothing else. */
static void
test_garbage(void **state)
{
	struct nrig *r = *state;
	static const char junk[] = "\xff\xff\xff";
	job(r, 1);
	ask(r, &r->peer[0]);
	mayfly__roles__v1__mint_request__free_unpacked(asked(r), NULL);
	assert_int_equal(
	    mf_seqpacket_send(courier, MF_MSG_MINT_RESULT, mf_slice(junk, sizeof(junk) - 1), -1, NULL),
	    MF_OK);
	assert_int_equal(nr_answer(r, &r->peer[0]), REFUSAL);
	courier_link(r);
	ask(r, &r->peer[0]);
	Mayfly__Roles__V1__MintRequest *q = asked(r);
	courier_mints(q);
	assert_int_equal(nr_answer(r, &r->peer[0]), CLOUD_GRANT);
	mayfly__roles__v1__mint_request__free_unpacked(q, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_from_the_job_to_the_courier_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_courier_dies_in_between, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
