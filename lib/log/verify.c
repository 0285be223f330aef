#include "log/verify.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "log/idset.h"

/* What was read past the last head: a later head must be one of these. */
struct mark {
	uint64_t size;
	int64_t ts_us; /* of the frame's last record: they were written together */
	uint8_t root[MF_HASH_SIZE];
};

struct mf_verifier {
	struct mf_verify_opts o;
	const struct mf_log_io *io;
	struct mf_wal_reader *reader;
	struct mf_idset ids;
	struct mf_lineage lineage;
	uint8_t root_before[MF_HASH_SIZE]; /* of the records before the frame that is being read */
	bool held_seen;
	struct mf_verify_report rep;
	struct mark *mark;
	size_t marks, marks_cap;
	bool any_record;
	struct mf_err dead; /* code MF_OK while nothing is proven bad */
};

enum mf_status
mf_verifier_new(const struct mf_verify_opts *opts, struct mf_verifier **ret_v, struct mf_err *err)
{
	MF_AUTO(mf_verifier_free) struct mf_verifier *v = calloc(1, sizeof(*v));
	if (v == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "verify: out of memory");
	v->o = *opts;
	v->io = opts->io == NULL ? mf_log_io_system() : opts->io;
	mf_idset_init(&v->ids);
	v->rep.lineage = &v->lineage;
	struct mf_wal_anchor none = { 0 };
	MF_TRY(mf_wal_reader_new(v->io, opts->wal_dirfd, &none, &v->reader, err));
	*ret_v = MF_TAKE(v);
	return MF_OK;
}

void
mf_verifier_free(struct mf_verifier *v)
{
	if (v == NULL)
		return;
	mf_wal_reader_free(v->reader);
	mf_idset_fini(&v->ids);
	mf_lineage_fini(&v->lineage);
	free(v->mark);
	free(v);
}

const struct mf_verify_report *
mf_verifier_report(const struct mf_verifier *v)
{
	return &v->rep;
}

/* Proven bad, at ${index}. */
static enum mf_status
bad(struct mf_verifier *v, uint64_t index, struct mf_err *err, const char *why)
{
	v->rep.bad_index_known = true;
	v->rep.bad_index = index;
	return MF_FAIL(err, MF_E_CORRUPT, "first bad index %" PRIu64 ": %s", index, why);
}

/* These give access: the broker refuses them while its clock is behind the log (design, "Clock"). */
static bool
is_issuance(struct mf_slice type)
{
	static const char *const issuing[] = { "svid.issued", "svid.renewed", "lease.opened", "lease.resumed",
		"cloud.intent", "cloud.issued" };
	for (size_t i = 0; i < MF_COUNT(issuing); i++)
		if (mf_slice_eq_str(type, issuing[i]))
			return true;
	return false;
}

static enum mf_status
check_order(struct mf_verifier *v, const struct mf_verify_record *r, struct mf_err *err)
{
	struct mf_verify_report *rep = &v->rep;
	if (!v->any_record)
		rep->first_ts_us = r->ts_us;
	if (v->any_record && r->ts_us < rep->last_ts_us - MF_VERIFY_CLOCK_BACK_US) {
		if (is_issuance(r->type))
			return bad(v, r->rec->index, err,
			    "an issuance while the clock was behind the record before it by more than 5 s");
		if (rep->clock_steps++ == 0)
			rep->first_clock_step = r->rec->index;
	}
	rep->last_ts_us = r->ts_us;
	v->any_record = true;
	if (r->id.n == 0)
		return MF_OK;
	bool fresh = false;
	MF_TRY(mf_idset_add(&v->ids, r->id, &fresh, err));
	return fresh ? MF_OK : bad(v, r->rec->index, err, "its id stands in an earlier record");
}

/* It stands alone in its frame, so what was before the frame is what was before it. */
static enum mf_status
check_restored(struct mf_verifier *v, const struct mf_verify_record *r, struct mf_err *err)
{
	v->rep.bad_index_known = true;
	v->rep.bad_index = r->rec->index;
	MF_TRY(mf_lineage_add(&v->lineage, r->json, r->rec->index, v->root_before, v->o.key, err));
	if (v->o.held != NULL)
		MF_TRY(mf_lineage_continues(&v->lineage, v->o.held, err));
	v->rep.bad_index_known = false;
	return MF_OK;
}

static enum mf_status
check_record(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	struct mf_verifier *v = ctx;
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	struct mf_verify_record r = { .rec = rec };
	enum mf_status s = mf_json_parse(rec->bytes, MF_LIM_RECORD, &doc, err);
	if (s == MF_E_NOMEM)
		return s;
	r.json = mf_json_root(doc);
	if (s != MF_OK || mf_json_type(r.json) != MF_JSON_OBJECT)
		return bad(v, rec->index, err, "the record is not a JSON object");
	int64_t version = 0;
	struct mf_slice ts = { 0 };
	if (!mf_json_int(mf_json_get(r.json, "v"), &version) || version < 1)
		return bad(v, rec->index, err, "the record has no version");
	if (!mf_json_string(mf_json_get(r.json, "type"), &r.type) || r.type.n == 0)
		return bad(v, rec->index, err, "the record has no type");
	if (!mf_json_string(mf_json_get(r.json, "ts"), &ts) || mf_time_get(ts, &r.ts_us, NULL) != MF_OK)
		return bad(v, rec->index, err, "the record has no time");
	/* Renewals are compact and inherit all else from the record that they continue. */
	if (!mf_json_string(mf_json_get(r.json, "id"), &r.id) && !mf_slice_eq_str(r.type, "svid.renewed"))
		return bad(v, rec->index, err, "the record has no id");
	MF_TRY(check_order(v, &r, err));
	if (mf_slice_eq_str(r.type, "log.restored"))
		MF_TRY(check_restored(v, &r, err));
	return v->o.on_record == NULL ? MF_OK : v->o.on_record(v->o.ctx, &r, err);
}

/* The head that was kept is one of this log's. */
static enum mf_status
check_held(struct mf_verifier *v, const struct mf_frame *f, struct mf_err *err)
{
	const struct mf_checkpoint *h = v->o.held;
	if (h == NULL || v->held_seen || f->tree_size < h->head.size)
		return MF_OK;
	v->held_seen = true;
	if (f->tree_size == h->head.size && memcmp(f->root, h->head.root, MF_HASH_SIZE) == 0)
		return MF_OK;
	return MF_FAIL(err, MF_E_CORRUPT,
	    "the first %" PRIu64 " records are not those of the head that you hold: records were rewritten",
	    h->head.size);
}

/* One frame and its records. MF_E_AGAIN: nothing more there. */
static enum mf_status
step(struct mf_verifier *v, struct mf_frame *f, struct mf_err *err)
{
	mf_merkle_root(&mf_wal_reader_anchor(v->reader)->tree, v->root_before);
	enum mf_status s = mf_wal_reader_next(v->reader, f, err);
	v->rep.unfinished = false;
	if (s == MF_E_AGAIN)
		v->rep.unfinished = mf_wal_reader_stop(v->reader, &v->rep.stop);
	if (s == MF_E_CORRUPT) {
		v->rep.bad_index_known = true;
		v->rep.bad_index = mf_wal_reader_index(v->reader);
	}
	MF_TRY(s);
	MF_TRY(mf_wal_reader_records(v->reader, f, 0, UINT64_MAX, check_record, v, err));
	v->rep.records = mf_wal_reader_index(v->reader);
	v->rep.frames++;
	return check_held(v, f, err);
}

static enum mf_status
differs(struct mf_verifier *v, uint64_t size, struct mf_err *err)
{
	v->rep.bad_index_known = false;
	return MF_FAIL(err, MF_E_CORRUPT,
	    "the first %" PRIu64
	    " records are not those that the head was signed for: records were rewritten "
	    "between index %" PRIu64 " and %" PRIu64,
	    size, v->rep.have_head ? v->rep.head.head.size : 0, size - (size > 0));
}

static enum mf_status
ends_early(struct mf_verifier *v, const struct mf_wal_head *h, struct mf_err *err)
{
	uint64_t have = v->rep.records;
	v->rep.bad_index_known = true;
	v->rep.bad_index = have;
	if (v->rep.unfinished)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "segment %016" PRIu64 ".seg, offset %" PRIu64 ", first bad index %" PRIu64
		    ": %s; the signed head covers %" PRIu64 " records",
		    v->rep.stop.segment, v->rep.stop.offset, have, v->rep.stop.why, h->size);
	return MF_FAIL(err, MF_E_CORRUPT,
	    "first bad index %" PRIu64 ": the log ends there but its signed head covers %" PRIu64
	    " records: it was cut, or an older copy was put back",
	    have, h->size);
}

/* Read up to the head and compare. */
static enum mf_status
read_to(struct mf_verifier *v, const struct mf_wal_head *h, struct mf_err *err)
{
	while (v->rep.records < h->size) {
		struct mf_frame f;
		enum mf_status s = step(v, &f, err);
		if (s == MF_E_AGAIN)
			return ends_early(v, h, err);
		MF_TRY(s);
	}
	uint8_t root[MF_HASH_SIZE];
	mf_merkle_root(&mf_wal_reader_anchor(v->reader)->tree, root);
	/* Heads are signed between frames only. */
	if (v->rep.records != h->size || memcmp(root, h->root, MF_HASH_SIZE) != 0)
		return differs(v, h->size, err);
	v->marks = 0;
	return MF_OK;
}

/* The head is one of the places that mf_verifier_tail has passed already. */
static enum mf_status
find_mark(struct mf_verifier *v, const struct mf_wal_head *h, struct mf_err *err)
{
	size_t i = 0;
	while (i < v->marks && v->mark[i].size < h->size)
		i++;
	if (i == v->marks || v->mark[i].size != h->size ||
	    memcmp(v->mark[i].root, h->root, MF_HASH_SIZE) != 0)
		return differs(v, h->size, err);
	i++;
	v->marks -= i;
	memmove(v->mark, v->mark + i, v->marks * sizeof(*v->mark));
	return MF_OK;
}

static enum mf_status
stranger(const char *name, const char *whose, struct mf_err *err)
{
	return MF_FAIL(err, MF_E_CORRUPT,
	    "%s is of the log %s, a name that this log never had: it is another one, or its record "
	    "log.restored "
	    "is missing",
	    whose, name);
}

/* All that is read is known by now: the names in heads and key are those of the log. */
static enum mf_status
check_names(struct mf_verifier *v, const struct mf_checkpoint *cp, struct mf_err *err)
{
	const struct mf_lineage *l = &v->lineage;
	const struct mf_checkpoint *held = v->o.held;
	const char *last = v->o.key->name;
	if (strcmp(cp->origin, mf_lineage_name(l, cp->head.size, last)) != 0)
		return stranger(cp->origin, "the signed head", err);
	if (!mf_lineage_knows(l, v->o.key->name, cp->origin))
		return stranger(v->o.key->name, "the key", err);
	if (held == NULL)
		return MF_OK;
	if (held->head.size > cp->head.size)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "first bad index %" PRIu64
		    ": the log ends there, but the head that you hold is of %" PRIu64 " records",
		    cp->head.size, held->head.size);
	return strcmp(held->origin, mf_lineage_name(l, held->head.size, last)) == 0
		   ? MF_OK
		   : stranger(held->origin, "the head that you hold", err);
}

static enum mf_status
accept_head(struct mf_verifier *v, const struct mf_checkpoint *cp, struct mf_err *err)
{
	struct mf_verify_report *rep = &v->rep;
	const struct mf_wal_head *h = &cp->head;
	if (rep->have_head && h->size < rep->head.head.size) {
		rep->bad_index_known = true;
		rep->bad_index = h->size;
		return MF_FAIL(err, MF_E_CORRUPT,
		    "first bad index %" PRIu64 ": the signed head went back from %" PRIu64 " records",
		    h->size, rep->head.head.size);
	}
	if (rep->have_head && h->size == rep->head.head.size) {
		if (memcmp(h->root, rep->head.head.root, MF_HASH_SIZE) != 0)
			return differs(v, h->size, err);
	} else if (v->marks > 0 && h->size < v->rep.records + 1) {
		MF_TRY(find_mark(v, h, err));
	} else {
		MF_TRY(read_to(v, h, err));
	}
	MF_TRY(check_names(v, cp, err));
	rep->head = *cp;
	rep->have_head = true;
	rep->first_unsigned_ts_us = v->marks > 0 ? v->mark[0].ts_us : 0;
	return v->o.on_signed == NULL ? MF_OK : v->o.on_signed(v->o.ctx, h->size, err);
}

/* Proven bad once, bad for ever. */
static enum mf_status
remember(struct mf_verifier *v, enum mf_status s, const struct mf_err *why, struct mf_err *err)
{
	if (s == MF_E_CORRUPT)
		v->dead = *why;
	if (s != MF_OK && err != NULL)
		*err = *why;
	return s;
}

enum mf_status
mf_verifier_head(struct mf_verifier *v, bool *ret_moved, struct mf_err *err)
{
	if (v->dead.code != MF_OK)
		return remember(v, MF_E_CORRUPT, &v->dead, err);
	struct mf_err why = { 0 };
	struct mf_checkpoint cp;
	bool had = v->rep.have_head;
	uint64_t before = v->rep.head.head.size;
	/* The head first: what it covers was on disk before it was signed. */
	enum mf_status s =
	    mf_checkpoint_load_by(v->io, v->o.log_dirfd, mf_lineage_open_head, v->o.key, &cp, &why);
	if (s == MF_OK)
		s = accept_head(v, &cp, &why);
	if (s == MF_OK)
		*ret_moved = !had || cp.head.size != before;
	return remember(v, s, &why, err);
}

static enum mf_status
add_mark(struct mf_verifier *v, const struct mf_frame *f, int64_t ts_us, struct mf_err *err)
{
	if (v->marks == v->marks_cap) {
		size_t cap = v->marks_cap == 0 ? 64 : v->marks_cap * 2;
		struct mark *m = realloc(v->mark, cap * sizeof(*m));
		if (m == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "verify: out of memory");
		v->mark = m;
		v->marks_cap = cap;
	}
	struct mark *m = &v->mark[v->marks++];
	m->size = f->tree_size;
	m->ts_us = ts_us;
	memcpy(m->root, f->root, MF_HASH_SIZE);
	if (v->rep.first_unsigned_ts_us == 0)
		v->rep.first_unsigned_ts_us = ts_us;
	return MF_OK;
}

enum mf_status
mf_verifier_tail(struct mf_verifier *v, struct mf_err *err)
{
	if (v->dead.code != MF_OK)
		return remember(v, MF_E_CORRUPT, &v->dead, err);
	struct mf_err why = { 0 };
	for (;;) {
		struct mf_frame f;
		enum mf_status s = step(v, &f, &why);
		if (s == MF_E_AGAIN)
			return MF_OK;
		if (s == MF_OK)
			s = add_mark(v, &f, v->rep.last_ts_us, &why);
		if (s != MF_OK)
			return remember(v, s, &why, err);
	}
}
