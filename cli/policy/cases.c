/*
 * cases: a file of requests with the decisions that they must get.
 *
 *   mayfly_cases: 1
 *   cases:
 *     - name: a LoRA of eve may run in dev
 *       profile: ft-dev                       # leave it out to ask for the only one that is permitted
 *       at: 2026-12-01T09:00:00Z              # when; default: now
 *       attested: {unix.user: eve, unix.group: [nlp, users]}
 *       node: {id: n1, pool: gpu-a}
 *       manifest: {kind: lora, env: dev, dataset: [{uri: s3://research/a, class: public}]}
 *       expect: permit                        # or deny
 *       rule: explore                         # the rule that decides; may be left out
 *       attribute: manifest.env               # what a denial fails at; may be left out
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "broker/core/request_facts.h"
#include "cli/policy/tool.h"
#include "conf/schema.h"

#define CASES_MAX 10000
#define LOAD_BYTES (64u * 1024u * 1024u)

struct case_row {
	const struct mf_yaml_node *self, *attested, *node, *manifest, *submitter;
	const char *name, *profile, *at, *rule, *attribute;
	int expect;
};
struct file {
	int64_t version;
	struct mf_conf_items cases;
};

#define FIELD(type_, struct_, member, ...)                                    \
	{                                                                     \
		.type = (type_), .at = offsetof(struct_, member), __VA_ARGS__ \
	}

static const char *const expect_words[] = { "permit", "deny", NULL };

static const char *
check_time(struct mf_slice v)
{
	int64_t us;
	return v.n == 0 || mf_time_get(v, &us, NULL) == MF_OK ? NULL
							      : "must be a time like 2026-12-01T09:00:00Z";
}

static const struct mf_conf_field case_fields[] = {
	FIELD(MF_CONF_SELF, struct case_row, self, .key = NULL),
	FIELD(MF_CONF_STRING, struct case_row, name, .key = "name", .required = true, .min = 1, .max = 256,
	    .help = "what the case shows"),
	FIELD(MF_CONF_STRING, struct case_row, profile, .key = "profile", .max = 64),
	FIELD(MF_CONF_STRING, struct case_row, at, .key = "at", .check = check_time),
	FIELD(MF_CONF_ENUM, struct case_row, expect, .key = "expect", .required = true, .words = expect_words,
	    .help = "permit or deny"),
	FIELD(MF_CONF_STRING, struct case_row, rule, .key = "rule", .max = 64),
	FIELD(MF_CONF_STRING, struct case_row, attribute, .key = "attribute", .max = 160),
	FIELD(MF_CONF_TREE, struct case_row, attested, .key = "attested"),
	FIELD(MF_CONF_TREE, struct case_row, node, .key = "node"),
	FIELD(MF_CONF_TREE, struct case_row, manifest, .key = "manifest"),
	FIELD(MF_CONF_TREE, struct case_row, submitter, .key = "submitter"),
};
static const struct mf_conf_schema case_schema = MF_CONF_SCHEMA(case_fields, struct case_row);
static const struct mf_conf_field file_fields[] = {
	FIELD(MF_CONF_INT, struct file, version, .key = "mayfly_cases", .required = true, .min = 1, .max = 1,
	    .help = "the version of the format: 1"),
	FIELD(MF_CONF_OBJECTS, struct file, cases, .key = "cases", .required = true, .min = 1,
	    .max = CASES_MAX, .sub = &case_schema, .help = "a list of cases"),
};
static const struct mf_conf_schema file_schema = MF_CONF_SCHEMA(file_fields, struct file);

static void
problem(struct mf_problems *to, const struct mf_yaml_node *at, const char *text)
{
	mf_problems_add(to, mf_yaml_place(at), "%s", text);
}

/* {unix.user: alice, unix.group: [a, b], x: []}: an empty list is known, and has nothing in it. */
static void
add_map(struct mf_facts *f, enum mf_fact_ns ns, const struct mf_yaml_node *map, struct mf_problems *problems)
{
	struct mf_err err = { 0 };
	if (map == NULL)
		return;
	if (map->kind != MF_YAML_MAP) {
		problem(problems, map, "must be a map of attributes to a value or a list of values");
		return;
	}
	for (const struct mf_yaml_node *a = map->first; a != NULL; a = a->next) {
		const struct mf_yaml_node *v = a->kind == MF_YAML_LIST ? a->first : a;
		enum mf_status s = v == NULL		    ? mf_facts_declare(f, ns, a->key, &err)
				   : a->kind == MF_YAML_MAP ? MF_E_INVALID
							    : MF_OK;
		for (; s == MF_OK && v != NULL; v = a->kind == MF_YAML_LIST ? v->next : NULL)
			s = v->kind == MF_YAML_TEXT ? mf_facts_add(f, ns, a->key, v->text, &err)
						    : MF_E_INVALID;
		if (s != MF_OK)
			problem(problems, a,
			    err.msg[0] != '\0' ? err.msg : "must be a value or a list of values");
	}
}

/* The tree as JSON: every text is a string, but the format's version, which is a number. */
static void
put_json(struct mf_jw *w, const struct mf_yaml_node *root)
{
	const struct mf_yaml_node *stack[MF_LIM_YAML_DEPTH], *at = root;
	size_t depth = 0;
	for (;;) {
		if (depth > 0 && stack[depth - 1]->kind == MF_YAML_MAP)
			mf_jw_key_slice(w, at->key);
		if (at->kind == MF_YAML_TEXT && mf_slice_eq_str(at->key, "mayfly_manifest") &&
		    mf_slice_eq_str(at->text, "1"))
			mf_jw_int(w, 1);
		else if (at->kind == MF_YAML_TEXT)
			mf_jw_string(w, at->text);
		else if (at->kind == MF_YAML_MAP)
			mf_jw_object_begin(w);
		else
			mf_jw_array_begin(w);
		const struct mf_yaml_node *next = at->kind == MF_YAML_TEXT ? NULL : at->first;
		if (at->kind != MF_YAML_TEXT && depth < MF_LIM_YAML_DEPTH)
			stack[depth++] = at;
		if (next == NULL && at->kind == MF_YAML_TEXT)
			next = depth > 0 ? at->next : NULL;
		while (next == NULL && depth > 0) {
			at = stack[--depth];
			if (at->kind == MF_YAML_MAP)
				mf_jw_object_end(w);
			else
				mf_jw_array_end(w);
			next = depth > 0 ? at->next : NULL;
		}
		if (next == NULL)
			return;
		at = next;
	}
}

static void
add_manifest(struct mf_facts *f, const struct mf_yaml_node *tree, struct mf_problems *problems)
{
	MF_AUTO(mf_manifest_free) struct mf_manifest *m = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf json, line;
	struct mf_err err = { 0 };
	struct mf_jw w;
	mf_buf_init(&json, MF_LIM_MANIFEST);
	mf_buf_init(&line, MF_LIM_MANIFEST);
	if (tree == NULL)
		return;
	mf_jw_init(&w, &json, false);
	put_json(&w, tree);
	enum mf_status s = mf_jw_finish(&w, &err);
	if (s == MF_OK)
		s = mf_manifest_parse(mf_buf_slice(&json), &m, &err);
	for (size_t i = 0; s == MF_OK && i < mf_manifest_count(m); i++) {
		struct mf_manifest_attr a = mf_manifest_at(m, i);
		mf_buf_reset(&line);
		mf_manifest_attr_put(&a, &line);
		s = mf_request_manifest(f, mf_buf_slice(&line), &err);
	}
	if (s != MF_OK)
		problem(problems, tree, err.msg);
}

static char *
copy(const char *s)
{
	return s[0] == '\0' ? NULL : mf_slice_dup_str(mf_slice_str(s));
}

static bool
add_case(const struct case_row *c, struct mf_problems *problems, struct mf_tool_requests *out)
{
	struct mf_err err = { 0 };
	int64_t us = mf_now().wall_us;
	struct mf_tool_request *r = mf_tool_requests_add(out);
	if (r == NULL || mf_facts_new(&r->facts, &err) != MF_OK)
		return false;
	if (c->at[0] != '\0')
		(void)(mf_time_get(mf_slice_str(c->at), &us, NULL) == MF_OK);
	r->name = mf_slice_dup_str(mf_slice_str(c->name));
	r->profile = mf_slice_dup_str(mf_slice_str(c->profile));
	r->rule = copy(c->rule);
	r->attribute = copy(c->attribute);
	r->wall_s = us / 1000000;
	r->known = true;
	r->permit = c->expect == 0;
	r->at = mf_yaml_place(c->self);
	add_map(r->facts, MF_FACT_ATTESTED, c->attested, problems);
	add_map(r->facts, MF_FACT_NODE, c->node, problems);
	add_map(r->facts, MF_FACT_SUBMITTER, c->submitter, problems);
	add_manifest(r->facts, c->manifest, problems);
	mf_facts_seal(r->facts);
	return r->name != NULL && r->profile != NULL;
}

enum mf_status
mf_tool_cases_parse(
    struct mf_slice text, struct mf_problems *problems, struct mf_tool_requests *out, struct mf_err *err)
{
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL;
	MF_AUTO(mf_arena_free) struct mf_arena *arena = mf_arena_new(LOAD_BYTES);
	struct file read;
	if (arena == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	MF_TRY(mf_yaml_parse(text, problems, &doc, err));
	MF_TRY(mf_conf_read(&file_schema, mf_yaml_root(doc), arena, problems, &read, err));
	const struct case_row *rows = read.cases.v;
	for (size_t i = 0; i < read.cases.n; i++)
		if (rows[i].self->kind == MF_YAML_MAP && !add_case(&rows[i], problems, out))
			return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	return mf_problems_check(problems, err);
}

int
mf_tool_cases(const char *path, struct mf_tool_requests *out)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, said;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new(path);
	struct mf_err err = { 0 };
	mf_buf_init(&said, 1 << 20);
	int rc = mf_tool_read(path, MF_LIM_YAML, &text);
	if (rc != TOOL_OK)
		return rc;
	if (problems == NULL)
		return mf_tool_say(TOOL_FAILED, "out of memory");
	if (mf_tool_cases_parse(mf_buf_slice(&text), problems, out, &err) == MF_OK)
		return TOOL_OK;
	mf_problems_put(problems, &said);
	if (said.n > 0)
		(void)fwrite(said.p, 1, said.n, stderr);
	return said.n > 0 ? TOOL_USAGE : mf_tool_say(TOOL_USAGE, "%s: %s", path, err.msg);
}
