#include "broker/core/scope.h"

#include "base/limits.h"

#define TEMPLATE_BYTES 512u /* of a resource or action, as written */
#define TEXT_BYTES (64u * 1024u)
#define MODEL_PATTERN 64u /* bytes of one with its NUL */

/* ---- what may stand where ---- */

static bool
is_value_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '_' || c == '=' || c == '@' || c == '+' || c == '-';
}

/* Printable, and nothing that a policy language or a URL reads as more than a letter. */
static bool
is_literal_byte(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '%' && c != '$' && c != '\'' &&
	       c != '<' && c != '>' && c != '`' && c != '^' && c != '|' && c != '{' && c != '}';
}

/* One path segment's worth: never "." or "..", never empty. */
static bool
is_value(struct mf_slice v)
{
	bool dots = true;
	for (size_t i = 0; i < v.n; i++) {
		if (!is_value_byte(v.p[i]) || (v.p[i] == '.' && i > 0 && v.p[i - 1] == '.'))
			return false;
		dots &= v.p[i] == '.';
	}
	return v.n > 0 && v.n <= MF_LIM_SCOPE_VALUE && !dots;
}

/* Values by the name that templates have for them. */
enum value { V_JOB, V_RUN, V_TENANT, V_PERSON, V_PURPOSE, V_TD, V_DATASET, V_COUNT };
static const char *const value_names[V_COUNT] = { "job", "run", "tenant", "person", "purpose", "td",
	"dataset" };

static struct mf_slice
value_of(const struct mf_scope_facts *f, enum value v)
{
	const char *const all[] = { f->job, f->run, f->tenant, f->person, f->purpose, f->trust_domain };
	return mf_slice_str((size_t)v < MF_COUNT(all) ? all[v] : NULL);
}

/* ---- templates ---- */

struct piece {
	struct mf_slice literal; /* before the value, or at the end */
	enum value value;	 /* V_COUNT: the end */
};

/* The next piece of ${rest}; false: a brace without its other one, or a name that there is none of. */
static bool
next_piece(struct mf_slice *rest, struct piece *ret)
{
	const uint8_t *open = rest->n == 0 ? NULL : memchr(rest->p, '{', rest->n);
	*ret = (struct piece) { *rest, V_COUNT };
	if (open == NULL) {
		*rest = mf_slice(NULL, 0);
		return true;
	}
	size_t at = (size_t)(open - rest->p);
	const uint8_t *close = memchr(open, '}', rest->n - at);
	if (close == NULL)
		return false;
	struct mf_slice name = mf_slice(open + 1, (size_t)(close - open) - 1);
	unsigned v = 0;
	while (v < V_COUNT && !mf_slice_eq_str(name, value_names[v]))
		v++;
	ret->literal = mf_slice_sub(*rest, 0, at);
	ret->value = (enum value)v;
	*rest = mf_slice_sub(*rest, at + name.n + 2, rest->n);
	return v < V_COUNT;
}

static bool
has_odd_byte(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_literal_byte(s.p[i]))
			return true;
	return false;
}

/*
 * Behind a value there must be the end of its segment, so that neither a wildcard nor another value makes a sibling of
 * it: runs/{run}* would be runs/r-12 for r-1. Behind {dataset}, which ends in "/", a wildcard may stand.
 */
static bool
ends_segment(enum value v, struct mf_slice rest)
{
	if (rest.n == 0 || rest.p[0] == '/' || rest.p[0] == ':')
		return v != V_DATASET || rest.n == 0;
	return v == V_DATASET && rest.n == 1 && rest.p[0] == '*';
}

static enum mf_status
check_template(const char *text, bool *ret_dataset, struct mf_err *err)
{
	struct mf_slice rest = mf_slice_str(text);
	struct piece p;
	if (rest.n == 0 || rest.n > TEMPLATE_BYTES)
		return MF_FAIL(err, MF_E_INVALID, "a resource is 1 to %u bytes", TEMPLATE_BYTES);
	if (strstr(text, "/../") != NULL || strstr(text, "/./") != NULL)
		return MF_FAIL(err, MF_E_INVALID, "resource `%s`: no segment may be . or ..", text);
	for (bool first = true; rest.n > 0 || first; first = false) {
		if (!next_piece(&rest, &p))
			return MF_FAIL(err, MF_E_INVALID,
			    "resource `%s`: {job}, {run}, {tenant}, {person}, {purpose}, {td} and {dataset} "
			    "are "
			    "what can stand in braces",
			    text);
		if (has_odd_byte(p.literal))
			return MF_FAIL(err, MF_E_INVALID,
			    "a resource has printable ASCII without blanks, quotes, $, %% and backslashes");
		if (p.value == V_COUNT)
			break;
		*ret_dataset |= p.value == V_DATASET;
		if (!ends_segment(p.value, rest))
			return MF_FAIL(err, MF_E_INVALID,
			    p.value == V_DATASET
				? "resource `%s`: {dataset} ends in \"/\" by itself and only one * may follow"
				: "resource `%s`: a value must be a whole segment: put \"/\" behind it (%s* "
				  "would "
				  "match its siblings too)",
			    text, value_names[p.value]);
	}
	return MF_OK;
}

/* ---- actions ---- */

static uint8_t
small(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static bool
same_letter(uint8_t a, uint8_t b)
{
	return a == '?' || b == '?' || small(a) == small(b);
}

/*
 * Is there a name that both patterns match, * and ? in either? Letters as providers take them: without case. From the back:
 * now[k] is the answer for the rest of ${a} and ${b} from k on.
 */
static bool
meets(const char *a, const char *b)
{
	bool rows[2][MODEL_PATTERN + 1] = { { false } };
	size_t bn = strlen(b);
	for (size_t i = strlen(a) + 1; i-- > 0;) {
		bool *now = rows[i % 2], *after = rows[(i + 1) % 2];
		for (size_t k = bn + 1; k-- > 0;) {
			bool a_over = a[i] == '\0', b_over = b[k] == '\0';
			bool is = a_over && b_over;
			if (a[i] == '*')
				is = is || after[k] || (!b_over && now[k + 1]);
			if (b[k] == '*')
				is = is || now[k + 1] || (!a_over && after[k]);
			if (!a_over && !b_over && a[i] != '*' && b[k] != '*')
				is = same_letter((uint8_t)a[i], (uint8_t)b[k]) && after[k + 1];
			now[k] = is;
		}
	}
	return rows[0][0];
}

bool
mf_scope_is_model_action(const char *action)
{
	/* By families, so that a name that a provider makes tomorrow is among them. */
	static const char invoking[][MODEL_PATTERN] = { "bedrock:Invoke*", "bedrock:Converse*",
		"bedrock:RetrieveAndGenerate*", "bedrock:CreateModelInvocationJob*",
		"bedrock:StartAsyncInvoke*", "bedrock-agentcore:Invoke*", "bedrock-mantle:CreateInference*",
		"bedrock-mantle:CallWithBearer*", "sagemaker:InvokeEndpoint*",
		"aiplatform.endpoints.predict*", "aiplatform.endpoints.explain*",
		"Microsoft.CognitiveServices/accounts/OpenAI/*" };
	for (size_t i = 0; i < MF_COUNT(invoking); i++)
		if (meets(action, invoking[i]))
			return true;
	return false;
}

static enum mf_status
check_action(const char *action, const char *const *models, size_t models_n, struct mf_err *err)
{
	struct mf_slice a = mf_slice_str(action);
	if (a.n == 0 || a.n > TEMPLATE_BYTES || has_odd_byte(a))
		return MF_FAIL(err, MF_E_INVALID,
		    "an action is 1 to %u bytes of printable ASCII without blanks and quotes",
		    TEMPLATE_BYTES);
	if (!mf_scope_is_model_action(action))
		return MF_OK;
	for (size_t i = 0; i < models_n; i++)
		if (strcmp(models[i], action) == 0)
			return MF_OK;
	return MF_FAIL(err, MF_E_INVALID,
	    "action `%s` can invoke models: list it under `models` as well, or name narrower actions",
	    action);
}

enum mf_status
mf_scope_check(const struct mf_scope_statement *s, size_t n, const char *const *models, size_t models_n,
    struct mf_err *err)
{
	if (n == 0 || n > MF_SCOPE_STATEMENTS)
		return MF_FAIL(err, MF_E_INVALID, "a scope has 1 to %u statements", MF_SCOPE_STATEMENTS);
	for (size_t i = 0; i < n; i++) {
		bool dataset = false;
		if (s[i].actions_n == 0 || s[i].actions_n > MF_SCOPE_ACTIONS)
			return MF_FAIL(
			    err, MF_E_INVALID, "scope[%zu]: 1 to %u actions are needed", i, MF_SCOPE_ACTIONS);
		if (s[i].resources_n > MF_SCOPE_RESOURCES)
			return MF_FAIL(
			    err, MF_E_INVALID, "scope[%zu]: more than %u resources", i, MF_SCOPE_RESOURCES);
		for (size_t k = 0; k < s[i].actions_n; k++)
			if (check_action(s[i].actions[k], models, models_n, err) != MF_OK)
				return mf_err_wrap(err, MF_E_INVALID, "scope[%zu]", i);
		for (size_t k = 0; k < s[i].resources_n; k++)
			if (check_template(s[i].resources[k], &dataset, err) != MF_OK)
				return mf_err_wrap(err, MF_E_INVALID, "scope[%zu]", i);
	}
	return MF_OK;
}

/* ---- rendering ---- */

/*
 * "s3://bucket/a/b" is bucket/a/b; false: it lies in no object store. ${ret_one}: it may be one object, for neither is it said to be
 * a prefix, by a slash at its end, nor is it a bucket.
 */
static bool
object_path(struct mf_slice uri, struct mf_slice *ret_path, bool *ret_one)
{
	static const char *const schemes[] = { "s3://", "gs://" };
	for (size_t i = 0; i < MF_COUNT(schemes); i++) {
		if (!mf_slice_starts(uri, mf_slice_str(schemes[i])))
			continue;
		*ret_path = mf_slice_sub(uri, strlen(schemes[i]), uri.n);
		*ret_one = ret_path->n > 0 && memchr(ret_path->p, '/', ret_path->n) != NULL &&
			   ret_path->p[ret_path->n - 1] != '/';
		if (ret_path->n > 0 && ret_path->p[ret_path->n - 1] == '/')
			ret_path->n--;
		return true;
	}
	return false;
}

/* Bucket and prefix, every segment of them a value. */
static bool
is_object_path(struct mf_slice path)
{
	for (struct mf_slice rest = path; path.n <= MF_LIM_SCOPE_VALUE;) {
		const uint8_t *slash = rest.n == 0 ? NULL : memchr(rest.p, '/', rest.n);
		size_t n = slash == NULL ? rest.n : (size_t)(slash - rest.p);
		if (!is_value(mf_slice_sub(rest, 0, n)))
			return false;
		if (slash == NULL)
			return true;
		rest = mf_slice_sub(rest, n + 1, rest.n);
	}
	return false;
}

struct rendering {
	const struct mf_scope_facts *facts;
	struct mf_scope *to;
	struct mf_scope_rendered *st;
	size_t at[MF_SCOPE_STATEMENTS][MF_SCOPE_RESOURCES]; /* offsets: the text may still move */
};

/* One resource; ${path}: what {dataset} stands for; ${one}: that very object, and not what is below it. */
static enum mf_status
put_resource(struct rendering *r, const char *text, struct mf_slice path, bool one, struct mf_err *err)
{
	struct mf_buf *b = &r->to->text;
	struct mf_slice rest = mf_slice_str(text);
	struct piece p;
	size_t statement = (size_t)(r->st - r->to->statements), start = b->n;
	if (r->st->resources_n == MF_SCOPE_RESOURCES)
		return MF_FAIL(err, MF_E_DENIED,
		    "the manifest has more data sets than a statement of the scope has room for (%u "
		    "resources)",
		    MF_SCOPE_RESOURCES);
	do {
		if (!next_piece(&rest, &p))
			return MF_FAIL(err, MF_E_INTERNAL, "scope: a template that was not checked");
		mf_buf_put_slice(b, p.literal);
		if (p.value == V_COUNT)
			break;
		struct mf_slice v = p.value == V_DATASET ? path : value_of(r->facts, p.value);
		if (p.value != V_DATASET && !is_value(v))
			return MF_FAIL(err, MF_E_DENIED,
			    v.n == 0 ? "the scope needs {%s}, which this job does not have"
				     : "the job's %s cannot stand in a scope: only letters, digits and . _ = "
				       "@ + - "
				       "may, and no \"..\"",
			    value_names[p.value]);
		mf_buf_put_slice(b, v);
		if (p.value == V_DATASET && one)
			break;
		if (p.value == V_DATASET)
			mf_buf_put_u8(b, '/');
	} while (rest.n > 0);
	MF_TRY(mf_buf_check(b, err));
	r->at[statement][r->st->resources_n] = start;
	r->st->resources[r->st->resources_n++] = mf_slice(NULL, b->n - start);
	return MF_OK;
}

static enum mf_status
put_datasets(struct rendering *r, const char *text, struct mf_err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < r->facts->datasets_n; i++) {
		struct mf_slice path;
		bool one;
		if (!object_path(r->facts->datasets[i], &path, &one))
			continue; /* of another kind: this grant is not about it */
		if (!is_object_path(path))
			return MF_FAIL(err, MF_E_DENIED,
			    "the manifest's dataset[%zu] cannot stand in a scope: its URI must be "
			    "s3://BUCKET/PREFIX "
			    "in plain letters, without \"..\", empty segments, wildcards or escapes",
			    i);
		MF_TRY(put_resource(r, text, path, false, err));
		if (one)
			MF_TRY(put_resource(r, text, path, true, err));
		n++;
	}
	if (n == 0)
		return MF_FAIL(err, MF_E_DENIED,
		    "the scope needs {dataset}, and the job's manifest names no data set in s3:// or gs://");
	return MF_OK;
}

enum mf_status
mf_scope_render(const struct mf_scope_statement *s, size_t n, const struct mf_scope_facts *facts,
    struct mf_scope *ret, struct mf_err *err)
{
	*ret = (struct mf_scope) { .statements_n = 0 };
	mf_buf_init(&ret->text, TEXT_BYTES);
	struct rendering r = { .facts = facts, .to = ret };
	if (n > MF_SCOPE_STATEMENTS)
		return MF_FAIL(err, MF_E_INTERNAL, "scope: a template that was not checked");
	for (size_t i = 0; i < n; i++) {
		r.st = &ret->statements[ret->statements_n++];
		r.st->actions = s[i].actions;
		r.st->actions_n = s[i].actions_n;
		for (size_t k = 0; k < s[i].resources_n; k++) {
			const char *text = s[i].resources[k];
			MF_TRY(strstr(text, "{dataset}") != NULL
				   ? put_datasets(&r, text, err)
				   : put_resource(&r, text, mf_slice(NULL, 0), false, err));
		}
	}
	for (size_t i = 0; i < ret->statements_n; i++)
		for (size_t k = 0; k < ret->statements[i].resources_n; k++)
			ret->statements[i].resources[k].p = ret->text.p + r.at[i][k];
	return MF_OK;
}

void
mf_scope_fini(struct mf_scope *s)
{
	mf_buf_fini(&s->text);
	*s = (struct mf_scope) { .statements_n = 0 };
}
