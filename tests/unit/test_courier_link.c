/* The notary's second socket, with a fake courier at the other end (there is no real one yet). */
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_opens),
		cmocka_unit_test(test_other_build_is_refused),
		cmocka_unit_test(test_unasked_results_are_dropped),
		cmocka_unit_test(test_bad_bytes_end_the_link_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
