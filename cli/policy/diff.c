/* mayfly policy diff: what changed in the file, and which decisions of the log's last requests would change. */
#include <stdio.h>

#include "base/clock.h"
#include "cli/policy/tool.h"

struct diff {
	const struct mf_policy *old, *new;
	struct mf_buf b;
	struct mf_jw w;
	bool json;
	size_t changes, decisions;
};

static void
put_change(struct diff *d, const char *kind, const char *name, const struct mf_buf *before,
    const struct mf_buf *after)
{
	const char *what = before == NULL ? "added" : after == NULL ? "removed" : "changed";
	d->changes++;
	if (d->json) {
		mf_jw_object_begin(&d->w);
		mf_jw_kstr(&d->w, "kind", kind);
		mf_jw_kstr(&d->w, "name", name);
		mf_jw_kstr(&d->w, "change", what);
		if (before != NULL)
			mf_jw_kstring(&d->w, "before", mf_buf_slice(before));
		if (after != NULL)
			mf_jw_kstring(&d->w, "after", mf_buf_slice(after));
		mf_jw_object_end(&d->w);
		return;
	}
	mf_buf_putf(&d->b, "%s %s %s\n", kind, name, what);
	if (before != NULL) {
		mf_buf_put_str(&d->b, "  - ");
		mf_buf_put_slice(&d->b, mf_buf_slice(before));
	}
	mf_buf_put_str(&d->b, before != NULL ? "\n" : "");
	if (after != NULL) {
		mf_buf_put_str(&d->b, "  + ");
		mf_buf_put_slice(&d->b, mf_buf_slice(after));
		mf_buf_put_u8(&d->b, '\n');
	}
}

/* One kind of named things; both sides are in byte order of the names. */
struct side {
	const struct mf_policy *p;
	size_t n;
	const char *(*name)(const struct mf_policy *p, size_t i);
	void (*put)(const struct mf_policy *p, size_t i, struct mf_buf *to);
};

static const char *
rule_name(const struct mf_policy *p, size_t i)
{
	return mf_policy_rule_at(p, i)->id;
}

static const char *
profile_name(const struct mf_policy *p, size_t i)
{
	return mf_policy_profile_at(p, i)->name;
}

static void
profile_put(const struct mf_policy *p, size_t i, struct mf_buf *to)
{
	mf_policy_profile_put(mf_policy_profile_at(p, i), to);
}

static void
compare(struct diff *d, const char *kind, const struct side *a, const struct side *b)
{
	for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf before, after;
		int c = i == a->n ? 1 : k == b->n ? -1 : strcmp(a->name(a->p, i), b->name(b->p, k));
		mf_buf_init(&before, 1 << 20);
		mf_buf_init(&after, 1 << 20);
		const char *name = c <= 0 ? a->name(a->p, i) : b->name(b->p, k);
		if (c <= 0)
			a->put(a->p, i++, &before);
		if (c >= 0)
			b->put(b->p, k++, &after);
		if (c != 0 || !mf_slice_eq(mf_buf_slice(&before), mf_buf_slice(&after)))
			put_change(d, kind, name, c <= 0 ? &before : NULL, c >= 0 ? &after : NULL);
	}
}

static void
compare_texts(struct diff *d)
{
	const struct side old_profiles = { d->old, mf_policy_profile_count(d->old), profile_name,
		profile_put },
			  new_profiles = { d->new, mf_policy_profile_count(d->new), profile_name,
				  profile_put },
			  old_rules = { d->old, mf_policy_rule_count(d->old), rule_name, mf_policy_rule_put },
			  new_rules = { d->new, mf_policy_rule_count(d->new), rule_name, mf_policy_rule_put };
	compare(d, "profile", &old_profiles, &new_profiles);
	compare(d, "rule", &old_rules, &new_rules);
}

/* ---- decisions ---- */

/* What a permit gives, as far as it can be told from the outside. */
static void
put_given(const struct mf_decision *d, struct mf_buf *to)
{
	mf_buf_put_str(to, d->permit ? "permit " : "deny ");
	if (d->permit)
		mf_policy_profile_put(d->profile, to);
}

static void
put_decision_change(struct diff *d, const struct mf_tool_request *r, const struct mf_decision *before,
    const struct mf_decision *after)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf when;
	mf_buf_init(&when, 64);
	mf_time_put_s(&when, r->wall_s);
	const char *from = before->permit ? "permit" : "deny", *to = after->permit ? "permit" : "deny";
	d->decisions++;
	if (d->json) {
		mf_jw_object_begin(&d->w);
		mf_jw_kstr(&d->w, "kind", "decision");
		mf_jw_kstr(&d->w, "name", r->name);
		mf_jw_kstring(&d->w, "at", mf_buf_slice(&when));
		mf_jw_kstr(&d->w, "profile", r->profile);
		mf_jw_kstr(&d->w, "before", from);
		mf_jw_kstr(&d->w, "after", to);
		mf_jw_kstr(&d->w, "reason", after->reason);
		mf_jw_object_end(&d->w);
		return;
	}
	mf_buf_putf(&d->b, "decision %s %s -> %s  ", mf_buf_cstr(&when), from, to);
	mf_tool_put_clean(&d->b, r->name);
	mf_buf_put_str(&d->b, "\n  ");
	mf_tool_put_clean(
	    &d->b, after->permit == before->permit ? "the same rule gives otherwise" : after->reason);
	mf_buf_put_u8(&d->b, '\n');
}

/* Decided when it was asked: a rule that has lapsed since did hold then. */
static void
compare_decision(struct diff *d, const struct mf_tool_request *r)
{
	struct mf_decision before, after;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a, b;
	const struct mf_policy_request q = { mf_slice_str(r->profile), r->facts, r->wall_s };
	mf_buf_init(&a, 1 << 20);
	mf_buf_init(&b, 1 << 20);
	mf_policy_decide(d->old, &q, &before);
	mf_policy_decide(d->new, &q, &after);
	put_given(&before, &a);
	put_given(&after, &b);
	if (!mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&b)))
		put_decision_change(d, r, &before, &after);
}

static int
against_log(const struct mf_tool_opts *o, struct diff *d)
{
	struct mf_tool_log log;
	int rc = mf_tool_log_read(o, o->last, &log);
	if (rc != TOOL_OK)
		return rc;
	for (size_t i = 0; i < log.requests.n; i++)
		if (log.requests.v[i].facts != NULL)
			compare_decision(d, &log.requests.v[i]);
	if (!d->json)
		mf_buf_putf(&d->b, "%zu of the last %zu requests are decided otherwise", d->decisions,
		    log.requests.n);
	if (!d->json && log.incomplete > 0)
		mf_buf_putf(
		    &d->b, "; of %llu the log does not have all facts", (unsigned long long)log.incomplete);
	if (!d->json)
		mf_buf_put_u8(&d->b, '\n');
	mf_tool_log_fini(&log);
	return TOOL_OK;
}

int
mf_tool_diff(const struct mf_tool_opts *o)
{
	MF_AUTO(mf_policy_free) struct mf_policy *old = NULL;
	MF_AUTO(mf_policy_free) struct mf_policy *new = NULL;
	int rc = mf_tool_load(o->args[0], NULL, &old), rc2 = mf_tool_load(o->args[1], NULL, &new);
	if (rc != TOOL_OK || rc2 != TOOL_OK)
		return rc != TOOL_OK ? rc : rc2;
	struct diff d = { .old = old, .new = new, .json = o->json };
	mf_buf_init(&d.b, 1 << 28);
	if (o->json)
		mf_tool_json_begin(&d.w, &d.b, "PolicyChangeList");
	compare_texts(&d);
	if (o->against_log)
		rc = against_log(o, &d);
	if (rc == TOOL_OK && !o->json && d.changes == 0)
		mf_buf_put_str(&d.b, "no profile and no rule means anything else\n");
	if (rc == TOOL_OK)
		rc = o->json ? mf_tool_json_end(&d.w, &d.b, TOOL_OK) : mf_tool_print(&d.b, TOOL_OK);
	mf_buf_fini(&d.b);
	return rc;
}
