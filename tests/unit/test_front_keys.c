/* The agent's front: how many keys a request for an identity brings, and a certificate that was revoked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/x509_peek.h"
#include "front_rig.h"

/* A first request offers as many keys as grants have used so far; if that is too few, all that a profile may have. */
static void
test_keys_offered(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_frig_new();
	struct rig_client c;
	static const struct {
		unsigned identities, attach, points;
	} steps[] = { { 1, 1, 4 }, { 1, 1, 1 }, { 3, 2, 4 }, { 2, 1, 3 }, { 1, 1, 3 } };
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_fetch);
	for (size_t i = 0; i < MF_COUNT(steps); i++) {
		r->identities = steps[i].identities;
		unsigned before = r->attach;
		if (i > 0)
			mf_frig_ended(r, r->handle, true);
		const ProtobufCMessage *m = mf_frig_next(&c);
		assert_non_null(m);
		assert_int_equal(((const X509SVIDResponse *)(const void *)m)->n_svids, steps[i].identities);
		assert_int_equal(r->attach - before, steps[i].attach);
		assert_int_equal(r->last_points, steps[i].points);
	}
	assert_false(r->point_twice);
	mf_frig_close(&c);
	mf_frig_free(r);
}

static void
serial_of(struct rig_client *c, char ret[64])
{
	struct mf_x509_peek leaf;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	mf_buf_init(&hex, 63);
	const ProtobufCMessage *m = mf_frig_next(c);
	assert_non_null(m);
	const X509SVID *s = ((const X509SVIDResponse *)(const void *)m)->svids[0];
	assert_int_equal(mf_x509_peek(mf_slice(s->x509_svid.data, s->x509_svid.len), &leaf, NULL), MF_OK);
	mf_hex_put(&hex, leaf.serial);
	assert_non_null(mf_buf_cstr(&hex));
	(void)snprintf(ret, 64, "%s", (const char *)hex.p);
}

static bool
renewed_twice(void *ctx)
{
	return ((const struct rig *)ctx)->renew == 2;
}

/* Replaced at once, by one with a key of its own, whoever holds the stream; a serial that is not held changes nothing. */
static void
test_revoked(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_frig_new();
	struct rig_client c;
	char first[64], second[64], other[] = "00ff";
	Mayfly__Roles__V1__InstanceSvidEnded m = MAYFLY__ROLES__V1__INSTANCE_SVID_ENDED__INIT;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_fetch);
	serial_of(&c, first);
	m.handle = r->handle;
	m.serial = other;
	mf_frig_send(r, MF_MSG_INSTANCE_SVID_ENDED, &m.base);
	m.handle = r->handle + 7; /* nobody's */
	m.serial = first;
	mf_frig_send(r, MF_MSG_INSTANCE_SVID_ENDED, &m.base);
	mf_frig_settle(r);
	assert_int_equal(r->renew, 0);
	m.handle = r->handle;
	mf_frig_send(r, MF_MSG_INSTANCE_SVID_ENDED, &m.base);
	serial_of(&c, second);
	assert_string_not_equal(first, second);
	assert_int_equal(r->renew, 1);
	assert_false(r->point_twice);
	mf_frig_close(&c);
	/* Nobody holds a stream: it is replaced all the same, so that nobody is given the old one. */
	m.serial = second;
	mf_frig_send(r, MF_MSG_INSTANCE_SVID_ENDED, &m.base);
	assert_true(mf_frig_until(r, renewed_twice, r));
	mf_frig_settle(r);
	mf_frig_open(r, &c, &mf_frig_fetch);
	serial_of(&c, first);
	assert_string_not_equal(first, second);
	mf_frig_close(&c);
	mf_frig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_offered),
		cmocka_unit_test(test_revoked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
