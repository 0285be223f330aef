/* What a node, a token's holder or a confused front may send at worst: refused, bounded, and the engine lives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/notary/engine_internal.h"
#include "codec/join_token.h"
#include "lib/engine_jobs.h"
#include "lib/engine_rig.h"

#define INVALID MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID
#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE

struct node {
	char id[MF_STATE_ID_MAX];
	uint8_t value[16];
};

/* An Attach that is fine, to be made worse: sid 1, node key 1, profile train, alice. */
struct attach {
	Mayfly__Agent__V1__Up up;
	Mayfly__Agent__V1__Attach a;
	char key[1024], text[4][2048], *selectors[MF_LIM_SELECTORS + 1];
	ProtobufCBinaryData points[MF_LIM_IDENTITIES + 1];
	uint8_t point[65];
};

static void
fine(struct attach *t, const struct node *n, unsigned i)
{
	static const char *const texts[] = { "train", "alice", "pidfd", "unix.user:alice" };
	*t = (struct attach) { .up = MAYFLY__AGENT__V1__UP__INIT, .a = MAYFLY__AGENT__V1__ATTACH__INIT };
	mf_rig_instance_key(t->key, n->id, RIG_BOOT, i);
	for (size_t k = 0; k < 4; k++)
		(void)snprintf(t->text[k], sizeof(t->text[k]), "%s", texts[k]);
	memset(t->point, 4, sizeof(t->point));
	for (size_t k = 0; k < MF_COUNT(t->points); k++)
		t->points[k] = (ProtobufCBinaryData) { sizeof(t->point), t->point };
	t->selectors[0] = t->text[3];
	t->a.instance_key = t->key;
	t->a.profile = t->text[0];
	t->a.unix_user = t->text[1];
	t->a.grade = t->text[2];
	t->a.n_selectors = 1;
	t->a.selectors = t->selectors;
	t->a.n_points = 2;
	t->a.points = t->points;
	t->up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	t->up.attach = &t->a;
}

static uint64_t
ask(struct rig *r, struct attach *t)
{
	uint64_t req = mf_rig_up(r, 1, 1, &t->up);
	mf_rig_settle(r);
	return req;
}

static void
check_invalid(struct rig *r, struct attach *t, const char *what)
{
	size_t before = r->log_n;
	if (mf_rig_refusal(r, 1, ask(r, t)) != INVALID)
		fail_msg("not refused: %s", what);
	assert_int_equal(r->log_n, before); /* and it cost the log nothing */
}

static struct rig *
with_node(struct node *n)
{
	struct rig *r = mf_rig_new();
	mf_rig_join(r, 1, 1, n->id, n->value);
	return r;
}

static void
test_selectors(void **state)
{
	MF_UNUSED(state);
	static char text[MF_LIM_SELECTORS + 1][1200];
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	static const char *const bad[] = { "nocolon", ":empty", "", "unix.user:al\nice", "unix.user:\x1b[2J",
		"grade:pidfd+cgroup", "unix.user:\x7f" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		fine(&t, &n, 1);
		(void)snprintf(t.text[3], sizeof(t.text[3]), "%s", bad[i]);
		check_invalid(r, &t, bad[i]);
	}
	fine(&t, &n, 1);
	memset(t.text[3] + 10, 'x', MF_LIM_SELECTOR - 9);
	t.text[3][MF_LIM_SELECTOR + 1] = '\0';
	check_invalid(r, &t, "1025 bytes");
	/* Each within its limit, together more than a record. */
	fine(&t, &n, 1);
	for (size_t i = 0; i < 40; i++) {
		memset(text[i], 'a', 600);
		memcpy(text[i], "unix.x:", 7);
		t.selectors[i] = text[i];
	}
	t.a.n_selectors = 40;
	check_invalid(r, &t, "24 KiB together");
	fine(&t, &n, 1);
	for (size_t i = 0; i <= MF_LIM_SELECTORS; i++)
		t.selectors[i] = t.text[3];
	t.a.n_selectors = MF_LIM_SELECTORS + 1;
	check_invalid(r, &t, "257 of them");
	/* As many as there may be, each letter escaped in the record. */
	fine(&t, &n, 1);
	for (size_t i = 1; i < 20; i++) {
		memset(text[i], '"', 480);
		memcpy(text[i], "a:", 2);
		text[i][480] = '\0';
		t.selectors[i] = text[i];
	}
	t.a.n_selectors = 20;
	assert_non_null(mf_rig_grant(r, 1, ask(r, &t)));
	mf_rig_free(r);
}

static void
test_fields(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	static const char *const tails[] = { "/", "/../n-other/x", " ", "\n", "\xc3\xa4", "\"" };
	for (size_t i = 0; i < MF_COUNT(tails); i++) {
		fine(&t, &n, 1);
		(void)snprintf(t.key + strlen(t.key), 32, "%s", tails[i]);
		check_invalid(r, &t, tails[i]);
	}
	fine(&t, &n, 1);
	memset(t.key + strlen(t.key), 'x', 600);
	check_invalid(r, &t, "a key of 600 bytes");
	for (size_t k = 0; k < 4; k++) {
		char **field[] = { &t.a.profile, &t.a.name, &t.a.grade, &t.a.unix_user };
		char longer[600], control[] = "a\tb";
		memset(longer, 'x', sizeof(longer) - 1);
		longer[sizeof(longer) - 1] = '\0';
		fine(&t, &n, 1);
		*field[k] = longer;
		check_invalid(r, &t, "a long field");
		fine(&t, &n, 1);
		*field[k] = control;
		check_invalid(r, &t, "a control character");
	}
	fine(&t, &n, 1);
	t.a.n_points = 0;
	check_invalid(r, &t, "no key");
	t.a.n_points = MF_LIM_IDENTITIES + 1;
	check_invalid(r, &t, "five keys");
	fine(&t, &n, 1);
	t.points[1].len = 64;
	check_invalid(r, &t, "a short key");
	fine(&t, &n, 1);
	t.a.n_points = 1; /* the profile has two identities */
	assert_int_equal(mf_rig_refusal(r, 1, ask(r, &t)), INVALID);
	mf_rig_free(r);
}

static void
test_manifests(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	char *big = malloc(MF_LIM_MANIFEST + 1), value[1024];
	assert_non_null(big);
	static const char *const bad[] = { "{", "[]", "{\"unknown\":1}", "{\"env\":\"a\\u0007\"}" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		fine(&t, &n, 1);
		t.a.manifest.len = strlen(bad[i]);
		t.a.manifest.data = (uint8_t *)big;
		memcpy(big, bad[i], t.a.manifest.len);
		check_invalid(r, &t, bad[i]);
	}
	/* Legal, of legal size, and more than a record holds once its quotes are escaped again. */
	memset(value, 'm', sizeof(value));
	for (size_t i = 0; i + 1 < 500; i += 2)
		memcpy(value + i, "\\\"", 2);
	size_t at = (size_t)snprintf(big, MF_LIM_MANIFEST, "{\"mounts\":[");
	for (size_t i = 0; i < 31; i++)
		at += (size_t)snprintf(
		    big + at, MF_LIM_MANIFEST - at, "%s\"%.*s%zu\"", i == 0 ? "" : ",", 1000, value, i);
	at += (size_t)snprintf(big + at, MF_LIM_MANIFEST - at, "]}");
	fine(&t, &n, 1);
	t.a.manifest = (ProtobufCBinaryData) { at, (uint8_t *)big };
	check_invalid(r, &t, "too much for its record");
	fine(&t, &n, 1);
	t.a.manifest = (ProtobufCBinaryData) { MF_LIM_MANIFEST + 1, (uint8_t *)big };
	check_invalid(r, &t, "over its size");
	free(big);
	mf_rig_free(r);
}

/* An instance key is a cgroup's: who else is in that, and is seen first after the attestor lost its table, has no part in the lease. */
static void
test_an_instance_stays_its_owners(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	static char owner[3][64];
	static const struct {
		const char *uid, *gid, *sup;
		bool same;
	} who[] = {
		{ "unix.uid:1001", "unix.gid:1001", "unix.path:/bin/a", true },
		{ "unix.uid:1001", "unix.gid:1001", "unix.path:/bin/b", true },
		{ "unix.uid:1003", "unix.gid:1001", "unix.path:/bin/a", false },
		{ "unix.uid:1001", "unix.gid:1003", "unix.path:/bin/a", false },
		{ "unix.uid:1001", "unix.gid:1001", "unix.sup_gid:27", false },
		{ "unix.uid:1001", "unix.path:/bin/c", "unix.path:/bin/a", false },
	};
	for (size_t i = 0; i < MF_COUNT(who); i++) {
		fine(&t, &n, 1);
		(void)snprintf(owner[0], sizeof(owner[0]), "%s", who[i].uid);
		(void)snprintf(owner[1], sizeof(owner[1]), "%s", who[i].gid);
		(void)snprintf(owner[2], sizeof(owner[2]), "%s", who[i].sup);
		for (size_t k = 0; k < 3; k++)
			t.selectors[1 + k] = owner[k];
		t.a.n_selectors = 4;
		if (who[i].same)
			assert_non_null(mf_rig_grant(r, 1, ask(r, &t)));
		else
			check_invalid(r, &t, who[i].uid);
	}
	mf_rig_free(r);
}

/* The attestor says it twice, by a flag and a selector; one is enough, and it stays true at every renewal. */
static void
test_interactive_cannot_be_lost(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	char hex[65];
	for (unsigned i = 0; i < 2; i++) {
		fine(&t, &n, 1 + i);
		t.a.interactive = i == 0;
		t.selectors[1] = t.text[0] + 1000;
		(void)snprintf(t.selectors[1], 100, "interactive:%s", i == 0 ? "false" : "true");
		t.a.n_selectors = 2;
		assert_int_equal(mf_rig_refusal(r, 1, ask(r, &t)), DENIED);
	}
	fine(&t, &n, 3);
	(void)snprintf(t.text[0], 100, "shell");
	(void)snprintf(t.text[3], 100, "unix.user:carol");
	t.a.interactive = true;
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, ask(r, &t));
	assert_non_null(g);
	char lease[MF_STATE_ID_MAX];
	(void)snprintf(lease, sizeof(lease), "%s", g->lease_id);
	uint64_t req = mf_rig_renew(r, 1, 1, lease, 1);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	/* Today's policy no longer serves interactive callers. */
	memset(hex, 'b', 64);
	hex[64] = '\0';
	mf_engine_policy(r->e, r->now, mf_rig_policy(false), hex);
	req = mf_rig_renew(r, 1, 1, lease, 1);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), DENIED);
	mf_rig_free(r);
}

static Mayfly__Agent__V1__RefusalCode
say_hello(struct rig *r, uint64_t sid, const char *boot, const char *hostname, const char *token)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Hello h = MAYFLY__AGENT__V1__HELLO__INIT;
	Mayfly__Agent__V1__Join j = MAYFLY__AGENT__V1__JOIN__INIT;
	struct mf_join_token *t = NULL;
	char text[2][1024], id[128];
	uint8_t secret[32];
	(void)snprintf(text[0], sizeof(text[0]), "%s", boot);
	(void)snprintf(text[1], sizeof(text[1]), "%s", hostname);
	assert_int_equal(mf_join_token_decode(mf_slice_str(token), &t, NULL), MF_OK);
	(void)snprintf(id, sizeof(id), "%s", mf_join_token_public(t)->token_id);
	memcpy(secret, mf_join_token_secret(t).p, 32);
	mf_join_token_free(t);
	h.version_min = h.version_max = 1;
	h.boot_id = text[0];
	h.hostname = text[1];
	j.hello = &h;
	j.token_id = id;
	j.token_secret = (ProtobufCBinaryData) { 32, secret };
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_JOIN;
	up.join = &j;
	uint64_t req = mf_rig_up(r, sid, (unsigned)sid, &up);
	mf_rig_commit(r);
	return mf_rig_refusal(r, sid, req);
}

static void
test_join_fields(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char *token = mf_rig_token(r, 10, 3600), host[400];
	/* A name that is cut in the middle of a letter would break the record of the node. */
	for (unsigned i = 0; i < 4; i++) {
		memset(host, 'h', sizeof(host));
		for (size_t k = 240 + i; k + 3 < sizeof(host); k += 3)
			memcpy(host + k, "\xe2\x82\xac", 3);
		host[397] = '\0';
		host[mf_utf8_cut(mf_slice_str(host), sizeof(host))] = '\0';
		assert_int_equal(say_hello(r, 10 + i, RIG_BOOT, host, token), 0);
	}
	assert_int_equal(say_hello(r, 20, RIG_BOOT, "evil\x1b[31m", token), 0);
	for (const struct mf_node *n = mf_state_next_node(mf_engine_state(r->e), NULL); n != NULL;
	     n = mf_state_next_node(mf_engine_state(r->e), n))
		assert_true(mf_engine_plain(n->hostname) && strlen(n->hostname) <= 255);
	static const char *const boots[] = { "", "x", "11111111-1111-4111-8111-11111111111/",
		"11111111-1111-4111-8111-1111111111\xc3\xa4", "11111111-1111-4111-8111-111111111111 " };
	for (unsigned i = 0; i < MF_COUNT(boots); i++)
		assert_int_equal(say_hello(r, 30 + i, boots[i], "h", token), INVALID);
	free(token);
	mf_rig_free(r);
}

/* What an End names is remembered only when it could ever be attached. */
static void
test_ends_are_bounded(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	char key[256];
	for (unsigned i = 0; i < MF_LIM_NODE_INSTANCES + 500; i++) {
		(void)snprintf(key, sizeof(key), "not/mine/%u", i);
		uint64_t req = mf_rig_end(r, 1, 1, key, "");
		assert_true(mf_rig_answer(r, 1, req)->end_answer->recorded);
		mf_rig_instance_key(key, n.id, RIG_BOOT, i);
		(void)mf_rig_end(r, 1, 1, key, "");
		for (size_t k = 0; k < r->downs_n; k++)
			mayfly__agent__v1__down__free_unpacked(r->downs[k].down, NULL);
		r->downs_n = 0;
	}
	const struct session *s = mf_engine_session(r->e, 1);
	assert_int_equal(HASH_COUNT(s->gone), MF_LIM_NODE_INSTANCES);
	(void)snprintf(key, sizeof(key), "not/mine/%u", MF_LIM_NODE_INSTANCES + 499);
	assert_false(mf_session_is_gone(s, key));
	mf_rig_free(r);
}

static void
test_renewing_in_a_loop(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	fine(&t, &n, 1);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 1, ask(r, &t));
	char lease[MF_STATE_ID_MAX];
	(void)snprintf(lease, sizeof(lease), "%s", g->lease_id);
	size_t granted = 1;
	for (unsigned i = 0; i < 300; i++) {
		uint64_t req = i % 2 == 0 ? mf_rig_renew(r, 1, 1, lease, 1) : mf_rig_up(r, 1, 1, &t.up);
		if (i % 3 == 1) /* several at a time cannot pass together either */
			mf_rig_settle(r);
		granted += mf_rig_grant(r, 1, req) != NULL;
	}
	mf_rig_settle(r);
	assert_true(
	    mf_rig_count(r, MF_REC_SVID_ISSUED) + mf_rig_count(r, MF_REC_SVID_RENEWED) <= MF_ENGINE_LIVE_MAX);
	assert_true(granted > 10);
	mf_rig_advance(r, 1300000); /* all expired (and the node was silent: suspended) */
	uint64_t req = mf_rig_up(r, 1, 1, &t.up);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	/* The same for its front's certificate. */
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__CertifyOuter c = MAYFLY__AGENT__V1__CERTIFY_OUTER__INIT;
	c.point = t.points[0];
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_CERTIFY_OUTER;
	up.certify_outer = &c;
	for (unsigned i = 0; i < 100; i++) {
		req = mf_rig_up(r, 1, 1, &up);
		mf_rig_settle(r);
	}
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	/* And for the broker's own, which a front may ask for. */
	size_t before = r->log_n;
	for (unsigned i = 0; i < 100; i++) {
		mf_engine_certify_server(r->e, r->now, mf_slice(t.point, sizeof(t.point)));
		mf_rig_settle(r);
	}
	assert_int_equal(r->log_n - before, 64);
	mf_rig_free(r);
}

static void
test_sessions_in_a_loop(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	size_t before = r->log_n, refused = 0;
	for (unsigned i = 0; i < 500; i++) {
		const Mayfly__Agent__V1__Down *d =
		    mf_rig_hello(r, 100 + i, 1, RIG_BOOT, n.value, sizeof(n.value), NULL);
		refused += d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL;
	}
	assert_true(refused > 400);
	assert_true(r->log_n - before < 150);
	mf_rig_advance(r, 61000);
	assert_int_equal(mf_rig_hello(r, 900, 1, RIG_BOOT, n.value, sizeof(n.value), NULL)->body_case,
	    MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	mf_rig_free(r);
}

/* Two keys on one session number: neither speaks for the other. */
static void
test_a_session_has_one_key(void **state)
{
	MF_UNUSED(state);
	struct node n, other;
	struct rig *r = with_node(&n);
	mf_rig_join(r, 2, 2, other.id, other.value);
	char key[256];
	mf_rig_instance_key(key, n.id, RIG_BOOT, 1);
	size_t before = r->log_n;
	uint64_t req = mf_rig_attach(r, 1, 2, key, "train", "alice"); /* node 2's key on node 1's session */
	mf_rig_settle(r);
	assert_null(mf_rig_grant(r, 1, req));
	assert_int_equal(r->log_n, before);
	assert_int_equal(r->closed[(r->closed_n - 1) % MF_COUNT(r->closed)], 1);
	mf_rig_free(r);
}

static void
test_order_of_a_session(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	/* Not begun with Hello. */
	fine(&t, &n, 1);
	uint64_t req = mf_rig_up(r, 50, 1, &t.up);
	assert_int_equal(mf_rig_refusal(r, 50, req), INVALID);
	/* A resync of more than a node may hold, and a second one. */
	(void)mf_rig_hello(r, 51, 1, RIG_BOOT, n.value, sizeof(n.value), NULL);
	assert_non_null(mf_rig_resync(r, 51, 1, NULL, NULL, NULL, 0));
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Resync rs = MAYFLY__AGENT__V1__RESYNC__INIT;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RESYNC;
	up.resync = &rs;
	req = mf_rig_up(r, 51, 1, &up);
	assert_int_equal(mf_rig_refusal(r, 51, req), INVALID);
	mf_rig_free(r);
}

static void
test_limits_of_a_node_and_of_work(void **state)
{
	MF_UNUSED(state);
	struct node n;
	struct rig *r = with_node(&n);
	struct attach t;
	uint64_t req = 0;
	for (unsigned i = 0; i < 257; i++) { /* nobody signs */
		fine(&t, &n, i);
		req = mf_rig_up(r, 1, 1, &t.up);
	}
	mf_rig_commit(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	mf_rig_settle(r);
	for (unsigned i = 257; i <= MF_LIM_NODE_INSTANCES; i++) {
		fine(&t, &n, i);
		req = mf_rig_up(r, 1, 1, &t.up);
		if (i % 100 == 0)
			mf_rig_settle(r);
	}
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 1, req), UNAVAILABLE);
	assert_int_equal(
	    mf_state_node(mf_engine_state(r->e), mf_slice_str(n.id))->live, MF_LIM_NODE_INSTANCES);
	mf_rig_free(r);
}

/* A reason of policy that does not fit is cut between letters: half a letter fits into no record. */
static void
test_reasons_are_text(void **state)
{
	MF_UNUSED(state);
	char value[201];
	for (unsigned i = 0; i < 4; i++) {
		struct mf_policy *p = NULL;
		struct mf_facts *f = NULL;
		struct mf_decision d;
		memset(value, 'a', sizeof(value));
		for (size_t k = i; k + 3 < sizeof(value); k += 3)
			memcpy(value + k, "\xe2\x82\xac", 3);
		size_t len = mf_utf8_cut(mf_slice(value, 200), 200);
		value[len] = '\0';
		const struct mf_slice v[] = { mf_slice(value, len), mf_slice(value + i, len - i),
			mf_slice(value + i + 3, len - i - 3), mf_slice(value + i + 6, len - i - 6) };
		struct mf_policy_profile prof = { .name = "x",
			.purpose = "p",
			.owner = value + i,
			.max_job_ms = 1000,
			.n_identities = 1,
			.identities = { { .path = "/x",
			    .hint = "",
			    .cn = "",
			    .x509_ttl_ms = 60000,
			    .jwt_ttl_ms = 60000 } } };
		struct mf_policy_rule rule = { .id = "r",
			.owner = value + i,
			.profile = "x",
			.review_by_s = INT64_C(4000000000),
			.nodes = MF_POLICY_ANY,
			.when = MF_POLICY_EXPR };
		struct mf_err err = { 0 };
		assert_int_equal(mf_policy_new(&p, &err), MF_OK);
		if (mf_policy_add_profile(p, &prof, &err) != MF_OK ||
		    mf_policy_rule_begin(p, &rule, &err) != MF_OK ||
		    mf_policy_push(p, MF_POLICY_IN, MF_SLICE_LIT("manifest.env"), v, 4, &err) != MF_OK ||
		    mf_policy_rule_end(p, &err) != MF_OK || mf_policy_seal(p, &err) != MF_OK)
			fail_msg("%s", err.msg);
		assert_int_equal(mf_facts_new(&f, NULL), MF_OK);
		mf_facts_seal(f);
		struct mf_policy_request q = { MF_SLICE_LIT("x"), f, 1000 };
		mf_policy_decide(p, &q, &d);
		assert_false(d.permit);
		assert_true(mf_utf8_ok(mf_slice_str(d.reason)));
		mf_facts_free(f);
		mf_policy_free(p);
	}
}

/*
 * Invariant 4: whoever has the key of a node outside of the rule's pool says what helps: the user, the strongest grade, and,
 * since attributes are not the node's to say, the pool as a selector. Nothing that policy places elsewhere is granted.
 */
static void
test_stolen_node_key(void **state)
{
	MF_UNUSED(state);
	static const char *const claims[] = { "unix.user:alice", "node.pool:gpu", "pool:gpu",
		"attested.node.pool:gpu" };
	struct node lab, gpu;
	struct rig *r = with_node(&gpu);
	struct attach t;
	mf_rig_join_with(r, 2, 2, "pool", "lab", lab.id);
	for (size_t i = 0; i < MF_COUNT(claims); i++) {
		fine(&t, &lab, (unsigned)i + 1);
		(void)snprintf(t.text[2], sizeof(t.text[2]), "pidfd+cgroup");
		t.selectors[1] = (char *)(uintptr_t)claims[i];
		t.a.n_selectors = 2;
		uint64_t req = mf_rig_up(r, 2, 2, &t.up);
		mf_rig_settle(r);
		assert_null(mf_rig_grant(r, 2, req));
		assert_in_range(mf_rig_refusal(r, 2, req), 1, UINT16_MAX);
	}
	assert_int_equal(mf_rig_count(r, MF_REC_LEASE_OPENED), 0);
	fine(&t, &gpu, 1); /* the same words, from where policy wants them */
	assert_non_null(mf_rig_grant(r, 1, ask(r, &t)));
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_an_instance_stays_its_owners),
		cmocka_unit_test(test_interactive_cannot_be_lost),
		cmocka_unit_test(test_join_fields),
		cmocka_unit_test(test_ends_are_bounded),
		cmocka_unit_test(test_renewing_in_a_loop),
		cmocka_unit_test(test_sessions_in_a_loop),
		cmocka_unit_test(test_a_session_has_one_key),
		cmocka_unit_test(test_order_of_a_session),
		cmocka_unit_test(test_limits_of_a_node_and_of_work),
		cmocka_unit_test(test_reasons_are_text),
		cmocka_unit_test(test_stolen_node_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
