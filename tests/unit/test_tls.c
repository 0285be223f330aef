#include <openssl/ssl.h>

#include "unit/tls_kit.h"

struct side {
	struct mf_slice expect; /* the peer's certificate; empty: anonymous */
	bool refuse;
	int asked;
};

static enum mf_status
verify(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct side *s = conn;
	MF_UNUSED(ctx);
	s->asked++;
	if (s->refuse)
		return MF_FAIL(err, MF_E_DENIED, "not you");
	if (s->expect.n == 0)
		return n == 0 ? MF_OK : MF_FAIL(err, MF_E_INVALID, "a certificate came");
	if (n != 1 || !mf_slice_eq(chain[0], s->expect))
		return MF_FAIL(err, MF_E_INVALID, "another certificate");
	return MF_OK;
}

struct pair {
	struct kit sk, ck;
	struct mf_tls_ctx *sc, *cc;
	struct mf_tls *s, *c;
	struct side ss, cs;
	enum mf_status s_status, c_status;
	struct mf_err s_err, c_err;
};

static void
pair_init(struct pair *p, bool client_cert)
{
	struct mf_err err = { 0 };
	*p = (struct pair) { 0 };
	kit_init(&p->sk, "server");
	kit_init(&p->ck, "client");
	p->sc = kit_ctx(&p->sk, true, verify, NULL);
	p->cc = kit_ctx(client_cert ? &p->ck : NULL, false, verify, NULL);
	p->cs.expect = p->sk.chain[0];
	if (client_cert)
		p->ss.expect = p->ck.chain[0];
	assert_int_equal(mf_tls_new(p->sc, &p->ss, &p->s, &err), MF_OK);
	assert_int_equal(mf_tls_new(p->cc, &p->cs, &p->c, &err), MF_OK);
}

static void
pair_fini(struct pair *p)
{
	mf_tls_ctx_free(p->sc); /* connections hold their own count */
	mf_tls_ctx_free(p->cc);
	mf_tls_free(p->s);
	mf_tls_free(p->c);
	kit_fini(&p->sk);
	kit_fini(&p->ck);
}

static bool
carry(struct mf_tls *from, struct mf_tls *to, size_t step, enum mf_status *status, struct mf_err *err)
{
	struct mf_buf b;
	struct mf_err ignored = { 0 };
	mf_buf_init(&b, 1u << 20);
	if (mf_tls_pull(from, &b, &ignored) != MF_OK)
		assert_int_equal(mf_tls_pull(from, &b, &ignored), MF_OK); /* the alert */
	bool any = b.n > 0;
	for (size_t at = 0; at < b.n && *status == MF_OK; at += step)
		*status = mf_tls_feed(to, mf_slice_sub(mf_buf_slice(&b), at, step), err);
	mf_buf_fini(&b);
	return any;
}

static void
pump(struct pair *p, size_t step)
{
	for (int i = 0; i < 100; i++) {
		bool a = carry(p->c, p->s, step, &p->s_status, &p->s_err);
		bool b = carry(p->s, p->c, step, &p->c_status, &p->c_err);
		if (!a && !b)
			return;
	}
	fail_msg("no end");
}

static void
say(struct mf_tls *from, struct mf_tls *to, size_t n)
{
	struct mf_buf msg, got;
	struct mf_err err = { 0 };
	enum mf_status s = MF_OK;
	mf_buf_init(&msg, 1u << 20);
	mf_buf_init(&got, 1u << 20);
	memset(mf_buf_extend(&msg, n), 'm', n);
	assert_int_equal(mf_tls_write(from, mf_buf_slice(&msg), &err), MF_OK);
	(void)carry(from, to, 1000, &s, &err);
	assert_int_equal(s, MF_OK);
	assert_int_equal(mf_tls_read(to, &got, &err), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&msg), mf_buf_slice(&got)));
	mf_buf_fini(&msg);
	mf_buf_fini(&got);
}

static void
test_mutual(void **state)
{
	MF_UNUSED(state);
	const size_t steps[] = { 1, 100, 65536 };
	for (size_t i = 0; i < MF_COUNT(steps); i++) {
		struct pair p;
		struct mf_err err = { 0 };
		struct mf_buf b;
		pair_init(&p, true);
		assert_int_equal(mf_tls_write(p.c, MF_SLICE_LIT("early"), &err), MF_E_STATE);
		pump(&p, steps[i]);
		assert_true(mf_tls_open(p.s));
		assert_true(mf_tls_open(p.c));
		assert_int_equal(p.ss.asked, 1);
		assert_int_equal(p.cs.asked, 1);
		say(p.c, p.s, 1);
		say(p.s, p.c, 100000);
		say(p.c, p.s, 16384);
		mf_tls_close(p.c);
		enum mf_status s = MF_OK;
		(void)carry(p.c, p.s, 65536, &s, &err);
		mf_buf_init(&b, 65536);
		assert_int_equal(mf_tls_read(p.s, &b, &err), MF_E_CLOSED);
		mf_buf_fini(&b);
		pair_fini(&p);
	}
}

static void
test_anonymous(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	pair_init(&p, false);
	pump(&p, 65536);
	assert_true(mf_tls_open(p.s));
	assert_int_equal(p.ss.asked, 1);
	say(p.c, p.s, 10);
	pair_fini(&p);

	pair_init(&p, false); /* and when the server wants none of it */
	p.ss.refuse = true;
	pump(&p, 65536);
	assert_int_equal(p.s_status, MF_E_DENIED);
	assert_string_equal(p.s_err.msg, "not you");
	assert_false(mf_tls_open(p.s));
	pair_fini(&p);
}

static void
test_refusals(void **state)
{
	MF_UNUSED(state);
	struct pair p;
	struct mf_err err = { 0 };
	pair_init(&p, true);
	p.cs.refuse = true;
	pump(&p, 65536);
	assert_int_equal(p.c_status, MF_E_DENIED);
	assert_int_equal(p.s_status, MF_E_INVALID); /* the alert */
	assert_false(mf_tls_open(p.s));
	assert_int_equal(mf_tls_feed(p.c, MF_SLICE_LIT("x"), &err), MF_E_CLOSED);
	pair_fini(&p);

	pair_init(&p, true);
	p.ss.refuse = true;
	pump(&p, 65536);
	assert_int_equal(p.s_status, MF_E_DENIED);
	assert_string_equal(p.s_err.msg, "not you");
	struct mf_buf b;
	mf_buf_init(&b, 65536);
	assert_int_equal(mf_tls_read(p.c, &b, &err), MF_E_INVALID); /* its handshake was done before */
	mf_buf_fini(&b);
	pair_fini(&p);

	pair_init(&p, true);
	assert_int_equal(mf_tls_feed(p.s, MF_SLICE_LIT("GET / HTTP/1.1\r\n\r\n"), &err), MF_E_INVALID);
	pair_fini(&p);
}

/* A client of OpenSSL's own, with what ours would never do. P-26 */
static void
test_foreign_clients(void **state)
{
	MF_UNUSED(state);
	static const unsigned char http1[] = "\x08http/1.1", h2[] = "\x02h2";
	const struct {
		int max_version;
		const unsigned char *alpn;
		unsigned alpn_n;
		bool ok;
	} cases[] = { { TLS1_3_VERSION, h2, 3, true }, { TLS1_2_VERSION, h2, 3, false },
		{ TLS1_3_VERSION, http1, 9, false }, { TLS1_3_VERSION, NULL, 0, false } };
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct pair p;
		pair_init(&p, false);
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		assert_int_equal(SSL_CTX_set_max_proto_version(ctx, cases[i].max_version), 1);
		if (cases[i].alpn != NULL)
			assert_int_equal(SSL_CTX_set_alpn_protos(ctx, cases[i].alpn, cases[i].alpn_n), 0);
		SSL *ssl = SSL_new(ctx);
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		SSL_set_bio(ssl, in, out);
		SSL_set_connect_state(ssl);
		enum mf_status s = MF_OK;
		for (int k = 0; k < 10 && s == MF_OK; k++) {
			unsigned char bytes[8192];
			(void)SSL_do_handshake(ssl);
			int n = BIO_read(out, bytes, sizeof(bytes));
			if (n > 0)
				s = mf_tls_feed(p.s, mf_slice(bytes, (size_t)n), &p.s_err);
			struct mf_buf b;
			mf_buf_init(&b, 1u << 20);
			if (mf_tls_pull(p.s, &b, &p.s_err) == MF_OK && b.n > 0)
				(void)BIO_write(in, b.p, (int)b.n);
			mf_buf_fini(&b);
		}
		assert_int_equal(s == MF_OK && mf_tls_open(p.s), cases[i].ok);
		/* no ticket: nothing to resume */
		if (cases[i].ok) {
			char none[1];
			(void)SSL_read(ssl, none, 1);
			assert_int_equal(SSL_SESSION_has_ticket(SSL_get0_session(ssl)), 0);
		}
		SSL_free(ssl);
		SSL_CTX_free(ctx);
		pair_fini(&p);
	}
}

/* A client of OpenSSL's own that changes its keys: a few times is its right, over and over is not. */
static void
test_key_updates(void **state)
{
	MF_UNUSED(state);
	for (int n = 16; n <= 17; n++) {
		struct pair p;
		struct mf_buf b;
		enum mf_status s = MF_OK;
		static const unsigned char h2[] = "\x02h2";
		unsigned char bytes[8192];
		pair_init(&p, false);
		mf_buf_init(&b, 1u << 20);
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		assert_int_equal(SSL_CTX_set_alpn_protos(ctx, h2, 3), 0);
		SSL *ssl = SSL_new(ctx);
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		SSL_set_bio(ssl, in, out);
		SSL_set_connect_state(ssl);
		for (int k = 0; k < 6 + n; k++) {
			if (k >= 6) /* connected by now */
				assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
			(void)SSL_do_handshake(ssl);
			int got = BIO_read(out, bytes, sizeof(bytes));
			if (got > 0)
				assert_int_equal(
				    mf_tls_feed(p.s, mf_slice(bytes, (size_t)got), &p.s_err), MF_OK);
			s = mf_tls_read(p.s, &b, &p.s_err);
			if (k < 5 + n)
				assert_int_equal(s, MF_OK);
			struct mf_buf answer;
			mf_buf_init(&answer, 1u << 20);
			if (mf_tls_pull(p.s, &answer, &p.s_err) == MF_OK && answer.n > 0)
				(void)BIO_write(in, answer.p, (int)answer.n);
			mf_buf_fini(&answer);
		}
		assert_int_equal(s, n == 16 ? MF_OK : MF_E_EXHAUSTED);
		assert_int_equal(mf_tls_open(p.s), n == 16);
		SSL_free(ssl);
		SSL_CTX_free(ctx);
		mf_buf_fini(&b);
		pair_fini(&p);
	}
}

static void
test_bad_identities(void **state)
{
	MF_UNUSED(state);
	struct kit a, b;
	struct mf_err err = { 0 };
	struct mf_tls_ctx *c = NULL;
	kit_init(&a, "a");
	kit_init(&b, "b");
	struct mf_tls_config cfg = { .server = true, .verify = verify };
	assert_int_equal(mf_tls_ctx_new(&cfg, &c, &err), MF_E_INVALID); /* a server without certificate */
	cfg.chain = a.chain;
	cfg.n_chain = 1;
	cfg.key = mf_buf_slice(&b.key);
	assert_int_equal(mf_tls_ctx_new(&cfg, &c, &err), MF_E_INVALID); /* another's key */
	cfg.key = MF_SLICE_LIT("rubbish");
	assert_int_equal(mf_tls_ctx_new(&cfg, &c, &err), MF_E_INVALID);
	cfg.key = mf_buf_slice(&a.key);
	mf_buf_put_u8(&a.cert, 0); /* a byte too many */
	a.chain[0] = mf_buf_slice(&a.cert);
	assert_int_equal(mf_tls_ctx_new(&cfg, &c, &err), MF_E_INVALID);
	kit_fini(&a);
	kit_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutual),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_foreign_clients),
		cmocka_unit_test(test_key_updates),
		cmocka_unit_test(test_bad_identities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
