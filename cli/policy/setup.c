#include "cli/policy/setup.h"

#include "codec/json_write.h"

#define DOCUMENT_MAX 16384u
#define REVOKED "mayfly-revoked" /* the policy of broker/backends/aws_sts */

const char *const mf_setup_kinds[MF_SETUP_KINDS + 1] = { "aws", "rgw", "minio", "oauth", NULL };

/* ---- parts of names ---- */

/* Every {name} becomes "*", and so does what is "*" already beside it: what the template can mean at most. */
static void
put_pattern(struct mf_buf *to, const char *template)
{
	for (const char *p = template; *p != '\0'; p++) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL;
		char c = end == NULL ? *p : '*';
		if (c != '*' || to->n == 0 || to->p[to->n - 1] != '*')
			mf_buf_put_u8(to, (uint8_t)c);
		p = end == NULL ? p : end;
	}
}

static const char *
role_name(const char *arn)
{
	const char *slash = strrchr(arn, '/');
	return slash == NULL ? arn : slash + 1;
}

/* arn:aws:iam::ACCOUNT:role/NAME */
static struct mf_slice
account(const char *arn)
{
	const char *p = arn;
	for (unsigned i = 0; i < 4 && p != NULL; i++) {
		p = strchr(p, ':');
		p = p == NULL ? NULL : p + 1;
	}
	const char *end = p == NULL ? NULL : strchr(p, ':');
	return end == NULL ? mf_slice("", 0) : mf_slice(p, (size_t)(end - p));
}

/* AWS' least and default is an hour, which is plenty for the broker's own role. */
static uint64_t
max_session_s(const struct mf_setup *s, const char *arn)
{
	uint64_t ttl_s = s->grant->ttl_ms / 1000;
	return arn != s->grant->role || ttl_s < 3600 ? 3600 : ttl_s;
}

/* AWS and its likes name a provider without the scheme. */
static const char *
bare(const char *issuer)
{
	const char *p = strstr(issuer, "://");
	return p == NULL ? issuer : p + 3;
}

/* ---- documents ---- */

static void
put_array(struct mf_jw *w, const char *key, const char *const *v, size_t n)
{
	mf_jw_key(w, key);
	mf_jw_array_begin(w);
	for (size_t i = 0; i < n; i++)
		mf_jw_str(w, v[i]);
	mf_jw_array_end(w);
}

static void
put_condition(struct mf_jw *w, const char *how, const char *host, const char *claim, const char *value)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf key;
	mf_buf_init(&key, 1024);
	mf_buf_putf(&key, "%s:%s", host, claim);
	mf_jw_key(w, how);
	mf_jw_object_begin(w);
	mf_jw_key_slice(w, mf_buf_slice(&key));
	mf_jw_str(w, value);
	mf_jw_object_end(w);
}

static void
begin(struct mf_jw *w, struct mf_buf *to)
{
	mf_jw_init(w, to, false);
	mf_jw_object_begin(w);
	mf_jw_kstr(w, "Version", "2012-10-17");
	mf_jw_key(w, "Statement");
	mf_jw_array_begin(w);
}

static enum mf_status
end(struct mf_jw *w, struct mf_err *err)
{
	mf_jw_array_end(w);
	mf_jw_object_end(w);
	return mf_jw_finish(w, err);
}

/* Who may assume a role: assertions of this issuer, for this audience, about ${subject}. */
static enum mf_status
put_trust(const struct mf_setup *s, const char *arn, const char *subject, bool exact, struct mf_buf *to,
    struct mf_err *err)
{
	/* Ceph does not know the action that AWS asks for before it takes a source identity. */
	static const char *const actions[] = { "sts:AssumeRoleWithWebIdentity", "sts:TagSession",
		"sts:SetSourceIdentity" };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf provider;
	struct mf_slice acct = s->kind == MF_SETUP_AWS ? account(arn) : mf_slice("", 0);
	struct mf_jw w;
	mf_buf_init(&provider, 1024);
	mf_buf_putf(&provider, "arn:aws:iam::%.*s:oidc-provider/%s", (int)acct.n, (const char *)acct.p,
	    bare(s->issuer));
	MF_TRY(mf_buf_check(&provider, err));
	begin(&w, to);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "Effect", "Allow");
	mf_jw_key(&w, "Principal");
	mf_jw_object_begin(&w);
	mf_jw_kstring(&w, "Federated", mf_buf_slice(&provider));
	mf_jw_object_end(&w);
	put_array(&w, "Action", actions, s->kind == MF_SETUP_AWS ? 3 : 2);
	mf_jw_key(&w, "Condition");
	mf_jw_object_begin(&w);
	if (s->kind == MF_SETUP_AWS)
		put_condition(&w, "StringEquals", bare(s->issuer), "aud", s->audience);
	put_condition(&w, exact && s->kind != MF_SETUP_AWS ? "StringEquals" : "StringLike", bare(s->issuer),
	    "sub", subject);
	mf_jw_object_end(&w);
	mf_jw_object_end(&w);
	return end(&w, err);
}

/* The outer bound: each token gets less, by its session policy. "?prefix=" is how a grant says that listing ends there. */
static enum mf_status
put_bound(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	begin(&w, to);
	for (size_t i = 0; i < s->grant->scope_n; i++) {
		const struct mf_scope_statement *st = &s->grant->scope[i];
		mf_jw_object_begin(&w);
		mf_jw_kstr(&w, "Effect", "Allow");
		put_array(&w, "Action", st->actions, st->actions_n);
		mf_jw_key(&w, "Resource");
		mf_jw_array_begin(&w);
		for (size_t k = 0; k < st->resources_n; k++) {
			MF_AUTO_IN(mf_buf_fini) struct mf_buf r;
			mf_buf_init(&r, 4096);
			put_pattern(&r, st->resources[k]);
			const uint8_t *query = r.failed != MF_OK ? NULL : memchr(r.p, '?', r.n);
			mf_jw_string(&w, mf_slice(r.p, query == NULL ? r.n : (size_t)(query - r.p)));
		}
		if (st->resources_n == 0)
			mf_jw_str(&w, "*");
		mf_jw_array_end(&w);
		mf_jw_object_end(&w);
	}
	return end(&w, err);
}

/* Deny lists of that role, and nothing else. */
static enum mf_status
put_revoker(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err)
{
	static const char *const actions[] = { "iam:GetRolePolicy", "iam:PutRolePolicy",
		"iam:DeleteRolePolicy" };
	struct mf_jw w;
	begin(&w, to);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "Effect", "Allow");
	put_array(&w, "Action", actions, MF_COUNT(actions));
	put_array(&w, "Resource", &s->grant->role, 1);
	mf_jw_object_end(&w);
	return end(&w, err);
}

struct documents {
	struct mf_buf trust, bound, revoker_trust, revoker;
};

static void
documents_init(struct documents *d)
{
	mf_buf_init(&d->trust, DOCUMENT_MAX);
	mf_buf_init(&d->bound, DOCUMENT_MAX);
	mf_buf_init(&d->revoker_trust, DOCUMENT_MAX);
	mf_buf_init(&d->revoker, DOCUMENT_MAX);
}

static void
documents_fini(struct documents *d)
{
	mf_buf_fini(&d->trust);
	mf_buf_fini(&d->bound);
	mf_buf_fini(&d->revoker_trust);
	mf_buf_fini(&d->revoker);
}

static void
put_subject(const struct mf_setup *s, struct mf_buf *to)
{
	mf_buf_putf(to, "spiffe://%s", s->trust_domain);
	put_pattern(to, s->subject);
}

/* What is printed is pasted into a shell: nothing in it may mean something there. */
static enum mf_status
check_plain(const struct mf_setup *s, struct mf_err *err)
{
	const char *const all[] = { s->trust_domain, s->issuer, s->audience, s->endpoint, s->revoker_role,
		s->client_id, s->subject, s->grant->role, s->grant->name };
	for (size_t i = 0; i < MF_COUNT(all); i++)
		if (strpbrk(all[i], " \t\r\n'\"\\`$;&|<>()!") != NULL)
			return MF_FAIL(err, MF_E_INVALID,
			    "%.200s: holds a letter that a shell would read: write it without", all[i]);
	for (size_t i = 0; i < s->grant->scope_n; i++) {
		const struct mf_scope_statement *st = &s->grant->scope[i];
		for (size_t k = 0; k < st->actions_n + st->resources_n; k++) {
			const char *t = k < st->actions_n ? st->actions[k] : st->resources[k - st->actions_n];
			if (strpbrk(t, "'\r\n") != NULL || strstr(t, "${") != NULL)
				return MF_FAIL(err, MF_E_INVALID,
				    "%.200s: holds a letter that a shell or Terraform would read", t);
		}
	}
	return MF_OK;
}

static enum mf_status
make(const struct mf_setup *s, struct documents *d, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf jobs, revoker;
	mf_buf_init(&jobs, 4096);
	mf_buf_init(&revoker, 4096);
	if (s->issuer[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "no issuer: set `oidc: {issuer: URL}` in broker.yaml");
	if (strstr(s->grant->role, ":role/") == NULL)
		return MF_FAIL(err, MF_E_INVALID,
		    "grant %s has no role: say which one is to be made, like role: "
		    "arn:aws:iam::123456789012:role/train",
		    s->grant->name);
	put_subject(s, &jobs);
	mf_buf_putf(&revoker, "spiffe://%s/broker/revoker", s->trust_domain);
	if (mf_buf_cstr(&jobs) == NULL || mf_buf_cstr(&revoker) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	MF_TRY(put_trust(s, s->grant->role, (const char *)jobs.p, false, &d->trust, err));
	MF_TRY(put_bound(s, &d->bound, err));
	if (s->revoker_role[0] == '\0')
		return MF_OK;
	MF_TRY(put_trust(s, s->revoker_role, (const char *)revoker.p, true, &d->revoker_trust, err));
	return put_revoker(s, &d->revoker, err);
}

#define TEXT(b) (int)(b).n, (const char *)(b).p

/* ---- commands ---- */

static void
put_role(const struct mf_setup *s, const char *arn, const struct mf_buf *trust, const char *policy,
    const struct mf_buf *document, struct mf_buf *to)
{
	const char *at = s->kind == MF_SETUP_AWS ? "" : " --endpoint-url ";
	const char *url = s->kind == MF_SETUP_AWS ? "" : s->endpoint;
	mf_buf_putf(to,
	    "aws iam create-role%s%s --role-name %s --max-session-duration %llu \\\n"
	    "  --assume-role-policy-document '%.*s'\n",
	    at, url, role_name(arn), (unsigned long long)max_session_s(s, arn), TEXT(*trust));
	mf_buf_putf(to,
	    "aws iam put-role-policy%s%s --role-name %s --policy-name %s \\\n  --policy-document '%.*s'\n",
	    at, url, role_name(arn), policy, TEXT(*document));
}

static enum mf_status
put_aws(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(documents_fini) struct documents d;
	documents_init(&d);
	MF_TRY(make(s, &d, err));
	bool aws = s->kind == MF_SETUP_AWS;
	mf_buf_putf(to, "# 1. Trust the issuer, once for each %s.\n", aws ? "account" : "store");
	mf_buf_putf(to, "aws iam create-open-id-connect-provider%s%s --url %s --client-id-list %s%s\n",
	    aws ? "" : " --endpoint-url ", aws ? "" : s->endpoint, s->issuer, s->audience,
	    aws ? "" : " --thumbprint-list 0000000000000000000000000000000000000000");
	mf_buf_putf(to,
	    "# 2. The role of profile %s, grant %s: who may have it, and what no token of it ever exceeds.\n",
	    s->profile, s->grant->name);
	put_role(s, s->grant->role, &d.trust, "mayfly-bound", &d.bound, to);
	if (s->revoker_role[0] != '\0') {
		mf_buf_putf(to, "# 3. The broker's own role, which writes the policy " REVOKED
				" of that one and nothing else.\n");
		put_role(s, s->revoker_role, &d.revoker_trust, "mayfly-revoker", &d.revoker, to);
	} else {
		mf_buf_putf(to, "# 3. Without `revoker_role` (or `revoker_key_file`) in broker.yaml nothing "
				"can be denied before it expires.\n");
	}
	return mf_buf_check(to, err);
}

static enum mf_status
put_minio(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf bound;
	mf_buf_init(&bound, DOCUMENT_MAX);
	if (s->issuer[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "no issuer: set `oidc: {issuer: URL}` in broker.yaml");
	MF_TRY(put_bound(s, &bound, err));
	mf_buf_putf(to,
	    "# 1. What no token of profile %s, grant %s ever exceeds.\nmc admin policy create STORE "
	    "mayfly-%s /dev/stdin "
	    "<<'JSON'\n%.*s\nJSON\n",
	    s->profile, s->grant->name, s->grant->name, TEXT(bound));
	mf_buf_putf(to,
	    "# 2. Trust the issuer. The secret must be long and random, although nobody uses it: MinIO takes "
	    "HS256 by it.\n"
	    "mc admin config set STORE identity_openid:mayfly config_url=%s/.well-known/openid-configuration "
	    "\\\n"
	    "  client_id=%s client_secret=\"$(openssl rand -hex 32)\" role_policy=mayfly-%s\n"
	    "mc admin service restart STORE\n# MinIO prints the ARN of the role: put it into the grant as "
	    "`role`.\n"
	    "# It has no deny list: write `on_end: expire` and a `max_residual` into the grant.\n",
	    s->issuer, s->audience, s->grant->name);
	return mf_buf_check(to, err);
}

static enum mf_status
put_oauth(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	if (s->issuer[0] == '\0' || s->client_id[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID,
		    "the authorization server needs to know an issuer and a client: set `oidc: {issuer: "
		    "URL}` and the target's "
		    "`client_id` in broker.yaml");
	mf_buf_putf(
	    to, "# Register this client at %s (RFC 7591), by hand or by its administration:\n", s->endpoint);
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "client_id", s->client_id);
	mf_jw_kstr(&w, "token_endpoint_auth_method", "private_key_jwt");
	mf_jw_kstr(&w, "token_endpoint_auth_signing_alg", "RS256");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf uri, scope;
	mf_buf_init(&uri, 1024);
	mf_buf_init(&scope, 4096);
	mf_buf_putf(&uri, "%s/keys", s->issuer);
	mf_jw_kstring(&w, "jwks_uri", mf_buf_slice(&uri));
	for (size_t i = 0; i < s->grant->scope_n; i++)
		for (size_t k = 0; k < s->grant->scope[i].actions_n; k++)
			mf_buf_putf(&scope, "%s%s", scope.n == 0 ? "" : " ", s->grant->scope[i].actions[k]);
	mf_jw_kstring(&w, "scope", mf_buf_slice(&scope));
	mf_jw_object_end(&w);
	MF_TRY(mf_jw_finish(&w, err));
	mf_buf_put_str(to, "\n# Subjects of our assertions: ");
	put_subject(s, to);
	mf_buf_putf(to, "; issuer %s\n", s->issuer);
	return mf_buf_check(to, err);
}

enum mf_status
mf_setup_commands(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err)
{
	MF_TRY(check_plain(s, err));
	if (s->kind == MF_SETUP_MINIO)
		return put_minio(s, to, err);
	return s->kind == MF_SETUP_OAUTH ? put_oauth(s, to, err) : put_aws(s, to, err);
}

/* ---- Terraform ---- */

/* "${" would be an expression: our documents hold none, for a template's braces were replaced. */
static void
put_resource(const struct mf_setup *s, const char *name, const char *arn, const struct mf_buf *trust,
    const char *policy, const struct mf_buf *document, struct mf_buf *to)
{
	mf_buf_putf(to,
	    "\nresource \"aws_iam_role\" \"%s\" {\n  name                 = \"%s\"\n  max_session_duration = "
	    "%llu\n"
	    "  assume_role_policy   = <<-JSON\n%.*s\nJSON\n}\n",
	    name, role_name(arn), (unsigned long long)max_session_s(s, arn), TEXT(*trust));
	mf_buf_putf(to,
	    "\nresource \"aws_iam_role_policy\" \"%s\" {\n  name   = \"%s\"\n  role   = aws_iam_role.%s.id\n "
	    " policy = <<-JSON\n"
	    "%.*s\nJSON\n}\n",
	    name, policy, name, TEXT(*document));
}

enum mf_status
mf_setup_terraform(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(documents_fini) struct documents d;
	documents_init(&d);
	if (s->kind != MF_SETUP_AWS && s->kind != MF_SETUP_RGW)
		return MF_FAIL(
		    err, MF_E_INVALID, "Terraform is printed for aws and rgw only: leave --terraform out");
	MF_TRY(check_plain(s, err));
	MF_TRY(make(s, &d, err));
	mf_buf_putf(to,
	    "resource \"aws_iam_openid_connect_provider\" \"mayfly\" {\n  url             = \"%s\"\n"
	    "  client_id_list  = [\"%s\"]\n}\n",
	    s->issuer, s->audience);
	put_resource(s, "mayfly_jobs", s->grant->role, &d.trust, "mayfly-bound", &d.bound, to);
	if (s->revoker_role[0] != '\0')
		put_resource(
		    s, "mayfly_revoker", s->revoker_role, &d.revoker_trust, "mayfly-revoker", &d.revoker, to);
	return mf_buf_check(to, err);
}
