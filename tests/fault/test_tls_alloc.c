/*
 * Each allocation of libssl and libcrypto fails once while contexts and sessions are made, hands are shaken and data goes, at either end: an
 * error with a text, or nothing at all; no end is open whose peer was not judged, no byte arrives that was not sent, and
 * whoever was to be refused is. The next session works.
 */
#include "unit/tls_kit.h"

#include <openssl/err.h>

#include "crypto/provider.h"
#include "ossl_fail.h"

#define ROUNDS 20000 /* more allocations than a session makes: a hang limit */
#define TURNS 20

struct end {
	struct mf_tls *t;
	struct mf_slice expect; /* the peer's certificate */
	bool refuse;
	int judged;
	struct mf_buf got;
	enum mf_status s;
	struct mf_err err;
};

static struct kit server, client;

static enum mf_status
judge(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct end *e = conn;
	MF_UNUSED(ctx);
	if (n != 1 || !mf_slice_eq(chain[0], e->expect) || e->refuse)
		return MF_FAIL(err, MF_E_DENIED, "not you");
	e->judged++;
	return MF_OK;
}

static enum mf_status
context(const struct kit *k, bool is_server, struct mf_tls_ctx **ret_c, struct mf_err *err)
{
	const struct mf_tls_config cfg = { .server = is_server,
		.chain = k->chain,
		.n_chain = 1,
		.key = mf_buf_slice(&k->key),
		.verify = judge };
	return mf_tls_ctx_new(&cfg, ret_c, err);
}

/* The first error of an end is what it says; afterwards only what it still has to send is taken from it. */
static void
note(struct end *e, enum mf_status s, const struct mf_err *err)
{
	if (s == MF_OK || e->s != MF_OK)
		return;
	assert_true(err->msg[0] != '\0');
	e->s = s;
	e->err = *err;
}

static bool
carry(struct end *from, struct end *to)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 1u << 20);
	note(from, mf_tls_pull(from->t, &b, &err), &err);
	if (b.n == 0 || to->s != MF_OK)
		return b.n > 0;
	note(to, mf_tls_feed(to->t, mf_buf_slice(&b), &err), &err);
	if (mf_tls_open(to->t)) {
		assert_int_equal(to->judged, 1);
		note(to, mf_tls_read(to->t, &to->got, &err), &err);
	}
	return true;
}

/* A handshake, 20,000 bytes down and one up. */
static void
converse(struct end *c, struct end *s)
{
	static uint8_t blob[20000];
	struct mf_err err = { 0 };
	bool said = false;
	memset(blob, 'm', sizeof(blob));
	for (int i = 0; i < TURNS; i++) {
		if (!said && mf_tls_open(s->t) && s->s == MF_OK) {
			said = true;
			note(s, mf_tls_write(s->t, mf_slice(blob, sizeof(blob)), &err), &err);
		}
		bool a = carry(c, s), b = carry(s, c);
		if (!a && !b && said)
			break;
	}
	if (mf_tls_open(c->t) && c->s == MF_OK) {
		note(c, mf_tls_write(c->t, MF_SLICE_LIT("u"), &err), &err);
		(void)carry(c, s);
	}
	mf_tls_close(c->t);
	(void)carry(c, s);
	for (size_t i = 0; i < c->got.n; i++)
		assert_int_equal(c->got.p[i], 'm');
	assert_true(c->got.n <= sizeof(blob) && s->got.n <= 1 && (s->got.n == 0 || s->got.p[0] == 'u'));
}

static bool refusing;

static enum mf_status
session(struct mf_tls_ctx *sc, struct mf_tls_ctx *cc, struct mf_err *err)
{
	struct end c = { .expect = server.chain[0] }, s = { .expect = client.chain[0], .refuse = refusing };
	MF_TRY(mf_tls_new(sc, &s, &s.t, err));
	enum mf_status st = mf_tls_new(cc, &c, &c.t, err);
	if (st != MF_OK) {
		mf_tls_free(s.t);
		return st;
	}
	mf_buf_init(&c.got, 1u << 20);
	mf_buf_init(&s.got, 1u << 20);
	converse(&c, &s);
	assert_false(refusing && (mf_tls_open(s.t) || s.got.n > 0));
	bool all = c.got.n == 20000 && s.got.n == 1;
	st = all ? MF_OK : s.s != MF_OK && s.s != MF_E_CLOSED ? s.s : c.s != MF_OK ? c.s : s.s;
	if (err != NULL && !all)
		*err = st == c.s && st != s.s ? c.err : s.err;
	mf_tls_free(c.t);
	mf_tls_free(s.t);
	mf_buf_fini(&c.got);
	mf_buf_fini(&s.got);
	return st;
}

static struct mf_tls_ctx *for_server, *for_client;

static enum mf_status
op_session(struct mf_err *err)
{
	return session(for_server, for_client, err);
}

/* A context that was made is a good one. */
static enum mf_status
op_contexts(struct mf_err *err)
{
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *sc = NULL;
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *cc = NULL;
	MF_TRY(context(&server, true, &sc, err));
	MF_TRY(context(&client, false, &cc, err));
	bool was = mf_ossl_spare(true);
	assert_int_equal(session(sc, cc, err), MF_OK);
	(void)mf_ossl_spare(was);
	return MF_OK;
}

static long
sweep(enum mf_status (*op)(struct mf_err *err), bool good, long step)
{
	struct mf_err err = { 0 };
	long n = 1;
	assert_int_equal(op(&err) == MF_OK, good);
	for (; n < ROUNDS; n += step) {
		err = (struct mf_err) { 0 };
		mf_ossl_fail(n);
		enum mf_status s = op(&err);
		bool reached = mf_ossl_failed();
		mf_ossl_fail(0);
		if (s == MF_OK ? !good : err.msg[0] == '\0' || (good && !reached))
			fail_msg("allocation %ld: status %d, \"%s\"", n, (int)s, err.msg);
		assert_int_equal(ERR_peek_error(), 0);
		if (!reached)
			break;
	}
	assert_in_range(n, 100, ROUNDS - 1);
	assert_int_equal(op(&err) == MF_OK, good);
	return n;
}

/* Steps: a change shifts them, so that other ones fail after it. */
static void
test_contexts(void **state)
{
	MF_UNUSED(state);
	print_message("contexts: up to the %ldth allocation\n", sweep(op_contexts, true, 67));
}

static void
test_sessions(void **state)
{
	MF_UNUSED(state);
	print_message("sessions: up to the %ldth allocation\n", sweep(op_session, true, 3));
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	refusing = true;
	(void)sweep(op_session, false, 11);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	kit_init(&server, "server");
	kit_init(&client, "client");
	assert_int_equal(context(&server, true, &for_server, NULL), MF_OK);
	assert_int_equal(context(&client, false, &for_client, NULL), MF_OK);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	kit_fini(&server);
	kit_fini(&client);
	mf_tls_ctx_free(for_server);
	mf_tls_ctx_free(for_client);
	return 0;
}

int
main(void)
{
	if (!mf_ossl_fail_init())
		return 1;
	mf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contexts),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
