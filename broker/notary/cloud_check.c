#include "broker/notary/cloud_check.h"

#include <stdio.h>

#include "broker/core/key_use.h"
#include "broker/notary/cloud_plan.h"
#include "codec/template.h"
#include "codec/url.h"

#define SCOPE_BYTES 8192u
#define SLACK_S 60
#define JOB_S_OTHERWISE (INT64_C(30) * 86400) /* profiles have a max_job; this is for none */
#define SHORT_S 120			      /* of a job: how its last minutes are */

void
mf_cloud_test_fini(struct cloud_test *t)
{
	mf_buf_fini(&t->scope);
}

const char *
mf_check_setup_kind(const char *backend)
{
	return strcmp(backend, "oauth") == 0 ? "oauth" : "aws|rgw|minio";
}

/* ---- the profile ---- */

const struct mf_policy_profile *
mf_check_profile(const struct mf_engine *e, const char *name, struct cloud_report *r)
{
	const struct mf_policy_profile *f = mf_policy_profile(e->policy, mf_slice_str(name));
	if (f == NULL)
		mf_report_cure(mf_report_add(r, "profile", REPORT_FAIL, SIDE_PROFILE,
				   "the policy in force has no profile of that name"),
		    "`mayfly policy apply` a policy file that has it; `mayfly status` shows which one is in "
		    "force");
	else if (f->n_cloud == 0)
		mf_report_cure(mf_report_add(r, "profile", REPORT_FAIL, SIDE_PROFILE,
				   "profile %s has no cloud grants: its jobs get identities only", f->name),
		    "write a list `cloud:` into the profile, and `mayfly policy apply` it");
	else
		(void)mf_report_add(r, "profile", REPORT_OK, SIDE_NONE, "profile %s has %zu cloud grant%s",
		    f->name, f->n_cloud, f->n_cloud == 1 ? "" : "s");
	return f;
}

/* ---- the broker's side ---- */

static bool
check_target(struct mf_engine *e, struct cloud_test *t, struct cloud_report *r)
{
	const char *name = t->grant->target;
	t->target = mf_cloud_target(e, name);
	if (t->target == NULL) {
		mf_report_cure(mf_report_add(r, "target", REPORT_FAIL, SIDE_BROKER,
				   "the grant names target %s, which the broker does not have", name),
		    "add it to cloud_targets of broker.yaml and restart mayfly-broker, or name another one "
		    "in the "
		    "profile");
		return false;
	}
	t->backend = e->ops->backend == NULL ? NULL : e->ops->backend(e->ctx, t->target->backend);
	if (t->backend == NULL) {
		mf_report_cure(mf_report_add(r, "target", REPORT_FAIL, SIDE_BROKER,
				   "this broker has no backend %s", t->target->backend),
		    "write one of those of docs/reference/configuration.md");
		return false;
	}
	(void)mf_report_add(r, "target", REPORT_OK, SIDE_NONE, "target %s: %s at %s, role %s", name,
	    t->target->backend, t->target->endpoint, t->grant->role[0] == '\0' ? "none" : t->grant->role);
	return true;
}

static bool
check_key(struct mf_engine *e, const struct cloud_test *t, struct cloud_report *r)
{
	const char *use = mf_cloud_key_use(t->target);
	const struct mf_key *k = mf_state_active_key(e->state, use);
	struct mf_jws_key *key =
	    k == NULL || e->ops->assertion_key == NULL ? NULL : e->ops->assertion_key(e->ctx, k->id);
	if (key == NULL) {
		mf_report_cure(
		    mf_report_add(r, "key", REPORT_FAIL, SIDE_BROKER,
			k == NULL
			    ? "no key of the set `assertion` is active: nothing can be shown to a cloud"
			    : "the file of the key that signs assertions is not there or does not open"),
		    "`mayfly key prepare --use %s`, then `mayfly key activate --use %s`: see `mayfly key ls`",
		    use, use);
		return false;
	}
	mf_jws_key_free(key);
	(void)mf_report_add(r, "key", REPORT_OK, SIDE_NONE, "assertions are signed by key %.24s...", k->id);
	return true;
}

static bool
is_local(struct mf_slice host)
{
	return mf_slice_eq_str(host, "localhost") || mf_slice_starts(host, MF_SLICE_LIT("127.")) ||
	       mf_slice_starts(host, MF_SLICE_LIT("10.")) ||
	       mf_slice_starts(host, MF_SLICE_LIT("192.168.")) || mf_slice_eq_str(host, "::1");
}

/* A provider out there cannot read what only we can reach. */
static void
check_public(const struct cloud_test *t, struct cloud_report *r)
{
	struct mf_url at, is;
	if (mf_url_parse(mf_slice_str(t->target->endpoint), &at, NULL) != MF_OK ||
	    mf_url_parse(mf_slice_str(t->issuer), &is, NULL) != MF_OK || is_local(at.host) ||
	    !t->backend->caps.needs_public_issuer)
		return;
	if (!is.https)
		mf_report_cure(mf_report_add(r, "issuer.url", REPORT_FAIL, SIDE_PUBLICATION,
				   "the provider reads our keys at %s, which is not https", t->issuer),
		    "publish the documents at an https URL (docs/how-to/publish-oidc.md), and write it as "
		    "oidc.issuer");
	else if (is_local(is.host))
		mf_report_cure(mf_report_add(r, "issuer.url", REPORT_WARN, SIDE_PUBLICATION,
				   "the provider reads our keys at %s, an address of this machine or network",
				   t->issuer),
		    "unless the provider is in that network too: publish the documents in a bucket or CDN "
		    "(docs/how-to/publish-oidc.md)");
}

static bool
check_issuer(struct mf_engine *e, struct cloud_test *t, struct cloud_report *r)
{
	t->issuer = t->target->issuer[0] != '\0' ? t->target->issuer : e->cloud.conf->issuer;
	t->audience = t->target->audience[0] != '\0' ? t->target->audience : t->backend->caps.audience;
	if (t->issuer[0] == '\0') {
		mf_report_cure(mf_report_add(r, "issuer", REPORT_FAIL, SIDE_BROKER,
				   "there is no issuer: nobody could check our assertions"),
		    "set oidc.issuer in broker.yaml (docs/how-to/publish-oidc.md)");
		return false;
	}
	if (t->audience == NULL || t->audience[0] == '\0') {
		mf_report_cure(mf_report_add(r, "issuer", REPORT_FAIL, SIDE_BROKER,
				   "target %s has no audience, which its backend needs", t->target->name),
		    "set `audience` of the target: mostly the authorization server's issuer");
		return false;
	}
	(void)mf_report_add(r, "issuer", REPORT_OK, SIDE_NONE, "assertions are of issuer %s, for audience %s",
	    t->issuer, t->audience);
	check_public(t, r);
	const char *why = mf_engine_issuer_why_not(e, t->issuer);
	if (why == NULL)
		return true;
	mf_report_cure(mf_report_add(r, "issuer.public", REPORT_FAIL, SIDE_PUBLICATION, "%.480s", why),
	    "`mayfly oidc export DIR` and copy DIR to where the issuer's URL is served; who else can write "
	    "there?");
	return false;
}

/* ---- the scope, as for a job that asks for this grant ---- */

static bool
name_value(void *ctx, struct mf_slice name, struct mf_slice *ret_value)
{
	const struct cloud_test *t = ctx;
	if (mf_slice_eq_str(name, "tenant"))
		*ret_value = MF_SLICE_LIT("default");
	else if (mf_slice_eq_str(name, "job"))
		*ret_value = mf_slice_str(t->job);
	else if (mf_slice_eq_str(name, "run"))
		*ret_value = mf_slice_str(t->run);
	else if (mf_slice_eq_str(name, "profile"))
		*ret_value = mf_slice_str(t->profile->name);
	else if (mf_slice_eq_str(name, "purpose"))
		*ret_value = mf_slice_str(t->profile->purpose);
	else
		*ret_value = MF_SLICE_LIT("probe"); /* a manifest would say it */
	return true;
}

static bool
name_subject(struct mf_engine *e, struct cloud_test *t, struct cloud_report *r)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_LIM_SPIFFE_ID);
	mf_buf_putf(&b, "spiffe://%s", e->trust_domain);
	if (t->profile->n_identities == 0 ||
	    mf_template_expand(mf_slice_str(t->profile->identities[0].path), MF_TEMPLATE_PATH, name_value, t,
		&b, &err) != MF_OK ||
	    mf_buf_cstr(&b) == NULL) {
		mf_report_cure(mf_report_add(r, "subject", REPORT_FAIL, SIDE_PROFILE,
				   "the profile's first identity cannot be named: %.300s",
				   err.msg[0] == '\0' ? "it has none" : err.msg),
		    "assertions are about the job's first identity: mend its path");
		return false;
	}
	(void)snprintf(t->subject, sizeof(t->subject), "%s", (const char *)b.p);
	return true;
}

static bool
check_scope(struct mf_engine *e, struct cloud_test *t, struct cloud_report *r)
{
	const struct mf_slice set = MF_SLICE_LIT("s3://mayfly-probe/none");
	const struct mf_scope_facts f = { .job = t->job,
		.run = t->run,
		.tenant = "default",
		.person = "probe",
		.purpose = t->profile->purpose,
		.trust_domain = e->trust_domain,
		.datasets = &set,
		.datasets_n = 1 };
	struct mf_err err = { 0 };
	struct mf_scope scope;
	enum mf_status s = mf_scope_render(t->grant->scope, t->grant->scope_n, &f, &scope, &err);
	if (s == MF_OK)
		s = t->backend->render_scope(t->target, &scope, t->not_after, &t->scope, &err);
	if (s == MF_OK)
		s = mf_buf_check(&t->scope, &err);
	mf_scope_fini(&scope);
	if (s != MF_OK) {
		mf_report_cure(mf_report_add(r, "scope", REPORT_FAIL, SIDE_PROFILE,
				   "the grant's scope cannot be made for a job: %.300s", err.msg),
		    "change `scope` of the grant in the profile: fewer statements, or resources that the "
		    "backend can say");
		return false;
	}
	mf_engine_sha256_hex(mf_buf_slice(&t->scope), t->scope_hash);
	(void)mf_report_add(r, "scope", REPORT_OK, SIDE_NONE,
	    "the scope of a job is %zu bytes as the provider reads it", t->scope.n);
	return true;
}

/* ---- lifetimes ---- */

static void
check_end(const struct cloud_test *t, struct cloud_report *r)
{
	const struct mf_backend_caps *c = &t->backend->caps;
	unsigned levels = mf_token_backend_levels(t->backend, t->target);
	const struct mf_policy_cloud *g = t->grant;
	if (g->on_end == MF_ON_END_EXPIRE && c->bomb)
		(void)mf_report_add(r, "end", REPORT_OK, SIDE_NONE,
		    "at the job's end its permissions end by themselves, within %llu s",
		    (unsigned long long)(g->max_residual_ms / 1000));
	else if ((levels & MF_REVOKE_CREDENTIAL) != 0)
		(void)mf_report_add(r, "end", REPORT_OK, SIDE_NONE,
		    "at the job's end the provider is told to end the token itself");
	else if ((levels & MF_REVOKE_DENIED) != 0)
		(void)mf_report_add(
		    r, "end", REPORT_OK, SIDE_NONE, "at the job's end it is denied by its tags");
	else
		mf_report_cure(mf_report_add(r, "end", REPORT_WARN, SIDE_PROFILE,
				   "nothing ends a token of this target sooner than it expires"),
		    "keep `ttl` of the grant short");
}

/* How long tokens are: at the beginning of a job, and when the job has two minutes left. */
static void
check_lifetime(struct mf_now now, const struct cloud_test *t, struct cloud_report *r)
{
	int64_t now_s = now.wall_us / 1000000;
	int64_t whole =
	    t->profile->max_job_ms == 0 ? JOB_S_OTHERWISE : (int64_t)(t->profile->max_job_ms / 1000);
	struct cloud_plan p = { .grant = t->grant, .target = t->target, .backend = t->backend };
	char why[MF_POLICY_REASON_MAX];
	if (mf_cloud_lifetime(now_s, now_s + whole, &p, why) != CLOUD_YES) {
		mf_report_cure(mf_report_add(r, "lifetime", REPORT_FAIL, SIDE_PROFILE,
				   "no job gets a token: %.400s", why),
		    "a longer `ttl`, or `allow_overhang: true` in the grant");
		return;
	}
	(void)mf_report_add(r, "lifetime", REPORT_OK, SIDE_NONE,
	    "a token lives %lld s (grant: %llu s; provider: %u to %u s)",
	    (long long)(p.ttl_s != 0 ? p.ttl_s : (int64_t)(t->grant->ttl_ms / 1000)),
	    (unsigned long long)(t->grant->ttl_ms / 1000), t->backend->caps.ttl_min_s,
	    t->backend->caps.ttl_max_s);
	p.not_after = 0;
	if (mf_cloud_lifetime(now_s, now_s + SHORT_S, &p, why) != CLOUD_YES)
		mf_report_cure(mf_report_add(r, "lifetime.end", REPORT_WARN, SIDE_PROFILE,
				   "a job that ends soon gets no token: %.400s", why),
		    "`allow_overhang: true` in the grant lets a token outlive its job by the provider's "
		    "floor; a longer "
		    "`max_job` makes it rarer");
	else if (p.not_after == 0 && p.exp > now_s + SHORT_S + SLACK_S &&
		 (mf_token_backend_levels(t->backend, t->target) & MF_REVOKE_CREDENTIAL) == 0)
		mf_report_cure(mf_report_add(r, "overhang", REPORT_WARN, SIDE_PROFILE,
				   "allow_overhang: a token taken near the job's deadline is alive up to "
				   "%lld s after it",
				   (long long)(p.exp - now_s - SHORT_S)),
		    "that is what the grant allows; it stands in each record. A `ttl` above the provider's "
		    "floor keeps it "
		    "as short as can be");
}

bool
mf_check_grant(struct mf_engine *e, struct mf_now now, const struct mf_policy_profile *profile,
    const char *grant, struct cloud_test *ret_t, struct cloud_report *r)
{
	struct cloud_test *t = ret_t;
	int64_t now_s = now.wall_us / 1000000;
	memset(t, 0, sizeof(*t));
	mf_buf_init(&t->scope, SCOPE_BYTES);
	t->profile = profile;
	t->grant = mf_policy_cloud_find(profile, mf_slice_str(grant));
	if (t->grant == NULL) {
		mf_report_cure(mf_report_add(r, "grant", REPORT_FAIL, SIDE_PROFILE,
				   "profile %s has no cloud grant of that name", profile->name),
		    "its grants are those of its list `cloud:` in the policy file: `mayfly doctor --profile` "
		    "walks all of them");
		return false;
	}
	mf_engine_new_id(e, "j-", 20, t->job);
	mf_engine_new_id(e, "r-", 20, t->run);
	bool good = check_target(e, t, r);
	good = good && check_key(e, t, r);
	if (!good || !check_issuer(e, t, r) || !name_subject(e, t, r))
		return false;
	t->ttl_s = t->backend->caps.ttl_settable ? t->backend->caps.ttl_min_s : 0;
	t->not_after = t->backend->caps.bomb ? now_s : 0;
	t->exp = now_s + SLACK_S + (t->ttl_s != 0 ? t->ttl_s : (int64_t)t->backend->caps.ttl_max_s);
	good = check_scope(e, t, r);
	check_lifetime(now, t, r);
	check_end(t, r);
	return good && !mf_report_failed(r);
}

/* ---- what is published ---- */

/* What does not verify for us may verify for the provider: that decides nothing. */
static void
say_unread(const char *issuer, const Mayfly__Roles__V1__CloudFetchResult *res, struct cloud_report *r)
{
	bool unverified = res != NULL && strcmp(res->error, "config") == 0;
	mf_report_cure(mf_report_add(r, "issuer.public", unverified ? REPORT_WARN : REPORT_FAIL,
			   SIDE_PUBLICATION, "the broker cannot read %s: %.300s", issuer,
			   res == NULL			  ? "no answer came in time"
			   : mf_engine_plain(res->reason) ? res->reason
							  : ""),
	    unverified ? "what the broker does not verify here must be verified by the provider: see that it "
			 "knows the "
			 "authority of the certificate there"
		       : "see that the publisher runs (oidc.public) or that the copy is served there; "
			 "`mayfly oidc export DIR` "
			 "makes the copy");
}

void
mf_check_documents(struct mf_engine *e, const char *issuer, const char *use,
    const Mayfly__Roles__V1__CloudFetchResult *res, struct cloud_report *r)
{
	const struct mf_key *k = mf_state_active_key(e->state, use);
	struct mf_issuer_seen *seen = calloc(1, sizeof(*seen));
	if (seen == NULL)
		return;
	if (res == NULL || res->error[0] != '\0') {
		say_unread(issuer, res, r);
		free(seen);
		return;
	}
	mf_issuer_judge(e->state, issuer, mf_slice(res->discovery.data, res->discovery.len),
	    mf_slice(res->jwks.data, res->jwks.len), seen);
	/* Some renderings show one key only: the one that signs is what counts. */
	bool shows = k != NULL && mf_issuer_shows(seen, k->id);
	if (seen->sight == MF_ISSUER_FOREIGN || !shows)
		mf_report_cure(mf_report_add(r, "issuer.public", REPORT_FAIL, SIDE_PUBLICATION, "%.400s",
				   seen->why[0] != '\0' ? seen->why : "it does not show the key that signs"),
		    "`mayfly oidc export DIR`, and copy DIR to where %.200s is served", issuer);
	else
		(void)mf_report_add(
		    r, "issuer.public", REPORT_OK, SIDE_NONE, "%s shows the key that signs", issuer);
	free(seen);
}
