/* schema: reading a YAML tree into a struct by its table. */
#include "base/limits.h"
#include "base/suggest.h"
#include "conf/schema_internal.h"

/* One struct still to be filled. A queue of these takes the place of recursion. */
struct work {
	struct work *next;
	const struct mf_conf_schema *schema;
	const struct mf_yaml_node *node; /* NULL: defaults only */
	uint8_t *to;
};

struct reading {
	struct mf_arena *arena;
	struct mf_problems *problems;
	struct work *first, **last;
	bool nomem;
};

static void
queue(struct reading *r, const struct mf_conf_schema *schema, const struct mf_yaml_node *node, void *to)
{
	struct work *w = mf_arena_alloc(r->arena, 1, sizeof(*w));
	if (w == NULL) {
		r->nomem = true;
		return;
	}
	*w = (struct work) { NULL, schema, node, to };
	*r->last = w;
	r->last = &w->next;
}

static void
set_default(struct reading *r, const struct mf_conf_field *f, uint8_t *to)
{
	static const char *const empty = "";
	const struct mf_place nowhere = { .source = "default" };
	if (f->type == MF_CONF_STRING || f->type == MF_CONF_NAME)
		*(const char **)(void *)(to + f->at) = empty;
	/* A default that its own table refuses is our mistake and shows as a problem; a test reads every table empty. */
	if (f->def != NULL)
		(void)mf_schema_set_text(f, mf_slice_str(f->def), nowhere, r->arena, r->problems, to);
}

static bool
has_key(const struct mf_conf_field *f)
{
	return f->type != MF_CONF_NAME && f->type != MF_CONF_SELF;
}

static const struct mf_conf_field *
find_field(const struct mf_conf_schema *s, struct mf_slice key)
{
	for (size_t i = 0; i < s->n_fields; i++)
		if (has_key(&s->fields[i]) && mf_slice_eq_str(key, s->fields[i].key))
			return &s->fields[i];
	return NULL;
}

static void
unknown_key(struct reading *r, const struct mf_conf_schema *s, const struct mf_yaml_node *n)
{
	const char *keys[64];
	size_t count = 0;
	for (size_t i = 0; i < s->n_fields && count < MF_COUNT(keys); i++)
		if (has_key(&s->fields[i]))
			keys[count++] = s->fields[i].key;
	bool printable = mf_suggest_printable(n->key);
	int len = printable ? (int)n->key.n : 0;
	const char *near = mf_suggest(n->key, keys, count);
	if (near != NULL && printable) {
		mf_problems_add(r->problems, mf_yaml_key_place(n), "unknown key `%.*s`; did you mean `%s`?",
		    len, (const char *)n->key.p, near);
		return;
	}
	MF_AUTO_IN(mf_buf_fini) struct mf_buf list;
	mf_buf_init(&list, 180);
	for (size_t i = 0; i < count && list.failed == MF_OK && list.n < 150; i++)
		mf_buf_putf(&list, "%s%s", i == 0 ? "" : ", ", keys[i]);
	if (list.n >= 150)
		mf_buf_put_str(&list, ", ...");
	const char *known = mf_buf_cstr(&list);
	mf_problems_add(r->problems, mf_yaml_key_place(n), "unknown key `%.*s`: remove it (known here: %s)",
	    len, (const char *)n->key.p, known == NULL ? "see the manual" : known);
}

static bool
is_kind(
    struct reading *r, const struct mf_conf_field *f, const struct mf_yaml_node *n, enum mf_yaml_kind want)
{
	if (n->kind == MF_YAML_TEXT && n->plain && n->text.n == 0) {
		mf_problems_add(r->problems, mf_yaml_key_place(n),
		    "`%s` has no value: give it one or remove the line", f->key);
		return false;
	}
	if (n->kind == want)
		return true;
	mf_problems_add(r->problems, mf_yaml_place(n), "`%s` must be %s, this is %s", f->key,
	    mf_yaml_kind_name(want), mf_yaml_kind_name(n->kind));
	return false;
}

/* Lists and maps of structs, and lists of texts: how many there may be. */
static bool
check_count(struct reading *r, const struct mf_conf_field *f, const struct mf_yaml_node *n)
{
	size_t max = f->max == 0 ? 256 : (size_t)f->max;
	if (n->n >= (size_t)f->min && n->n <= max)
		return true;
	mf_problems_add(r->problems, mf_yaml_place(n), "`%s` must have %zu to %zu elements, these are %zu",
	    f->key, (size_t)f->min, max, n->n);
	return false;
}

static void
read_items(struct reading *r, const struct mf_conf_field *f, const struct mf_yaml_node *n, uint8_t *to)
{
	bool map = f->type == MF_CONF_MAP;
	if (!is_kind(r, f, n, map ? MF_YAML_MAP : MF_YAML_LIST) || !check_count(r, f, n))
		return;
	uint8_t *items = mf_arena_alloc(r->arena, n->n, f->sub->size);
	if (items == NULL) {
		r->nomem = true;
		return;
	}
	size_t i = 0;
	for (const struct mf_yaml_node *c = n->first; c != NULL; c = c->next, i++)
		queue(r, f->sub, c, items + i * f->sub->size);
	*(struct mf_conf_items *)(void *)(to + f->at) = (struct mf_conf_items) { items, n->n };
}

static void
read_list(struct reading *r, const struct mf_conf_field *f, const struct mf_yaml_node *n, uint8_t *to)
{
	if (!is_kind(r, f, n, MF_YAML_LIST) || !check_count(r, f, n))
		return;
	bool strings = f->type == MF_CONF_STRINGS, ok = true;
	const char **s = strings ? mf_arena_alloc(r->arena, n->n, sizeof(*s)) : NULL;
	int64_t *d = strings ? NULL : mf_arena_alloc(r->arena, n->n, sizeof(*d));
	if (s == NULL && d == NULL) {
		r->nomem = true;
		return;
	}
	size_t i = 0;
	for (const struct mf_yaml_node *c = n->first; c != NULL; c = c->next, i++) {
		if (c->kind != MF_YAML_TEXT) {
			mf_problems_add(r->problems, mf_yaml_place(c),
			    "an element of `%s` must be a text, this is %s", f->key,
			    mf_yaml_kind_name(c->kind));
			ok = false;
		} else if (!mf_schema_set_element(f, c->text, mf_yaml_place(c), r->arena, r->problems,
			       strings ? &s[i] : NULL, strings ? NULL : &d[i])) {
			ok = false;
		}
	}
	if (ok && strings)
		*(struct mf_conf_strings *)(void *)(to + f->at) = (struct mf_conf_strings) { s, n->n };
	else if (ok)
		*(struct mf_conf_ints *)(void *)(to + f->at) = (struct mf_conf_ints) { d, n->n };
}

static void
read_field(struct reading *r, const struct mf_conf_field *f, const struct mf_yaml_node *n, uint8_t *to)
{
	switch (f->type) {
	case MF_CONF_OBJECT:
		queue(r, f->sub, is_kind(r, f, n, MF_YAML_MAP) ? n : NULL, to + f->at);
		break;
	case MF_CONF_OBJECTS:
	case MF_CONF_MAP:
		read_items(r, f, n, to);
		break;
	case MF_CONF_STRINGS:
	case MF_CONF_INTS:
		read_list(r, f, n, to);
		break;
	case MF_CONF_TREE:
		*(const struct mf_yaml_node **)(void *)(to + f->at) = n;
		break;
	default:
		if (is_kind(r, f, n, MF_YAML_TEXT))
			(void)mf_schema_set_text(f, n->text, mf_yaml_place(n), r->arena, r->problems, to);
		break;
	}
}

/* What a struct gets before its keys are read: defaults, its own name and node. */
static void
prepare(struct reading *r, const struct work *w)
{
	for (size_t i = 0; i < w->schema->n_fields; i++) {
		const struct mf_conf_field *f = &w->schema->fields[i];
		set_default(r, f, w->to);
		if (f->type == MF_CONF_SELF)
			*(const struct mf_yaml_node **)(void *)(w->to + f->at) = w->node;
		else if (f->type == MF_CONF_NAME && w->node != NULL && w->node->key.p != NULL)
			*(const char **)(void *)(w->to + f->at) = (const char *)w->node->key.p;
	}
}

/* What its keys leave out: objects get their defaults, what is required is a problem. */
static void
read_absent(struct reading *r, const struct work *w, const struct mf_conf_field *f)
{
	if (!has_key(f) || (w->node != NULL && mf_yaml_get(w->node, f->key) != NULL))
		return;
	if (f->type == MF_CONF_OBJECT)
		queue(r, f->sub, NULL, w->to + f->at);
	if (f->required && !w->schema->late && w->node != NULL)
		mf_problems_add(
		    r->problems, mf_yaml_place(w->node), "`%s` is missing: add it (%s)", f->key, f->help);
}

static void
read_struct(struct reading *r, const struct work *w)
{
	struct work known = *w;
	const struct mf_yaml_node *node = w->node;
	prepare(r, w);
	if (node != NULL && node->kind != MF_YAML_MAP) {
		mf_problems_add(r->problems, mf_yaml_place(node), "must be a map (key: value), this is %s",
		    mf_yaml_kind_name(node->kind));
		known.node = node = NULL; /* what stands below it still gets its defaults */
	}
	for (size_t i = 0; i < w->schema->n_fields; i++)
		read_absent(r, &known, &w->schema->fields[i]);
	for (const struct mf_yaml_node *c = node == NULL ? NULL : node->first; c != NULL; c = c->next) {
		const struct mf_conf_field *f = find_field(w->schema, c->key);
		if (f == NULL)
			unknown_key(r, w->schema, c);
		else
			read_field(r, f, c, w->to);
	}
}

enum mf_status
mf_conf_read(const struct mf_conf_schema *schema, const struct mf_yaml_node *root, struct mf_arena *arena,
    struct mf_problems *problems, void *to, struct mf_err *err)
{
	struct reading r = { .arena = arena, .problems = problems };
	r.last = &r.first;
	memset(to, 0, schema->size);
	queue(&r, schema, root, to);
	for (const struct work *w = r.first; w != NULL && !r.nomem; w = w->next)
		read_struct(&r, w);
	return r.nomem ? MF_FAIL(err, MF_E_NOMEM, "configuration: out of memory") : MF_OK;
}
