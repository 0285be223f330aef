/* Filters of tail and find, with what later records inherit from earlier ones. */
#include <stdlib.h>

#include "cli/audit/audit.h"
#include "log/idset.h"

struct mf_audit_match {
	struct mf_audit_filter f;
	struct mf_idset leases; /* of matching jobs and nodes: some of their records name the lease only */
	uint64_t *issued;	/* ascending: svid.issued that matched; renewals continue them by index */
	size_t issued_n, issued_cap;
};

enum mf_status
mf_audit_match_new(const struct mf_audit_filter *f, struct mf_audit_match **ret_m, struct mf_err *err)
{
	struct mf_audit_match *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	m->f = *f;
	mf_idset_init(&m->leases);
	*ret_m = m;
	return MF_OK;
}

void
mf_audit_match_free(struct mf_audit_match *m)
{
	if (m == NULL)
		return;
	mf_idset_fini(&m->leases);
	free(m->issued);
	free(m);
}

static bool
is(const struct mf_json_value *v, const char *want)
{
	struct mf_slice s;
	return mf_json_string(v, &s) && mf_slice_eq_str(s, want);
}

/* Key or short id of a job, or the beginning of a short id. */
static bool
is_job(const struct mf_json_value *root, const char *want)
{
	const struct mf_json_value *job = mf_json_get(root, "job");
	struct mf_slice id;
	if (is(mf_json_get(job, "key"), want))
		return true;
	if (!mf_json_string(mf_json_get(job, "id"), &id))
		return false;
	return mf_slice_eq_str(id, want) ||
	       (strncmp(want, "j-", 2) == 0 && strlen(want) > 2 && mf_slice_starts(id, mf_slice_str(want)));
}

static bool
has_serial(const struct mf_json_value *root, const char *want)
{
	if (is(mf_json_get(root, "serial"), want))
		return true;
	const struct mf_json_value *creds = mf_json_get(root, "credentials");
	for (size_t i = 0; i < mf_json_size(creds); i++)
		if (is(mf_json_get(mf_json_at(creds, i), "serial"), want))
			return true;
	return false;
}

static bool
continues_issued(const struct mf_audit_match *m, const struct mf_json_value *root)
{
	int64_t of = 0;
	if (!mf_json_int(mf_json_get(root, "of"), &of) || of < 0)
		return false;
	size_t lo = 0, hi = m->issued_n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (m->issued[mid] < (uint64_t)of)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->issued_n && m->issued[lo] == (uint64_t)of;
}

static enum mf_status
note_issued(struct mf_audit_match *m, uint64_t index, struct mf_err *err)
{
	if (m->issued_n == m->issued_cap) {
		size_t cap = m->issued_cap == 0 ? 64 : m->issued_cap * 2;
		uint64_t *p = realloc(m->issued, cap * sizeof(*p));
		if (p == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "out of memory");
		m->issued = p;
		m->issued_cap = cap;
	}
	m->issued[m->issued_n++] = index;
	return MF_OK;
}

/* Who: job, node, SPIFFE ID; by the record itself or by what it continues. */
static bool
subject_matches(const struct mf_audit_match *m, const struct mf_verify_record *r)
{
	const struct mf_audit_filter *f = &m->f;
	struct mf_slice lease;
	bool of_lease =
	    mf_json_string(mf_json_get(r->json, "lease"), &lease) && mf_idset_has(&m->leases, lease);
	bool of_issued = continues_issued(m, r->json);
	if (f->job != NULL && !is_job(r->json, f->job) && !of_lease && !of_issued)
		return false;
	if (f->node != NULL && !is(mf_json_get(mf_json_get(r->json, "node"), "id"), f->node) && !of_lease &&
	    !of_issued)
		return false;
	return f->spiffe_id == NULL || is(mf_json_get(r->json, "spiffe_id"), f->spiffe_id) || of_issued;
}

enum mf_status
mf_audit_match_record(
    struct mf_audit_match *m, const struct mf_verify_record *r, bool *ret_yes, struct mf_err *err)
{
	const struct mf_audit_filter *f = &m->f;
	bool subject = subject_matches(m, r),
	     narrow = f->job != NULL || f->node != NULL || f->spiffe_id != NULL;
	struct mf_slice lease;
	if (subject && narrow && mf_slice_eq_str(r->type, "svid.issued"))
		MF_TRY(note_issued(m, r->rec->index, err));
	if (subject && narrow && f->spiffe_id == NULL && mf_slice_eq_str(r->type, "lease.opened") &&
	    mf_json_string(mf_json_get(r->json, "lease"), &lease)) {
		bool fresh;
		MF_TRY(mf_idset_add(&m->leases, lease, &fresh, err));
	}
	*ret_yes = subject && r->ts_us >= f->since_us &&
		   (f->type == NULL || mf_slice_eq_str(r->type, f->type)) &&
		   (f->serial == NULL || has_serial(r->json, f->serial));
	return MF_OK;
}
