/*
 * Freezes: `mayfly revoke --profile|--rule|--person|--tenant|--all` ends what matches, and nothing is issued for it until
 * it is lifted. While something is frozen no job of it lives: what a crash left alive is ended at the start.
 */
#include <inttypes.h>
#include <stdio.h>

#include "broker/notary/engine_internal.h"

#define REASON_MAX 512u
#define NAME_MAX_BYTES 200u
#define SUBJECT_MAX 256u
#define FREEZES_MAX 1000u
#define FOR_MAX_S (INT64_C(366) * 86400)

static const char *const kinds[] = { "profile", "rule", "person", "tenant" };

/* "profile" and "train": "profile:train". NULL, or what is wrong. */
static const char *
subject_of(const char *kind, const char *name, char to[SUBJECT_MAX])
{
	if (strcmp(kind, "all") == 0) {
		(void)snprintf(to, SUBJECT_MAX, "all");
		return name[0] == '\0' ? NULL : "everything has no name";
	}
	if (name[0] == '\0' || strlen(name) > NAME_MAX_BYTES || !mf_engine_plain(name))
		return "a name is 1 to 200 bytes without control characters";
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		if (strcmp(kind, kinds[i]) != 0)
			continue;
		(void)snprintf(to, SUBJECT_MAX, "%s:%s", kind, name);
		return NULL;
	}
	return "freeze a profile, a rule, a person, a tenant or everything";
}

/* How to undo it, as a command: "--profile train". */
static void
option_of(const char *subject, char *to, size_t cap)
{
	const char *colon = strchr(subject, ':');
	if (colon == NULL)
		(void)snprintf(to, cap, "--all");
	else
		(void)snprintf(to, cap, "--%.*s %s", (int)(colon - subject), subject, colon + 1);
}

void
mf_engine_check_frozen(
    const struct mf_engine *e, const char *tenant, const char *person, struct mf_decision *d)
{
	if (!d->permit)
		return;
	const struct mf_freeze *f =
	    mf_state_frozen(e->state, d->profile->name, d->rule == NULL ? "" : d->rule, person, tenant);
	char why[SUBJECT_MAX + 64], cure[SUBJECT_MAX + 64], option[SUBJECT_MAX];
	if (f == NULL)
		return;
	option_of(f->subject, option, sizeof(option));
	if (strcmp(f->subject, "all") == 0)
		(void)snprintf(why, sizeof(why), "an operator froze everything");
	else
		(void)snprintf(why, sizeof(why), "an operator froze %s", f->subject);
	(void)snprintf(cure, sizeof(cure), "an operator lifts it: mayfly unfreeze %s", option);
	mf_engine_overrule(d, "", cure, why);
	if (f->reason[0] != '\0') { /* for operators only */
		size_t n = strlen(d->reason);
		(void)snprintf(d->reason + n, sizeof(d->reason) - n, ": %s", f->reason);
	}
}

static bool
job_is(const struct mf_engine *e, const struct mf_job *j)
{
	if (mf_state_frozen(e->state, j->profile, j->rule, j->person, j->tenant) != NULL)
		return true;
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (l->state != MF_LEASE_ENDED &&
		    mf_state_frozen(e->state, j->profile, l->rule, j->person, j->tenant) != NULL)
			return true;
	}
	return false;
}

/* Everything alive that is frozen; no record here makes the state forget a job. */
static void
end_frozen(struct mf_engine *e, struct mf_now now, const char *reason, struct removal *out)
{
	for (const struct mf_job *j = mf_state_next_job(e->state, NULL); j != NULL;
	     j = mf_state_next_job(e->state, j)) {
		struct removal one = { .creds = out->creds };
		if (j->ended || !job_is(e, j))
			continue;
		mf_removal_end_job(e, now, j, reason, false, &one);
		out->jobs += one.jobs;
		out->leases += one.leases;
		if (one.index != UINT64_MAX && one.index > out->index)
			out->index = one.index;
	}
}

void
mf_engine_freeze_sweep(struct mf_engine *e, struct mf_now now)
{
	struct removal out = { .index = 0 };
	if (!mf_list_empty(mf_state_freezes(e->state)))
		end_frozen(e, now, "it was frozen before the broker restarted", &out);
}

/* A freeze never gets shorter by being said again. */
static int64_t
until_of(const struct mf_engine *e, const char *subject, int64_t until)
{
	const struct mf_freeze *f = mf_state_freeze(e->state, mf_slice_str(subject));
	if (f == NULL || until == 0)
		return until;
	return f->until == 0 || f->until > until ? f->until : until;
}

/* ${call} NULL: what was kept across a crash. */
static void
freeze(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call, const char *subject,
    int64_t until, const char *reason, struct removal *out)
{
	struct mf_record r = { .type = MF_REC_FREEZE_SET };
	if (call != NULL)
		mf_engine_actor(&r, call);
	else
		mf_record_set_str(&r, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_str(&r, MF_RS_SUBJECT, subject);
	mf_record_set_str(&r, MF_RS_REASON, reason);
	if (until != 0)
		mf_record_set_num(&r, MF_RN_UNTIL, until);
	out->index = mf_engine_record(e, now, &r);
	if (out->index != UINT64_MAX)
		end_frozen(e, now, reason[0] == '\0' ? "frozen by an operator" : reason, out);
}

static void
do_freeze(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__FreezeRequest *q = call->freeze;
	char subject[SUBJECT_MAX], line[SUBJECT_MAX + 40];
	const char *why = subject_of(q->kind, q->name, subject);
	size_t n = 0;
	MF_LIST_EACH(p, mf_state_freezes(e->state))
	n++;
	if (why == NULL && (strlen(q->reason) > REASON_MAX || !mf_engine_plain(q->reason)))
		why = "the reason is longer than 512 bytes, or holds a control character";
	if (why == NULL && (q->for_s < 0 || q->for_s > FOR_MAX_S))
		why = "a freeze lasts at most a year, or, without an end, until it is lifted";
	if (why == NULL && n >= FREEZES_MAX && mf_state_freeze(e->state, mf_slice_str(subject)) == NULL)
		why = "a thousand things are frozen: freeze everything, or lift some";
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID, why);
		return;
	}
	int64_t until = until_of(e, subject, q->for_s == 0 ? 0 : now.wall_us / 1000000 + q->for_s);
	int len = snprintf(line, sizeof(line), "freeze %" PRId64 " %s", until, subject);
	e->ops->removal_kept(e->ctx, mf_slice(line, len < 0 ? 0 : (size_t)len));
	struct removal out = { .creds = mf_removal_listing_new() };
	freeze(e, now, call, subject, until, q->reason, &out);
	if (out.index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INTERNAL,
		    "the broker must restart first; the freeze is kept and done then");
	} else {
		e->ops->removal_settled(e->ctx, out.index);
		mf_removal_answer(e, now, call->call_id, &out, subject);
	}
	mf_removal_listing_free(out.creds);
}

void
mf_engine_redo_freeze(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index)
{
	char subject[SUBJECT_MAX];
	int64_t until = 0;
	if (!mf_slice_starts(what, MF_SLICE_LIT("freeze ")))
		return;
	struct mf_slice rest = mf_slice_sub(what, 7, what.n);
	const uint8_t *gap = rest.n == 0 ? NULL : memchr(rest.p, ' ', rest.n);
	uint64_t number;
	if (gap == NULL || !mf_parse_u64(mf_slice(rest.p, (size_t)(gap - rest.p)), &number) ||
	    number > INT64_MAX)
		return;
	until = (int64_t)number;
	rest = mf_slice_sub(rest, (size_t)(gap - rest.p) + 1, rest.n);
	if (rest.n == 0 || rest.n >= sizeof(subject))
		return;
	memcpy(subject, rest.p, rest.n);
	subject[rest.n] = '\0';
	struct removal out = { .index = 0 };
	if (mf_state_freeze(e->state, rest) == NULL)
		freeze(e, now, NULL, subject, until, "asked for before the broker restarted", &out);
	else
		end_frozen(e, now, "frozen before the broker restarted", &out);
	if (out.index == UINT64_MAX || out.index > *ret_index)
		*ret_index = out.index;
}

/* ---- lifting ---- */

static uint64_t
lift(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call, const char *subject,
    const char *reason)
{
	struct mf_record r = { .type = MF_REC_FREEZE_LIFTED };
	if (call != NULL)
		mf_engine_actor(&r, call);
	else
		mf_record_set_str(&r, MF_RS_ACTOR_KIND, "broker");
	mf_record_set_str(&r, MF_RS_SUBJECT, subject);
	mf_record_set_str(&r, MF_RS_REASON, reason);
	return mf_engine_record(e, now, &r);
}

static void
do_unfreeze(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__UnfreezeRequest *q = call->unfreeze;
	char subject[SUBJECT_MAX];
	const char *why = mf_engine_why_not(e, now);
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE, why);
		return;
	}
	why = subject_of(q->kind, q->name, subject);
	if (why == NULL && (strlen(q->reason) > REASON_MAX || !mf_engine_plain(q->reason)))
		why = "the reason is longer than 512 bytes, or holds a control character";
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID, why);
		return;
	}
	if (mf_state_freeze(e->state, mf_slice_str(subject)) == NULL) {
		mf_engine_admin_fail(
		    e, call->call_id, MF_E_NOTFOUND, "that is not frozen: see 'mayfly freeze ls'");
		return;
	}
	uint64_t index = lift(e, now, call, subject, q->reason);
	if (index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE,
		    "the broker could not record it: nothing was changed; try again");
		return;
	}
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__UnfreezeResponse done = MAYFLY__ADMIN__V1__UNFREEZE_RESPONSE__INIT;
	done.subject = subject;
	done.record_index = index;
	reply.call_id = call->call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_UNFROZEN;
	reply.unfrozen = &done;
	mf_release_admin(e, now, index, &reply);
}

void
mf_engine_freeze_tick(struct mf_engine *e, struct mf_now now)
{
	char subject[SUBJECT_MAX];
	if (mf_list_empty(mf_state_freezes(e->state)) || mf_engine_why_not(e, now) != NULL)
		return;
	MF_LIST_EACH(p, mf_state_freezes(e->state))
	{
		const struct mf_freeze *f = MF_LIST_ITEM(p, struct mf_freeze, at);
		if (f->until == 0 || f->until * 1000000 > now.wall_us)
			continue;
		(void)snprintf(subject, sizeof(subject), "%s", f->subject);
		(void)lift(e, now, NULL, subject, "its time was over");
		return; /* the list has changed: the next one at the next tick */
	}
}

static void
list(struct mf_engine *e, uint64_t call_id)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ListFreezesResponse r = MAYFLY__ADMIN__V1__LIST_FREEZES_RESPONSE__INIT;
	Mayfly__Admin__V1__Freeze *v = calloc(FREEZES_MAX, sizeof(*v)),
				  **all = calloc(FREEZES_MAX, sizeof(*all));
	if (v == NULL || all == NULL) {
		free(v);
		free(all);
		mf_engine_admin_fail(e, call_id, MF_E_NOMEM, "out of memory");
		return;
	}
	MF_LIST_EACH(p, mf_state_freezes(e->state))
	{
		const struct mf_freeze *f = MF_LIST_ITEM(p, struct mf_freeze, at);
		if (r.n_freezes >= FREEZES_MAX)
			break;
		Mayfly__Admin__V1__Freeze *x = &v[r.n_freezes];
		*x = (Mayfly__Admin__V1__Freeze)MAYFLY__ADMIN__V1__FREEZE__INIT;
		x->subject = f->subject;
		x->since_us = f->set_us;
		x->until = f->until;
		x->reason = f->reason;
		x->record_index = f->index;
		all[r.n_freezes++] = x;
	}
	r.freezes = all;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_FREEZES;
	reply.freezes = &r;
	/* One role message. */
	while (r.n_freezes > 0 &&
	       mayfly__roles__v1__admin_reply__get_packed_size(&reply) > MF_LIM_IPC_MESSAGE - 64)
		r.n_freezes = r.n_freezes * 3 / 4;
	e->ops->admin_reply(e->ctx, &reply);
	free(v);
	free(all);
}

bool
mf_engine_freeze_admin(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	switch (call->what_case) {
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_FREEZE:
		do_freeze(e, now, call);
		return true;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_UNFREEZE:
		do_unfreeze(e, now, call);
		return true;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_FREEZES:
		list(e, call->call_id);
		return true;
	default:
		return false;
	}
}
