#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/join_token.h"
#include "lib/hex.h"

static const uint8_t secret[MF_JOIN_SECRET] = "0123456789abcdef0123456789abcde";

static struct mf_join_public
sample(void)
{
	struct mf_join_public p = {
		.address = "broker.example.org:8461",
		.trust_domain = "example.org",
		.broker_id = "b-1",
		.token_id = "t-abc234",
		.expires_s = 1795000000,
	};
	memset(p.ca_sha256, 0xca, sizeof(p.ca_sha256));
	memset(p.notary_key, 0x4b, sizeof(p.notary_key));
	return p;
}

static void
encode(const struct mf_join_public *p, struct mf_buf *out)
{
	MF_AUTO(mf_join_token_free) struct mf_join_token *t = NULL;
	mf_buf_init(out, MF_LIM_JOIN_TOKEN);
	assert_int_equal(mf_join_token_new(p, mf_slice(secret, sizeof(secret)), &t, NULL), MF_OK);
	assert_int_equal(mf_join_token_encode(t, out, NULL), MF_OK);
}

static enum mf_status
decode(struct mf_slice text, struct mf_err *err)
{
	MF_AUTO(mf_join_token_free) struct mf_join_token *t = NULL;
	enum mf_status st = mf_join_token_decode(text, &t, err);
	assert_int_equal(t != NULL, st == MF_OK);
	return st;
}

/* Tokens are printed on paper and outlive releases: the text is a contract. */
static void
test_golden(void **state)
{
	MF_UNUSED(state);
	const struct mf_join_public p = sample();
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	encode(&p, &text);
	assert_string_equal(mf_buf_cstr(&text),
	    "mft1.ABdicm9rZXIuZXhhbXBsZS5vcmc6ODQ2MQALZXhhbXBsZS5vcmcAA2ItMcrKysrKysrKysrKysr"
	    "KysrKysrKysrKysrKysrKysrKS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0sACHQtYWJjMjM"
	    "0MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQAAAAAAav2GwA.");
	uint8_t hash[32];
	mf_join_token_hash(secret, hash);
	assert_hex(mf_slice(hash, 32), "739652da5b4591197078efe3df0bdb2aab4bd712f4af54488190790e5d855da8");
}

static void
test_round_trip(void **state)
{
	MF_UNUSED(state);
	static const char *const addresses[] = { "a:1", "broker.example.org:8461", "127.0.0.1:65535",
		"[::1]:8461", "[fe80::1:2.3.4.5]:80" };
	for (size_t i = 0; i < MF_COUNT(addresses); i++) {
		struct mf_join_public p = sample();
		MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
		MF_AUTO(mf_join_token_free) struct mf_join_token *t = NULL;
		memset(p.address, 0, sizeof(p.address));
		memcpy(p.address, addresses[i], strlen(addresses[i]));
		encode(&p, &text);
		assert_int_equal(mf_join_token_decode(mf_buf_slice(&text), &t, NULL), MF_OK);
		assert_memory_equal(mf_join_token_public(t), &p, sizeof(p));
		assert_true(mf_slice_eq(mf_join_token_secret(t), mf_slice(secret, sizeof(secret))));
		/* The public part, as it is handed on, does not hold the secret. */
		assert_null(memmem(mf_join_token_public(t), sizeof(p), secret, 8));
	}
}

/* The largest token of all still fits its cap. */
static void
test_largest(void **state)
{
	MF_UNUSED(state);
	struct mf_join_public p = sample();
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	memset(p.address, 'a', 253);
	memcpy(p.address + 253, ":65535", 7);
	memset(p.trust_domain, 'a', 253);
	for (size_t i = 63; i < 253; i += 64)
		p.trust_domain[i] = '.';
	p.trust_domain[253] = '\0';
	memset(p.broker_id, 'b', MF_JOIN_BROKER_ID);
	memset(p.token_id, 't', MF_JOIN_TOKEN_ID);
	p.broker_id[MF_JOIN_BROKER_ID] = p.token_id[MF_JOIN_TOKEN_ID] = '\0';
	p.expires_s = UINT64_C(253402300799);
	encode(&p, &text);
	assert_true(text.n <= MF_LIM_JOIN_TOKEN);
	assert_int_equal(decode(mf_buf_slice(&text), NULL), MF_OK);
}

#define SET(field, text)                             \
	do {                                         \
		memset(p.field, 0, sizeof(p.field)); \
		memcpy(p.field, text, sizeof(text)); \
	} while (0)

static void
test_new_refuses(void **state)
{
	MF_UNUSED(state);
	static const char *const addresses[] = { "", "host", "host:", ":8461", "host:0", "host:65536",
		"host:08461", "host:+1", "ho st:1", "HOST:1", "-h:1", ".h:1", "h/x:1", "[]:1", "[::1:1",
		"[::g]:1", "::1:1", "h:1:2", "h\n:1" };
	struct mf_join_public p;
	struct mf_join_token *t = NULL;
	struct mf_err err = { 0 };
	struct mf_slice s = mf_slice(secret, sizeof(secret));
	for (size_t i = 0; i < MF_COUNT(addresses); i++) {
		p = sample();
		memset(p.address, 0, sizeof(p.address));
		memcpy(p.address, addresses[i], strlen(addresses[i]));
		assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
		assert_string_equal(err.msg, "join token: broker address is not host:port");
	}
	p = sample();
	memset(p.address, 'a', 254);
	memcpy(p.address + 254, ":1", 3);
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	p = sample();
	SET(trust_domain, "Example.org");
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	assert_true(mf_slice_starts(mf_slice_str(err.msg), MF_SLICE_LIT("join token: ")));
	SET(trust_domain, "");
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	p = sample();
	SET(broker_id, "");
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	SET(broker_id, "a/b");
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	p = sample();
	SET(token_id, "..");
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	p = sample();
	memset(p.token_id, 't', sizeof(p.token_id)); /* no NUL */
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "join token: a field without its end");
	p = sample();
	p.expires_s = 0;
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	p.expires_s = UINT64_C(253402300800);
	assert_int_equal(mf_join_token_new(&p, s, &t, &err), MF_E_INVALID);
	p = sample();
	assert_int_equal(mf_join_token_new(&p, mf_slice(secret, 31), &t, &err), MF_E_INVALID);
	assert_null(t);
	mf_join_token_free(NULL);
}

static void
test_cut_and_altered(void **state)
{
	MF_UNUSED(state);
	const struct mf_join_public p = sample();
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	struct mf_err err = { 0 };
	encode(&p, &text);
	for (size_t n = 0; n < text.n; n++) {
		assert_int_equal(decode(mf_slice(text.p, n), &err), MF_E_INVALID);
		assert_null(strstr(err.msg, "MDEyMzQ1")); /* no byte of the secret in any text */
	}
	assert_string_equal(err.msg, "join token: no dot at its end; it was cut, copy it again");
	mf_buf_put_str(&text, "\n");
	assert_int_equal(decode(mf_buf_slice(&text), &err), MF_E_INVALID);
	text.n--;
	text.p[3] = '2'; /* mft2. */
	assert_int_equal(decode(mf_buf_slice(&text), &err), MF_E_INVALID);
	text.p[3] = '1';
	text.p[9] = '+';
	assert_int_equal(decode(mf_buf_slice(&text), &err), MF_E_INVALID);
	assert_string_equal(err.msg, "join token: not base64url; copy it again");
	uint8_t *big = malloc(MF_LIM_JOIN_TOKEN + 1);
	assert_non_null(big);
	memset(big, 'A', MF_LIM_JOIN_TOKEN + 1);
	assert_int_equal(decode(mf_slice(big, MF_LIM_JOIN_TOKEN + 1), &err), MF_E_TOOBIG);
	free(big);
}

/* Every single-field damage of the decoded bytes that leaves the base64 valid. */
static void
test_fields_do_not_add_up(void **state)
{
	MF_UNUSED(state);
	const struct mf_join_public p = sample();
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf raw;
	struct mf_err err = { 0 };
	encode(&p, &text);
	mf_buf_init(&raw, MF_LIM_JOIN_TOKEN);
	assert_int_equal(mf_base64url_get(mf_slice(text.p + 5, text.n - 6), &raw, NULL), MF_OK);
	for (int kind = 0; kind < 6; kind++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf f;
		mf_buf_init(&f, MF_LIM_JOIN_TOKEN);
		mf_buf_put_slice(&f, mf_buf_slice(&raw));
		if (kind == 0)
			mf_buf_put_u8(&f, 0); /* one byte too many */
		else if (kind == 1)
			f.n--; /* one too few */
		else if (kind == 2)
			f.p[0] = 0xff; /* a length beyond everything */
		else if (kind == 3)
			f.p[1]--; /* a length that shifts the rest */
		else if (kind == 4)
			f.p[4] = 0; /* a NUL inside a string */
		else
			memset(f.p + f.n - 8, 0, 8); /* never expires, or always: refused */
		mf_buf_reset(&text);
		mf_buf_put_str(&text, "mft1.");
		mf_base64url_put(&text, mf_buf_slice(&f));
		mf_buf_put_str(&text, ".");
		assert_int_equal(decode(mf_buf_slice(&text), &err), MF_E_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_new_refuses),
		cmocka_unit_test(test_cut_and_altered),
		cmocka_unit_test(test_fields_do_not_add_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
