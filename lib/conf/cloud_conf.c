#include "conf/cloud_conf.h"

#include "codec/issuer.h"
#include "codec/url.h"

const char *const mf_cloud_conf_backends[] = { "aws-sts", "oauth", NULL };

static const char *
check_url(struct mf_slice v)
{
	struct mf_url u;
	if (v.n > 0 && mf_url_parse(v, &u, NULL) != MF_OK)
		return "must be a URL such as https://sts.eu-central-1.amazonaws.com/, without user and "
		       "fragment";
	return NULL;
}

static const char *
check_issuer(struct mf_slice v)
{
	return v.n == 0 ? NULL : mf_issuer_check(v);
}

static const char *
check_address_or_none(struct mf_slice v)
{
	return v.n == 0 ? NULL : mf_conf_check_address(v);
}

static const char *
check_region(struct mf_slice v)
{
	return v.n == 0 ? NULL : mf_conf_check_name(v);
}

static const char *
check_algorithm(struct mf_slice v)
{
	return v.n == 0 || mf_slice_eq_str(v, "RS256") || mf_slice_eq_str(v, "ES256")
		   ? NULL
		   : "must be RS256 or ES256";
}

static const char *
check_path_or_none(struct mf_slice v)
{
	return v.n == 0 ? NULL : mf_conf_check_path(v);
}

#define OIDC(member, ...)                                                                                  \
	{                                                                                                  \
		.key = #member, .type = MF_CONF_STRING, .at = offsetof(struct mf_cloud_conf_oidc, member), \
		__VA_ARGS__                                                                                \
	}

static const char *const publics[] = { "elsewhere", "publisher", NULL };
static const struct mf_conf_field oidc_fields[] = {
	OIDC(issuer, .check = check_issuer,
	    .help = "the issuer that clouds trust: a public https URL that serves our keys; never changed"),
	OIDC(x5c_issuer, .check = check_issuer,
	    .help = "the same for stores that read a certificate (radosgw); empty: ISSUER/x5c"),
	{ .key = "public",
	    .type = MF_CONF_ENUM,
	    .at = offsetof(struct mf_cloud_conf_oidc, public),
	    .words = publics,
	    .def = "elsewhere",
	    .help = "who answers at the issuer's URL: `elsewhere`, a copy (a bucket, a CDN), which is looked "
		    "at before a "
		    "key signs; `publisher`, ours" },
	OIDC(listen, .check = check_address_or_none,
	    .help = "the publisher serves the OIDC documents here, usually 0.0.0.0:8462; empty turns it off"),
	OIDC(certificate, .check = check_path_or_none,
	    .help = "its TLS certificate and chain, PEM; read again at a reload. Empty: in clear, on a "
		    "loopback address only"),
	OIDC(key, .check = check_path_or_none, .help = "the certificate's key, PEM, readable by root only"),
};
const struct mf_conf_schema mf_cloud_conf_oidc_schema =
    MF_CONF_SCHEMA(oidc_fields, struct mf_cloud_conf_oidc);

#define TEXT(member, ...)                                                                                    \
	{                                                                                                    \
		.key = #member, .type = MF_CONF_STRING, .at = offsetof(struct mf_cloud_conf_target, member), \
		.max = MF_URL_MAX, __VA_ARGS__                                                               \
	}

static const struct mf_conf_field target_fields[] = {
	TEXT(name, .required = true, .check = mf_conf_check_name, .help = "what policy calls it"),
	{ .key = "backend",
	    .type = MF_CONF_ENUM,
	    .at = offsetof(struct mf_cloud_conf_target, backend),
	    .required = true,
	    .words = mf_cloud_conf_backends,
	    .help = "how to speak to it" },
	TEXT(endpoint, .required = true, .min = 1, .check = check_url,
	    .help = "URL: STS, or the token endpoint of an authorization server"),
	TEXT(admin_endpoint, .check = check_url,
	    .help = "aws-sts: URL of IAM, for revocations; empty: endpoint (Ceph, MinIO)"),
	TEXT(region, .check = check_region, .help = "aws-sts: for signatures and for jobs (AWS_REGION)"),
	TEXT(audience, .help = "of our assertions; empty: what the backend uses"),
	TEXT(revoker_role,
	    .help = "aws-sts: ARN of the role that may write deny lists, assumed by the broker"),
	TEXT(client_id, .help = "oauth: our client"),
	TEXT(flow, .help = "oauth: token-exchange, jwt-bearer or client-credentials"),
	TEXT(client_auth, .help = "oauth: private_key_jwt, tls_client_auth or none"),
	TEXT(revocation_endpoint, .check = check_url, .help = "oauth: URL of RFC 7009; empty: none"),
	TEXT(introspection_endpoint, .check = check_url, .help = "oauth: URL of RFC 7662; empty: none"),
	TEXT(ca_file, .check = check_path_or_none,
	    .help = "CA certificates (PEM) trusted instead of the system's; read again at a reload"),
	TEXT(service_endpoint, .check = check_url, .help = "what jobs use (AWS_ENDPOINT_URL); empty: none"),
	TEXT(issuer, .check = check_issuer, .help = "of assertions for this target; empty: oidc.issuer"),
	TEXT(algorithm, .check = check_algorithm,
	    .help = "our assertions are signed by RS256 or ES256; empty: RS256, which everybody takes"),
	{ .key = "loopback",
	    .type = MF_CONF_BOOL,
	    .at = offsetof(struct mf_cloud_conf_target, loopback),
	    .def = "false",
	    .help = "it is on this machine: loopback addresses may be connected to, there also without TLS" },
	{ .key = "deny_bytes",
	    .type = MF_CONF_INT,
	    .at = offsetof(struct mf_cloud_conf_target, deny_bytes),
	    .min = 0,
	    .max = 65536,
	    .def = "0",
	    .help = "aws-sts: room that our deny list may take in a role; 0: 10240" },
	TEXT(revoker_key_file, .check = check_path_or_none,
	    .help =
		"aws-sts: root-only file ACCESS:SECRET, where no role can write deny lists; read again at a "
		"reload"),
	TEXT(client_cert, .check = check_path_or_none,
	    .help = "oauth: our certificate for tls_client_auth, PEM; read again at a reload"),
	TEXT(client_key, .check = check_path_or_none, .help = "oauth: its key, PEM, readable by root only"),
	{ .type = MF_CONF_SELF, .at = offsetof(struct mf_cloud_conf_target, self) },
};
const struct mf_conf_schema mf_cloud_conf_target_schema =
    MF_CONF_SCHEMA(target_fields, struct mf_cloud_conf_target);

static void
check_plain(const struct mf_cloud_conf_target *t, struct mf_problems *problems)
{
	const struct {
		const char *key, *url;
	} all[] = { { "endpoint", t->endpoint }, { "admin_endpoint", t->admin_endpoint },
		{ "revocation_endpoint", t->revocation_endpoint },
		{ "introspection_endpoint", t->introspection_endpoint } };
	for (size_t i = 0; i < MF_COUNT(all); i++) {
		struct mf_url u;
		if (all[i].url[0] != '\0' && mf_url_parse(mf_slice_str(all[i].url), &u, NULL) == MF_OK &&
		    !u.https && !t->loopback)
			mf_problems_add(problems, mf_yaml_place(t->self),
			    "`%s`: `%s` must be https; http is for counterparts on this machine, with "
			    "`loopback: true`",
			    t->name, all[i].key);
	}
}

static bool
is_loopback(struct mf_slice address)
{
	return mf_slice_starts(address, MF_SLICE_LIT("127.")) ||
	       mf_slice_starts(address, MF_SLICE_LIT("[::1]:")) ||
	       mf_slice_starts(address, MF_SLICE_LIT("localhost:"));
}

static void
check_oidc(const struct mf_cloud_conf_oidc *o, struct mf_problems *problems)
{
	static const struct mf_place nowhere = { 0 };
	bool listens = o->listen[0] != '\0', cert = o->certificate[0] != '\0';
	if (o->issuer[0] == '\0' && (o->x5c_issuer[0] != '\0' || listens))
		mf_problems_add(
		    problems, nowhere, "`oidc` needs `issuer`: what the documents are published for");
	if (cert != (o->key[0] != '\0'))
		mf_problems_add(problems, nowhere, "`oidc` needs both `certificate` and `key`, or neither");
	if (listens && !cert && !is_loopback(mf_slice_str(o->listen)))
		mf_problems_add(problems, nowhere,
		    "`oidc.listen` without `certificate` and `key` must be a loopback address: keys that "
		    "clouds trust are "
		    "not shown in clear");
	if (o->public == MF_CLOUD_CONF_PUBLISHER && !listens)
		mf_problems_add(problems, nowhere,
		    "`oidc: {public: publisher}` needs `listen`: nobody would answer at the issuer's URL");
	if (o->x5c_issuer[0] != '\0' && strcmp(mf_issuer_path(o->issuer), mf_issuer_path(o->x5c_issuer)) == 0)
		mf_problems_add(problems, nowhere,
		    "`oidc.x5c_issuer` needs another path than `issuer`: both are served by one publisher");
}

void
mf_cloud_conf_check(
    const struct mf_cloud_conf_oidc *oidc, const struct mf_conf_items *targets, struct mf_problems *problems)
{
	const struct mf_cloud_conf_target *t = targets->v;
	check_oidc(oidc, problems);
	for (size_t i = 0; i < targets->n; i++) {
		for (size_t k = 0; k < i; k++)
			if (strcmp(t[i].name, t[k].name) == 0)
				mf_problems_add(problems, mf_yaml_place(t[i].self),
				    "`cloud_targets`: `%s` is named twice", t[i].name);
		check_plain(&t[i], problems);
		if (oidc->issuer[0] == '\0' && t[i].issuer[0] == '\0')
			mf_problems_add(problems, mf_yaml_place(t[i].self),
			    "`%s` needs an issuer for our assertions: set `oidc: {issuer: URL}`, or `issuer` "
			    "here",
			    t[i].name);
		if (strcmp(t[i].algorithm, "ES256") == 0 && oidc->x5c_issuer[0] != '\0' &&
		    strcmp(t[i].issuer, oidc->x5c_issuer) == 0)
			mf_problems_add(problems, mf_yaml_place(t[i].self),
			    "`%s`: the documents of `oidc.x5c_issuer` show the RS256 key only: leave "
			    "`algorithm` "
			    "away",
			    t[i].name);
		if ((t[i].client_cert[0] == '\0') != (t[i].client_key[0] == '\0'))
			mf_problems_add(problems, mf_yaml_place(t[i].self),
			    "`%s` needs both `client_cert` and `client_key`, or neither", t[i].name);
	}
}
