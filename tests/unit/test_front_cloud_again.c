/*
 * The cloud endpoint's short way: requests that are known by their bytes (cloud_repeat.h), before a fake attestor. What is over or
 * somebody else's is refused as on the long way, though the bytes are the same.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/front/front_internal.h"
#include "cloud_rig.h"

#define t mf_crig

static uint64_t
again(struct rig *r)
{
	return mf_cloud_http_stats(r->front->cloud_http).again;
}

static void
teach(struct rig *r, const char *path)
{
	assert_int_equal(mf_crig_get_once(r, path), 200);
}

static void
test_known(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	teach(r, "/v1/aws/data");
	assert_int_equal(again(r), 0);
	mf_crig_dial(r, &c, NULL);
	for (unsigned k = 1; k <= 3; k++) {
		mf_crig_good(&c, "/v1/aws/data");
		assert_int_equal(mf_rig_http_hear(&c), 200);
		assert_non_null(strstr(c.body, "\"AccessKeyId\":\"AKIA1\""));
		assert_non_null(strstr(c.body, "\"Expiration\":\"20"));
		assert_non_null(strstr(c.in, "Cache-Control: no-store\r\n"));
		assert_int_equal(again(r), k);
	}
	teach(r, "/v1/token/api-v1");
	teach(r, "/v1/token/api-v1");
	assert_int_equal(again(r), 4);
	mf_crig_good(&c, "/v1/token/api-v1"); /* and on another's connection */
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_non_null(strstr(c.body, "\"access_token\":\"opaque-2\""));
	assert_non_null(strstr(c.body, "\"expires_in\":1"));
	assert_int_equal(again(r), 5);
	(void)close(c.fd);
	struct mf_cloud_http_stats s = mf_cloud_http_stats(r->front->cloud_http);
	assert_int_equal(s.requests, 7);
	assert_int_equal(s.answered, 7);
	assert_int_equal(r->find_peers, 1);
	assert_int_equal(r->cloud_mints, 2);
}

/* What the long way refuses, and what it answers otherwise each time, is not known later either. */
static void
test_not_known(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	teach(r, "/v1/aws/data");
	for (int k = 0; k < 3; k++) {
		assert_int_equal(mf_crig_get_once(r, "/v1/aws/none"), 403);
		mf_crig_dial(r, &c, NULL);
		mf_crig_get(&c, "/v1/aws/data", t.host, "p-7.wrong", "");
		assert_int_equal(mf_rig_http_hear(&c), 403);
		(void)close(c.fd);
		/* The right bytes at another address. */
		mf_crig_dial(r, &c, "127.0.0.1");
		mf_crig_good(&c, "/v1/aws/data");
		assert_int_equal(mf_rig_http_hear(&c), 403);
		(void)close(c.fd);
	}
	assert_int_equal(again(r), 0);
	r->peer_plain = true; /* an instance without a cgroup of its own is asked about each time */
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	mf_frig_attestor(r);
	mf_frig_settle(r);
	for (int k = 0; k < 3; k++)
		teach(r, "/v1/aws/data");
	assert_int_equal(again(r), 0);
}

static void
push_end(struct rig *r, const char *grant, bool again_)
{
	Mayfly__Roles__V1__InstanceCloudEnded m = MAYFLY__ROLES__V1__INSTANCE_CLOUD_ENDED__INIT;
	m.handle = r->handle;
	m.grant = (char *)(uintptr_t)grant;
	m.credential_id = (char *)(uintptr_t) "";
	m.reason = (char *)(uintptr_t) "revoked by alice: leaked";
	m.may_ask_again = again_;
	mf_frig_send(r, MF_MSG_INSTANCE_CLOUD_ENDED, &m.base);
	mf_frig_settle(r);
}

/* A token that is over is gone from the answers, too; on the connection on which it was given a moment ago. */
static void
test_token_over(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	mf_crig_dial(r, &c, NULL);
	for (unsigned k = 0; k < 3; k++) {
		mf_crig_good(&c, "/v1/aws/data");
		assert_int_equal(mf_rig_http_hear(&c), 200);
		assert_non_null(strstr(c.body, "AKIA1"));
	}
	assert_int_equal(again(r), 2);
	push_end(r, "data", true);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_non_null(strstr(c.body, "AKIA2")); /* a new one, and not from an answer of before */
	assert_int_equal(again(r), 2);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_non_null(strstr(c.body, "AKIA2"));
	assert_int_equal(again(r), 3);
	push_end(r, "data", false);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 403);
	assert_non_null(strstr(c.body, "revoked by alice: leaked"));
	assert_int_equal(again(r), 3);
	(void)close(c.fd);
}

/* The end of the job: nothing from memory from that moment on; a suspension likewise. */
static void
test_job_over(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	mf_crig_dial(r, &c, NULL);
	for (unsigned k = 0; k < 2; k++) {
		mf_crig_good(&c, "/v1/aws/data");
		assert_int_equal(mf_rig_http_hear(&c), 200);
	}
	assert_int_equal(again(r), 1);
	mf_frig_ended(r, r->handle, true);
	mf_frig_settle(r);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200); /* attached anew, minted anew */
	assert_non_null(strstr(c.body, "AKIA2"));
	assert_int_equal(again(r), 1);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_int_equal(again(r), 2);
	r->peer_over = true;
	mf_frig_ended(r, r->handle, false);
	mf_frig_settle(r);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 403);
	assert_non_null(strstr(c.body, "\"code\":\"CredentialRevoked\""));
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 403);
	assert_int_equal(again(r), 2);
	(void)close(c.fd);
}

/* Another attestor has other handles: who asks is shown to it first. */
static void
test_attestor_new(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	teach(r, "/v1/aws/data");
	teach(r, "/v1/aws/data");
	assert_int_equal(again(r), 1);
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, "/v1/aws/data");
	mf_frig_settle(r);
	assert_false(mf_rig_http_heard(&c));
	mf_frig_attestor(r);
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_int_equal(again(r), 1);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_int_equal(again(r), 2);
	assert_int_equal(r->find_peers, 2);
	(void)close(c.fd);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mf_crig_setup, mf_crig_teardown)
	const struct CMUnitTest tests[] = { T(test_known), T(test_not_known), T(test_token_over),
		T(test_job_over), T(test_attestor_new) };
	return cmocka_run_group_tests_name("front_cloud_again", tests, NULL, NULL);
}
