/* What the notary's workers sign for others than sessions: JWT-SVIDs, and what errands sign with the signers that each worker keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "broker/notary/crew.h"
#include "codec/jws.h"
#include "crypto/jws_pub.h"

#define HANG_MS 60000u

struct crew {
	struct mf_x25519 *inner;
	struct mf_mailbox *box;
	struct mf_crew *c;
	struct mf_list events; /* taken from the box, not looked at yet */
};

static void
crew_init(struct crew *f, size_t threads)
{
	*f = (struct crew) { 0 };
	mf_list_init(&f->events);
	assert_int_equal(mf_x25519_generate(NULL, &f->inner, NULL), MF_OK);
	assert_int_equal(mf_mailbox_new(true, &f->box, NULL), MF_OK);
	const struct mf_crew_conf conf = {
		.threads = threads, .inner = f->inner, .max_sessions = 8, .inbox = f->box
	};
	assert_int_equal(mf_crew_new(&conf, &f->c, NULL), MF_OK);
}

static void
crew_fini(struct crew *f)
{
	mf_crew_free(f->c);
	assert_true(mf_list_empty(&f->events));
	assert_false(mf_mailbox_take(f->box, &f->events));
	mf_mailbox_free(f->box);
	mf_x25519_free(f->inner);
}

/* The next event of ${kind}; the caller frees. */
static struct mf_crew_event *
event_of(struct crew *f, enum mf_crew_event_kind kind)
{
	uint64_t end = mf_now().mono_ms + HANG_MS;
	mf_crew_push(f->c);
	for (;;) {
		MF_LIST_EACH(p, &f->events)
		{
			struct mf_crew_event *ev = MF_LIST_ITEM(p, struct mf_crew_event, at);
			if (ev->kind != kind)
				continue;
			mf_list_del(p);
			return ev;
		}
		(void)mf_mailbox_wait(f->box, &f->events, 50);
		if (mf_now().mono_ms > end)
			fail_msg("no event %d", (int)kind);
	}
}

static struct mf_jwt_request *
jwt_request(uint64_t ticket, struct mf_jws_key *key, const char *audience)
{
	struct mf_jwt_request *r = calloc(1, sizeof(*r));
	assert_non_null(r);
	r->ticket = ticket;
	r->key = mf_jws_key_ref(key);
	memset(r->jti, 'a', 32);
	r->iat = 1;
	r->exp = 2;
	r->spiffe_id = strdup("spiffe://example.org/x");
	r->audiences = calloc(1, sizeof(*r->audiences));
	assert_non_null(r->audiences);
	r->audiences[0] = strdup(audience);
	r->audiences_n = 1;
	return r;
}

/* Tokens of more keys than a worker keeps signers for, and one whose fields are wrong. */
static void
test_jwts(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct mf_jws_key *keys[12];
	crew_init(&f, 2);
	for (size_t k = 0; k < MF_COUNT(keys); k++)
		assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &keys[k], NULL), MF_OK);
	for (unsigned i = 0; i < 48; i++)
		mf_crew_sign_jwt(f.c, jwt_request(i, keys[i % MF_COUNT(keys)], i == 7 ? "" : "a"));
	for (unsigned i = 0; i < 48; i++) {
		struct mf_crew_event *ev = event_of(&f, MF_CREW_JWT);
		MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
		if (ev->ticket == 7) {
			assert_int_equal(ev->bytes.n, 0);
		} else {
			assert_int_equal(mf_jws_parse(mf_buf_slice(&ev->bytes), &jws, NULL), MF_OK);
			assert_true(mf_slice_eq_str(
			    mf_jws_kid(jws), mf_jws_key_kid(keys[ev->ticket % MF_COUNT(keys)])));
		}
		mf_crew_event_free(ev);
	}
	for (size_t k = 0; k < MF_COUNT(keys); k++)
		mf_jws_key_free(keys[k]);
	crew_fini(&f);
}

struct errand {
	struct mf_jws_key *key;
	struct mf_buf sig;
};

static void
sign_errand(void *arg, struct mf_jwt_signer *signers)
{
	struct errand *x = arg;
	struct mf_jws_signer *s = NULL, *again = NULL;
	bool kept = mf_jwt_signer_of(signers, x->key, &s, NULL) == MF_OK &&
		    mf_jwt_signer_of(signers, x->key, &again, NULL) == MF_OK && s == again;
	if (!kept || mf_jws_sign(s, MF_SLICE_LIT("input"), &x->sig, NULL) != MF_OK)
		mf_buf_reset(&x->sig); /* which verifies nowhere */
}

static struct mf_jws_pub *
pub_of(const struct mf_jws_key *k)
{
	struct mf_jws_public p = mf_jws_key_public(k);
	struct mf_jws_pub *pub = NULL;
	enum mf_status s = p.alg == MF_JWS_RS256 ? mf_jws_pub_rsa(p.n, p.e, &pub, NULL)
						 : mf_jws_pub_ec(MF_JWS_P256, mf_slice_sub(p.point, 1, 32),
						       mf_slice_sub(p.point, 33, 32), &pub, NULL);
	assert_int_equal(s, MF_OK);
	return pub;
}

/* Errands and tokens sign with the same keys at the same time, in all workers: each keeps a signer of its own. */
static void
test_errands_sign(void **state)
{
	MF_UNUSED(state);
	enum { ERRANDS = 96 };
	struct crew f;
	struct errand x[ERRANDS];
	struct mf_jws_key *keys[2];
	crew_init(&f, 4);
	assert_int_equal(mf_jws_key_generate(MF_JWS_RS256, &keys[0], NULL), MF_OK);
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &keys[1], NULL), MF_OK);
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *rsa = pub_of(keys[0]), *ec = pub_of(keys[1]);
	for (unsigned i = 0; i < ERRANDS; i++) {
		x[i].key = keys[i / 4 % 2];
		mf_buf_init(&x[i].sig, MF_JWS_SIG_MAX);
		mf_crew_errand(f.c, sign_errand, &x[i]);
		mf_crew_sign_jwt(f.c, jwt_request(i, keys[i / 4 % 2], "a"));
	}
	for (unsigned i = 0; i < ERRANDS; i++) {
		struct mf_crew_event *ev = event_of(&f, MF_CREW_DONE);
		struct errand *done = ev->arg;
		assert_int_equal(mf_jws_pub_verify(done->key == keys[0] ? rsa : ec, mf_jws_key_alg(done->key),
				     MF_SLICE_LIT("input"), mf_buf_slice(&done->sig), NULL),
		    MF_OK);
		mf_buf_reset(&done->sig); /* a second time would not verify */
		mf_crew_event_free(ev);
		MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
		ev = event_of(&f, MF_CREW_JWT);
		assert_int_equal(mf_jws_parse(mf_buf_slice(&ev->bytes), &jws, NULL), MF_OK);
		assert_int_equal(mf_jws_pub_verify(ev->ticket / 4 % 2 == 0 ? rsa : ec, mf_jws_alg(jws),
				     mf_jws_input(jws), mf_jws_sig(jws), NULL),
		    MF_OK);
		mf_crew_event_free(ev);
	}
	for (unsigned i = 0; i < ERRANDS; i++)
		mf_buf_fini(&x[i].sig);
	mf_jws_key_free(keys[0]);
	mf_jws_key_free(keys[1]);
	crew_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jwts),
		cmocka_unit_test(test_errands_sign),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
