/*
 * Every way to join, through one conformance test; then x509pop against the engine: who the node is, what a verifier that
 * was taken over can do, and what is left when it dies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "engine_rig.h"

#define CODE(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x

static const struct mf_slice rules[] = { { (const uint8_t *)"pool=subject.OU", 15 },
	{ (const uint8_t *)"host=san.dns", 12 } };
static const struct mf_attest_conf with_ca = { .x509pop = true, .rules = rules, .rules_n = MF_COUNT(rules) };
static const struct mf_attest_conf without = { .x509pop = false };

/* ---- conformance: holds for every table ---- */

static void
believes_only_what_was_asked(const struct mf_node_attestor *t)
{
	/* What a verifier may say: of the configured names, each once, in the alphabet. */
	const struct mf_slice good[] = { MF_SLICE_LIT("host=a.example"), MF_SLICE_LIT("pool=gpu-a") };
	static const char *const lies[] = { "id=n-x", "pool=", "pool", "=x", "rack=1", "pool=a b", "pool=a\n",
		"attestor=join_token", "poolx=1", "", "poo=1" };
	struct mf_attested out = { .token_id = NULL };
	assert_null(t->decide(&with_ca, good, 2, &out));
	assert_int_equal(out.attributes_n, 2);
	for (size_t i = 0; i < MF_COUNT(lies); i++) {
		const struct mf_slice lie = mf_slice_str(lies[i]);
		out = (struct mf_attested) { .token_id = NULL };
		if (t->decide(&with_ca, &lie, 1, &out) == NULL)
			fail_msg("%s believes %s", t->name, lies[i]);
	}
	const struct mf_slice twice[] = { good[1], MF_SLICE_LIT("pool=gpu-b") };
	out = (struct mf_attested) { .token_id = NULL };
	assert_non_null(t->decide(&with_ca, twice, 2, &out));
	out = (struct mf_attested) { .token_id = NULL };
	assert_non_null(t->decide(&without, good, 1, &out));
}

static void
test_conformance(void **state)
{
	MF_UNUSED(state);
	static uint8_t big[MF_LIM_CERT_DER + 1], big_sig[MF_LIM_POP_SIGNATURE + 1];
	struct mf_state *st = NULL;
	char page[128];
	assert_int_equal(mf_state_new(&st, NULL), MF_OK);
	size_t n = 0;
	for (const struct mf_node_attestor *const *a = mf_node_attestors; *a != NULL; a++, n++) {
		const struct mf_node_attestor *t = *a;
		/* A name that records and policy can hold, found by it, with a page. */
		assert_true(strlen(t->name) > 0 && strlen(t->name) < sizeof(((struct mf_node *)0)->attestor));
		assert_int_equal(strspn(t->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(t->name));
		assert_ptr_equal(mf_node_attestor_find(t->name), t);
		(void)snprintf(page, sizeof(page), "broker/attestors/%s/README.md", t->name);
		if (access(page, R_OK) != 0)
			fail_msg("%s has no page", page);
		assert_non_null(t->check);
		assert_int_equal(t->verified, t->decide != NULL);
		/* Nothing, too much, and what is not configured: refused in words, and nothing is filled in. */
		const struct mf_slice certs[] = { mf_slice(big, 1), mf_slice(big, 1), mf_slice(big, 1),
			mf_slice(big, 1), mf_slice(big, 1) },
				      huge[] = { mf_slice(big, sizeof(big)) };
		const struct mf_attest_claim bad[] = {
			{ .state = st, .conf = &with_ca, .token_id = "" },
			{ .state = st,
			    .conf = &without,
			    .token_id = "",
			    .certificates = certs,
			    .certificates_n = 1,
			    .signature = mf_slice(big, 64) },
			{ .state = st,
			    .conf = &with_ca,
			    .token_id = "t-none",
			    .token_secret = mf_slice(big, 32),
			    .certificates = certs,
			    .certificates_n = 5,
			    .signature = mf_slice(big, 64) },
			{ .state = st,
			    .conf = &with_ca,
			    .token_id = "t-none",
			    .token_secret = mf_slice(big, 31),
			    .certificates = huge,
			    .certificates_n = 1,
			    .signature = mf_slice(big, 64) },
			{ .state = st,
			    .conf = &with_ca,
			    .token_id = "public",
			    .token_secret = mf_slice(big, 32),
			    .certificates = certs,
			    .certificates_n = 1,
			    .signature = mf_slice(big_sig, sizeof(big_sig)) },
			{ .state = st,
			    .conf = &with_ca,
			    .token_id = "",
			    .certificates = certs,
			    .certificates_n = 1 },
		};
		for (size_t i = 0; i < MF_COUNT(bad); i++) {
			struct mf_attested out = { .token_id = NULL };
			const char *why = t->check(&bad[i], &out);
			if (why == NULL)
				fail_msg("%s: claim %zu is taken", t->name, i);
			assert_true(strlen(why) > 10 && mf_utf8_ok(mf_slice_str(why)));
			assert_int_equal(out.attributes_n, 0);
			assert_string_equal(out.evidence, "");
		}
		if (t->verified)
			believes_only_what_was_asked(t);
	}
	assert_int_equal(n, 2);
	assert_ptr_equal(mf_node_attestor_find(""), &mf_attestor_join_token);
	assert_null(mf_node_attestor_find("x509"));
	mf_state_free(st);
}

/* ---- x509pop and the engine ---- */

struct world {
	struct rig *r;
	uint64_t sids;
};

static int
setup(void **state)
{
	static struct world w;
	w = (struct world) { .r = mf_rig_new_with(&with_ca), .sids = 10 };
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	mf_rig_free(((struct world *)*state)->r);
	return 0;
}

/* Key ${k} joins with certificate ${cert}; its request, in *ret_sid its session. Nothing is answered yet. */
static uint64_t
join(struct world *w, unsigned k, const char *cert, uint64_t *ret_sid)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Hello h = MAYFLY__AGENT__V1__HELLO__INIT;
	Mayfly__Agent__V1__Join j = MAYFLY__AGENT__V1__JOIN__INIT;
	char boot[] = RIG_BOOT, host[] = "gpu07", how[] = "x509pop", text[64], sig[] = "signature";
	uint8_t key[32], hash[32];
	(void)snprintf(text, sizeof(text), "%s", cert);
	ProtobufCBinaryData chain[1] = { { strlen(text), (uint8_t *)text } };
	h.version_min = h.version_max = 1;
	h.boot_id = boot;
	h.hostname = host;
	j.hello = &h;
	j.attestor = how;
	j.certificates = chain;
	j.n_certificates = 1;
	j.signature = (ProtobufCBinaryData) { strlen(sig), (uint8_t *)sig };
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_JOIN;
	up.join = &j;
	*ret_sid = ++w->sids;
	mf_rig_key(k, key);
	memset(hash, (int)*ret_sid, sizeof(hash));
	mf_engine_session_begun(w->r->e, *ret_sid, key, hash);
	return mf_rig_up(w->r, *ret_sid, k, &up);
}

static void
verdict(struct world *w, uint64_t ticket, bool good, const char *reason, const char *attribute)
{
	Mayfly__Roles__V1__Verified v = MAYFLY__ROLES__V1__VERIFIED__INIT;
	char text[300], line[300], *lines[] = { line };
	(void)snprintf(text, sizeof(text), "%s", reason);
	(void)snprintf(line, sizeof(line), "%s", attribute);
	v.good = good;
	v.reason = text;
	v.attributes = lines;
	v.n_attributes = attribute[0] == '\0' ? 0 : 1;
	mf_engine_verified(w->r->e, w->r->now, ticket, &v, NULL);
	mf_rig_commit(w->r);
}

static const Mayfly__Agent__V1__Welcome *
welcome(struct world *w, uint64_t sid, uint64_t req)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(w->r, sid, req);
	return d == NULL || d->body_case != MAYFLY__AGENT__V1__DOWN__BODY_WELCOME ? NULL : d->welcome;
}

/* The whole of it; the node's id. */
static void
joined(struct world *w, unsigned k, const char *cert, char *ret_node, uint64_t *ret_sid)
{
	uint64_t req = join(w, k, cert, ret_sid);
	verdict(w, w->r->ticket, true, "", "pool=gpu");
	const Mayfly__Agent__V1__Welcome *x = welcome(w, *ret_sid, req);
	if (x == NULL)
		fail_msg("refused with %d", (int)mf_rig_refusal(w->r, *ret_sid, req));
	(void)snprintf(ret_node, MF_STATE_ID_MAX, "%s", x->node_id);
	assert_non_null(mf_rig_resync(w->r, *ret_sid, k, NULL, NULL, NULL, 0));
}

static void
evict_or_back(struct world *w, const char *node, bool back)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EvictNodeRequest out = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	Mayfly__Admin__V1__ReadmitNodeRequest in = MAYFLY__ADMIN__V1__READMIT_NODE_REQUEST__INIT;
	char id[MF_STATE_ID_MAX];
	(void)snprintf(id, sizeof(id), "%s", node);
	out.match = in.match = id;
	call.loginuid = UINT32_MAX;
	call.what_case = back ? MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_READMIT_NODE
			      : MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	if (back)
		call.readmit_node = &in;
	else
		call.evict_node = &out;
	mf_engine_admin(w->r->e, w->r->now, &call);
	mf_rig_commit(w->r);
}

static void
same_after_replay(struct world *w)
{
	char *live = mf_rig_snapshot(mf_engine_state(w->r->e));
	struct mf_state *st = mf_rig_replay(w->r, w->r->log_n);
	char *again = mf_rig_snapshot(st);
	assert_string_equal(live, again);
	mf_state_free(st);
	free(live);
	free(again);
}

static void
test_joins_and_attaches(void **state)
{
	struct world *w = *state;
	struct rig *r = w->r;
	char node[MF_STATE_ID_MAX], hex[65], key[256];
	uint64_t sid, req = join(w, 1, "certificate one", &sid);
	/* Nothing is said, nothing recorded before the verifier has spoken; what it is asked is this session's. */
	mf_rig_commit(r);
	assert_null(mf_rig_answer(r, sid, req));
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REGISTERED), 0);
	assert_string_equal(r->evidence->attestor, "x509pop");
	assert_int_equal(r->evidence->handshake_hash.data[5], (uint8_t)sid);
	assert_int_equal(r->evidence->now, r->now.wall_us / 1000000);
	verdict(w, r->ticket, true, "", "pool=gpu");
	assert_non_null(welcome(w, sid, req));
	(void)snprintf(node, sizeof(node), "%s", welcome(w, sid, req)->node_id);
	const struct mf_node *n = mf_state_node(mf_engine_state(r->e), mf_slice_str(node));
	assert_string_equal(n->attestor, "x509pop");
	assert_string_equal(n->token_id, "");
	assert_string_equal(n->attributes[0], "pool=gpu");
	uint8_t sum[32];
	mf_sha256(MF_SLICE_LIT("certificate one"), sum);
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	assert_string_equal(n->evidence, hex);
	/* Policy places jobs by the attribute. */
	assert_non_null(mf_rig_resync(r, sid, 1, NULL, NULL, NULL, 0));
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	req = mf_rig_attach(r, sid, 1, key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, sid, req));
	same_after_replay(w);
}

static void
test_same_certificate_same_node(void **state)
{
	struct world *w = *state;
	struct rig *r = w->r;
	char node[MF_STATE_ID_MAX], again[MF_STATE_ID_MAX], other[MF_STATE_ID_MAX], key[256];
	uint64_t sid, sid2, sid3;
	joined(w, 1, "one", node, &sid);
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(r, sid, 1, key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, sid, req));
	joined(w, 2, "one", again, &sid2); /* the state was lost: a new key */
	assert_string_equal(node, again);
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REGISTERED), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REATTESTED), 1);
	/* What it held is not there any more: the resync ended it. */
	assert_int_equal(mf_state_node(mf_engine_state(r->e), mf_slice_str(node))->live, 0);
	joined(w, 3, "two", other, &sid3);
	assert_string_not_equal(node, other);
	same_after_replay(w);
	mf_rig_crash(r);
	same_after_replay(w);
	/* The key that was replaced never comes back: somebody has a copy. By hello it is unknown, by evidence a clone. */
	req = join(w, 1, "one", &sid);
	verdict(w, r->ticket, true, "", "pool=gpu");
	assert_int_equal(mf_rig_refusal(r, sid, req), CODE(CLONE));
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REFUSED), 1);
	/* The operator says which is right. */
	evict_or_back(w, node, false);
	req = join(w, 1, "one", &sid);
	verdict(w, r->ticket, true, "", "pool=gpu");
	assert_int_equal(mf_rig_refusal(r, sid, req), CODE(NODE_EVICTED));
	evict_or_back(w, node, true);
	joined(w, 1, "one", again, &sid);
	assert_string_equal(node, again);
	same_after_replay(w);
}

static void
test_hostile_verifier(void **state)
{
	struct world *w = *state;
	struct rig *r = w->r;
	uint64_t sid, req;
	static const struct {
		bool good;
		const char *reason, *attribute;
	} says[] = { { false, "node certificate: expired", "" }, { false, "", "" },
		{ false, "a\033[2Jb", "" }, { true, "", "rack=1" }, { true, "", "pool=a b" },
		{ true, "", "id=n-other" } };
	for (size_t i = 0; i < MF_COUNT(says); i++) {
		req = join(w, 1, "one", &sid);
		verdict(w, r->ticket, says[i].good, says[i].reason, says[i].attribute);
		assert_int_equal(mf_rig_refusal(r, sid, req), CODE(EVIDENCE));
		const char *text = mf_rig_answer(r, sid, req)->refusal->reason;
		assert_true(text[0] != '\0' && strchr(text, '\033') == NULL);
	}
	/* It died: that join only, and not for good. */
	req = join(w, 1, "one", &sid);
	mf_engine_verified(r->e, r->now, r->ticket, NULL, "it died");
	assert_int_equal(mf_rig_refusal(r, sid, req), CODE(UNAVAILABLE));
	/* Answers that nobody waits for: twice, made up, after the session. */
	verdict(w, r->ticket, true, "", "pool=gpu");
	verdict(w, 9999, true, "", "pool=gpu");
	req = join(w, 1, "one", &sid);
	mf_engine_session_gone(r->e, r->now, sid);
	verdict(w, r->ticket, true, "", "pool=gpu");
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REGISTERED), 0);
	/* While it waits the session says nothing that counts. */
	req = join(w, 1, "one", &sid);
	uint64_t ticket = r->ticket;
	assert_null(mf_rig_resync(r, sid, 1, NULL, NULL, NULL, 0));
	verdict(w, ticket, true, "", "pool=gpu");
	assert_non_null(welcome(w, sid, req));
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REGISTERED), 1);
	same_after_replay(w);
}

static void
test_bounds(void **state)
{
	struct world *w = *state;
	struct rig *r = w->r;
	uint64_t sid, req = 0;
	for (unsigned i = 0; i < 64; i++)
		(void)join(w, 100 + i, "many", &sid);
	req = join(w, 900, "many", &sid);
	assert_int_equal(mf_rig_refusal(r, sid, req), CODE(UNAVAILABLE));
	mf_engine_all_sessions_gone(r->e, r->now); /* all are forgotten */
	r->no_verifiers = true;
	req = join(w, 901, "many", &sid);
	assert_int_equal(mf_rig_refusal(r, sid, req), CODE(UNAVAILABLE));
	r->no_verifiers = false;
	/* The clock is looked at again when the answer comes: adding fails closed. */
	req = join(w, 902, "many", &sid);
	mf_engine_log_room(r->e, false);
	verdict(w, r->ticket, true, "", "pool=gpu");
	assert_int_equal(mf_rig_refusal(r, sid, req), CODE(UNAVAILABLE));
	mf_engine_log_room(r->e, true);
	/* One certificate with ever new keys fills no log. */
	char node[MF_STATE_ID_MAX];
	joined(w, 903, "one", node, &sid);
	size_t refused = 0;
	for (unsigned i = 0; i < 20; i++) {
		req = join(w, 1000 + i, "one", &sid);
		verdict(w, r->ticket, true, "", "pool=gpu");
		refused += mf_rig_refusal(r, sid, req) == CODE(UNAVAILABLE);
	}
	assert_int_equal(mf_rig_count(r, MF_REC_NODE_REATTESTED), 6);
	assert_int_equal(refused, 14);
	same_after_replay(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conformance),
		cmocka_unit_test_setup_teardown(test_joins_and_attaches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_certificate_same_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_verifier, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
