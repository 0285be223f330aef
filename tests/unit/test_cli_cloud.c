/* token get, token ls, env and whoami of a job with cloud grants, against a fake agent. */
#include "job.pb-c.h"
#include "tests/unit/cli_fake.h"

static char data[] = "data", api[] = "api", aws[] = "aws", bearer[] = "bearer", id[] = "AKIA1",
	    key[] = "s3cr3t", session[] = "a'b", opaque[] = "opaque", type[] = "Bearer", region[] = "eu-1",
	    granted[] = "granted", job[] = "j-cloud", why[] = "policy says no",
	    endpoint[] = "http://127.0.0.1:7480", file[] = "secret", body[] = "cg-1.abc",
	    uri_name[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	    file_name[] = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", uri[] = "http://127.1.2.3:9/v1/aws/data",
	    gone[] = "AWS_PROFILE";

static bool
wants_data(const ProtobufCMessage *req)
{
	return strcmp(((const Mayfly__Job__V1__GetCloudTokenRequest *)(const void *)req)->grant, "data") == 0;
}

static void
test_get(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__GetCloudTokenResponse m = MAYFLY__JOB__V1__GET_CLOUD_TOKEN_RESPONSE__INIT;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_cloud_token, .answers = { &m.base }, .right = wants_data }
	};
	struct mf_json *doc = NULL;
	m.grant = data;
	m.kind = aws;
	m.access_key_id = id;
	m.secret_access_key = key;
	m.session_token = session;
	m.region = region;
	m.service_endpoint = endpoint;
	m.expires = 1790000000;
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("token", "get", "data", "-o", "env", NULL), 0);
	assert_non_null(strstr(cli_out, "export AWS_ACCESS_KEY_ID=AKIA1\n"));
	assert_non_null(strstr(cli_out, "export AWS_SESSION_TOKEN='a'\\''b'\n"));
	assert_non_null(strstr(cli_out, "export AWS_DEFAULT_REGION=eu-1\n"));
	assert_non_null(strstr(cli_out, "AWS_ENDPOINT_URL="));
	assert_int_equal(cli("token", "get", "data", "-o", "credential-process", NULL), 0);
	assert_string_equal(cli_out, "{\"Version\":1,\"AccessKeyId\":\"AKIA1\",\"SecretAccessKey\":"
				     "\"s3cr3t\",\"SessionToken\":\"a'b\","
				     "\"Expiration\":\"2026-09-21T14:13:20Z\"}\n");
	assert_int_equal(cli("token", "get", "data", "-o", "json", NULL), 0);
	assert_non_null(strstr(cli_out, "\"secret_access_key\":\"s3cr3t\""));
	assert_int_equal(cli("token", "get", "data", NULL), 1);
	assert_err("no single token");
	assert_int_equal(cli("token", "get", "data", "-o", "table", NULL), 2);
	assert_err("--output is token, env");
	assert_int_equal(cli("token", "get", "other", NULL), 1);
	assert_err("wrong request");
	fake_stop(pid);
	rules[0].right = NULL;
	m.grant = api;
	m.kind = bearer;
	m.access_token = opaque;
	m.token_type = type;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("token", "get", NULL), 0);
	assert_string_equal(cli_out, "opaque\n");
	assert_int_equal(cli("token", "get", "-o", "env", NULL), 0);
	assert_string_equal(cli_out, "export MAYFLY_TOKEN=opaque\n");
	assert_int_equal(cli("token", "get", "-o", "credential-process", NULL), 1);
	assert_err("no AWS credentials");
	fake_stop(pid);
	mf_json_free(doc);
	rules[0] = (struct fake_rule) {
		.m = &mf_cli_cloud_token, .code = MF_GRPC_NOT_FOUND, .text = "no such grant"
	};
	pid = fake_start("agent", rules);
	assert_int_equal(cli("token", "get", "x", NULL), 1);
	assert_err("no such grant");
	fake_stop(pid);
	assert_int_equal(cli("token", "get", "x", NULL), 4);
}

static void
test_ls_and_env(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__WhoAmIResponse w = MAYFLY__JOB__V1__WHO_AM_IRESPONSE__INIT;
	Mayfly__Job__V1__CloudState s[2], *list[2] = { &s[0], &s[1] };
	Mayfly__Job__V1__CloudEnvironment e = MAYFLY__JOB__V1__CLOUD_ENVIRONMENT__INIT;
	Mayfly__Job__V1__EnvVariable v[2], *set[2] = { &v[0], &v[1] };
	Mayfly__Job__V1__CloudFile f = MAYFLY__JOB__V1__CLOUD_FILE__INIT, *files[1] = { &f };
	char *unset[1] = { gone }, path[256] = "";
	for (size_t k = 0; k < 2; k++) {
		s[k] = (Mayfly__Job__V1__CloudState)MAYFLY__JOB__V1__CLOUD_STATE__INIT;
		v[k] = (Mayfly__Job__V1__EnvVariable)MAYFLY__JOB__V1__ENV_VARIABLE__INIT;
	}
	s[0].grant = data;
	s[0].kind = aws;
	s[0].expires = mf_now().wall_us / 1000000 + 3600;
	s[1].grant = api;
	s[1].kind = bearer;
	s[1].reason = why;
	w.state = granted;
	w.job_id = job;
	w.cloud = list;
	w.n_cloud = 2;
	v[0].name = uri_name;
	v[0].value = uri;
	v[1].name = file_name;
	v[1].file = file;
	f.name = file;
	f.body = (ProtobufCBinaryData) { strlen(body), (uint8_t *)body };
	e.set = set;
	e.n_set = 2;
	e.unset = unset;
	e.n_unset = 1;
	e.files = files;
	e.n_files = 1;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_who_am_i, .answers = { &w.base } },
		{ .m = &mf_cli_cloud_environment, .answers = { &e.base } } };
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("token", "ls", NULL), 0);
	assert_non_null(strstr(cli_out, "data"));
	assert_non_null(strstr(cli_out, "policy says no"));
	assert_int_equal(cli("token", "ls", "-o", "json", NULL), 0);
	assert_non_null(strstr(cli_out, "\"CloudGrantList\""));
	assert_int_equal(cli("whoami", NULL), 0);
	assert_non_null(strstr(cli_out, "Cloud grants"));
	assert_int_equal(cli("env", NULL), 0);
	assert_non_null(strstr(cli_out, "export MAYFLY_JOB=j-cloud\n"));
	assert_non_null(strstr(cli_out, "unset AWS_PROFILE\n"));
	assert_non_null(
	    strstr(cli_out, "export AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.1.2.3:9/v1/aws/data\n"));
	const char *at = strstr(cli_out, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=");
	assert_non_null(at);
	assert_int_equal(sscanf(strchr(at, '=') + 1, "%200s", path), 1);
	char got[32] = "";
	FILE *in = fopen(path, "r");
	assert_non_null(in);
	assert_int_equal(fread(got, 1, sizeof(got) - 1, in), strlen(body));
	assert_string_equal(got, body);
	(void)fclose(in);
	assert_int_equal(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);
	fake_stop(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_get), cmocka_unit_test(test_ls_and_env) };
	return cmocka_run_group_tests(tests, fake_setup, fake_teardown);
}
