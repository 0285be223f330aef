/* yaml: libyaml's events made into a tree; see yaml.h for what is refused. */
#include "conf/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/suggest.h"
#include "base/text.h"

/* A tree never needs more: a node and its text per two bytes of file, and the cap on nodes. */
#define TREE_BYTES (128u * 1024u * 1024u)

struct mf_yaml {
	struct mf_arena *arena;
	struct mf_yaml_node *root;
};

/* One list or map that is not closed yet. */
struct level {
	struct mf_yaml_node *node, *last;
	bool have_key;
	struct mf_slice key;
	uint32_t key_line, key_col;
};

struct reader {
	struct mf_yaml *doc;
	struct mf_problems *problems;
	struct level stack[MF_LIM_YAML_DEPTH];
	size_t depth, nodes, documents;
	bool nomem;
};

static void
delete_parser(yaml_parser_t *p)
{
	yaml_parser_delete(p);
}

static void
delete_event(yaml_event_t *e)
{
	yaml_event_delete(e);
}

static uint32_t
from_one(size_t at)
{
	return at >= UINT32_MAX ? UINT32_MAX : (uint32_t)at + 1;
}

static struct mf_place
place(const yaml_mark_t *m)
{
	return (struct mf_place) { NULL, from_one(m->line), from_one(m->column) };
}

static void
too_big(struct reader *r, const yaml_event_t *e, const char *what, unsigned max)
{
	mf_problems_add(r->problems, place(&e->start_mark), "more than %u %s: split the file", max, what);
}

static void
refuse_extras(struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL)
		mf_problems_add(r->problems, place(&e->start_mark),
		    "anchors (&name) are not allowed: write the value out");
	if (tag != NULL)
		mf_problems_add(r->problems, place(&e->start_mark),
		    "tags (!type) are not allowed: remove it, types come from the key");
}

/* A new node where the reader stands: the root, an element, or the value of the last key. NULL: cannot go on. */
static struct mf_yaml_node *
add_node(struct reader *r, const yaml_event_t *e, enum mf_yaml_kind kind)
{
	if (++r->nodes > MF_LIM_YAML_NODES) {
		too_big(r, e, "values", MF_LIM_YAML_NODES);
		return NULL;
	}
	struct mf_yaml_node *n = mf_arena_alloc(r->doc->arena, 1, sizeof(*n));
	if (n == NULL) {
		r->nomem = true;
		return NULL;
	}
	n->kind = kind;
	n->line = place(&e->start_mark).line;
	n->col = place(&e->start_mark).col;
	if (r->depth == 0) {
		r->doc->root = n;
		return n;
	}
	struct level *l = &r->stack[r->depth - 1];
	if (l->node->kind == MF_YAML_MAP) {
		n->key = l->key;
		n->key_line = l->key_line;
		n->key_col = l->key_col;
		l->have_key = false;
	}
	if (l->last == NULL)
		l->node->first = n;
	else
		l->last->next = n;
	l->last = n;
	l->node->n++;
	return n;
}

static bool
wants_key(const struct reader *r)
{
	return r->depth > 0 && r->stack[r->depth - 1].node->kind == MF_YAML_MAP &&
	       !r->stack[r->depth - 1].have_key;
}

static bool
on_scalar(struct reader *r, const yaml_event_t *e)
{
	struct mf_slice text = mf_slice(e->data.scalar.value, e->data.scalar.length);
	refuse_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag);
	if (text.n > 0 && memchr(text.p, 0, text.n) != NULL)
		mf_problems_add(r->problems, place(&e->start_mark),
		    "a NUL character is not allowed: remove \\0 or \\x00");
	const char *copy = mf_arena_str(r->doc->arena, text);
	if (copy == NULL) {
		r->nomem = true;
		return false;
	}
	text.p = (const uint8_t *)copy;
	if (wants_key(r)) {
		struct level *l = &r->stack[r->depth - 1];
		l->have_key = true;
		l->key = text;
		l->key_line = place(&e->start_mark).line;
		l->key_col = place(&e->start_mark).col;
		return true;
	}
	struct mf_yaml_node *n = add_node(r, e, MF_YAML_TEXT);
	if (n == NULL)
		return false;
	n->text = text;
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return true;
}

static bool
on_begin(struct reader *r, const yaml_event_t *e, enum mf_yaml_kind kind)
{
	if (kind == MF_YAML_MAP)
		refuse_extras(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	else
		refuse_extras(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
	if (wants_key(r)) {
		mf_problems_add(r->problems, place(&e->start_mark), "a key must be text, not a list or map");
		return false;
	}
	if (r->depth == MF_LIM_YAML_DEPTH) {
		too_big(r, e, "levels of nesting", MF_LIM_YAML_DEPTH);
		return false;
	}
	struct mf_yaml_node *n = add_node(r, e, kind);
	if (n == NULL)
		return false;
	r->stack[r->depth++] = (struct level) { .node = n };
	return true;
}

static int
by_key(const void *va, const void *vb)
{
	const struct mf_yaml_node *a = *(const struct mf_yaml_node *const *)va;
	const struct mf_yaml_node *b = *(const struct mf_yaml_node *const *)vb;
	int c = mf_slice_cmp(a->key, b->key);
	if (c != 0)
		return c;
	if (a->key_line != b->key_line)
		return a->key_line < b->key_line ? -1 : 1;
	return a->key_col < b->key_col ? -1 : a->key_col > b->key_col;
}

static bool
check_duplicates(struct reader *r, const struct mf_yaml_node *map)
{
	if (map->n < 2)
		return true;
	const struct mf_yaml_node **v = calloc(map->n, sizeof(*v));
	if (v == NULL) {
		r->nomem = true;
		return false;
	}
	size_t n = 0;
	for (const struct mf_yaml_node *c = map->first; c != NULL; c = c->next)
		v[n++] = c;
	qsort(v, n, sizeof(*v), by_key);
	for (size_t i = 1; i < n; i++)
		if (mf_slice_eq(v[i - 1]->key, v[i]->key))
			mf_problems_add(r->problems, mf_yaml_key_place(v[i]),
			    "the key `%.*s` is here twice (first in line %u): remove one",
			    mf_suggest_printable(v[i]->key) ? (int)v[i]->key.n : 0, (const char *)v[i]->key.p,
			    v[i - 1]->key_line);
	free(v);
	return true;
}

static bool
on_document(struct reader *r, const yaml_event_t *e)
{
	if (e->data.document_start.version_directive != NULL ||
	    e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
		mf_problems_add(r->problems, place(&e->start_mark),
		    "directives (%%YAML, %%TAG) are not allowed: remove them");
	if (++r->documents == 1)
		return true;
	mf_problems_add(r->problems, place(&e->start_mark),
	    "only one document may be in the file: remove what begins here");
	return false;
}

/* False when reading must stop; the reason is a problem, or r->nomem. */
static bool
on_event(struct reader *r, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(r, e);
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_begin(r, e, MF_YAML_LIST);
	case YAML_MAPPING_START_EVENT:
		return on_begin(r, e, MF_YAML_MAP);
	case YAML_MAPPING_END_EVENT:
		r->depth--;
		return check_duplicates(r, r->stack[r->depth].node);
	case YAML_SEQUENCE_END_EVENT:
		r->depth--;
		return true;
	case YAML_ALIAS_EVENT:
		/* Nothing stands for the value, so the tree would be wrong from here. */
		mf_problems_add(r->problems, place(&e->start_mark),
		    "aliases (*name) are not allowed: write the value out");
		return false;
	default:
		return true;
	}
}

static void
syntax_problem(struct mf_slice in, const yaml_parser_t *parser, struct mf_problems *problems)
{
	const yaml_mark_t *m = &parser->problem_mark;
	bool tab = m->index < in.n && in.p[m->index] == '\t';
	mf_problems_add(problems, place(m), "not YAML: %s%s%s%s",
	    parser->problem == NULL ? "unreadable" : parser->problem, parser->context == NULL ? "" : " ",
	    parser->context == NULL ? "" : parser->context, tab ? " (a tab: indent with spaces)" : "");
}

static enum mf_status
read_all(struct reader *r, struct mf_slice in, struct mf_err *err)
{
	MF_AUTO_IN(delete_parser) yaml_parser_t parser = { 0 };
	if (yaml_parser_initialize(&parser) == 0)
		return MF_FAIL(err, MF_E_NOMEM, "yaml: out of memory");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	/* Of an empty file there may be no memory at all; libyaml aborts on NULL. */
	yaml_parser_set_input_string(&parser, in.n == 0 ? (const unsigned char *)"" : in.p, in.n);
	for (bool more = true; more;) {
		MF_AUTO_IN(delete_event) yaml_event_t e = { 0 };
		if (yaml_parser_parse(&parser, &e) == 0) {
			if (parser.error == YAML_MEMORY_ERROR)
				return MF_FAIL(err, MF_E_NOMEM, "yaml: out of memory");
			syntax_problem(in, &parser, r->problems);
			return mf_problems_check(r->problems, err);
		}
		if (!on_event(r, &e))
			return r->nomem ? MF_FAIL(err, MF_E_NOMEM, "yaml: out of memory")
					: mf_problems_check(r->problems, err);
		more = e.type != YAML_STREAM_END_EVENT;
	}
	return MF_OK;
}

enum mf_status
mf_yaml_parse(struct mf_slice in, struct mf_problems *problems, struct mf_yaml **ret_doc, struct mf_err *err)
{
	if (in.n > MF_LIM_YAML) {
		mf_problems_add(
		    problems, (struct mf_place) { 0 }, "%zu bytes, the most is %u", in.n, MF_LIM_YAML);
		return MF_FAIL(err, MF_E_TOOBIG, "yaml: %zu bytes, the most is %u", in.n, MF_LIM_YAML);
	}
	if (!mf_utf8_ok(in)) {
		mf_problems_add(
		    problems, (struct mf_place) { 0 }, "not UTF-8, or holds a NUL: save it as UTF-8 text");
		return mf_problems_check(problems, err);
	}
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = calloc(1, sizeof(*doc));
	if (doc == NULL || (doc->arena = mf_arena_new(TREE_BYTES)) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "yaml: out of memory");
	struct reader r = { .doc = doc, .problems = problems };
	MF_TRY(read_all(&r, in, err));
	if (doc->root == NULL) {
		doc->root = mf_arena_alloc(doc->arena, 1, sizeof(*doc->root));
		if (doc->root == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "yaml: out of memory");
		doc->root->kind = MF_YAML_MAP;
		doc->root->line = doc->root->col = 1;
	}
	*ret_doc = MF_TAKE(doc);
	return MF_OK;
}

void
mf_yaml_free(struct mf_yaml *doc)
{
	if (doc == NULL)
		return;
	mf_arena_free(doc->arena);
	free(doc);
}

const struct mf_yaml_node *
mf_yaml_root(const struct mf_yaml *doc)
{
	return doc->root;
}

const struct mf_yaml_node *
mf_yaml_get(const struct mf_yaml_node *map, const char *key)
{
	for (const struct mf_yaml_node *c = map->first; c != NULL; c = c->next)
		if (map->kind == MF_YAML_MAP && mf_slice_eq_str(c->key, key))
			return c;
	return NULL;
}

const char *
mf_yaml_kind_name(enum mf_yaml_kind kind)
{
	return kind == MF_YAML_MAP ? "a map" : kind == MF_YAML_LIST ? "a list" : "a text";
}
