/* deny: the inline policy that denies by tag: read, merged by aws_sts.c, written. */
#include <stdlib.h>

#include "base/clock.h"
#include "broker/backends/aws_sts/internal.h"
#include "codec/json_write.h"

#define TAG_PREFIX "aws:PrincipalTag/"
#define VALUE_MAX 256u /* of a session tag */

const char *const mf_aws_tags[] = { "mayfly-job", "mayfly-lease", "mayfly-cred", NULL };
static const char *const sids[] = { "MayflyJob", "MayflyLease", "MayflyCred" };
static const char *const keys[] = { TAG_PREFIX "mayfly-job", TAG_PREFIX "mayfly-lease",
	TAG_PREFIX "mayfly-cred" };

void
mf_aws_denies_fini(struct mf_aws_denies *d)
{
	free(d->v);
	*d = (struct mf_aws_denies) { 0 };
}

static bool
find(const struct mf_aws_denies *d, unsigned tag, struct mf_slice value)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].tag == tag && mf_slice_eq(d->v[i].value, value))
			return true;
	return false;
}

static int
tag_of(struct mf_slice name)
{
	for (int i = 0; mf_aws_tags[i] != NULL; i++)
		if (mf_slice_eq_str(name, mf_aws_tags[i]))
			return i;
	return -1;
}

static bool
add(struct mf_aws_denies *d, unsigned tag, struct mf_slice value)
{
	if (!mf_outcome_plain(value, VALUE_MAX))
		return false;
	if (find(d, tag, value))
		return true;
	if (d->n == d->cap) {
		size_t cap = d->cap == 0 ? 64 : d->cap * 2;
		struct mf_aws_deny *v = cap > MF_AWS_DENIES ? NULL : realloc(d->v, cap * sizeof(*v));
		if (v == NULL)
			return false;
		d->v = v;
		d->cap = cap;
	}
	d->v[d->n++] = (struct mf_aws_deny) { tag, value };
	return true;
}

bool
mf_aws_denies_add(struct mf_aws_denies *d, struct mf_slice tag, struct mf_slice value)
{
	int t = tag_of(tag);
	return t >= 0 && add(d, (unsigned)t, value);
}

bool
mf_aws_denies_has(const struct mf_aws_denies *d, struct mf_slice tag, struct mf_slice value)
{
	int t = tag_of(tag);
	return t >= 0 && find(d, (unsigned)t, value);
}

/* A value of a condition: one text, or a list of them. */
static bool
read_values(const struct mf_json_value *v, unsigned tag, struct mf_aws_denies *to)
{
	struct mf_slice s;
	if (mf_json_string(v, &s))
		return add(to, tag, s);
	for (size_t i = 0; i < mf_json_size(v); i++)
		if (mf_json_string(mf_json_at(v, i), &s) && !add(to, tag, s))
			return false;
	return true;
}

static bool
read_statement(const struct mf_json_value *st, struct mf_aws_denies *to)
{
	const struct mf_json_value *cond = mf_json_get(st, "Condition");
	const struct mf_json_value *tags = mf_json_get(cond, "StringEquals");
	struct mf_slice effect, date;
	int64_t us;
	if (!mf_json_string(mf_json_get(st, "Effect"), &effect) || !mf_slice_eq_str(effect, "Deny"))
		return true;
	for (unsigned t = 0; t < MF_COUNT(keys); t++) {
		const struct mf_json_value *v = mf_json_get(tags, keys[t]);
		if (v != NULL && !read_values(v, t, to))
			return false;
	}
	if (mf_json_string(mf_json_get(mf_json_get(cond, "DateLessThan"), "aws:TokenIssueTime"), &date) &&
	    mf_time_get(date, &us, NULL) == MF_OK && us / 1000000 > to->older_than)
		to->older_than = us / 1000000;
	return true;
}

enum mf_status
mf_aws_deny_read(
    struct mf_slice document, struct mf_json **ret_keep, struct mf_aws_denies *to, struct mf_err *err)
{
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	MF_TRY(mf_json_parse(document, 0, &doc, err));
	const struct mf_json_value *list = mf_json_get(mf_json_root(doc), "Statement");
	bool good = true;
	if (mf_json_type(list) == MF_JSON_OBJECT)
		good = read_statement(list, to);
	else if (mf_json_type(list) != MF_JSON_ARRAY)
		return MF_FAIL(err, MF_E_INVALID, "deny list: no statements");
	for (size_t i = 0; mf_json_type(list) == MF_JSON_ARRAY && i < mf_json_size(list) && good; i++)
		good = read_statement(mf_json_at(list, i), to);
	if (!good)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "deny list: more than %u entries, or one that is no tag of ours", MF_AWS_DENIES);
	*ret_keep = MF_TAKE(doc);
	return MF_OK;
}

static void
put_head(struct mf_jw *w, const char *sid)
{
	mf_jw_object_begin(w);
	mf_jw_kstr(w, "Sid", sid);
	mf_jw_kstr(w, "Effect", "Deny");
	mf_jw_kstr(w, "Action", "*");
	mf_jw_kstr(w, "Resource", "*");
	mf_jw_key(w, "Condition");
	mf_jw_object_begin(w);
}

static void
put_tag(struct mf_jw *w, const struct mf_aws_denies *d, size_t n, unsigned tag)
{
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		if (d->v[i].tag != tag)
			continue;
		if (!any) {
			put_head(w, sids[tag]);
			mf_jw_key(w, "StringEquals");
			mf_jw_object_begin(w);
			mf_jw_key(w, keys[tag]);
			mf_jw_array_begin(w);
		}
		any = true;
		mf_jw_string(w, d->v[i].value);
	}
	if (!any)
		return;
	mf_jw_array_end(w);
	mf_jw_object_end(w);
	mf_jw_object_end(w);
	mf_jw_object_end(w);
}

enum mf_status
mf_aws_deny_write(const struct mf_aws_denies *d, size_t n, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf date;
	mf_buf_init(&date, 64);
	if (n == 0 && d->older_than == 0)
		return MF_OK;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "Version", "2012-10-17");
	mf_jw_key(&w, "Statement");
	mf_jw_array_begin(&w);
	for (unsigned t = 0; t < MF_COUNT(keys); t++)
		put_tag(&w, d, n, t);
	if (d->older_than > 0) {
		put_head(&w, "MayflySessions");
		mf_jw_key(&w, "DateLessThan");
		mf_jw_object_begin(&w);
		mf_time_put_s(&date, d->older_than);
		mf_jw_kstring(&w, "aws:TokenIssueTime", mf_buf_slice(&date));
		mf_jw_object_end(&w);
		mf_jw_object_end(&w);
		mf_jw_object_end(&w);
	}
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, err);
}

size_t
mf_aws_deny_fit(const struct mf_aws_denies *d, size_t room)
{
	/* A statement around the values of one tag; a value costs its bytes, two quotes and a comma (plain: no escapes). */
	static const size_t frame = sizeof(
	    "{\"Sid\":\"MayflyLease\",\"Effect\":\"Deny\",\"Action\":\"*\","
	    "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"" TAG_PREFIX "mayfly-lease\":[]}}},");
	static const size_t sessions =
	    sizeof("{\"Sid\":\"MayflySessions\",\"Effect\":\"Deny\",\"Action\":\"*\","
		   "\"Resource\":\"*\",\"Condition\":{\"DateLessThan\":{"
		   "\"aws:TokenIssueTime\":\"2026-11-21T22:31:00Z\"}}},");
	size_t used =
	    sizeof("{\"Version\":\"2012-10-17\",\"Statement\":[]}") + (d->older_than > 0 ? sessions : 0);
	bool tags[MF_COUNT(keys)] = { false };
	for (size_t i = 0; i < d->n; i++) {
		used += d->v[i].value.n + 3 + (tags[d->v[i].tag] ? 0 : frame);
		tags[d->v[i].tag] = true;
		if (used > room)
			return i;
	}
	return d->n;
}
