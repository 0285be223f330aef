/* URLs; `oidc` and `cloud_targets` of broker.yaml; what the supervisor makes of them for the notary and for the courier. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "broker/cloud.h"
#include "codec/url.h"
#include "os/secure_file.h"

#include "roles.pb-c.h"

static void
test_urls(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *in;
		const char *host, *authority, *path, *query; /* host NULL: refused */
		unsigned port;
	} cases[] = {
		{ "https://sts.eu-central-1.amazonaws.com", "sts.eu-central-1.amazonaws.com",
		    "sts.eu-central-1.amazonaws.com", "", "", 443 },
		{ "http://127.0.0.1:8000/a/b?x=1&y=%20", "127.0.0.1", "127.0.0.1:8000", "/a/b", "x=1&y=%20",
		    8000 },
		{ "https://[::1]:8443/", "::1", "[::1]:8443", "/", "", 8443 },
		{ "https://a?q", "a", "a", "", "q", 443 },
		{ "https://", NULL, NULL, NULL, NULL, 0 },
		{ "ftp://a/", NULL, NULL, NULL, NULL, 0 },
		{ "https://A.example/", NULL, NULL, NULL, NULL, 0 },
		{ "https://user@a/", NULL, NULL, NULL, NULL, 0 },
		{ "https://a..b/", NULL, NULL, NULL, NULL, 0 },
		{ "https://a:/", NULL, NULL, NULL, NULL, 0 },
		{ "https://a:0/", NULL, NULL, NULL, NULL, 0 },
		{ "https://a:65536/", NULL, NULL, NULL, NULL, 0 },
		{ "https://a:080/", NULL, NULL, NULL, NULL, 0 },
		{ "https://[::1", NULL, NULL, NULL, NULL, 0 },
		{ "https://[::1]x", NULL, NULL, NULL, NULL, 0 },
		{ "https://[]/", NULL, NULL, NULL, NULL, 0 },
		{ "https://a/#f", NULL, NULL, NULL, NULL, 0 },
		{ "https://a/b c", NULL, NULL, NULL, NULL, 0 },
		{ "https://a/%2", NULL, NULL, NULL, NULL, 0 },
		{ "https://a/x/../y", NULL, NULL, NULL, NULL, 0 },
		{ "https://a/.", NULL, NULL, NULL, NULL, 0 },
		{ "https://a/\\b", NULL, NULL, NULL, NULL, 0 },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_url u;
		enum mf_status s = mf_url_parse(mf_slice_str(cases[i].in), &u, NULL);
		if ((s == MF_OK) != (cases[i].host != NULL))
			fail_msg("%s", cases[i].in);
		if (s != MF_OK)
			continue;
		assert_true(mf_slice_eq_str(u.host, cases[i].host));
		assert_true(mf_slice_eq_str(u.authority, cases[i].authority));
		assert_true(mf_slice_eq_str(u.path, cases[i].path));
		assert_true(mf_slice_eq_str(u.query, cases[i].query));
		assert_int_equal(u.port, cases[i].port);
	}
}

static void
test_encoding(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a, b;
	mf_buf_init(&a, 4096);
	mf_buf_init(&b, 4096);
	uint8_t all[256];
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	mf_url_encode(&a, MF_SLICE_LIT("a b+c/~%"));
	assert_string_equal(mf_buf_cstr(&a), "a%20b%2Bc%2F~%25");
	mf_buf_reset(&a);
	mf_url_encode(&a, mf_slice(all, sizeof(all)));
	assert_int_equal(mf_url_decode(mf_buf_slice(&a), &b, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&b), mf_slice(all, sizeof(all))));
	mf_buf_reset(&b);
	assert_int_equal(mf_url_decode(MF_SLICE_LIT("%4"), &b, NULL), MF_E_INVALID);
	assert_int_equal(mf_url_decode(MF_SLICE_LIT("%"), &b, NULL), MF_E_INVALID);
	assert_int_equal(mf_url_decode(MF_SLICE_LIT("%zz"), &b, NULL), MF_E_INVALID);
}

static struct mf_broker_conf *
load(const char *yaml, char *problems, size_t n)
{
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("broker.yaml");
	struct mf_broker_conf *c = NULL;
	struct mf_err err = { 0 };
	if (mf_broker_conf_load(mf_slice_str(yaml), NULL, NULL, NULL, p, &c, &err) == MF_OK)
		return c;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	mf_problems_put(p, &b);
	(void)snprintf(problems, n, "%s", mf_buf_cstr(&b));
	return NULL;
}

#define HEAD "trust_domain: example.org\n"
#define ISSUER HEAD "oidc: {issuer: \"https://oidc.example.org/td1\"}\n"

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{ ISSUER "cloud_targets:\n  - {name: a, backend: gcp, endpoint: \"https://a\"}\n",
		    "backend" },
		{ ISSUER "cloud_targets:\n  - {name: a, backend: oauth}\n", "endpoint" },
		{ ISSUER
		    "cloud_targets:\n  - {name: a, backend: oauth, endpoint: \"https://a\", secret: x}\n",
		    "secret" },
		{ ISSUER "cloud_targets:\n  - {name: a, backend: oauth, endpoint: \"http://a\"}\n",
		    "must be https" },
		{ ISSUER "cloud_targets:\n  - {name: a, backend: oauth, endpoint: \"https://a\"}\n"
			 "  - {name: a, backend: oauth, endpoint: \"https://b\"}\n",
		    "named twice" },
		{ ISSUER
		    "cloud_targets:\n  - {name: a, backend: oauth, endpoint: \"https://a\", client_cert: "
		    "/etc/c}\n",
		    "both" },
		{ HEAD "cloud_targets:\n  - {name: a, backend: oauth, endpoint: \"https://a\"}\n",
		    "needs an issuer" },
		{ ISSUER "cloud_targets:\n  - {name: a, backend: oauth, endpoint: \"https://a\", algorithm: "
			 "PS256}\n",
		    "RS256 or ES256" },
		{ HEAD "oidc: {issuer: \"https://o.example/a\", x5c_issuer: \"https://o.example/x\"}\n"
		       "cloud_targets:\n  - {name: a, backend: aws-sts, endpoint: \"https://a\", issuer: "
		       "\"https://o.example/x\", algorithm: ES256}\n",
		    "RS256 key only" },
		{ HEAD "oidc: {issuer: \"https://oidc.example.org/\"}\n", "must be a URL" },
		{ HEAD "oidc: {issuer: \"https://oidc.example.org/a?b\"}\n", "must be a URL" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		char said[4096] = "";
		MF_AUTO(mf_broker_conf_free)
		struct mf_broker_conf *c = load(cases[i].yaml, said, sizeof(said));
		if (c != NULL || strstr(said, cases[i].says) == NULL)
			fail_msg("case %zu: %s", i, said);
	}
}

static char dir[] = "/tmp/mf-cloud-XXXXXX";

static void
put(const char *name, mode_t mode, const char *text)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static struct mf_broker_conf *
whole(void)
{
	char yaml[4096], said[4096] = "";
	(void)snprintf(yaml, sizeof(yaml),
	    ISSUER
	    "cloud_targets:\n"
	    "  - {name: rgw, backend: aws-sts, endpoint: \"http://127.0.0.1:8000\", loopback: true, region: "
	    "default, ca_file: %s/ca, revoker_key_file: %s/key, deny_bytes: 4096}\n"
	    "  - {name: op, backend: oauth, endpoint: \"https://op.example/token\", flow: token-exchange, "
	    "audience: \"https://op.example\", issuer: "
	    "\"https://b.example\", client_cert: %s/cert, client_key: %s/ckey, algorithm: ES256}\n",
	    dir, dir, dir, dir);
	struct mf_broker_conf *c = load(yaml, said, sizeof(said));
	if (c == NULL)
		fail_msg("%s", said);
	return c;
}

static Mayfly__Roles__V1__CloudConf *
made(const struct mf_broker_conf *c, bool secrets)
{
	int fd = -1;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_PB_BYTES);
	if (mf_broker_cloud(c, secrets, &fd, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(mf_file_read_all(fd, &b, NULL), MF_OK);
	assert_int_equal(close(fd), 0);
	Mayfly__Roles__V1__CloudConf *m = mayfly__roles__v1__cloud_conf__unpack(NULL, b.n, b.p);
	assert_non_null(m);
	assert_int_equal(m->n_targets, 2);
	return m;
}

static void
files(void)
{
	put("ca", 0644, "-----BEGIN");
	put("key", 0600, "ACCESS:s3cret/x+y\n");
	put("cert", 0644, "chain");
	put("ckey", 0600, "private");
}

static void
test_handed_over(void **state)
{
	MF_UNUSED(state);
	files();
	MF_AUTO(mf_broker_conf_free) struct mf_broker_conf *c = whole();
	Mayfly__Roles__V1__CloudConf *m = made(c, true);
	assert_string_equal(m->issuer, "https://oidc.example.org/td1");
	assert_string_equal(m->targets[0]->name, "rgw");
	assert_string_equal(m->targets[0]->backend, "aws-sts");
	assert_string_equal(m->targets[0]->ca_pem, "-----BEGIN");
	assert_string_equal(m->targets[0]->access_key, "ACCESS");
	assert_string_equal(m->targets[0]->secret_key, "s3cret/x+y");
	assert_true(m->targets[0]->loopback);
	assert_int_equal(m->targets[0]->deny_bytes, 4096);
	assert_string_equal(m->targets[1]->issuer, "https://b.example");
	assert_int_equal(m->targets[1]->client_key_pem.len, 7);
	assert_string_equal(m->targets[0]->algorithm, "");
	assert_string_equal(m->targets[1]->algorithm, "ES256");
	mayfly__roles__v1__cloud_conf__free_unpacked(m, NULL);
	m = made(c, false);
	for (size_t i = 0; i < m->n_targets; i++) {
		assert_string_equal(m->targets[i]->access_key, "");
		assert_string_equal(m->targets[i]->secret_key, "");
		assert_int_equal(m->targets[i]->client_key_pem.len, 0);
	}
	assert_string_equal(m->targets[0]->ca_pem, "-----BEGIN");
	mayfly__roles__v1__cloud_conf__free_unpacked(m, NULL);
}

static void
test_bad_files(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *name;
		mode_t mode;
		const char *text, *says;
	} cases[] = {
		{ "key", 0644, "A:b", "key" },
		{ "key", 0600, "A", "ACCESS:SECRET" },
		{ "key", 0600, ":b", "ACCESS:SECRET" },
		{ "key", 0600, "a:", "ACCESS:SECRET" },
		{ "key", 0600, "a:b\nc", "ACCESS:SECRET" },
		{ "key", 0600, "", "ACCESS:SECRET" },
		{ "ca", 0666, "x", "ca" },
		{ "ckey", 0640, "x", "ckey" },
	};
	MF_AUTO(mf_broker_conf_free) struct mf_broker_conf *c = whole();
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		int fd = -1;
		struct mf_err err = { 0 };
		files();
		put(cases[i].name, cases[i].mode, cases[i].text);
		assert_int_not_equal(mf_broker_cloud(c, true, &fd, &err), MF_OK);
		assert_int_equal(fd, -1);
		if (strstr(err.msg, cases[i].says) == NULL || strstr(err.msg, "cloud target ") == NULL)
			fail_msg("case %zu: %s", i, err.msg);
	}
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	static const char *const names[] = { "ca", "key", "cert", "ckey" };
	char path[256];
	for (size_t i = 0; i < MF_COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	return rmdir(dir);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	return mkdtemp(dir) == NULL ? -1 : 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_handed_over),
		cmocka_unit_test(test_bad_files),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
