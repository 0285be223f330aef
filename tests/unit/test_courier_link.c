/* The notary's second socket, with a fake courier at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "broker/notary/courier_link.h"
#include "os/seqpacket.h"
#include "rpc/role_links.h"

#include "roles.pb-c.h"

struct pair {
	struct mf_courier_link *l;
	struct mf_seqpacket *courier;
};

static struct pair
connected(void)
{
	struct pair p = { 0 };
	int fds[2];
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_courier_link_new("build", &p.l, NULL), MF_OK);
	assert_int_equal(mf_courier_link_fd(p.l), -1);
	assert_int_equal(mf_courier_link_connect(p.l, fds[0], NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[1], 1 << 20, &p.courier, NULL), MF_OK);
	return p;
}

static void
done(struct pair *p)
{
	mf_courier_link_free(p->l);
	mf_seqpacket_free(p->courier);
}

static void
say(struct pair *p, uint16_t type, const ProtobufCMessage *msg)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	assert_int_equal(mf_role_encode(&mf_link_courier, MF_LINK_FRONT, type, msg, false, &b, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_send(p->courier, type, mf_buf_slice(&b), -1, NULL), MF_OK);
	mf_courier_link_read(p->l);
}

static void
hello(struct pair *p, const char *build)
{
	Mayfly__Roles__V1__CourierHello h = MAYFLY__ROLES__V1__COURIER_HELLO__INIT;
	char text[32] = "";
	strncpy(text, build, sizeof(text) - 1);
	h.build_id = text;
	say(p, MF_MSG_COURIER_HELLO, &h.base);
}

static void
test_hello_opens(void **state)
{
	MF_UNUSED(state);
	struct pair p = connected();
	assert_false(mf_courier_link_open(p.l));
	hello(&p, "build");
	assert_true(mf_courier_link_open(p.l));
	done(&p);
}

static void
test_other_build_is_refused(void **state)
{
	MF_UNUSED(state);
	struct pair p = connected();
	hello(&p, "another");
	assert_int_equal(mf_courier_link_fd(p.l), -1);
	done(&p);
}

static void
test_unasked_results_are_dropped(void **state)
{
	MF_UNUSED(state);
	struct pair p = connected();
	Mayfly__Roles__V1__MintResult r = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	hello(&p, "build");
	r.mint_id = 7;
	r.minted = true;
	say(&p, MF_MSG_MINT_RESULT, &r.base);
	assert_true(mf_courier_link_open(p.l));
	assert_int_equal(mf_courier_link_unasked(p.l), 1);
	done(&p);
}

static void
test_bad_bytes_end_the_link_only(void **state)
{
	MF_UNUSED(state);
	/* before the hello; the notary's own words; no protobuf; no such type */
	static const struct {
		uint16_t type;
		const char *bytes;
		bool greeted;
	} bad[] = { { MF_MSG_MINT_RESULT, "", false }, { MF_MSG_MINT_REQUEST, "", true },
		{ MF_MSG_MINT_RESULT, "\xff\xff", true }, { 999, "", true } };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct pair p = connected();
		if (bad[i].greeted)
			hello(&p, "build");
		assert_int_equal(
		    mf_seqpacket_send(p.courier, bad[i].type, mf_slice_str(bad[i].bytes), -1, NULL), MF_OK);
		mf_courier_link_read(p.l);
		assert_int_equal(mf_courier_link_fd(p.l), -1);
		done(&p);
	}
}

struct heard {
	size_t n;
	uint64_t fetch_id;
};

static void
hear(void *ctx, const Mayfly__Roles__V1__CloudFetchResult *r)
{
	struct heard *h = ctx;
	h->n++;
	h->fetch_id = r->fetch_id;
}

/* The question goes out when there is a courier, and what it read comes back; without one that is said. */
static void
test_fetch(void **state)
{
	MF_UNUSED(state);
	struct heard h = { 0 };
	struct mf_packet got;
	struct pair p = connected();
	Mayfly__Roles__V1__CloudFetchResult r = MAYFLY__ROLES__V1__CLOUD_FETCH_RESULT__INIT;
	assert_false(mf_courier_link_fetch(p.l, 3, "https://oidc.example.org/td1", false, false));
	hello(&p, "build");
	r.fetch_id = 3;
	say(&p, MF_MSG_CLOUD_FETCH_RESULT, &r.base);
	assert_int_equal(mf_courier_link_unasked(p.l), 1); /* nobody listens yet */
	mf_courier_link_on_fetched(p.l, hear, &h);
	for (unsigned i = 0; i < 2; i++) {
		const char *issuer = i == 0 ? "https://oidc.example.org/td1" : "http://127.0.0.1:8462/td1";
		assert_true(
		    mf_courier_link_fetch(p.l, 4 + i, issuer, strncmp(issuer, "http://", 7) == 0, false));
		mf_courier_link_write(p.l);
		assert_int_equal(mf_seqpacket_recv(p.courier, &got, NULL), MF_OK);
		assert_int_equal(got.type, MF_MSG_CLOUD_FETCH_REQUEST);
		Mayfly__Roles__V1__CloudFetchRequest *q =
		    mayfly__roles__v1__cloud_fetch_request__unpack(NULL, got.payload.n, got.payload.p);
		assert_non_null(q);
		assert_int_equal(q->fetch_id, 4 + i);
		assert_string_equal(q->issuer, issuer);
		assert_int_equal(q->loopback, i == 1);
		assert_true(q->timeout_ms > 0);
		mayfly__roles__v1__cloud_fetch_request__free_unpacked(q, NULL);
	}
	r.fetch_id = 5;
	say(&p, MF_MSG_CLOUD_FETCH_RESULT, &r.base);
	assert_int_equal(h.n, 1);
	assert_int_equal(h.fetch_id, 5);
	done(&p);
}

static unsigned minted_n, gone_n, here_n;
static uint64_t minted_id, revoked_id, probed_id;

static void
here(void *ctx)
{
	assert_ptr_equal(ctx, &minted_n);
	here_n++;
}

static void
minted(void *ctx, const Mayfly__Roles__V1__MintResult *m)
{
	assert_ptr_equal(ctx, &minted_n);
	minted_n++;
	minted_id = m->mint_id;
}

static void
revoked(void *ctx, const Mayfly__Roles__V1__CloudRevokeResult *m)
{
	assert_ptr_equal(ctx, &minted_n);
	revoked_id = m->revoke_id;
}

static void
probed(void *ctx, const Mayfly__Roles__V1__CloudProbeResult *m)
{
	assert_ptr_equal(ctx, &minted_n);
	probed_id = m->probe_id;
}

static void
gone(void *ctx)
{
	assert_ptr_equal(ctx, &minted_n);
	gone_n++;
}

static void
test_a_request_and_its_result(void **state)
{
	MF_UNUSED(state);
	static const struct mf_courier_mints ops = { here, minted, revoked, probed, gone };
	Mayfly__Roles__V1__MintRequest q = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	Mayfly__Roles__V1__MintResult r = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	char target[] = "lab";
	struct mf_packet packet;
	minted_n = gone_n = here_n = 0;
	struct pair p = connected();
	mf_courier_link_on_minted(p.l, &ops, &minted_n);
	q.mint_id = 7;
	q.target = target;
	assert_false(mf_courier_link_mint(p.l, &q)); /* it has not said hello */
	assert_int_equal(here_n, 0);
	hello(&p, "build");
	assert_int_equal(here_n, 1);
	assert_true(mf_courier_link_mint(p.l, &q));
	mf_courier_link_write(p.l);
	assert_false(mf_courier_link_wants_write(p.l));
	assert_int_equal(mf_seqpacket_recv(p.courier, &packet, NULL), MF_OK);
	assert_int_equal(packet.type, MF_MSG_MINT_REQUEST);
	Mayfly__Roles__V1__MintRequest *got =
	    mayfly__roles__v1__mint_request__unpack(NULL, packet.payload.n, packet.payload.p);
	assert_int_equal(got->mint_id, 7);
	assert_string_equal(got->target, "lab");
	mayfly__roles__v1__mint_request__free_unpacked(got, NULL);
	r.mint_id = 7;
	say(&p, MF_MSG_MINT_RESULT, &r.base);
	assert_int_equal(minted_n, 1);
	assert_int_equal(minted_id, 7);
	Mayfly__Roles__V1__CloudRevokeRequest back = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	Mayfly__Roles__V1__CloudRevokeResult done_back = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	back.revoke_id = done_back.revoke_id = 8;
	back.target = target;
	assert_true(mf_courier_link_revoke(p.l, &back));
	mf_courier_link_write(p.l);
	assert_int_equal(mf_seqpacket_recv(p.courier, &packet, NULL), MF_OK);
	assert_int_equal(packet.type, MF_MSG_CLOUD_REVOKE_REQUEST);
	say(&p, MF_MSG_CLOUD_REVOKE_RESULT, &done_back.base);
	assert_int_equal(revoked_id, 8);
	Mayfly__Roles__V1__CloudProbeRequest look = MAYFLY__ROLES__V1__CLOUD_PROBE_REQUEST__INIT;
	Mayfly__Roles__V1__CloudProbeResult seen = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
	look.probe_id = seen.probe_id = 9;
	look.target = target;
	assert_true(mf_courier_link_probe(p.l, &look));
	mf_courier_link_write(p.l);
	assert_int_equal(mf_seqpacket_recv(p.courier, &packet, NULL), MF_OK);
	assert_int_equal(packet.type, MF_MSG_CLOUD_PROBE_REQUEST);
	say(&p, MF_MSG_CLOUD_PROBE_RESULT, &seen.base);
	assert_int_equal(probed_id, 9);
	assert_int_equal(mf_courier_link_unasked(p.l), 0);
	/* It dies: once it is told, and nothing goes there any more. */
	mf_seqpacket_free(p.courier);
	p.courier = NULL;
	mf_courier_link_read(p.l);
	assert_int_equal(gone_n, 1);
	assert_false(mf_courier_link_mint(p.l, &q));
	done(&p);
	assert_int_equal(gone_n, 1);
	/* One that never said hello was asked nothing. */
	p = connected();
	mf_courier_link_on_minted(p.l, &ops, &minted_n);
	mf_seqpacket_free(p.courier);
	p.courier = NULL;
	mf_courier_link_read(p.l);
	assert_int_equal(gone_n, 1);
	done(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_opens),
		cmocka_unit_test(test_other_build_is_refused),
		cmocka_unit_test(test_unasked_results_are_dropped),
		cmocka_unit_test(test_bad_bytes_end_the_link_only),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_a_request_and_its_result),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
