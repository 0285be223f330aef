/* Freezes: what nothing is issued for. Few at a time: people set them. */
#include <stdlib.h>

#include "broker/core/state_internal.h"

static struct mf_freeze *
find(const struct mf_state *st, struct mf_slice subject)
{
	MF_LIST_EACH(p, &st->freezes)
	{
		struct mf_freeze *f = MF_LIST_ITEM(p, struct mf_freeze, at);
		if (mf_slice_eq_str(subject, f->subject))
			return f;
	}
	return NULL;
}

const struct mf_freeze *
mf_state_freeze(const struct mf_state *st, struct mf_slice subject)
{
	return find(st, subject);
}

const struct mf_list *
mf_state_freezes(const struct mf_state *st)
{
	return &st->freezes;
}

static bool
covers(const struct mf_freeze *f, const char *kind, const char *name)
{
	size_t n = strlen(kind);
	return strncmp(f->subject, kind, n) == 0 && f->subject[n] == ':' &&
	       strcmp(f->subject + n + 1, name) == 0;
}

const struct mf_freeze *
mf_state_frozen(
    const struct mf_state *st, const char *profile, const char *rule, const char *person, const char *tenant)
{
	MF_LIST_EACH(p, &st->freezes)
	{
		const struct mf_freeze *f = MF_LIST_ITEM(p, struct mf_freeze, at);
		if (strcmp(f->subject, "all") == 0 || covers(f, "profile", profile) ||
		    covers(f, "rule", rule) || covers(f, "person", person) || covers(f, "tenant", tenant))
			return f;
	}
	return NULL;
}

static void
free_one(struct mf_freeze *f)
{
	free(f->subject);
	free(f->reason);
	free(f);
}

static enum mf_status
set(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	struct mf_freeze *f = calloc(1, sizeof(*f)), *former = find(st, r->s[MF_RS_SUBJECT]);
	if (f != NULL) {
		f->subject = mf_state_dup(r->s[MF_RS_SUBJECT]);
		f->reason = mf_state_dup(r->s[MF_RS_REASON]);
	}
	if (f == NULL || f->subject == NULL || f->reason == NULL) {
		if (f != NULL)
			free_one(f);
		return MF_FAIL(err, MF_E_NOMEM, "state: out of memory");
	}
	f->set_us = r->ts_us;
	f->until = mf_record_has_num(r, MF_RN_UNTIL) ? r->n[MF_RN_UNTIL] : 0;
	f->index = index;
	if (former != NULL) {
		mf_list_del(&former->at);
		free_one(former);
	}
	mf_list_add_tail(&st->freezes, &f->at);
	return MF_OK;
}

enum mf_status
mf_state_apply_freeze(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	if (r->type == MF_REC_FREEZE_SET)
		return set(st, index, r, err);
	struct mf_freeze *f = find(st, r->s[MF_RS_SUBJECT]);
	if (f == NULL)
		return MF_FAIL(err, MF_E_CORRUPT, "log record %llu: lifts what is not frozen",
		    (unsigned long long)index);
	mf_list_del(&f->at);
	free_one(f);
	return MF_OK;
}

void
mf_state_free_freezes(struct mf_state *st)
{
	MF_LIST_EACH(p, &st->freezes)
	{
		struct mf_freeze *f = MF_LIST_ITEM(p, struct mf_freeze, at);
		mf_list_del(&f->at);
		free_one(f);
	}
}
