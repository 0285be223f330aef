/* The agent's front towards the broker: a fake broker (TLS on loopback, NodeAgent/Session) and a fake attestor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/front/address.h"
#include "agent/front/outer_trust.h"
#include "crypto/hash.h"
#include "fake_broker.h"
#include "front_rig.h"

/* --- waiting --- */

static uint8_t pin[MF_SHA256_SIZE];

static void
set_pin(struct rig *r, struct mint *ca)
{
	mf_sha256(mf_mint_ca(ca), pin);
	r->cfg.ca_pin = mf_slice(pin, sizeof(pin));
}

/* Until ${*what} is ${at least}. */
static void
until_at_least(struct rig *r, const unsigned *what, unsigned at_least)
{
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; *what < at_least && mf_now().mono_ms < end;)
		mf_frig_turn(r);
	assert_true(*what >= at_least);
}

static uint64_t
metric(struct rig *r, const char *name)
{
	struct mf_buf page;
	char line[128];
	mf_buf_init(&page, 65536);
	assert_int_equal(mf_front_pages(r->front)[0].fill(r->front, &page), 200);
	(void)snprintf(line, sizeof(line), "\nmayfly_agent_%s ", name);
	const char *at = strstr(mf_buf_cstr(&page), line);
	assert_non_null(at);
	unsigned long long v = 0;
	assert_int_equal(sscanf(at + strlen(line), "%llu", &v), 1);
	mf_buf_fini(&page);
	return v;
}

static void
until_metric(struct rig *r, const char *name, uint64_t at_least)
{
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS;
	     metric(r, name) < at_least && mf_now().mono_ms < end;)
		mf_frig_turn(r);
	assert_true(metric(r, name) >= at_least);
}

static void
attestor_sends(struct rig *r, uint64_t sid, bool handshake, size_t n)
{
	static uint8_t body[MF_LIM_INNER_CHUNK + 17];
	Mayfly__Roles__V1__OuterData m = MAYFLY__ROLES__V1__OUTER_DATA__INIT;
	m.sid = sid;
	m.handshake = handshake;
	m.body = (ProtobufCBinaryData) { n, body };
	mf_frig_send(r, MF_MSG_OUTER_DATA_OUT, &m.base);
}

static void
certify_front(struct rig *r, const uint8_t *point, int64_t ttl_s, const char *path)
{
	Mayfly__Roles__V1__OuterCertificate m = MAYFLY__ROLES__V1__OUTER_CERTIFICATE__INIT;
	struct mf_buf chain;
	int64_t now_s = mf_now().wall_us / 1000000;
	mf_buf_init(&chain, 65536);
	(void)mf_mint_leaf(r->mint, path, point, now_s, now_s + ttl_s, &chain);
	m.chain = (ProtobufCBinaryData) { chain.n, chain.p };
	m.not_after = now_s + ttl_s;
	mf_frig_send(r, MF_MSG_OUTER_CERTIFICATE, &m.base);
	mf_buf_fini(&chain);
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

/* --- tests --- */

/* The joining lane: pinned CA, no client certificate; frames pass both ways as they are. */
static void
test_join(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	set_pin(r, r->mint);
	r->no_trust = r->no_session = true;
	mf_frig_start(r);
	until_at_least(r, &r->outer_opened, 1);
	until_at_least(r, &b->sessions, 1);
	assert_int_equal(b->without, 1);
	assert_int_equal(b->with_certificate, 0);
	until_at_least(r, &r->credits, 16);
	assert_int_equal(r->credits, 16);
	attestor_sends(r, r->sid, true, 96);
	until_at_least(r, &b->frames, 1);
	assert_int_equal(b->bytes, 96);
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; r->outer_in.n < 6 && mf_now().mono_ms < end;)
		mf_frig_turn(r);
	assert_true(mf_slice_eq_str(mf_buf_slice(&r->outer_in), "answer"));
	mf_fake_broker_send(b, MAYFLY__AGENT__V1__FRAME__KIND_DOCUMENT, "bundle");
	until_at_least(r, &r->documents, 1);
	assert_int_equal(r->credits, 16); /* a handshake message costs none */
	for (int i = 0; i < 8; i++)	  /* told half a window at a time */
		attestor_sends(r, r->sid, false, 1000);
	until_at_least(r, &r->credits, 24);
	assert_int_equal(r->credits, 24);
	assert_int_equal(metric(r, "outer_alarms_total"), 0);
	mf_fake_broker_free(b);
}

/* A server that is not the pinned CA's broker is refused before anything is said to it. */
static void
test_pin_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		bool other_pin, root;
		const char *path;
	} t[] = {
		{ true, false, "/mayfly/broker/b1" },  /* another CA, and it does not show which */
		{ true, true, "/default/job/x" },      /* another CA, and no broker */
		{ false, false, "/mayfly/broker/b1" }, /* does not show its CA */
		{ false, true, "/default/job/x" },     /* a job of the trust domain */
		{ false, true, "/mayfly/broker/a/b" },
		{ false, true, "/mayfly/brokerx" },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct rig *r = mf_frig_new();
		struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
		r->cfg.broker.port = b->port;
		struct mint *other = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
		mf_fake_broker_certify(b, t[i].path, t[i].root);
		set_pin(r, t[i].other_pin ? other : r->mint);
		r->no_trust = r->no_session = true;
		mf_frig_start(r);
		until_metric(r, "outer_failures_total", 2); /* it tries again */
		assert_int_equal(r->outer_opened, 0);
		assert_int_equal(b->sessions, 0);
		mf_fake_broker_free(b);
		mf_frig_free(r);
		mf_mint_free(other);
	}
}

/* A token of before the CA key was changed: alarmed, and the inner session decides, as for a node that has joined. */
static void
test_older_token(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	struct mint *other = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
	r->cfg.broker.port = b->port;
	set_pin(r, other);
	r->no_trust = r->no_session = true;
	mf_frig_start(r);
	until_at_least(r, &b->sessions, 1);
	assert_int_equal(metric(r, "outer_alarms_total"), 1);
	mf_fake_broker_free(b);
	mf_mint_free(other);
}

/* The CA key behind our certificate was revoked while we were away: the lane lets us in, to be certified anew. */
static void
test_certificate_refused(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	mf_frig_start(r);
	until_at_least(r, &r->outer_key, 1);
	until_at_least(r, &b->sessions, 1);
	b->refuses = true;
	unsigned before = b->without;
	certify_front(r, r->outer_point, 3600, "/mayfly/node/n-test");
	until_at_least(r, &b->with_certificate, 1);
	until_at_least(r, &b->without, before + 1);
	until_at_least(r, &b->sessions, 2);
	mf_fake_broker_free(b);
}

/* Without pin and bundle there is nobody to trust: it waits for the attestor's. */
static void
test_nothing_to_judge_by(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	r->no_trust = r->no_session = true;
	mf_frig_start(r);
	mf_frig_settle(r);
	assert_int_equal(metric(r, "outer_dials_total"), 0);
	mf_frig_trust(r, r->mint, 1);
	until_at_least(r, &r->outer_opened, 1);
	mf_fake_broker_free(b);
}

/* Design 6: after joining, a server certificate that does not verify is alarmed, and the inner session decides. */
static void
test_alarm(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	struct mint *other = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
	b->ca = other;
	mf_fake_broker_certify(b, "/mayfly/broker/b1", true);
	set_pin(r, other); /* what the token said counts no more once the bundle is known */
	mf_frig_start(r);
	until_at_least(r, &b->sessions, 1);
	assert_int_equal(metric(r, "outer_alarms_total"), 1);
	mf_frig_trust(r, other, 2); /* the inner session brought the bundle that explains it */
	mf_frig_settle(r);
	mf_net_listener_drain(b->ln);
	mf_mint_free(other);
	b->ca = r->mint;
	mf_fake_broker_free(b);
}

/* The broker goes and comes; jobs are served meanwhile. */
static void
test_reconnect(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	struct rig_client c;
	mf_frig_start(r);
	until_at_least(r, &b->sessions, 1);
	uint64_t first = r->sid;
	mf_frig_open(r, &c, &mf_frig_fetch);
	assert_non_null(mf_frig_next(&c));
	/* the stream ends, the connection stays (a notary's restart) */
	mf_grpc_finish(MF_TAKE(b->call), MF_GRPC_UNAVAILABLE, "the notary is being started");
	until_at_least(r, &r->outer_closed, 1);
	until_at_least(r, &b->sessions, 2);
	assert_true(r->sid > first);
	assert_int_equal(b->counters.accepted, 1);
	/* everything goes */
	mf_net_listener_free(MF_TAKE(b->ln));
	until_at_least(r, &r->outer_closed, 2);
	until_metric(r, "outer_failures_total", 3);
	assert_true(mf_frig_quiet(&c));
	mf_fake_broker_back(b);
	until_at_least(r, &b->sessions, 3);
	/* the attestor ends a stream (a new handshake is due) */
	Mayfly__Roles__V1__OuterClosed m = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
	unsigned told = r->outer_closed;
	uint64_t third = r->sid;
	m.sid = third;
	m.reason = (char *)(uintptr_t) "a day has passed";
	mf_frig_send(r, MF_MSG_OUTER_CLOSE_OUT, &m.base);
	until_at_least(r, &b->sessions, 4);
	until_at_least(r, &r->outer_opened, 4);
	assert_int_equal(r->outer_closed, told); /* it knows */
	attestor_sends(r, third, false, 10);	 /* of a stream that is over: dropped */
	mf_frig_settle(r);
	assert_int_equal(b->frames, 0);
	mf_frig_close(&c);
	mf_fake_broker_free(b);
}

/* The link dies: the stream ends, the connection outlives it, the new attestor gets a new stream. */
static void
test_attestor_restart(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	mf_frig_start(r);
	until_at_least(r, &b->sessions, 1);
	mf_frig_attestor_dies(r);
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; b->call != NULL && mf_now().mono_ms < end;)
		mf_frig_turn(r);
	assert_null(b->call);
	mf_frig_attestor(r);
	until_at_least(r, &b->sessions, 2);
	assert_int_equal(b->counters.accepted, 1);
	assert_int_equal(r->outer_closed, 0);
	mf_fake_broker_free(b);
}

/* The front's own certificate: it leaves the lane for it, renews it with new keys, refuses what is not ours. */
static void
test_outer_certificate(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	uint8_t first[65], wrong[65];
	mf_frig_start(r);
	until_at_least(r, &r->outer_key, 1);
	until_at_least(r, &b->sessions, 1);
	memcpy(first, r->outer_point, sizeof(first));
	/* for another key, of another place: not taken, asked again with a new key */
	memcpy(wrong, first, sizeof(wrong));
	wrong[64] ^= 1;
	certify_front(r, wrong, 3600, "/mayfly/node/n-test");
	until_at_least(r, &r->outer_key, 2);
	assert_true(memcmp(first, r->outer_point, sizeof(first)) != 0);
	certify_front(r, r->outer_point, 3600, "/default/job/x");
	until_at_least(r, &r->outer_key, 3);
	certify_front(r, r->outer_point, -10, "/mayfly/node/n-test");
	until_at_least(r, &r->outer_key, 4);
	assert_int_equal(metric(r, "outer_certificate_expiry_seconds"), 0);
	memcpy(first, r->outer_point, sizeof(first));
	certify_front(r, r->outer_point, 3, "/mayfly/node/n-test");
	until_metric(r, "outer_certificate_expiry_seconds", 1);
	until_at_least(r, &b->with_certificate, 1); /* the lane is left at once */
	assert_string_equal(b->client, "spiffe://example.org/mayfly/node/n-test");
	until_at_least(r, &b->sessions, 2);
	assert_int_equal(r->outer_closed, 1);
	until_at_least(r, &r->outer_key, 5); /* half-life */
	assert_true(memcmp(first, r->outer_point, sizeof(first)) != 0);
	certify_front(r, r->outer_point, 3600, "/mayfly/node/n-test");
	mf_frig_settle(r);
	assert_int_equal(b->sessions, 2); /* the stream that is open goes on */
	assert_int_equal(r->outer_closed, 1);
	mf_net_listener_free(MF_TAKE(b->ln));
	until_at_least(r, &r->outer_closed, 2);
	mf_fake_broker_back(b);
	until_at_least(r, &b->with_certificate, 2);
	until_at_least(r, &b->sessions, 3);
	mf_fake_broker_free(b);
}

/* The attestor has 16 chunks of credit; what a deaf broker does not take is kept, more than that ends the stream. */
static void
test_credit(void **state)
{
	struct rig *r = *state;
	struct fake_broker *b = mf_fake_broker_new(r->loop, r->mint);
	r->cfg.broker.port = b->port;
	b->deaf = true;
	mf_frig_start(r);
	until_at_least(r, &b->sessions, 1);
	uint64_t sid = r->sid;
	unsigned sent = 0;
	/* as long as there is credit */
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; mf_now().mono_ms < end;) {
		while (sent < r->credits) {
			attestor_sends(r, sid, false, MF_LIM_INNER_CHUNK + 17);
			mf_frig_turn(r); /* the rig's end of the link keeps no queue */
			sent++;
		}
		unsigned before = r->credits;
		mf_frig_settle(r);
		if (r->credits == before)
			break;
	}
	assert_int_equal(sent, r->credits);
	assert_true(sent >= 16);
	assert_int_equal(r->outer_closed, 0);
	/* the broker reads: all of it arrives, and all credit comes back */
	b->deaf = false;
	mf_grpc_resume(b->call);
	until_at_least(r, &b->frames, sent);
	until_at_least(r, &r->credits, sent + 9); /* at least half of the window at any time */
	assert_int_equal(b->bytes, (size_t)sent * (MF_LIM_INNER_CHUNK + 17));
	/* beyond the credit */
	b->deaf = true;
	mf_grpc_pause(b->call);
	for (unsigned i = 0; i < 200 && r->outer_closed == 0; i++) {
		attestor_sends(r, sid, false, MF_LIM_INNER_CHUNK + 17);
		mf_frig_turn(r);
	}
	assert_int_equal(r->outer_closed, 1);
	mf_fake_broker_free(b);
}

static void
test_addresses(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *text;
		size_t n;
	} t[] = {
		{ "127.0.0.1:8461", 1 },
		{ "[::1]:8461", 1 },
		{ "192.0.2.1:8461,[2001:db8::1]:8461,192.0.2.2:8461", 3 },
		{ "", 0 },
		{ "127.0.0.1", 0 },
		{ "127.0.0.1:", 0 },
		{ "127.0.0.1:0", 0 },
		{ "127.0.0.1:65536", 0 },
		{ "::1:8461", 0 },
		{ "127.0.0.1:8461,", 0 },
		{ "127.0.0.1:8461,127.0.0.2:8462", 0 },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_front_address a = { 0 };
		enum mf_status s = mf_front_address_parse(t[i].text, &a, NULL);
		if ((s == MF_OK) != (t[i].n > 0) || a.n != t[i].n)
			fail_msg("case %zu: %s", i, t[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_join),
		cmocka_unit_test(test_pin_refused),
		TEST(test_older_token),
		TEST(test_certificate_refused),
		TEST(test_nothing_to_judge_by),
		TEST(test_alarm),
		TEST(test_reconnect),
		TEST(test_attestor_restart),
		TEST(test_outer_certificate),
		TEST(test_credit),
		cmocka_unit_test(test_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
