#include "broker/notary/cloud_plan.h"

#include <stdarg.h>
#include <stdio.h>

#include "broker/core/key_use.h"
#include "broker/core/request_facts.h"

#define SCOPE_BYTES 8192u
#define SETS_MAX 64u
/* Clocks, and the time that a request is under way: a provider counts from when it has read it. */
#define SLACK_S 60

const Mayfly__Roles__V1__CloudTarget *
mf_cloud_target(const struct mf_engine *e, const char *name)
{
	for (size_t i = 0; e->cloud.conf != NULL && i < e->cloud.conf->n_targets; i++)
		if (strcmp(e->cloud.conf->targets[i]->name, name) == 0)
			return e->cloud.conf->targets[i];
	return NULL;
}

const char *
mf_cloud_key_use(const Mayfly__Roles__V1__CloudTarget *t)
{
	return strcmp(t->algorithm, "ES256") == 0 ? MF_KEY_USE_ASSERTION_ES256 : MF_KEY_USE_ASSERTION_RS256;
}

void
mf_cloud_plan_fini(struct cloud_plan *p)
{
	mf_buf_fini(&p->scope);
}

static enum cloud_no
no(char why[MF_POLICY_REASON_MAX], enum cloud_no how, const char *fmt, ...) MF_PRINTF(3, 4);
static enum cloud_no
no(char why[MF_POLICY_REASON_MAX], enum cloud_no how, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, MF_POLICY_REASON_MAX, fmt, ap);
	va_end(ap);
	return how;
}

/* ---- how long ---- */

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * min(the grant's ttl, what a rule obliges, the lease's deadline). What the provider cannot give as short as that ends by the scope
 * itself, or by a revocation of that one token, or is allowed to hang over.
 */
enum cloud_no
mf_cloud_lifetime(int64_t now_s, int64_t deadline, struct cloud_plan *p, char why[MF_POLICY_REASON_MAX])
{
	const struct mf_backend_caps *caps = &p->backend->caps;
	const struct mf_policy_cloud *g = p->grant;
	int64_t life = least((int64_t)(g->ttl_ms / 1000), deadline - now_s);
	if (p->d.must.max_ttl_ms != 0)
		life = least(life, (int64_t)(p->d.must.max_ttl_ms / 1000));
	if (life <= 0)
		return no(why, CLOUD_DENIED, "the job's deadline is now");
	bool expire = g->on_end == MF_ON_END_EXPIRE;
	int64_t surely =
	    least(life, deadline - now_s - SLACK_S); /* over by the deadline, however slow it is made */
	bool exact = caps->ttl_settable && surely >= (int64_t)caps->ttl_min_s;
	if (caps->bomb && (!exact || expire))
		p->not_after = now_s + (expire ? least(life, (int64_t)(g->max_residual_ms / 1000)) : life);
	p->may_outlive = p->not_after != 0 ||
			 (mf_token_backend_levels(p->backend, p->target) & MF_REVOKE_CREDENTIAL) != 0 ||
			 g->allow_overhang;
	if (!exact && !p->may_outlive) {
		return no(why, CLOUD_DENIED,
		    "tokens of target %s live for at least %u s and this one may for %lld s only; the target "
		    "can "
		    "neither end permissions at a given second nor revoke one token, and the grant has no "
		    "allow_overhang",
		    g->target, caps->ttl_min_s, (long long)life);
	}
	p->ttl_s = !caps->ttl_settable ? 0 : exact ? surely : life;
	if (p->ttl_s != 0 && p->ttl_s < (int64_t)caps->ttl_min_s)
		p->ttl_s = caps->ttl_min_s;
	if (p->ttl_s > (int64_t)caps->ttl_max_s && caps->ttl_max_s != 0)
		p->ttl_s = caps->ttl_max_s;
	p->exp = now_s + SLACK_S + (p->ttl_s != 0 ? p->ttl_s : (int64_t)caps->ttl_max_s);
	return CLOUD_YES;
}

/* ---- what for ---- */

/* The URIs of its manifest's data sets, from "dataset[0].uri=s3://...". */
static size_t
datasets_of(const struct mf_job *j, struct mf_slice to[SETS_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < j->attributes_n && n < SETS_MAX; i++) {
		const char *uri = strstr(j->attributes[i], "].uri=");
		if (strncmp(j->attributes[i], "dataset[", 8) == 0 && uri != NULL &&
		    strchr(j->attributes[i], '=') == uri + 5)
			to[n++] = mf_slice_str(uri + 6);
	}
	return n;
}

static enum mf_status
render(const struct mf_engine *e, const struct mf_lease *l, struct cloud_plan *p, struct mf_err *err)
{
	struct mf_slice sets[SETS_MAX];
	struct mf_scope scope;
	const struct mf_job *j = l->job;
	const struct mf_scope_facts f = { .job = j->id,
		.run = j->run,
		.tenant = j->tenant,
		.person = j->person,
		.purpose = p->d.profile->purpose,
		.trust_domain = e->trust_domain,
		.datasets = sets,
		.datasets_n = datasets_of(j, sets) };
	enum mf_status s = mf_scope_render(p->grant->scope, p->grant->scope_n, &f, &scope, err);
	if (s == MF_OK)
		s = p->backend->render_scope(p->target, &scope, p->not_after, &p->scope, err);
	if (s == MF_OK)
		s = mf_buf_check(&p->scope, err);
	mf_scope_fini(&scope);
	return s;
}

/* The target, its backend, and what assertions for it say. */
static enum cloud_no
find_target(struct mf_engine *e, struct cloud_plan *p, char why[MF_POLICY_REASON_MAX])
{
	const char *name = p->grant->target;
	p->target = mf_cloud_target(e, name);
	if (p->target == NULL)
		return no(
		    why, CLOUD_LATER, "the broker has no cloud target %s: add it to cloud_targets", name);
	p->backend = e->ops->backend(e->ctx, p->target->backend);
	if (p->backend == NULL)
		return no(why, CLOUD_LATER, "the backend of cloud target %s is not known", name);
	p->issuer = p->target->issuer[0] != '\0' ? p->target->issuer : e->cloud.conf->issuer;
	p->audience = p->target->audience[0] != '\0' ? p->target->audience : p->backend->caps.audience;
	if (p->issuer[0] == '\0')
		return no(why, CLOUD_LATER, "cloud target %s has no issuer: set oidc.issuer", name);
	if (p->audience == NULL || p->audience[0] == '\0')
		return no(why, CLOUD_LATER, "cloud target %s has no audience: set it", name);
	return CLOUD_YES;
}

enum cloud_no
mf_cloud_plan(struct mf_engine *e, struct mf_now now, const struct mf_lease *l, const char *grant,
    struct cloud_plan *ret_p, char ret_why[MF_POLICY_REASON_MAX])
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_facts_free) struct mf_facts *facts = NULL;
	memset(ret_p, 0, sizeof(*ret_p));
	mf_buf_init(&ret_p->scope, SCOPE_BYTES);
	if (mf_request_lease(l, &facts, &err) != MF_OK)
		return no(ret_why, CLOUD_LATER, "%s", err.msg);
	struct mf_policy_request req = { mf_slice_str(l->job->profile), facts, now.wall_us / 1000000 };
	mf_policy_decide(e->policy, &req, &ret_p->d);
	mf_engine_check_frozen(e, l->job->tenant, l->job->person, &ret_p->d);
	if (!ret_p->d.permit)
		return no(ret_why, CLOUD_DENIED, "%s", ret_p->d.told);
	ret_p->grant = mf_policy_cloud_find(ret_p->d.profile, mf_slice_str(grant));
	if (ret_p->grant == NULL)
		return no(ret_why, CLOUD_DENIED, "profile %s has no cloud grant of that name",
		    ret_p->d.profile->name);
	char subject[MF_STATE_ID_MAX + 8];
	(void)snprintf(subject, sizeof(subject), "cloud:%s", grant);
	if (mf_engine_is_final(l, subject, ret_why, MF_POLICY_REASON_MAX))
		return CLOUD_DENIED;
	enum cloud_no n = find_target(e, ret_p, ret_why);
	if (n == CLOUD_YES)
		n = mf_cloud_lifetime(now.wall_us / 1000000, l->deadline, ret_p, ret_why);
	if (n != CLOUD_YES)
		return n;
	enum mf_status s = render(e, l, ret_p, &err);
	if (s != MF_OK)
		return no(ret_why, s == MF_E_NOMEM ? CLOUD_LATER : CLOUD_DENIED, "%s", err.msg);
	mf_engine_sha256_hex(mf_buf_slice(&ret_p->scope), ret_p->scope_hash);
	return CLOUD_YES;
}
