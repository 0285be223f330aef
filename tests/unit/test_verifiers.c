/*
 * Both ends of looking at evidence, without the processes: the notary's pool against verifiers that are right, slow, dead,
 * rude or of another build; and the verifier's side against a notary that is not one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/x509.h>
#include <unistd.h>

#include "broker/notary/verifiers.h"
#include "broker/verifier/judge.h"
#include "codec/x509_pop.h"
#include "os/seqpacket.h"
#include "pop_kit.h"

#define NOW INT64_C(1800000000)

struct world {
	struct mf_verifiers *v;
	struct mf_now now;
	unsigned asked;
	bool mute; /* the supervisor cannot be asked */
	struct {
		uint64_t ticket;
		bool said, good;
		char text[256];
		char attribute[128];
	} done[128];
	size_t n;
	struct mf_buf pem;
	EVP_PKEY *ca_key, *key;
	X509 *ca, *leaf;
};

static bool
on_start(void *ctx)
{
	struct world *w = ctx;
	w->asked += !w->mute;
	return !w->mute;
}

static void
on_done(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__Verified *said, const char *why)
{
	struct world *w = ctx;
	assert_true(w->n < MF_COUNT(w->done));
	w->done[w->n].ticket = ticket;
	w->done[w->n].said = said != NULL;
	w->done[w->n].good = said != NULL && said->good;
	(void)snprintf(w->done[w->n].text, sizeof(w->done[0].text), "%s", said == NULL ? why : said->reason);
	(void)snprintf(w->done[w->n].attribute, sizeof(w->done[0].attribute), "%s",
	    said == NULL || said->n_attributes == 0 ? "" : said->attributes[0]);
	w->n++;
}

static int
setup(void **state)
{
	static struct world w;
	static struct mf_slice rules[1];
	rules[0] = MF_SLICE_LIT("pool=subject.OU");
	w = (struct world) { .now = { NOW * 1000000, 1000 } };
	mf_buf_init(&w.pem, 65536);
	w.ca_key = mf_pop_key("P-256");
	w.key = mf_pop_key("P-256");
	const struct pop_cert ca = { .cn = "ca",
		.key = w.ca_key,
		.not_before_s = NOW - 1000,
		.not_after_s = NOW + 1000,
		.bc = "critical,CA:TRUE",
		.ku = "keyCertSign" };
	w.ca = mf_pop_cert(&ca);
	const struct pop_cert leaf = { .cn = "n",
		.ou = { "gpu" },
		.issuer = w.ca,
		.issuer_key = w.ca_key,
		.key = w.key,
		.not_before_s = NOW - 1000,
		.not_after_s = NOW + 1000 };
	w.leaf = mf_pop_cert(&leaf);
	mf_pop_pem(w.ca, &w.pem);
	const struct mf_verifiers_conf c = { .build_id = "b1",
		.anchors = mf_buf_slice(&w.pem),
		.rules = rules,
		.rules_n = 1,
		.start = on_start,
		.start_ctx = &w,
		.done = on_done,
		.ctx = &w };
	assert_int_equal(mf_verifiers_new(&c, &w.v, NULL), MF_OK);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	mf_verifiers_free(w->v);
	mf_buf_fini(&w->pem);
	X509_free(w->ca);
	X509_free(w->leaf);
	EVP_PKEY_free(w->ca_key);
	EVP_PKEY_free(w->key);
	return 0;
}

static bool
submit(struct world *w, uint64_t ticket)
{
	Mayfly__Roles__V1__VerifyEvidence e = MAYFLY__ROLES__V1__VERIFY_EVIDENCE__INIT;
	struct mf_buf der, key, sig;
	uint8_t hash[32] = { (uint8_t)ticket };
	char how[] = "x509pop";
	mf_buf_init(&der, 65536);
	mf_buf_init(&key, 65536);
	mf_buf_init(&sig, 65536);
	mf_pop_der(w->leaf, &der);
	mf_pop_key_pem(w->key, &key);
	assert_int_equal(mf_pop_sign(mf_buf_slice(&key), hash, &sig, NULL), MF_OK);
	ProtobufCBinaryData chain[1] = { { der.n, der.p } };
	e.attestor = how;
	e.certificates = chain;
	e.n_certificates = 1;
	e.signature = (ProtobufCBinaryData) { sig.n, sig.p };
	e.handshake_hash = (ProtobufCBinaryData) { sizeof(hash), hash };
	e.now = NOW;
	bool ok = mf_verifiers_submit(w->v, ticket, &e, w->now);
	mf_buf_fini(&der);
	mf_buf_fini(&key);
	mf_buf_fini(&sig);
	return ok;
}

/* A process: our end. */
static struct mf_seqpacket *
process(struct world *w)
{
	int fds[2];
	struct mf_seqpacket *s = NULL;
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 1u << 20, &s, NULL), MF_OK);
	mf_verifiers_link(w->v, fds[1], w->now);
	return s;
}

static void
say(struct mf_seqpacket *s, uint16_t type, const ProtobufCMessage *m)
{
	struct mf_buf b;
	mf_buf_init(&b, 65536);
	assert_int_equal(mf_pb_pack(m, &b, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_send(s, type, mf_buf_slice(&b), -1, NULL), MF_OK);
	mf_buf_fini(&b);
}

static void
hello(struct mf_seqpacket *s, const char *build)
{
	Mayfly__Roles__V1__VerifierHello h = MAYFLY__ROLES__V1__VERIFIER_HELLO__INIT;
	char text[32];
	(void)snprintf(text, sizeof(text), "%s", build);
	h.build_id = text;
	say(s, MF_MSG_VERIFIER_HELLO, &h.base);
}

/* What the real program does with what came. */
static void
work(struct mf_seqpacket *s)
{
	struct mf_judge *v = NULL;
	struct mf_buf answer;
	bool done = false;
	mf_buf_init(&answer, 65536);
	assert_int_equal(mf_judge_new(&v, NULL), MF_OK);
	hello(s, "b1");
	while (!done) {
		struct mf_packet p;
		assert_int_equal(mf_seqpacket_recv(s, &p, NULL), MF_OK);
		assert_int_equal(mf_judge_take(v, p.type, p.payload, p.fd >= 0, &done, &answer, NULL), MF_OK);
	}
	assert_int_equal(mf_seqpacket_send(s, MF_MSG_VERIFIED, mf_buf_slice(&answer), -1, NULL), MF_OK);
	mf_buf_fini(&answer);
	mf_judge_free(v);
}

static void
test_good(void **state)
{
	struct world *w = *state;
	int fds[MF_VERIFIERS_RUN];
	assert_true(submit(w, 7));
	assert_int_equal(w->asked, 1);
	assert_int_equal(mf_verifiers_fds(w->v, fds), 0);
	struct mf_seqpacket *s = process(w);
	assert_int_equal(mf_verifiers_fds(w->v, fds), 1);
	mf_verifiers_turn(w->v, w->now);
	assert_int_equal(w->n, 0);
	work(s);
	mf_verifiers_turn(w->v, w->now);
	assert_int_equal(w->n, 1);
	assert_int_equal(w->done[0].ticket, 7);
	if (!w->done[0].good)
		fail_msg("%s", w->done[0].text);
	assert_string_equal(w->done[0].attribute, "pool=gpu");
	mf_seqpacket_free(s);
	/* Another CA from now on: the same evidence is not good any more. */
	struct mf_buf other;
	mf_buf_init(&other, 65536);
	mf_buf_put_str(&other, "none\n");
	assert_int_equal(mf_verifiers_anchors(w->v, mf_buf_slice(&other), NULL), MF_OK);
	mf_buf_fini(&other);
	assert_true(submit(w, 8));
	s = process(w);
	work(s);
	mf_verifiers_turn(w->v, w->now);
	assert_int_equal(w->n, 2);
	assert_true(w->done[1].said && !w->done[1].good && w->done[1].text[0] != '\0');
	mf_seqpacket_free(s);
}

/* So many at a time, so many wait; each has its time, and one's trouble is not another's. */
static void
test_bounds(void **state)
{
	struct world *w = *state;
	uint64_t t = 0;
	while (submit(w, ++t))
		assert_true(t <= MF_VERIFIERS_RUN + MF_VERIFIERS_WAIT);
	assert_int_equal(t, MF_VERIFIERS_RUN + MF_VERIFIERS_WAIT + 1);
	assert_int_equal(w->asked, MF_VERIFIERS_RUN);
	struct mf_seqpacket *good = process(w), *dead = process(w), *hung = process(w);
	work(good);
	mf_seqpacket_free(dead);
	mf_verifiers_turn(w->v, w->now);
	assert_int_equal(w->n, 2);
	assert_true(w->done[0].good);
	assert_false(w->done[1].said);
	assert_non_null(strstr(w->done[1].text, "ended before"));
	assert_int_equal(w->asked, MF_VERIFIERS_RUN + 2); /* the next ones begin */
	w->now.mono_ms += MF_VERIFIERS_MS;
	mf_verifiers_turn(w->v, w->now);
	assert_int_equal(w->n, 2 + MF_VERIFIERS_RUN); /* those that ran, one of which never got a process */
	assert_non_null(strstr(w->done[2].text, "too long"));
	mf_seqpacket_free(good);
	mf_seqpacket_free(hung);
	/* A supervisor that cannot be asked: it waits, and goes on later. */
	w->mute = true;
	w->now.mono_ms += MF_VERIFIERS_MS;
	mf_verifiers_turn(w->v, w->now);
	unsigned asked = w->asked;
	w->mute = false;
	mf_verifiers_turn(w->v, w->now);
	assert_true(w->asked > asked);
	/* Processes that nobody waits for are let go. */
	mf_verifiers_free(w->v);
	w->v = NULL;
}

static void
test_rude(void **state)
{
	struct world *w = *state;
	Mayfly__Roles__V1__Verified good = MAYFLY__ROLES__V1__VERIFIED__INIT;
	Mayfly__Roles__V1__VerifyAnchors echo = MAYFLY__ROLES__V1__VERIFY_ANCHORS__INIT;
	good.good = true;
	for (unsigned i = 0; i < 6; i++) {
		assert_true(submit(w, i));
		struct mf_seqpacket *s = process(w);
		switch (i) {
		case 0: /* an answer before the hello */
			say(s, MF_MSG_VERIFIED, &good.base);
			break;
		case 1: /* of another build */
			hello(s, "b2");
			break;
		case 2: /* twice hello */
			hello(s, "b1");
			hello(s, "b1");
			break;
		case 3: /* what only the notary says */
			hello(s, "b1");
			say(s, MF_MSG_VERIFY_ANCHORS, &echo.base);
			break;
		case 4: /* no message at all */
			assert_int_equal(
			    mf_seqpacket_send(s, MF_MSG_VERIFIED, MF_SLICE_LIT("\xff\xff\xff"), -1, NULL),
			    MF_OK);
			break;
		default: /* with a descriptor */
			hello(s, "b1");
			assert_int_equal(
			    mf_seqpacket_send(s, MF_MSG_VERIFIED, mf_slice(NULL, 0), dup(0), NULL), MF_OK);
			break;
		}
		mf_verifiers_turn(w->v, w->now);
		assert_int_equal(w->n, i + 1);
		assert_false(w->done[i].said);
		assert_non_null(strstr(w->done[i].text, "protocol"));
		mf_seqpacket_free(s);
	}
	/* A process that nobody waits for. */
	struct mf_seqpacket *s = process(w);
	struct mf_packet p;
	assert_int_equal(mf_seqpacket_recv(s, &p, NULL), MF_E_CLOSED);
	mf_seqpacket_free(s);
}

/* The verifier against a notary that is not one, and evidence of a kind that it does not know. */
static void
test_verifier_side(void **state)
{
	MF_UNUSED(state);
	Mayfly__Roles__V1__VerifyAnchors a = MAYFLY__ROLES__V1__VERIFY_ANCHORS__INIT;
	Mayfly__Roles__V1__VerifyEvidence e = MAYFLY__ROLES__V1__VERIFY_EVIDENCE__INIT;
	struct mf_judge *v = NULL;
	struct mf_buf b, answer;
	bool done = false;
	char how[] = "tpm";
	mf_buf_init(&b, 65536);
	mf_buf_init(&answer, 65536);
	assert_int_equal(mf_judge_new(&v, NULL), MF_OK);
	e.attestor = how;
	assert_int_equal(mf_pb_pack(&e.base, &b, NULL), MF_OK);
	assert_int_equal(
	    mf_judge_take(v, MF_MSG_VERIFY_EVIDENCE, mf_buf_slice(&b), false, &done, &answer, NULL),
	    MF_E_STATE);
	assert_int_equal(
	    mf_judge_take(v, MF_MSG_VERIFIED, mf_slice(NULL, 0), false, &done, &answer, NULL), MF_E_DENIED);
	struct mf_buf anchors;
	mf_buf_init(&anchors, 65536);
	assert_int_equal(mf_pb_pack(&a.base, &anchors, NULL), MF_OK);
	assert_int_equal(
	    mf_judge_take(v, MF_MSG_VERIFY_ANCHORS, mf_buf_slice(&anchors), false, &done, &answer, NULL),
	    MF_OK);
	assert_false(done);
	assert_int_equal(
	    mf_judge_take(v, MF_MSG_VERIFY_ANCHORS, mf_buf_slice(&anchors), false, &done, &answer, NULL),
	    MF_E_STATE);
	assert_int_equal(
	    mf_judge_take(v, MF_MSG_VERIFY_EVIDENCE, mf_buf_slice(&b), false, &done, &answer, NULL), MF_OK);
	assert_true(done);
	Mayfly__Roles__V1__Verified *said = mayfly__roles__v1__verified__unpack(NULL, answer.n, answer.p);
	assert_non_null(said);
	assert_false(said->good);
	assert_non_null(strstr(said->reason, "does not know"));
	mayfly__roles__v1__verified__free_unpacked(said, NULL);
	mf_buf_fini(&anchors);
	mf_buf_fini(&b);
	mf_buf_fini(&answer);
	mf_judge_free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rude, setup, teardown),
		cmocka_unit_test(test_verifier_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
