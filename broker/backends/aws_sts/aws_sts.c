/* aws-sts: AssumeRoleWithWebIdentity, and deny lists in IAM. Of AWS, and of stores that speak like it. See README.md. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/backends/aws_sts/internal.h"
#include "codec/sigv4.h"
#include "codec/url.h"

#define FORM "application/x-www-form-urlencoded"
#define BODY_MAX (128u * 1024u)
#define SHRINKS 4u

enum phase { ASSUME, GET, PUT, DONE };

struct mf_cloud_op {
	enum mf_cloud_task task;
	struct mf_cloud_job job;
	enum phase phase;
	struct mf_cloud_outcome out;
	bool good, reached, again; /* again: it was refused, and is asked for a second time */
	struct mf_aws_session session;
	struct mf_buf packed; /* CloudToken */
	/* The request under way. */
	struct mf_buf url, body, auth;
	char date[MF_SIGV4_DATE];
	struct mf_http_header headers[4];
	/* Revocations. */
	struct mf_aws_denies list;
	struct mf_buf there;	   /* the document that stood there */
	struct mf_json *there_doc; /* list points into it */
	struct mf_buf document;
	size_t room, shrunk, stands;
	Mayfly__Roles__V1__CloudDeny **denied;
	size_t denied_n;
	char account[16];
};

/* ---- the target ---- */

static bool
of_amazon(const char *endpoint)
{
	static const char *const ends[] = { ".amazonaws.com", ".amazonaws.com.cn", ".api.aws" };
	struct mf_url u;
	if (mf_url_parse(mf_slice_str(endpoint), &u, NULL) != MF_OK)
		return false;
	for (size_t i = 0; i < MF_COUNT(ends); i++) {
		size_t n = strlen(ends[i]);
		if (u.host.n > n && mf_slice_eq_str(mf_slice_sub(u.host, u.host.n - n, n), ends[i]))
			return true;
	}
	return false;
}

static const char *
admin_endpoint(const Mayfly__Roles__V1__CloudTarget *t)
{
	return t->admin_endpoint[0] == '\0' ? t->endpoint : t->admin_endpoint;
}

/* IAM is one service for all regions of a partition, and wants to be called by that partition's first. */
static const char *
iam_region(const Mayfly__Roles__V1__CloudTarget *t)
{
	if (strncmp(t->region, "cn-", 3) == 0)
		return "cn-north-1";
	return strncmp(t->region, "us-gov-", 7) == 0 ? "us-gov-west-1" : "us-east-1";
}

static enum mf_status
check(const Mayfly__Roles__V1__CloudTarget *t, struct mf_err *err)
{
	struct mf_url u;
	if (mf_url_parse(mf_slice_str(t->endpoint), &u, NULL) != MF_OK || u.query.n > 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "endpoint: must be the URL of STS, such as https://sts.eu-central-1.amazonaws.com/");
	if (of_amazon(t->endpoint) && t->region[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "region: AWS needs one, that of the endpoint");
	if (of_amazon(t->endpoint) && t->admin_endpoint[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID,
		    "admin_endpoint: set it to IAM's, https://iam.amazonaws.com/: deny lists are written "
		    "there");
	if (t->admin_endpoint[0] != '\0' &&
	    (mf_url_parse(mf_slice_str(t->admin_endpoint), &u, NULL) != MF_OK || u.query.n > 0))
		return MF_FAIL(err, MF_E_INVALID, "admin_endpoint: must be the URL of IAM");
	if (t->client_id[0] != '\0' || t->flow[0] != '\0' || t->client_auth[0] != '\0' ||
	    t->revocation_endpoint[0] != '\0' || t->introspection_endpoint[0] != '\0')
		return MF_FAIL(err, MF_E_INVALID,
		    "client_id, flow, client_auth and the endpoints of OAuth are not "
		    "for aws-sts: leave them away");
	return MF_OK;
}

static enum mf_status
render_scope(const Mayfly__Roles__V1__CloudTarget *t, const struct mf_scope *s, int64_t not_after,
    struct mf_buf *to, struct mf_err *err)
{
	MF_UNUSED(t);
	return mf_aws_session_policy(s, not_after, to, err);
}

/* "arn:aws:iam::ACCOUNT:role/path/NAME": the name. */
static const char *
role_name(const char *arn)
{
	const char *slash = strrchr(arn, '/');
	return slash == NULL ? "" : slash + 1;
}

static bool
role_ok(const char *arn)
{
	return strncmp(arn, "arn:", 4) == 0 && strstr(arn, ":role/") != NULL && role_name(arn)[0] != '\0' &&
	       mf_outcome_plain(mf_slice_str(arn), 2048);
}

/* ---- requests ---- */

static void
request(struct mf_cloud_op *op, const char *endpoint, struct mf_http_request *to)
{
	struct mf_url u;
	mf_buf_reset(&op->url);
	mf_buf_put_str(&op->url, endpoint);
	if (mf_url_parse(mf_slice_str(endpoint), &u, NULL) == MF_OK && u.path.n == 0)
		mf_buf_put_u8(&op->url, '/');
	op->headers[0] = (struct mf_http_header) { "Content-Type", FORM };
	*to = (struct mf_http_request) { .method = "POST",
		.url = mf_buf_cstr(&op->url),
		.headers = op->headers,
		.headers_n = 1,
		.body = mf_buf_slice(&op->body) };
}

static void
ask_session(struct mf_cloud_op *op, struct mf_http_request *to)
{
	const Mayfly__Roles__V1__MintRequest *m = op->job.mint;
	const Mayfly__Roles__V1__CloudTarget *t = op->job.target;
	struct mf_buf *b = &op->body;
	char number[16];
	bool mint = op->task == MF_CLOUD_MINT;
	const ProtobufCBinaryData *assertion = mint			     ? &m->assertion
					       : op->task == MF_CLOUD_REVOKE ? &op->job.revoke->assertion
									     : &op->job.probe->assertion;
	const char *role = mint				 ? m->role
			   : op->task == MF_CLOUD_REVOKE ? t->revoker_role
							 : op->job.probe->role;
	mf_buf_reset(b);
	mf_form_put_str(b, "Action", "AssumeRoleWithWebIdentity");
	mf_form_put_str(b, "Version", "2011-06-15");
	mf_form_put_str(b, "RoleArn", role);
	mf_form_put_str(b, "RoleSessionName", mint ? m->session : "mayfly-broker");
	(void)snprintf(number, sizeof(number), "%u", mint ? m->ttl_s : 900);
	if (!mint || m->ttl_s > 0)
		mf_form_put_str(b, "DurationSeconds", number);
	if (mint && m->scope.len > 0)
		mf_form_put(b, "Policy", mf_slice(m->scope.data, m->scope.len));
	mf_form_put(b, "WebIdentityToken", mf_slice(assertion->data, assertion->len));
	request(op, t->endpoint, to);
}

/* Sign what stands in the body, for IAM. False: no room or no memory. */
static bool
sign(struct mf_cloud_op *op, struct mf_http_request *to)
{
	const Mayfly__Roles__V1__CloudTarget *t = op->job.target;
	struct mf_url u;
	bool own = op->session.access_key.n > 0;
	request(op, admin_endpoint(t), to);
	if (to->url == NULL || mf_url_parse(mf_slice_str(to->url), &u, NULL) != MF_OK)
		return false;
	const char *token = own ? mf_buf_cstr(&op->session.token) : "";
	struct mf_sigv4 s = { .method = "POST",
		.host = u.authority,
		.path = u.path,
		.content_type = FORM,
		.body = to->body,
		.region = iam_region(t),
		.service = "iam",
		.access_key = own ? mf_buf_cstr(&op->session.access_key) : t->access_key,
		.secret_key = own ? mf_buf_slice(&op->session.secret_key) : mf_slice_str(t->secret_key),
		.session_token = token,
		.now_s = op->job.now_s };
	mf_buf_reset(&op->auth);
	mf_sigv4_date(s.now_s, op->date);
	if (mf_sigv4_authorize(&s, &op->auth, NULL) != MF_OK)
		return false;
	op->headers[1] = (struct mf_http_header) { "X-Amz-Date", op->date };
	op->headers[2] = (struct mf_http_header) { "Authorization", mf_buf_cstr(&op->auth) };
	op->headers[3] = (struct mf_http_header) { "X-Amz-Security-Token", token };
	to->headers_n = own ? 4 : 3;
	return true;
}

static bool
ask_iam(struct mf_cloud_op *op, const char *action, const char *document, struct mf_http_request *to)
{
	mf_buf_reset(&op->body);
	mf_form_put_str(&op->body, "Action", action);
	mf_form_put_str(&op->body, "Version", "2010-05-08");
	mf_form_put_str(&op->body, "RoleName", role_name(op->job.revoke->role));
	mf_form_put_str(&op->body, "PolicyName", MF_AWS_DENY_POLICY);
	if (document != NULL)
		mf_form_put_str(&op->body, "PolicyDocument", document);
	return op->body.failed == MF_OK && sign(op, to);
}

/* ---- steps ---- */

static enum mf_cloud_step
done(struct mf_cloud_op *op)
{
	op->phase = DONE;
	mf_buf_fini(&op->body);
	mf_buf_fini(&op->auth);
	return MF_CLOUD_DONE;
}

static enum mf_cloud_step
bug(struct mf_cloud_op *op, const char *what)
{
	op->good = false;
	mf_outcome_set(&op->out, "bug", "%s: no memory, or a request that is too large", what);
	return done(op);
}

static bool
pack_token(struct mf_cloud_op *op)
{
	Mayfly__Roles__V1__CloudToken t = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	const char *at = mf_buf_cstr(&op->session.arn);
	t.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS;
	t.access_key_id = (char *)(uintptr_t)mf_buf_cstr(&op->session.access_key);
	t.secret_access_key = (char *)(uintptr_t)mf_buf_cstr(&op->session.secret_key);
	t.session_token = (char *)(uintptr_t)mf_buf_cstr(&op->session.token);
	/* "arn:aws:sts::ACCOUNT:assumed-role/..." */
	for (int colons = 0; at != NULL && *at != '\0' && colons < 4; at++)
		colons += *at == ':';
	size_t digits = at == NULL ? 0 : strspn(at, "0123456789");
	if (digits == 12 && at[digits] == ':') {
		(void)snprintf(op->account, sizeof(op->account), "%.12s", at);
		t.account_id = op->account;
	}
	if (t.access_key_id == NULL || t.secret_access_key == NULL || t.session_token == NULL)
		return false;
	uint8_t *to = mf_buf_extend(&op->packed, mayfly__roles__v1__cloud_token__get_packed_size(&t));
	if (to == NULL)
		return false;
	(void)mayfly__roles__v1__cloud_token__pack(&t, to);
	return true;
}

/* What must stand: what others denied and may still be needed, then ours, in the order of the request, as far as there is room. */
static bool
merge(struct mf_cloud_op *op)
{
	const Mayfly__Roles__V1__CloudRevokeRequest *r = op->job.revoke;
	MF_AUTO_IN(mf_aws_denies_fini) struct mf_aws_denies old = { 0 }, out = { 0 };
	mf_aws_denies_fini(&op->list);
	mf_json_free(op->there_doc);
	op->there_doc = NULL;
	/* One that cannot be read denies nothing that could be kept. */
	if (op->there.n > 0 &&
	    mf_aws_deny_read(mf_buf_slice(&op->there), &op->there_doc, &old, NULL) != MF_OK)
		mf_aws_denies_fini(&old);
	for (size_t i = 0; i < r->n_undeny; i++)
		if (!mf_aws_denies_add(
			&out, mf_slice_str(r->undeny[i]->tag), mf_slice_str(r->undeny[i]->value)))
			return false;
	for (size_t i = 0; i < r->n_deny; i++)
		(void)mf_aws_denies_add(&out, mf_slice_str(r->deny[i]->tag), mf_slice_str(r->deny[i]->value));
	for (size_t i = 0; i < old.n && !r->whole; i++) {
		struct mf_slice tag = mf_slice_str(mf_aws_tags[old.v[i].tag]);
		if (!mf_aws_denies_has(&out, tag, old.v[i].value) &&
		    !mf_aws_denies_add(&op->list, tag, old.v[i].value))
			return false;
	}
	for (size_t i = 0; i < r->n_deny; i++)
		if (!mf_aws_denies_add(
			&op->list, mf_slice_str(r->deny[i]->tag), mf_slice_str(r->deny[i]->value)))
			return false;
	/* All sessions from before are dead by themselves after the longest that AWS allows. */
	int64_t since = old.older_than > r->older_than ? old.older_than : r->older_than;
	op->list.older_than = since + MF_AWS_SESSION_MAX_S < op->job.now_s ? 0 : since;
	op->stands = mf_aws_deny_fit(&op->list, op->room);
	mf_buf_reset(&op->document);
	return mf_aws_deny_write(&op->list, op->stands, &op->document, NULL) == MF_OK;
}

/* The entries of the request that stand, when not all do. */
static void
note_overflow(struct mf_cloud_op *op)
{
	const Mayfly__Roles__V1__CloudRevokeRequest *r = op->job.revoke;
	struct mf_aws_denies standing = { .v = op->list.v, .n = op->stands };
	if (op->stands == op->list.n)
		return;
	free(op->denied);
	op->denied_n = 0;
	op->denied = calloc(r->n_deny + 1, sizeof(Mayfly__Roles__V1__CloudDeny *));
	for (size_t i = 0; op->denied != NULL && i < r->n_deny; i++)
		if (mf_aws_denies_has(
			&standing, mf_slice_str(r->deny[i]->tag), mf_slice_str(r->deny[i]->value)))
			op->denied[op->denied_n++] = r->deny[i];
}

static enum mf_cloud_step
put_list(struct mf_cloud_op *op, struct mf_http_request *to)
{
	if (!merge(op))
		return bug(op, "deny list");
	if (mf_slice_eq(mf_buf_slice(&op->document), mf_buf_slice(&op->there))) {
		op->good = true; /* it stands there already */
		note_overflow(op);
		return done(op);
	}
	op->phase = PUT;
	bool empty = op->document.n == 0;
	const char *document = empty ? NULL : mf_buf_cstr(&op->document);
	if ((!empty && document == NULL) ||
	    !ask_iam(op, empty ? "DeleteRolePolicy" : "PutRolePolicy", document, to))
		return bug(op, "PutRolePolicy");
	return MF_CLOUD_SEND;
}

static enum mf_cloud_step
after_session(struct mf_cloud_op *op, const struct mf_http_reply *reply, struct mf_http_request *to)
{
	op->reached = reply->status != 0;
	if (op->again && !op->reached && !reply->sent)
		return done(op); /* nothing was asked: the first answer stands */
	if (op->again)
		mf_outcome_init(&op->out, op->job.now_s);
	op->good = mf_aws_session_read(reply, op->task == MF_CLOUD_MINT, &op->session, &op->out);
	if (op->good && op->task == MF_CLOUD_MINT && !pack_token(op)) {
		op->good = false;
		mf_outcome_set(&op->out, "unknown", "AssumeRoleWithWebIdentity: no memory for the reply");
	}
	bool clock = strcmp(op->out.error, "clock") == 0;
	if (!op->good && !op->again && !clock &&
	    mf_aws_session_again(reply, of_amazon(op->job.target->endpoint))) {
		op->again = true;
		ask_session(op, to);
		return op->body.failed != MF_OK || to->url == NULL ? bug(op, "request") : MF_CLOUD_SEND;
	}
	if (!op->good || op->task != MF_CLOUD_REVOKE)
		return done(op);
	op->good = false;
	op->phase = GET;
	return ask_iam(op, "GetRolePolicy", NULL, to) ? MF_CLOUD_SEND : bug(op, "GetRolePolicy");
}

static enum mf_cloud_step
after_put(struct mf_cloud_op *op, const struct mf_http_reply *reply, struct mf_http_request *to)
{
	bool full = false;
	op->good = mf_aws_done_read(
	    op->document.n == 0 ? "DeleteRolePolicy" : "PutRolePolicy", reply, &full, &op->out);
	if (!op->good && full && op->shrunk++ < SHRINKS) {
		/* Other policies of the role take room that we cannot see. */
		op->room = op->document.n / 2;
		mf_outcome_init(&op->out, op->job.now_s);
		return put_list(op, to);
	}
	if (op->good)
		note_overflow(op);
	return done(op);
}

static enum mf_cloud_step
next(struct mf_cloud_op *op, const struct mf_http_reply *reply, struct mf_http_request *to)
{
	if (reply == NULL) {
		if (op->phase == ASSUME)
			ask_session(op, to);
		else if (!ask_iam(op, "GetRolePolicy", NULL, to))
			return bug(op, "GetRolePolicy");
		return op->body.failed != MF_OK || to->url == NULL ? bug(op, "request") : MF_CLOUD_SEND;
	}
	switch (op->phase) {
	case ASSUME:
		return after_session(op, reply, to);
	case GET:
		if (mf_aws_policy_read(reply, &op->there, &op->out) == MF_AWS_FAILED)
			return done(op);
		if (op->job.revoke->look) {
			op->good = true;
			return done(op);
		}
		return put_list(op, to);
	case PUT:
		return after_put(op, reply, to);
	case DONE:
		break;
	}
	return MF_CLOUD_DONE;
}

/* ---- beginning and end ---- */

static void
free_op(struct mf_cloud_op *op)
{
	if (op == NULL)
		return;
	mf_aws_session_fini(&op->session);
	mf_buf_fini(&op->packed);
	mf_buf_fini(&op->url);
	mf_buf_fini(&op->body);
	mf_buf_fini(&op->auth);
	mf_buf_fini(&op->there);
	mf_buf_fini(&op->document);
	mf_aws_denies_fini(&op->list);
	mf_json_free(op->there_doc);
	free(op->denied);
	free(op);
}

static enum mf_status
check_task(enum mf_cloud_task task, const struct mf_cloud_job *job, struct mf_err *err)
{
	const Mayfly__Roles__V1__CloudTarget *t = job->target;
	if (task == MF_CLOUD_MINT && (!role_ok(job->mint->role) || job->mint->assertion.len == 0))
		return MF_FAIL(err, MF_E_INVALID, "aws-sts: a token needs a role, an ARN, and an assertion");
	if (task != MF_CLOUD_REVOKE)
		return MF_OK;
	if (!role_ok(job->revoke->role))
		return MF_FAIL(err, MF_E_INVALID, "aws-sts: a revocation needs the role, an ARN");
	if (job->revoke->n_deny > MF_AWS_DENIES || job->revoke->n_undeny > MF_AWS_DENIES)
		return MF_FAIL(err, MF_E_TOOBIG, "aws-sts: more than %u entries", MF_AWS_DENIES);
	if (t->access_key[0] == '\0' && (t->revoker_role[0] == '\0' || job->revoke->assertion.len == 0))
		return MF_FAIL(err, MF_E_INVALID,
		    "aws-sts: nobody may write deny lists: set revoker_role or revoker_key_file of the "
		    "target");
	return MF_OK;
}

static enum mf_status
start(
    enum mf_cloud_task task, const struct mf_cloud_job *job, struct mf_cloud_op **ret_op, struct mf_err *err)
{
	MF_TRY(check_task(task, job, err));
	struct mf_cloud_op *op = calloc(1, sizeof(*op));
	if (op == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "aws-sts: out of memory");
	op->task = task;
	op->job = *job;
	op->phase = task == MF_CLOUD_REVOKE && job->target->access_key[0] != '\0' ? GET : ASSUME;
	mf_outcome_init(&op->out, op->job.now_s);
	mf_aws_session_init(&op->session);
	mf_buf_init(&op->packed, BODY_MAX);
	mf_buf_init(&op->url, MF_URL_MAX + 2);
	mf_buf_init(&op->body, BODY_MAX);
	mf_buf_init(&op->auth, 8192);
	mf_buf_init(&op->there, BODY_MAX);
	mf_buf_init(&op->document, BODY_MAX);
	op->room = job->target->deny_bytes == 0 ? MF_AWS_DENY_BYTES : job->target->deny_bytes;
	*ret_op = op;
	return MF_OK;
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)(s == NULL ? "" : s); /* messages of results are packed, never changed */
}

static void
mint_result(const struct mf_cloud_op *op, Mayfly__Roles__V1__MintResult *to)
{
	to->minted = op->good;
	to->error = text(op->out.error);
	to->reason = text(op->out.reason);
	to->provider_request_id = text(op->out.request_id);
	to->retry_after_ms = op->out.retry_after_ms;
	if (!op->good)
		return;
	to->token = (ProtobufCBinaryData) { op->packed.n, op->packed.p };
	to->expires = op->session.expires;
	to->principal = op->session.arn.n == 0 ? text("") : (char *)op->session.arn.p;
	to->provider_session = (char *)op->session.access_key.p;
	to->token_format = text("opaque");
}

static void
revoke_result(const struct mf_cloud_op *op, Mayfly__Roles__V1__CloudRevokeResult *to)
{
	to->confirmed = op->good;
	to->error = text(op->out.error);
	to->reason = text(op->out.reason);
	to->provider_request_id = text(op->out.request_id);
	to->retry_after_ms = op->out.retry_after_ms;
	if (!op->good)
		return;
	to->level = op->job.revoke->older_than > 0 ? 3 : 2;
	to->dead_at = op->job.now_s + (of_amazon(admin_endpoint(op->job.target)) ? MF_AWS_DENY_LATENCY_S : 0);
	to->overflow = op->stands < op->list.n;
	to->denied = op->denied;
	to->n_denied = op->denied_n;
}

static void
probe_result(const struct mf_cloud_op *op, Mayfly__Roles__V1__CloudProbeResult *to)
{
	to->reachable = op->reached;
	to->error = text(op->out.error);
	to->reason = text(op->out.reason);
}

const struct mf_token_backend mf_backend_aws_sts = {
	.name = "aws-sts",
	.caps = { .kind = "aws",
	    .audience = "sts.amazonaws.com",
	    .ttl_min_s = 900,
	    .ttl_max_s = MF_AWS_SESSION_MAX_S,
	    .ttl_default_s = 3600,
	    .ttl_settable = true,
	    .bomb = true,
	    .tags = true,
	    .needs_public_issuer = true,
	    .levels = MF_REVOKE_STOPPED | MF_REVOKE_DENIED | MF_REVOKE_SESSIONS,
	    .deny_latency_s = MF_AWS_DENY_LATENCY_S },
	.check = check,
	.render_scope = render_scope,
	.start = start,
	.next = next,
	.mint_result = mint_result,
	.revoke_result = revoke_result,
	.probe_result = probe_result,
	.free = free_op,
};
