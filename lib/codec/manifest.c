/* manifest: see manifest.h. One table of keys drives the reading. */
#include "codec/manifest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "codec/json.h"

#define VALUE_MAX 1024u
#define NAME_MAX_BYTES 64u
#define LIST_MAX 64u
#define ATTRS_MAX 512u /* 4 keys of 64 data sets, two lists, the rest */

enum form { TEXT, NAME, DIGEST, TIME, LIST, OBJECT, OBJECTS, VERSION };

struct key {
	const char *name;
	enum form form;
	const struct key *sub;
	size_t n_sub;
	const char *attr[4]; /* OBJECT, OBJECTS: the full names of sub[] */
};

struct mf_manifest {
	struct mf_json *doc;
	struct mf_manifest_attr v[ATTRS_MAX];
	size_t n;
	bool has_deadline;
	int64_t deadline_us;
};

static const struct key code_keys[] = { { .name = "repo", .form = TEXT },
	{ .name = "commit", .form = TEXT } };
static const struct key dataset_keys[] = { { .name = "uri", .form = TEXT },
	{ .name = "version", .form = TEXT }, { .name = "digest", .form = DIGEST },
	{ .name = "class", .form = TEXT } };
static const struct key model_keys[] = { { .name = "name", .form = TEXT },
	{ .name = "version", .form = TEXT }, { .name = "digest", .form = DIGEST } };
static const struct key keys[] = {
	{ .name = "mayfly_manifest", .form = VERSION },
	{ .name = "tenant", .form = NAME },
	{ .name = "name", .form = NAME },
	{ .name = "kind", .form = NAME },
	{ .name = "env", .form = NAME },
	{ .name = "profile", .form = NAME },
	{ .name = "owner", .form = TEXT },
	{ .name = "run", .form = NAME },
	{ .name = "image", .form = TEXT },
	{ .name = "code",
	    .form = OBJECT,
	    .sub = code_keys,
	    .n_sub = 2,
	    .attr = { "code.repo", "code.commit" } },
	{ .name = "dataset",
	    .form = OBJECTS,
	    .sub = dataset_keys,
	    .n_sub = 4,
	    .attr = { "dataset.uri", "dataset.version", "dataset.digest", "dataset.class" } },
	{ .name = "base_model",
	    .form = OBJECT,
	    .sub = model_keys,
	    .n_sub = 3,
	    .attr = { "base_model.name", "base_model.version", "base_model.digest" } },
	{ .name = "config", .form = TEXT },
	{ .name = "prompt_lineage", .form = TEXT },
	{ .name = "mounts", .form = LIST },
	{ .name = "egress", .form = LIST },
	{ .name = "deadline", .form = TIME },
	{ .name = "ticket", .form = TEXT },
};

static enum mf_status
check_known(const struct mf_json_value *object, const struct key *known, size_t n, struct mf_err *err)
{
	const char *names[MF_COUNT(keys)];
	for (size_t i = 0; i < n; i++)
		names[i] = known[i].name;
	return mf_json_only_keys(object, names, n, err);
}

static enum mf_status
add(struct mf_manifest *m, const char *name, struct mf_slice value, struct mf_err *err)
{
	if (m->n == ATTRS_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "more than %u values", ATTRS_MAX);
	m->v[m->n++] = (struct mf_manifest_attr) { .name = name, .value = value };
	return MF_OK;
}

static enum mf_status
check_name(const char *attr, struct mf_slice s, struct mf_err *err)
{
	bool ok = s.n <= NAME_MAX_BYTES && s.p[0] != '.' && s.p[0] != '-';
	for (size_t i = 0; ok && i < s.n; i++) {
		uint8_t c = s.p[i];
		ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		     c == '_' || (c == '.' && !(i + 1 < s.n && s.p[i + 1] == '.'));
	}
	if (!ok)
		return MF_FAIL(err, MF_E_INVALID,
		    "\"%s\" must be a name: 1 to %u letters, digits, . - _ beginning with a letter, digit or "
		    "_, without ..",
		    attr, NAME_MAX_BYTES);
	return MF_OK;
}

static enum mf_status
check_digest(const char *attr, struct mf_slice s, struct mf_err *err)
{
	static const struct {
		struct {
			const char *p;
			size_t n;
		} prefix;
		size_t digits;
	} algs[] = { { { "sha256:", 7 }, 64 }, { { "sha384:", 7 }, 96 }, { { "sha512:", 7 }, 128 } };
	for (size_t a = 0; a < MF_COUNT(algs); a++) {
		if (!mf_slice_starts(s, mf_slice(algs[a].prefix.p, algs[a].prefix.n)) ||
		    s.n != algs[a].prefix.n + algs[a].digits)
			continue;
		size_t i = algs[a].prefix.n;
		while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			i++;
		if (i == s.n)
			return MF_OK;
	}
	return MF_FAIL(err, MF_E_INVALID,
	    "\"%s\" must be a digest: sha256: and 64 lowercase hex digits (or sha384, sha512)", attr);
}

/* A text by its form, added under ${attr}. */
static enum mf_status
add_text(struct mf_manifest *m, const char *attr, enum form form, const struct mf_json_value *v,
    struct mf_err *err)
{
	struct mf_slice s;
	if (!mf_json_string(v, &s))
		return MF_FAIL(err, MF_E_INVALID, "\"%s\" must be a string, found %s", attr,
		    mf_json_type_name(mf_json_type(v)));
	if (s.n == 0 || s.n > VALUE_MAX)
		return MF_FAIL(err, MF_E_INVALID,
		    "\"%s\" must be 1 to %u bytes, this is %zu: leave it out when there is none", attr,
		    VALUE_MAX, s.n);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return MF_FAIL(err, MF_E_INVALID,
			    "\"%s\" has a control character at byte %zu: remove it", attr, i);
	if (form == NAME)
		MF_TRY(check_name(attr, s, err));
	if (form == DIGEST)
		MF_TRY(check_digest(attr, s, err));
	if (form == TIME) {
		if (mf_time_get(s, &m->deadline_us, NULL) != MF_OK)
			return MF_FAIL(err, MF_E_INVALID,
			    "\"%s\" must be a time in UTC like 2026-11-22T06:00:00Z", attr);
		m->has_deadline = true;
	}
	return add(m, attr, s, err);
}

static enum mf_status
check_list(const char *name, const struct mf_json_value *v, struct mf_err *err)
{
	if (mf_json_type(v) != MF_JSON_ARRAY)
		return MF_FAIL(err, MF_E_INVALID, "\"%s\" must be an array, found %s", name,
		    mf_json_type_name(mf_json_type(v)));
	if (mf_json_size(v) > LIST_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, "\"%s\" has %zu elements, the most is %u", name,
		    mf_json_size(v), LIST_MAX);
	return MF_OK;
}

/* ${item}: which element of a list it is. */
static enum mf_status
add_object(struct mf_manifest *m, const struct key *k, size_t item, const struct mf_json_value *v,
    struct mf_err *err)
{
	size_t before = m->n;
	if (mf_json_type(v) != MF_JSON_OBJECT)
		return MF_FAIL(err, MF_E_INVALID, "\"%s\" must be %s, found %s", k->name,
		    k->form == OBJECTS ? "an array of objects" : "an object",
		    mf_json_type_name(mf_json_type(v)));
	if (check_known(v, k->sub, k->n_sub, err) != MF_OK)
		return mf_err_wrap(err, MF_E_INVALID, "\"%s\"", k->name);
	for (size_t i = 0; i < k->n_sub; i++) {
		const struct mf_json_value *f = mf_json_get(v, k->sub[i].name);
		if (f != NULL)
			MF_TRY(add_text(m, k->attr[i], k->sub[i].form, f, err));
	}
	if (k->form != OBJECTS)
		return MF_OK;
	if (m->n == before)
		return MF_FAIL(
		    err, MF_E_INVALID, "\"%s\" has an element that says nothing: remove it", k->name);
	for (; before < m->n; before++) {
		m->v[before].list = k->name;
		m->v[before].item = item;
	}
	return MF_OK;
}

/* An empty list is a statement too: known, and nothing in it. */
static enum mf_status
add_empty(struct mf_manifest *m, const struct key *k, struct mf_err *err)
{
	MF_TRY(add(m, k->name, mf_slice(NULL, 0), err));
	for (size_t i = 0; i < k->n_sub; i++)
		MF_TRY(add(m, k->attr[i], mf_slice(NULL, 0), err));
	return MF_OK;
}

static enum mf_status
add_key(struct mf_manifest *m, const struct key *k, const struct mf_json_value *v, struct mf_err *err)
{
	int64_t version;
	switch (k->form) {
	case VERSION:
		if (!mf_json_int(v, &version) || version != 1)
			return MF_FAIL(err, MF_E_UNSUPPORTED,
			    "\"mayfly_manifest\" must be 1, the only version there is");
		return MF_OK;
	case OBJECT:
		return add_object(m, k, 0, v, err);
	case LIST:
	case OBJECTS:
		MF_TRY(check_list(k->name, v, err));
		if (mf_json_size(v) == 0)
			return add_empty(m, k, err);
		for (size_t i = 0; i < mf_json_size(v); i++)
			MF_TRY(k->form == LIST ? add_text(m, k->name, TEXT, mf_json_at(v, i), err)
					       : add_object(m, k, i, mf_json_at(v, i), err));
		return MF_OK;
	default:
		return add_text(m, k->name, k->form, v, err);
	}
}

static enum mf_status
read_all(struct mf_manifest *m, struct mf_slice in, struct mf_err *err)
{
	MF_TRY(mf_json_parse(in, MF_LIM_MANIFEST, &m->doc, err));
	const struct mf_json_value *root = mf_json_root(m->doc);
	MF_TRY(check_known(root, keys, MF_COUNT(keys), err));
	for (size_t i = 0; i < MF_COUNT(keys); i++) {
		const struct mf_json_value *v = mf_json_get(root, keys[i].name);
		if (v != NULL)
			MF_TRY(add_key(m, &keys[i], v, err));
	}
	return MF_OK;
}

enum mf_status
mf_manifest_parse(struct mf_slice in, struct mf_manifest **ret_m, struct mf_err *err)
{
	MF_AUTO(mf_manifest_free) struct mf_manifest *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "manifest: out of memory");
	enum mf_status s = read_all(m, in, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "manifest");
	*ret_m = MF_TAKE(m);
	return MF_OK;
}

void
mf_manifest_free(struct mf_manifest *m)
{
	if (m == NULL)
		return;
	mf_json_free(m->doc);
	free(m);
}

size_t
mf_manifest_count(const struct mf_manifest *m)
{
	return m->n;
}

struct mf_manifest_attr
mf_manifest_at(const struct mf_manifest *m, size_t i)
{
	return i < m->n ? m->v[i] : (struct mf_manifest_attr) { .name = "" };
}

struct mf_slice
mf_manifest_get(const struct mf_manifest *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->v[i].name, name) == 0)
			return m->v[i].value;
	return mf_slice(NULL, 0);
}

void
mf_manifest_attr_put(const struct mf_manifest_attr *attr, struct mf_buf *to)
{
	if (attr->list == NULL)
		mf_buf_put_str(to, attr->name);
	else
		mf_buf_putf(to, "%s[%zu]%s", attr->list, attr->item, attr->name + strlen(attr->list));
	mf_buf_put_u8(to, '=');
	mf_buf_put_slice(to, attr->value);
}

bool
mf_manifest_deadline(const struct mf_manifest *m, int64_t *ret_wall_us)
{
	if (m->has_deadline)
		*ret_wall_us = m->deadline_us;
	return m->has_deadline;
}

static const struct {
	const char *name;
	enum mf_manifest_form form;
} fields[MF_MANIFEST_FIELDS] = {
	{ "tenant", MF_MANIFEST_TEXT },
	{ "name", MF_MANIFEST_TEXT },
	{ "kind", MF_MANIFEST_TEXT },
	{ "env", MF_MANIFEST_TEXT },
	{ "profile", MF_MANIFEST_TEXT },
	{ "owner", MF_MANIFEST_TEXT },
	{ "run", MF_MANIFEST_TEXT },
	{ "image", MF_MANIFEST_TEXT },
	{ "code.repo", MF_MANIFEST_TEXT },
	{ "code.commit", MF_MANIFEST_TEXT },
	{ "dataset", MF_MANIFEST_OBJECTS },
	{ "dataset.uri", MF_MANIFEST_KEY },
	{ "dataset.version", MF_MANIFEST_KEY },
	{ "dataset.digest", MF_MANIFEST_KEY },
	{ "dataset.class", MF_MANIFEST_KEY },
	{ "base_model.name", MF_MANIFEST_TEXT },
	{ "base_model.version", MF_MANIFEST_TEXT },
	{ "base_model.digest", MF_MANIFEST_TEXT },
	{ "config", MF_MANIFEST_TEXT },
	{ "prompt_lineage", MF_MANIFEST_TEXT },
	{ "mounts", MF_MANIFEST_LIST },
	{ "egress", MF_MANIFEST_LIST },
	{ "deadline", MF_MANIFEST_TEXT },
	{ "ticket", MF_MANIFEST_TEXT },
};

const char *
mf_manifest_field(size_t i, enum mf_manifest_form *ret_form)
{
	if (i >= MF_COUNT(fields))
		return NULL;
	*ret_form = fields[i].form;
	return fields[i].name;
}

enum mf_manifest_form
mf_manifest_field_form(struct mf_slice name, size_t *ret_i)
{
	for (size_t i = 0; i < MF_COUNT(fields); i++) {
		if (!mf_slice_eq_str(name, fields[i].name))
			continue;
		if (ret_i != NULL)
			*ret_i = i;
		return fields[i].form;
	}
	return MF_MANIFEST_NONE;
}
