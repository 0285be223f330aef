/* Answers from the read model. */
#include <stdio.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/text.h"
#include "broker/front/admin_internal.h"

#define REPLY_MAX (MF_LIM_GRPC_MESSAGE - 8192u) /* bytes of rows in one answer */
#define ARENA_MAX (4u * 1024u * 1024u)
#define ROWS_MAX 1000u
#define PAGE_TEXT 24u

/* Rows of one answer, as far as they fit. */
struct rows {
	struct mf_admin_api *api;
	struct mf_arena *arena;
	void **v; /* of ROWS_MAX */
	size_t n, bytes, limit;
	bool more, oom;
	uint64_t last, next; /* page marks: of the last row that is in, of the first that is not */
};

static enum mf_status
rows_init(struct rows *r, struct mf_admin_api *a, uint32_t limit, struct mf_err *err)
{
	*r = (struct rows) { .api = a, .limit = limit == 0 || limit > ROWS_MAX ? ROWS_MAX : limit };
	r->arena = mf_arena_new(ARENA_MAX);
	r->v = r->arena == NULL ? NULL : mf_arena_alloc(r->arena, ROWS_MAX, sizeof(*r->v));
	return r->v == NULL ? MF_FAIL(err, MF_E_NOMEM, "out of memory") : MF_OK;
}

static char *
text(struct rows *r, const char *s)
{
	char *t = mf_arena_str(r->arena, mf_slice_str(s));
	r->oom = r->oom || t == NULL;
	return t;
}

static char **
texts(struct rows *r, const struct mf_slice *v, size_t n)
{
	char **t = mf_arena_alloc(r->arena, n, sizeof(*t));
	for (size_t i = 0; t != NULL && i < n; i++)
		r->oom = (t[i] = mf_arena_str(r->arena, v[i])) == NULL || r->oom;
	r->oom = r->oom || t == NULL;
	return t;
}

/* Take the row, or note that there is more. False: stop. */
static bool
take(struct rows *r, ProtobufCMessage *row, uint64_t mark)
{
	if (r->oom)
		return false;
	size_t n = protobuf_c_message_get_packed_size(row) + 8;
	if (r->n > 0 && (r->n >= r->limit || r->bytes + n > REPLY_MAX)) {
		r->more = true;
		r->next = mark;
		return false;
	}
	r->v[r->n++] = row;
	r->bytes += n;
	r->last = mark;
	return true;
}

static enum mf_status
rows_check(const struct rows *r, enum mf_status s, struct mf_err *err)
{
	return s == MF_OK && r->oom ? MF_FAIL(err, MF_E_NOMEM, "out of memory") : s;
}

static enum mf_status
get_page(const char *page, uint64_t otherwise, uint64_t *ret_v, struct mf_err *err)
{
	*ret_v = otherwise;
	if (page[0] == '\0' || mf_parse_u64(mf_slice_str(page), ret_v))
		return MF_OK;
	return MF_FAIL(
	    err, MF_E_INVALID, "page: give back next_page as it came, or nothing for the first page");
}

static char *
put_page(char to[PAGE_TEXT], bool more, uint64_t mark)
{
	to[0] = '\0';
	if (more)
		(void)snprintf(to, PAGE_TEXT, "%llu", (unsigned long long)mark);
	return to;
}

/* ---- jobs ---- */

static bool
take_job(void *ctx, const struct mf_rm_job *j)
{
	struct rows *r = ctx;
	Mayfly__Admin__V1__Job *m = mf_arena_alloc(r->arena, 1, sizeof(*m));
	if (m == NULL) {
		r->oom = true;
		return false;
	}
	mayfly__admin__v1__job__init(m);
	m->id = text(r, j->id);
	m->key = text(r, j->key);
	m->run_id = text(r, j->run);
	m->tenant = text(r, j->tenant);
	m->person = text(r, j->person);
	m->profile = text(r, j->profile);
	m->rule = text(r, j->rule);
	m->state = text(r, j->state);
	m->started_us = j->started_us;
	m->ended_us = j->ended_us;
	m->end_cause = text(r, j->cause);
	m->deadline = j->deadline;
	m->ending_until = j->ending;
	m->stop = j->ending > 0 ? j->ending : j->deadline + (j->drain_ms + 999) / 1000;
	m->instances = j->instances;
	m->live_instances = j->live;
	m->name = text(r, j->name);
	m->manifest_sha256 = text(r, j->manifest);
	return take(r, &m->base, j->index);
}

static enum mf_status
read_jobs(struct rows *r, const Mayfly__Admin__V1__ListJobsRequest *q, struct mf_err *err)
{
	struct mf_read_model *rm = r->api->conf.rm;
	char id[MF_RM_ID_MAX];
	uint64_t before;
	MF_TRY(mf_feed_readable(r->api->conf.feed, err));
	MF_TRY(get_page(q->page, UINT64_MAX, &before, err));
	if (q->match[0] != '\0') {
		MF_TRY(mf_read_model_match_job(rm, q->match, id, err));
		return rows_check(r, mf_read_model_job(rm, id, take_job, r, err), err);
	}
	/* One more than wanted: it shows that there is more. */
	return rows_check(
	    r, mf_read_model_jobs(rm, q->all, before, (uint32_t)r->limit + 1, take_job, r, err), err);
}

void
mf_admin_list_jobs(
    struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__ListJobsRequest *q)
{
	Mayfly__Admin__V1__ListJobsResponse m = MAYFLY__ADMIN__V1__LIST_JOBS_RESPONSE__INIT;
	struct mf_err err = { 0 };
	struct rows r;
	char page[PAGE_TEXT];
	enum mf_status s = rows_init(&r, a, q->limit, &err);
	if (s == MF_OK)
		s = read_jobs(&r, q, &err);
	if (s != MF_OK) {
		mf_grpc_fail(c, s, &err);
	} else {
		m.jobs = (Mayfly__Admin__V1__Job **)r.v;
		m.n_jobs = r.n;
		m.applied_index = mf_read_model_applied(a->conf.rm);
		m.next_page = put_page(page, r.more, r.last);
		mf_grpc_reply(c, &m.base);
	}
	mf_arena_free(r.arena);
}

/* ---- one job ---- */

static bool
take_instance(void *ctx, const struct mf_rm_instance *i)
{
	struct rows *r = ctx;
	char id[MF_RM_ID_MAX + 16];
	Mayfly__Admin__V1__Instance *m = mf_arena_alloc(r->arena, 1, sizeof(*m));
	if (m == NULL) {
		r->oom = true;
		return false;
	}
	mayfly__admin__v1__instance__init(m);
	(void)snprintf(id, sizeof(id), "%s/n%u", i->job, i->n);
	m->id = text(r, id);
	m->key = text(r, i->key);
	m->node_id = text(r, i->node);
	m->lease_id = text(r, i->lease);
	m->epoch = i->epoch;
	m->state = text(r, i->state);
	m->grade = text(r, i->grade);
	m->opened_us = i->opened_us;
	m->ended_us = i->ended_us;
	m->end_cause = text(r, i->cause);
	m->selectors = texts(r, i->selectors, i->selectors_n);
	m->n_selectors = i->selectors_n;
	return take(r, &m->base, i->n);
}

static enum mf_status
read_job(struct rows *job, struct rows *instances, const char *id, const char *page, struct mf_err *err)
{
	struct mf_read_model *rm = job->api->conf.rm;
	uint64_t from;
	MF_TRY(mf_feed_readable(job->api->conf.feed, err));
	MF_TRY(get_page(page, 0, &from, err));
	if (from > UINT32_MAX)
		return MF_FAIL(err, MF_E_INVALID, "page: no such page");
	MF_TRY(rows_check(job, mf_read_model_job(rm, id, take_job, job, err), err));
	return rows_check(
	    instances, mf_read_model_instances(rm, id, (uint32_t)from, take_instance, instances, err), err);
}

void
mf_admin_get_job(struct mf_admin_api *a, struct mf_grpc_call *c, const char *id, const char *page,
    const Mayfly__Admin__V1__ListCredentialsResponse *creds, const char *missing)
{
	Mayfly__Admin__V1__GetJobResponse m = MAYFLY__ADMIN__V1__GET_JOB_RESPONSE__INIT;
	struct mf_err err = { 0 };
	struct rows job, instances;
	char next[PAGE_TEXT], incomplete[MF_ERR_MSG_MAX + 16] = "";
	enum mf_status s = rows_init(&job, a, 1, &err);
	if (s == MF_OK && (s = rows_init(&instances, a, 0, &err)) == MF_OK) {
		/* Credentials are at most one role message. */
		instances.bytes = creds == NULL ? 0 : MF_LIM_IPC_MESSAGE;
		s = read_job(&job, &instances, id, page, &err);
		if (s == MF_OK) {
			m.job = job.v[0];
			m.instances = (Mayfly__Admin__V1__Instance **)instances.v;
			m.n_instances = instances.n;
			m.next_page = put_page(next, instances.more, instances.next);
			m.n_credentials = creds == NULL ? 0 : creds->n_credentials;
			m.credentials = creds == NULL ? NULL : creds->credentials;
			if (missing != NULL)
				(void)snprintf(incomplete, sizeof(incomplete), "credentials: %s", missing);
			m.incomplete = incomplete;
			mf_grpc_reply(c, &m.base);
		}
		mf_arena_free(instances.arena);
	}
	if (s != MF_OK)
		mf_grpc_fail(c, s, &err);
	mf_arena_free(job.arena);
}

/* ---- nodes ---- */

/* "key=value" into the entries of a map. */
static Mayfly__Admin__V1__Node__AttributesEntry **
attributes(struct rows *r, const struct mf_slice *v, size_t n)
{
	Mayfly__Admin__V1__Node__AttributesEntry **e = mf_arena_alloc(r->arena, n, sizeof(*e));
	for (size_t i = 0; e != NULL && i < n; i++) {
		const uint8_t *at = v[i].n == 0 ? NULL : memchr(v[i].p, '=', v[i].n);
		size_t key = at == NULL ? v[i].n : (size_t)(at - v[i].p);
		e[i] = mf_arena_alloc(r->arena, 1, sizeof(**e));
		if (e[i] == NULL) {
			e = NULL;
			break;
		}
		mayfly__admin__v1__node__attributes_entry__init(e[i]);
		e[i]->key = mf_arena_str(r->arena, mf_slice_sub(v[i], 0, key));
		e[i]->value = mf_arena_str(r->arena, mf_slice_sub(v[i], key + 1, v[i].n));
		r->oom = r->oom || e[i]->key == NULL || e[i]->value == NULL;
	}
	r->oom = r->oom || e == NULL;
	return e;
}

static bool
take_node(void *ctx, const struct mf_rm_node *n)
{
	struct rows *r = ctx;
	Mayfly__Admin__V1__Node *m = mf_arena_alloc(r->arena, 1, sizeof(*m));
	if (m == NULL) {
		r->oom = true;
		return false;
	}
	mayfly__admin__v1__node__init(m);
	bool here = mf_sessions_node_connected(r->api->conf.sessions, n->id);
	m->id = text(r, n->id);
	m->spiffe_id = text(r, n->spiffe_id);
	m->state = text(r, n->evicted_us != 0 ? "evicted" : here ? "connected" : "silent");
	m->hostname = text(r, n->hostname);
	m->attributes = attributes(r, n->attributes, n->attributes_n);
	m->n_attributes = n->attributes_n;
	m->registered_us = n->registered_us;
	m->evicted_us = n->evicted_us;
	m->token_id = text(r, n->token_id);
	m->live_instances = n->live;
	m->boot_id = text(r, n->boot);
	m->session_us = n->session_us;
	m->evict_reason = text(r, n->evict_reason);
	m->refused_us = n->refused_us;
	m->refused = text(r, n->refused);
	m->readmitted_us = n->readmitted_us;
	m->attestor = text(r, n->attestor);
	m->evidence = text(r, n->evidence);
	return take(r, &m->base, n->index);
}

static enum mf_status
read_nodes(struct rows *r, const Mayfly__Admin__V1__ListNodesRequest *q, struct mf_err *err)
{
	uint64_t from;
	MF_TRY(mf_feed_readable(r->api->conf.feed, err));
	MF_TRY(get_page(q->page, 0, &from, err));
	enum mf_status s =
	    mf_read_model_nodes(r->api->conf.rm, q->all, from, (uint32_t)r->limit + 1, take_node, r, err);
	return rows_check(r, s, err);
}

void
mf_admin_list_nodes(
    struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__ListNodesRequest *q)
{
	Mayfly__Admin__V1__ListNodesResponse m = MAYFLY__ADMIN__V1__LIST_NODES_RESPONSE__INIT;
	struct mf_err err = { 0 };
	struct rows r;
	char page[PAGE_TEXT];
	enum mf_status s = rows_init(&r, a, 0, &err);
	if (s == MF_OK)
		s = read_nodes(&r, q, &err);
	if (s != MF_OK) {
		mf_grpc_fail(c, s, &err);
	} else {
		m.nodes = (Mayfly__Admin__V1__Node **)r.v;
		m.n_nodes = r.n;
		m.next_page = put_page(page, r.more, r.next);
		mf_grpc_reply(c, &m.base);
	}
	mf_arena_free(r.arena);
}

static enum mf_status
read_node(struct rows *r, const char *match, struct mf_err *err)
{
	char id[MF_RM_ID_MAX];
	MF_TRY(mf_feed_readable(r->api->conf.feed, err));
	MF_TRY(mf_read_model_match_node(r->api->conf.rm, match, id, err));
	return rows_check(r, mf_read_model_node(r->api->conf.rm, id, take_node, r, err), err);
}

void
mf_admin_get_node(struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__GetNodeRequest *q)
{
	struct mf_err err = { 0 };
	struct rows r;
	enum mf_status s = rows_init(&r, a, 1, &err);
	if (s == MF_OK)
		s = read_node(&r, q->match, &err);
	if (s != MF_OK)
		mf_grpc_fail(c, s, &err);
	else
		mf_grpc_reply(c, r.v[0]);
	mf_arena_free(r.arena);
}

/* ---- bundle and status ---- */

void
mf_admin_get_bundle(struct mf_admin_api *a, struct mf_grpc_call *c)
{
	Mayfly__Admin__V1__GetBundleResponse m = MAYFLY__ADMIN__V1__GET_BUNDLE_RESPONSE__INIT;
	char td[MF_LIM_TRUST_DOMAIN + 1];
	struct mf_slice der = mf_sessions_bundle(a->conf.sessions, &m.sequence);
	if (der.n == 0) {
		mf_grpc_finish(c, MF_GRPC_UNAVAILABLE, "the notary has not given the bundle yet: try again");
		return;
	}
	(void)snprintf(td, sizeof(td), "%s", a->conf.trust_domain);
	m.trust_domain = td;
	memcpy(&m.ca_der.data, &der.p, sizeof(m.ca_der.data)); /* only read */
	m.ca_der.len = der.n;
	mf_grpc_reply(c, &m.base);
}

void
mf_admin_get_status(
    struct mf_admin_api *a, struct mf_grpc_call *c, const Mayfly__Admin__V1__Status *of, const char *missing)
{
	Mayfly__Admin__V1__Status m = MAYFLY__ADMIN__V1__STATUS__INIT;
	struct mf_err err = { 0 };
	struct mf_rm_counts counts = { 0 };
	char td[MF_LIM_TRUST_DOMAIN + 1], broker[MF_LIM_TRUST_DOMAIN + 1], release[128], vkey[1024],
	    why[MF_ERR_MSG_MAX];
	if (of != NULL) {
		m = *of;
	} else {
		/* What is known without the notary; a count that cannot be read is 0 beside the reason. */
		(void)snprintf(td, sizeof(td), "%s", a->conf.trust_domain);
		(void)snprintf(broker, sizeof(broker), "%s", a->conf.broker_id);
		(void)snprintf(release, sizeof(release), "%s", a->conf.release);
		bool read = mf_feed_readable(a->conf.feed, &err) == MF_OK &&
			    mf_read_model_counts(a->conf.rm, &counts, &err) == MF_OK;
		(void)snprintf(why, sizeof(why), "%s%s%s", missing, read ? "" : "; ", read ? "" : err.msg);
		m.trust_domain = td;
		m.broker_id = broker;
		m.release = release;
		m.issuing_reason = why;
		m.log_size = mf_feed_log_size(a->conf.feed);
		m.nodes = counts.nodes;
		m.jobs_live = counts.jobs_live;
		m.leases_open = counts.leases_open;
		m.sessions = mf_sessions_stats(a->conf.sessions).sessions;
	}
	mf_feed_now(a->conf.feed);
	(void)snprintf(vkey, sizeof(vkey), "%s", mf_read_model_vkey(a->conf.rm));
	m.applied_index = mf_read_model_applied(a->conf.rm);
	m.log_vkey = vkey;
	mf_grpc_reply(c, &m.base);
}
