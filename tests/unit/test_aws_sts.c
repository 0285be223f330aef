/* aws-sts: session policies, the requests, the reader of XML, and deny lists, against replies of AWS and of Ceph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "broker/backends/aws_sts/internal.h"
#include "broker/backends/aws_sts/xml.h"
#include "codec/url.h"

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static struct mf_scope *
scope(const char *const *actions, size_t actions_n, const char *const *resources, size_t n)
{
	struct mf_scope *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->statements_n = 1;
	s->statements[0].actions = actions;
	s->statements[0].actions_n = actions_n;
	for (size_t i = 0; i < n; i++)
		s->statements[0].resources[i] = mf_slice_str(resources[i]);
	s->statements[0].resources_n = n;
	return s;
}

static void
test_policy(void **state)
{
	MF_UNUSED(state);
	static const char *const actions[] = { "s3:GetObject", "s3:ListBucket" };
	static const char *const resources[] = { "arn:aws:s3:::data/runs/j-1/*",
		"arn:aws:s3:::data?prefix=runs/j-1/" };
	static const char *const wide[] = { "arn:aws:s3:::data?prefix=", "arn:aws:s3:::data?prefix=runs/j-1",
		"arn:aws:s3:::data?prefix=*/", "arn:aws:s3:::data?prefix=runs/?prefix=x/" };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	struct mf_scope *s = scope(actions, 2, resources, 2);
	assert_int_equal(mf_aws_session_policy(s, 1795300260, &b, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&b),
	    "{\"Version\":\"2012-10-17\",\"Statement\":["
	    "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:ListBucket\"],\"Resource\":[\"arn:aws:"
	    "s3:::data\"],"
	    "\"Condition\":{\"DateLessThan\":{\"aws:CurrentTime\":\"2026-11-21T22:31:00Z\"},"
	    "\"StringLike\":{\"s3:prefix\":\"runs/j-1/*\"}}},"
	    "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:ListBucket\"],"
	    "\"Resource\":[\"arn:aws:s3:::data/runs/j-1/*\"],"
	    "\"Condition\":{\"DateLessThan\":{\"aws:CurrentTime\":\"2026-11-21T22:31:00Z\"}}}]}");
	mf_buf_reset(&b);
	s->statements[0].resources_n = 1;
	assert_int_equal(mf_aws_session_policy(s, 0, &b, NULL), MF_OK);
	assert_null(strstr(mf_buf_cstr(&b), "Condition"));
	/* Nothing may come to mean everything. */
	s->statements[0].resources_n = 0;
	assert_int_equal(mf_aws_session_policy(s, 0, &b, NULL), MF_E_INVALID);
	free(s);
	s = scope(actions, 0, resources, 1);
	assert_int_equal(mf_aws_session_policy(s, 0, &b, NULL), MF_E_INVALID);
	free(s);
	for (size_t i = 0; i < MF_COUNT(wide); i++) {
		s = scope(actions, 2, &wide[i], 1);
		assert_int_equal(mf_aws_session_policy(s, 0, &b, NULL), MF_E_INVALID);
		free(s);
	}
}

static void
test_policy_limit(void **state)
{
	MF_UNUSED(state);
	static const char *const actions[] = { "s3:GetObject" };
	static char resource[2048];
	memset(resource, 'r', sizeof(resource) - 1);
	const char *const resources[] = { resource };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	struct mf_scope *s = scope(actions, 1, resources, 1);
	size_t frame;
	s->statements[0].resources[0].n = 1;
	assert_int_equal(mf_aws_session_policy(s, 0, &b, NULL), MF_OK);
	frame = b.n - 1;
	for (size_t n = MF_AWS_POLICY_MAX - frame; n <= MF_AWS_POLICY_MAX - frame + 1; n++) {
		mf_buf_reset(&b);
		s->statements[0].resources[0].n = n;
		assert_int_equal(mf_aws_session_policy(s, 0, &b, NULL),
		    n + frame <= MF_AWS_POLICY_MAX ? MF_OK : MF_E_TOOBIG);
	}
	free(s);
}

static void
test_xml(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *doc, *want; /* NULL: refused */
	} cases[] = {
		{ "<a><p><x>1</x></p></a>", "1" },
		{ "<?xml version='1.0'?>\n<a xmlns='u>v'><!-- c --><p a=\"b\"><n:x>1 "
		  "&lt;&amp;&quot;&#34;&#x26;&apos;&gt;</n:x></p>\n</a>\n",
		    "1 <&\"\"&'>" },
		{ "<a><q><x>no</x></q></a>", "" },
		{ "<a><p><x/></p></a>", "" },
		{ "<a/>", "" },
		{ "<a><p><x>&#233;&#x20ac;&#x1F600;</x></p></a>", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "<a><p><x>1</x><x>2</x></p></a>", NULL },
		{ "<a><p><x>&lol;</x></p></a>", NULL },
		{ "<a><p><x>&#0;</x></p></a>", NULL },
		{ "<a><p><x>&#xd800;</x></p></a>", NULL },
		{ "<a><p><x>&#1114112;</x></p></a>", NULL },
		{ "<a><p><x>&amp</x></p></a>", NULL },
		{ "<!DOCTYPE a [<!ENTITY e 'v'>]><a/>", NULL },
		{ "<a><p><x><![CDATA[1]]></x></p></a>", NULL },
		{ "<a><p></a></p>", NULL },
		{ "<a></b>", NULL },
		{ "<a>", NULL },
		{ "</a>", NULL },
		{ "", NULL },
		{ "text", NULL },
		{ "<a/><b/>", NULL },
		{ "<a/>text", NULL },
		{ "<a <b>", NULL },
		{ "<a><!-- </a>", NULL },
		{ "<", NULL },
		{ "<>", NULL },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 256);
		const struct mf_aws_want w = { "p", "x", &b };
		enum mf_status s = mf_aws_xml_read(mf_slice_str(cases[i].doc), &w, 1, NULL);
		if ((s == MF_OK) != (cases[i].want != NULL))
			fail_msg("%s", cases[i].doc);
		if (s == MF_OK)
			assert_string_equal(mf_buf_cstr(&b), cases[i].want);
	}
}

static void
test_xml_caps(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf doc, b;
	mf_buf_init(&doc, 1 << 20);
	mf_buf_init(&b, 4);
	const struct mf_aws_want w = { NULL, "x", &b };
	for (unsigned i = 0; i < MF_AWS_XML_DEPTH + 1; i++)
		mf_buf_put_str(&doc, "<a>");
	assert_int_equal(mf_aws_xml_read(mf_buf_slice(&doc), &w, 1, NULL), MF_E_TOOBIG);
	assert_int_equal(mf_aws_xml_read(MF_SLICE_LIT("<a><x>12345</x></a>"), &w, 1, NULL), MF_E_TOOBIG);
	mf_buf_reset(&doc);
	while (doc.n <= MF_AWS_XML_MAX)
		mf_buf_put_str(&doc, "          ");
	assert_int_equal(mf_aws_xml_read(mf_buf_slice(&doc), &w, 1, NULL), MF_E_TOOBIG);
}

/* Ceph 16: no namespace, AssumeRoleId, nanoseconds, no account. */
static void
test_ceph_session(void **state)
{
	MF_UNUSED(state);
	static const char doc[] =
	    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><"
	    "SubjectFromWebIdentityToken>s"
	    "</SubjectFromWebIdentityToken><Audience>sts.amazonaws.com</"
	    "Audience><AssumedRoleUser><Arn>arn:aws:sts:::"
	    "assumed-role/train/j-1</Arn><AssumeRoleId>u:j-1</AssumeRoleId></"
	    "AssumedRoleUser><Credentials><AccessKeyId>"
	    "AKxyz</AccessKeyId><SecretAccessKey>SK</"
	    "SecretAccessKey><Expiration>2026-11-21T22:46:03.123456789Z"
	    "</Expiration><SessionToken>tok</SessionToken></Credentials><Provider>p</"
	    "Provider><PackedPolicySize>0"
	    "</PackedPolicySize></AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>tx0001-abc"
	    "</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>";
	struct backend_run r = mf_backend_mint(&mf_backend_kits[0], 200, mf_slice_str(doc));
	assert_true(r.result.minted);
	assert_int_equal(r.result.expires, 1795301163);
	assert_string_equal(r.result.principal, "arn:aws:sts:::assumed-role/train/j-1");
	assert_string_equal(r.result.provider_session, "AKxyz");
	assert_string_equal(r.result.provider_request_id, "tx0001-abc");
	mf_backend_done(&r);
}

static void
test_mint_form(void **state)
{
	MF_UNUSED(state);
	Mayfly__Roles__V1__CloudTarget t;
	Mayfly__Roles__V1__MintRequest m;
	struct mf_cloud_op *op = NULL;
	struct mf_http_request req;
	mf_backend_target(&mf_backend_kits[0], &t);
	mf_backend_mint_request(&m);
	uint8_t policy[] = "{\"a\": \"b+c\"}";
	m.scope = (ProtobufCBinaryData) { sizeof(policy) - 1, policy };
	struct mf_cloud_job job = { .target = &t, .mint = &m, .now_s = BACKEND_NOW };
	assert_int_equal(mf_backend_aws_sts.start(MF_CLOUD_MINT, &job, &op, NULL), MF_OK);
	assert_int_equal(mf_backend_aws_sts.next(op, NULL, &req), MF_CLOUD_SEND);
	assert_string_equal(req.url, "https://sts.eu-central-1.amazonaws.com/");
	assert_true(mf_slice_eq_str(req.body,
	    "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%"
	    "3Arole%2Ftrain"
	    "&RoleSessionName=j-1&DurationSeconds=3600&Policy=%7B%22a%22%3A%20%22b%2Bc%22%7D"
	    "&WebIdentityToken=h.CANARYassertion.s"));
	for (size_t i = 0; i < req.headers_n; i++)
		assert_string_not_equal(req.headers[i].name, "Authorization");
	mf_backend_aws_sts.free(op);
}

/* ---- revocations: a fake IAM that holds one policy ---- */

struct iam {
	char document[65536];
	bool encoded; /* as AWS gives it */
	size_t room;  /* LimitExceeded beyond; 0: none */
	unsigned gets, puts, deletes, assumes;
	const char *fail; /* an action that is refused */
};

static bool
is_action(struct mf_slice body, const char *action)
{
	char want[64];
	(void)snprintf(want, sizeof(want), "Action=%s&", action);
	return mf_slice_starts(body, mf_slice_str(want));
}

/* The value of ${key} in a form, decoded. */
static void
form_value(struct mf_slice body, const char *key, struct mf_buf *to)
{
	char want[64];
	int n = snprintf(want, sizeof(want), "&%s=", key);
	for (size_t i = 0; i + (size_t)n <= body.n; i++) {
		struct mf_slice rest = mf_slice_sub(body, i, body.n);
		if (!mf_slice_starts(rest, mf_slice_str(want)))
			continue;
		size_t end = (size_t)n;
		while (end < rest.n && rest.p[end] != '&')
			end++;
		assert_int_equal(
		    mf_url_decode(mf_slice_sub(rest, (size_t)n, end - (size_t)n), to, NULL), MF_OK);
		return;
	}
}

static void
answer(struct iam *m, struct mf_slice body, struct mf_buf *text_of, struct mf_http_reply *to)
{
	*to = (struct mf_http_reply) { .status = 200, .sent = true };
	mf_buf_reset(text_of);
	if (m->fail != NULL && is_action(body, m->fail)) {
		to->status = 403;
		mf_buf_put_str(
		    text_of, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>");
	} else if (is_action(body, "AssumeRoleWithWebIdentity")) {
		m->assumes++;
		mf_buf_put_str(text_of, mf_backend_kits[0].good);
	} else if (is_action(body, "GetRolePolicy")) {
		m->gets++;
		if (m->document[0] == '\0') {
			to->status = 404;
			mf_buf_put_str(text_of,
			    "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>");
		} else {
			mf_buf_put_str(
			    text_of, "<GetRolePolicyResponse><GetRolePolicyResult><PolicyDocument>");
			if (m->encoded)
				mf_url_encode(text_of, mf_slice_str(m->document));
			else
				for (const char *p = m->document; *p != '\0'; p++)
					mf_buf_putf(text_of, *p == '"' ? "&quot;" : "%c", *p);
			mf_buf_put_str(
			    text_of, "</PolicyDocument></GetRolePolicyResult></GetRolePolicyResponse>");
		}
	} else if (is_action(body, "PutRolePolicy")) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf doc;
		mf_buf_init(&doc, sizeof(m->document));
		form_value(body, "PolicyDocument", &doc);
		if (m->room > 0 && doc.n > m->room) {
			to->status = 409;
			mf_buf_put_str(text_of,
			    "<ErrorResponse><Error><Code>LimitExceeded</Code></Error></ErrorResponse>");
		} else {
			m->puts++;
			(void)snprintf(m->document, sizeof(m->document), "%s", mf_buf_cstr(&doc));
			mf_buf_put_str(text_of,
			    "<R><ResponseMetadata><RequestId>put-1</RequestId></ResponseMetadata></R>");
		}
	} else {
		assert_true(is_action(body, "DeleteRolePolicy"));
		m->deletes++;
		m->document[0] = '\0';
		mf_buf_put_str(text_of, "<R/>");
	}
	to->body = mf_buf_slice(text_of);
}

struct list {
	Mayfly__Roles__V1__CloudDeny v[600], *p[600];
	char values[600][40];
	size_t n;
};

static void
put(struct list *l, const char *tag, const char *value)
{
	mayfly__roles__v1__cloud_deny__init(&l->v[l->n]);
	(void)snprintf(l->values[l->n], sizeof(l->values[0]), "%s", value);
	l->v[l->n].tag = text(tag);
	l->v[l->n].value = l->values[l->n];
	l->p[l->n] = &l->v[l->n];
	l->n++;
}

static bool looks; /* the next requests read only */
struct revoked {
	Mayfly__Roles__V1__CloudRevokeResult r;
	struct mf_cloud_op *op;
};

static bool whole; /* the next requests name all that may stand */

static struct revoked
revoke(struct iam *m, const struct list *deny, const struct list *undeny, int64_t older_than, bool by_key)
{
	static Mayfly__Roles__V1__CloudTarget t;
	static Mayfly__Roles__V1__CloudRevokeRequest req;
	static uint8_t assertion[] = "a.b.c";
	struct revoked out = { .op = NULL };
	struct mf_http_request http;
	struct mf_http_reply reply;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1 << 18);
	mf_backend_target(&mf_backend_kits[0], &t);
	if (by_key) {
		t.access_key = text("AKADMIN");
		t.secret_key = text("secret");
		t.endpoint = t.admin_endpoint = text("http://127.0.0.1:8000");
	}
	mayfly__roles__v1__cloud_revoke_request__init(&req);
	req.role = text("arn:aws:iam::111122223333:role/a/train");
	req.assertion = (ProtobufCBinaryData) { sizeof(assertion) - 1, assertion };
	req.deny = (Mayfly__Roles__V1__CloudDeny **)(uintptr_t)deny->p;
	req.n_deny = deny->n;
	if (undeny != NULL) {
		req.undeny = (Mayfly__Roles__V1__CloudDeny **)(uintptr_t)undeny->p;
		req.n_undeny = undeny->n;
	}
	req.older_than = older_than;
	req.whole = whole;
	req.look = looks;
	struct mf_cloud_job job = { .target = &t, .revoke = &req, .now_s = BACKEND_NOW };
	assert_int_equal(mf_backend_aws_sts.start(MF_CLOUD_REVOKE, &job, &out.op, NULL), MF_OK);
	enum mf_cloud_step s = mf_backend_aws_sts.next(out.op, NULL, &http);
	for (unsigned i = 0; s == MF_CLOUD_SEND; i++) {
		bool sts = is_action(http.body, "AssumeRoleWithWebIdentity");
		assert_true(i < 16);
		assert_true(sts || http.headers_n >= 3);
		if (!sts)
			assert_string_equal(
			    http.url, by_key ? "http://127.0.0.1:8000/" : "https://iam.amazonaws.com/");
		answer(m, http.body, &b, &reply);
		s = mf_backend_aws_sts.next(out.op, &reply, &http);
	}
	mayfly__roles__v1__cloud_revoke_result__init(&out.r);
	mf_backend_aws_sts.revoke_result(out.op, &out.r);
	return out;
}

/* Reading the list only: nothing is written, whatever the request names. */
static void
test_look(void **state)
{
	MF_UNUSED(state);
	struct iam *m = calloc(1, sizeof(*m));
	struct list *deny = calloc(1, sizeof(*deny));
	assert_true(m != NULL && deny != NULL);
	put(deny, "mayfly-job", "j-1");
	looks = true;
	struct revoked o = revoke(m, deny, NULL, 0, false);
	assert_true(o.r.confirmed);
	assert_int_equal(m->puts, 0);
	mf_backend_aws_sts.free(o.op);
	looks = false;
	o = revoke(m, deny, NULL, 0, false);
	assert_int_equal(m->puts, 1);
	mf_backend_aws_sts.free(o.op);
	free(m);
	free(deny);
}

static void
test_deny(void **state)
{
	MF_UNUSED(state);
	for (unsigned encoded = 0; encoded < 2; encoded++) {
		struct iam *m = calloc(1, sizeof(*m));
		struct list *deny = calloc(1, sizeof(*deny)), *undeny = calloc(1, sizeof(*undeny));
		assert_true(m != NULL && deny != NULL && undeny != NULL);
		m->encoded = encoded != 0;
		put(deny, "mayfly-job", "j-1");
		put(deny, "mayfly-cred", "0193-x");
		struct revoked o = revoke(m, deny, NULL, 0, false);
		assert_true(o.r.confirmed);
		assert_int_equal(o.r.level, 2);
		assert_int_equal(o.r.dead_at, BACKEND_NOW + 300);
		assert_false(o.r.overflow);
		assert_string_equal(o.r.provider_request_id, "put-1");
		assert_string_equal(m->document,
		    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"MayflyJob\",\"Effect\":\"Deny\","
		    "\"Action\":\"*\","
		    "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"aws:PrincipalTag/"
		    "mayfly-job\":[\"j-1\"]}}},"
		    "{\"Sid\":\"MayflyCred\",\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\","
		    "\"Condition\":"
		    "{\"StringEquals\":{\"aws:PrincipalTag/mayfly-cred\":[\"0193-x\"]}}}]}");
		mf_backend_aws_sts.free(o.op);
		/* What stands there already is not written again. */
		o = revoke(m, deny, NULL, 0, false);
		assert_true(o.r.confirmed);
		assert_int_equal(m->puts, 1);
		mf_backend_aws_sts.free(o.op);
		/* Entries of another broker stay, one that is over leaves. */
		memset(deny, 0, sizeof(*deny));
		put(deny, "mayfly-lease", "l-7.2");
		put(undeny, "mayfly-cred", "0193-x");
		o = revoke(m, deny, undeny, 0, false);
		assert_true(o.r.confirmed);
		mf_backend_aws_sts.free(o.op);
		assert_non_null(strstr(m->document, "[\"j-1\"]"));
		assert_non_null(strstr(m->document, "[\"l-7.2\"]"));
		assert_null(strstr(m->document, "0193-x"));
		/* A list that is whole leaves nothing else standing. */
		char *before = strdup(m->document);
		assert_non_null(before);
		whole = true;
		o = revoke(m, deny, NULL, 0, false);
		whole = false;
		assert_true(o.r.confirmed);
		mf_backend_aws_sts.free(o.op);
		assert_null(strstr(m->document, "[\"j-1\"]"));
		assert_non_null(strstr(m->document, "[\"l-7.2\"]"));
		(void)snprintf(m->document, sizeof(m->document), "%s", before);
		free(before);
		/* The last one gone: the policy goes, too. */
		memset(deny, 0, sizeof(*deny));
		put(undeny, "mayfly-job", "j-1");
		put(undeny, "mayfly-lease", "l-7.2");
		o = revoke(m, deny, undeny, 0, false);
		assert_true(o.r.confirmed);
		assert_int_equal(m->deletes, 1);
		assert_int_equal(m->assumes, 5);
		mf_backend_aws_sts.free(o.op);
		free(m);
		free(deny);
		free(undeny);
	}
}

static void
test_sessions(void **state)
{
	MF_UNUSED(state);
	struct iam *m = calloc(1, sizeof(*m));
	struct list *deny = calloc(1, sizeof(*deny));
	assert_true(m != NULL && deny != NULL);
	struct revoked o = revoke(m, deny, NULL, BACKEND_NOW, true);
	assert_true(o.r.confirmed);
	assert_int_equal(o.r.level, 3);
	assert_int_equal(o.r.dead_at, BACKEND_NOW); /* a store, not AWS: with the next request */
	assert_int_equal(m->assumes, 0);
	assert_non_null(
	    strstr(m->document, "\"DateLessThan\":{\"aws:TokenIssueTime\":\"2026-11-21T22:26:40Z\"}"));
	mf_backend_aws_sts.free(o.op);
	/* It stays with later denials, and goes when no such session can be alive. */
	put(deny, "mayfly-job", "j-1");
	o = revoke(m, deny, NULL, 0, true);
	assert_int_equal(o.r.level, 2);
	assert_non_null(strstr(m->document, "aws:TokenIssueTime"));
	mf_backend_aws_sts.free(o.op);
	(void)snprintf(m->document, sizeof(m->document),
	    "{\"Statement\":{\"Effect\":\"Deny\",\"Condition\":{\"DateLessThan\":{\"aws:TokenIssueTime\":"
	    "\"2026-11-20T22:26:40Z\"}}}}");
	o = revoke(m, deny, NULL, 0, true);
	assert_true(o.r.confirmed);
	assert_null(strstr(m->document, "aws:TokenIssueTime"));
	mf_backend_aws_sts.free(o.op);
	free(m);
	free(deny);
}

static void
test_overflow(void **state)
{
	MF_UNUSED(state);
	struct iam *m = calloc(1, sizeof(*m));
	struct list *deny = calloc(1, sizeof(*deny));
	assert_true(m != NULL && deny != NULL);
	for (unsigned i = 0; i < 600; i++) {
		char v[40];
		(void)snprintf(v, sizeof(v), "j-aaaaaaaaaaaaaaaaa%03u", i);
		put(deny, "mayfly-job", v);
	}
	struct revoked o = revoke(m, deny, NULL, 0, false);
	assert_true(o.r.confirmed);
	assert_true(o.r.overflow);
	assert_true(strlen(m->document) <= MF_AWS_DENY_BYTES && strlen(m->document) > MF_AWS_DENY_BYTES - 64);
	assert_true(o.r.n_denied > 350 && o.r.n_denied < 600);
	/* The first ones stand. */
	for (size_t i = 0; i < o.r.n_denied; i++)
		assert_ptr_equal(o.r.denied[i], deny->p[i]);
	mf_backend_aws_sts.free(o.op);
	/* Other policies of the role take room. */
	m->document[0] = '\0';
	m->room = 3000;
	o = revoke(m, deny, NULL, 0, false);
	assert_true(o.r.confirmed);
	assert_true(o.r.overflow);
	assert_true(strlen(m->document) <= 3000 && o.r.n_denied > 50);
	mf_backend_aws_sts.free(o.op);
	m->document[0] = '\0';
	m->room = 10;
	o = revoke(m, deny, NULL, 0, false);
	assert_false(o.r.confirmed);
	mf_backend_aws_sts.free(o.op);
	free(m);
	free(deny);
}

static void
test_revoke_fails(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *action, *want;
	} cases[] = { { "AssumeRoleWithWebIdentity", "trust" }, { "GetRolePolicy", "denied" },
		{ "PutRolePolicy", "denied" } };
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct iam *m = calloc(1, sizeof(*m));
		struct list *deny = calloc(1, sizeof(*deny));
		assert_true(m != NULL && deny != NULL);
		put(deny, "mayfly-job", "j-1");
		m->fail = cases[i].action;
		struct revoked o = revoke(m, deny, NULL, 0, false);
		assert_false(o.r.confirmed);
		assert_string_equal(o.r.error, cases[i].want);
		assert_non_null(strstr(o.r.reason, cases[i].action));
		mf_backend_aws_sts.free(o.op);
		free(m);
		free(deny);
	}
}

/* A document that cannot be read is replaced: a revocation does not wait for somebody to mend it. */
static void
test_spoilt_document(void **state)
{
	MF_UNUSED(state);
	static const char deny_letters[] =
	    "{\"Statement\":[{\"Effect\":\"Deny\",\"Condition\":{\"StringEquals\":"
	    "{\"aws:PrincipalTag/mayfly-job\":\"<x>\"}}}]}";
	static const char *const docs[] = { "not json", "{}", "{\"Statement\":[{\"Effect\":\"Allow\"}]}",
		deny_letters };
	for (size_t i = 0; i < MF_COUNT(docs); i++) {
		struct iam *m = calloc(1, sizeof(*m));
		struct list *deny = calloc(1, sizeof(*deny));
		assert_true(m != NULL && deny != NULL);
		m->encoded = true;
		(void)snprintf(m->document, sizeof(m->document), "%s", docs[i]);
		put(deny, "mayfly-job", "j-1");
		struct revoked o = revoke(m, deny, NULL, 0, false);
		assert_true(o.r.confirmed);
		assert_non_null(strstr(m->document, "[\"j-1\"]"));
		mf_backend_aws_sts.free(o.op);
		free(m);
		free(deny);
	}
}

static void
test_targets(void **state)
{
	MF_UNUSED(state);
	Mayfly__Roles__V1__CloudTarget t;
	struct mf_err err = { 0 };
	mf_backend_target(&mf_backend_kits[0], &t);
	t.admin_endpoint = text("");
	assert_int_equal(mf_backend_aws_sts.check(&t, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "admin_endpoint"));
	mf_backend_target(&mf_backend_kits[0], &t);
	t.region = text("");
	assert_int_equal(mf_backend_aws_sts.check(&t, &err), MF_E_INVALID);
	mf_backend_target(&mf_backend_kits[0], &t);
	t.flow = text("jwt-bearer");
	assert_int_equal(mf_backend_aws_sts.check(&t, &err), MF_E_INVALID);
	mayfly__roles__v1__cloud_target__init(&t);
	t.endpoint = text("http://127.0.0.1:8000");
	assert_int_equal(mf_backend_aws_sts.check(&t, &err), MF_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_policy_limit),
		cmocka_unit_test(test_xml),
		cmocka_unit_test(test_xml_caps),
		cmocka_unit_test(test_ceph_session),
		cmocka_unit_test(test_mint_form),
		cmocka_unit_test(test_look),
		cmocka_unit_test(test_deny),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_revoke_fails),
		cmocka_unit_test(test_spoilt_document),
		cmocka_unit_test(test_targets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
