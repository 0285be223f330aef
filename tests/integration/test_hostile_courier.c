/*
 * A courier that is owned, against the notary as it is run. What it can do then is a line of the threat model: it has the tokens
 * that it carries, may misdeliver them, and may lie about a revocation. What must hold all the same has a test each. The
 * rules of every request, every token and the whole log are looked at in the rig, in every test.
 */
#include "integration/cloud_rig.h"

#include <sys/socket.h>

static struct courier courier;

static int
setup(void **state)
{
	struct nrig *r = cr_new("https://sts.example", "");
	*state = r;
	cr_link(r, &courier);
	return 0;
}

static int
teardown(void **state)
{
	cr_end(*state, &courier);
	return 0;
}

static uint64_t
rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static int64_t
now_s(void)
{
	return mf_now().wall_us / 1000000;
}

static size_t
svids(struct nrig *r)
{
	return nr_count(r, MF_REC_SVID_ISSUED) + nr_count(r, MF_REC_SVID_RENEWED);
}

/* Ask, and what the courier is asked then. */
static Mayfly__Roles__V1__MintRequest *
asked(struct nrig *r)
{
	cr_ask(r, &r->peer[0]);
	return cr_next_mint(r, &courier);
}

/* An honest way, at the end of a test: all is as it was. */
static void
still_serves(struct nrig *r)
{
	if (courier.pkt == NULL)
		cr_link(r, &courier);
	Mayfly__Roles__V1__MintRequest *q = asked(r);
	cr_mints(&courier, q);
	if (cr_answer(r, &courier, &r->peer[0]) != CLOUD_GRANT)
		fail_msg("no token: %s", r->refusal);
	cr_free_mint(q);
}

static void
last_record(void *ctx, uint64_t index, const struct mf_record *rec)
{
	MF_UNUSED(rec);
	*(uint64_t *)ctx = index;
}

static uint64_t
log_end(struct nrig *r)
{
	uint64_t index = 0;
	nr_walk(r, last_record, &index);
	return index;
}

/* --- every message, in every state --- */

static bool
allowed(bool opened, uint16_t type, struct mf_slice payload)
{
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (type == MF_MSG_COURIER_HELLO)
		return false; /* of no build, or for a second time */
	return mf_role_decode(&mf_link_courier, MF_LINK_INNER, opened ? MF_LINK_OPEN : MF_LINK_HELLO, type,
		   payload, false, &row, &msg, NULL) == MF_OK;
}

static void
sent(struct nrig *r, bool opened, uint16_t type, struct mf_slice payload, int fd)
{
	bool may = fd < 0 && allowed(opened, type, payload);
	cr_connect(r, &courier);
	if (opened)
		cr_hello(&courier, mf_build_id());
	cr_raw(&courier, type, payload, fd);
	if (may) {
		nr_status(r);
		cr_turn(r, &courier);
		assert_non_null(courier.pkt);
	} else {
		CR_UNTIL(r, &courier, courier.pkt == NULL);
	}
}

/* A message that is not in the table, is the notary's to say, comes before the hello, is garbled or has a descriptor ends the link. */
static void
test_every_message_in_every_state(void **state)
{
	struct nrig *r = *state;
	static const char junk[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
	static uint8_t big[MF_PACKET_PAYLOAD_MAX];
	uint64_t end = log_end(r);
	for (uint16_t type = 0; type < 90; type++)
		for (unsigned opened = 0; opened < 2; opened++) {
			sent(r, opened, type, mf_slice(NULL, 0), -1);
			sent(r, opened, type, mf_slice(junk, sizeof(junk) - 1), -1);
		}
	for (uint16_t type = MF_MSG_COURIER_HELLO; type <= MF_MSG_CLOUD_FETCH_RESULT; type++) {
		sent(r, true, type, mf_slice(NULL, 0), open("/dev/null", O_RDWR | O_CLOEXEC));
		sent(r, true, type, mf_slice(big, sizeof(big)), -1);
	}
	assert_int_equal(log_end(r), end); /* none of it is a fact */
	assert_int_equal(courier.minted_in_all, 0);
	cr_job(r, 1);
	still_serves(r);
	assert_true(nr_told(r, "courier.link") > 0);
}

/* Datagrams that no role makes: too short for a header, with flags, longer than a message. */
static void
test_frames(void **state)
{
	struct nrig *r = *state;
	static uint8_t bytes[MF_LIM_IPC_MESSAGE + 4096];
	static const size_t sizes[] = { 0, 1, 3, 4, 5, MF_LIM_IPC_MESSAGE + 1, sizeof(bytes) };
	for (size_t i = 0; i < MF_COUNT(sizes); i++)
		for (unsigned flags = 0; flags < 2; flags++) {
			int big = 4 << 20;
			cr_connect(r, &courier);
			cr_hello(&courier, mf_build_id());
			int fd = mf_seqpacket_fd(courier.pkt);
			memset(bytes, 0xff, sizeof(bytes));
			bytes[0] = 0;
			bytes[1] = MF_MSG_MINT_RESULT;
			bytes[2] = bytes[3] = (uint8_t)flags;
			(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
			bool ok = sizes[i] == 4 && flags == 0; /* an empty result: nobody's */
			if (send(fd, bytes, sizes[i], MSG_NOSIGNAL) != (ssize_t)sizes[i])
				continue;
			if (ok)
				nr_status(r);
			else
				CR_UNTIL(r, &courier, courier.pkt == NULL);
		}
	cr_job(r, 1);
	still_serves(r);
}

static void
test_another_build(void **state)
{
	struct nrig *r = *state;
	cr_job(r, 1);
	cr_connect(r, &courier);
	cr_ask(r, &r->peer[0]); /* it has not said hello */
	assert_int_equal(cr_answer(r, &courier, &r->peer[0]), REFUSAL);
	cr_hello(&courier, "of another build");
	CR_UNTIL(r, &courier, courier.pkt == NULL);
	cr_ask(r, &r->peer[0]);
	assert_int_equal(cr_answer(r, &courier, &r->peer[0]), REFUSAL);
	assert_int_equal(courier.minted_in_all, 0);
	still_serves(r);
}

/* --- it cannot ask for an assertion, nor reach SVIDs or keys --- */

/* Results of each kind for things that nobody asked for: numbers guessed, copied, of another kind. */
static void
say_unasked(struct courier *c, uint64_t id)
{
	Mayfly__Roles__V1__MintRequest q = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	Mayfly__Roles__V1__CloudRevokeRequest v = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	Mayfly__Roles__V1__CloudProbeResult p = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
	Mayfly__Roles__V1__CloudFetchResult f = MAYFLY__ROLES__V1__CLOUD_FETCH_RESULT__INIT;
	q.mint_id = v.revoke_id = p.probe_id = f.fetch_id = id;
	q.ttl_s = CR_TTL_S;
	p.active = p.known = p.reachable = true;
	cr_mints(c, &q);
	cr_revoked(c, &v);
	cr_say(c, MF_MSG_CLOUD_PROBE_RESULT, &p.base);
	cr_say(c, MF_MSG_CLOUD_FETCH_RESULT, &f.base);
}

static void
test_it_can_ask_for_nothing(void **state)
{
	struct nrig *r = *state;
	static const uint64_t bases[] = { 0, UINT64_C(1) << 61, UINT64_C(1) << 62, UINT64_C(1) << 63,
		UINT64_MAX - 40 };
	cr_job(r, 1);
	size_t before = svids(r);
	uint64_t end = log_end(r);
	for (size_t i = 0; i < MF_COUNT(bases); i++)
		for (uint64_t k = 0; k < 40; k++)
			say_unasked(&courier, bases[i] + k);
	CR_UNTIL(r, &courier, courier.pkt == NULL || !mf_seqpacket_wants_write(courier.pkt));
	nr_status(r);
	cr_turn(r, &courier);
	assert_non_null(courier.pkt); /* noted, dropped */
	assert_int_equal(log_end(r), end);
	assert_int_equal(courier.minted_in_all + courier.revokes, 0);
	still_serves(r);
	/* One request of an attestor was one assertion; the identity's certificates are what they were. */
	assert_int_equal(courier.minted_in_all, 1);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_INTENT), 1);
	assert_int_equal(svids(r), before);
	assert_true(nr_told(r, "courier.unasked") > 0);
}

/* One result counts, the first; and none that comes before its request. */
static void
test_each_result_once(void **state)
{
	struct nrig *r = *state;
	cr_job(r, 1);
	Mayfly__Roles__V1__MintRequest *q = asked(r), next = *q;
	cr_mints(&courier, q);
	cr_mints(&courier, q);
	assert_int_equal(cr_answer(r, &courier, &r->peer[0]), CLOUD_GRANT);
	/* What it will be asked next it can guess. */
	next.mint_id++;
	cr_mints(&courier, &next);
	next.mint_id++;
	cr_mints(&courier, &next);
	nr_status(r);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 1);
	cr_ask_for(r, &r->peer[0], r->peer[0].lease, r->peer[0].epoch, "more");
	Mayfly__Roles__V1__MintRequest *second = cr_next_mint(r, &courier);
	/* A failure after a success, a success after a failure. */
	Mayfly__Roles__V1__MintResult no = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	no.mint_id = q->mint_id;
	cr_say(&courier, MF_MSG_MINT_RESULT, &no.base);
	no.mint_id = second->mint_id;
	no.error = (char *)(uintptr_t) "denied";
	cr_say(&courier, MF_MSG_MINT_RESULT, &no.base);
	cr_mints(&courier, second);
	assert_int_equal(cr_answer(r, &courier, &r->peer[0]), REFUSAL);
	nr_status(r);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 1);
	NR_UNTIL(r, nr_count(r, MF_REC_CLOUD_FAILED) == 1);
	assert_int_equal(nr_count(r, MF_REC_CLOUD_RECONCILED), 0);
	cr_free_mint(q);
	cr_free_mint(second);
}

/* --- invariant 2: lying about the expiry --- */

static void
test_a_lying_expiry(void **state)
{
	struct nrig *r = *state;
	cr_job(r, 1);
	const int64_t lies[] = { 0, -1, INT64_MIN, INT64_MAX, INT64_MAX / 1000000, now_s() - 1,
		now_s() + CR_TTL_S + 3600, now_s() + INT64_C(86400) * 400 };
	for (size_t i = 0; i < MF_COUNT(lies); i++) {
		uint8_t bytes[256];
		Mayfly__Roles__V1__MintRequest *q = asked(r);
		Mayfly__Roles__V1__MintResult m = cr_good(q, bytes);
		m.expires = lies[i];
		cr_say(&courier, MF_MSG_MINT_RESULT, &m.base);
		assert_int_equal(cr_answer(r, &courier, &r->peer[0]), REFUSAL);
		assert_non_null(strstr(r->refusal, "something else than was asked for"));
		NR_UNTIL(r, nr_count(r, MF_REC_CLOUD_RECONCILED) ==
				i + 1); /* the answer need not wait for the disk */
		cr_free_mint(q);
	}
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 0);
	/* It is taken back: it may be true. */
	Mayfly__Roles__V1__CloudRevokeRequest *v = cr_next_revoke(r, &courier);
	assert_true(v->n_deny > 0);
	assert_string_equal(v->deny[0]->tag, "mayfly-cred");
	cr_revoked(&courier, v);
	cr_free_revoke(v);
	still_serves(r);
}

/* --- what is no token --- */

static void
test_no_token(void **state)
{
	struct nrig *r = *state;
	static uint8_t big[MF_PACKET_PAYLOAD_MAX - 1024];
	static char longer[MF_PACKET_PAYLOAD_MAX / 2], control[] = "a\x01\nb\"}{", bearer[] = "canary-bearer";
	memset(longer, 'x', sizeof(longer) - 1);
	memset(big, 0x22, sizeof(big));
	cr_job(r, 1);
	for (unsigned i = 0; i < 7; i++) {
		uint8_t bytes[256];
		Mayfly__Roles__V1__CloudToken t = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
		Mayfly__Roles__V1__MintRequest *q = asked(r);
		Mayfly__Roles__V1__MintResult m = cr_good(q, bytes);
		bool good = false;
		if (i == 0)
			m.token.len = 0;
		else if (i == 1)
			m.token.len--;
		else if (i == 2)
			m.token = (ProtobufCBinaryData) { sizeof(big), big };
		else if (i == 3) {
			t.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_BEARER;
			t.access_token = bearer;
			m.token.len = mayfly__roles__v1__cloud_token__pack(&t, bytes);
		} else if (i == 4)
			memset(bytes, 0xff, sizeof(bytes));
		else {
			good = true; /* the token is one; texts that cannot be recorded are left out */
			m.principal = i == 5 ? longer : control;
			m.provider_request_id = m.provider_session = m.principal;
			if (i == 5)
				m.provider_session = m.provider_request_id = (char *)(uintptr_t) "";
		}
		cr_say(&courier, MF_MSG_MINT_RESULT, &m.base);
		assert_int_equal(cr_answer(r, &courier, &r->peer[0]), good ? CLOUD_GRANT : REFUSAL);
		cr_free_mint(q);
	}
	assert_int_equal(nr_count(r, MF_REC_CLOUD_ISSUED), 2);
	NR_UNTIL(r, nr_count(r, MF_REC_CLOUD_RECONCILED) == 5);
}

/* --- it may misdeliver --- */

/* Two jobs' tokens, exchanged: each is on record as what it was, so it is known who has which; nothing else comes of it. */
static void
test_misdelivered(void **state)
{
	struct nrig *r = *state;
	struct npeer *p = &r->peer[0];
	char lease[2][80];
	uint32_t epoch[2];
	for (unsigned i = 0; i < 2; i++) {
		cr_job(r, i + 1);
		(void)snprintf(lease[i], sizeof(lease[i]), "%s", p->lease);
		epoch[i] = p->epoch;
	}
	Mayfly__Roles__V1__MintRequest *q[2];
	for (unsigned i = 0; i < 2; i++) {
		cr_ask_for(r, p, lease[i], epoch[i], "data");
		q[i] = cr_next_mint(r, &courier);
	}
	uint8_t bytes[256];
	size_t granted = r->cloud_grants;
	for (unsigned i = 0; i < 2; i++) {
		Mayfly__Roles__V1__MintResult m = cr_good(q[1 - i], bytes);
		m.mint_id = q[i]->mint_id;
		cr_say(&courier, MF_MSG_MINT_RESULT, &m.base);
	}
	CR_UNTIL(r, &courier, r->cloud_grants == granted + 2); /* each was held to its record there */
	for (unsigned i = 0; i < 2; i++) {
		char session[80];
		struct nr_find f = { .serial = mf_slice_str(q[i]->credential_id) };
		(void)snprintf(session, sizeof(session), "canary-session-%s", q[1 - i]->credential_id);
		nr_sha256_hex(session, f.sha256);
		nr_walk(r, nr_is_cloud_issued, &f);
		assert_true(f.found);
	}
	/* The end of the one takes its own back; the other goes on until its own end. */
	(void)snprintf(p->lease, sizeof(p->lease), "%s", lease[0]);
	nr_end(r, p, 1);
	Mayfly__Roles__V1__CloudRevokeRequest *v = cr_next_revoke(r, &courier);
	assert_int_equal(v->n_deny, 1);
	cr_free_revoke(v);
	cr_free_mint(q[0]);
	cr_free_mint(q[1]);
}

/* --- invariant 3: results after the end, in each order --- */

static void
test_results_after_the_end(void **state)
{
	struct nrig *r = *state;
	for (unsigned i = 0; i < 6; i++) {
		cr_job(r, i + 1);
		Mayfly__Roles__V1__MintRequest *q = asked(r);
		size_t grants = r->cloud_grants;
		nr_end(r, &r->peer[0], i + 1);
		if (i % 2 == 0)
			NR_UNTIL(r, nr_count(r, MF_REC_LEASE_ENDED) == i + 1);
		cr_mints(&courier, q); /* at the same time, or later */
		if (i % 3 == 0)
			cr_mints(&courier, q);
		NR_UNTIL(r, nr_count(r, MF_REC_LEASE_ENDED) == i + 1);
		CR_UNTIL(r, &courier, cr_check_log(r) == 0);
		if (i % 2 == 0)
			assert_int_equal(r->cloud_grants, grants);
		/* Whatever became of it is taken back. */
		Mayfly__Roles__V1__CloudRevokeRequest *v = cr_next_revoke(r, &courier);
		assert_true(v->n_deny >= 1);
		cr_revoked(&courier, v);
		cr_free_revoke(v);
		CR_UNTIL(r, &courier, nr_count(r, MF_REC_REVOKE_COMPLETED) > i);
		cr_free_mint(q);
	}
}

/* --- it may lie about a revocation: what comes of that --- */

static void
dead_at(void *ctx, uint64_t index, const struct mf_record *rec)
{
	MF_UNUSED(index);
	if (rec->type != MF_REC_REVOKE_COMPLETED)
		return;
	int64_t *most = ctx;
	most[0] = rec->n[MF_RN_CLOUD_DEAD_AT] > most[0] ? rec->n[MF_RN_CLOUD_DEAD_AT] : most[0];
	most[1] = rec->n[MF_RN_CLOUD_LEVEL] > most[1] ? rec->n[MF_RN_CLOUD_LEVEL] : most[1];
}

static void
test_lies_about_revocations(void **state)
{
	struct nrig *r = *state;
	static const int64_t lies[] = { INT64_MAX, INT64_MIN, -1, 0 };
	for (unsigned i = 0; i < MF_COUNT(lies); i++) {
		Mayfly__Roles__V1__CloudRevokeResult m = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
		cr_job(r, i + 1);
		still_serves(r);
		nr_end(r, &r->peer[0], i + 1);
		Mayfly__Roles__V1__CloudRevokeRequest *v = cr_next_revoke(r, &courier);
		/* For others: never asked, the token's own number. */
		m.confirmed = true;
		m.revoke_id = v->revoke_id + 1;
		cr_say(&courier, MF_MSG_CLOUD_REVOKE_RESULT, &m.base);
		m.revoke_id = 0;
		cr_say(&courier, MF_MSG_CLOUD_REVOKE_RESULT, &m.base);
		nr_status(r);
		NR_UNTIL(r, nr_count(r, MF_REC_REVOKE_COMPLETED) == i);
		/* The highest level there is, and a time of its own. */
		m.revoke_id = v->revoke_id;
		m.level = UINT32_MAX;
		m.dead_at = lies[i];
		cr_say(&courier, MF_MSG_CLOUD_REVOKE_RESULT, &m.base);
		cr_say(&courier, MF_MSG_CLOUD_REVOKE_RESULT, &m.base);
		CR_UNTIL(r, &courier, nr_count(r, MF_REC_REVOKE_COMPLETED) == i + 1);
		cr_free_revoke(v);
	}
	int64_t most[2] = { 0, 0 };
	nr_walk(r, dead_at, most);
	assert_true(most[0] <= now_s() + CR_TTL_S); /* no later than it dies by itself */
	assert_int_equal(most[1], 2);
}

/* It says to wait for seven weeks, and is replaced: the new one is asked at once. */
static void
test_it_cannot_put_off_what_ends(void **state)
{
	struct nrig *r = *state;
	Mayfly__Roles__V1__CloudRevokeResult m = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	cr_job(r, 1);
	still_serves(r);
	nr_end(r, &r->peer[0], 1);
	Mayfly__Roles__V1__CloudRevokeRequest *v = cr_next_revoke(r, &courier);
	m.revoke_id = v->revoke_id;
	m.error = (char *)(uintptr_t) "throttled";
	m.retry_after_ms = UINT32_MAX;
	cr_say(&courier, MF_MSG_CLOUD_REVOKE_RESULT, &m.base);
	cr_free_revoke(v);
	nr_status(r);
	cr_link(r, &courier);
	v = cr_next_revoke(r, &courier);
	cr_revoked(&courier, v);
	cr_free_revoke(v);
	CR_UNTIL(r, &courier, nr_count(r, MF_REC_REVOKE_COMPLETED) == 1);
}

/* --- all at once --- */

static void
storm_step(struct nrig *r, uint64_t *s, unsigned *jobs)
{
	struct npeer *p = &r->peer[0];
	uint8_t bytes[300];
	Mayfly__Roles__V1__MintRequest *q = courier.mints == 0 ? NULL : courier.mint[rnd(s) % courier.mints];
	switch (rnd(s) % 12) {
	case 0:
		if (*jobs < 60) {
			nr_attach(r, p, ++*jobs, "7");
			(void)nr_answer(r, p);
		}
		break;
	case 1:
		if (p->lease[0] != '\0' && rnd(s) % 3 == 0)
			nr_end(r, p, *jobs);
		break;
	case 2:
	case 3:
	case 4:
		if (p->lease[0] != '\0')
			cr_ask(r, p);
		break;
	case 5:
	case 6:
		if (q != NULL)
			cr_mints(&courier, q);
		break;
	case 7:
		if (courier.revokes > 0)
			cr_revoked(&courier, courier.revoke[rnd(s) % courier.revokes]);
		break;
	case 8:
		say_unasked(&courier, q == NULL ? rnd(s) : q->mint_id + rnd(s) % 3);
		break;
	case 9:
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rnd(s);
		if (rnd(s) % 3 == 0)
			cr_raw(&courier, (uint16_t)(64 + rnd(s) % 6), mf_slice(bytes, rnd(s) % sizeof(bytes)),
			    -1);
		break;
	case 10:
		if (courier.pkt == NULL || rnd(s) % 8 == 0) {
			cr_forget(&courier);
			cr_link(r, &courier);
		}
		break;
	default:
		cr_turn(r, &courier);
		break;
	}
	if (courier.mints > CR_WAITING / 2 || courier.revokes > CR_WAITING / 2)
		cr_forget(&courier);
}

/* Whatever it does, in whatever order: the notary lives, every token is on record before, every intent is closed. */
static void
test_any_order(void **state)
{
	struct nrig *r = *state;
	unsigned jobs = 0;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		uint64_t s = seed * UINT64_C(0x9e3779b97f4a7c15);
		print_message("   seed %llu\n", (unsigned long long)seed);
		for (unsigned i = 0; i < 200; i++)
			storm_step(r, &s, &jobs);
	}
	cr_forget(&courier);
	cr_link(r, &courier);
	cr_job(r, 99);
	still_serves(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_every_message_in_every_state),
		TEST(test_frames),
		TEST(test_another_build),
		TEST(test_it_can_ask_for_nothing),
		TEST(test_each_result_once),
		TEST(test_a_lying_expiry),
		TEST(test_no_token),
		TEST(test_misdelivered),
		TEST(test_results_after_the_end),
		TEST(test_lies_about_revocations),
		TEST(test_it_cannot_put_off_what_ends),
		TEST(test_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
