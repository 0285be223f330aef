/* reply: what STS and IAM answer, and the words for it. */
#include "base/clock.h"
#include "broker/backends/aws_sts/internal.h"
#include "broker/backends/aws_sts/xml.h"
#include "codec/url.h"

#define TOKEN_MAX (40u * 1024u)
#define KEY_MAX 256u

/* STS, when it refuses an assertion. An AccessDenied there is the role's trust policy, or, of Ceph, any check. */
static const struct mf_cloud_code assume_codes[] = {
	{ "IDPCommunicationError", "issuer" },
	{ "InvalidIdentityToken", "issuer" },
	{ "ExpiredTokenException", "clock" },
	{ "ExpiredToken", "clock" },
	{ "RequestTimeTooSkewed", "clock" },
	{ "IDPRejectedClaim", "trust" },
	{ "AccessDenied", "trust" },
	{ "MalformedPolicyDocument", "scope" },
	{ "MalformedPolicy", "scope" },
	{ "PackedPolicyTooLarge", "scope" },
	{ "RegionDisabledException", "config" },
	{ "ValidationError", "config" },
	{ "InvalidArgument", "config" },
	{ "InvalidParameterValue", "config" },
	{ "MissingParameter", "config" },
	{ "NoSuchEntity", "config" },
	{ "Throttling", "throttled" },
	{ "ThrottlingException", "throttled" },
	{ "SlowDown", "throttled" },
	{ "ServiceUnavailable", "transient" },
	{ "InternalFailure", "transient" },
	{ "InternalError", "transient" },
	{ "STSNotInitialized", "transient" },
	{ NULL, NULL },
};

/* IAM, under the revoker's own session. */
static const struct mf_cloud_code iam_codes[] = {
	{ "AccessDenied", "denied" },
	{ "AccessDeniedException", "denied" },
	{ "SignatureDoesNotMatch", "config" },
	{ "InvalidClientTokenId", "config" },
	{ "InvalidAccessKeyId", "config" },
	{ "NoSuchEntity", "config" },
	{ "ValidationError", "config" },
	{ "MalformedPolicyDocument", "bug" },
	{ "RequestTimeTooSkewed", "clock" },
	{ "RequestExpired", "clock" },
	{ "ExpiredToken", "transient" },
	{ "ConcurrentModification", "transient" },
	{ "ServiceFailure", "transient" },
	{ "ServiceUnavailable", "transient" },
	{ "InternalFailure", "transient" },
	{ "Throttling", "throttled" },
	{ "ThrottlingException", "throttled" },
	{ "SlowDown", "throttled" },
	{ NULL, NULL },
};

void
mf_aws_session_init(struct mf_aws_session *s)
{
	mf_buf_init(&s->access_key, KEY_MAX);
	mf_buf_init(&s->secret_key, KEY_MAX);
	mf_buf_init(&s->token, TOKEN_MAX);
	mf_buf_init(&s->expiration, 64);
	mf_buf_init(&s->arn, 2048);
	s->expires = 0;
}

void
mf_aws_session_fini(struct mf_aws_session *s)
{
	mf_buf_fini(&s->access_key);
	mf_buf_fini(&s->secret_key);
	mf_buf_fini(&s->token);
	mf_buf_fini(&s->expiration);
	mf_buf_fini(&s->arn);
}

/* "2026-11-21T22:46:03Z", with a fraction of any length before the Z. */
static bool
read_time(struct mf_slice s, int64_t *ret_s)
{
	char text[21];
	int64_t us;
	size_t end = 19;
	if (s.n < 20 || s.p[s.n - 1] != 'Z')
		return false;
	if (s.p[19] == '.')
		for (end = 20; end < s.n && s.p[end] >= '0' && s.p[end] <= '9';)
			end++;
	if (end != s.n - 1 || s.p[end - 1] == '.')
		return false;
	memcpy(text, s.p, 19);
	text[19] = 'Z';
	if (mf_time_get(mf_slice(text, 20), &us, NULL) != MF_OK)
		return false;
	*ret_s = us / 1000000;
	return true;
}

/* The error that a reply names, in AWS' form or that of S3. */
static void
refused(struct mf_cloud_outcome *o, const char *what, const struct mf_http_reply *reply,
    const struct mf_cloud_code *table, bool minting, bool *ret_full)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf code, id, id2;
	mf_buf_init(&code, 256);
	mf_buf_init(&id, 256);
	mf_buf_init(&id2, 256);
	const struct mf_aws_want wants[] = { { "Error", "Code", &code }, { NULL, "RequestId", &id },
		{ NULL, "RequestID", &id2 } };
	if (reply->cut || mf_aws_xml_read(reply->body, wants, MF_COUNT(wants), NULL) != MF_OK)
		mf_buf_reset(&code);
	else
		mf_outcome_request_id(o, mf_buf_slice(id.n > 0 ? &id : &id2));
	if (ret_full != NULL)
		*ret_full = mf_slice_eq_str(mf_buf_slice(&code), "LimitExceeded");
	if (reply->status == 0)
		mf_outcome_no_reply(o, what, reply, minting);
	else
		mf_outcome_refused(o, what, reply, mf_buf_slice(&code), table, minting);
}

bool
mf_aws_session_again(const struct mf_http_reply *reply, bool amazon)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf code;
	mf_buf_init(&code, 256);
	const struct mf_aws_want one = { "Error", "Code", &code };
	if ((reply->status != 403 && reply->status != 400) || reply->cut ||
	    mf_aws_xml_read(reply->body, &one, 1, NULL) != MF_OK)
		return false;
	return mf_slice_eq_str(mf_buf_slice(&code), "IDPCommunicationError") ||
	       (!amazon && reply->status == 403 && mf_slice_eq_str(mf_buf_slice(&code), "AccessDenied"));
}

static bool
good_session(struct mf_aws_session *s)
{
	return mf_outcome_plain(mf_buf_slice(&s->access_key), KEY_MAX) &&
	       mf_outcome_printable(mf_buf_slice(&s->secret_key), KEY_MAX) &&
	       mf_outcome_printable(mf_buf_slice(&s->token), TOKEN_MAX) &&
	       (s->arn.n == 0 || mf_outcome_plain(mf_buf_slice(&s->arn), s->arn.max)) &&
	       read_time(mf_buf_slice(&s->expiration), &s->expires);
}

bool
mf_aws_session_read(
    const struct mf_http_reply *reply, bool minting, struct mf_aws_session *to, struct mf_cloud_outcome *o)
{
	static const char what[] = "AssumeRoleWithWebIdentity";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf id;
	mf_buf_init(&id, 256);
	const struct mf_aws_want wants[] = { { "Credentials", "AccessKeyId", &to->access_key },
		{ "Credentials", "SecretAccessKey", &to->secret_key },
		{ "Credentials", "SessionToken", &to->token },
		{ "Credentials", "Expiration", &to->expiration }, { "AssumedRoleUser", "Arn", &to->arn },
		{ "ResponseMetadata", "RequestId", &id } };
	if (reply->status != 200) {
		refused(o, what, reply, assume_codes, minting, NULL);
		return false;
	}
	if (reply->cut || mf_aws_xml_read(reply->body, wants, MF_COUNT(wants), NULL) != MF_OK ||
	    !good_session(to)) {
		mf_outcome_no_reply(o, what, reply, minting);
		return false;
	}
	mf_outcome_request_id(o, mf_buf_slice(&id));
	return true;
}

enum mf_aws_found
mf_aws_policy_read(const struct mf_http_reply *reply, struct mf_buf *document, struct mf_cloud_outcome *o)
{
	static const char what[] = "GetRolePolicy";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, code;
	mf_buf_init(&text, MF_AWS_XML_MAX);
	mf_buf_init(&code, 256);
	const struct mf_aws_want one = { NULL, "PolicyDocument", &text }, error = { NULL, "Code", &code };
	mf_buf_reset(document);
	if (reply->status == 404 && !reply->cut && mf_aws_xml_read(reply->body, &error, 1, NULL) == MF_OK &&
	    (mf_slice_eq_str(mf_buf_slice(&code), "NoSuchEntity") ||
		mf_slice_eq_str(mf_buf_slice(&code), "NoSuchRolePolicy")))
		return MF_AWS_ABSENT;
	if (reply->status != 200) {
		refused(o, what, reply, iam_codes, false, NULL);
		return MF_AWS_FAILED;
	}
	if (reply->cut || mf_aws_xml_read(reply->body, &one, 1, NULL) != MF_OK || text.n == 0) {
		mf_outcome_no_reply(o, what, reply, false);
		return MF_AWS_FAILED;
	}
	/* AWS gives it percent-encoded, Ceph as it is. */
	if (text.p[0] == '{')
		mf_buf_put_slice(document, mf_buf_slice(&text));
	else if (mf_url_decode(mf_buf_slice(&text), document, NULL) != MF_OK)
		mf_buf_reset(document);
	return MF_AWS_FOUND;
}

bool
mf_aws_done_read(
    const char *what, const struct mf_http_reply *reply, bool *ret_full, struct mf_cloud_outcome *o)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf id;
	mf_buf_init(&id, 256);
	const struct mf_aws_want one = { "ResponseMetadata", "RequestId", &id };
	*ret_full = false;
	if (reply->status != 200) {
		refused(o, what, reply, iam_codes, false, ret_full);
		return false;
	}
	if (!reply->cut && mf_aws_xml_read(reply->body, &one, 1, NULL) == MF_OK)
		mf_outcome_request_id(o, mf_buf_slice(&id));
	return true;
}
