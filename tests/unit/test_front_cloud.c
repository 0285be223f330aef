/*
 * Cloud tokens in the agent's front, before a fake attestor (tests/lib/front_rig.h): the endpoint of SDKs with honest and
 * hostile HTTP over real loopback connections, what `mayfly run` is told, and the calls of the CLI.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cloud_rig.h"
#include "rpc/pb_check.h"

#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define PEERS 100
#define t mf_crig

/* --- the endpoint --- */

static void
test_aws(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_non_null(strstr(c.body, "\"AccessKeyId\":\"AKIA1\""));
	assert_non_null(strstr(c.body, "\"SecretAccessKey\":\"s3cr3t\""));
	assert_non_null(strstr(c.body, "\"Token\":\"session\""));
	assert_non_null(strstr(c.body, "\"Expiration\":\"20"));
	assert_non_null(strstr(c.in, "Cache-Control: no-store"));
	assert_non_null(strstr(c.in, "application/json"));
	/* The same connection, from memory; and a request with the body that it has not got. */
	for (int k = 0; k < 50; k++) {
		mf_crig_get(&c, "/v1/aws/data", t.host, t.secret,
		    "Content-Length: 0\r\nContent-Type: text/plain\r\n");
		assert_int_equal(mf_rig_http_hear(&c), 200);
		assert_non_null(strstr(c.body, "AKIA1"));
	}
	(void)close(c.fd);
	assert_int_equal(r->cloud_mints, 1);
	assert_int_equal(r->find_peers, 1); /* then it is recognised by its cgroup */
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, "/v1/token/api-v1");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_non_null(strstr(c.body, "\"access_token\":\"opaque-2\""));
	assert_non_null(strstr(c.body, "\"expires_in\":1"));
	(void)close(c.fd);
	assert_int_equal(mf_crig_get_once(r, "/v1/token/data"), 403); /* of the other kind */
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/none"), 403);
	assert_int_equal(r->cloud_mints, 2);
	assert_int_equal(r->attach, 1);
}

/* A hundred first calls are one question; who waits has nothing until there is an answer. */
static void
test_single_flight(void **state)
{
	struct rig *r = *state;
	static struct rig_http c[PEERS];
	t.mute = true;
	mf_frig_start(r);
	for (size_t k = 0; k < PEERS; k++) {
		mf_crig_dial(r, &c[k], NULL);
		mf_crig_good(&c[k], "/v1/aws/data");
	}
	mf_frig_settle(r);
	mf_frig_settle(r);
	assert_int_equal(r->cloud_mints, 1);
	for (size_t k = 0; k < PEERS; k++)
		assert_false(mf_rig_http_heard(&c[k]));
	(void)close(c[0].fd); /* one gives up */
	mf_crig_answer(r, t.last_id, t.last_grant);
	for (size_t k = 1; k < PEERS; k++) {
		assert_int_equal(mf_rig_http_hear(&c[k]), 200);
		(void)close(c[k].fd);
	}
	assert_int_equal(r->cloud_mints, 1);
}

static void
test_hostile(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	char text[512], wrong[MF_CLOUD_SECRET_MAX + 1];
	static const char *const signs[] = { "X-Forwarded-For: 1.2.3.4\r\n", "Forwarded: for=1.2.3.4\r\n",
		"Via: 1.1 x\r\n", "X-Real-IP: 1.2.3.4\r\n", "Origin: http://evil.example\r\n",
		"Sec-Fetch-Site: cross-site\r\n", "Proxy-Connection: close\r\n", "Cookie: a=b\r\n" };
	static const char *const paths[] = { "/", "/v1/aws/", "/v1/aws", "/v1/aws/data/", "/v1/aws/a/b",
		"/v1/aws/../aws/data", "/v2/aws/data", "/V1/AWS/data", "/v1/aws/%64ata" };
	mf_frig_start(r);
	for (size_t k = 0; k < MF_COUNT(signs); k++) {
		mf_crig_dial(r, &c, NULL);
		mf_crig_get(&c, "/v1/aws/data", t.host, t.secret, signs[k]);
		assert_int_equal(mf_rig_http_hear(&c), 403);
		(void)close(c.fd);
	}
	for (size_t k = 0; k < MF_COUNT(paths); k++)
		assert_int_equal(mf_crig_get_once(r, paths[k]), 403);
	/* A name that leads here, or another address of ours. */
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", t.port);
	const char *const hosts[] = { text, "localhost", "evil.example", "", "127.0.0.1" };
	for (size_t k = 0; k < MF_COUNT(hosts); k++) {
		mf_crig_dial(r, &c, NULL);
		mf_crig_get(&c, "/v1/aws/data", hosts[k], t.secret, "");
		assert_int_equal(mf_rig_http_hear(&c), 403);
		(void)close(c.fd);
	}
	mf_crig_dial(r, &c, "127.0.0.1");
	mf_crig_get(
	    &c, "/v1/aws/data", text, t.secret, ""); /* the secret is right, the address is not this job's */
	assert_int_equal(mf_rig_http_hear(&c), 403);
	(void)close(c.fd);
	/* Secrets. */
	memcpy(wrong, t.secret, sizeof(wrong));
	wrong[strlen(wrong) - 1] ^= 1;
	const char *const secrets[] = { "", "x", wrong, "p-7.", "Basic cC03", "p-7", "../../etc/passwd" };
	for (size_t k = 0; k < MF_COUNT(secrets); k++) {
		mf_crig_dial(r, &c, NULL);
		mf_crig_get(&c, "/v1/aws/data", t.host, secrets[k], "");
		assert_int_equal(mf_rig_http_hear(&c), 403);
		(void)close(c.fd);
	}
	assert_int_equal(r->cloud_mints, 0);
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200); /* it still serves */
}

static void
nothing(struct rig_http *c)
{
	for (int k = 0; k < 3; k++)
		mf_frig_settle(c->r);
	(void)mf_rig_http_heard(c);
	assert_int_not_equal(c->code, 200);
}

/* What is no plain GET never gets so far that anybody is asked whose it is. */
static void
test_not_http(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	static char big[20000];
	char text[1024];
	static const struct {
		const char *request; /* H and S in braces: host and secret */
		int code;	     /* 0: closed without an answer is good too */
	} cases[] = {
		{ "POST /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nAuthorization: {S}\r\nContent-Length: "
		  "0\r\n\r\n",
		    405 },
		{ "PUT /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nAuthorization: {S}\r\nContent-Length: 0\r\n\r\n",
		    405 },
		{ "GET //v1/aws/data HTTP/1.1\r\nHost: {H}\r\nAuthorization: {S}\r\n\r\n", 400 },
		{ "GET /v1/aws/data?a=b HTTP/1.1\r\nHost: {H}\r\nAuthorization: {S}\r\n\r\n", 400 },
		{ "GET http://evil.example/v1/aws/data HTTP/1.1\r\nHost: {H}\r\nAuthorization: {S}\r\n\r\n",
		    400 },
		{ "GET /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nHost: evil\r\nAuthorization: {S}\r\n\r\n", 400 },
		{ "GET /v1/aws/data HTTP/1.1\r\nX: {H}\r\nAuthorization: {S}\r\n\r\n", 400 },
		{ "CONNECT {H} HTTP/1.1\r\nAuthorization: {S}\r\n\r\n", 0 },
		{ "BREW /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nAuthorization: {S}\r\n\r\n", 0 },
		{ "GET /v1/aws/data HTTP/9.9\r\nHost: {H}\r\nAuthorization: {S}\r\n\r\n", 0 },
		{ "\r\n\r\n{H}{S}\r\n\r\n", 0 },
		{ "GET\r\n{H}{S}\r\n\r\n", 0 },
		{ "GET /v1/aws/data HTTP/1.1\r\nHost: {H}\r\nAuthorization: {S}\r\nContent-Length: "
		  "99999999\r\n\r\n",
		    0 },
	};
	mf_frig_start(r);
	for (size_t k = 0; k < MF_COUNT(cases); k++) {
		mf_crig_dial(r, &c, NULL);
		mf_crig_expand(cases[k].request, text, sizeof(text));
		mf_rig_http_say(&c, text);
		/* Refused in words where it can be; else it waits, in vain, or is closed. */
		if (cases[k].code != 0)
			assert_int_equal(mf_rig_http_hear(&c), cases[k].code);
		else
			nothing(&c);
		(void)close(c.fd);
	}
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	mf_crig_dial(r, &c, NULL);
	(void)send(c.fd, "GET /", 5, MSG_NOSIGNAL);
	(void)send(c.fd, big, sizeof(big) - 1, MSG_NOSIGNAL);
	(void)send(c.fd, " HTTP/1.1\r\n\r\n", 13, MSG_NOSIGNAL);
	nothing(&c);
	(void)close(c.fd);
	mf_crig_dial(r, &c, NULL); /* half a request, and away */
	mf_rig_http_say(&c, "GET /v1/aws/data HT");
	mf_frig_settle(r);
	(void)close(c.fd);
	mf_frig_settle(r);
	assert_int_equal(r->find_peers, 0);
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200);
}

/* The attestor says whose socket it is. Without an attestor a request is held, and served by the next one. */
static void
test_peer(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	r->peer_foreign = true;
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 403);
	assert_int_equal(r->attach, 0);
	r->peer_foreign = false;
	r->peer_plain = true; /* no cgroup to recognise: asked each time */
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200);
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200);
	assert_int_equal(r->find_peers, 3);
	r->peer_late = true;
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, "/v1/aws/data");
	mf_frig_settle(r);
	assert_false(mf_rig_http_heard(&c));
	r->peer_late = false;
	assert_int_equal(mf_rig_http_hear(&c), 200);
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	mf_crig_good(&c, "/v1/aws/data");
	mf_frig_settle(r);
	assert_false(mf_rig_http_heard(&c));
	mf_frig_attestor(r);
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_int_equal(r->cloud_mints, 1); /* from memory, over the attestor's restart */
	(void)close(c.fd);
}

static void
push_end(struct rig *r, const char *grant, const char *id, bool again)
{
	Mayfly__Roles__V1__InstanceCloudEnded m = MAYFLY__ROLES__V1__INSTANCE_CLOUD_ENDED__INIT;
	m.handle = r->handle;
	m.grant = (char *)(uintptr_t)grant;
	m.credential_id = (char *)(uintptr_t)id;
	m.reason = (char *)(uintptr_t) "revoked by alice: leaked";
	m.may_ask_again = again;
	mf_frig_send(r, MF_MSG_INSTANCE_CLOUD_ENDED, &m.base);
}

/* P-2: what is over is 403 with the reason; what will pass is held. */
static void
test_refused(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	t.refuse = DENIED;
	mf_frig_start(r);
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 403);
	assert_non_null(strstr(c.body, "\"code\":\"AccessDenied\""));
	assert_non_null(strstr(c.body, "\"message\":\"the profile says no\""));
	assert_non_null(strstr(c.body, "\"error_description\":\"the profile says no\""));
	/* Busy is no answer: held until there is one. */
	t.refuse = UNAVAILABLE;
	mf_crig_good(&c, "/v1/token/api-v1");
	mf_frig_settle(r);
	assert_false(mf_rig_http_heard(&c));
	t.refuse = 0;
	assert_int_equal(mf_rig_http_hear(&c), 200);
	push_end(r, "api-v1", "c-0", false); /* of another generation */
	mf_frig_settle(r);
	mf_crig_good(&c, "/v1/token/api-v1");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	push_end(r, "api-v1", "", true);
	mf_frig_settle(r);
	mf_crig_good(&c, "/v1/token/api-v1");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_non_null(strstr(c.body, "opaque-2")); /* a new one */
	push_end(r, "api-v1", "", false);
	mf_frig_settle(r);
	mf_crig_good(&c, "/v1/token/api-v1");
	assert_int_equal(mf_rig_http_hear(&c), 403);
	assert_non_null(strstr(c.body, "\"code\":\"CredentialRevoked\""));
	assert_non_null(strstr(c.body, "revoked by alice: leaked"));
	mf_frig_ended(r, r->handle, false);
	mf_frig_settle(r);
	r->peer_over = true;
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 403);
	assert_non_null(strstr(c.body, "\"code\":\"CredentialRevoked\""));
	assert_non_null(strstr(c.body, "the job has ended (empty)"));
	(void)close(c.fd);
}

/* Broker away: what is held is served; a suspension takes it. */
static void
test_broker_away(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	mf_frig_start(r);
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200);
	mf_frig_session(r, false);
	mf_frig_settle(r);
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200);
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, "/v1/token/api-v1"); /* not held: it waits */
	mf_frig_settle(r);
	assert_false(mf_rig_http_heard(&c));
	mf_frig_session(r, true);
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_int_equal(r->cloud_mints, 2);
	mf_frig_ended(r, r->handle, true);
	mf_frig_settle(r);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200); /* attached anew, minted anew */
	assert_non_null(strstr(c.body, "AKIA3"));
	(void)close(c.fd);
}

/* A token that is due is renewed by who asks; one that cannot be renewed serves on. */
static void
test_renewal(void **state)
{
	struct rig *r = *state;
	struct rig_http c;
	t.ttl_s = 7; /* its half is over in 3 s at the earliest; in its last 5 s it is not served at all */
	mf_frig_start(r);
	mf_crig_dial(r, &c, NULL);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	t.ttl_s = 1800;
	usleep(2100000);
	mf_crig_good(&c, "/v1/aws/data");
	assert_int_equal(mf_rig_http_hear(&c), 200);
	assert_non_null(strstr(c.body, "AKIA2"));
	assert_int_equal(r->cloud_mints, 2);
	(void)close(c.fd);
}

/* --- the calls --- */

static const struct mf_grpc_method get_token = { .path = "/mayfly.job.v1.Jobs/GetCloudToken",
	.request = &mayfly__job__v1__get_cloud_token_request__descriptor,
	.response = &mayfly__job__v1__get_cloud_token_response__descriptor };
static const struct mf_grpc_method get_environment = { .path = "/mayfly.job.v1.Jobs/GetCloudEnvironment",
	.request = &mayfly__job__v1__get_cloud_environment_request__descriptor,
	.response = &mayfly__job__v1__cloud_environment__descriptor };

static const char *
value_of(const Mayfly__Job__V1__CloudEnvironment *e, const char *name, const char **ret_file)
{
	for (size_t k = 0; k < e->n_set; k++) {
		if (strcmp(e->set[k]->name, name) != 0)
			continue;
		if (ret_file != NULL)
			*ret_file = e->set[k]->file;
		return e->set[k]->value;
	}
	return NULL;
}

static void
check_environment(const Mayfly__Job__V1__CloudEnvironment *e)
{
	char uri[128];
	const char *of = NULL;
	bool key = false;
	assert_non_null(e);
	(void)snprintf(uri, sizeof(uri), "http://%s/v1/aws/data", t.host);
	assert_string_equal(value_of(e, "AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL), uri);
	assert_string_equal(value_of(e, "AWS_REGION", NULL), "eu-1");
	assert_string_equal(value_of(e, "AWS_DEFAULT_REGION", NULL), "eu-1");
	assert_string_equal(value_of(e, "AWS_ENDPOINT_URL", NULL), "http://127.0.0.1:7480");
	assert_string_equal(value_of(e, "AWS_EC2_METADATA_DISABLED", NULL), "true");
	assert_string_equal(value_of(e, "AWS_CONFIG_FILE", NULL), "/dev/null");
	(void)value_of(e, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &of);
	assert_string_equal(of, "secret");
	(void)value_of(e, "MAYFLY_TOKEN_FILE_API_V1", &of);
	assert_string_equal(of, "token-api-v1");
	for (size_t k = 0; k < e->n_unset; k++)
		key |= strcmp(e->unset[k], "AWS_ACCESS_KEY_ID") == 0;
	assert_true(key);
	assert_int_equal(e->n_files, 2);
	assert_string_equal(e->files[0]->name, "secret");
	assert_int_equal(e->files[0]->body.len, strlen(t.secret));
	assert_memory_equal(e->files[0]->body.data, t.secret, strlen(t.secret));
	assert_string_equal(e->files[1]->grant, "api-v1");
}

static void
test_calls(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	Mayfly__Job__V1__GetCloudTokenRequest q = MAYFLY__JOB__V1__GET_CLOUD_TOKEN_REQUEST__INIT;
	Mayfly__Job__V1__GetCloudEnvironmentRequest eq = MAYFLY__JOB__V1__GET_CLOUD_ENVIRONMENT_REQUEST__INIT;
	mf_frig_start(r);
	mf_frig_ask(r, &c, &get_environment, &eq.base);
	check_environment((const void *)mf_frig_next(&c));
	mf_frig_close(&c);
	q.grant = (char *)(uintptr_t) "data";
	mf_frig_ask(r, &c, &get_token, &q.base);
	const Mayfly__Job__V1__GetCloudTokenResponse *a = (const void *)mf_frig_next(&c);
	assert_non_null(a);
	assert_string_equal(a->access_key_id, "AKIA1");
	assert_string_equal(a->kind, "aws");
	assert_string_equal(a->region, "eu-1");
	assert_string_equal(a->credential_id, "c-1");
	mf_frig_close(&c);
	q.grant = (char *)(uintptr_t) "";
	mf_frig_ask(r, &c, &get_token, &q.base); /* which one? */
	assert_int_equal(mf_frig_end(&c), MF_GRPC_INVALID_ARGUMENT);
	mf_frig_close(&c);
	q.grant = (char *)(uintptr_t) "none";
	mf_frig_ask(r, &c, &get_token, &q.base);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_NOT_FOUND);
	mf_frig_close(&c);
	t.refuse = DENIED;
	q.grant = (char *)(uintptr_t) "api-v1";
	mf_frig_ask(r, &c, &get_token, &q.base);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_PERMISSION_DENIED);
	assert_non_null(strstr(c.text, "the profile says no"));
	mf_frig_close(&c);
	mf_frig_open(r, &c, &mf_frig_whoami);
	const Mayfly__Job__V1__WhoAmIResponse *w = (const void *)mf_frig_next(&c);
	assert_non_null(w);
	assert_int_equal(w->n_cloud, 2);
	assert_string_equal(w->cloud[0]->grant, "data");
	assert_true(w->cloud[0]->expires > 0);
	assert_int_equal(w->cloud[1]->expires, 0);
	assert_string_equal(w->cloud[1]->reason, "the profile says no");
	mf_frig_close(&c);
}

static const Mayfly__Job__V1__StartEvent *
next_event(struct rig_client *c, unsigned body)
{
	const Mayfly__Job__V1__StartEvent *e = (const void *)mf_frig_next(c);
	assert_non_null(e);
	assert_int_equal(e->body_case, body);
	return e;
}

/* `mayfly run` gets the environment with the grant, bearer tokens as they come, and hears why one is over. */
static void
test_run(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	Mayfly__Job__V1__StartRequest q = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__StartSpec spec = MAYFLY__JOB__V1__START_SPEC__INIT;
	char key[] = "local/n-test/boot/cg-900";
	t.mute = true;
	q.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_SPEC;
	q.spec = &spec;
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_run);
	assert_int_equal(mf_grpc_sync_send(c.st, &q.base, NULL), MF_OK);
	(void)next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CREATED);
	/* The job's own instance from here on, not the runner's. */
	r->handle += 100;
	(void)snprintf(r->key, sizeof(r->key), "%s", key);
	const Mayfly__Job__V1__StartEvent *e = next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_GRANTED);
	assert_non_null(e->granted->cloud);
	assert_int_equal(e->granted->cloud->n_files, 2);
	assert_int_equal(e->granted->cloud->files[1]->body.len, 0);
	mf_frig_settle(r);
	assert_int_equal(r->cloud_mints, 1); /* the bearer token: its file is to be there before the job is */
	assert_string_equal(t.last_grant, "api-v1");
	mf_crig_answer(r, t.last_id, t.last_grant);
	e = next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CLOUD_NEWS);
	assert_string_equal(e->cloud_news->file, "token-api-v1");
	assert_int_equal(e->cloud_news->body.len, strlen("opaque-1"));
	assert_memory_equal(e->cloud_news->body.data, "opaque-1", strlen("opaque-1"));
	assert_false(e->cloud_news->ended);
	push_end(r, "api-v1", "", false);
	e = next_event(&c, MAYFLY__JOB__V1__START_EVENT__BODY_CLOUD_NEWS);
	assert_true(e->cloud_news->ended);
	assert_int_equal(e->cloud_news->body.len, 0);
	assert_string_equal(e->cloud_news->reason, "revoked by alice: leaked");
	assert_false(e->cloud_news->may_come_again);
	mf_frig_close(&c);
}

/* The same address and secret from the same files, whoever starts; a key that was lost is another. */
static void
test_same_again(void **state)
{
	struct rig *r = *state;
	struct mf_cloud_socket other = { .listen_fd = -1, .key_fd = -1, .diag_fd = -1 };
	uint8_t key[MF_CLOUD_KEY];
	mf_frig_start(r);
	int dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The port is in use, for the front under test has it: another one, but the key is the same. */
	assert_int_equal(mf_cloud_socket_open(dir, -1, &other, NULL), MF_OK);
	assert_int_equal(pread(other.key_fd, key, sizeof(key), 0), sizeof(key));
	assert_memory_equal(key, t.key, sizeof(key));
	mf_cloud_socket_close(&other);
	(void)close(dir);
	assert_true(mf_cloud_secret_is(t.key, r->key, mf_slice_str(t.secret)));
	assert_false(mf_cloud_secret_is(t.key, "local/n-test/boot/p-8", mf_slice_str(t.secret)));
	assert_int_equal(mf_crig_get_once(r, "/v1/aws/data"), 200);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mf_crig_setup, mf_crig_teardown)
	const struct CMUnitTest tests[] = { T(test_aws), T(test_single_flight), T(test_hostile),
		T(test_not_http), T(test_peer), T(test_refused), T(test_broker_away), T(test_renewal),
		T(test_calls), T(test_run), T(test_same_again) };
	return cmocka_run_group_tests_name("front_cloud", tests, NULL, NULL);
}
