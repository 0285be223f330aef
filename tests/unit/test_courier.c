/*
 * The courier, without its process: a fake notary at the one end, hostile providers on loopback at the other. Whatever they do,
 * every request gets one result, with the right word, and no byte of theirs in it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "base/limits.h"
#include "broker/courier/courier.h"
#include "fake_http.h"
#include "os/jlog.h"
#include "os/seqpacket.h"
#include "rpc/role_links.h"

static struct mf_http *http; /* once per process */

/* ---- the world ---- */

struct world {
	struct mf_courier *c;
	struct mf_seqpacket *notary;
	/* What the notary got. */
	struct {
		uint64_t id;
		uint16_t type;
		bool good;
		char word[32], reason[384];
		uint32_t retry_after_ms;
	} got[2048];
	size_t n;
	ProtobufCMessage *last;
};

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static struct mf_targets *
targets(unsigned port, unsigned other)
{
	Mayfly__Roles__V1__CloudConf conf = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	Mayfly__Roles__V1__CloudTarget t[4], *p[4];
	char url[4][64];
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		mayfly__roles__v1__cloud_target__init(&t[i]);
		p[i] = &t[i];
		t[i].endpoint = url[i];
		t[i].backend = text("aws-sts");
	}
	(void)snprintf(url[0], sizeof(url[0]), "http://127.0.0.1:%u", port);
	(void)snprintf(url[1], sizeof(url[1]), "https://127.0.0.1:%u", port);
	(void)snprintf(url[2], sizeof(url[2]), "http://127.0.0.1:%u/token", other == 0 ? port : other);
	(void)snprintf(url[3], sizeof(url[3]), "https://169.254.169.254:%u", port);
	t[0].name = text("t");
	t[1].name = text("tls");
	t[2].name = text("op");
	t[3].name = text("meta");
	t[0].loopback = t[1].loopback = t[2].loopback = t[3].loopback = true;
	t[0].access_key = text("AK");
	t[0].secret_key = text("SK");
	t[2].backend = text("oauth");
	t[2].flow = text("jwt-bearer");
	t[2].audience = text("https://op");
	conf.targets = p;
	conf.n_targets = MF_COUNT(t);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	struct mf_targets *made = NULL;
	struct mf_err err = { 0 };
	uint8_t *to = mf_buf_extend(&b, mayfly__roles__v1__cloud_conf__get_packed_size(&conf));
	(void)mayfly__roles__v1__cloud_conf__pack(&conf, to);
	if (mf_targets_new(mf_buf_slice(&b), &made, &err) != MF_OK)
		fail_msg("%s", err.msg);
	return made;
}

static void
link_up(struct world *w)
{
	int fds[2];
	mf_seqpacket_free(w->notary);
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[1], 8 << 20, &w->notary, NULL), MF_OK);
	assert_int_equal(mf_courier_connect(w->c, fds[0], NULL), MF_OK);
}

static struct world *
begin(unsigned port)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	assert_int_equal(mf_courier_new("build", http, targets(port, 0), &w->c, NULL), MF_OK);
	link_up(w);
	return w;
}

static void
end(struct world *w)
{
	mf_pb_free(w->last);
	mf_courier_free(w->c);
	mf_seqpacket_free(w->notary);
	free(w);
}

static void
note(struct world *w, uint16_t type, ProtobufCMessage *msg)
{
	const Mayfly__Roles__V1__MintResult *m = (const void *)msg;
	const Mayfly__Roles__V1__CloudRevokeResult *r = (const void *)msg;
	const Mayfly__Roles__V1__CloudProbeResult *p = (const void *)msg;
	const Mayfly__Roles__V1__CloudFetchResult *f = (const void *)msg;
	const char *word = "", *reason = "";
	if (type == MF_MSG_COURIER_HELLO) {
		assert_string_equal(
		    ((const Mayfly__Roles__V1__CourierHello *)(const void *)msg)->build_id, "build");
		mf_pb_free(msg);
		return;
	}
	assert_true(w->n < MF_COUNT(w->got));
	w->got[w->n].type = type;
	switch (type) {
	case MF_MSG_MINT_RESULT:
		w->got[w->n].id = m->mint_id;
		w->got[w->n].good = m->minted;
		w->got[w->n].retry_after_ms = m->retry_after_ms;
		word = m->error;
		reason = m->reason;
		break;
	case MF_MSG_CLOUD_REVOKE_RESULT:
		w->got[w->n].id = r->revoke_id;
		w->got[w->n].good = r->confirmed;
		word = r->error;
		reason = r->reason;
		break;
	case MF_MSG_CLOUD_PROBE_RESULT:
		w->got[w->n].id = p->probe_id;
		w->got[w->n].good = p->reachable;
		word = p->error;
		reason = p->reason;
		break;
	default:
		w->got[w->n].id = f->fetch_id;
		w->got[w->n].good = f->jwks.len > 0;
		word = f->error;
		reason = f->reason;
	}
	(void)snprintf(w->got[w->n].word, sizeof(w->got[0].word), "%s", word);
	(void)snprintf(w->got[w->n].reason, sizeof(w->got[0].reason), "%s", reason);
	assert_null(strstr(reason, "CANARY"));
	w->n++;
	mf_pb_free(w->last);
	w->last = msg;
}

static void
turn(struct world *w)
{
	uint32_t ms = mf_courier_tick(w->c, mf_now());
	struct mf_http_fd fd = { .fd = mf_courier_fd(w->c), .want_read = true };
	assert_int_equal(mf_http_wait(http, &fd, 1, ms > 20 ? 20 : ms, NULL), MF_OK);
	mf_courier_read(w->c, mf_now());
	for (;;) {
		struct mf_packet p;
		const struct mf_role_msg *row;
		ProtobufCMessage *msg = NULL;
		if (mf_seqpacket_recv(w->notary, &p, NULL) != MF_OK)
			return;
		assert_int_equal(mf_role_decode(&mf_link_courier, MF_LINK_INNER,
				     p.type == MF_MSG_COURIER_HELLO ? MF_LINK_HELLO : MF_LINK_OPEN, p.type,
				     p.payload, false, &row, &msg, NULL),
		    MF_OK);
		note(w, p.type, msg);
	}
}

/* Until ${n} results are there; a hang ends the test. */
static void
until(struct world *w, size_t n)
{
	uint64_t from = mf_now().mono_ms;
	while (w->n < n) {
		turn(w);
		if (mf_now().mono_ms - from > 120000)
			fail_msg("%zu results, %zu wanted", w->n, n);
	}
}

static void
say(struct world *w, uint16_t type, const ProtobufCMessage *m)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	assert_int_equal(mf_role_encode(&mf_link_courier, MF_LINK_INNER, type, m, false, &b, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_queue(w->notary, type, mf_buf_slice(&b), -1, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_flush(w->notary, NULL), MF_OK);
}

static void
mint(struct world *w, uint64_t id, const char *target, uint32_t timeout_ms)
{
	Mayfly__Roles__V1__MintRequest m;
	mf_backend_mint_request(&m);
	m.mint_id = id;
	m.target = text(target);
	m.timeout_ms = timeout_ms;
	say(w, MF_MSG_MINT_REQUEST, &m.base);
}

/* ---- providers ---- */

enum manner {
	GOOD,
	EMPTY,
	GARBAGE,
	HUGE_BODY,
	HUGE_HEAD,
	ENDLESS,
	CUT,
	REDIRECT,
	E500,
	E503,
	E429,
	SILENT,
	RESET
};

struct provider {
	_Atomic(enum manner) manner; /* the test changes it under the threads */
	atomic_size_t cut;
	atomic_bool stop;
	atomic_uint elsewhere; /* requests of a path that nobody should ask for */
};

static bool
answer(void *ctx, int conn, const char *head, struct mf_slice body)
{
	struct provider *p = ctx;
	static const char canary[] = "CANARY canary CANARY";
	char whole[8192];
	MF_UNUSED(body);
	if (strstr(head, "/elsewhere") != NULL)
		(void)atomic_fetch_add(&p->elsewhere, 1);
	switch ((enum manner)atomic_load(&p->manner)) {
	case GOOD:
		return mf_fake_http_reply(conn, "200 OK", NULL, mf_slice_str(mf_backend_kits[0].good));
	case EMPTY:
		return mf_fake_http_reply(conn, "200 OK", NULL, mf_slice(NULL, 0));
	case GARBAGE:
		return mf_fake_http_write(conn, canary, sizeof(canary)) && false;
	case HUGE_BODY:
		for (size_t i = 0;
		     i < 4096 && mf_fake_http_write(conn,
				     i == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n" : canary,
				     i == 0 ? 46 : sizeof(canary));
		     i++)
			for (size_t k = 0; k < 1024 && i > 0; k++)
				if (!mf_fake_http_write(conn, canary, sizeof(canary)))
					return false;
		return false;
	case HUGE_HEAD:
		(void)mf_fake_http_write(conn, "HTTP/1.1 200 OK\r\n", 17);
		for (size_t i = 0; i < 20000 && mf_fake_http_write(conn, "X-Canary: CANARY\r\n", 18); i++)
			;
		return false;
	case ENDLESS: /* a byte now and then */
		(void)mf_fake_http_write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 41);
		while (!atomic_load(&p->stop) && mf_fake_http_write(conn, "C", 1))
			(void)usleep(20000);
		return false;
	case CUT: {
		int n = snprintf(whole, sizeof(whole), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		    strlen(mf_backend_kits[0].good), mf_backend_kits[0].good);
		(void)mf_fake_http_write(conn, whole, p->cut < (size_t)n ? p->cut : (size_t)n);
		return false;
	}
	case REDIRECT:
		return mf_fake_http_reply(
		    conn, "307 Temporary Redirect", "Location: /elsewhere\r\n", mf_slice(NULL, 0));
	case E500:
		return mf_fake_http_reply(conn, "500 Oops", NULL, mf_slice_str(canary));
	case E503:
		return mf_fake_http_reply(conn, "503 Later", "Retry-After: 7\r\n",
		    MF_SLICE_LIT(
			"<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>"));
	case E429:
		return mf_fake_http_reply(conn, "429 Slow", NULL, mf_slice_str(canary));
	case SILENT:
		while (!atomic_load(&p->stop))
			(void)usleep(10000);
		return false;
	case RESET:
		break;
	}
	return false;
}

static void
test_mints(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = GOOD };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	struct world *w = begin(mf_fake_http_port(s));
	mint(w, 7, "t", 10000);
	until(w, 1);
	const Mayfly__Roles__V1__MintResult *m = (const void *)w->last;
	assert_true(m->minted);
	assert_int_equal(m->mint_id, 7);
	assert_string_equal(m->error, "");
	assert_true(m->token.len > 0);
	assert_string_equal(m->provider_session, "ASIAEXAMPLE");
	assert_int_equal(mf_fake_http_requests(s), 1);
	assert_int_equal(mf_courier_tasks(w->c), 0);
	end(w);
	mf_fake_http_free(s);
}

static void
test_hostile(void **state)
{
	MF_UNUSED(state);
	static const struct {
		enum manner manner;
		uint32_t timeout_ms;
		const char *want;
	} cases[] = {
		{ EMPTY, 10000, "unknown" },
		{ GARBAGE, 10000, "unknown" },
		{ HUGE_BODY, 30000, "unknown" },
		{ HUGE_HEAD, 30000, "unknown" },
		{ ENDLESS, 300, "unknown" },
		{ REDIRECT, 10000, "config" },
		{ E500, 10000, "unknown" },
		{ E503, 10000, "transient" },
		{ E429, 10000, "throttled" },
		{ SILENT, 300, "unknown" },
		{ RESET, 10000, "unknown" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct provider p = { .manner = cases[i].manner };
		struct mf_fake_http *s = mf_fake_http_new(answer, &p);
		struct world *w = begin(mf_fake_http_port(s));
		mint(w, 1, "t", cases[i].timeout_ms);
		until(w, 1);
		atomic_store(&p.stop, true);
		if (w->got[0].good || strcmp(w->got[0].word, cases[i].want) != 0)
			fail_msg("case %zu: %s: %s", i, w->got[0].word, w->got[0].reason);
		assert_int_equal(atomic_load(&p.elsewhere), 0);
		if (cases[i].manner == E503)
			assert_int_equal(w->got[0].retry_after_ms, 7000);
		end(w);
		mf_fake_http_free(s);
	}
}

/* The whole reply, cut at every byte of it: never minted, and said to be unknown, for it was asked for. */
static void
test_cut(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = CUT };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	size_t whole =
	    strlen(mf_backend_kits[0].good) + strlen("HTTP/1.1 200 OK\r\nContent-Length: 000\r\n\r\n");
	for (p.cut = 0; p.cut <= whole; p.cut++) {
		/* A new one each time: a lane would shut after five. */
		struct world *w = begin(mf_fake_http_port(s));
		mint(w, 1, "t", 10000);
		until(w, 1);
		if (w->got[0].good != (p.cut == whole) ||
		    (p.cut < whole && strcmp(w->got[0].word, "unknown") != 0))
			fail_msg("cut at %zu: %s: %s", p.cut, w->got[0].word, w->got[0].reason);
		end(w);
	}
	mf_fake_http_free(s);
}

/* A connection that was used before ends without a reply: it is not said again, which might make a second token. */
static void
test_said_once(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = GOOD };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	struct world *w = begin(mf_fake_http_port(s));
	for (unsigned i = 0; i < 3; i++) {
		atomic_store(&p.manner, GOOD);
		mint(w, 2 * i + 1, "t", 10000);
		until(w, 2 * i + 1);
		assert_true(w->got[2 * i].good);
		atomic_store(&p.manner, RESET);
		mint(w, 2 * i + 2, "t", 10000);
		until(w, 2 * i + 2);
		assert_string_equal(w->got[2 * i + 1].word, "unknown");
		assert_int_equal(mf_fake_http_requests(s), 2 * i + 2);
	}
	end(w);
	mf_fake_http_free(s);
}

static void
test_not_sent(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = GOOD };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	unsigned port = mf_fake_http_port(s);
	struct world *w = begin(port);
	mint(w, 1, "tls", 10000);  /* no TLS there */
	mint(w, 2, "meta", 10000); /* an address that no provider has */
	mint(w, 3, "none", 10000);
	until(w, 3);
	for (size_t i = 0; i < 3; i++) {
		const char *want = w->got[i].id == 1 ? "transient" : "config";
		assert_false(w->got[i].good);
		if (strcmp(w->got[i].word, want) != 0)
			fail_msg("%u: %s: %s", (unsigned)w->got[i].id, w->got[i].word, w->got[i].reason);
		if (w->got[i].id == 2)
			assert_non_null(strstr(w->got[i].reason, "link-local"));
	}
	assert_int_equal(mf_fake_http_requests(s), 0);
	mf_fake_http_free(s);
	/* Nobody listens. */
	mint(w, 4, "t", 10000);
	until(w, 4);
	assert_string_equal(w->got[3].word, "transient");
	end(w);
}

static void
test_revoke_and_probe(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = EMPTY };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	struct world *w = begin(mf_fake_http_port(s));
	Mayfly__Roles__V1__CloudRevokeRequest r = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	Mayfly__Roles__V1__CloudProbeRequest q = MAYFLY__ROLES__V1__CLOUD_PROBE_REQUEST__INIT;
	r.revoke_id = 5;
	r.target = q.target = text("t");
	r.role = text("arn:aws:iam:::role/train");
	say(w, MF_MSG_CLOUD_REVOKE_REQUEST, &r.base);
	until(w, 1);
	assert_int_equal(w->got[0].id, 5);
	assert_false(w->got[0].good);
	assert_string_equal(w->got[0].word, "transient");
	p.manner = E500;
	q.probe_id = 6;
	say(w, MF_MSG_CLOUD_PROBE_REQUEST, &q.base);
	until(w, 2);
	assert_int_equal(w->got[1].type, MF_MSG_CLOUD_PROBE_RESULT);
	assert_true(w->got[1].good); /* something answered */
	end(w);
	mf_fake_http_free(s);
}

/* ---- the issuer's documents ---- */

struct issuer {
	char name[64];
	const char *discovery_issuer, *jwks_uri;
};

static bool
publish(void *ctx, int conn, const char *head, struct mf_slice body)
{
	struct issuer *i = ctx;
	char doc[512];
	MF_UNUSED(body);
	if (strncmp(head, "GET /td1/.well-known/openid-configuration ", 42) == 0) {
		(void)snprintf(doc, sizeof(doc), "{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}",
		    i->discovery_issuer == NULL ? i->name : i->discovery_issuer,
		    i->jwks_uri == NULL ? i->name : i->jwks_uri, i->jwks_uri == NULL ? "/keys" : "");
		return mf_fake_http_reply(conn, "200 OK", NULL, mf_slice_str(doc));
	}
	if (strncmp(head, "GET /td1/keys ", 14) == 0)
		return mf_fake_http_reply(conn, "200 OK", NULL, MF_SLICE_LIT("{\"keys\":[]}"));
	return mf_fake_http_reply(conn, "404 None", NULL, MF_SLICE_LIT("CANARY"));
}

static void
test_fetch(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *issuer, *jwks, *word;
		bool loopback;
	} cases[] = {
		{ NULL, NULL, "", true }, { "https://other.example", NULL, "issuer", true },
		{ NULL, "ftp://x/", "issuer", true }, { NULL, "http://127.0.0.1:1/keys", "transient", true },
		{ NULL, NULL, "config", false }, /* plain http */
	};
	for (size_t k = 0; k < MF_COUNT(cases); k++) {
		struct issuer i = { .discovery_issuer = cases[k].issuer, .jwks_uri = cases[k].jwks };
		struct mf_fake_http *s = mf_fake_http_new(publish, &i);
		(void)snprintf(i.name, sizeof(i.name), "http://127.0.0.1:%u/td1", mf_fake_http_port(s));
		struct world *w = begin(mf_fake_http_port(s));
		Mayfly__Roles__V1__CloudFetchRequest f = MAYFLY__ROLES__V1__CLOUD_FETCH_REQUEST__INIT;
		f.fetch_id = 9;
		f.issuer = i.name;
		f.loopback = cases[k].loopback;
		say(w, MF_MSG_CLOUD_FETCH_REQUEST, &f.base);
		until(w, 1);
		if (strcmp(w->got[0].word, cases[k].word) != 0)
			fail_msg("case %zu: %s: %s", k, w->got[0].word, w->got[0].reason);
		assert_int_equal(w->got[0].good, cases[k].word[0] == '\0');
		end(w);
		mf_fake_http_free(s);
	}
}

/* A person asks although the lane is shut, and that says nothing for others. */
static void
test_fetch_once(void **state)
{
	MF_UNUSED(state);
	struct world *w = begin(1);
	char nowhere[] = "http://127.0.0.1:1/td1";
	Mayfly__Roles__V1__CloudFetchRequest f = MAYFLY__ROLES__V1__CLOUD_FETCH_REQUEST__INIT;
	f.issuer = nowhere;
	f.loopback = true;
	for (f.fetch_id = 1; f.fetch_id <= 6; f.fetch_id++) {
		say(w, MF_MSG_CLOUD_FETCH_REQUEST, &f.base);
		until(w, (size_t)f.fetch_id);
	}
	assert_non_null(strstr(w->got[5].reason, "nothing was sent"));
	f.fetch_id = 7;
	f.once = true;
	say(w, MF_MSG_CLOUD_FETCH_REQUEST, &f.base);
	until(w, 7);
	assert_null(strstr(w->got[6].reason, "nothing was sent"));
	end(w);
}

/* ---- many ---- */

static bool
slow(void *ctx, int conn, const char *head, struct mf_slice body)
{
	MF_UNUSED(ctx);
	MF_UNUSED(head);
	MF_UNUSED(body);
	(void)usleep(2000);
	return mf_fake_http_reply(conn, "200 OK", NULL, mf_slice_str(mf_backend_kits[0].good));
}

static void
test_thousand(void **state)
{
	MF_UNUSED(state);
	struct mf_fake_http *s = mf_fake_http_new(slow, NULL);
	struct world *w = begin(mf_fake_http_port(s));
	static bool seen[1001];
	memset(seen, 0, sizeof(seen));
	for (uint64_t id = 1; id <= 1000; id++) {
		mint(w, id, "t", 120000);
		if (id % 50 == 0)
			turn(w);
	}
	until(w, 1000);
	for (size_t i = 0; i < 1000; i++) {
		assert_true(w->got[i].good);
		assert_true(w->got[i].id <= 1000 && !seen[w->got[i].id]);
		seen[w->got[i].id] = true;
	}
	assert_int_equal(mf_fake_http_requests(s), 1000);
	assert_true(mf_fake_http_most(s) <= MF_LANE_MOST);
	end(w);
	mf_fake_http_free(s);
}

static void
test_breaker(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = E500 };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	struct world *w = begin(mf_fake_http_port(s));
	for (uint64_t id = 1; id <= MF_LANE_FAILURES; id++) {
		mint(w, id, "t", 10000);
		until(w, id);
	}
	unsigned asked = mf_fake_http_requests(s);
	mint(w, 6, "t", 10000);
	until(w, 6);
	assert_string_equal(w->got[5].word, "transient");
	assert_true(w->got[5].retry_after_ms > 0);
	assert_non_null(strstr(w->got[5].reason, "HTTP 500"));
	assert_int_equal(mf_fake_http_requests(s), asked); /* nothing was sent */
	/* A removal is never turned away; and its success opens the lane. */
	p.manner = GOOD;
	Mayfly__Roles__V1__CloudRevokeRequest r = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	r.target = text("t");
	r.role = text("arn:aws:iam:::role/train");
	say(w, MF_MSG_CLOUD_REVOKE_REQUEST, &r.base);
	until(w, 7);
	mint(w, 8, "t", 10000);
	until(w, 8);
	assert_true(w->got[7].good);
	end(w);
	mf_fake_http_free(s);
}

static void
test_new_notary(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = SILENT };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	struct world *w = begin(mf_fake_http_port(s));
	for (uint64_t id = 1; id <= 40; id++)
		mint(w, id, "t", 60000);
	for (unsigned i = 0; i < 10; i++)
		turn(w);
	assert_int_equal(mf_courier_tasks(w->c), 40);
	link_up(w);
	assert_int_equal(mf_courier_tasks(w->c), 0);
	atomic_store(&p.stop, true);
	p.manner = GOOD;
	mint(w, 99, "t", 10000);
	until(w, 1);
	assert_int_equal(w->got[0].id, 99);
	/* Bytes that are no message end the link, nothing else. */
	assert_int_equal(
	    mf_seqpacket_send(w->notary, MF_MSG_MINT_REQUEST, MF_SLICE_LIT("\xff\xff"), -1, NULL), MF_OK);
	turn(w);
	assert_int_equal(mf_courier_fd(w->c), -1);
	end(w);
	mf_fake_http_free(s);
}

static void
test_reload(void **state)
{
	MF_UNUSED(state);
	struct provider p = { .manner = GOOD };
	struct mf_fake_http *s = mf_fake_http_new(answer, &p);
	struct world *w = begin(1); /* nobody listens there */
	assert_int_equal(mf_courier_reload(w->c, targets(mf_fake_http_port(s), 0), NULL), MF_OK);
	mint(w, 1, "t", 10000);
	until(w, 1);
	assert_true(w->got[0].good);
	end(w);
	mf_fake_http_free(s);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mf_http_new(&http, NULL) == MF_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_http_free(http);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mints),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_said_once),
		cmocka_unit_test(test_not_sent),
		cmocka_unit_test(test_revoke_and_probe),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_fetch_once),
		cmocka_unit_test(test_thousand),
		cmocka_unit_test(test_breaker),
		cmocka_unit_test(test_new_notary),
		cmocka_unit_test(test_reload),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
