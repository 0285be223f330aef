/* oauth: tokens of an authorization server. RFC 8693, 7523, 6749 4.4; RFC 7009 and 7662. See README.md. */
#include <stdlib.h>

#include "base/text.h"
#include "broker/backends/common/outcome.h"
#include "codec/json.h"
#include "codec/url.h"

#define FORM "application/x-www-form-urlencoded"
#define BODY_MAX (192u * 1024u)
#define TOKEN_MAX (32u * 1024u)
#define LIFE_MAX_S (INT64_C(400) * 86400)
#define URN "urn:ietf:params:oauth:"

struct mf_cloud_op {
	enum mf_cloud_task task;
	struct mf_cloud_job job;
	struct mf_cloud_outcome out;
	bool good, reached, active, known, jwt;
	int64_t expires;
	struct mf_buf body, token, type, scope, packed, jti;
	struct mf_http_header headers[2];
};

static const struct mf_cloud_code codes[] = {
	{ "invalid_client", "trust" },
	{ "invalid_grant", "trust" },
	{ "invalid_token", "trust" },
	{ "invalid_scope", "scope" },
	{ "invalid_target", "scope" },
	{ "unauthorized_client", "denied" },
	{ "access_denied", "denied" },
	{ "invalid_request", "config" },
	{ "unsupported_grant_type", "config" },
	{ "unsupported_token_type", "config" },
	{ "temporarily_unavailable", "transient" },
	{ "server_error", "transient" },
	{ "slow_down", "throttled" },
	{ NULL, NULL },
};

/* ---- the target ---- */

static bool
one_of(const char *v, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(v, *words) == 0)
			return true;
	return false;
}

static bool
is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static enum mf_status
check(const Mayfly__Roles__V1__CloudTarget *t, struct mf_err *err)
{
	static const char *const flows[] = { "token-exchange", "jwt-bearer", "client-credentials", NULL };
	static const char *const auths[] = { "", "none", "private_key_jwt", "tls_client_auth", NULL };
	const char *const urls[] = { t->endpoint, t->revocation_endpoint, t->introspection_endpoint };
	struct mf_url u;
	for (size_t i = 0; i < MF_COUNT(urls); i++)
		if ((i == 0 || urls[i][0] != '\0') && mf_url_parse(mf_slice_str(urls[i]), &u, NULL) != MF_OK)
			return MF_FAIL(
			    err, MF_E_INVALID, "endpoint: must be a URL, that of the token endpoint");
	if (!one_of(t->flow, flows))
		return MF_FAIL(
		    err, MF_E_INVALID, "flow: must be token-exchange, jwt-bearer or client-credentials");
	if (!one_of(t->client_auth, auths))
		return MF_FAIL(
		    err, MF_E_INVALID, "client_auth: must be private_key_jwt, tls_client_auth or none");
	bool authenticated = t->client_auth[0] != '\0' && !is(t->client_auth, "none");
	if (authenticated && t->client_id[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "client_id: client_auth needs the client's name");
	if (!authenticated && is(t->flow, "client-credentials"))
		return MF_FAIL(err, MF_E_INVALID,
		    "client_auth: the flow client-credentials is nothing without it: private_key_jwt or "
		    "tls_client_auth");
	if (t->audience[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID,
		    "audience: name what our assertions are for: mostly the authorization server's issuer");
	if (t->admin_endpoint[0] != '\0' || t->revoker_role[0] != '\0' || t->deny_bytes != 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "admin_endpoint, revoker_role and deny_bytes are not for oauth: leave them away");
	return MF_OK;
}

/* RFC 7009 only where the server has it. */
static unsigned
levels(const Mayfly__Roles__V1__CloudTarget *t)
{
	return MF_REVOKE_STOPPED | (t->revocation_endpoint[0] != '\0' ? MF_REVOKE_CREDENTIAL : 0u);
}

/* "scope=a%20b&resource=https%3A%2F%2Fx": a piece of the form, as it will be sent. */
static enum mf_status
render_scope(const Mayfly__Roles__V1__CloudTarget *t, const struct mf_scope *s, int64_t not_after,
    struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf words, form;
	MF_UNUSED(t);
	mf_buf_init(&words, 4096);
	mf_buf_init(&form, 8192);
	if (not_after > 0)
		return MF_FAIL(err, MF_E_INVALID, "oauth: a scope cannot end by itself: leave `bomb` away");
	for (size_t i = 0; i < s->statements_n; i++)
		for (size_t k = 0; k < s->statements[i].actions_n; k++)
			mf_buf_putf(&words, "%s%s", words.n == 0 ? "" : " ", s->statements[i].actions[k]);
	if (words.n > 0)
		mf_form_put(&form, "scope", mf_buf_slice(&words));
	for (size_t i = 0; i < s->statements_n; i++)
		for (size_t k = 0; k < s->statements[i].resources_n; k++)
			mf_form_put(&form, "resource", s->statements[i].resources[k]);
	MF_TRY(mf_buf_check(&words, err));
	MF_TRY(mf_buf_check(&form, err));
	mf_buf_put_slice(to, mf_buf_slice(&form));
	return mf_buf_check(to, err);
}

/* ---- requests ---- */

static void
put_client(struct mf_cloud_op *op, const ProtobufCBinaryData *assertion)
{
	const Mayfly__Roles__V1__CloudTarget *t = op->job.target;
	if (t->client_id[0] != '\0')
		mf_form_put_str(&op->body, "client_id", t->client_id);
	if (!is(t->client_auth, "private_key_jwt"))
		return;
	mf_form_put_str(&op->body, "client_assertion_type", URN "client-assertion-type:jwt-bearer");
	mf_form_put(&op->body, "client_assertion", mf_slice(assertion->data, assertion->len));
}

static void
put_grant(struct mf_cloud_op *op)
{
	const Mayfly__Roles__V1__MintRequest *m = op->job.mint;
	struct mf_slice assertion = mf_slice(m->assertion.data, m->assertion.len);
	const char *flow = op->job.target->flow;
	struct mf_buf *b = &op->body;
	if (is(flow, "token-exchange")) {
		mf_form_put_str(b, "grant_type", URN "grant-type:token-exchange");
		mf_form_put(b, "subject_token", assertion);
		mf_form_put_str(b, "subject_token_type", URN "token-type:jwt");
		mf_form_put_str(b, "requested_token_type", URN "token-type:access_token");
	} else if (is(flow, "jwt-bearer")) {
		mf_form_put_str(b, "grant_type", URN "grant-type:jwt-bearer");
		mf_form_put(b, "assertion", assertion);
	} else {
		mf_form_put_str(b, "grant_type", "client_credentials");
	}
	if (m->scope.len > 0) {
		mf_buf_put_u8(b, '&');
		mf_buf_put(b, m->scope.data, m->scope.len);
	}
	put_client(op, &m->client_assertion);
}

static const char *
endpoint_of(const struct mf_cloud_op *op)
{
	const Mayfly__Roles__V1__CloudTarget *t = op->job.target;
	if (op->task == MF_CLOUD_REVOKE)
		return t->revocation_endpoint;
	return op->task == MF_CLOUD_PROBE && op->job.probe->handle.len > 0 &&
		       t->introspection_endpoint[0] != '\0'
		   ? t->introspection_endpoint
		   : t->endpoint;
}

static enum mf_cloud_step
ask(struct mf_cloud_op *op, struct mf_http_request *to)
{
	const ProtobufCBinaryData *h = op->task == MF_CLOUD_REVOKE  ? &op->job.revoke->handle
				       : op->task == MF_CLOUD_PROBE ? &op->job.probe->handle
								    : NULL;
	mf_buf_reset(&op->body);
	if (op->task == MF_CLOUD_MINT) {
		put_grant(op);
	} else {
		if (h->len > 0) {
			mf_form_put(&op->body, "token", mf_slice(h->data, h->len));
			mf_form_put_str(&op->body, "token_type_hint", "access_token");
		}
		put_client(op, op->task == MF_CLOUD_REVOKE ? &op->job.revoke->client_assertion
							   : &op->job.probe->client_assertion);
	}
	op->headers[0] = (struct mf_http_header) { "Content-Type", FORM };
	op->headers[1] = (struct mf_http_header) { "Accept", "application/json" };
	*to = (struct mf_http_request) { .method = "POST",
		.url = endpoint_of(op),
		.headers = op->headers,
		.headers_n = MF_COUNT(op->headers),
		.body = mf_buf_slice(&op->body) };
	if (op->body.failed == MF_OK)
		return MF_CLOUD_SEND;
	mf_outcome_set(&op->out, "bug", "oauth: no memory, or a request that is too large");
	return MF_CLOUD_DONE;
}

/* ---- replies ---- */

static void
refused(struct mf_cloud_op *op, const char *what, const struct mf_http_reply *reply)
{
	bool minting = op->task == MF_CLOUD_MINT;
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	struct mf_slice code = mf_slice(NULL, 0);
	if (reply->status == 0) {
		mf_outcome_no_reply(&op->out, what, reply, minting);
		return;
	}
	if (reply->cut || mf_json_parse(reply->body, BODY_MAX, &doc, NULL) != MF_OK ||
	    !mf_json_string(mf_json_get(mf_json_root(doc), "error"), &code))
		code = mf_slice(NULL, 0);
	mf_outcome_refused(&op->out, what, reply, code, codes, minting);
}

/* "expires_in": a number, of some servers as text. */
static bool
read_life(const struct mf_json_value *root, int64_t *ret_s)
{
	const struct mf_json_value *v = mf_json_get(root, "expires_in");
	struct mf_slice text;
	uint64_t n;
	if (mf_json_string(v, &text) && mf_parse_u64(text, &n) && n <= (uint64_t)LIFE_MAX_S)
		*ret_s = (int64_t)n;
	else if (!mf_json_int(v, ret_s))
		return false;
	return *ret_s > 0 && *ret_s <= LIFE_MAX_S;
}

/* A JWT by its form: then revocation is seen only by who asks the server. Its jti, for the record. */
static void
look_at(struct mf_cloud_op *op, struct mf_slice token)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf payload;
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	struct mf_slice jti;
	size_t dots[2] = { 0 }, n = 0;
	mf_buf_init(&payload, TOKEN_MAX);
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] == '.' && n++ < 2)
			dots[n - 1] = i;
	if (n != 2 ||
	    mf_base64url_get(mf_slice_sub(token, dots[0] + 1, dots[1] - dots[0] - 1), &payload, NULL) !=
		MF_OK ||
	    mf_json_parse(mf_buf_slice(&payload), 0, &doc, NULL) != MF_OK)
		return;
	op->jwt = true;
	if (mf_json_string(mf_json_get(mf_json_root(doc), "jti"), &jti) && mf_outcome_plain(jti, 128))
		mf_buf_put_slice(&op->jti, jti);
}

static bool
pack_token(struct mf_cloud_op *op)
{
	Mayfly__Roles__V1__CloudToken t = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	t.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_BEARER;
	t.access_token = (char *)(uintptr_t)mf_buf_cstr(&op->token);
	t.token_type = (char *)(uintptr_t)mf_buf_cstr(&op->type);
	t.scope = (char *)(uintptr_t)mf_buf_cstr(&op->scope);
	if (t.access_token == NULL || t.token_type == NULL || t.scope == NULL ||
	    mf_buf_cstr(&op->jti) == NULL)
		return false;
	uint8_t *to = mf_buf_extend(&op->packed, mayfly__roles__v1__cloud_token__get_packed_size(&t));
	if (to == NULL)
		return false;
	(void)mayfly__roles__v1__cloud_token__pack(&t, to);
	return true;
}

static bool
scope_ok(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] >= 0x7f)
			return false;
	return s.n <= 4096;
}

static void
take_token(struct mf_cloud_op *op, const struct mf_http_reply *reply)
{
	static const char what[] = "token endpoint";
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	struct mf_slice token, type, scope;
	int64_t life;
	if (reply->status != 200) {
		refused(op, what, reply);
		return;
	}
	const struct mf_json_value *root = NULL;
	if (!reply->cut && mf_json_parse(reply->body, BODY_MAX, &doc, NULL) == MF_OK)
		root = mf_json_root(doc);
	if (!mf_json_string(mf_json_get(root, "access_token"), &token) ||
	    !mf_json_string(mf_json_get(root, "token_type"), &type) ||
	    !mf_outcome_printable(token, TOKEN_MAX) || !mf_outcome_plain(type, 32)) {
		mf_outcome_no_reply(&op->out, what, reply, true);
		return;
	}
	if (!read_life(root, &life)) {
		mf_outcome_set(&op->out, "unknown",
		    "token endpoint: a token without a lifetime (expires_in) was thrown away: it may be "
		    "alive");
		return;
	}
	if (!mf_json_string(mf_json_get(root, "scope"), &scope) || !scope_ok(scope))
		scope = mf_slice(NULL, 0);
	mf_buf_put_slice(&op->token, token);
	mf_buf_put_slice(&op->type, type);
	mf_buf_put_slice(&op->scope, scope);
	look_at(op, token);
	op->expires = op->job.now_s + life;
	op->good = pack_token(op);
	if (!op->good)
		mf_outcome_set(&op->out, "unknown", "token endpoint: no memory for the reply");
}

static void
take_revoked(struct mf_cloud_op *op, const struct mf_http_reply *reply)
{
	/* RFC 7009 2.2: 200, also for a token that the server does not know (any more). */
	if (reply->status == 200 || reply->status == 204)
		op->good = true;
	else
		refused(op, "revocation endpoint", reply);
}

static void
take_probe(struct mf_cloud_op *op, const struct mf_http_reply *reply)
{
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	op->reached = reply->status != 0;
	if (op->job.probe->handle.len == 0 || op->job.target->introspection_endpoint[0] == '\0') {
		/* Nothing was asked for but an answer; that an empty request is refused says nothing. */
		if (!op->reached || reply->status >= 500 || reply->status / 100 == 3)
			refused(op, "token endpoint", reply);
		return;
	}
	if (reply->status != 200) {
		refused(op, "introspection endpoint", reply);
		return;
	}
	if (!reply->cut && mf_json_parse(reply->body, BODY_MAX, &doc, NULL) == MF_OK &&
	    mf_json_bool(mf_json_get(mf_json_root(doc), "active"), &op->active))
		op->known = true;
	else
		mf_outcome_no_reply(&op->out, "introspection endpoint", reply, false);
}

static enum mf_cloud_step
next(struct mf_cloud_op *op, const struct mf_http_reply *reply, struct mf_http_request *to)
{
	if (reply == NULL)
		return ask(op, to);
	mf_buf_fini(&op->body);
	if (op->task == MF_CLOUD_MINT)
		take_token(op, reply);
	else if (op->task == MF_CLOUD_REVOKE)
		take_revoked(op, reply);
	else
		take_probe(op, reply);
	return MF_CLOUD_DONE;
}

/* ---- beginning and end ---- */

static void
free_op(struct mf_cloud_op *op)
{
	if (op == NULL)
		return;
	mf_buf_fini(&op->body);
	mf_buf_fini(&op->token);
	mf_buf_fini(&op->type);
	mf_buf_fini(&op->scope);
	mf_buf_fini(&op->packed);
	mf_buf_fini(&op->jti);
	free(op);
}

static enum mf_status
check_task(enum mf_cloud_task task, const struct mf_cloud_job *job, struct mf_err *err)
{
	const Mayfly__Roles__V1__CloudTarget *t = job->target;
	bool by_key = is(t->client_auth, "private_key_jwt");
	if (task == MF_CLOUD_MINT && !is(t->flow, "client-credentials") && job->mint->assertion.len == 0)
		return MF_FAIL(err, MF_E_INVALID, "oauth: a token needs an assertion");
	if (task == MF_CLOUD_MINT && by_key && job->mint->client_assertion.len == 0)
		return MF_FAIL(err, MF_E_INVALID, "oauth: private_key_jwt needs an assertion of the client");
	if (task != MF_CLOUD_REVOKE)
		return MF_OK;
	if (job->revoke->older_than > 0)
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    "oauth: a server ends one token at a time, not all that were made before a time");
	if (t->revocation_endpoint[0] == '\0')
		return MF_FAIL(err, MF_E_UNSUPPORTED, "oauth: the target has no revocation_endpoint");
	if (job->revoke->handle.len == 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "oauth: only the token itself can be revoked, and it is not there");
	return MF_OK;
}

static enum mf_status
start(
    enum mf_cloud_task task, const struct mf_cloud_job *job, struct mf_cloud_op **ret_op, struct mf_err *err)
{
	MF_TRY(check_task(task, job, err));
	struct mf_cloud_op *op = calloc(1, sizeof(*op));
	if (op == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "oauth: out of memory");
	op->task = task;
	op->job = *job;
	mf_outcome_init(&op->out, op->job.now_s);
	mf_buf_init(&op->body, BODY_MAX);
	mf_buf_init(&op->token, TOKEN_MAX + 1);
	mf_buf_init(&op->type, 64);
	mf_buf_init(&op->scope, 4097);
	mf_buf_init(&op->packed, 2 * TOKEN_MAX);
	mf_buf_init(&op->jti, 256);
	*ret_op = op;
	return MF_OK;
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s; /* messages of results are packed, never changed */
}

static void
mint_result(const struct mf_cloud_op *op, Mayfly__Roles__V1__MintResult *to)
{
	to->minted = op->good;
	to->error = text(op->out.error);
	to->reason = text(op->out.reason);
	to->retry_after_ms = op->out.retry_after_ms;
	if (!op->good)
		return;
	to->token = (ProtobufCBinaryData) { op->packed.n, op->packed.p };
	to->expires = op->expires;
	to->provider_session = (char *)op->jti.p;
	to->token_format = text(op->jwt ? "jwt" : "opaque");
	to->principal = text(op->job.target->client_id);
	if (op->job.target->revocation_endpoint[0] != '\0')
		to->handle = (ProtobufCBinaryData) { op->token.n, op->token.p };
}

static void
revoke_result(const struct mf_cloud_op *op, Mayfly__Roles__V1__CloudRevokeResult *to)
{
	to->confirmed = op->good;
	to->error = text(op->out.error);
	to->reason = text(op->out.reason);
	to->retry_after_ms = op->out.retry_after_ms;
	to->level = op->good ? 1 : 0;
	to->dead_at = op->good ? op->job.now_s : 0;
}

static void
probe_result(const struct mf_cloud_op *op, Mayfly__Roles__V1__CloudProbeResult *to)
{
	to->reachable = op->reached;
	to->error = text(op->out.error);
	to->reason = text(op->out.reason);
	to->active = op->active;
	to->known = op->known;
}

const struct mf_token_backend mf_backend_oauth = {
	.name = "oauth",
	.caps = { .kind = "bearer",
	    .ttl_min_s = 1,
	    .ttl_max_s = (uint32_t)LIFE_MAX_S,
	    .ttl_default_s = 3600,
	    .needs_handle = true,
	    .needs_public_issuer = true,
	    .levels = MF_REVOKE_STOPPED | MF_REVOKE_CREDENTIAL },
	.levels = levels,
	.check = check,
	.render_scope = render_scope,
	.start = start,
	.next = next,
	.mint_result = mint_result,
	.revoke_result = revoke_result,
	.probe_result = probe_result,
	.free = free_op,
};
