/*
 * cloud_rig: notary_rig with a cloud target, a grant, and the notary's second socket, at whose other end the test is the courier, honest
 * or not. Everything that the notary says there is looked at; cr_check_log holds the whole log to what it must be. Header only.
 */
#ifndef MF_TEST_CLOUD_RIG_H
#define MF_TEST_CLOUD_RIG_H
#include "integration/notary_rig.h"

#include "codec/json.h"
#include "codec/jws.h"

#define CLOUD_GRANT MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT
#define REFUSAL MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL
#define CR_KEY_USE "jwt-assertion-rs256"
#define CR_TTL_S 1200
#define CR_WAITING 128u

/* Profile p for uid 7 on nodes of pool gpu; grants "data" and "more" of the one role. */
static const char cr_policy[] =
    "mayfly_policy: 1\nprofiles:\n  p:\n    purpose: test\n    owner: tests\n    max_job: 1h\n    drain: 0s\n"
    "    identities:\n      - {path: \"/{tenant}/p/job/{job}\", hint: job, x509_ttl: 20m}\n"
    "    cloud:\n"
    "      - {name: data, target: lab, role: \"arn:aws:iam::000000000000:role/r\", ttl: 20m,\n"
    "         scope: [{actions: [\"s3:GetObject\"], resources: [\"arn:aws:s3:::lab/runs/{run}/*\"]}]}\n"
    "      - {name: more, target: lab, role: \"arn:aws:iam::000000000000:role/r\", ttl: 20m,\n"
    "         scope: [{actions: [\"s3:PutObject\"], resources: [\"arn:aws:s3:::lab/runs/{run}/*\"]}]}\n"
    "rules:\n  - {id: p, effect: permit, profile: p, owner: tests, review_by: 2099-01-01, "
    "nodes: {eq: [node.pool, gpu]}, when: {contains: [attested.unix.uid, \"7\"]}}\n";

/* The courier's end. */
struct courier {
	struct mf_seqpacket *pkt; /* NULL: the notary has closed it, or it was never there */
	Mayfly__Roles__V1__MintRequest *mint[CR_WAITING]; /* asked for, oldest first, until they are taken */
	size_t mints;
	Mayfly__Roles__V1__CloudRevokeRequest *revoke[CR_WAITING];
	size_t revokes;
	size_t minted_in_all; /* requests that have come */
};

/* ---- what the notary says ---- */

static inline int64_t
cr_claim(const struct mf_json_value *v, const char *name)
{
	int64_t n = 0;
	assert_true(mf_json_int(mf_json_get(v, name), &n));
	return n;
}

/* At most a minute, for one of our two subjects, and with no more tags than are its own. */
static inline void
cr_look_at_assertion(ProtobufCBinaryData a, const char *cred)
{
	MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	char tag[80];
	struct mf_slice sub;
	assert_int_equal(mf_jws_parse(mf_slice(a.data, a.len), &jws, NULL), MF_OK);
	assert_int_equal(mf_jws_alg(jws), MF_JWS_RS256);
	struct mf_slice claims = mf_jws_payload(jws);
	assert_int_equal(mf_json_parse(claims, MF_LIM_JWT, &doc, NULL), MF_OK);
	const struct mf_json_value *root = mf_json_root(doc);
	assert_true(cr_claim(root, "exp") - cr_claim(root, "iat") <= 60);
	assert_true(cr_claim(root, "exp") <= mf_now().wall_us / 1000000 + 60);
	assert_true(mf_json_string(mf_json_get(root, "sub"), &sub));
	bool revoker = mf_slice_eq_str(sub, "spiffe://" STORE_KIT_TD "/broker/revoker");
	assert_int_equal(revoker, cred == NULL);
	(void)snprintf(tag, sizeof(tag), "\"mayfly-cred\":[\"%s\"]", cred == NULL ? "" : cred);
	assert_int_equal(memmem(claims.p, claims.n, "mayfly-cred", 11) != NULL, cred != NULL);
	if (cred != NULL)
		assert_non_null(memmem(claims.p, claims.n, tag, strlen(tag)));
}

static inline void
cr_is_intent(void *ctx, uint64_t index, const struct mf_record *rec)
{
	struct nr_find *f = ctx;
	MF_UNUSED(index);
	if (rec->type == MF_REC_CLOUD_INTENT && mf_slice_eq(rec->s[MF_RS_SERIAL], f->serial))
		f->n++;
}

/* Only what the table has, and of that only requests; each token's intent is on disk. */
static inline void
cr_take(struct nrig *r, struct courier *c, const struct mf_packet *p)
{
	const struct mf_role_msg *row;
	ProtobufCMessage *msg = NULL;
	assert_int_equal(mf_role_decode(&mf_link_courier, MF_LINK_FRONT, MF_LINK_OPEN, p->type, p->payload,
			     p->fd >= 0, &row, &msg, NULL),
	    MF_OK);
	assert_null(memmem(p->payload.p, p->payload.n, "PRIVATE", 7));
	if (p->type == MF_MSG_MINT_REQUEST) {
		Mayfly__Roles__V1__MintRequest *q = (void *)msg;
		struct nr_find f = { .serial = mf_slice_str(q->credential_id) };
		nr_walk(r, cr_is_intent, &f);
		assert_int_equal(f.n, 1);
		cr_look_at_assertion(q->assertion, q->credential_id);
		assert_true(c->mints < CR_WAITING);
		c->mint[c->mints++] = q;
		c->minted_in_all++;
	} else if (p->type == MF_MSG_CLOUD_REVOKE_REQUEST) {
		Mayfly__Roles__V1__CloudRevokeRequest *q = (void *)msg;
		cr_look_at_assertion(q->assertion, NULL);
		assert_true(c->revokes < CR_WAITING);
		c->revoke[c->revokes++] = q;
	} else {
		mf_pb_free(msg);
	}
}

/* One turn of everybody. */
static inline void
cr_turn(struct nrig *r, struct courier *c)
{
	struct mf_packet p;
	(void)nr_turn(r, 5);
	if (c->pkt != NULL && mf_seqpacket_wants_write(c->pkt))
		(void)!mf_seqpacket_flush(c->pkt, NULL);
	while (c->pkt != NULL) {
		enum mf_status s = mf_seqpacket_recv(c->pkt, &p, NULL);
		if (s == MF_OK) {
			cr_take(r, c, &p);
			continue;
		}
		if (s != MF_E_AGAIN) {
			mf_seqpacket_free(c->pkt);
			c->pkt = NULL;
		}
		return;
	}
}

#define CR_UNTIL(r, c, what)                                                             \
	do {                                                                             \
		uint64_t cr_end = mf_now().mono_ms + NR_HANG_MS;                         \
		while (!(what)) {                                                        \
			cr_turn(r, c);                                                   \
			if (mf_now().mono_ms > cr_end)                                   \
				fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #what); \
		}                                                                        \
	} while (0)

/* The oldest request; the caller's. */
static inline Mayfly__Roles__V1__MintRequest *
cr_next_mint(struct nrig *r, struct courier *c)
{
	CR_UNTIL(r, c, c->mints > 0);
	Mayfly__Roles__V1__MintRequest *q = c->mint[0];
	memmove(c->mint, c->mint + 1, --c->mints * sizeof(c->mint[0]));
	return q;
}

static inline Mayfly__Roles__V1__CloudRevokeRequest *
cr_next_revoke(struct nrig *r, struct courier *c)
{
	CR_UNTIL(r, c, c->revokes > 0);
	Mayfly__Roles__V1__CloudRevokeRequest *q = c->revoke[0];
	memmove(c->revoke, c->revoke + 1, --c->revokes * sizeof(c->revoke[0]));
	return q;
}

#define cr_free_mint(q) mf_pb_free(&(q)->base)
#define cr_free_revoke(q) mf_pb_free(&(q)->base)

static inline void
cr_forget(struct courier *c)
{
	while (c->mints > 0)
		cr_free_mint(c->mint[--c->mints]);
	while (c->revokes > 0)
		cr_free_revoke(c->revoke[--c->revokes]);
}

/* ---- what the courier says ---- */

static inline void
cr_raw(struct courier *c, uint16_t type, struct mf_slice payload, int fd)
{
	if ((c->pkt == NULL || mf_seqpacket_send(c->pkt, type, payload, fd, NULL) != MF_OK) && fd >= 0)
		(void)close(fd);
}

static inline void
cr_say(struct courier *c, uint16_t type, const ProtobufCMessage *m)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	assert_int_equal(mf_role_encode(&mf_link_courier, MF_LINK_FRONT, type, m, false, &b, NULL), MF_OK);
	cr_raw(c, type, mf_buf_slice(&b), -1);
}

/* A new link, as after a new start of the courier; nothing is said on it. */
static inline void
cr_connect(struct nrig *r, struct courier *c)
{
	int fds[2];
	mf_seqpacket_free(c->pkt);
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 4u << 20, &c->pkt, NULL), MF_OK);
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_LINK, "courier", fds[1], NULL), MF_OK);
}

static inline void
cr_hello(struct courier *c, const char *build)
{
	Mayfly__Roles__V1__CourierHello h = MAYFLY__ROLES__V1__COURIER_HELLO__INIT;
	h.build_id = (char *)(uintptr_t)build;
	cr_say(c, MF_MSG_COURIER_HELLO, &h.base);
}

static inline void
cr_link(struct nrig *r, struct courier *c)
{
	cr_connect(r, c);
	cr_hello(c, mf_build_id());
	nr_status(r); /* the notary has had a turn */
}

/* A good answer to ${q}, with texts that must be seen nowhere; ${bytes} holds its token. */
static inline Mayfly__Roles__V1__MintResult
cr_good(const Mayfly__Roles__V1__MintRequest *q, uint8_t bytes[256])
{
	Mayfly__Roles__V1__MintResult m = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	Mayfly__Roles__V1__CloudToken t = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	char session[80];
	(void)snprintf(session, sizeof(session), "canary-session-%s", q->credential_id);
	t.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS;
	t.access_key_id = (char *)(uintptr_t) "AKID";
	t.secret_access_key = (char *)(uintptr_t) "canary-secret";
	t.session_token = session;
	m.mint_id = q->mint_id;
	m.minted = true;
	m.expires = mf_now().wall_us / 1000000 + q->ttl_s;
	m.token = (ProtobufCBinaryData) { mayfly__roles__v1__cloud_token__pack(&t, bytes), bytes };
	m.principal = (char *)(uintptr_t) "arn:aws:sts::000000000000:assumed-role/r/s";
	return m;
}

static inline void
cr_mints(struct courier *c, const Mayfly__Roles__V1__MintRequest *q)
{
	uint8_t bytes[256];
	Mayfly__Roles__V1__MintResult m = cr_good(q, bytes);
	cr_say(c, MF_MSG_MINT_RESULT, &m.base);
}

static inline void
cr_revoked(struct courier *c, const Mayfly__Roles__V1__CloudRevokeRequest *q)
{
	Mayfly__Roles__V1__CloudRevokeResult m = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	m.revoke_id = q->revoke_id;
	m.confirmed = true;
	m.level = 2;
	m.dead_at = mf_now().wall_us / 1000000;
	cr_say(c, MF_MSG_CLOUD_REVOKE_RESULT, &m.base);
}

/* ---- attestors ---- */

static inline void
cr_ask_for(struct nrig *r, struct npeer *p, const char *lease, uint32_t epoch, const char *grant)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintCloud m = MAYFLY__AGENT__V1__MINT_CLOUD__INIT;
	m.lease_id = (char *)(uintptr_t)lease;
	m.epoch = epoch;
	m.grant = (char *)(uintptr_t)grant;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD;
	up.mint_cloud = &m;
	nr_say(r, p, &up);
}

/* For the lease that it was granted last. */
static inline void
cr_ask(struct nrig *r, struct npeer *p)
{
	cr_ask_for(r, p, p->lease, p->epoch, "data");
}

static inline int
cr_answer(struct nrig *r, struct courier *c, struct npeer *p)
{
	CR_UNTIL(r, c, p->down != NULL || p->inner == NULL || r->front == NULL);
	return p->down == NULL ? 0 : (int)((const Mayfly__Agent__V1__Down *)p->down)->body_case;
}

static inline void
cr_job(struct nrig *r, unsigned i)
{
	nr_attach(r, &r->peer[0], i, "7");
	if (!nr_granted(r, &r->peer[0]))
		fail_msg("not granted: %s", r->refusal);
}

/* ---- the rules of the whole log ---- */

#define CR_CREDS 1024u
struct cr_rules {
	struct {
		char id[40], lease[80];
		bool closed, ended, completed;
	} cred[CR_CREDS];
	size_t n, open;
	char over[256][80]; /* leases that have ended */
	size_t over_n;
};

static inline void
cr_rule(void *ctx, uint64_t index, const struct mf_record *rec)
{
	struct cr_rules *k = ctx;
	struct mf_slice id = rec->s[MF_RS_SERIAL], lease = rec->s[MF_RS_LEASE];
	size_t i = 0;
	if (rec->type == MF_REC_LEASE_ENDED && k->over_n < MF_COUNT(k->over))
		(void)snprintf(
		    k->over[k->over_n++], sizeof(k->over[0]), "%.*s", (int)lease.n, (const char *)lease.p);
	bool closes = rec->type == MF_REC_CLOUD_ISSUED || rec->type == MF_REC_CLOUD_FAILED ||
		      rec->type == MF_REC_CLOUD_RECONCILED;
	if (rec->type == MF_REC_CLOUD_INTENT) {
		assert_true(k->n < CR_CREDS);
		(void)snprintf(
		    k->cred[k->n].id, sizeof(k->cred[0].id), "%.*s", (int)id.n, (const char *)id.p);
		(void)snprintf(k->cred[k->n++].lease, sizeof(k->cred[0].lease), "%.*s", (int)lease.n,
		    (const char *)lease.p);
		k->open++;
		return;
	}
	while (i < k->n && !mf_slice_eq_str(id, k->cred[i].id))
		i++;
	if (closes) {
		if (i == k->n || k->cred[i].closed)
			fail_msg("record %llu closes no intent", (unsigned long long)index);
		k->cred[i].closed = true;
		k->cred[i].ended = rec->type == MF_REC_CLOUD_RECONCILED;
		k->open--;
	}
	if (rec->type == MF_REC_REVOKE_COMPLETED && i < k->n)
		k->cred[i].completed = true;
	for (size_t o = 0; rec->type == MF_REC_CLOUD_ISSUED && o < k->over_n; o++)
		if (mf_slice_eq_str(lease, k->over[o]))
			fail_msg("record %llu: a cloud token after the end", (unsigned long long)index);
}

/* Every intent is closed once, none gives a token after the end. Returns how many are not closed yet. */
static inline size_t
cr_check_log(struct nrig *r)
{
	struct cr_rules *k = calloc(1, sizeof(*k));
	assert_non_null(k);
	nr_walk(r, cr_rule, k);
	size_t open = k->open;
	free(k);
	return open;
}

/* ---- beginning and end ---- */

static inline void
cr_targets(struct nrig *r, const char *endpoint, const char *revoker)
{
	Mayfly__Roles__V1__CloudTarget t = MAYFLY__ROLES__V1__CLOUD_TARGET__INIT, *pt = &t;
	Mayfly__Roles__V1__CloudConf conf = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	t.name = (char *)(uintptr_t) "lab";
	t.backend = (char *)(uintptr_t) "aws-sts";
	t.endpoint = (char *)(uintptr_t)endpoint;
	t.audience = (char *)(uintptr_t) "sts.example";
	t.revoker_role = (char *)(uintptr_t)revoker;
	t.loopback = strncmp(endpoint, "http:", 5) == 0;
	conf.issuer = (char *)(uintptr_t) "https://issuer.example";
	conf.targets = &pt;
	conf.n_targets = 1;
	r->cloud_n = mayfly__roles__v1__cloud_conf__get_packed_size(&conf);
	assert_true(r->cloud_n <= sizeof(r->cloud));
	(void)mayfly__roles__v1__cloud_conf__pack(&conf, r->cloud);
}

/* A key for assertions, where the broker was made without one. */
static inline void
cr_assertion_key(struct nrig *r)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__PrepareKeyRequest p = MAYFLY__ADMIN__V1__PREPARE_KEY_REQUEST__INIT;
	Mayfly__Admin__V1__ActivateKeyRequest a = MAYFLY__ADMIN__V1__ACTIVATE_KEY_REQUEST__INIT;
	p.use = a.use = (char *)(uintptr_t)CR_KEY_USE;
	p.reason = a.reason = (char *)(uintptr_t) "test";
	a.force = true;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PREPARE_KEY;
	c.prepare_key = &p;
	(void)nr_admin(r, &c);
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_ACTIVATE_KEY;
	c.activate_key = &a;
	(void)nr_admin(r, &c);
}

/* nr_new, with cr_policy and one target at ${endpoint}. No courier is there yet. */
static inline struct nrig *
cr_new(const char *endpoint, const char *revoker)
{
	struct nrig *r = nr_prepare();
	r->policy = cr_policy;
	cr_targets(r, endpoint, revoker);
	nr_begin_all(r);
	cr_assertion_key(r);
	return r;
}

/* The notary is stopped and started once more, so that what it left open is closed; then the log is looked at. */
static inline void
cr_end(struct nrig *r, struct courier *c)
{
	cr_forget(c);
	mf_seqpacket_free(c->pkt);
	*c = (struct courier) { 0 };
	nr_stop(r);
	nr_start(r, NULL, 0);
	nr_status(r);
	NR_UNTIL(r, cr_check_log(r) == 0);
	assert_int_equal(nr_told(r, "canary"), 0);
	nr_free(r);
}
#endif
