/* mayfly policy lint: what is legal but suspicious. */
#include <stdio.h>

#include "base/clock.h"
#include "cli/policy/tool.h"

static const char *const levels[] = {
	[MF_LINT_NOTE] = "note", [MF_LINT_WARNING] = "warning", [MF_LINT_ERROR] = "error"
};

struct listing {
	struct mf_jw *w; /* NULL: lines into ${to} */
	struct mf_buf *to;
	const char *path;
	size_t n;
};

static void
on_finding(void *ctx, enum mf_lint_level level, const char *subject, const char *text)
{
	struct listing *l = ctx;
	l->n++;
	if (l->w == NULL) {
		mf_buf_putf(l->to, "%s: %s: ", l->path, levels[level]);
		mf_tool_put_clean(l->to, subject);
		mf_buf_put_u8(l->to, ' ');
		mf_tool_put_clean(l->to, text);
		mf_buf_put_u8(l->to, '\n');
		return;
	}
	mf_jw_object_begin(l->w);
	mf_jw_kstr(l->w, "level", levels[level]);
	mf_jw_kstr(l->w, "subject", subject);
	mf_jw_kstr(l->w, "text", text);
	mf_jw_object_end(l->w);
}

size_t
mf_tool_complain(const char *path, const struct mf_policy *p)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1 << 24);
	struct listing l = { .to = &b, .path = path };
	size_t errors = mf_policy_lint(p, mf_now().wall_us / 1000000, on_finding, &l);
	if (b.n > 0)
		(void)fwrite(b.p, 1, b.n, stderr);
	return errors;
}

int
mf_tool_lint(const struct mf_tool_opts *o)
{
	MF_AUTO(mf_policy_free) struct mf_policy *p = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_jw w;
	char room[4096];
	const char *path = o->n_args > 0 ? o->args[0] : mf_tool_policy_path(o, room, sizeof(room));
	mf_buf_init(&b, 1 << 24);
	int rc = mf_tool_load(path, NULL, &p);
	if (rc != TOOL_OK)
		return rc;
	struct listing l = { .w = o->json ? &w : NULL, .to = &b, .path = path };
	if (o->json)
		mf_tool_json_begin(&w, &b, "PolicyFindingList");
	size_t errors = mf_policy_lint(p, mf_now().wall_us / 1000000, on_finding, &l);
	if (o->json)
		return mf_tool_json_end(&w, &b, errors > 0 ? TOOL_FAILED : TOOL_OK);
	mf_buf_putf(&b, "%s: %zu profiles, %zu rules; %zu findings, %zu of them errors\n", path,
	    mf_policy_profile_count(p), mf_policy_rule_count(p), l.n, errors);
	return mf_tool_print(&b, errors > 0 ? TOOL_FAILED : TOOL_OK);
}
