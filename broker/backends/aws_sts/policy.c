/* policy: a scope as a session policy. */
#include "broker/backends/aws_sts/internal.h"
#include "base/clock.h"
#include "codec/json_write.h"

#define PREFIX "?prefix="

/* "arn:aws:s3:::bucket?prefix=runs/r-1/": listing, of this prefix only. */
static bool
split_prefix(struct mf_slice resource, struct mf_slice *ret_arn, struct mf_slice *ret_prefix)
{
	struct mf_slice mark = MF_SLICE_LIT(PREFIX);
	for (size_t i = 0; i < resource.n; i++) {
		if (mf_slice_starts(mf_slice_sub(resource, i, resource.n), mark)) {
			*ret_arn = mf_slice_sub(resource, 0, i);
			*ret_prefix = mf_slice_sub(resource, i + mark.n, resource.n);
			return true;
		}
	}
	*ret_arn = resource;
	*ret_prefix = mf_slice(NULL, 0);
	return false;
}

/* A "*" goes behind it. */
static bool
prefix_ok(struct mf_slice p)
{
	return p.n > 0 && p.p[p.n - 1] == '/' && memchr(p.p, '*', p.n) == NULL &&
	       memchr(p.p, '?', p.n) == NULL;
}

static void
put_date(struct mf_jw *w, const char *key, int64_t at_s)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	mf_time_put_s(&b, at_s);
	mf_jw_kstring(w, key, mf_buf_slice(&b));
}

static void
put_statement(
    struct mf_jw *w, const struct mf_scope_rendered *s, const struct mf_slice *only, int64_t not_after)
{
	struct mf_slice arn, prefix = mf_slice(NULL, 0);
	mf_jw_object_begin(w);
	mf_jw_kstr(w, "Effect", "Allow");
	mf_jw_key(w, "Action");
	mf_jw_array_begin(w);
	for (size_t i = 0; i < s->actions_n; i++)
		mf_jw_str(w, s->actions[i]);
	mf_jw_array_end(w);
	mf_jw_key(w, "Resource");
	mf_jw_array_begin(w);
	for (size_t i = 0; i < s->resources_n; i++) {
		if (only != NULL ? &s->resources[i] != only : split_prefix(s->resources[i], &arn, &prefix))
			continue;
		(void)split_prefix(s->resources[i], &arn, &prefix);
		mf_jw_string(w, arn);
	}
	mf_jw_array_end(w);
	if (not_after > 0 || only != NULL) {
		mf_jw_key(w, "Condition");
		mf_jw_object_begin(w);
		if (not_after > 0) {
			mf_jw_key(w, "DateLessThan");
			mf_jw_object_begin(w);
			put_date(w, "aws:CurrentTime", not_after);
			mf_jw_object_end(w);
		}
		if (only != NULL) {
			MF_AUTO_IN(mf_buf_fini) struct mf_buf like;
			mf_buf_init(&like, MF_AWS_POLICY_MAX);
			mf_buf_put_slice(&like, prefix);
			mf_buf_put_u8(&like, '*');
			mf_jw_key(w, "StringLike");
			mf_jw_object_begin(w);
			mf_jw_kstring(w, "s3:prefix", mf_buf_slice(&like));
			mf_jw_object_end(w);
		}
		mf_jw_object_end(w);
	}
	mf_jw_object_end(w);
}

enum mf_status
mf_aws_session_policy(const struct mf_scope *s, int64_t not_after, struct mf_buf *to, struct mf_err *err)
{
	struct mf_jw w;
	struct mf_slice arn, prefix;
	size_t before = to->n;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "Version", "2012-10-17");
	mf_jw_key(&w, "Statement");
	mf_jw_array_begin(&w);
	for (size_t i = 0; i < s->statements_n; i++) {
		const struct mf_scope_rendered *st = &s->statements[i];
		size_t plain = 0;
		if (st->actions_n == 0 || st->resources_n == 0)
			return MF_FAIL(err, MF_E_INVALID,
			    "aws-sts: a statement needs actions and resources, or it would mean all of them");
		for (size_t k = 0; k < st->resources_n; k++) {
			if (!split_prefix(st->resources[k], &arn, &prefix))
				plain++;
			else if (!prefix_ok(prefix))
				return MF_FAIL(err, MF_E_INVALID,
				    "aws-sts: " PREFIX " must be whole segments that end in \"/\", without * "
				    "and ?: runs/r-1 would list runs/r-12, too");
			else
				put_statement(&w, st, &st->resources[k], not_after);
		}
		if (plain > 0)
			put_statement(&w, st, NULL, not_after);
	}
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	MF_TRY(mf_jw_finish(&w, err));
	if (to->n - before > MF_AWS_POLICY_MAX)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "aws-sts: the session policy has %zu characters, STS takes %u: name fewer actions, "
		    "resources "
		    "or data sets in the grant",
		    to->n - before, MF_AWS_POLICY_MAX);
	return MF_OK;
}
