/* The agent's front as a Workload API server, before a fake attestor (tests/lib/front_rig.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/x509_peek.h"
#include "crypto/p256.h"
#include "front_rig.h"
#include "rpc/grpc_health.h"

#include "grpc/health/v1/health.pb-c.h"

#define NO_IDENTITY "no identity issued"

static struct rig *
rig(void **state)
{
	return *state;
}

static int
setup(void **state)
{
	*state = mf_frig_new();
	return 0;
}

static int
teardown(void **state)
{
	mf_frig_free(*state);
	return 0;
}

static const X509SVIDResponse *
svids(struct rig_client *c)
{
	const ProtobufCMessage *m = mf_frig_next(c);
	if (m == NULL)
		fail_msg("no message, but %s: %s", mf_grpc_code_name(c->code), c->text);
	assert_ptr_equal(m->descriptor, &x509_svidresponse__descriptor);
	return (const void *)m;
}

/* What every message must be, whatever else: see spiffe-conformance WAPI-9, 16, P-7, P-10. */
static void
check_svid(const struct rig *r, const X509SVID *s)
{
	struct mf_x509_peek leaf;
	struct mf_slice point;
	uint8_t own[MF_P256_POINT_SIZE];
	struct mf_p256_key *key = NULL;
	assert_int_equal(mf_x509_peek(mf_slice(s->x509_svid.data, s->x509_svid.len), &leaf, NULL), MF_OK);
	assert_true(mf_slice_eq_str(leaf.uri, s->spiffe_id));
	assert_int_equal(
	    mf_p256_from_pkcs8(mf_slice(s->x509_svid_key.data, s->x509_svid_key.len), &key, NULL), MF_OK);
	mf_p256_public(key, own);
	assert_true(mf_x509_peek_point(&leaf, &point));
	assert_memory_equal(point.p, own, sizeof(own));
	assert_true(mf_slice_eq(mf_slice(s->bundle.data, s->bundle.len), mf_mint_ca(r->mint)));
	mf_p256_key_free(key);
}

/* WAPI-3, WEP-6; P-10; WEP-5, WAPI-9, W-10, W-11, P-9, P-11 */
static void
test_first_fetch(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	mf_frig_start(r);
	mf_frig_settle(r);
	assert_int_equal(r->attach, 0); /* no keys, no identity before somebody asks */
	mf_frig_open(r, &a, &mf_frig_fetch);
	const X509SVIDResponse *m = svids(&a);
	assert_int_equal(m->n_svids, 1);
	assert_string_equal(m->svids[0]->spiffe_id, "spiffe://example.org/default/job/7-0");
	assert_int_equal(m->n_crl, 0);
	assert_int_equal(m->n_federated_bundles, 0); /* WAPI-16: never our own */
	check_svid(r, m->svids[0]);
	assert_int_equal(r->who_is, 1);
	assert_int_equal(r->fd_ok, 1);
	assert_int_equal(r->attach, 1);
	assert_int_equal(r->last_points, 4);
	assert_true(mf_frig_quiet(&a));
	/* another connection of the job: from the cache, the same identity */
	mf_frig_open(r, &b, &mf_frig_fetch);
	m = svids(&b);
	const X509SVIDResponse *first = (const void *)a.msg;
	assert_int_equal(m->svids[0]->x509_svid.len, first->svids[0]->x509_svid.len);
	assert_memory_equal(
	    m->svids[0]->x509_svid.data, first->svids[0]->x509_svid.data, first->svids[0]->x509_svid.len);
	assert_int_equal(r->attach, 1);
	assert_int_equal(r->who_is, 2);
	mf_frig_close(&a);
	mf_frig_close(&b);
	mf_frig_settle(r);
	assert_int_equal(r->conn_gone, 2);
}

/* WAPI-12, E-7: the order is the profile's, and the same on every connection. */
static void
test_several(void **state)
{
	struct rig *r = rig(state);
	r->identities = 3;
	mf_frig_start(r);
	for (int i = 0; i < 10; i++) {
		struct rig_client c;
		mf_frig_open(r, &c, &mf_frig_fetch);
		const X509SVIDResponse *m = svids(&c);
		assert_int_equal(m->n_svids, 3);
		for (size_t k = 0; k < 3; k++) {
			char want[64];
			(void)snprintf(want, sizeof(want), "spiffe://example.org/default/job/7-%zu", k);
			assert_string_equal(m->svids[k]->spiffe_id, want);
			check_svid(r, m->svids[k]);
		}
		mf_frig_close(&c);
	}
	assert_int_equal(r->attach, 1);
}

static void
test_bundles(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_bundles);
	const X509BundlesResponse *m = (const void *)mf_frig_next(&c);
	assert_non_null(m);
	assert_int_equal(m->n_bundles, 1);
	assert_string_equal(m->bundles[0]->key, "spiffe://example.org"); /* WAPI-15, 16 */
	assert_true(
	    mf_slice_eq(mf_slice(m->bundles[0]->value.data, m->bundles[0]->value.len), mf_mint_ca(r->mint)));
	mf_frig_close(&c);
}

/* WEP-10, P-2: what is not known yet is UNAVAILABLE after a bounded wait, never PERMISSION_DENIED. W-18 */
static void
test_held(void **state)
{
	struct rig *r = rig(state);
	static const struct {
		enum rig_who who;
		enum rig_answer answer;
		bool no_session, no_trust, no_attestor;
		const char *text;
	} t[] = {
		{ .who = RIG_SILENT, .text = "the attestor has not answered yet" },
		{ .who = RIG_NOT_YET, .text = "resync" },
		{ .answer = RIG_MUTE, .text = "the broker has not answered yet" },
		{ .answer = RIG_BUSY, .text = "no rule permits this" },
		{ .answer = RIG_BAD_GRANT, .text = "leaf is for another key" },
		{ .no_session = true, .text = "no session with the broker" },
		{ .no_trust = true, .text = "the broker has not answered yet" },
		{ .no_attestor = true, .text = "the agent's attestor is being started" },
	};
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct rig_client c, again;
		r->who = t[i].who;
		r->answer = t[i].answer;
		r->no_session = t[i].no_session;
		r->no_trust = t[i].no_trust && i == 6;
		(void)snprintf(r->key, sizeof(r->key), "local/n-test/boot/p-%zu", i);
		r->handle = 100 + i;
		if (t[i].no_trust) { /* a front that never heard of a bundle */
			struct rig *fresh = mf_frig_new();
			fresh->no_trust = true;
			mf_frig_start(fresh);
			mf_frig_open(fresh, &c, &mf_frig_fetch);
			assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
			mf_frig_close(&c);
			mf_frig_free(fresh);
			continue;
		}
		mf_frig_attestor(r);
		if (t[i].no_attestor)
			mf_frig_attestor_dies(r);
		mf_frig_settle(r);
		mf_frig_open(r, &c, &mf_frig_fetch);
		assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
		if (strstr(c.text, t[i].text) == NULL)
			fail_msg("case %zu: %s", i, c.text);
		/* the same connection is served once it can be */
		r->who = RIG_KNOWN;
		r->answer = RIG_GRANT;
		r->no_session = false;
		mf_frig_attestor(r);
		mf_frig_open_on(&c, &again, &mf_frig_fetch);
		(void)svids(&again);
		mf_frig_close(&again);
		mf_frig_close(&c);
	}
}

/* WAPI-14, P-3; W-18 */
static void
test_refused(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	r->answer = RIG_REFUSE;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	assert_string_equal(a.text, NO_IDENTITY);
	/* a storm of tries asks the broker once in a while: a refusal holds for RIG_REFUSAL_MS */
	uint64_t began = mf_now().mono_ms;
	for (int i = 0; i < 20; i++) {
		mf_frig_open(r, &b, i % 2 == 0 ? &mf_frig_fetch : &mf_frig_bundles);
		assert_int_equal(mf_frig_end(&b), MF_GRPC_PERMISSION_DENIED);
		assert_string_equal(b.text, NO_IDENTITY);
		mf_frig_close(&b);
	}
	unsigned asked = r->attach;
	assert_in_range(asked, 1, 1 + (mf_now().mono_ms - began) / RIG_REFUSAL_MS);
	/* a while later policy permits it */
	r->answer = RIG_GRANT;
	enum mf_grpc_code code = MF_GRPC_PERMISSION_DENIED;
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS;
	     code == MF_GRPC_PERMISSION_DENIED && mf_now().mono_ms < end;) {
		mf_frig_open_on(&a, &b, &mf_frig_fetch);
		code = mf_frig_next(&b) != NULL ? MF_GRPC_OK : b.code;
		mf_frig_close(&b);
	}
	assert_int_equal(code, MF_GRPC_OK);
	assert_int_equal(r->attach, asked + 1);
	mf_frig_close(&a);
}

/* WEP-11, WAPI-9, P-8 */
static void
test_stranger(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	r->who = RIG_STRANGER;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	assert_string_equal(a.text, NO_IDENTITY);
	assert_int_equal(r->attach, 0);
	mf_frig_open_on(&a, &b, &mf_frig_bundles);
	assert_int_equal(mf_frig_end(&b), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(r->who_is, 1); /* believed for a while */
	mf_frig_close(&b);
	mf_frig_close(&a);
}

/* WAPI-5, design 4.4: pushed at half-life with a new key; no key is ever offered twice. */
static void
test_renewal(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	r->ttl_s = 4;
	r->identities = 2;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_fetch);
	const X509SVIDResponse *m = svids(&c);
	assert_int_equal(r->last_points, 4);
	for (unsigned i = 1; i <= 2; i++) {
		uint8_t old[200];
		size_t n = m->svids[0]->x509_svid_key.len;
		assert_true(n <= sizeof(old));
		memcpy(old, m->svids[0]->x509_svid_key.data, n);
		m = svids(&c);
		assert_int_equal(r->renew, i);
		assert_int_equal(r->last_points, 2); /* as many as there are identities */
		assert_int_equal(m->n_svids, 2);     /* WAPI-4: the whole state */
		check_svid(r, m->svids[0]);
		check_svid(r, m->svids[1]);
		assert_int_equal(m->svids[0]->x509_svid_key.len, n);
		assert_true(memcmp(m->svids[0]->x509_svid_key.data, old, n) != 0);
	}
	assert_int_equal(r->attach, 1);
	assert_false(r->point_twice);
	mf_frig_close(&c);
}

/* The broker is away: what is held is served until it expires, to streams that stay open, and not a moment longer. */
static void
test_lapse(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c, d;
	r->ttl_s = 2;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_fetch);
	(void)svids(&c);
	mf_frig_session(r, false);
	mf_frig_settle(r);
	mf_frig_open(r, &d, &mf_frig_fetch);
	(void)svids(&d);
	mf_frig_close(&d);
	enum mf_grpc_code code = MF_GRPC_OK;
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; code == MF_GRPC_OK && mf_now().mono_ms < end;) {
		mf_frig_open(r, &d, &mf_frig_fetch);
		code = mf_frig_next(&d) != NULL ? MF_GRPC_OK : d.code;
		mf_frig_close(&d);
	}
	assert_int_equal(code, MF_GRPC_UNAVAILABLE);
	assert_int_equal(r->renew, 0);
	assert_true(mf_frig_quiet(&c)); /* neither OK nor an end */
	r->ttl_s = 1200;
	mf_frig_session(r, true);
	(void)svids(&c); /* healed: the stream goes on with new ones */
	assert_int_equal(r->attach, 2);
	mf_frig_close(&c);
}

/* WAPI-5, P-31 */
static void
test_bundle_push(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	mf_frig_open(r, &b, &mf_frig_bundles);
	(void)svids(&a);
	assert_non_null(mf_frig_next(&b));
	mf_frig_trust(r, r->mint, 2); /* the same bytes: nobody is told */
	assert_true(mf_frig_quiet(&a));
	assert_true(mf_frig_quiet(&b));
	struct mint *other = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
	mf_frig_trust(r, other, 3);
	const X509SVIDResponse *m = svids(&a);
	assert_true(
	    mf_slice_eq(mf_slice(m->svids[0]->bundle.data, m->svids[0]->bundle.len), mf_mint_ca(other)));
	const X509BundlesResponse *bm = (const void *)mf_frig_next(&b);
	assert_true(
	    mf_slice_eq(mf_slice(bm->bundles[0]->value.data, bm->bundles[0]->value.len), mf_mint_ca(other)));
	/* a bundle of another trust domain is not taken */
	struct mint *evil = mf_mint_new("evil.org", mf_now().wall_us / 1000000);
	mf_frig_trust(r, evil, 4);
	assert_true(mf_frig_quiet(&a));
	mf_mint_free(other);
	mf_mint_free(evil);
	mf_frig_close(&a);
	mf_frig_close(&b);
}

/* Invariant 3, WAPI-14: the end closes streams with PERMISSION_DENIED; nothing is served on after it.
 * P-3 */
static void
test_end_mid_stream(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b, d;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	mf_frig_open_on(&a, &b, &mf_frig_bundles);
	(void)svids(&a);
	assert_non_null(mf_frig_next(&b));
	mf_frig_ended(r, 99, false); /* somebody else's */
	assert_true(mf_frig_quiet(&a));
	mf_frig_ended(r, r->handle, false);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	assert_string_equal(a.text, NO_IDENTITY);
	assert_int_equal(mf_frig_end(&b), MF_GRPC_PERMISSION_DENIED);
	assert_string_equal(b.text, NO_IDENTITY);
	mf_frig_open_on(&a, &d, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&d), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(r->attach, 1);
	mf_frig_close(&d);
	mf_frig_close(&b);
	mf_frig_close(&a);
}

/* A grant that was under way when the end came is not served. */
static void
test_end_before_grant(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	r->answer = RIG_MUTE;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	for (int i = 0; i < 1000 && r->attach == 0; i++)
		mf_frig_turn(r);
	assert_int_equal(r->attach, 1);
	mf_frig_ended(r, r->handle, false);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&a);
}

/* Suspended: the credentials are void, the stream is not: attached anew, new serials are pushed. */
static void
test_suspended(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	mf_frig_ended(r, r->handle, true);
	const X509SVIDResponse *m = svids(&a);
	check_svid(r, m->svids[0]);
	assert_int_equal(r->attach, 2);
	assert_int_equal(r->renew, 0);
	assert_int_equal(r->last_points, 1); /* what a grant has used before */
	assert_false(r->point_twice);
	/* a renewal that is answered "suspended" leads to the same */
	mf_frig_close(&a);
}

/* What a distrusted CA key signed is renewed at once, long before its half-life; what another one signed is left alone. */
static void
test_distrusted(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c;
	struct mf_x509_peek leaf;
	Mayfly__Roles__V1__Trust m = MAYFLY__ROLES__V1__TRUST__INIT;
	struct mint *next = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
	char td[] = RIG_TD;
	uint8_t id[2][20] = { { 0 } };
	ProtobufCBinaryData ids[2] = { { 20, id[0] }, { 20, id[1] } };
	r->ttl_s = 1200;
	r->identities = 2;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_fetch);
	const X509SVIDResponse *got = svids(&c);
	struct mf_slice der = mf_slice(got->svids[0]->x509_svid.data, got->svids[0]->x509_svid.len);
	assert_int_equal(mf_x509_peek(der, &leaf, NULL), MF_OK);
	m.trust_domain = td;
	m.bundle.data = (uint8_t *)(uintptr_t)mf_mint_ca(r->mint).p;
	m.bundle.len = mf_mint_ca(r->mint).n;
	m.number = 1;
	m.distrusted = ids;
	m.n_distrusted = 1; /* of nobody here */
	mf_frig_send(r, MF_MSG_TRUST, &m.base);
	mf_frig_settle(r);
	assert_int_equal(r->renew, 0);
	r->ca = next;
	memcpy(id[1], leaf.aki.p, 20);
	m.n_distrusted = 2;
	mf_frig_send(r, MF_MSG_TRUST, &m.base);
	got = svids(&c);
	assert_int_equal(r->renew, 1);
	der = mf_slice(got->svids[0]->x509_svid.data, got->svids[0]->x509_svid.len);
	assert_int_equal(mf_x509_peek(der, &leaf, NULL), MF_OK);
	assert_true(memcmp(leaf.aki.p, id[1], 20) != 0);
	mf_frig_settle(r);
	assert_int_equal(r->renew, 1);
	mf_frig_close(&c);
	mf_mint_free(next);
}

/* A renewal is decided anew by today's policy. */
static void
test_refused_renewal(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	r->ttl_s = 3;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	r->answer = RIG_REFUSE;
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	assert_string_equal(a.text, NO_IDENTITY);
	assert_int_equal(r->renew, 1);
	mf_frig_close(&a);
}

/* WEP-12: no attestation for what does not exist. */
static void
test_unknown_method(void **state)
{
	struct rig *r = rig(state);
	/* WAPI-2, STAB-1: the WIT profile is off. */
	static const char *const paths[] = { "/SpiffeWorkloadAPI/FetchWITSVID",
		"/SpiffeWorkloadAPI/FetchWITBundles", "/SpiffeWorkloadAPI/Nope", "/x.Y/Z" };
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(paths); i++) {
		struct rig_client c;
		struct mf_grpc_method m = mf_frig_nope;
		m.path = paths[i];
		mf_frig_open(r, &c, &m);
		assert_int_equal(mf_frig_end(&c), MF_GRPC_UNIMPLEMENTED);
		mf_frig_close(&c);
	}
	assert_int_equal(r->who_is, 0);
}

/* --- WEP-4, E-6, P-19: the security header --- */

struct meta_probe {
	struct mf_net_conn *conn;
	bool open, ended;
	enum mf_grpc_code code;
	char text[256];
	unsigned messages;
};

static bool
probe_open(void *ctx, struct mf_net_conn *c)
{
	struct meta_probe *p = ctx;
	MF_UNUSED(c);
	p->open = true;
	return true;
}

static void
probe_close(void *ctx, struct mf_net_conn *c, enum mf_net_why why, const struct mf_err *err)
{
	struct meta_probe *p = ctx;
	MF_UNUSED(c);
	MF_UNUSED(why);
	MF_UNUSED(err);
	p->conn = NULL;
}

static void
probe_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct meta_probe *p = mf_grpc_call_user(c);
	MF_UNUSED(msg);
	p->messages++;
}

static void
probe_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct meta_probe *p = mf_grpc_call_user(c);
	p->ended = true;
	p->code = code;
	(void)snprintf(p->text, sizeof(p->text), "%s", text);
}

static bool
probe_is_open(void *ctx)
{
	return ((struct meta_probe *)ctx)->open;
}

static bool
probe_is_done(void *ctx)
{
	struct meta_probe *p = ctx;
	return p->ended || p->messages > 0;
}

static bool
probe_is_gone(void *ctx)
{
	return ((struct meta_probe *)ctx)->conn == NULL;
}

/* WEP-4, W-18, P-19 */
static void
test_metadata(void **state)
{
	struct rig *r = rig(state);
	static const struct mf_net_conn_ops conn_ops = { .on_open = probe_open, .on_close = probe_close };
	static const struct mf_grpc_client_ops ops = { .on_message = probe_message,
		.on_status = probe_status };
	static const struct {
		const char *name, *value[2];
		enum mf_grpc_code code;
	} t[] = {
		{ "workload.spiffe.io", { NULL, NULL }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "True", NULL }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "TRUE", NULL }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "1", NULL }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "", NULL }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "true,true", NULL }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "true", "true" }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "true", "false" }, MF_GRPC_INVALID_ARGUMENT },
		{ "broker.spiffe.io", { "true", NULL }, MF_GRPC_INVALID_ARGUMENT },
		{ "workload.spiffe.io", { "true", NULL }, MF_GRPC_OK },
	};
	static const struct mf_grpc_client client = { 0 };
	/* Every method of the socket, and one that there is not: the answer comes from the head alone. */
	static const char *const paths[] = { "/SpiffeWorkloadAPI/FetchX509SVID",
		"/SpiffeWorkloadAPI/FetchX509Bundles", "/SpiffeWorkloadAPI/FetchJWTSVID",
		"/SpiffeWorkloadAPI/FetchJWTBundles", "/SpiffeWorkloadAPI/ValidateJWTSVID",
		"/SpiffeWorkloadAPI/FetchWITSVID", "/SpiffeWorkloadAPI/FetchWITBundles",
		"/mayfly.job.v1.Jobs/Start", "/mayfly.job.v1.Jobs/WhoAmI",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/SpiffeWorkloadAPI/Nope" };
	struct mf_net_counters counters = { 0 };
	struct meta_probe p = { 0 };
	mf_frig_start(r);
	struct mf_net_client_config cfg = {
		.unix_path = r->path, .client = &client, .ops = &conn_ops, .ctx = &p, .counters = &counters
	};
	assert_int_equal(mf_net_connect(r->loop, &cfg, &p.conn, NULL), MF_OK);
	assert_true(mf_frig_until(r, probe_is_open, &p));
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		for (size_t k = 0; k < MF_COUNT(paths); k++) {
			struct mf_grpc_method m = mf_frig_fetch;
			struct mf_grpc_meta meta[2];
			struct mf_grpc_call *call = NULL;
			m.path = paths[k];
			size_t n = 0;
			while (n < 2 && t[i].value[n] != NULL) {
				meta[n] = (struct mf_grpc_meta) { t[i].name, mf_slice_str(t[i].value[n]) };
				n++;
			}
			if (t[i].code == MF_GRPC_OK && k != 0)
				continue;
			p.ended = false;
			p.messages = 0;
			assert_int_equal(
			    mf_grpc_open(mf_net_conn_grpc(p.conn), &m, &ops, &p, meta, n, 0, &call, NULL),
			    MF_OK);
			/* no body, and no end of it: the answer comes before (E-6) */
			if (t[i].code == MF_GRPC_OK) {
				X509SVIDRequest ask = X509_SVIDREQUEST__INIT;
				assert_int_equal(mf_grpc_send(call, &ask.base, NULL), MF_OK);
				mf_grpc_half_close(call);
			}
			assert_true(mf_frig_until(r, probe_is_done, &p));
			if (t[i].code == MF_GRPC_OK) {
				assert_int_equal(p.messages, 1);
				continue;
			}
			assert_true(p.ended);
			assert_int_equal(p.code, t[i].code);
			assert_non_null(strstr(p.text, "workload.spiffe.io: true"));
			assert_int_equal(r->who_is, 0); /* before anyone is asked who calls */
		}
	}
	assert_int_equal(r->who_is, 1);
	mf_net_conn_close(p.conn);
	assert_true(mf_frig_until(r, probe_is_gone, &p));
}

/* Without the header, and without being anybody. */
static void
test_health(void **state)
{
	struct rig *r = rig(state);
	Grpc__Health__V1__HealthCheckRequest ask = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	struct rig_client c = { .r = r };
	mf_frig_start(r);
	assert_int_equal(mf_grpc_sync_connect(r->path, 0, 5000, &c.s, NULL), MF_OK);
	assert_int_equal(mf_grpc_sync_open(c.s, &mf_grpc_health_watch, &c.st, NULL), MF_OK);
	assert_int_equal(mf_grpc_sync_send(c.st, &ask.base, NULL), MF_OK);
	assert_int_equal(mf_grpc_sync_half_close(c.st, NULL), MF_OK);
	const Grpc__Health__V1__HealthCheckResponse *m = (const void *)mf_frig_next(&c);
	assert_non_null(m);
	assert_int_equal(m->status, GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
	assert_int_equal(r->who_is, 0);
	mf_frig_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_first_fetch),
		TEST(test_several),
		TEST(test_bundles),
		TEST(test_held),
		TEST(test_refused),
		TEST(test_stranger),
		TEST(test_renewal),
		TEST(test_distrusted),
		TEST(test_lapse),
		TEST(test_bundle_push),
		TEST(test_end_mid_stream),
		TEST(test_end_before_grant),
		TEST(test_suspended),
		TEST(test_refused_renewal),
		TEST(test_unknown_method),
		TEST(test_metadata),
		TEST(test_health),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
