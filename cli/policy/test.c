/* mayfly policy test: cases against a policy; and what running jobs would get at their next renewal. */
#include <stdio.h>

#include "base/clock.h"
#include "broker/core/request_facts.h"
#include "cli/policy/tool.h"

struct results {
	struct mf_buf b;
	struct mf_jw w;
	bool json;
	size_t n, bad;
};

static void
put_field(struct mf_jw *w, const char *key, const char *v)
{
	mf_jw_key(w, key);
	if (v == NULL || v[0] == '\0')
		mf_jw_null(w);
	else
		mf_jw_str(w, v);
}

static void
put_decision(struct mf_jw *w, const struct mf_decision *d)
{
	mf_jw_kstr(w, "decision", d->permit ? "permit" : "deny");
	put_field(w, "rule", d->rule);
	put_field(w, "attribute", d->attribute);
	mf_jw_kstr(w, "reason", d->reason);
}

/* NULL when it is as expected. */
static const char *
mismatch(const struct mf_tool_request *r, const struct mf_decision *d)
{
	if (d->permit != r->permit)
		return r->permit ? "must be permitted, and is denied" : "must be denied, and is permitted";
	if (r->rule != NULL && (d->rule == NULL || strcmp(r->rule, d->rule) != 0))
		return "another rule decides";
	if (r->attribute != NULL && strcmp(r->attribute, d->attribute) != 0)
		return "it fails at another attribute";
	return NULL;
}

static void
one_case(const struct mf_policy *p, const struct mf_tool_request *r, const char *path, struct results *out)
{
	struct mf_decision d;
	const struct mf_policy_request q = { mf_slice_str(r->profile), r->facts, r->wall_s };
	mf_policy_decide(p, &q, &d);
	const char *wrong = mismatch(r, &d);
	out->n++;
	out->bad += wrong != NULL;
	if (out->json) {
		mf_jw_object_begin(&out->w);
		mf_jw_kstr(&out->w, "name", r->name);
		mf_jw_kbool(&out->w, "ok", wrong == NULL);
		put_field(&out->w, "wrong", wrong);
		put_decision(&out->w, &d);
		mf_jw_object_end(&out->w);
		return;
	}
	mf_buf_put_str(&out->b, wrong == NULL ? "ok    " : "FAIL  ");
	mf_tool_put_clean(&out->b, r->name);
	mf_buf_put_u8(&out->b, '\n');
	if (wrong == NULL)
		return;
	mf_buf_putf(&out->b, "      %s:%u: %s: ", path, r->at.line, wrong);
	mf_tool_put_clean(&out->b, d.reason);
	mf_buf_put_u8(&out->b, '\n');
}

static int
finish(struct results *r, const char *what)
{
	if (r->json)
		return mf_tool_json_end(&r->w, &r->b, r->bad > 0 ? TOOL_FAILED : TOOL_OK);
	mf_buf_putf(&r->b, "%zu %s, %zu failed\n", r->n, what, r->bad);
	return mf_tool_print(&r->b, r->bad > 0 ? TOOL_FAILED : TOOL_OK);
}

static int
run_cases(const struct mf_policy *p, const char *path, bool json)
{
	MF_AUTO_IN(mf_tool_requests_fini) struct mf_tool_requests cases = { 0 };
	struct results out = { .json = json };
	int rc = mf_tool_cases(path, &cases);
	if (rc != TOOL_OK)
		return rc;
	mf_buf_init(&out.b, 1 << 26);
	if (json)
		mf_tool_json_begin(&out.w, &out.b, "PolicyCaseList");
	for (size_t i = 0; i < cases.n; i++)
		one_case(p, &cases.v[i], path, &out);
	rc = finish(&out, "cases");
	mf_buf_fini(&out.b);
	return rc;
}

/* ---- what lives ---- */

/* The newest certificate of identity ${slot}, or NULL. */
static const struct mf_cred *
newest(const struct mf_lease *l, size_t slot)
{
	const struct mf_cred *found = NULL;
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->slot == slot && c->epoch == l->epoch && !c->superseded)
			found = c;
	}
	return found;
}

static int64_t
lifetime_s(const struct mf_cred *c)
{
	return c->exp - c->issued_us / 1000000;
}

/* What a permitted renewal gives less, or otherwise, than is held now; ${to} stays empty when nothing. */
static void
put_changes(const struct mf_lease *l, const struct mf_policy_profile *f, struct mf_buf *to)
{
	for (size_t i = 0; i < MF_LIM_IDENTITIES; i++) {
		const struct mf_cred *c = newest(l, i);
		const struct mf_policy_identity *id = i < f->n_identities ? &f->identities[i] : NULL;
		const char *sep = to->n > 0 ? "; " : "";
		if (c != NULL && id == NULL)
			mf_buf_putf(to, "%sloses identity %s", sep, c->spiffe_id);
		else if (c == NULL && id != NULL)
			mf_buf_putf(to, "%sgets identity %s as well", sep, id->path);
		else if (c != NULL && strcmp(c->hint, id->hint) != 0)
			mf_buf_putf(
			    to, "%sidentity %zu is now \"%s\", was \"%s\"", sep, i + 1, id->hint, c->hint);
		else if (c != NULL && (int64_t)(id->x509_ttl_ms / 1000) < lifetime_s(c) - 1)
			mf_buf_putf(to, "%sits certificates live %llds, not %llds", sep,
			    (long long)(id->x509_ttl_ms / 1000), (long long)lifetime_s(c));
	}
}

/* Tokens that are taken back as soon as the policy is in force; ${f} NULL: it permits nothing. */
static void
put_tokens(const struct mf_lease *l, const struct mf_policy_profile *f, int64_t now_s, struct mf_buf *to)
{
	MF_LIST_EACH(p, &l->clouds)
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		const struct mf_policy_cloud *g =
		    f == NULL ? NULL : mf_policy_cloud_find(f, mf_slice_str(c->grant));
		bool same = g != NULL && strcmp(g->target, c->target) == 0 && strcmp(g->role, c->role) == 0;
		if (c->state != MF_CLOUD_ACTIVE || c->effective <= now_s || same)
			continue;
		mf_buf_putf(
		    to, "%sloses cloud grant %s, and its tokens at once", to->n > 0 ? "; " : "", c->grant);
	}
}

static int64_t
works_until(const struct mf_lease *l)
{
	int64_t at = 0;
	for (size_t i = 0; i < MF_LIM_IDENTITIES; i++) {
		const struct mf_cred *c = newest(l, i);
		if (c != NULL && c->exp > at)
			at = c->exp;
	}
	return at;
}

static void
put_live(const struct mf_lease *l, const struct mf_decision *d, struct mf_slice changes, struct results *out)
{
	const char *verdict = !d->permit ? "loses all" : changes.n > 0 ? "changes" : "keeps";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf until;
	mf_buf_init(&until, 64);
	if (works_until(l) != 0)
		mf_time_put_s(&until, works_until(l));
	out->n++;
	out->bad += !d->permit;
	if (out->json) {
		mf_jw_object_begin(&out->w);
		mf_jw_kstr(&out->w, "job", l->job->id);
		mf_jw_kuint(&out->w, "instance", l->n);
		mf_jw_kstr(&out->w, "name", l->job->name);
		mf_jw_kstr(&out->w, "profile", l->job->profile);
		mf_jw_kstr(&out->w, "person", l->job->person);
		mf_jw_kstr(&out->w, "verdict", verdict);
		mf_jw_kstring(&out->w, "changes", changes);
		put_field(&out->w, "held_until", mf_buf_cstr(&until));
		put_decision(&out->w, d);
		mf_jw_object_end(&out->w);
		return;
	}
	mf_buf_putf(
	    &out->b, "%-9s  %s/n%u  %s  %s", verdict, l->job->id, l->n, l->job->profile, l->job->person);
	if (!d->permit && until.n > 0)
		mf_buf_putf(&out->b, "  what it holds works until %s", mf_buf_cstr(&until));
	mf_buf_put_u8(&out->b, '\n');
	if (d->permit && changes.n == 0)
		return;
	mf_buf_put_str(&out->b, "           ");
	if (!d->permit) {
		mf_tool_put_clean(&out->b, d->reason);
		mf_buf_put_str(&out->b, changes.n > 0 ? "; " : "");
	}
	if (changes.n > 0)
		mf_tool_put_clean(&out->b, (const char *)changes.p);
	mf_buf_put_u8(&out->b, '\n');
}

static int
one_live(const struct mf_policy *p, const struct mf_lease *l, struct results *out)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf changes;
	struct mf_err err = { 0 };
	struct mf_decision d;
	mf_buf_init(&changes, 65536);
	if (mf_request_lease(l, &f, &err) != MF_OK)
		return mf_tool_say(TOOL_FAILED, "%s: %s", l->job->id, err.msg);
	const struct mf_policy_request q = { mf_slice_str(l->job->profile), f, mf_now().wall_us / 1000000 };
	mf_policy_decide(p, &q, &d);
	if (d.permit)
		put_changes(l, d.profile, &changes);
	put_tokens(l, d.permit ? d.profile : NULL, q.wall_s, &changes);
	if (mf_buf_cstr(&changes) == NULL)
		return mf_tool_say(TOOL_FAILED, "out of memory");
	put_live(l, &d, mf_buf_slice(&changes), out);
	return TOOL_OK;
}

/* Which running jobs lose what at their next renewal. Exit code 1 when one loses everything. */
static int
run_live(const struct mf_tool_opts *o, const struct mf_policy *p)
{
	struct mf_tool_log log;
	struct results out = { .json = o->json };
	int rc = mf_tool_log_read(o, 0, &log);
	if (rc != TOOL_OK)
		return rc;
	mf_buf_init(&out.b, 1 << 28);
	if (o->json)
		mf_tool_json_begin(&out.w, &out.b, "PolicyLiveList");
	for (const struct mf_lease *l = mf_state_next_lease(log.state, NULL); l != NULL && rc == TOOL_OK;
	     l = mf_state_next_lease(log.state, l))
		if (l->state != MF_LEASE_ENDED)
			rc = one_live(p, l, &out);
	if (rc == TOOL_OK)
		rc = finish(&out, "running instances");
	mf_buf_fini(&out.b);
	mf_tool_log_fini(&log);
	return rc;
}

int
mf_tool_test(const struct mf_tool_opts *o)
{
	MF_AUTO(mf_policy_free) struct mf_policy *p = NULL;
	char room[4096];
	if (o->live == (o->n_args > 0))
		return mf_tool_say(
		    TOOL_USAGE, "test takes a file of cases, or --live; see mayfly policy test --help");
	int rc = mf_tool_load(mf_tool_policy_path(o, room, sizeof(room)), NULL, &p);
	if (rc != TOOL_OK)
		return rc;
	return o->live ? run_live(o, p) : run_cases(p, o->args[0], o->json);
}
