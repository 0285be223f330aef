/* What the attestor asks the notary on a front's word: JWT-SVIDs (mint.c), dry runs (explain.c); and documents (documents.c). */
#include "integration/attestor_rig.h"

#define REFUSED(code) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##code
#define KEEP MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP

static char id[] = "spiffe://example.org/a", aud[] = "one", lease1[] = "l-1", lease2[] = "l-2",
	    token[] = "t.t.t", reason[] = "because", feature[] = "explain.1", cloud_feature[] = "cloud.1",
	    data[] = "data";

/* ---- JWT-SVIDs ---- */

static void
mint(struct rig *r, uint64_t handle, uint64_t mint_id, size_t audiences)
{
	Mayfly__Roles__V1__MintInstanceJwt m = MAYFLY__ROLES__V1__MINT_INSTANCE_JWT__INIT;
	char *list[32];
	for (size_t i = 0; i < MF_COUNT(list); i++)
		list[i] = aud;
	m.mint_id = mint_id;
	m.handle = handle;
	m.spiffe_id = id;
	m.audiences = list;
	m.n_audiences = audiences;
	front_send(r, MF_MSG_MINT_INSTANCE_JWT, &m.base, -1);
}

static void
refused_mint(struct rig *r, uint64_t mint_id, Mayfly__Agent__V1__RefusalCode code)
{
	const Mayfly__Roles__V1__InstanceJwt *m = expect(r, MF_MSG_INSTANCE_JWT);
	assert_int_equal(m->mint_id, mint_id);
	assert_null(m->grant);
	assert_non_null(m->refusal);
	assert_int_equal(m->refusal->code, code);
}

static void
send_jwt(struct rig *r, uint64_t request_id, char *lease, uint32_t epoch)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__JwtGrant g = MAYFLY__AGENT__V1__JWT_GRANT__INIT;
	g.lease_id = lease;
	g.epoch = epoch;
	g.spiffe_id = id;
	g.token = token;
	d.request_id = request_id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT;
	d.jwt_grant = &g;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

static void
send_refusal(struct rig *r, uint64_t request_id, Mayfly__Agent__V1__RefusalCode code)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Refusal no = MAYFLY__AGENT__V1__REFUSAL__INIT;
	no.code = code;
	no.reason = reason;
	d.request_id = request_id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL;
	d.refusal = &no;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

/* An attested process with lease l-1, epoch 1. */
static uint64_t
granted(struct rig *r, pid_t *ret_p)
{
	*ret_p = spawn(connect_and_wait, &r->w);
	uint64_t handle = who_is(r, 1, world_accept(&r->w))->handle;
	make_ready(r, true, 0, KEEP);
	mint(r, handle, 1, 1); /* nothing was granted yet */
	refused_mint(r, 1, REFUSED(SUSPENDED));
	ask_keys(r, MF_MSG_ATTACH_INSTANCE, handle);
	send_grant(r, expect_up(r, MAYFLY__AGENT__V1__UP__BODY_ATTACH)->request_id, lease1);
	(void)expect(r, MF_MSG_INSTANCE_GRANT);
	return handle;
}

static uint64_t
asked(struct rig *r)
{
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_MINT_JWT);
	assert_string_equal(up->mint_jwt->lease_id, lease1);
	assert_int_equal(up->mint_jwt->epoch, 1);
	assert_string_equal(up->mint_jwt->spiffe_id, id);
	return up->request_id;
}

static void
test_mint(void **state)
{
	struct rig *r = *state;
	pid_t p;
	uint64_t handle = granted(r, &p);
	mint(r, handle + 77, 2, 1);
	refused_mint(r, 2, REFUSED(ENDED));
	mint(r, handle, 3, 0);
	refused_mint(r, 3, REFUSED(INVALID));
	mint(r, handle, 4, MF_LIM_JWT_AUDIENCES + 1);
	refused_mint(r, 4, REFUSED(INVALID));
	mint(r, handle, 5, 2);
	uint64_t request = asked(r);
	assert_int_equal(((const Mayfly__Agent__V1__Up *)r->up)->mint_jwt->n_audiences, 2);
	send_jwt(r, request, lease1, 1);
	const Mayfly__Roles__V1__InstanceJwt *m = expect(r, MF_MSG_INSTANCE_JWT);
	assert_int_equal(m->mint_id, 5);
	assert_non_null(m->grant);
	assert_string_equal(m->grant->token, token);
	send_jwt(r, request, lease1, 1); /* twice: nobody asked */
	/* Of another lease, or another epoch, it is nothing. */
	mint(r, handle, 6, 1);
	send_jwt(r, asked(r), lease2, 1);
	refused_mint(r, 6, REFUSED(ENDED));
	mint(r, handle, 7, 1);
	send_jwt(r, asked(r), lease1, 2);
	refused_mint(r, 7, REFUSED(ENDED));
	/* A refusal is passed on; what it says about the lease is believed. */
	mint(r, handle, 8, 1);
	send_refusal(r, asked(r), REFUSED(DENIED));
	refused_mint(r, 8, REFUSED(DENIED));
	mint(r, handle, 9, 1);
	send_refusal(r, asked(r), REFUSED(SUSPENDED));
	refused_mint(r, 9, REFUSED(SUSPENDED));
	const Mayfly__Roles__V1__InstanceEnded *e = expect(r, MF_MSG_INSTANCE_ENDED);
	assert_true(e->suspended);
	end_child(p);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
}

static void
test_mint_lost(void **state)
{
	struct rig *r = *state;
	pid_t p;
	uint64_t handle = granted(r, &p);
	mint(r, handle, 2, 1);
	(void)asked(r);
	Mayfly__Roles__V1__OuterClosed oc = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
	oc.sid = r->sid;
	front_send(r, MF_MSG_OUTER_CLOSED, &oc.base, -1);
	refused_mint(r, 2, REFUSED(UNAVAILABLE));
	mint(r, handle, 3, 1); /* no session at all */
	refused_mint(r, 3, REFUSED(UNAVAILABLE));
	end_child(p);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
}

/* ---- cloud tokens ---- */

static void
mint_cloud(struct rig *r, uint64_t handle, uint64_t mint_id, const char *grant)
{
	Mayfly__Roles__V1__MintInstanceCloud m = MAYFLY__ROLES__V1__MINT_INSTANCE_CLOUD__INIT;
	m.mint_id = mint_id;
	m.handle = handle;
	m.grant = (char *)(uintptr_t)grant;
	front_send(r, MF_MSG_MINT_INSTANCE_CLOUD, &m.base, -1);
}

static void
refused_cloud(struct rig *r, uint64_t mint_id, Mayfly__Agent__V1__RefusalCode code)
{
	const Mayfly__Roles__V1__InstanceCloud *m = expect(r, MF_MSG_INSTANCE_CLOUD);
	assert_int_equal(m->mint_id, mint_id);
	assert_null(m->grant);
	assert_non_null(m->refusal);
	assert_int_equal(m->refusal->code, code);
}

static uint64_t
asked_cloud(struct rig *r)
{
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD);
	assert_string_equal(up->mint_cloud->lease_id, lease1);
	assert_int_equal(up->mint_cloud->epoch, 1);
	assert_string_equal(up->mint_cloud->grant, data);
	return up->request_id;
}

static void
send_cloud(struct rig *r, uint64_t request_id, char *lease, uint32_t epoch)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__CloudGrant g = MAYFLY__AGENT__V1__CLOUD_GRANT__INIT;
	g.lease_id = lease;
	g.epoch = epoch;
	g.grant = data;
	g.token = (ProtobufCBinaryData) { .len = strlen(token), .data = (uint8_t *)token };
	d.request_id = request_id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT;
	d.cloud_grant = &g;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

static void
end_cloud(struct rig *r, char *lease)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__CloudEnded e = MAYFLY__AGENT__V1__CLOUD_ENDED__INIT;
	e.lease_id = lease;
	e.grant = data;
	e.reason = reason;
	e.may_ask_again = true;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_ENDED;
	d.cloud_ended = &e;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

static void
end_svid(struct rig *r, char *lease)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__SvidEnded e = MAYFLY__AGENT__V1__SVID_ENDED__INIT;
	char serial[] = "00ff";
	e.lease_id = lease;
	e.serial = serial;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_SVID_ENDED;
	d.svid_ended = &e;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

static void
test_cloud(void **state)
{
	struct rig *r = *state;
	pid_t p;
	r->features[r->n_features++] = cloud_feature;
	uint64_t handle = granted(r, &p);
	mint_cloud(r, handle + 77, 2, data);
	refused_cloud(r, 2, REFUSED(ENDED));
	mint_cloud(r, handle, 3, "");
	refused_cloud(r, 3, REFUSED(INVALID));
	mint_cloud(r, handle, 4, data);
	uint64_t request = asked_cloud(r);
	send_cloud(r, request, lease1, 1);
	const Mayfly__Roles__V1__InstanceCloud *m = expect(r, MF_MSG_INSTANCE_CLOUD);
	assert_int_equal(m->mint_id, 4);
	assert_non_null(m->grant);
	assert_memory_equal(m->grant->token.data, token, strlen(token));
	send_cloud(r, request, lease1, 1); /* twice: nobody asked */
	mint_cloud(r, handle, 5, data);
	send_cloud(r, asked_cloud(r), lease2, 1);
	refused_cloud(r, 5, REFUSED(ENDED));
	mint_cloud(r, handle, 6, data);
	send_cloud(r, asked_cloud(r), lease1, 2);
	refused_cloud(r, 6, REFUSED(ENDED));
	mint_cloud(r, handle, 7, data);
	send_refusal(r, asked_cloud(r), REFUSED(DENIED));
	refused_cloud(r, 7, REFUSED(DENIED));
	/* What ended is told of the lease that is meant, and of no other. */
	end_cloud(r, lease2);
	end_cloud(r, lease1);
	const Mayfly__Roles__V1__InstanceCloudEnded *e = expect(r, MF_MSG_INSTANCE_CLOUD_ENDED);
	assert_int_equal(e->handle, handle);
	assert_string_equal(e->grant, data);
	assert_string_equal(e->reason, reason);
	assert_true(e->may_ask_again);
	end_svid(r, lease2);
	end_svid(r, lease1);
	const Mayfly__Roles__V1__InstanceSvidEnded *s = expect(r, MF_MSG_INSTANCE_SVID_ENDED);
	assert_int_equal(s->handle, handle);
	assert_string_equal(s->serial, "00ff");
	mint_cloud(r, handle, 8, data);
	(void)asked_cloud(r);
	Mayfly__Roles__V1__OuterClosed oc = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
	oc.sid = r->sid;
	front_send(r, MF_MSG_OUTER_CLOSED, &oc.base, -1);
	refused_cloud(r, 8, REFUSED(UNAVAILABLE));
	end_child(p);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	mint_cloud(r, handle, 9, data);
	refused_cloud(r, 9, REFUSED(ENDED));
}

static void
test_cloud_old_broker(void **state)
{
	struct rig *r = *state;
	pid_t p;
	uint64_t handle = granted(r, &p);
	mint_cloud(r, handle, 2, data);
	refused_cloud(r, 2, REFUSED(UNAVAILABLE));
	end_child(p);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
}

static const Mayfly__Roles__V1__PeerFound *
find_peer(struct rig *r, uint64_t peer_id, const char *name, uint64_t cgroup_id, uint32_t uid)
{
	Mayfly__Roles__V1__FindPeer m = MAYFLY__ROLES__V1__FIND_PEER__INIT;
	m.peer_id = peer_id;
	m.name = (char *)(uintptr_t)name;
	m.cgroup_id = cgroup_id;
	m.uid = uid;
	front_send(r, MF_MSG_FIND_PEER, &m.base, -1);
	const Mayfly__Roles__V1__PeerFound *f = expect(r, MF_MSG_PEER_FOUND);
	assert_int_equal(f->peer_id, peer_id);
	return f;
}

/* A socket is its job's by the cgroup that it was made in; where the instance has none, by its user. */
static void
test_find_peer(void **state)
{
	struct rig *r = *state;
	pid_t p = spawn(connect_and_wait, &r->w);
	char name[64] = "";
	const Mayfly__Roles__V1__Caller *c = who_is(r, 1, world_accept(&r->w));
	uint64_t handle = c->handle, cgroup = c->cgroup_id, where = c->caller_cgroup_id;
	(void)snprintf(name, sizeof(name), "%s", strrchr(c->instance_key, '/') + 1);
	Mayfly__Roles__V1__FindPeer early = MAYFLY__ROLES__V1__FIND_PEER__INIT;
	early.name = name;
	early.cgroup_id = where;
	early.uid = getuid();
	front_send(r, MF_MSG_FIND_PEER, &early.base, -1);
	assert_true(((const Mayfly__Roles__V1__PeerFound *)expect(r, MF_MSG_PEER_FOUND))->unavailable);
	make_ready(r, true, 0, KEEP);
	const Mayfly__Roles__V1__PeerFound *f = find_peer(r, 1, name, where, getuid());
	assert_true(f->known);
	assert_int_equal(f->handle, handle);
	assert_int_equal(f->cgroup_id, cgroup);
	assert_int_equal(strncmp(f->instance_key, "local/n-1/", 10), 0);
	assert_string_equal(strrchr(f->instance_key, '/') + 1, name);
	f = find_peer(r, 2, name, where + 1000000, getuid() + 1);
	assert_false(f->known);
	assert_false(f->ended);
	assert_false(find_peer(r, 3, "cg-1234567", where, getuid())->known);
	assert_false(find_peer(r, 4, "", where, getuid())->known);
	assert_false(find_peer(r, 5, "../..", where, getuid())->known);
	end_child(p);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	f = find_peer(r, 6, name, where, getuid());
	assert_false(f->known);
	assert_true(f->ended);
}

/* ---- dry runs ---- */

static void
explain(struct rig *r, uint64_t conn, uint64_t explain_id)
{
	Mayfly__Roles__V1__ExplainJob m = MAYFLY__ROLES__V1__EXPLAIN_JOB__INIT;
	char profile[] = "train", name[] = "nightly", manifest[] = "{}";
	m.explain_id = explain_id;
	m.conn_id = conn;
	m.profile = profile;
	m.name = name;
	m.manifest = (ProtobufCBinaryData) { .len = 2, .data = (uint8_t *)manifest };
	front_send(r, MF_MSG_EXPLAIN_JOB, &m.base, -1);
}

static void
refused_explain(struct rig *r, uint64_t explain_id, Mayfly__Agent__V1__RefusalCode code)
{
	const Mayfly__Roles__V1__JobExplained *m = expect(r, MF_MSG_JOB_EXPLAINED);
	assert_int_equal(m->explain_id, explain_id);
	assert_null(m->explained);
	assert_non_null(m->refusal);
	assert_int_equal(m->refusal->code, code);
}

static bool
says(const Mayfly__Agent__V1__Attach *a, const char *selector)
{
	for (size_t i = 0; i < a->n_selectors; i++)
		if (strcmp(a->selectors[i], selector) == 0)
			return true;
	return false;
}

/* The facts are those of the job that would be started; nothing is made for it. */
static void
test_explain(void **state)
{
	struct rig *r = *state;
	r->features[r->n_features++] = feature;
	pid_t p = spawn(connect_and_wait, &r->w);
	assert_true(who_is(r, 1, world_accept(&r->w))->known);
	explain(r, 1, 1); /* no session */
	refused_explain(r, 1, REFUSED(UNAVAILABLE));
	make_ready(r, true, 0, KEEP);
	explain(r, 99, 2); /* nobody's connection */
	refused_explain(r, 2, REFUSED(INVALID));
	size_t before = count(r);
	explain(r, 1, 3);
	const Mayfly__Agent__V1__Up *up = expect_up(r, MAYFLY__AGENT__V1__UP__BODY_EXPLAIN);
	const Mayfly__Agent__V1__Attach *a = up->explain->attach;
	char uid[32];
	(void)snprintf(uid, sizeof(uid), "unix.uid:%u", getuid());
	assert_non_null(a);
	assert_int_equal(a->n_points, 0);
	assert_true(says(a, uid));
	assert_true(says(a, "mayfly.run:nightly"));
	assert_string_equal(a->profile, "train");
	assert_string_equal(a->name, "nightly");
	assert_int_equal(a->manifest.len, 2);
	assert_int_equal(a->unix_uid, getuid());
	assert_int_equal(strncmp(a->instance_key, "local/n-1/", 10), 0);
	assert_true(strcmp(a->grade, "pidfd+cgroup") == 0 ||
		    strcmp(a->grade, "pidfd+cgroup-delegated") == 0 || strcmp(a->grade, "tree") == 0);
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Explained x = MAYFLY__AGENT__V1__EXPLAINED__INIT;
	x.permit = true;
	x.rule = reason;
	d.request_id = up->request_id;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_EXPLAINED;
	d.explained = &x;
	notary_send(r, MF_INNER_BOUNDED, &d);
	const Mayfly__Roles__V1__JobExplained *m = expect(r, MF_MSG_JOB_EXPLAINED);
	assert_int_equal(m->explain_id, 3);
	assert_non_null(m->explained);
	assert_true(m->explained->permit);
	notary_send(r, MF_INNER_BOUNDED, &d); /* twice: nobody asked */
	explain(r, 1, 4);
	send_refusal(r, expect_up(r, MAYFLY__AGENT__V1__UP__BODY_EXPLAIN)->request_id, REFUSED(UNAVAILABLE));
	refused_explain(r, 4, REFUSED(UNAVAILABLE));
	explain(r, 1, 5);
	(void)expect_up(r, MAYFLY__AGENT__V1__UP__BODY_EXPLAIN);
	Mayfly__Roles__V1__OuterClosed oc = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
	oc.sid = r->sid;
	front_send(r, MF_MSG_OUTER_CLOSED, &oc.base, -1);
	refused_explain(r, 5, REFUSED(UNAVAILABLE)); /* the session was cut */
	assert_int_equal(count(r), before);
	end_child(p);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
	explain(r, 1, 6);
	refused_explain(r, 6, REFUSED(INVALID));
}

/* A broker of an older release would not know what it is asked. */
static void
test_explain_old_broker(void **state)
{
	struct rig *r = *state;
	pid_t p = spawn(connect_and_wait, &r->w);
	assert_true(who_is(r, 1, world_accept(&r->w))->known);
	make_ready(r, true, 0, KEEP);
	explain(r, 1, 1);
	refused_explain(r, 1, REFUSED(UNAVAILABLE));
	end_child(p);
	(void)expect(r, MF_MSG_INSTANCE_ENDED);
}

/* ---- documents ---- */

static void
vouch(struct rig *r, Mayfly__Agent__V1__DocumentKind kind, uint64_t number, struct mf_slice of)
{
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Vouch v = MAYFLY__AGENT__V1__VOUCH__INIT;
	uint8_t sum[32];
	mf_sha256(of, sum);
	v.kind = kind;
	v.number = number;
	v.sha256 = (ProtobufCBinaryData) { .len = sizeof(sum), .data = sum };
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_VOUCH;
	d.vouch = &v;
	notary_send(r, MF_INNER_BOUNDED, &d);
}

static void
seen(struct rig *r, Mayfly__Agent__V1__DocumentKind kind, struct mf_slice body)
{
	Mayfly__Roles__V1__DocumentSeen s = MAYFLY__ROLES__V1__DOCUMENT_SEEN__INIT;
	Mayfly__Agent__V1__Document doc = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	s.document = &doc;
	doc.kind = kind;
	doc.number = 99; /* whatever it says of itself: the vouch names the number */
	doc.body = (ProtobufCBinaryData) { .len = body.n, .data = (uint8_t *)(uintptr_t)body.p };
	front_send(r, MF_MSG_DOCUMENT_SEEN, &s.base, -1);
}

static void
told(struct rig *r, Mayfly__Agent__V1__DocumentKind kind, uint64_t number, struct mf_slice body)
{
	const Mayfly__Roles__V1__TrustDocument *m = expect(r, MF_MSG_TRUST_DOCUMENT);
	assert_int_equal(m->document->kind, kind);
	assert_int_equal(m->document->number, number);
	assert_true(mf_slice_eq(mf_slice(m->document->body.data, m->document->body.len), body));
}

static void
test_documents(void **state)
{
	struct rig *r = *state;
	const Mayfly__Agent__V1__DocumentKind jwt = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE,
					      foreign =
						  MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES;
	const struct mf_slice one = MF_SLICE_LIT("{\"keys\":[]}"), two = MF_SLICE_LIT("{\"keys\":[2]}"),
			      map = MF_SLICE_LIT("{}");
	make_ready(r, true, 0, KEEP);
	/* Before the vouch or after it; what was made up on the way is not passed on. */
	seen(r, jwt, two);
	vouch(r, jwt, 1, one);
	seen(r, jwt, one);
	told(r, jwt, 1, one);
	seen(r, foreign, map);
	vouch(r, foreign, 7, map);
	told(r, foreign, 7, map);
	/* Said again, it is no news; a new one replaces it. */
	seen(r, jwt, one);
	vouch(r, jwt, 1, one);
	vouch(r, jwt, 2, two);
	seen(r, jwt, two);
	told(r, jwt, 2, two);
	/* Another kind, of a later release, means nothing. */
	seen(r, (Mayfly__Agent__V1__DocumentKind)9, one);
	vouch(r, (Mayfly__Agent__V1__DocumentKind)9, 1, one);
	/* A front that is new is told what is believed. */
	front_hello(r);
	told(r, jwt, 2, two);
	told(r, foreign, 7, map);
}

/* A digest of another length is no digest: the session ends. */
static void
test_bad_vouch(void **state)
{
	struct rig *r = *state;
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Vouch v = MAYFLY__AGENT__V1__VOUCH__INIT;
	uint8_t half[16] = { 0 };
	make_ready(r, true, 0, KEEP);
	v.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE;
	v.sha256 = (ProtobufCBinaryData) { .len = sizeof(half), .data = half };
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_VOUCH;
	d.vouch = &v;
	notary_send(r, MF_INNER_BOUNDED, &d);
	const Mayfly__Roles__V1__OuterClosed *m = expect(r, MF_MSG_OUTER_CLOSE_OUT);
	assert_non_null(strstr(m->reason, "digest of 16 bytes"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	mf_jlog_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
	const struct CMUnitTest tests[] = { T(test_mint), T(test_mint_lost), T(test_cloud),
		T(test_cloud_old_broker), T(test_find_peer), T(test_explain), T(test_explain_old_broker),
		T(test_documents), T(test_bad_vouch) };
	return cmocka_run_group_tests_name("attestor_asks", tests, NULL, NULL);
}
