/*
 * What the cloud endpoint must get right for SDKs as they are: the forms of their requests, their short patience, the
 * addresses that they believe.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cloud_rig.h"

#define t mf_crig

/* What each SDK really sends (P-7), one after the other on one connection: no two ask alike, and none is refused for it. */
static void
test_as_sdks_ask(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	char text[1024];
	static const char *const requests[] = {
		/* botocore, s3fs, CRT */
		"GET /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nAccept: application/json\r\nAccept-Encoding: "
		"identity\r\n"
		"Authorization: {S}\r\nUser-Agent: Botocore/1.44.8\r\nConnection: keep-alive\r\n\r\n",
		/* Go */
		"GET /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nUser-Agent: aws-sdk-go-v2\r\nAccept: "
		"application/json\r\n"
		"Amz-Sdk-Request: attempt=1; max=3\r\nAuthorization: {S}\r\nAccept-Encoding: gzip\r\n\r\n",
		/* JavaScript */
		"GET /v1/aws/data HTTP/1.1\r\nAuthorization: {S}\r\nHost: {H}\r\nConnection: close\r\n\r\n",
		/* Java */
		"GET /v1/aws/data HTTP/1.1\r\nAccept: text/html, image/gif, image/jpeg, */*; "
		"q=0.2\r\nAuthorization: "
		"{S}\r\n"
		"User-Agent: aws-sdk-java/2.57.8\r\nHost: {H}\r\nConnection: keep-alive\r\n\r\n",
		/* Rust */
		"GET /v1/aws/data HTTP/1.1\r\naccept: application/json\r\nauthorization: {S}\r\nhost: "
		"{H}\r\n\r\n",
		/* C++ */
		"GET /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nauthorization: {S}\r\nuser-agent: "
		"aws-sdk-cpp\r\n\r\n",
		/* as those for Azure ask */
		"GET /v1/token/api-v1 HTTP/1.1\r\nContent-Length: 0\r\nHost: {H}\r\nAUTHORIZATION: Bearer "
		"{S}\r\n\r\n",
		"GET /v1/token/api-v1 HTTP/1.1\r\nhost: {H}\r\nContent-Type: "
		"application/json\r\nauthorization: "
		"{S}\r\n\r\n",
	};
	mf_frig_start(r);
	for (int twice = 0; twice < 2; twice++) {
		mf_crig_dial(r, &c, NULL);
		for (size_t k = 0; k < MF_COUNT(requests); k++) {
			mf_crig_expand(requests[k], text, sizeof(text));
			mf_rig_http_say(&c, text);
			assert_int_equal(mf_rig_http_hear(&c), 200);
			/* Never without an end: one SDK takes such a credential as permanent. */
			assert_true(strstr(c.body, "\"Expiration\":\"20") != NULL ||
				    (strstr(c.body, "\"expires_in\":1") != NULL &&
					strstr(c.body, "\"expires_on\":") != NULL));
			if (strstr(requests[k], "Connection: close") == NULL)
				continue;
			(void)close(c.fd);
			mf_crig_dial(r, &c, NULL);
		}
		(void)close(c.fd);
	}
	assert_int_equal(r->cloud_mints, 2);
}

/* Who gave up waiting got nothing; it comes back, and finds the answer ready: that one question is enough. */
static void
test_comes_back(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	t.mute = true;
	mf_frig_start(r);
	for (int tries = 0; tries < 6; tries++) { /* as the SDK for Java has */
		mf_crig_dial(r, &c, NULL);
		mf_crig_good(&c, "/v1/aws/data");
		mf_frig_settle(r);
		assert_false(mf_rig_http_heard(&c)); /* held: no error that it would count */
		(void)close(c.fd);
		mf_frig_settle(r);
	}
	assert_int_equal(r->cloud_mints, 1);
	mf_crig_answer(r, t.last_id, t.last_grant);
	mf_frig_settle(r);
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200);
	assert_int_equal(r->cloud_mints, 1);
}

/* All in 127.0.0.0/24, which is what the SDK for C++ believes to be loopback; not everybody's; spread over what is left. */
static void
test_addresses(void **state)
{
	MF_UNUSED(state);
	bool seen[256] = { false };
	unsigned different = 0;
	for (unsigned k = 0; k < 500; k++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "cg-%u", k);
		uint32_t a = ntohl(mf_cloud_address(t.key, name).s_addr);
		assert_int_equal(a >> 8, 0x7f0000);
		assert_in_range(a & 255, 2, 254);
		different += !seen[a & 255];
		seen[a & 255] = true;
	}
	assert_true(different > 100);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mf_crig_setup, mf_crig_teardown)
	const struct CMUnitTest tests[] = { T(test_as_sdks_ask), T(test_comes_back), T(test_addresses) };
	return cmocka_run_group_tests_name("front_cloud_sdks", tests, NULL, NULL);
}
