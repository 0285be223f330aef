/* The JWT profile of the Workload API in the agent's front, before a fake attestor (tests/lib/front_rig.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/bundle_json.h"
#include "codec/bundle_map.h"
#include "codec/jwks.h"
#include "codec/jwt_svid.h"
#include "front_rig.h"
#include "job.pb-c.h"

#define ID0 "spiffe://example.org/default/job/7-0"
#define ID1 "spiffe://example.org/default/job/7-1"
#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE

static struct mf_jws_key *key, *foreign_key;

/* How the fake broker answers. */
static struct {
	Mayfly__Agent__V1__RefusalCode refuse; /* 0: it grants */
	int64_t ttl_s;
	struct mf_jws_key *key; /* that it signs with; NULL: the usual one */
	bool mute;
	uint64_t last_id;
	char last_audience[64], last_name[128];
	unsigned n_audiences;
} broker;

static const struct mf_grpc_method fetch = { .path = "/SpiffeWorkloadAPI/FetchJWTSVID",
	.request = &jwtsvidrequest__descriptor,
	.response = &jwtsvidresponse__descriptor };
static const struct mf_grpc_method bundles = { .path = "/SpiffeWorkloadAPI/FetchJWTBundles",
	.request = &jwtbundles_request__descriptor,
	.response = &jwtbundles_response__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
static const struct mf_grpc_method validate = { .path = "/SpiffeWorkloadAPI/ValidateJWTSVID",
	.request = &validate_jwtsvidrequest__descriptor,
	.response = &validate_jwtsvidresponse__descriptor };

static void
make_token(const struct mf_jws_key *k, const char *sub, const struct mf_slice *aud, size_t n, int64_t exp_s,
    struct mf_buf *to)
{
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	int64_t iat = (exp_s < mf_now().wall_us / 1000000 ? exp_s : mf_now().wall_us / 1000000) - 10;
	const struct mf_jwt_svid_fields f = { mf_jws_key_alg(k), mf_slice_str(mf_jws_key_kid(k)),
		mf_slice_str(sub), aud, n, iat, exp_s, MF_SLICE_LIT("jti") };
	mf_buf_init(to, MF_LIM_JWT + 1);
	assert_int_equal(mf_jws_signer_new(k, &signer, NULL), MF_OK);
	assert_int_equal(mf_jwt_svid_put(&f, signer, to, NULL), MF_OK);
	assert_non_null(mf_buf_cstr(to));
}

static void
answer(struct rig *r, const Mayfly__Roles__V1__MintInstanceJwt *q)
{
	Mayfly__Roles__V1__InstanceJwt m = MAYFLY__ROLES__V1__INSTANCE_JWT__INIT;
	Mayfly__Agent__V1__JwtGrant g = MAYFLY__AGENT__V1__JWT_GRANT__INIT;
	Mayfly__Agent__V1__Refusal no = MAYFLY__AGENT__V1__REFUSAL__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token = { 0 };
	struct mf_slice aud[16];
	m.mint_id = q->mint_id;
	if (broker.refuse != 0) {
		no.code = broker.refuse;
		no.reason = (char *)(uintptr_t)(broker.refuse == DENIED
						    ? "the audience \"evil\" is not in jwt_audiences"
						    : "the broker is busy");
		m.refusal = &no;
		mf_frig_send(r, MF_MSG_INSTANCE_JWT, &m.base);
		return;
	}
	for (size_t i = 0; i < q->n_audiences; i++)
		aud[i] = mf_slice_str(q->audiences[i]);
	g.expires = mf_now().wall_us / 1000000 + broker.ttl_s;
	make_token(
	    broker.key != NULL ? broker.key : key, q->spiffe_id, aud, q->n_audiences, g.expires, &token);
	g.spiffe_id = q->spiffe_id;
	g.token = (char *)token.p;
	m.grant = &g;
	mf_frig_send(r, MF_MSG_INSTANCE_JWT, &m.base);
}

static void
on_mint(struct rig *r, const Mayfly__Roles__V1__MintInstanceJwt *q)
{
	broker.last_id = q->mint_id;
	broker.n_audiences = (unsigned)q->n_audiences;
	(void)snprintf(broker.last_audience, sizeof(broker.last_audience), "%s", q->audiences[0]);
	(void)snprintf(broker.last_name, sizeof(broker.last_name), "%s", q->spiffe_id);
	assert_int_equal(q->handle, r->handle);
	if (!broker.mute)
		answer(r, q);
}

static void
put_set(const struct mf_jws_key *const *keys, size_t n, struct mf_buf *to)
{
	struct mf_jw w;
	mf_buf_init(to, 65536);
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	for (size_t i = 0; i < n; i++)
		mf_jwk_jws_put(&w, keys[i], "jwt-svid");
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	assert_int_equal(mf_jw_finish(&w, NULL), MF_OK);
}

static void
document(struct rig *r, Mayfly__Agent__V1__DocumentKind kind, struct mf_slice body)
{
	Mayfly__Roles__V1__TrustDocument m = MAYFLY__ROLES__V1__TRUST_DOCUMENT__INIT;
	Mayfly__Agent__V1__Document d = MAYFLY__AGENT__V1__DOCUMENT__INIT;
	d.kind = kind;
	d.number = 1;
	d.body = (ProtobufCBinaryData) { body.n, (uint8_t *)(uintptr_t)body.p };
	m.document = &d;
	mf_frig_send(r, MF_MSG_TRUST_DOCUMENT, &m.base);
}

static void
own_keys(struct rig *r)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	const struct mf_jws_key *const keys[] = { key };
	mf_frig_settle(r); /* the hellos first */
	put_set(keys, 1, &b);
	document(r, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE, mf_buf_slice(&b));
}

static int
setup(void **state)
{
	struct rig *r = mf_frig_new();
	memset(&broker, 0, sizeof(broker));
	broker.ttl_s = 300;
	r->identities = 2;
	r->on_mint = on_mint;
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	mf_frig_free(*state);
	return 0;
}

static void
ask_fetch(struct rig *r, struct rig_client *c, const char *spiffe_id, const char *const *audiences, size_t n)
{
	JWTSVIDRequest q = JWTSVIDREQUEST__INIT;
	char *list[128];
	for (size_t i = 0; i < n; i++)
		list[i] = (char *)(uintptr_t)audiences[i];
	q.spiffe_id = (char *)(uintptr_t)spiffe_id;
	q.audience = list;
	q.n_audience = n;
	mf_frig_ask(r, c, &fetch, &q.base);
}

static const JWTSVIDResponse *
svids(struct rig_client *c)
{
	const ProtobufCMessage *m = mf_frig_next(c);
	if (m == NULL)
		fail_msg("no message, but %s: %s", mf_grpc_code_name(c->code), c->text);
	return (const void *)m;
}

static enum mf_grpc_code
fetch_code(struct rig *r, const char *spiffe_id, const char *const *audiences, size_t n, char *text)
{
	struct rig_client c;
	ask_fetch(r, &c, spiffe_id, audiences, n);
	enum mf_grpc_code code = mf_frig_end(&c);
	if (text != NULL)
		(void)snprintf(text, MF_ERR_MSG_MAX, "%s", c.text);
	mf_frig_close(&c);
	return code;
}

static const char *const vault[] = { "vault" };

/* WAPI-17, E-7: one token for each identity in the X.509 answer's order, with its hint, for exactly these audiences.
 * P-17 */
static void
test_fetch(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	static const char *const two[] = { "b", "a" };
	mf_frig_start(r);
	ask_fetch(r, &c, "", two, 2);
	const JWTSVIDResponse *m = svids(&c);
	assert_int_equal(m->n_svids, 2);
	assert_string_equal(m->svids[0]->spiffe_id, ID0);
	assert_string_equal(m->svids[1]->spiffe_id, ID1);
	assert_int_equal(r->mints, 2);
	assert_int_equal(broker.n_audiences, 2);
	assert_string_equal(broker.last_audience, "b");
	mf_frig_close(&c);
	/* From memory: nobody is asked; for one identity; folded (ID-6). */
	ask_fetch(r, &c, "SPIFFE://Example.org/default/job/7-1", two, 2);
	m = svids(&c);
	assert_int_equal(m->n_svids, 1);
	assert_string_equal(m->svids[0]->spiffe_id, ID1);
	assert_int_equal(r->mints, 2);
	mf_frig_close(&c);
	/* Another list, another token: also the same words in another order. */
	static const char *const other[] = { "a", "b" };
	ask_fetch(r, &c, ID0, other, 2);
	(void)svids(&c);
	assert_int_equal(r->mints, 3);
	assert_string_equal(broker.last_name, ID0);
	mf_frig_close(&c);
	assert_int_equal(r->attach, 1);
}

/* A token of a tainted key is served no more, not even when it comes after the word that its key is: that overtakes. */
static void
test_distrusted(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	Mayfly__Roles__V1__Trust m = MAYFLY__ROLES__V1__TRUST__INIT;
	Mayfly__Roles__V1__MintInstanceJwt q = MAYFLY__ROLES__V1__MINT_INSTANCE_JWT__INIT;
	char td[] = RIG_TD, *kids[] = { (char *)(uintptr_t)mf_jws_key_kid(key) }, *list[] = { td };
	mf_frig_start(r);
	ask_fetch(r, &c, ID0, vault, 1);
	(void)svids(&c);
	mf_frig_close(&c);
	m.trust_domain = td;
	m.bundle =
	    (ProtobufCBinaryData) { mf_mint_ca(r->mint).n, (uint8_t *)(uintptr_t)mf_mint_ca(r->mint).p };
	m.distrusted_kids = kids;
	m.n_distrusted_kids = m.number = q.n_audiences = 1;
	mf_frig_send(r, MF_MSG_TRUST, &m.base);
	mf_frig_settle(r);
	broker.mute = true;
	ask_fetch(r, &c, ID0, vault, 1);
	mf_frig_settle(r);
	q.mint_id = broker.last_id;
	q.spiffe_id = (char *)(uintptr_t)ID0;
	q.audiences = list;
	answer(r, &q); /* it was on its way */
	mf_frig_settle(r);
	assert_false(mf_frig_poll(&c));
	assert_int_equal(r->mints, 3);
	broker.key = foreign_key; /* the one that is active now */
	q.mint_id = broker.last_id;
	answer(r, &q);
	(void)svids(&c);
	mf_frig_close(&c);
}

/* Many at once: one question. */
static void
test_single_flight(void **state)
{
	struct rig *r = *state;
	struct rig_client c[20];
	r->identities = 1;
	broker.mute = true;
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(c); i++)
		ask_fetch(r, &c[i], "", vault, 1);
	mf_frig_settle(r);
	assert_int_equal(r->mints, 1);
	Mayfly__Roles__V1__MintInstanceJwt q = MAYFLY__ROLES__V1__MINT_INSTANCE_JWT__INIT;
	char *list[] = { (char *)(uintptr_t) "vault" };
	q.mint_id = broker.last_id + 1; /* nobody asked for that */
	q.spiffe_id = (char *)(uintptr_t)ID0;
	q.audiences = list;
	q.n_audiences = 1;
	answer(r, &q);
	mf_frig_settle(r);
	assert_false(mf_frig_poll(&c[0]));
	q.mint_id = broker.last_id;
	answer(r, &q);
	for (size_t i = 0; i < MF_COUNT(c); i++) {
		assert_int_equal(svids(&c[i])->n_svids, 1);
		mf_frig_close(&c[i]);
	}
	assert_int_equal(r->mints, 1);
}

/* E-5, WAPI-7: at once, and nobody is asked who calls. WAPI-18, W-18 */
static void
test_invalid(void **state)
{
	struct rig *r = *state;
	char text[MF_ERR_MSG_MAX], *big = malloc(70000);
	const char *many[17];
	static const char *const empty[] = { "" }, *const one_empty[] = { "a", "" };
	assert_non_null(big);
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(many); i++)
		many[i] = "a";
	assert_int_equal(fetch_code(r, "", NULL, 0, text), MF_GRPC_INVALID_ARGUMENT);
	assert_non_null(strstr(text, "audience is missing"));
	assert_int_equal(fetch_code(r, "", empty, 1, NULL), MF_GRPC_INVALID_ARGUMENT);
	assert_int_equal(fetch_code(r, "", one_empty, 2, NULL), MF_GRPC_INVALID_ARGUMENT);
	assert_int_equal(fetch_code(r, "", many, 17, NULL), MF_GRPC_INVALID_ARGUMENT);
	for (size_t n = 1025; n <= 65536; n += 64511) { /* E-3: 4 to 64 KiB */
		memset(big, 'a', n);
		big[n] = '\0';
		const char *const one[] = { big };
		assert_int_equal(fetch_code(r, "", one, 1, NULL), MF_GRPC_INVALID_ARGUMENT);
	}
	static const char *const ids[] = { "x", "https://example.org/a", "spiffe://example.org/a//b",
		"spiffe://example.org/", "spiffe://example.org/a?b" };
	for (size_t i = 0; i < MF_COUNT(ids); i++)
		assert_int_equal(fetch_code(r, ids[i], vault, 1, NULL), MF_GRPC_INVALID_ARGUMENT);
	memset(big, 'a', 3000);
	memcpy(big, "spiffe://example.org/", 21);
	big[3000] = '\0';
	assert_int_equal(fetch_code(r, big, vault, 1, NULL), MF_GRPC_INVALID_ARGUMENT);
	free(big);
	assert_int_equal(r->who_is, 0);
	assert_int_equal(r->mints, 0);
}

/* WAPI-14, WAPI-18; a refusal names the audience; a busy broker is UNAVAILABLE; neither is asked again at once.
 * E-5 */
static void
test_refused(void **state)
{
	struct rig *r = *state;
	char text[MF_ERR_MSG_MAX];
	static const char *const evil[] = { "evil" };
	mf_frig_start(r);
	assert_int_equal(
	    fetch_code(r, "spiffe://example.org/other", vault, 1, text), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(r->mints, 0);
	broker.refuse = DENIED;
	assert_int_equal(fetch_code(r, ID0, evil, 1, text), MF_GRPC_PERMISSION_DENIED);
	assert_non_null(strstr(text, "\"evil\" is not in jwt_audiences"));
	assert_int_equal(r->mints, 1);
	assert_int_equal(fetch_code(r, ID0, evil, 1, NULL), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(r->mints, 1);
	broker.refuse = UNAVAILABLE;
	assert_int_equal(fetch_code(r, ID0, vault, 1, text), MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(text, "busy"));
	/* The X.509 identity is untouched by that. */
	struct rig_client c;
	mf_frig_open(r, &c, &mf_frig_fetch);
	assert_non_null(mf_frig_next(&c));
	mf_frig_close(&c);
	/* WEP-11 */
	r->who = RIG_STRANGER;
	assert_int_equal(fetch_code(r, "", vault, 1, text), MF_GRPC_PERMISSION_DENIED);
	assert_non_null(strstr(text, "no identity issued"));
}

/* At the end of the job tokens are wiped and nothing is served; who waits hears of it. P-30 */
static void
test_end(void **state)
{
	struct rig *r = *state;
	struct rig_client c, w;
	r->identities = 1;
	mf_frig_start(r);
	ask_fetch(r, &c, "", vault, 1);
	(void)svids(&c);
	mf_frig_close(&c);
	static const char *const other[] = { "other" };
	broker.mute = true;
	ask_fetch(r, &w, "", other, 1);
	mf_frig_settle(r);
	mf_frig_ended(r, r->handle, false);
	assert_int_equal(mf_frig_end(&w), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&w);
	/* A late answer finds nobody. */
	Mayfly__Roles__V1__InstanceJwt m = MAYFLY__ROLES__V1__INSTANCE_JWT__INIT;
	m.mint_id = broker.last_id;
	mf_frig_send(r, MF_MSG_INSTANCE_JWT, &m.base);
	mf_frig_settle(r);
	/* The fake calls the next one by the same name: nothing of the old token is left for it. */
	broker.mute = false;
	ask_fetch(r, &c, "", vault, 1);
	(void)svids(&c);
	assert_int_equal(r->mints, 3);
	mf_frig_close(&c);
}

/* The attestor starts again while somebody waits: the question is asked anew, by the new link. */
static void
test_attestor_restarts(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	r->identities = 1;
	broker.mute = true;
	mf_frig_start(r);
	ask_fetch(r, &c, "", vault, 1);
	mf_frig_settle(r);
	assert_int_equal(r->mints, 1);
	broker.mute = false;
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	mf_frig_attestor(r);
	assert_int_equal(svids(&c)->n_svids, 1);
	assert_int_equal(r->mints, 2);
	mf_frig_close(&c);
}

static const char *
value_of(const JWTBundlesResponse *m, const char *id, size_t *ret_n)
{
	for (size_t i = 0; i < m->n_bundles; i++)
		if (strcmp(m->bundles[i]->key, id) == 0) {
			*ret_n = m->bundles[i]->value.len;
			return (const char *)m->bundles[i]->value.data;
		}
	return NULL;
}

/* WAPI-3, 4, 5, 15, 16, 19: at once when they are there, all of it, again on change and only then.
 * BND-11, FED-17 */
static void
test_bundles(void **state)
{
	struct rig *r = *state;
	struct rig_client c, x;
	size_t n = 0;
	JWTBundlesRequest q = JWTBUNDLES_REQUEST__INIT;
	mf_frig_start(r);
	mf_frig_ask(r, &c, &bundles, &q.base);
	mf_frig_settle(r);
	assert_false(mf_frig_poll(&c)); /* not known yet: held */
	own_keys(r);
	const JWTBundlesResponse *m = (const void *)mf_frig_next(&c);
	assert_non_null(m);
	assert_int_equal(m->n_bundles, 1);
	const char *text = value_of(m, "spiffe://example.org", &n);
	assert_non_null(text);
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	assert_int_equal(mf_jwk_set_read(mf_slice(text, n), MF_JWKS_WORKLOAD, &set, NULL), MF_OK);
	assert_int_equal(mf_jwk_set_count(set), 1);
	assert_true(mf_slice_eq_str(mf_jwk_set_kid(set, 0), mf_jws_key_kid(key)));
	own_keys(r); /* P-31: the same again is no news */
	assert_true(mf_frig_quiet(&c));

	/* BND-8: a foreign trust domain, beside ours and never mixed with it. */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf theirs, map;
	const struct mf_jws_key *const keys[] = { foreign_key };
	put_set(keys, 1, &theirs);
	mf_buf_init(&map, MF_LIM_DOCUMENT);
	mf_bundle_map_begin(&map);
	mf_bundle_map_put(&map, true, MF_SLICE_LIT("other.org"), mf_buf_slice(&theirs));
	mf_bundle_map_put(&map, false, MF_SLICE_LIT("empty.org"), MF_SLICE_LIT("{\"keys\":[]}"));
	mf_bundle_map_end(&map);
	mf_frig_open(r, &x, &mf_frig_fetch);
	assert_non_null(mf_frig_next(&x));
	document(r, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES, mf_buf_slice(&map));
	m = (const void *)mf_frig_next(&c);
	assert_int_equal(m->n_bundles, 2); /* P-7: empty.org has no value to send */
	assert_non_null(value_of(m, "spiffe://other.org", &n));
	/* WAPI-5: the X.509 stream too is told, though it has no certificates for it (P-7). */
	const X509SVIDResponse *svid = (const void *)mf_frig_next(&x);
	assert_int_equal(svid->n_federated_bundles, 0);
	/* What cannot be read changes nothing. */
	document(r, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES, MF_SLICE_LIT("{}"));
	document(r, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_JWT_BUNDLE, MF_SLICE_LIT("[]"));
	document(r, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES,
	    MF_SLICE_LIT("{\"trust_domains\":{\"example.org\":{\"keys\":[]}}}"));
	assert_true(mf_frig_quiet(&c));
	/* P-1: the end of the job is PERMISSION_DENIED. */
	mf_frig_ended(r, r->handle, false);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&c);
	mf_frig_close(&x);
}

static const struct mf_grpc_method get_bundle = { .path = "/mayfly.job.v1.Jobs/GetBundle",
	.request = &mayfly__job__v1__get_bundle_request__descriptor,
	.response = &mayfly__job__v1__get_bundle_response__descriptor };

/* The bundle document of ${td} ("": our own) is read by our own readers; the code when there is none. */
static enum mf_grpc_code
read_bundle(struct rig *r, const char *td, struct mf_bundle_doc *ret_doc, size_t *ret_jwt)
{
	struct rig_client c;
	Mayfly__Job__V1__GetBundleRequest q = MAYFLY__JOB__V1__GET_BUNDLE_REQUEST__INIT;
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	q.trust_domain = (char *)(uintptr_t)td;
	mf_frig_ask(r, &c, &get_bundle, &q.base);
	const Mayfly__Job__V1__GetBundleResponse *m = (const void *)mf_frig_next(&c);
	enum mf_grpc_code code = c.code;
	if (m != NULL) {
		struct mf_slice text = mf_slice(m->document.data, m->document.len);
		code = MF_GRPC_OK;
		assert_string_equal(m->trust_domain, td[0] == '\0' ? "example.org" : td);
		assert_int_equal(mf_bundle_json_get(text, ret_doc, NULL), MF_OK);
		assert_int_equal(mf_jwk_set_read(text, MF_JWKS_SPIFFE, &set, NULL), MF_OK);
		*ret_jwt = mf_jwk_set_count(set);
	}
	mf_frig_close(&c);
	return code;
}

/* BND-2: the whole bundle document: both kinds, a sequence that grows with either; foreign ones without one of ours. */
static void
test_bundle_document(void **state)
{
	struct rig *r = *state;
	struct mf_bundle_doc doc = { 0 };
	size_t jwt = 0;
	mf_frig_start(r);
	assert_int_equal(read_bundle(r, "", &doc, &jwt), MF_GRPC_UNAVAILABLE); /* no JWT keys yet */
	own_keys(r);
	assert_int_equal(read_bundle(r, "", &doc, &jwt), MF_GRPC_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&doc.x509_der), mf_mint_ca(r->mint)));
	assert_true(doc.n_x509 == 1 && jwt == 1 && doc.has_sequence && doc.has_refresh_hint);
	uint64_t first = doc.sequence;
	mf_bundle_doc_fini(&doc);
	struct mint *other = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
	mf_frig_trust(r, other, 5);
	mf_frig_settle(r);
	assert_int_equal(read_bundle(r, "example.org", &doc, &jwt), MF_GRPC_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&doc.x509_der), mf_mint_ca(other)));
	assert_true(doc.sequence > first);
	mf_bundle_doc_fini(&doc);
	mf_mint_free(other);

	MF_AUTO_IN(mf_buf_fini) struct mf_buf theirs, map;
	const struct mf_jws_key *const keys[] = { foreign_key };
	put_set(keys, 1, &theirs);
	mf_buf_init(&map, MF_LIM_DOCUMENT);
	mf_bundle_map_begin(&map);
	mf_bundle_map_put(&map, true, MF_SLICE_LIT("other.org"), mf_buf_slice(&theirs));
	mf_bundle_map_end(&map);
	document(r, MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES, mf_buf_slice(&map));
	mf_frig_settle(r);
	assert_int_equal(read_bundle(r, "other.org", &doc, &jwt), MF_GRPC_OK);
	assert_true(doc.n_x509 == 0 && jwt == 1 && !doc.has_sequence);
	mf_bundle_doc_fini(&doc);
	assert_int_equal(read_bundle(r, "unknown.org", &doc, &jwt), MF_GRPC_NOT_FOUND);
	char longest[300];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(read_bundle(r, longest, &doc, &jwt), MF_GRPC_INVALID_ARGUMENT);
	r->who = RIG_STRANGER;
	assert_int_equal(read_bundle(r, "", &doc, &jwt), MF_GRPC_PERMISSION_DENIED);
}

static enum mf_grpc_code
check(struct rig *r, const char *token, const char *audience, struct rig_client *c)
{
	ValidateJWTSVIDRequest q = VALIDATE_JWTSVIDREQUEST__INIT;
	q.audience = (char *)(uintptr_t)audience;
	q.svid = (char *)(uintptr_t)token;
	mf_frig_ask(r, c, &validate, &q.base);
	if (mf_frig_next(c) != NULL)
		return MF_GRPC_OK;
	return c->code;
}

static const Google__Protobuf__Value *
claim(const ValidateJWTSVIDResponse *m, const char *name)
{
	for (size_t i = 0; i < m->claims->n_fields; i++)
		if (strcmp(m->claims->fields[i]->key, name) == 0)
			return m->claims->fields[i]->value;
	return NULL;
}

static void
sign_claims(const char *claims, struct mf_buf *to)
{
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	mf_buf_init(to, MF_LIM_JWT + 1);
	assert_int_equal(mf_jws_signer_new(key, &signer, NULL), MF_OK);
	assert_int_equal(mf_jws_put(MF_JWS_ES256, mf_slice_str(mf_jws_key_kid(key)), mf_slice_str(claims),
			     signer, to, NULL),
	    MF_OK);
	assert_non_null(mf_buf_cstr(to));
}

/* WAPI-20: the status code is the whole answer (P-15); claims are exact or not there. W-8, W-18 */
static void
test_validate(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	int64_t now_s = mf_now().wall_us / 1000000;
	struct mf_slice aud = MF_SLICE_LIT("me");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf good, expired, stranger;
	mf_frig_start(r);
	own_keys(r);
	make_token(key, ID0, &aud, 1, now_s + 300, &good);
	make_token(key, ID0, &aud, 1, now_s - 60, &expired);
	make_token(foreign_key, ID0, &aud, 1, now_s + 300, &stranger);
	assert_int_equal(check(r, (char *)good.p, "me", &c), MF_GRPC_OK);
	const ValidateJWTSVIDResponse *m = (const void *)c.msg;
	assert_string_equal(m->spiffe_id, ID0);
	assert_string_equal(claim(m, "sub")->string_value, ID0);
	assert_true(claim(m, "exp")->number_value == (double)(now_s + 300));
	assert_int_equal(claim(m, "aud")->kind_case, GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE);
	mf_frig_close(&c);
	static const char *const bad_audience[] = { "you", "ME", "" };
	for (size_t i = 0; i < MF_COUNT(bad_audience); i++) {
		assert_int_equal(check(r, (char *)good.p, bad_audience[i], &c), MF_GRPC_INVALID_ARGUMENT);
		mf_frig_close(&c);
	}
	const char *const bad_token[] = { (char *)expired.p, (char *)stranger.p, "", "a.b.c", "x" };
	for (size_t i = 0; i < MF_COUNT(bad_token); i++) {
		assert_int_equal(check(r, bad_token[i], "me", &c), MF_GRPC_INVALID_ARGUMENT);
		mf_frig_close(&c);
	}
	/* A caller without identity may not use us as an oracle. */
	r->who = RIG_STRANGER;
	assert_int_equal(check(r, (char *)good.p, "me", &c), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&c);
}

/* W-8 */
static void
test_claims(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	char claims[1024];
	mf_frig_start(r);
	own_keys(r);
	(void)snprintf(claims, sizeof(claims),
	    "{\"aud\":\"me\",\"exp\":%lld,\"sub\":\"" ID0
	    "\",\"big\":9007199254740992,\"lost\":9007199254740993,"
	    "\"neg\":-9007199254740993,\"half\":0.5,\"deep\":[[[[[1]]]]],\"ok\":[[[[1]]]],\"n\":null,\"t\":"
	    "true,"
	    "\"o\":{\"a\":[1,\"x\"],\"b\":{}},\"in\":{\"k\":9007199254740993}}",
	    (long long)(mf_now().wall_us / 1000000 + 300));
	sign_claims(claims, &token);
	if (check(r, (char *)token.p, "me", &c) != MF_GRPC_OK)
		fail_msg("%s", c.text);
	const ValidateJWTSVIDResponse *m = (const void *)c.msg;
	assert_int_equal(claim(m, "aud")->list_value->n_values, 1);
	assert_string_equal(claim(m, "aud")->list_value->values[0]->string_value, "me");
	assert_true(claim(m, "big")->number_value == 9007199254740992.0);
	assert_null(claim(m, "lost")); /* a double would say ...992 */
	assert_null(claim(m, "neg"));
	assert_null(claim(m, "in"));
	assert_null(claim(m, "deep"));
	assert_non_null(claim(m, "ok"));
	assert_true(claim(m, "half")->number_value == 0.5);
	assert_int_equal(claim(m, "n")->kind_case, GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE);
	assert_true(claim(m, "t")->bool_value);
	assert_int_equal(claim(m, "o")->struct_value->n_fields, 2);
	mf_frig_close(&c);
}

static int
group_setup(void **state)
{
	MF_UNUSED(state);
	return mf_jws_key_generate(MF_JWS_ES256, &key, NULL) != MF_OK ||
	       mf_jws_key_generate(MF_JWS_ES256, &foreign_key, NULL) != MF_OK;
}

static int
group_teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(key);
	mf_jws_key_free(foreign_key);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fetch),
		TEST(test_distrusted),
		TEST(test_single_flight),
		TEST(test_invalid),
		TEST(test_refused),
		TEST(test_end),
		TEST(test_attestor_restarts),
		TEST(test_bundles),
		TEST(test_bundle_document),
		TEST(test_validate),
		TEST(test_claims),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
