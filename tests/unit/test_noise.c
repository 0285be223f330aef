#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "crypto/noise.h"
#include "lib/hex.h"

/* Public vectors of Noise_IK_25519_AESGCM_SHA256: the sets that circulate as "cacophony" and "snow". */
struct message {
	const char *payload, *ciphertext;
};
static const struct vector {
	const char *prologue, *init_static, *init_ephemeral, *resp_static, *resp_static_public,
	    *resp_ephemeral;
	const char *hash; /* NULL: the set does not give it */
	struct message messages[6];
} vectors[] = {
	{ .prologue =
	    "4a6f686e2047616c74",
	    .init_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
	    .init_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
	    .resp_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
	    .resp_static_public = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
	    .resp_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
	    .hash = "669c8640d9e42a3cda2f232f78597ceefb01daa6e3df81181ccce6fc6b5026bf",
	    .messages = {
	    { "4c756477696720766f6e204d69736573",
	    "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
	    "4e417bc55c7a8166c993356c1be41ef67818a292426f301556c7f26b21d25ddb"
	    "097153891a9a956cff47b83e63ad8d701c1342c209cff1ca5ecd43402762ac24"
	    "9e3bd3a4c0a145fe07cb5dae28ea13a3" },
	    { "4d757272617920526f746862617264",
	    "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
	    "af2ccf9972e22afc67aeafcd25162f7f98c363b7762e3e4cb7d272e39f27a5" },
	    { "462e20412e20486179656b",
	    "66acfc92e3197de166809e6d4d5d003dcc819a84bc3522ca53c9d9" },
	    { "4361726c204d656e676572",
	    "71f89aa6533a6de70b0826864dd75f60806ee40170c16290189eb3" },
	    { "4a65616e2d426170746973746520536179",
	    "4795a3423550c8bf00386bd496a3e2c76c10669d2a75ab8f79b5094c5412a257"
	    "05" },
	    { "457567656e2042f6686d20766f6e2042617765726b",
	    "aa0bb39097555c918e40be82abc2b909eb79d9eb87adb07e268fc37323a6cf90"
	    "4fd01fb391" },
	    } },
	{ .prologue =
	    "5468657265206973206e6f20726967687420616e642077726f6e672e20546865"
	    "72652773206f6e6c792066756e20616e6420626f72696e672e",
	    .init_static = "98faebfdc44a30b111d755708980f247e06f6fd40909fec3d675508952a3f615",
	    .init_ephemeral = "01fed814d96619ca317a6011dab28db5f32cb9a29d9bdad0eaca9eb48d7b57c4",
	    .resp_static = "bf6aaf9bc0cd92c4c5f93ef0797f02b3bec9498cfb4a3b338f34b4d682112154",
	    .resp_static_public = "229acb57fac29aef3ac9337bd1f323cb48c30f9483471975f4e6aa8bf02e7e77",
	    .resp_ephemeral = "9af33ff27f261005a3e57f7a32a6abd17f57834b74b22bb7b7633abe80cd1f95",
	    .messages = {
	    { "8cb1797838a7e55bee256343e843befa874c504eb42eabcc843d26707fb3f051",
	    "c3b79ee926435e045ffe4b100c9b7fd2548df6dbe26cdaf9ba7672e094abd469"
	    "44b359dc54c040932dc7a5797b0efb1624fefa0161ef1fce7c196d06ae9ad192"
	    "5c1d1127ae542bf18e8f5a4e3c0b7ba242e47b9dd5779de7ed251fac157c5957"
	    "d33db53bb9e8d6f31ec0b0dc8f79855a139129acacdcea89ee8e29943c8fcde9" },
	    { "43365623b9d678439fe922abb9b75c2ded28fbaaa0ef2c0155b650bb3eca706d",
	    "24ad0a9c3e786b299f8d2bd2edb4af785d5ffa432cb278a66234cf8e8f0a902c"
	    "09a740060f734f0be6b91f563e4384a8da2e34bcc077ab29a017407dfae20a83"
	    "86bb50d3df38dbfd2b57d39e6f7f667f" },
	    { "b9eed3d18bae1234e8180140025344e29b72d32db52ca89b142a1ac47295c91e",
	    "1bb7ca95b86a472beac1fe0a203b3b1f0f0238669e89ac18819674ea34f158bd"
	    "613721e58ea4339772aaff3f060086db" },
	    { "8a0724a71789f642fc06a2af90be6dded6bf2b5ab1a32e210ef19945cd0b9b68",
	    "c57711be5a672510e6025bc0089a60d8abe47f6ae56bc7f794b8ec3d632f7a43"
	    "78450ba76584ca1f23b9ae92cb72a1e0" },
	    } },
};

static void
fill_fixed(void *ctx, void *to, size_t n)
{
	assert_int_equal(n, 32);
	memcpy(to, ctx, n);
}

static struct mf_x25519 *
key_of(const char *hex)
{
	uint8_t raw[32];
	struct mf_x25519 *k = NULL;
	hex_exact(hex, raw, sizeof(raw));
	assert_int_equal(mf_x25519_new(mf_slice(raw, sizeof(raw)), &k, NULL), MF_OK);
	return k;
}

/* Handshake message or transport message ${i} of a vector, from ${from} to ${to}. */
static void
run_message(struct mf_noise *from, struct mf_noise *to, const struct message *m, size_t i)
{
	struct mf_buf payload, wire, back;
	mf_buf_init(&payload, 4096);
	mf_buf_init(&wire, 4096);
	mf_buf_init(&back, 4096);
	hex_buf(m->payload, &payload);
	if (i < 2) {
		assert_int_equal(mf_noise_write(from, mf_buf_slice(&payload), &wire, NULL), MF_OK);
		assert_hex(mf_buf_slice(&wire), m->ciphertext);
		assert_int_equal(mf_noise_read(to, mf_buf_slice(&wire), &back, NULL), MF_OK);
	} else {
		assert_int_equal(mf_noise_seal(from, mf_buf_slice(&payload), &wire, NULL), MF_OK);
		assert_hex(mf_buf_slice(&wire), m->ciphertext);
		assert_int_equal(mf_noise_open(to, mf_buf_slice(&wire), &back, NULL), MF_OK);
	}
	assert_true(mf_slice_eq(mf_buf_slice(&back), mf_buf_slice(&payload)));
	mf_buf_fini(&payload);
	mf_buf_fini(&wire);
	mf_buf_fini(&back);
}

static void
run_vector(const struct vector *v)
{
	MF_AUTO(mf_x25519_free) struct mf_x25519 *is = key_of(v->init_static);
	MF_AUTO(mf_x25519_free) struct mf_x25519 *rs = key_of(v->resp_static);
	MF_AUTO(mf_noise_free) struct mf_noise *init = NULL;
	MF_AUTO(mf_noise_free) struct mf_noise *resp = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf prologue;
	uint8_t ie[32], re[32], rpub[32], ipub[32], got[32];
	mf_buf_init(&prologue, 4096);
	hex_buf(v->prologue, &prologue);
	hex_exact(v->init_ephemeral, ie, 32);
	hex_exact(v->resp_ephemeral, re, 32);
	mf_x25519_public(rs, rpub);
	mf_x25519_public(is, ipub);
	assert_hex(mf_slice(rpub, 32), v->resp_static_public);
	const struct mf_rand ri = { fill_fixed, ie }, rr = { fill_fixed, re };
	const struct mf_noise_conf ci = { MF_NOISE_INITIATOR, mf_buf_slice(&prologue), is, rpub, &ri, 0 };
	const struct mf_noise_conf cr = { MF_NOISE_RESPONDER, mf_buf_slice(&prologue), rs, NULL, &rr, 0 };
	assert_int_equal(mf_noise_new(&ci, &init, NULL), MF_OK);
	assert_int_equal(mf_noise_new(&cr, &resp, NULL), MF_OK);
	for (size_t i = 0; i < MF_COUNT(v->messages) && v->messages[i].payload != NULL; i++) {
		run_message(i % 2 == 0 ? init : resp, i % 2 == 0 ? resp : init, &v->messages[i], i);
		if (i == 0) {
			assert_int_equal(mf_noise_remote_static(resp, got, NULL), MF_OK);
			assert_memory_equal(got, ipub, 32);
		}
		assert_int_equal(mf_noise_ready(init), i >= 1);
		assert_int_equal(mf_noise_ready(resp), i >= 1);
	}
	uint8_t other[32];
	assert_int_equal(mf_noise_hash(init, got, NULL), MF_OK);
	assert_int_equal(mf_noise_hash(resp, other, NULL), MF_OK);
	assert_memory_equal(got, other, 32);
	if (v->hash != NULL)
		assert_hex(mf_slice(got, 32), v->hash);
}

static void
test_public_vectors(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(vectors); i++)
		run_vector(&vectors[i]);
}

/* Two ends with keys of their own; the handshake's messages and one transport message, recorded. */
struct pair {
	struct mf_x25519 *is, *rs;
	uint8_t ipub[32], rpub[32];
	struct mf_noise *init, *resp;
	struct mf_buf m1, m2;
};

#define PROLOGUE MF_SLICE_LIT("test prologue")

static struct mf_noise *
initiator(const struct pair *p, struct mf_slice prologue, const uint8_t *remote, uint64_t max)
{
	const struct mf_noise_conf c = { MF_NOISE_INITIATOR, prologue, p->is, remote, NULL, max };
	struct mf_noise *n = NULL;
	assert_int_equal(mf_noise_new(&c, &n, NULL), MF_OK);
	return n;
}

static struct mf_noise *
responder(const struct pair *p, struct mf_slice prologue, uint64_t max)
{
	const struct mf_noise_conf c = { MF_NOISE_RESPONDER, prologue, p->rs, NULL, NULL, max };
	struct mf_noise *n = NULL;
	assert_int_equal(mf_noise_new(&c, &n, NULL), MF_OK);
	return n;
}

static void
pair_init(struct pair *p, uint64_t max)
{
	memset(p, 0, sizeof(*p));
	assert_int_equal(mf_x25519_generate(NULL, &p->is, NULL), MF_OK);
	assert_int_equal(mf_x25519_generate(NULL, &p->rs, NULL), MF_OK);
	mf_x25519_public(p->is, p->ipub);
	mf_x25519_public(p->rs, p->rpub);
	p->init = initiator(p, PROLOGUE, p->rpub, max);
	p->resp = responder(p, PROLOGUE, max);
	mf_buf_init(&p->m1, 4096);
	mf_buf_init(&p->m2, 4096);
	assert_int_equal(mf_noise_write(p->init, mf_slice(NULL, 0), &p->m1, NULL), MF_OK);
}

static void
pair_finish(struct pair *p)
{
	assert_int_equal(mf_noise_read(p->resp, mf_buf_slice(&p->m1), NULL, NULL), MF_OK);
	assert_int_equal(mf_noise_write(p->resp, mf_slice(NULL, 0), &p->m2, NULL), MF_OK);
	assert_int_equal(mf_noise_read(p->init, mf_buf_slice(&p->m2), NULL, NULL), MF_OK);
	assert_true(mf_noise_ready(p->init) && mf_noise_ready(p->resp));
}

static void
pair_fini(struct pair *p)
{
	mf_noise_free(p->init);
	mf_noise_free(p->resp);
	mf_x25519_free(p->is);
	mf_x25519_free(p->rs);
	mf_buf_fini(&p->m1);
	mf_buf_fini(&p->m2);
}

/* Every call on an ended session answers MF_E_CLOSED. */
static void
assert_dead(struct mf_noise *n)
{
	uint8_t b[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 4096);
	assert_false(mf_noise_ready(n));
	assert_int_equal(mf_noise_write(n, mf_slice(NULL, 0), &out, NULL), MF_E_CLOSED);
	assert_int_equal(mf_noise_read(n, mf_slice(NULL, 0), NULL, NULL), MF_E_CLOSED);
	assert_int_equal(mf_noise_seal(n, mf_slice(NULL, 0), &out, NULL), MF_E_CLOSED);
	assert_int_equal(mf_noise_open(n, mf_slice(NULL, 0), &out, NULL), MF_E_CLOSED);
	assert_int_equal(mf_noise_hash(n, b, NULL), MF_E_CLOSED);
	assert_int_equal(mf_noise_remote_static(n, b, NULL), MF_E_CLOSED);
	assert_int_equal(out.n, 0);
	assert_int_equal(ERR_peek_error(), 0);
}

static void
seal(struct mf_noise *n, const char *text, struct mf_buf *out)
{
	mf_buf_init(out, 1 << 17);
	assert_int_equal(mf_noise_seal(n, mf_slice_str(text), out, NULL), MF_OK);
}

static void
assert_opens(struct mf_noise *n, const struct mf_buf *sealed, const char *text)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf back;
	mf_buf_init(&back, 1 << 17);
	assert_int_equal(mf_noise_open(n, mf_buf_slice(sealed), &back, NULL), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&back), text));
}

static void
assert_refused(struct mf_noise *n, const struct mf_buf *sealed)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf back;
	mf_buf_init(&back, 1 << 17);
	assert_int_equal(mf_noise_open(n, mf_buf_slice(sealed), &back, &err), MF_E_UNAUTH);
	assert_true(err.msg[0] != '\0');
	assert_int_equal(back.n, 0);
	assert_dead(n);
}

static void
test_order_of_calls(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	uint8_t b[32];
	pair_init(&p, 0);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 4096);
	assert_int_equal(p.m1.n, MF_NOISE_MESSAGE_1);
	/* Not their turn: refused, and nothing is lost by it. */
	assert_int_equal(mf_noise_write(p.init, mf_slice(NULL, 0), &out, NULL), MF_E_STATE);
	assert_int_equal(mf_noise_write(p.resp, mf_slice(NULL, 0), &out, NULL), MF_E_STATE);
	assert_int_equal(mf_noise_seal(p.init, mf_slice(NULL, 0), &out, NULL), MF_E_STATE);
	assert_int_equal(mf_noise_open(p.resp, mf_buf_slice(&p.m1), &out, NULL), MF_E_STATE);
	assert_int_equal(mf_noise_hash(p.init, b, NULL), MF_E_STATE);
	assert_int_equal(mf_noise_remote_static(p.resp, b, NULL), MF_E_STATE);
	assert_int_equal(mf_noise_remote_static(p.init, b, NULL), MF_OK);
	assert_memory_equal(b, p.rpub, 32);
	pair_finish(&p);
	assert_int_equal(p.m2.n, MF_NOISE_MESSAGE_2);
	assert_int_equal(mf_noise_remote_static(p.resp, b, NULL), MF_OK);
	assert_memory_equal(b, p.ipub, 32);
	assert_int_equal(mf_noise_read(p.init, mf_buf_slice(&p.m2), NULL, NULL), MF_E_STATE);
	assert_int_equal(mf_noise_read(p.resp, mf_buf_slice(&p.m1), NULL, NULL), MF_E_STATE);
	assert_int_equal(out.n, 0);
	struct mf_buf s;
	seal(p.resp, "still good", &s);
	assert_opens(p.init, &s, "still good");
	mf_buf_fini(&s);
	pair_fini(&p);
}

static void
test_every_byte_of_message_1(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p, 0);
	for (size_t bit = 0; bit < p.m1.n * 2; bit++) {
		struct mf_noise *resp = responder(&p, PROLOGUE, 0);
		uint8_t flip = bit % 2 == 0 ? 1 : 0x80; /* 0x80: X25519 itself ignores it in byte 31 */
		p.m1.p[bit / 2] ^= flip;
		assert_int_equal(mf_noise_read(resp, mf_buf_slice(&p.m1), NULL, NULL), MF_E_UNAUTH);
		p.m1.p[bit / 2] ^= flip;
		assert_dead(resp);
		mf_noise_free(resp);
	}
	for (size_t n = 0; n < p.m1.n; n++) {
		struct mf_noise *resp = responder(&p, PROLOGUE, 0);
		MF_AUTO_IN(mf_buf_fini) struct mf_buf payload;
		mf_buf_init(&payload, 4096);
		/* With and without room for a payload: neither length rule may read past the end. */
		enum mf_status st =
		    mf_noise_read(resp, mf_slice(p.m1.p, n), n % 2 == 0 ? NULL : &payload, NULL);
		assert_true(st == MF_E_INVALID || st == MF_E_UNAUTH);
		assert_dead(resp);
		mf_noise_free(resp);
	}
	pair_finish(&p); /* the unaltered message is still good elsewhere */
	pair_fini(&p);
}

static void
test_every_byte_of_message_2(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_NOISE_MESSAGE_2; i++) {
		struct pair p;
		pair_init(&p, 0);
		assert_int_equal(mf_noise_read(p.resp, mf_buf_slice(&p.m1), NULL, NULL), MF_OK);
		assert_int_equal(mf_noise_write(p.resp, mf_slice(NULL, 0), &p.m2, NULL), MF_OK);
		p.m2.p[i] ^= i % 2 == 0 ? 1 : 0x80;
		assert_int_equal(mf_noise_read(p.init, mf_buf_slice(&p.m2), NULL, NULL), MF_E_UNAUTH);
		assert_dead(p.init);
		pair_fini(&p);
	}
}

static void
test_every_byte_of_transport(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < 4 + MF_NOISE_TAG + 2; i++) {
		struct pair p;
		struct mf_buf s;
		pair_init(&p, 0);
		pair_finish(&p);
		seal(p.init, "text", &s);
		if (i < s.n)
			s.p[i] ^= 0x10;
		else if (i == s.n)
			s.n--;
		else
			mf_buf_put_u8(&s, 0);
		assert_refused(p.resp, &s);
		mf_buf_fini(&s);
		pair_fini(&p);
	}
}

static void
test_wrong_prologue(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p, 0);
	struct mf_noise *resp = responder(&p, MF_SLICE_LIT("test prologuf"), 0);
	assert_int_equal(mf_noise_read(resp, mf_buf_slice(&p.m1), NULL, NULL), MF_E_UNAUTH);
	assert_dead(resp);
	mf_noise_free(resp);
	pair_fini(&p);
}

static void
test_wrong_static(void **state)
{
	MF_UNUSED(state);
	struct pair p, q;
	pair_init(&p, 0);
	pair_init(&q, 0);
	/* Meant for another responder. */
	assert_int_equal(mf_noise_read(q.resp, mf_buf_slice(&p.m1), NULL, NULL), MF_E_UNAUTH);
	assert_dead(q.resp);
	/* A responder that learned the initiator's key but does not hold the pinned one cannot answer. */
	struct mf_buf m2;
	mf_buf_init(&m2, 4096);
	struct mf_noise *q2 = responder(&q, PROLOGUE, 0);
	assert_int_equal(mf_noise_read(q2, mf_buf_slice(&q.m1), NULL, NULL), MF_OK);
	assert_int_equal(mf_noise_write(q2, mf_slice(NULL, 0), &m2, NULL), MF_OK);
	assert_int_equal(mf_noise_read(p.init, mf_buf_slice(&m2), NULL, NULL), MF_E_UNAUTH);
	assert_dead(p.init);
	mf_buf_fini(&m2);
	mf_noise_free(q2);
	pair_fini(&p);
	pair_fini(&q);
}

/* An initiator's static key of small order would make ss known to everybody. */
static void
test_small_order_keys(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	static const uint8_t zero[32];
	pair_init(&p, 0);
	memset(p.m1.p, 0, 32);
	struct mf_err err = { 0 };
	assert_int_equal(mf_noise_read(p.resp, mf_buf_slice(&p.m1), NULL, &err), MF_E_UNAUTH);
	assert_string_equal(err.msg, "noise: the peer's public key is not usable");
	assert_dead(p.resp);
	struct mf_noise *n = initiator(&p, PROLOGUE, zero, 0);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 4096);
	assert_int_equal(mf_noise_write(n, mf_slice(NULL, 0), &out, NULL), MF_E_UNAUTH);
	assert_dead(n);
	mf_noise_free(n);
	pair_fini(&p);
}

/*
 * Message 1 has no freshness of the responder's, so a replay of it is answered. What the replayer
 * gets is a session that it cannot speak in: nothing recorded and nothing made up opens.
 */
static void
test_replayed_message_1(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_buf first, m2;
	pair_init(&p, 0);
	pair_finish(&p);
	seal(p.init, "Hello", &first);
	for (int attempt = 0; attempt < 4; attempt++) {
		struct mf_noise *resp = responder(&p, PROLOGUE, 0);
		uint8_t h1[32], h2[32];
		mf_buf_init(&m2, 4096);
		assert_int_equal(mf_noise_read(resp, mf_buf_slice(&p.m1), NULL, NULL), MF_OK);
		assert_int_equal(mf_noise_write(resp, mf_slice(NULL, 0), &m2, NULL), MF_OK);
		/* The session has another name, so evidence signed over the hash is bound to one session. */
		assert_int_equal(mf_noise_hash(p.init, h1, NULL), MF_OK);
		assert_int_equal(mf_noise_hash(resp, h2, NULL), MF_OK);
		assert_memory_not_equal(h1, h2, 32);
		MF_AUTO_IN(mf_buf_fini) struct mf_buf forged;
		mf_buf_init(&forged, 4096);
		if (attempt == 0)
			mf_buf_put_slice(&forged, mf_buf_slice(&first)); /* the recorded first message */
		else if (attempt == 1)
			mf_buf_put_slice(
			    &forged, mf_slice_sub(mf_buf_slice(&p.m1), 80, 16)); /* a tag, nothing more */
		else if (attempt == 2)
			mf_buf_put_slice(
			    &forged, mf_slice_sub(mf_buf_slice(&m2), 32, 16)); /* its own answer */
		else
			mf_rand_bytes(mf_buf_extend(&forged, first.n), first.n);
		assert_refused(resp, &forged);
		mf_noise_free(resp);
		mf_buf_fini(&m2);
	}
	assert_opens(p.resp, &first, "Hello"); /* the true session is untouched */
	mf_buf_fini(&first);
	pair_fini(&p);
}

static void
test_transport_order(void **state)
{
	MF_UNUSED(state);
	struct mf_buf a, b;
	for (int kind = 0; kind < 4; kind++) {
		struct pair p;
		pair_init(&p, 0);
		pair_finish(&p);
		seal(p.init, "first", &a);
		seal(p.init, "second", &b);
		if (kind == 0) { /* reordered, or the first was dropped */
			assert_refused(p.resp, &b);
		} else if (kind == 1) { /* replayed */
			assert_opens(p.resp, &a, "first");
			assert_refused(p.resp, &a);
		} else if (kind == 2) { /* reflected to its sender */
			assert_refused(p.init, &a);
		} else {
			assert_opens(p.resp, &a, "first");
			assert_opens(p.resp, &b, "second");
		}
		mf_buf_fini(&a);
		mf_buf_fini(&b);
		pair_fini(&p);
	}
}

static void
test_exhaustion(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_buf s, out;
	pair_init(&p, 2);
	pair_finish(&p);
	mf_buf_init(&out, 4096);
	for (int i = 0; i < 2; i++) {
		seal(p.init, "x", &s);
		assert_opens(p.resp, &s, "x");
		mf_buf_fini(&s);
	}
	struct mf_err err = { 0 };
	assert_int_equal(mf_noise_seal(p.init, MF_SLICE_LIT("x"), &out, &err), MF_E_EXHAUSTED);
	assert_string_equal(err.msg, "noise: 2 messages sealed; make a new session");
	assert_dead(p.init);
	assert_int_equal(mf_noise_open(p.resp, MF_SLICE_LIT("x"), &out, NULL), MF_E_EXHAUSTED);
	assert_dead(p.resp);
	pair_fini(&p);

	struct pair q;
	pair_init(&q, 0);
	const struct mf_noise_conf c = { MF_NOISE_RESPONDER, PROLOGUE, q.rs, NULL, NULL,
		MF_NOISE_TRANSPORT_MAX + 1 };
	struct mf_noise *n = NULL;
	assert_int_equal(mf_noise_new(&c, &n, NULL), MF_E_INVALID);
	assert_null(n);
	pair_fini(&q);
}

static void
test_sizes(void **state)
{
	MF_UNUSED(state);
	static const uint8_t big[MF_NOISE_MESSAGE_MAX + 1];
	struct pair p;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 1 << 20);
	/* Payloads that fit exactly, both messages. */
	pair_init(&p, 0);
	struct mf_noise *i = initiator(&p, PROLOGUE, p.rpub, 0), *r = responder(&p, PROLOGUE, 0);
	assert_int_equal(
	    mf_noise_write(i, mf_slice(big, MF_NOISE_MESSAGE_MAX - 95), &out, NULL), MF_E_TOOBIG);
	assert_int_equal(mf_noise_write(i, mf_slice(big, MF_NOISE_MESSAGE_MAX - 96), &out, NULL), MF_OK);
	assert_int_equal(out.n, MF_NOISE_MESSAGE_MAX);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf payload;
	mf_buf_init(&payload, 1 << 20);
	assert_int_equal(mf_noise_read(r, mf_buf_slice(&out), &payload, NULL), MF_OK);
	assert_int_equal(payload.n, MF_NOISE_MESSAGE_MAX - 96);
	/* A handshake message over the limit ends the session. */
	assert_int_equal(mf_noise_read(i, mf_slice(big, sizeof(big)), &payload, NULL), MF_E_TOOBIG);
	assert_dead(i);
	mf_noise_free(i);
	mf_noise_free(r);
	/* So does a payload where none belongs. */
	assert_int_equal(mf_noise_read(p.resp, mf_buf_slice(&out), NULL, NULL), MF_E_INVALID);
	assert_dead(p.resp);
	pair_fini(&p);

	struct pair q;
	pair_init(&q, 0);
	pair_finish(&q);
	mf_buf_reset(&out);
	assert_int_equal(mf_noise_seal(q.init, mf_slice(big, MF_NOISE_MESSAGE_MAX - 16), &out, NULL), MF_OK);
	assert_int_equal(mf_noise_open(q.resp, mf_buf_slice(&out), &payload, NULL), MF_OK);
	assert_int_equal(
	    mf_noise_seal(q.init, mf_slice(big, MF_NOISE_MESSAGE_MAX - 15), &out, NULL), MF_E_TOOBIG);
	assert_dead(q.init);
	assert_int_equal(mf_noise_open(q.resp, mf_slice(big, sizeof(big)), &payload, NULL), MF_E_TOOBIG);
	assert_dead(q.resp);
	pair_fini(&q);
}

static void
test_new_refuses(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p, 0);
	const struct mf_noise_conf bad[] = {
		{ MF_NOISE_INITIATOR, PROLOGUE, p.is, NULL, NULL, 0 },
		{ MF_NOISE_INITIATOR, PROLOGUE, NULL, p.rpub, NULL, 0 },
		{ MF_NOISE_RESPONDER, PROLOGUE, p.rs, p.ipub, NULL, 0 },
	};
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_noise *n = NULL;
		assert_int_equal(mf_noise_new(&bad[i], &n, NULL), MF_E_INVALID);
		assert_null(n);
	}
	mf_noise_free(NULL);
	/* No room for the answer: the half-made handshake is dropped. */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf tiny;
	mf_buf_init(&tiny, 40);
	struct mf_noise *n = initiator(&p, PROLOGUE, p.rpub, 0);
	assert_int_equal(mf_noise_write(n, mf_slice(NULL, 0), &tiny, NULL), MF_E_TOOBIG);
	assert_dead(n);
	mf_noise_free(n);
	pair_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_public_vectors),
		cmocka_unit_test(test_order_of_calls),
		cmocka_unit_test(test_every_byte_of_message_1),
		cmocka_unit_test(test_every_byte_of_message_2),
		cmocka_unit_test(test_every_byte_of_transport),
		cmocka_unit_test(test_wrong_prologue),
		cmocka_unit_test(test_wrong_static),
		cmocka_unit_test(test_small_order_keys),
		cmocka_unit_test(test_replayed_message_1),
		cmocka_unit_test(test_transport_order),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_new_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
