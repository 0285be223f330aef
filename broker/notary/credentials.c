/* Credentials as people see them: rows, in pages, of a job, of everything, or of what one removal ended. */
#include "broker/notary/credentials.h"

#include <stdio.h>

#define PAGE_BYTES (MF_LIM_IPC_MESSAGE - 1024u) /* a page is one role message */

static const char *const levels[] = { "stopped", "revoked", "denied", "sessions", "trust" };

struct removal_listing *
mf_removal_listing_new(void)
{
	return calloc(1, sizeof(struct removal_listing));
}

void
mf_removal_listing_free(struct removal_listing *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++)
		mayfly__admin__v1__credential__free_unpacked(l->v[i], NULL);
	free(l);
}

const char *
mf_found_id(const struct mf_found *f)
{
	return f->cred != NULL ? f->cred->serial : f->cloud->id;
}

void
mf_found_kind(const struct mf_found *f, char *to, size_t cap)
{
	if (f->cloud != NULL)
		(void)snprintf(to, cap, "cloud:%s", f->cloud->grant);
	else
		(void)snprintf(to, cap, "%s", f->cred->kid[0] == '\0' ? "x509-svid" : "jwt-svid");
}

/* ---- one row ---- */

struct row {
	Mayfly__Admin__V1__Credential m;
	char kind[MF_STATE_ID_MAX + 8], id[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX],
	    instance[MF_STATE_ID_MAX + 16], node[MF_STATE_ID_MAX], state[16], ends[96],
	    grant[MF_STATE_ID_MAX], level[16];
};

/* Does it end with its job? As far as anybody knows. */
static void
say_end(const struct mf_cloud_cred *c, char *to, size_t cap)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf t;
	mf_buf_init(&t, 64);
	mf_time_put_s(&t, c->state == MF_CLOUD_COMPLETED ? c->dead_at : c->effective);
	const char *when = mf_buf_cstr(&t);
	const char *what =
	    c->state == MF_CLOUD_COMPLETED
		? (c->level >= 2		      ? "denied: dead from"
		      : c->level == 1 && c->by_itself ? "revoked; who asks nobody takes it until"
		      : c->level == 1		      ? "revoked: dead since"
						      : "no: expires at")
	    : c->ended_us != 0 ? "being taken back; expires at"
	    : c->deny_on_end
		? (c->handle ? "yes, it is revoked; expires at" : "yes, where it can be denied; expires at")
		: "no: expires at";
	(void)snprintf(to, cap, "%s %s", what, when == NULL ? "?" : when);
}

static void
fill_svid(struct row *w, const struct mf_cred *c, const struct mf_lease *l)
{
	bool live = l == NULL || mf_cred_is_live(c, l);
	w->m.spiffe_id = c->spiffe_id;
	w->m.not_before = c->nbf;
	w->m.not_after = c->exp;
	(void)snprintf(w->state, sizeof(w->state), "%s",
	    !live	    ? "ended"
	    : c->superseded ? "superseded"
			    : "live");
	/* Honest: no verifier is told of an end yet, so it is accepted until its own time is over. */
	(void)snprintf(w->ends, sizeof(w->ends), "%s", l == NULL ? "no: a node's own" : "no: expires at");
	if (live)
		return;
	(void)snprintf(w->level, sizeof(w->level), "%s", levels[0]);
	w->m.dead_at = c->exp;
	w->m.record_index = c->ended_us != 0 ? c->ended_index : l->changed_index;
}

static void
fill_cloud(struct row *w, const struct mf_cloud_cred *c)
{
	w->m.spiffe_id = c->principal;
	w->m.not_before = (c->issued_us != 0 ? c->issued_us : c->intent_us) / 1000000;
	w->m.not_after = c->effective;
	(void)snprintf(w->grant, sizeof(w->grant), "%s", c->grant);
	(void)snprintf(w->state, sizeof(w->state), "%s",
	    c->state == MF_CLOUD_ACTIVE ? "live" : mf_cloud_state_name(c->state));
	say_end(c, w->ends, sizeof(w->ends));
	if (c->state != MF_CLOUD_COMPLETED)
		return;
	(void)snprintf(w->level, sizeof(w->level), "%s", levels[c->level < MF_COUNT(levels) ? c->level : 0]);
	w->m.dead_at = c->dead_at;
	w->m.record_index = c->completed_index != 0 ? c->completed_index : c->ended_index;
}

static void
fill(struct row *w, const struct mf_found *f)
{
	const struct mf_lease *l = f->lease;
	memset(w, 0, sizeof(*w));
	mayfly__admin__v1__credential__init(&w->m);
	mf_found_kind(f, w->kind, sizeof(w->kind));
	(void)snprintf(w->id, sizeof(w->id), "%s", mf_found_id(f));
	if (f->cred != NULL)
		fill_svid(w, f->cred, l);
	else
		fill_cloud(w, f->cloud);
	if (f->cloud != NULL)
		memcpy(w->job, f->cloud->job_id, sizeof(w->job));
	if (l != NULL) {
		memcpy(w->job, l->job->id, sizeof(w->job));
		(void)snprintf(w->instance, sizeof(w->instance), "%s/n%u", l->job->id, l->n);
	}
	(void)snprintf(w->node, sizeof(w->node), "%s",
	    l != NULL	      ? l->node->id
	    : f->node != NULL ? f->node->id
			      : "");
	w->m.kind = w->kind;
	w->m.id = w->id;
	w->m.job_id = w->job;
	w->m.instance_id = w->instance;
	w->m.state = w->state;
	w->m.ends_with_job = w->ends;
	w->m.node_id = w->node;
	w->m.grant = w->grant;
	w->m.level = w->level;
}

static Mayfly__Admin__V1__Credential *
copy(const Mayfly__Admin__V1__Credential *v, size_t n)
{
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	if (bytes == NULL)
		return NULL;
	(void)mayfly__admin__v1__credential__pack(v, bytes);
	Mayfly__Admin__V1__Credential *m = mayfly__admin__v1__credential__unpack(NULL, n, bytes);
	free(bytes);
	return m;
}

/* ---- which, and how many ---- */

/* What is looked for, and the page that is being filled. */
struct look {
	struct removal_listing *out;
	struct mf_now now;
	uint64_t durable; /* what no record on disk says is not said here either */
	bool all;
	size_t skip, seen; /* rows before the page; rows so far */
	size_t bytes;
	bool full;
};

static void
put(struct look *k, const struct mf_found *f)
{
	struct row w;
	if (k->full || k->seen++ < k->skip)
		return;
	fill(&w, f);
	if (w.m.record_index >= k->durable) {
		w.level[0] = '\0';
		w.m.dead_at = 0;
		w.m.record_index = 0;
	}
	size_t n = mayfly__admin__v1__credential__get_packed_size(&w.m);
	if (k->out->n >= MF_LISTING_MAX || k->bytes + n + 8 > PAGE_BYTES) {
		k->full = true;
		return;
	}
	k->out->v[k->out->n] = copy(&w.m, n);
	k->full = k->out->v[k->out->n] == NULL; /* without memory: the next page begins here */
	k->out->n += !k->full;
	k->bytes += n + 8;
}

static void
put_lease(struct look *k, const struct mf_lease *l, bool ended_only)
{
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_found f = { .cred = MF_LIST_ITEM(p, struct mf_cred, at), .lease = l };
		bool live = mf_cred_is_live(f.cred, l);
		if (f.cred->exp * 1000000 > k->now.wall_us && !(live && ended_only) &&
		    (k->all || (live && !f.cred->superseded)))
			put(k, &f);
	}
	MF_LIST_EACH(p, &l->clouds)
	{
		const struct mf_found f = { .cloud = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease),
			.lease = l };
		if (f.cloud->effective > k->now.wall_us / 1000000 &&
		    !(f.cloud->ended_us == 0 && ended_only) && (k->all || f.cloud->state == MF_CLOUD_ACTIVE))
			put(k, &f);
	}
}

void
mf_removal_list_lease(struct removal_listing *out, const struct mf_lease *l, struct mf_now now, bool all)
{
	struct look k = {
		.out = out, .now = now, .durable = UINT64_MAX, .all = all
	}; /* it waits for its record */
	put_lease(&k, l, false);
}

void
mf_removal_list_found(struct removal_listing *out, const struct mf_found *f)
{
	struct look k = { .out = out, .durable = UINT64_MAX };
	put(&k, f);
}

/* ---- what a removal ended ---- */

/* "profile:train", "all": what that freezes. */
static bool
is_frozen_by(const char *subject, const struct mf_lease *l)
{
	const struct mf_job *j = l->job;
	const char *const names[][2] = { { "profile:", j->profile }, { "rule:", j->rule },
		{ "rule:", l->rule }, { "person:", j->person }, { "tenant:", j->tenant } };
	if (strcmp(subject, "all") == 0)
		return true;
	for (size_t i = 0; i < MF_COUNT(names); i++) {
		size_t n = strlen(names[i][0]);
		if (strncmp(subject, names[i][0], n) == 0 && strcmp(subject + n, names[i][1]) == 0)
			return true;
	}
	return false;
}

/* What went with all sessions of its role. */
static void
put_sessions(struct mf_engine *e, struct look *k, const struct mf_sessions *s)
{
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		const struct mf_found f = { .cloud = c, .lease = c->lease };
		if (strcmp(c->target, s->target) == 0 && strcmp(c->role, s->role) == 0 && c->ended_us != 0 &&
		    c->intent_us <= s->set_us && c->effective > k->now.wall_us / 1000000)
			put(k, &f);
	}
}

static void
fill_sessions(const struct look *k, const struct mf_sessions *s, Mayfly__Admin__V1__EndedSessions *to)
{
	to->target = s->target;
	to->role = s->role;
	to->before = s->before;
	to->until = s->until;
	to->confirmed = s->confirmed_index != 0 && s->confirmed_index < k->durable;
	if (!to->confirmed)
		return;
	to->dead_at = s->dead_at;
	to->confirmed_index = s->confirmed_index;
}

static void
put_subject(struct mf_engine *e, struct look *k, const char *subject)
{
	struct mf_found one;
	struct mf_slice id = mf_slice_str(subject);
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL;
	     l = mf_state_next_lease(e->state, l))
		if (strcmp(l->job->id, subject) == 0 || strcmp(l->node->id, subject) == 0 ||
		    is_frozen_by(subject, l))
			put_lease(k, l, true);
	const struct mf_sessions *s = mf_sessions_of_subject(e, subject);
	if (s != NULL)
		put_sessions(e, k, s);
	if (k->seen == 0 && strlen(subject) > 30 && mf_state_find_cred(e->state, id, &one) == 1 &&
	    strcmp(mf_found_id(&one), subject) == 0)
		put(k, &one);
}

/* ---- the act ---- */

static void
put_nodes(struct mf_engine *e, struct look *k)
{
	for (const struct mf_node *n = mf_state_next_node(e->state, NULL); n != NULL;
	     n = mf_state_next_node(e->state, n))
		MF_LIST_EACH(p, &n->creds)
		{
			const struct mf_found f = { .cred = MF_LIST_ITEM(p, struct mf_cred, at), .node = n };
			if (f.cred->exp * 1000000 > k->now.wall_us)
				put(k, &f);
		}
}

void
mf_engine_list_credentials(struct mf_engine *e, struct mf_now now, uint64_t call_id,
    const Mayfly__Admin__V1__ListCredentialsRequest *q)
{
	uint64_t skip = 0;
	char next[24];
	struct look k = { .out = mf_removal_listing_new(),
		.now = now,
		.durable = e->durable,
		.all = q->all || q->subject[0] != '\0' };
	if (q->page[0] != '\0' && !mf_parse_u64(mf_slice_str(q->page), &skip)) {
		mf_removal_listing_free(k.out);
		mf_engine_admin_fail(e, call_id, MF_E_INVALID, "page: give back next_page as it came");
		return;
	}
	if (k.out == NULL) {
		mf_engine_admin_fail(e, call_id, MF_E_NOMEM, "out of memory");
		return;
	}
	k.skip = (size_t)skip;
	if (q->subject[0] != '\0')
		put_subject(e, &k, q->subject);
	for (const struct mf_lease *l = q->subject[0] != '\0' ? NULL : mf_state_next_lease(e->state, NULL);
	     l != NULL; l = mf_state_next_lease(e->state, l))
		if (q->job[0] == '\0' || strcmp(q->job, l->job->id) == 0)
			put_lease(&k, l, false);
	if (q->all && q->job[0] == '\0' && q->subject[0] == '\0')
		put_nodes(e, &k);
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ListCredentialsResponse list = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_RESPONSE__INIT;
	Mayfly__Admin__V1__EndedSessions sessions = MAYFLY__ADMIN__V1__ENDED_SESSIONS__INIT;
	const struct mf_sessions *ended = mf_sessions_of_subject(e, q->subject);
	if (ended != NULL) {
		fill_sessions(&k, ended, &sessions);
		list.sessions = &sessions;
	}
	list.n_credentials = k.out->n;
	list.credentials = k.out->v;
	(void)snprintf(next, sizeof(next), "%zu", k.skip + k.out->n);
	if (k.full)
		list.next_page = next;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CREDENTIALS;
	reply.credentials = &list;
	e->ops->admin_reply(e->ctx, &reply);
	mf_removal_listing_free(k.out);
}
