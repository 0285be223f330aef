#include "log/lineage.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"

void
mf_lineage_fini(struct mf_lineage *l)
{
	free(l->v);
	*l = (struct mf_lineage) { 0 };
}

static enum mf_status
bad(uint64_t index, const char *why, struct mf_err *err)
{
	return MF_FAIL(err, MF_E_CORRUPT, "first bad index %" PRIu64 ": log.restored %s", index, why);
}

static bool
copy_name(struct mf_slice s, char to[MF_LIM_NOTE_NAME + 1])
{
	if (s.n == 0 || s.n > MF_LIM_NOTE_NAME || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return true;
}

/* What it says of the log before it is so. */
static enum mf_status
check_previous(const struct mf_lineage *l, const struct mf_json_value *previous, uint64_t index,
    const uint8_t root[MF_HASH_SIZE], struct mf_lineage_link *k, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	struct mf_slice said = { 0 }, from = { 0 };
	int64_t size = -1;
	mf_buf_init(&hex, 2 * MF_HASH_SIZE);
	mf_hex_put(&hex, mf_slice(root, MF_HASH_SIZE));
	if (!mf_json_string(mf_json_get(previous, "origin"), &from) || !copy_name(from, k->from))
		return bad(index, "does not name the log that it continues", err);
	if (!mf_json_int(mf_json_get(previous, "size"), &size) || size < 0 || (uint64_t)size != index)
		return bad(index, "names another size than that of the log before it", err);
	if (!mf_json_string(mf_json_get(previous, "root"), &said) || !mf_slice_eq(said, mf_buf_slice(&hex)))
		return bad(index, "names another root than that of the log before it", err);
	if (l->n > 0 && strcmp(l->v[l->n - 1].to, k->from) != 0)
		return bad(index, "continues another log than the one before it", err);
	return MF_OK;
}

static enum mf_status
check_name(const struct mf_json_value *record, uint64_t index, const struct mf_note_key *key,
    struct mf_lineage_link *k, struct mf_err *err)
{
	struct mf_slice to = { 0 }, vkey = { 0 };
	struct mf_note_key own;
	if (!mf_json_string(mf_json_get(record, "origin"), &to) || !copy_name(to, k->to) ||
	    strcmp(k->to, k->from) == 0)
		return bad(index, "gives the log no new name", err);
	if (!mf_json_string(mf_json_get(record, "vkey"), &vkey) ||
	    mf_note_key_parse(vkey, &own, NULL) != MF_OK || strcmp(own.name, k->to) != 0 ||
	    memcmp(own.public_key, key->public_key, sizeof(own.public_key)) != 0)
		return bad(index, "names another key than the one that signs", err);
	return MF_OK;
}

enum mf_status
mf_lineage_add(struct mf_lineage *l, const struct mf_json_value *record, uint64_t index,
    const uint8_t root[MF_HASH_SIZE], const struct mf_note_key *key, struct mf_err *err)
{
	struct mf_lineage_link k = { .index = index };
	struct mf_slice cause = { 0 };
	MF_TRY(check_previous(l, mf_json_get(record, "previous"), index, root, &k, err));
	MF_TRY(check_name(record, index, key, &k, err));
	k.whole = mf_json_string(mf_json_get(record, "cause"), &cause) && mf_slice_eq_str(cause, "whole");
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 4 : 2 * l->cap;
		struct mf_lineage_link *v = realloc(l->v, cap * sizeof(*v));
		if (v == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "verify: out of memory");
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = k;
	return MF_OK;
}

bool
mf_lineage_knows(const struct mf_lineage *l, const char *name, const char *last)
{
	if (l->n == 0)
		return strcmp(name, last) == 0;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(name, l->v[i].from) == 0)
			return true;
	return strcmp(name, l->v[l->n - 1].to) == 0;
}

const char *
mf_lineage_name(const struct mf_lineage *l, uint64_t size, const char *last)
{
	for (size_t i = 0; i < l->n; i++)
		if (size <= l->v[i].index)
			return l->v[i].from;
	return l->n > 0 ? l->v[l->n - 1].to : last;
}

enum mf_status
mf_lineage_continues(const struct mf_lineage *l, const struct mf_checkpoint *held, struct mf_err *err)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct mf_lineage_link *k = &l->v[i];
		if (strcmp(k->from, held->origin) != 0 || held->head.size <= k->index)
			continue;
		return MF_FAIL(err, MF_E_CORRUPT,
		    "first bad index %" PRIu64 ": the log was restored from a copy of %" PRIu64
		    " records and goes on as %s, but %s had %" PRIu64 " when your head was signed: %" PRIu64
		    " records are missing. Ask its operators for them. Who accepts the loss keeps the head "
		    "of "
		    "the new log from now on",
		    k->index, k->index, k->to, k->from, held->head.size, held->head.size - k->index);
	}
	return MF_OK;
}

enum mf_status
mf_lineage_open_head(
    struct mf_slice note, const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err)
{
	const uint8_t *nl = note.n == 0 ? NULL : memchr(note.p, '\n', note.n);
	struct mf_slice name = nl == NULL ? note : mf_slice(note.p, (size_t)(nl - note.p));
	struct mf_note_key own = *key;
	if (!mf_slice_eq_str(name, key->name) && mf_note_key_init(name, key->public_key, &own, NULL) != MF_OK)
		own = *key; /* no name at all: the other says what is wrong */
	return mf_checkpoint_open(note, &own, ret_cp, err);
}
