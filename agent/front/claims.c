#include "agent/front/claims.h"

#define EXACT (INT64_C(1) << 53)
#define DEPTH_MAX 4u /* three levels of protobuf for each: readers stop at 16 */

/* False: it does not fit, or is not exact. Nesting ends at ${depth} 0. */
static bool put_value(
    const struct mf_json_value *v, struct mf_arena *arena, unsigned depth, Google__Protobuf__Value **ret_v);

static bool
put_list(const struct mf_json_value *v, struct mf_arena *arena, unsigned depth,
    Google__Protobuf__ListValue **ret_l)
{
	size_t n = mf_json_size(v);
	Google__Protobuf__ListValue *l = mf_arena_alloc(arena, 1, sizeof(*l));
	if (l == NULL)
		return false;
	google__protobuf__list_value__init(l);
	l->values = mf_arena_alloc(arena, n + 1, sizeof(Google__Protobuf__Value *));
	for (; l->values != NULL && l->n_values < n; l->n_values++)
		if (!put_value(mf_json_at(v, l->n_values), arena, depth, &l->values[l->n_values]))
			return false;
	*ret_l = l;
	return l->values != NULL;
}

static Google__Protobuf__Struct *
new_struct(const struct mf_json_value *v, struct mf_arena *arena)
{
	Google__Protobuf__Struct *s = mf_arena_alloc(arena, 1, sizeof(*s));
	if (s == NULL)
		return NULL;
	google__protobuf__struct__init(s);
	s->fields =
	    mf_arena_alloc(arena, mf_json_size(v) + 1, sizeof(Google__Protobuf__Struct__FieldsEntry *));
	return s->fields == NULL ? NULL : s;
}

static bool
put_field(Google__Protobuf__Struct *s, struct mf_slice key, const struct mf_json_value *v,
    struct mf_arena *arena, unsigned depth)
{
	Google__Protobuf__Struct__FieldsEntry *e = mf_arena_alloc(arena, 1, sizeof(*e));
	if (e == NULL)
		return false;
	google__protobuf__struct__fields_entry__init(e);
	e->key = mf_arena_str(arena, key);
	if (e->key == NULL || !put_value(v, arena, depth, &e->value))
		return false;
	s->fields[s->n_fields++] = e;
	return true;
}

static bool
put_object(
    const struct mf_json_value *v, struct mf_arena *arena, unsigned depth, Google__Protobuf__Struct **ret_s)
{
	struct mf_slice key;
	const struct mf_json_value *member;
	Google__Protobuf__Struct *s = new_struct(v, arena);
	struct mf_json_iter it = mf_json_iter(v);
	if (s == NULL)
		return false;
	while (mf_json_next(&it, &key, &member))
		if (!put_field(s, key, member, arena, depth))
			return false;
	*ret_s = s;
	return true;
}

static bool
put_scalar(const struct mf_json_value *v, struct mf_arena *arena, Google__Protobuf__Value *to)
{
	struct mf_slice s;
	int64_t n;
	bool b;
	switch (mf_json_type(v)) {
	case MF_JSON_STRING:
		to->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
		to->string_value = mf_json_string(v, &s) ? mf_arena_str(arena, s) : NULL;
		return to->string_value != NULL;
	case MF_JSON_INT:
		to->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
		if (!mf_json_int(v, &n) || n > EXACT || n < -EXACT)
			return false; /* a double would say another number */
		to->number_value = (double)n;
		return true;
	case MF_JSON_REAL:
		to->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
		return mf_json_real(v, &to->number_value);
	case MF_JSON_BOOL:
		to->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
		if (!mf_json_bool(v, &b))
			return false;
		to->bool_value = b;
		return true;
	default:
		to->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
		return mf_json_type(v) == MF_JSON_NULL;
	}
}

static bool
put_value(
    const struct mf_json_value *v, struct mf_arena *arena, unsigned depth, Google__Protobuf__Value **ret_v)
{
	Google__Protobuf__Value *to = mf_arena_alloc(arena, 1, sizeof(*to));
	enum mf_json_type t = mf_json_type(v);
	if (to == NULL)
		return false;
	google__protobuf__value__init(to);
	*ret_v = to;
	if (t != MF_JSON_ARRAY && t != MF_JSON_OBJECT)
		return put_scalar(v, arena, to);
	if (depth == 0)
		return false;
	if (t == MF_JSON_ARRAY) {
		to->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
		return put_list(v, arena, depth - 1, &to->list_value);
	}
	to->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
	return put_object(v, arena, depth - 1, &to->struct_value);
}

/* aud as one string means the same as a list of one: readers get the list. */
static bool
put_aud(Google__Protobuf__Struct *s, const struct mf_json_value *v, struct mf_arena *arena)
{
	if (mf_json_type(v) != MF_JSON_STRING)
		return put_field(s, MF_SLICE_LIT("aud"), v, arena, 1);
	Google__Protobuf__ListValue *l = mf_arena_alloc(arena, 1, sizeof(*l));
	Google__Protobuf__Value *list = mf_arena_alloc(arena, 1, sizeof(*list));
	Google__Protobuf__Struct__FieldsEntry *e = mf_arena_alloc(arena, 1, sizeof(*e));
	if (l == NULL || list == NULL || e == NULL)
		return false;
	google__protobuf__list_value__init(l);
	google__protobuf__value__init(list);
	google__protobuf__struct__fields_entry__init(e);
	l->values = mf_arena_alloc(arena, 1, sizeof(Google__Protobuf__Value *));
	e->key = mf_arena_str(arena, MF_SLICE_LIT("aud"));
	if (l->values == NULL || e->key == NULL || !put_value(v, arena, 0, &l->values[0]))
		return false;
	l->n_values = 1;
	list->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
	list->list_value = l;
	e->value = list;
	s->fields[s->n_fields++] = e;
	return true;
}

static bool
is_registered(struct mf_slice key)
{
	static const char *const names[] = { "sub", "aud", "exp", "iat", "nbf" };
	for (size_t i = 0; i < MF_COUNT(names); i++)
		if (mf_slice_eq_str(key, names[i]))
			return true;
	return false;
}

enum mf_status
mf_claims_struct(const struct mf_json_value *claims, struct mf_arena *arena,
    Google__Protobuf__Struct **ret_struct, size_t *ret_dropped, struct mf_err *err)
{
	struct mf_slice key;
	const struct mf_json_value *v;
	size_t dropped = 0;
	Google__Protobuf__Struct *s = new_struct(claims, arena);
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "claims: out of memory");
	/* First what must be there, so that nothing else takes its room. */
	struct mf_json_iter it = mf_json_iter(claims);
	while (mf_json_next(&it, &key, &v)) {
		if (!is_registered(key))
			continue;
		if (!(mf_slice_eq_str(key, "aud") ? put_aud(s, v, arena) : put_field(s, key, v, arena, 0)))
			return MF_FAIL(err, MF_E_NOMEM, "claims: out of memory");
	}
	it = mf_json_iter(claims);
	while (mf_json_next(&it, &key, &v))
		dropped += !is_registered(key) && !put_field(s, key, v, arena, DEPTH_MAX);
	*ret_struct = s;
	*ret_dropped = dropped;
	return MF_OK;
}
