/* The notary's workers against real initiators: sessions, lanes, credit, closing, hostile bytes, certificates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "broker/keys/broker_keys.h"
#include "broker/notary/crew.h"
#include "codec/x509_read.h"
#include "crypto/inner.h"

#define TD "example.org"
#define HANG_MS 60000u
#define BIG 100000u /* bytes: seven chunks */

static char ca_id[MF_CA_KEY_ID + 1]; /* of the crew that was made last */

struct crew {
	struct mf_broker_keys *keys;
	struct mf_ca_key *ca;
	struct mf_buf prologue;
	struct mf_mailbox *box;
	struct mf_crew *c;
	struct mf_list events; /* taken from the box, not looked at yet */
	uint64_t barrier;
};

/* An attestor. */
struct peer {
	uint64_t sid;
	struct mf_x25519 *key;
	struct mf_noise *noise;
	struct mf_inner *inner;
	uint8_t first[MF_NOISE_MESSAGE_1]; /* its handshake message */
};

static void
crew_init(struct crew *f, size_t threads, size_t max_sessions, uint64_t patience_ms)
{
	struct mf_broker_keys_conf kc = { TD, "b1", mf_now().wall_us / 1000000, 86400, 60, NULL };
	struct mf_err err = { 0 };
	*f = (struct crew) { 0 };
	mf_list_init(&f->events);
	mf_buf_init(&f->prologue, 1024);
	assert_int_equal(mf_broker_keys_make(&kc, &f->keys, NULL), MF_OK);
	assert_int_equal(mf_inner_prologue(MF_SLICE_LIT(TD), MF_SLICE_LIT("b1"), &f->prologue, NULL), MF_OK);
	assert_int_equal(mf_mailbox_new(true, &f->box, NULL), MF_OK);
	struct mf_crew_conf conf = { .threads = threads,
		.inner = f->keys->inner,
		.prologue = mf_buf_slice(&f->prologue),
		.max_sessions = max_sessions,
		.patience_ms = patience_ms,
		.inbox = f->box };
	if (mf_crew_new(&conf, &f->c, &err) != MF_OK)
		fail_msg("crew: %s", err.msg);
	if (mf_ca_key_make(TD, kc.now_s - 60, kc.now_s + 86400, &f->ca, &err) != MF_OK ||
	    mf_crew_add_key(f->c, TD, f->ca, &err) != MF_OK)
		fail_msg("CA key: %s", err.msg);
	memcpy(ca_id, f->ca->id, sizeof(ca_id));
}

static void
crew_fini(struct crew *f)
{
	mf_crew_free(f->c);
	(void)mf_mailbox_take(f->box, &f->events);
	MF_LIST_EACH(p, &f->events)
	{
		mf_list_del(p);
		mf_crew_event_free(MF_LIST_ITEM(p, struct mf_crew_event, at));
	}
	mf_mailbox_free(f->box);
	mf_broker_keys_free(f->keys);
	mf_ca_key_free(f->ca);
	mf_buf_fini(&f->prologue);
}

/* The next event of ${kind} and ${sid}, taken out of its row; the caller frees. NULL when ${wait} is false and none is there. */
static struct mf_crew_event *
event_of(struct crew *f, enum mf_crew_event_kind kind, uint64_t sid, bool wait)
{
	uint64_t end = mf_now().mono_ms + HANG_MS;
	mf_crew_push(f->c);
	(void)mf_mailbox_take(f->box, &f->events);
	for (;;) {
		MF_LIST_EACH(p, &f->events)
		{
			struct mf_crew_event *ev = MF_LIST_ITEM(p, struct mf_crew_event, at);
			if (ev->kind != kind || (kind != MF_CREW_SIGNED && ev->sid != sid))
				continue;
			mf_list_del(p);
			return ev;
		}
		if (!wait)
			return NULL;
		(void)mf_mailbox_wait(f->box, &f->events, 50);
		if (mf_now().mono_ms > end)
			fail_msg("no event %d of session %llu", (int)kind, (unsigned long long)sid);
	}
}

static struct mf_sign_request *
request(uint64_t ticket, const char *id)
{
	struct mf_sign_request *r = calloc(1, sizeof(*r));
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
	assert_non_null(r);
	assert_int_equal(mf_p256_generate(&key, NULL), MF_OK);
	mf_p256_public(key, r->point);
	memset(r->serial, 0x41, sizeof(r->serial));
	r->ticket = ticket;
	memcpy(r->key, ca_id, sizeof(ca_id));
	r->nbf = mf_now().wall_us / 1000000 - 30;
	r->exp = r->nbf + 1000;
	r->spiffe_id = strdup(id);
	r->cn = strdup("j-x");
	return r;
}

/* With one worker: everything given to the crew before this has been done. */
static void
barrier(struct crew *f)
{
	struct mf_sign_request *r = request(UINT64_C(1) << 60 | ++f->barrier, "spiffe://" TD "/barrier");
	uint64_t ticket = r->ticket;
	mf_crew_sign(f->c, r);
	for (bool done = false; !done;) {
		struct mf_crew_event *ev = event_of(f, MF_CREW_SIGNED, 0, true);
		done = ev->ticket == ticket;
		mf_crew_event_free(ev);
	}
}

static void
check_dead(struct crew *f, uint64_t sid, const char *reason)
{
	struct mf_crew_event *ev = event_of(f, MF_CREW_DEAD, sid, true);
	assert_string_equal(ev->reason, reason);
	mf_crew_event_free(ev);
}

static void
check_none(struct crew *f, enum mf_crew_event_kind kind, uint64_t sid)
{
	struct mf_crew_event *ev = event_of(f, kind, sid, false);
	if (ev != NULL)
		fail_msg("event %d of session %llu", (int)kind, (unsigned long long)sid);
}

static void
peer_init(struct crew *f, struct peer *p, uint64_t sid, struct mf_slice prologue)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf m;
	uint8_t notary[32];
	*p = (struct peer) { .sid = sid };
	mf_buf_init(&m, 1024);
	mf_x25519_public(f->keys->inner, notary);
	assert_int_equal(mf_x25519_generate(NULL, &p->key, NULL), MF_OK);
	const struct mf_noise_conf nc = { MF_NOISE_INITIATOR, prologue, p->key, notary, NULL, 0 };
	assert_int_equal(mf_noise_new(&nc, &p->noise, NULL), MF_OK);
	assert_int_equal(mf_noise_write(p->noise, mf_slice(NULL, 0), &m, NULL), MF_OK);
	assert_int_equal(m.n, sizeof(p->first));
	memcpy(p->first, m.p, m.n);
}

static void
peer_fini(struct peer *p)
{
	mf_noise_free(p->noise);
	mf_inner_free(p->inner);
	mf_x25519_free(p->key);
}

/* Until both ends are ready. */
static void
peer_begin(struct crew *f, struct peer *p, uint64_t sid)
{
	peer_init(f, p, sid, mf_buf_slice(&f->prologue));
	mf_crew_data(f->c, sid, true, mf_slice(p->first, sizeof(p->first)));
	struct mf_crew_event *ev = event_of(f, MF_CREW_HANDSHAKE, sid, true);
	assert_int_equal(mf_noise_read(p->noise, mf_buf_slice(&ev->bytes), NULL, NULL), MF_OK);
	mf_crew_event_free(ev);
	assert_int_equal(mf_inner_new(MF_TAKE(p->noise), &p->inner, NULL), MF_OK);
}

static void
say_bytes(struct crew *f, struct peer *p, struct mf_slice message)
{
	assert_int_equal(mf_inner_send(p->inner, MF_INNER_BOUNDED, 0, message, NULL), MF_OK);
	while (mf_inner_pending(p->inner)) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, MF_INNER_SEALED_MAX);
		assert_int_equal(mf_inner_next(p->inner, &b, NULL), MF_OK);
		mf_crew_data(f->c, p->sid, false, mf_buf_slice(&b));
	}
}

/* An End whose key has ${n} bytes: a message of nearly that size. */
static void
say(struct crew *f, struct peer *p, uint64_t request_id, size_t n)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__End end = MAYFLY__AGENT__V1__END__INIT;
	char *key = malloc(n + 1);
	assert_non_null(key);
	memset(key, 'k', n);
	key[n] = '\0';
	end.instance_key = key;
	up.request_id = request_id;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_END;
	up.end = &end;
	size_t size = mayfly__agent__v1__up__get_packed_size(&up);
	uint8_t *bytes = malloc(size);
	assert_non_null(bytes);
	(void)mayfly__agent__v1__up__pack(&up, bytes);
	say_bytes(f, p, mf_slice(bytes, size));
	free(bytes);
	free(key);
}

static void
check_up(struct crew *f, const struct peer *p, uint64_t request_id, size_t n)
{
	uint8_t key[32];
	struct mf_crew_event *ev = event_of(f, MF_CREW_UP, p->sid, true);
	mf_x25519_public(p->key, key);
	assert_memory_equal(ev->remote, key, sizeof(key));
	assert_int_equal(ev->up->request_id, request_id);
	assert_int_equal(strlen(ev->up->end->instance_key), n);
	mf_crew_event_free(ev);
}

/* A message of ${n} letters ${c} for the peer; the crew does not look into it. */
static void
tell(struct crew *f, uint64_t sid, char c, size_t n, enum mf_engine_lane lane, uint64_t coalesce)
{
	char *text = malloc(n);
	assert_non_null(text);
	memset(text, c, n);
	mf_crew_send(f->c, sid, mf_slice(text, n), lane, coalesce);
	free(text);
}

/* Feed the peer one sealed chunk: the letter of the message it completed, 0 when it goes on. */
static char
hear(struct crew *f, struct peer *p, size_t *ret_n)
{
	struct mf_crew_event *ev = event_of(f, MF_CREW_SEALED, p->sid, true);
	enum mf_inner_lane lane;
	struct mf_slice m = { 0 };
	enum mf_status s = mf_inner_feed(p->inner, mf_buf_slice(&ev->bytes), &lane, &m, NULL);
	mf_crew_event_free(ev);
	if (s == MF_E_AGAIN)
		return 0;
	assert_int_equal(s, MF_OK);
	if (ret_n != NULL)
		*ret_n = m.n;
	return (char)m.p[0];
}

static size_t
sealed_now(struct crew *f, uint64_t sid)
{
	size_t n = 0;
	for (struct mf_crew_event *ev; (ev = event_of(f, MF_CREW_SEALED, sid, false)) != NULL; n++)
		mf_crew_event_free(ev);
	return n;
}

static void
test_both_ways(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct peer p;
	size_t n = 0;
	crew_init(&f, 2, 100, 0);
	peer_begin(&f, &p, 7);
	say(&f, &p, 1, 20);
	check_up(&f, &p, 1, 20);
	say(&f, &p, 2, MF_LIM_INNER_MESSAGE - 100);
	say(&f, &p, 3, 1);
	check_up(&f, &p, 2, MF_LIM_INNER_MESSAGE - 100);
	check_up(&f, &p, 3, 1);
	mf_crew_credit(f.c, 7, 100);
	tell(&f, 7, 'a', BIG, MF_ENGINE_NORMAL, 0);
	tell(&f, 7, 'b', 1, MF_ENGINE_NORMAL, 0);
	char c;
	while ((c = hear(&f, &p, &n)) == 0)
		;
	assert_int_equal(c, 'a');
	assert_int_equal(n, BIG);
	assert_int_equal(hear(&f, &p, &n), 'b');
	peer_fini(&p);
	crew_fini(&f);
}

static void
test_credit(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct peer p;
	crew_init(&f, 1, 100, 0);
	peer_begin(&f, &p, 1);
	say(&f, &p, 1, 1);
	tell(&f, 1, 'a', BIG, MF_ENGINE_NORMAL, 0);
	barrier(&f);
	assert_int_equal(sealed_now(&f, 1), 0); /* none was given */
	mf_crew_credit(f.c, 1, 3);
	barrier(&f);
	assert_int_equal(sealed_now(&f, 1), 3);
	mf_crew_credit(f.c, 1, UINT32_MAX);
	mf_crew_credit(f.c, 1, UINT32_MAX); /* does not wrap */
	barrier(&f);
	assert_int_equal(sealed_now(&f, 1), 4);
	tell(&f, 1, 'b', BIG, MF_ENGINE_NORMAL, 0);
	barrier(&f);
	assert_int_equal(sealed_now(&f, 1), 7);
	peer_fini(&p);
	crew_fini(&f);
}

static void
test_removals_overtake(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct peer p;
	crew_init(&f, 1, 100, 0);
	peer_begin(&f, &p, 1);
	say(&f, &p, 1, 1);
	tell(&f, 1, 'a', BIG, MF_ENGINE_NORMAL, 0);
	tell(&f, 1, 'x', 10, MF_ENGINE_NORMAL, 5);
	tell(&f, 1, 'y', 10, MF_ENGINE_NORMAL, 5); /* replaces it */
	tell(&f, 1, 'R', 10, MF_ENGINE_REMOVAL, 0);
	mf_crew_credit(f.c, 1, 2);
	assert_int_equal(hear(&f, &p, NULL), 'R');
	assert_int_equal(hear(&f, &p, NULL), 0); /* the first of 'a' */
	tell(&f, 1, 'S', 10, MF_ENGINE_REMOVAL, 0);
	mf_crew_credit(f.c, 1, 100);
	assert_int_equal(hear(&f, &p, NULL), 'S'); /* in the middle of it */
	char c;
	while ((c = hear(&f, &p, NULL)) == 0)
		;
	assert_int_equal(c, 'a');
	assert_int_equal(hear(&f, &p, NULL), 'y');
	barrier(&f);
	assert_int_equal(sealed_now(&f, 1), 0);
	peer_fini(&p);
	crew_fini(&f);
}

/* Whoever has seen message 1, and even what came after it, gets nothing by saying it again. */
static void
test_replay(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct peer p;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	crew_init(&f, 1, 100, 0);
	peer_begin(&f, &p, 1);
	mf_crew_data(f.c, 2, true, mf_slice(p.first, sizeof(p.first)));
	mf_crew_event_free(event_of(&f, MF_CREW_HANDSHAKE, 2, true));
	mf_buf_init(&b, MF_INNER_SEALED_MAX);
	assert_int_equal(mf_inner_send(p.inner, MF_INNER_BOUNDED, 0, MF_SLICE_LIT("\x08\x01"), NULL), MF_OK);
	assert_int_equal(mf_inner_next(p.inner, &b, NULL), MF_OK);
	mf_crew_data(f.c, 2, false, mf_buf_slice(&b));
	check_dead(&f, 2, "a chunk does not verify");
	check_none(&f, MF_CREW_UP, 2);
	/* In its own session it counts once. */
	mf_crew_data(f.c, 1, false, mf_buf_slice(&b));
	mf_crew_event_free(event_of(&f, MF_CREW_UP, 1, true));
	mf_crew_data(f.c, 1, false, mf_buf_slice(&b));
	check_dead(&f, 1, "a chunk does not verify");
	check_none(&f, MF_CREW_UP, 1);
	peer_fini(&p);
	crew_fini(&f);
}

static void
test_garbage(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct peer p;
	uint8_t noise[200];
	crew_init(&f, 1, 100, 0);
	memset(noise, 0x5a, sizeof(noise));
	for (size_t n = 0; n < sizeof(noise); n += 32) {
		mf_crew_data(f.c, 100 + n, true, mf_slice(noise, n));
		check_dead(&f, 100 + n, "the handshake does not verify");
	}
	/* One that means another broker. */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf other;
	mf_buf_init(&other, 1024);
	assert_int_equal(mf_inner_prologue(MF_SLICE_LIT(TD), MF_SLICE_LIT("b2"), &other, NULL), MF_OK);
	peer_init(&f, &p, 5, mf_buf_slice(&other));
	mf_crew_data(f.c, 5, true, mf_slice(p.first, sizeof(p.first)));
	check_dead(&f, 5, "the handshake does not verify");
	peer_fini(&p);
	/* Sealed bytes that are none; a second handshake; a message of another protocol; one that is too long to begin with. */
	for (unsigned i = 0; i < 4; i++) {
		static const char *const why[] = { "a chunk does not verify", "a second handshake message",
			"a message that is not of the protocol", "a chunk does not verify" };
		peer_begin(&f, &p, 10 + i);
		if (i == 0)
			mf_crew_data(f.c, p.sid, false, mf_slice(noise, sizeof(noise)));
		if (i == 1)
			mf_crew_data(f.c, p.sid, true, mf_slice(p.first, sizeof(p.first)));
		if (i == 2)
			say_bytes(&f, &p, MF_SLICE_LIT("\xff\xff\xff"));
		if (i == 3)
			say(&f, &p, 1, 41500);
		check_dead(&f, p.sid, why[i]);
		/* It is forgotten: nothing more is heard of it or sent to it. */
		tell(&f, p.sid, 'a', 10, MF_ENGINE_NORMAL, 0);
		mf_crew_credit(f.c, p.sid, 10);
		mf_crew_data(f.c, p.sid, false, mf_slice(noise, sizeof(noise)));
		mf_crew_close(f.c, p.sid, true);
		barrier(&f);
		check_none(&f, MF_CREW_UP, p.sid);
		check_none(&f, MF_CREW_SEALED, p.sid);
		check_none(&f, MF_CREW_DEAD, p.sid);
		peer_fini(&p);
	}
	mf_crew_data(f.c, 999, false, mf_slice(noise, sizeof(noise)));
	barrier(&f);
	check_none(&f, MF_CREW_DEAD, 999);
	crew_fini(&f);
}

static void
test_closing(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct peer p;
	crew_init(&f, 1, 100, 0);
	peer_begin(&f, &p, 1);
	say(&f, &p, 1, 1);
	check_up(&f, &p, 1, 1);
	tell(&f, 1, 'a', BIG, MF_ENGINE_NORMAL, 0);
	mf_crew_close(f.c, 1, true);
	tell(&f, 1, 'b', 1, MF_ENGINE_NORMAL, 0); /* too late */
	say(&f, &p, 2, 1);			  /* and nobody listens */
	mf_crew_credit(f.c, 1, 6);
	barrier(&f);
	check_none(&f, MF_CREW_DEAD, 1);
	check_none(&f, MF_CREW_UP, 1);
	mf_crew_credit(f.c, 1, 6);
	check_dead(&f, 1, "closed");
	assert_int_equal(sealed_now(&f, 1), 7); /* all of it, and before the end was told */
	peer_fini(&p);
	/* At once, and silently. */
	peer_begin(&f, &p, 2);
	tell(&f, 2, 'a', BIG, MF_ENGINE_NORMAL, 0);
	mf_crew_close(f.c, 2, false);
	mf_crew_credit(f.c, 2, 100);
	barrier(&f);
	assert_int_equal(sealed_now(&f, 2), 0);
	check_none(&f, MF_CREW_DEAD, 2);
	peer_fini(&p);
	peer_begin(&f, &p, 3);
	mf_crew_close_all(f.c);
	say(&f, &p, 1, 1);
	barrier(&f);
	check_none(&f, MF_CREW_UP, 3);
	check_none(&f, MF_CREW_DEAD, 3);
	peer_fini(&p);
	crew_fini(&f);
}

static void
test_limits(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	struct peer p[3];
	crew_init(&f, 1, 2, 200);
	for (unsigned i = 0; i < 3; i++)
		peer_init(&f, &p[i], 1 + i, mf_buf_slice(&f.prologue));
	for (unsigned i = 0; i < 3; i++)
		mf_crew_data(f.c, 1 + i, true, mf_slice(p[i].first, sizeof(p[i].first)));
	check_dead(&f, 3, "too many sessions");
	/* Those that never say who they are make room again. */
	check_dead(&f, 1, "no message after the handshake");
	check_dead(&f, 2, "no message after the handshake");
	for (unsigned i = 0; i < 3; i++)
		peer_fini(&p[i]);
	/* As do those that do not read what they must before the end. */
	peer_begin(&f, &p[0], 4);
	say(&f, &p[0], 1, 1);
	tell(&f, 4, 'a', BIG, MF_ENGINE_NORMAL, 0);
	mf_crew_close(f.c, 4, true);
	check_dead(&f, 4, "closed, and its peer does not read");
	peer_fini(&p[0]);
	/* Nobody may make us hold more than a session's queue. */
	peer_begin(&f, &p[0], 5);
	say(&f, &p[0], 1, 1);
	for (size_t i = 0; i < MF_LIM_INNER_QUEUE / 1000000 + 1; i++)
		tell(&f, 5, 'a', 1000000, MF_ENGINE_NORMAL, 0);
	check_dead(&f, 5, "its peer takes nothing any more");
	peer_fini(&p[0]);
	crew_fini(&f);
}

static void
test_certificates(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	MF_AUTO(mf_anchors_free) struct mf_anchors *anchors = NULL;
	crew_init(&f, 2, 10, 0);
	assert_int_equal(
	    mf_anchors_new(MF_SLICE_LIT(TD), mf_buf_slice(&f.ca->certificate), &anchors, NULL), MF_OK);
	struct mf_sign_request *r = request(1, "spiffe://" TD "/default/job/j-x");
	struct mf_sign_request want = *r;
	r->dns = calloc(1, sizeof(*r->dns));
	assert_non_null(r->dns);
	r->dns[0] = strdup("job.example.org");
	r->dns_n = 1;
	mf_crew_sign(f.c, r);
	struct mf_crew_event *ev = event_of(&f, MF_CREW_SIGNED, 0, true);
	assert_true(ev->ok && ev->ticket == 1);
	struct mf_slice chain = mf_buf_slice(&ev->bytes);
	const struct mf_anchors *sets[] = { anchors };
	struct mf_svid svid = { 0 };
	struct mf_err err = { 0 };
	if (mf_svid_verify(&chain, 1, sets, 1, want.nbf + 1, &svid, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_memory_equal(svid.point, want.point, sizeof(want.point));
	assert_int_equal(svid.not_before_s, want.nbf);
	assert_int_equal(svid.not_after_s, want.exp);
	assert_string_equal(svid.serial, "41414141414141414141414141414141");
	assert_memory_equal(svid.sha256, ev->der_sha256, sizeof(svid.sha256));
	assert_int_not_equal(mf_svid_verify(&chain, 1, sets, 1, want.exp + 1, &svid, NULL), MF_OK);
	mf_svid_fini(&svid);
	mf_crew_event_free(ev);
	/* Fields that make no certificate: an answer all the same. */
	for (unsigned i = 0; i < 4; i++) {
		r = request(10 + i, i == 0 ? "https://" TD "/x" : "spiffe://" TD "/x");
		if (i == 1)
			memset(r->point + 1, 0xff, 64); /* not on the curve */
		if (i == 2)
			r->point[0] = 2;
		if (i == 3)
			memset(r->point, 0, sizeof(r->point));
		mf_crew_sign(f.c, r);
		ev = event_of(&f, MF_CREW_SIGNED, 0, true);
		assert_int_equal(ev->ticket, 10 + i);
		assert_false(ev->ok);
		mf_crew_event_free(ev);
	}
	crew_fini(&f);
}

/* Many sessions and certificates at a time: for the thread sanitizer above all. */
static void
test_crowd(void **state)
{
	MF_UNUSED(state);
	enum { PEERS = 24, ROUNDS = 20 };
	struct crew f;
	struct peer p[PEERS];
	crew_init(&f, 4, 1000, 0);
	for (unsigned i = 0; i < PEERS; i++) {
		peer_begin(&f, &p[i], 1 + i);
		mf_crew_credit(f.c, 1 + i, 1000);
	}
	for (unsigned k = 0; k < ROUNDS; k++)
		for (unsigned i = 0; i < PEERS; i++) {
			say(&f, &p[i], k, 10 + k * 100);
			tell(&f, 1 + i, (char)('a' + k), 20000, MF_ENGINE_NORMAL, 0);
			mf_crew_sign(f.c, request(k * PEERS + i, "spiffe://" TD "/x"));
		}
	for (unsigned i = 0; i < PEERS; i++)
		for (unsigned k = 0; k < ROUNDS; k++) {
			check_up(&f, &p[i], k, 10 + k * 100);
			assert_int_equal(hear(&f, &p[i], NULL), 0);
			assert_int_equal(hear(&f, &p[i], NULL), 'a' + k);
		}
	for (unsigned i = 0; i < PEERS * ROUNDS; i++) {
		struct mf_crew_event *ev = event_of(&f, MF_CREW_SIGNED, 0, true);
		assert_true(ev->ok);
		mf_crew_event_free(ev);
	}
	/* Stopped in the middle of it all. */
	for (unsigned i = 0; i < PEERS; i++) {
		say(&f, &p[i], 1, 1000);
		tell(&f, 1 + i, 'z', 20000, MF_ENGINE_NORMAL, 0);
		mf_crew_sign(f.c, request(i, "spiffe://" TD "/x"));
		if (i % 3 == 0)
			mf_crew_close(f.c, 1 + i, i % 2 == 0);
	}
	crew_fini(&f);
	for (unsigned i = 0; i < PEERS; i++)
		peer_fini(&p[i]);
}

/* What is done in the giver's thread and what workers do: each once, in order, and nothing that takes long is done here. */
static void
test_here(void **state)
{
	MF_UNUSED(state);
	struct crew f;
	uint64_t asked = 0, answered = 0, here = 0;
	crew_init(&f, 2, 8, 0);
	assert_false(mf_crew_here(f.c)); /* keys on their way: no short tasks */
	mf_crew_push(f.c);
	assert_false(mf_crew_here(f.c)); /* nothing to do */
	for (unsigned i = 0; i < 3; i++)
		mf_crew_sign(f.c, request(asked++, "spiffe://" TD "/x"));
	assert_false(mf_crew_here(f.c)); /* too many */
	for (unsigned i = 0; i < 3; i++, answered++)
		mf_crew_event_free(event_of(&f, MF_CREW_SIGNED, 0, true));
	for (unsigned i = 0; i < 3000; i++) {
		for (unsigned k = 0; k <= i % 3; k++)
			mf_crew_sign(f.c, request(asked++, "spiffe://" TD "/x"));
		if (mf_crew_here(f.c)) {
			here++;
			struct mf_crew_event *ev = event_of(&f, MF_CREW_SIGNED, 0, false);
			assert_non_null(ev); /* at once */
			assert_true(ev->ok);
			mf_crew_event_free(ev);
			answered++;
		} else {
			mf_crew_push(f.c);
		}
		while (i % 7 == 0 && answered < asked) {
			struct mf_crew_event *ev = event_of(&f, MF_CREW_SIGNED, 0, true);
			assert_true(ev->ok && ev->ticket < asked);
			mf_crew_event_free(ev);
			answered++;
		}
	}
	for (; answered < asked; answered++)
		mf_crew_event_free(event_of(&f, MF_CREW_SIGNED, 0, true));
	assert_null(event_of(&f, MF_CREW_SIGNED, 0, false));
	assert_true(here > 0);
	crew_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_removals_overtake),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_here),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
