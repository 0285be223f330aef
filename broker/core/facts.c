#include "broker/core/facts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/text.h"

#define NAME_MAX_BYTES 128u
#define BYTES_MAX (4u * 1024u * 1024u) /* of all names and values together */

struct fact {
	struct mf_slice name, value;
	uint8_t ns;
	bool declared; /* stands for the attribute, not for a value; sorts first */
	bool partial;
	uint16_t list_n; /* made of list elements: how many bytes of the name are the list's; 0: it is not */
};

/* One key of one element of a list. */
struct item {
	struct mf_slice list, key, value;
	uint32_t i;
	uint8_t ns;
};

struct mf_facts {
	struct mf_arena *arena;
	struct fact *v;
	size_t n, room;
	struct item *items;
	size_t items_n, items_room;
	bool sealed;
};

static const char *const ns_names[] = { [MF_FACT_ATTESTED] = "attested",
	[MF_FACT_NODE] = "node",
	[MF_FACT_MANIFEST] = "manifest",
	[MF_FACT_SUBMITTER] = "submitter" };

enum mf_status
mf_facts_new(struct mf_facts **ret_f, struct mf_err *err)
{
	MF_AUTO(mf_facts_free) struct mf_facts *f = calloc(1, sizeof(*f));
	if (f == NULL || (f->arena = mf_arena_new(BYTES_MAX)) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "facts: out of memory");
	*ret_f = MF_TAKE(f);
	return MF_OK;
}

void
mf_facts_free(struct mf_facts *f)
{
	if (f == NULL)
		return;
	mf_arena_free(f->arena);
	free(f->v);
	free(f->items);
	free(f);
}

/* Room for one more of ${size} bytes in a growing array. */
static void *
grow(void *v, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return v;
	size_t more = *room == 0 ? 16 : *room * 2;
	void *to = reallocarray(v, more, size);
	if (to != NULL)
		*room = more;
	return to;
}

static enum mf_status
append(struct mf_facts *f, struct fact fact, struct mf_err *err)
{
	if (f->sealed)
		return MF_FAIL(err, MF_E_STATE, "facts: already sealed");
	if (fact.ns >= MF_FACT_NS_COUNT || fact.name.n == 0 || fact.name.n > NAME_MAX_BYTES ||
	    !mf_utf8_ok(fact.name))
		return MF_FAIL(err, MF_E_INVALID,
		    "facts: a name of %zu bytes; 1 to %u bytes of UTF-8 are allowed", fact.name.n,
		    NAME_MAX_BYTES);
	if (fact.value.n > MF_LIM_SELECTOR)
		return MF_FAIL(err, MF_E_TOOBIG, "facts: a value of %zu bytes, the most is %u", fact.value.n,
		    MF_LIM_SELECTOR);
	if (!mf_utf8_ok(fact.value))
		return MF_FAIL(err, MF_E_INVALID, "facts: a value is not UTF-8 or holds a NUL");
	if (f->n == MF_LIM_FACTS)
		return MF_FAIL(err, MF_E_TOOBIG, "facts: more than %u values", MF_LIM_FACTS);
	struct fact *v = grow(f->v, f->n, &f->room, sizeof(*v));
	if (v == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "facts: out of memory");
	f->v = v;
	const char *name = mf_arena_str(f->arena, fact.name), *value = mf_arena_str(f->arena, fact.value);
	if (name == NULL || value == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "facts: out of memory");
	fact.name.p = (const uint8_t *)name;
	fact.value.p = (const uint8_t *)value;
	f->v[f->n++] = fact;
	return MF_OK;
}

enum mf_status
mf_facts_add(
    struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, struct mf_slice value, struct mf_err *err)
{
	return append(f, (struct fact) { .name = name, .value = value, .ns = (uint8_t)ns }, err);
}

enum mf_status
mf_facts_declare(struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, struct mf_err *err)
{
	return append(f, (struct fact) { .name = name, .ns = (uint8_t)ns, .declared = true }, err);
}

static bool
is_declared(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name)
{
	for (size_t i = f->n; i-- > 0;)
		if (f->v[i].declared && f->v[i].ns == (uint8_t)ns && mf_slice_eq(f->v[i].name, name))
			return true;
	return false;
}

enum mf_status
mf_facts_add_item(struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice list, size_t i, struct mf_slice key,
    struct mf_slice value, struct mf_err *err)
{
	char name[NAME_MAX_BYTES + 1];
	int n = snprintf(name, sizeof(name), "%.*s.%.*s", (int)list.n, (const char *)list.p, (int)key.n,
	    (const char *)key.p);
	if (n <= 0 || (size_t)n > NAME_MAX_BYTES || (size_t)n != list.n + key.n + 1 || i >= MF_LIM_FACTS)
		return MF_FAIL(err, MF_E_TOOBIG, "facts: an element of a list over the limits");
	if (!is_declared(f, ns, list))
		MF_TRY(mf_facts_declare(f, ns, list, err));
	struct item *v = grow(f->items, f->items_n, &f->items_room, sizeof(*v));
	if (v == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "facts: out of memory");
	f->items = v;
	const struct fact flat = { .name = mf_slice(name, (size_t)n),
		.value = value,
		.ns = (uint8_t)ns,
		.list_n = (uint16_t)list.n };
	MF_TRY(append(f, flat, err));
	/* The fact just made holds copies of all that the item needs. */
	const struct fact *own = &f->v[f->n - 1];
	f->items[f->items_n++] = (struct item) { .list = mf_slice_sub(own->name, 0, list.n),
		.key = mf_slice_sub(own->name, list.n + 1, key.n),
		.value = own->value,
		.i = (uint32_t)i,
		.ns = (uint8_t)ns };
	return MF_OK;
}

static int
compare_items(const void *va, const void *vb)
{
	const struct item *a = va, *b = vb;
	if (a->ns != b->ns)
		return a->ns < b->ns ? -1 : 1;
	int c = mf_slice_cmp(a->list, b->list);
	if (c != 0)
		return c;
	if (a->i != b->i)
		return a->i < b->i ? -1 : 1;
	return mf_slice_cmp(a->key, b->key);
}

static int
compare(const void *va, const void *vb)
{
	const struct fact *a = va, *b = vb;
	if (a->ns != b->ns)
		return a->ns < b->ns ? -1 : 1;
	int c = mf_slice_cmp(a->name, b->name);
	if (c != 0)
		return c;
	if (a->declared != b->declared)
		return a->declared ? -1 : 1;
	return mf_slice_cmp(a->value, b->value);
}

/* The first position whose item is not before ${key}. */
static size_t
lower_item(const struct mf_facts *f, const struct item *key)
{
	size_t lo = 0, hi = f->items_n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (compare_items(&f->items[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t
mf_facts_items(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice list)
{
	if (!f->sealed)
		return 0;
	const struct item past = { .list = list, .ns = (uint8_t)ns, .i = UINT32_MAX };
	size_t at = lower_item(f, &past);
	if (at == 0 || f->items[at - 1].ns != (uint8_t)ns || !mf_slice_eq(f->items[at - 1].list, list))
		return 0;
	return (size_t)f->items[at - 1].i + 1;
}

bool
mf_facts_item(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice list, size_t i,
    struct mf_slice key, struct mf_slice *ret_value)
{
	const struct item want = { .list = list, .key = key, .ns = (uint8_t)ns, .i = (uint32_t)i };
	size_t at = f->sealed ? lower_item(f, &want) : f->items_n;
	if (at >= f->items_n || compare_items(&f->items[at], &want) != 0)
		return false;
	*ret_value = f->items[at].value;
	return true;
}

/* Is there an element that says nothing about ${fact}'s key? */
static bool
some_lack(const struct mf_facts *f, const struct fact *fact)
{
	struct mf_slice list = mf_slice_sub(fact->name, 0, fact->list_n), any;
	struct mf_slice key = mf_slice_sub(fact->name, fact->list_n + 1u, fact->name.n);
	size_t n = mf_facts_items(f, (enum mf_fact_ns)fact->ns, list);
	for (size_t i = 0; i < n; i++)
		if (!mf_facts_item(f, (enum mf_fact_ns)fact->ns, list, i, key, &any))
			return true;
	return false;
}

void
mf_facts_seal(struct mf_facts *f)
{
	if (f->sealed)
		return;
	if (f->n > 1)
		qsort(f->v, f->n, sizeof(f->v[0]), compare);
	size_t kept = 0;
	for (size_t i = 0; i < f->n; i++)
		if (kept == 0 || compare(&f->v[kept - 1], &f->v[i]) != 0)
			f->v[kept++] = f->v[i];
	f->n = kept;
	if (f->items_n > 1)
		qsort(f->items, f->items_n, sizeof(f->items[0]), compare_items);
	f->sealed = true;
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].list_n > 0)
			f->v[i].partial = some_lack(f, &f->v[i]);
}

/* The first position whose fact is not before ${key}. */
static size_t
lower_bound(const struct mf_facts *f, const struct fact *key)
{
	size_t lo = 0, hi = f->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (compare(&f->v[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
is_of(const struct mf_facts *f, size_t i, enum mf_fact_ns ns, struct mf_slice name)
{
	return i < f->n && f->v[i].ns == (uint8_t)ns && mf_slice_eq(f->v[i].name, name);
}

/* The values of an attribute, declaration left out. */
static size_t
first_value(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name)
{
	const struct fact key = { .name = name, .ns = (uint8_t)ns };
	return f->sealed ? lower_bound(f, &key) : f->n;
}

bool
mf_facts_known(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name)
{
	const struct fact key = { .name = name, .ns = (uint8_t)ns, .declared = true };
	return f->sealed && is_of(f, lower_bound(f, &key), ns, name);
}

size_t
mf_facts_count(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name)
{
	size_t from = first_value(f, ns, name), to = from;
	while (is_of(f, to, ns, name))
		to++;
	return to - from;
}

struct mf_slice
mf_facts_value(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, size_t i)
{
	size_t from = first_value(f, ns, name);
	if (i >= f->n - from || !is_of(f, from + i, ns, name))
		return mf_slice(NULL, 0);
	return f->v[from + i].value;
}

struct mf_facts_view
mf_facts_look(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name)
{
	const struct fact key = { .name = name, .ns = (uint8_t)ns, .declared = true };
	struct mf_facts_view v = { .from = f->sealed ? lower_bound(f, &key) : f->n };
	if (!is_of(f, v.from, ns, name))
		return v;
	v.known = true;
	if (f->v[v.from].declared)
		v.from++;
	while (is_of(f, v.from + v.n, ns, name))
		v.partial |= f->v[v.from + v.n++].partial;
	return v;
}

struct mf_slice
mf_facts_at(const struct mf_facts *f, size_t position)
{
	return position < f->n ? f->v[position].value : mf_slice(NULL, 0);
}

bool
mf_facts_contains(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, struct mf_slice value)
{
	if (!f->sealed)
		return false;
	const struct fact key = { .name = name, .value = value, .ns = (uint8_t)ns };
	size_t i = lower_bound(f, &key);
	return is_of(f, i, ns, name) && mf_slice_eq(f->v[i].value, value);
}

const char *
mf_fact_ns_name(enum mf_fact_ns ns)
{
	return (size_t)ns < MF_COUNT(ns_names) ? ns_names[ns] : "unknown";
}

bool
mf_fact_split(struct mf_slice attribute, enum mf_fact_ns *ret_ns, struct mf_slice *ret_name)
{
	for (unsigned ns = 0; ns < MF_FACT_NS_COUNT; ns++) {
		struct mf_slice prefix = mf_slice_str(ns_names[ns]);
		if (attribute.n < prefix.n + 2 || attribute.n > prefix.n + 1 + NAME_MAX_BYTES ||
		    !mf_slice_starts(attribute, prefix) || attribute.p[prefix.n] != '.')
			continue;
		*ret_ns = (enum mf_fact_ns)ns;
		*ret_name = mf_slice_sub(attribute, prefix.n + 1, attribute.n);
		return true;
	}
	return false;
}
