#include "backend_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define AWS_GOOD                                                                                            \
	"<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"         \
	"  "                                                                                                \
	"<AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>spiffe://td1/job/j-1</"              \
	"SubjectFromWebIdentityToken>"                                                                      \
	"<AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/train/j-1</Arn>"                      \
	"<AssumedRoleId>AROAX:j-1</AssumedRoleId></AssumedRoleUser><Credentials>"                           \
	"<SessionToken>CANARY/session+token==</SessionToken><SecretAccessKey>CANARY/secret+key</"           \
	"SecretAccessKey>"                                                                                  \
	"<Expiration>2026-11-21T23:26:40Z</Expiration><AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials>" \
	"</AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>ad4156e9-bce1</RequestId>"          \
	"</ResponseMetadata></AssumeRoleWithWebIdentityResponse>"

#define AWS_ERROR(code)                                                    \
	"<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>" code \
	"</Code><Message>CANARY</Message></Error>"                         \
	"<RequestId>r-1</RequestId></ErrorResponse>"
#define S3_ERROR(code) "<?xml version=\"1.0\"?><Error><Code>" code "</Code><RequestId>tx1</RequestId></Error>"

static const struct backend_code aws_codes[] = {
	{ 400, AWS_ERROR("IDPCommunicationError"), "issuer" },
	{ 400, AWS_ERROR("InvalidIdentityToken"), "issuer" },
	{ 400, AWS_ERROR("ExpiredTokenException"), "clock" },
	{ 403, AWS_ERROR("IDPRejectedClaim"), "trust" },
	{ 403, AWS_ERROR("AccessDenied"), "trust" },
	{ 403, S3_ERROR("AccessDenied"), "trust" },
	{ 400, AWS_ERROR("MalformedPolicyDocument"), "scope" },
	{ 400, AWS_ERROR("PackedPolicyTooLarge"), "scope" },
	{ 403, AWS_ERROR("RegionDisabledException"), "config" },
	{ 400, S3_ERROR("InvalidArgument"), "config" },
	{ 400, AWS_ERROR("Throttling"), "throttled" },
	{ 503, AWS_ERROR("ServiceUnavailable"), "transient" },
	{ 500, AWS_ERROR("InternalFailure"), "transient" },
	{ 500, AWS_ERROR("CANARY of a new kind"), "unknown" },
	{ 400, AWS_ERROR("SomethingNew"), "config" },
	{ 0, NULL, NULL },
};

#define OAUTH_GOOD                                                                                           \
	"{\"access_token\":\"CANARY.opaque-token\",\"token_type\":\"Bearer\",\"expires_in\":3600,\"scope\":" \
	"\"read\"}"
#define OAUTH_ERROR(code) "{\"error\":\"" code "\",\"error_description\":\"CANARY\"}"

static const struct backend_code oauth_codes[] = {
	{ 401, OAUTH_ERROR("invalid_client"), "trust" },
	{ 400, OAUTH_ERROR("invalid_grant"), "trust" },
	{ 400, OAUTH_ERROR("invalid_scope"), "scope" },
	{ 400, OAUTH_ERROR("invalid_target"), "scope" },
	{ 400, OAUTH_ERROR("unauthorized_client"), "denied" },
	{ 400, OAUTH_ERROR("invalid_request"), "config" },
	{ 503, OAUTH_ERROR("temporarily_unavailable"), "transient" },
	{ 400, OAUTH_ERROR("slow_down"), "throttled" },
	{ 400, OAUTH_ERROR("CANARY \\u0041"), "config" },
	{ 200, "{\"access_token\":\"CANARY\",\"token_type\":\"Bearer\"}", "unknown" },
	{ 200, "{\"access_token\":\"CANARY\",\"token_type\":\"Bearer\",\"expires_in\":0}", "unknown" },
	{ 200, "{\"access_token\":\"CANARY\",\"token_type\":\"Bearer\",\"expires_in\":-5}", "unknown" },
	{ 200, "{\"access_token\":\"CANARY\",\"token_type\":\"Bearer\",\"expires_in\":99999999999}",
	    "unknown" },
	{ 200, "{\"access_token\":\"CAN ARY\",\"token_type\":\"Bearer\",\"expires_in\":60}", "unknown" },
	{ 200, "{\"access_token\":\"CANARY\\r\\nX: y\",\"token_type\":\"Bearer\",\"expires_in\":60}",
	    "unknown" },
	{ 0, NULL, NULL },
};

const struct backend_kit mf_backend_kits[] = {
	{ "aws-sts", AWS_GOOD, sizeof(AWS_GOOD) - 1, "CANARY/session+token==", aws_codes },
	{ "oauth", OAUTH_GOOD, sizeof(OAUTH_GOOD) - 1, "CANARY.opaque-token", oauth_codes },
	{ 0 },
};

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

void
mf_backend_target(const struct backend_kit *k, Mayfly__Roles__V1__CloudTarget *to)
{
	mayfly__roles__v1__cloud_target__init(to);
	to->name = text("t");
	to->backend = text(k->name);
	if (strcmp(k->name, "aws-sts") == 0) {
		to->endpoint = text("https://sts.eu-central-1.amazonaws.com");
		to->admin_endpoint = text("https://iam.amazonaws.com/");
		to->region = text("eu-central-1");
		to->revoker_role = text("arn:aws:iam::111122223333:role/mayfly-revoker");
	} else {
		to->endpoint = text("https://op.example/token");
		to->revocation_endpoint = text("https://op.example/revoke");
		to->audience = text("https://op.example");
		to->flow = text("token-exchange");
	}
}

void
mf_backend_mint_request(Mayfly__Roles__V1__MintRequest *m)
{
	static uint8_t assertion[] = "h.CANARYassertion.s", scope[] = "scope=read";
	mayfly__roles__v1__mint_request__init(m);
	m->mint_id = 1;
	m->target = text("t");
	m->role = text("arn:aws:iam::111122223333:role/train");
	m->session = text("j-1");
	m->assertion = (ProtobufCBinaryData) { sizeof(assertion) - 1, assertion };
	m->client_assertion = m->assertion;
	m->scope = (ProtobufCBinaryData) { sizeof(scope) - 1, scope };
	m->ttl_s = 3600;
}

struct backend_run
mf_backend_mint_reply(const struct backend_kit *k, const struct mf_http_reply *reply)
{
	struct backend_run r = { .b = mf_token_backend_find(k->name) };
	Mayfly__Roles__V1__CloudTarget t;
	Mayfly__Roles__V1__MintRequest m;
	struct mf_http_request req;
	mf_backend_target(k, &t);
	mf_backend_mint_request(&m);
	struct mf_cloud_job job = { .target = &t, .mint = &m, .now_s = BACKEND_NOW };
	assert_int_equal(r.b->start(MF_CLOUD_MINT, &job, &r.op, NULL), MF_OK);
	assert_int_equal(r.b->next(r.op, NULL, &req), MF_CLOUD_SEND);
	assert_string_equal(req.method, "POST");
	assert_int_equal(strncmp(req.url, t.endpoint, strlen(t.endpoint)), 0);
	assert_true(req.body.n > 0);
	/* A refusal may be of the moment only: then it is asked once more, and told the same. */
	enum mf_cloud_step s = r.b->next(r.op, reply, &req);
	assert_int_equal(s == MF_CLOUD_SEND ? r.b->next(r.op, reply, &req) : s, MF_CLOUD_DONE);
	mayfly__roles__v1__mint_result__init(&r.result);
	r.b->mint_result(r.op, &r.result);
	/* What points into the requests of this function must not be looked at later; the texts are the op's or literals. */
	if (r.result.minted && r.result.principal == t.client_id)
		r.result.principal = text("");
	return r;
}

struct backend_run
mf_backend_mint(const struct backend_kit *k, unsigned status, struct mf_slice body)
{
	struct mf_http_reply reply = { .status = status, .sent = true, .body = body };
	return mf_backend_mint_reply(k, &reply);
}

void
mf_backend_done(struct backend_run *r)
{
	r->b->free(r->op);
}
