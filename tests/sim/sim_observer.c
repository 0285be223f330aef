/*
 * The observer: it sees every message, record and answer, the disk's platters, and the kernels; and knows from these, not
 * from the product's state, what may happen. Each check names the invariant of design and architecture.md that it is of.
 */
#include "sim_cloud.h"
#include "sim_observer.h"

#include <stdlib.h>

#include "crypto/hash.h"

struct sim_counts sim_counts;

static struct sim_observer *
me(void)
{
	return sim->observer;
}

struct sim_observer *
sim_observer_new(void)
{
	struct sim_observer *o = sim_alloc(sizeof(*o));
	o->freezes = sim->clouded ? sim_freezes_new() : NULL;
	return o;
}

void
sim_observer_free(struct sim_observer *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < o->jobs_n; i++)
		mf_buf_fini(&o->jobs[i].end_record);
	for (size_t i = 0; i < o->creds_n; i++)
		mf_buf_fini(&o->creds[i].record);
	sim_freezes_free(o->freezes);
	free(o);
}

/* ---- looking up ---- */

struct obs_job *
obs_job_by_key(const char *key)
{
	for (size_t i = 0; i < me()->jobs_n; i++)
		if (strcmp(me()->jobs[i].key, key) == 0)
			return &me()->jobs[i];
	return NULL;
}

/* What a front knew before its node had a name has none in its key; boot and cgroup tell it apart all the same. */
static const struct obs_job *
job_by_tail(const char *key)
{
	const char *tail = strncmp(key, "local/", 6) == 0 ? strchr(key + 6, '/') : NULL;
	for (size_t i = 0; tail != NULL && i < me()->jobs_n; i++) {
		const char *at = strchr(me()->jobs[i].key + 6, '/');
		if (at != NULL && strcmp(at, tail) == 0)
			return &me()->jobs[i];
	}
	return NULL;
}

struct obs_job *
obs_job_by_lease(struct mf_slice lease)
{
	for (size_t i = 0; lease.n > 0 && i < me()->jobs_n; i++)
		if (mf_slice_eq_str(lease, me()->jobs[i].lease))
			return &me()->jobs[i];
	return NULL;
}

struct obs_node *
obs_node(struct mf_slice id, bool make)
{
	struct sim_observer *o = me();
	for (size_t i = 0; i < o->nodes_n; i++)
		if (mf_slice_eq_str(id, o->nodes[i].id))
			return &o->nodes[i];
	if (!make)
		return NULL;
	if (o->nodes_n == OBS_NODES)
		sim_abort("more nodes than a history has");
	struct obs_node *n = &o->nodes[o->nodes_n++];
	*n = (struct obs_node) { .agent = -1, .evicted = NEVER, .readmitted = NEVER, .confirmed_at = NEVER };
	(void)snprintf(n->id, sizeof(n->id), "%.*s", (int)id.n, (const char *)id.p);
	return n;
}

struct obs_cred *
obs_cred(const char *id)
{
	for (size_t i = me()->creds_n; i-- > 0;)
		if (strcmp(me()->creds[i].id, id) == 0)
			return &me()->creds[i];
	return NULL;
}

struct obs_session *
obs_session(uint64_t sid)
{
	struct sim_observer *o = me();
	for (size_t i = 0; i < o->sessions_n; i++)
		if (o->sessions[i].sid == sid)
			return &o->sessions[i];
	if (o->sessions_n == OBS_SESSIONS)
		sim_abort("more sessions at a time than a history has");
	struct obs_session *s = &o->sessions[o->sessions_n++];
	*s = (struct obs_session) { .sid = sid };
	return s;
}

void
sim_saw_session_gone(uint64_t sid)
{
	struct sim_observer *o = me();
	for (size_t i = 0; i < o->sessions_n; i++)
		if (o->sessions[i].sid == sid)
			o->sessions[i] = o->sessions[--o->sessions_n];
}

int64_t
obs_wall_s(void)
{
	return sim_now_of(sim_notary_host(sim->notary)).wall_us / 1000000;
}

bool
obs_durable(const struct mf_buf *record)
{
	return sim_disk_holds(sim_notary_disk(sim->notary), mf_buf_slice(record));
}

void
obs_hex(struct mf_slice bytes, char to[65])
{
	uint8_t sum[MF_SHA256_SIZE];
	mf_sha256(bytes, sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		(void)snprintf(to + 2 * i, 3, "%02x", sum[i]);
}

static bool
text_durable(const char *text)
{
	return sim_disk_holds(sim_notary_disk(sim->notary), mf_slice_str(text));
}

/* ---- what nodes say ---- */

static struct obs_job *
asked_job(int agent, const Mayfly__Agent__V1__Attach *a)
{
	struct sim_observer *o = me();
	struct obs_job *j = obs_job_by_key(a->instance_key);
	const char *name = strrchr(a->instance_key, '/');
	const struct sim_kernel *k = sim_agent_kernel(sim->agents[agent]);
	uint32_t uid;
	if (name != NULL && strstr(a->instance_key, k->boot) != NULL && sim_kernel_lives(k, name + 1, &uid) &&
	    strncmp(name, "/p-", 3) == 0 && uid != a->unix_uid)
		sim_violated(5, "the attestor says that %s is uid %u, the kernel says %u", a->instance_key,
		    a->unix_uid, uid);
	if (j == NULL) {
		if (o->jobs_n == OBS_JOBS)
			sim_abort("more instances than a history has");
		j = &o->jobs[o->jobs_n++];
		*j = (struct obs_job) { .agent = agent,
			.opened = NEVER,
			.ended = NEVER,
			.suspended = NEVER,
			.resumed = NEVER,
			.ending = NEVER };
		(void)snprintf(j->key, sizeof(j->key), "%s", a->instance_key);
	}
	if (j->lease[0] == '\0') {
		j->uid = a->unix_uid;
		(void)snprintf(j->manager_key, sizeof(j->manager_key), "%s", a->job_key);
	}
	return j;
}

static void
remember(uint64_t sid, uint64_t request, struct obs_job *j, bool jwt)
{
	struct sim_observer *o = me();
	o->asked[o->asked_n++ % OBS_ASKED] = (struct obs_asked) { .sid = sid,
		.request = request,
		.job = j,
		.policy = o->policy,
		.at_us = sim->t_us,
		.wall_s = obs_wall_s(),
		.jwt = jwt };
}

static void
remember_end(uint64_t sid, uint64_t request, const Mayfly__Agent__V1__ManagerEnd *e)
{
	remember(sid, request, NULL, false);
	me()->asked[(me()->asked_n - 1) % OBS_ASKED].final =
	    e->kind != MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_ANNOUNCED;
	me()->asked[(me()->asked_n - 1) % OBS_ASKED].announced =
	    e->kind == MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_ANNOUNCED;
}

static void
trace_up(uint64_t sid, int agent, const Mayfly__Agent__V1__Up *up)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(
	    &mayfly__agent__v1__up__descriptor, (unsigned)up->body_case);
	const char *what = up->body_case == MAYFLY__AGENT__V1__UP__BODY_ATTACH	? up->attach->instance_key
			   : up->body_case == MAYFLY__AGENT__V1__UP__BODY_END	? up->end->instance_key
			   : up->body_case == MAYFLY__AGENT__V1__UP__BODY_RENEW ? up->renew->lease_id
										: "";
	sim_trace(
	    "session %llu, node%d: %s %s", (unsigned long long)sid, agent, f == NULL ? "?" : f->name, what);
}

void
sim_saw_up(uint64_t sid, int agent, const Mayfly__Agent__V1__Up *up)
{
	struct obs_session *s = obs_session(sid);
	const Mayfly__Agent__V1__Hello *h = NULL;
	trace_up(sid, agent, up);
	switch (up->body_case) {
	case MAYFLY__AGENT__V1__UP__BODY_HELLO:
		h = up->hello;
		break;
	case MAYFLY__AGENT__V1__UP__BODY_JOIN:
		h = up->join->hello;
		s->joins = true;
		break;
	case MAYFLY__AGENT__V1__UP__BODY_ATTACH:
		remember(sid, up->request_id, asked_job(agent, up->attach), false);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_RENEW:
		remember(sid, up->request_id, obs_job_by_lease(mf_slice_str(up->renew->lease_id)), false);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MINT_JWT:
		remember(sid, up->request_id, obs_job_by_lease(mf_slice_str(up->mint_jwt->lease_id)), true);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD:
		remember(
		    sid, up->request_id, obs_job_by_lease(mf_slice_str(up->mint_cloud->lease_id)), false);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MANAGER_STARTED:
		remember(sid, up->request_id, NULL, false);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MANAGER_END:
		remember_end(sid, up->request_id, up->manager_end);
		break;
	default:
		break;
	}
	if (h != NULL && h->session_value.len > 0)
		obs_hex(mf_slice(h->session_value.data, h->session_value.len), s->hello);
}

/* ---- what the notary says ---- */

static const struct obs_asked *
asked_of(uint64_t sid, uint64_t request)
{
	const struct sim_observer *o = me();
	for (size_t i = 0; i < OBS_ASKED; i++)
		if (o->asked[i].sid == sid && o->asked[i].request == request)
			return &o->asked[i];
	return NULL;
}

void
obs_check_dead(const struct obs_job *j, const char *what)
{
	const struct obs_node *n = obs_node(mf_slice_str(j->node), false);
	if (j->ended != NEVER)
		sim_violated(3, "%s leaves for %s, which record %llu ended", what, j->key,
		    (unsigned long long)j->ended);
	if (j->end_told)
		sim_violated(
		    3, "%s leaves for %s, whose node was told that its end is recorded", what, j->key);
	if (j->manager_key[0] != '\0' && sim_managers_know(j->manager_key).over)
		sim_violated(
		    3, "%s leaves for %s, whose manager was told that its end is recorded", what, j->key);
	if (j->removed || j->asked)
		sim_violated(7, "%s leaves for %s, which an operator has ended", what, j->key);
	obs_check_frozen(j, what);
	if (n != NULL && (n->removed || n->asked || n->evicted != NEVER))
		sim_violated(7, "%s leaves for node %s, which an operator has put out", what, n->id);
}

static bool
permitted(const struct obs_job *j, const char *profile, unsigned from)
{
	const char *user = sim_user(j->uid), *pool = sim_agent_pool(sim->agents[j->agent]);
	for (unsigned v = from; v <= me()->policy; v++)
		if (user != NULL && sim_policy_permits(v, pool, user, profile))
			return true;
	return false;
}

/* Who was asked for after its manager had named an owner, and is another's, is no part of its job. */
static void
check_managed(const struct obs_job *j, const struct obs_asked *a)
{
	if (j->manager_key[0] == '\0' || j->granted_s != 0)
		return;
	const struct sim_managed m = sim_managers_know(j->manager_key);
	if (m.owner_since_us < a->at_us && m.owner != j->uid)
		sim_violated(4, "%s of uid %u is taken for a part of %s, whose owner is uid %u", j->key,
		    j->uid, j->manager_key, m.owner);
}

static void
saw_manager_answer(uint64_t sid, uint64_t request, const Mayfly__Agent__V1__ManagerAnswer *m)
{
	const struct obs_asked *a = asked_of(sid, request);
	if (a == NULL || a->announced)
		return;
	sim_managers_answered(m->job_key, a->final);
	for (size_t i = 0; a->final && i < me()->jobs_n; i++) {
		const struct obs_job *j = &me()->jobs[i];
		if (strcmp(j->manager_key, m->job_key) == 0 && j->opened != NEVER &&
		    (j->ended == NEVER || !obs_durable(&j->end_record)))
			sim_violated(7,
			    "a manager is told that the end of %s is recorded, and that of %s is not",
			    m->job_key, j->key);
	}
}

static void
saw_grant(uint64_t sid, int agent, uint64_t request, const Mayfly__Agent__V1__Grant *g)
{
	const struct obs_asked *a = asked_of(sid, request);
	const struct obs_session *s = obs_session(sid);
	struct obs_job *j = a == NULL ? NULL : a->job;
	char node[MF_STATE_ID_MAX + 8];
	if (j == NULL || strcmp(j->lease, g->lease_id) != 0) {
		sim_violated(4, "a grant of lease %s answers nothing that was asked for it", g->lease_id);
		return;
	}
	(void)snprintf(node, sizeof(node), "local/%s/", s->node);
	if (strncmp(j->key, node, strlen(node)) != 0 || sim->agents[agent] == NULL)
		sim_violated(4, "%s goes to node %s", j->key, s->node);
	if (!permitted(j, g->profile, a->policy))
		sim_violated(4, "%s of uid %u in pool %s gets profile %s, which no rule gives it", j->key,
		    j->uid, sim_agent_pool(sim->agents[j->agent]), g->profile);
	(void)snprintf(j->profile, sizeof(j->profile), "%s", g->profile);
	obs_check_dead(j, "a grant");
	check_managed(j, a);
	int64_t now_s = obs_wall_s() > a->wall_s ? obs_wall_s() : a->wall_s;
	if (j->granted_s == 0)
		j->granted_s = now_s;
	for (size_t i = 0; i < g->n_issued; i++)
		obs_certificate(j, now_s, g, g->issued[i]);
	sim_counts.grants++;
}

static void
saw_jwt(uint64_t sid, uint64_t request, const Mayfly__Agent__V1__JwtGrant *g)
{
	const struct obs_asked *a = asked_of(sid, request);
	struct obs_cred *c = obs_cred(g->jti);
	if (a == NULL || a->job == NULL || !a->jwt || strcmp(a->job->lease, g->lease_id) != 0) {
		sim_violated(4, "a token of lease %s answers nothing that was asked for it", g->lease_id);
		return;
	}
	if (c == NULL || !obs_durable(&c->record))
		sim_violated(1, "token %s leaves, and its record is not on disk", g->jti);
	else
		c->sent = true;
	obs_check_dead(a->job, "a token");
	obs_jwt_key(g->token);
	int64_t now_s = obs_wall_s() > a->wall_s ? obs_wall_s() : a->wall_s;
	if (g->expires > now_s + SIM_JWT_TTL_S ||
	    (a->job->granted_s > 0 && g->expires > a->job->granted_s + SIM_MAX_JOB_S + SIM_DRAIN_S + 1))
		sim_violated(
		    2, "token %s of %s lives until %lld", g->jti, a->job->key, (long long)g->expires);
	sim_counts.jwts++;
}

static void
saw_cloud_grant(uint64_t sid, uint64_t request, const Mayfly__Agent__V1__CloudGrant *g)
{
	const struct obs_asked *a = asked_of(sid, request);
	if (a == NULL || a->job == NULL || strcmp(a->job->lease, g->lease_id) != 0)
		sim_violated(
		    4, "a cloud token of lease %s answers nothing that was asked for it", g->lease_id);
	else
		sim_saw_cloud_grant(a->job, a->policy, g);
}

/* Of two holders of one node's key only the one with the newest value that was confirmed comes in. */
static void
saw_welcome(uint64_t sid, int agent, const Mayfly__Agent__V1__Welcome *w)
{
	struct obs_session *s = obs_session(sid);
	struct obs_node *n = obs_node(mf_slice_str(w->node_id), true);
	char hash[65];
	obs_hex(mf_slice(w->session_value.data, w->session_value.len), hash);
	if (!text_durable(hash))
		sim_violated(1, "a session value leaves, and its record is not on disk");
	if (n->evicted != NEVER || n->removed)
		sim_violated(7, "node %s is welcomed, and was put out", n->id);
	bool known = n->confirmed[0] == '\0' || strcmp(s->hello, n->confirmed) == 0;
	for (size_t i = 0; !known && i < n->given_n && i < OBS_GIVEN; i++)
		known = strcmp(s->hello, n->given[i]) == 0;
	if (!known)
		sim_violated(4, "a copy of node %s is welcomed with a value that is over", n->id);
	n->agent = agent;
	memcpy(s->node, n->id, sizeof(s->node));
}

static void
saw_end_answer(const Mayfly__Agent__V1__EndAnswer *a)
{
	struct obs_job *j = obs_job_by_key(a->instance_key);
	sim_trace("the end of %s is %s", a->instance_key, a->recorded ? "recorded" : "effective");
	if (j == NULL || !a->recorded)
		return;
	if (j->opened != NEVER && (j->ended == NEVER || !obs_durable(&j->end_record)))
		sim_violated(
		    7, "a node is told that the end of %s is recorded, and it is not on disk", j->key);
	j->end_told = true;
}

void
sim_saw_down(uint64_t sid, int agent, const Mayfly__Agent__V1__Down *d)
{
	switch (d->body_case) {
	case MAYFLY__AGENT__V1__DOWN__BODY_GRANT:
		saw_grant(sid, agent, d->request_id, d->grant);
		break;
	case MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT:
		saw_jwt(sid, d->request_id, d->jwt_grant);
		break;
	case MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT:
		saw_cloud_grant(sid, d->request_id, d->cloud_grant);
		break;
	case MAYFLY__AGENT__V1__DOWN__BODY_WELCOME:
		saw_welcome(sid, agent, d->welcome);
		break;
	case MAYFLY__AGENT__V1__DOWN__BODY_END_ANSWER:
		saw_end_answer(d->end_answer);
		break;
	case MAYFLY__AGENT__V1__DOWN__BODY_MANAGER_ANSWER:
		saw_manager_answer(sid, d->request_id, d->manager_answer);
		sim_counts.words++;
		break;
	case MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL:
		sim_counts.refused++;
		sim_trace("refuses: %s", d->refusal->reason);
		break;
	default:
		break;
	}
}

/* ---- what operators were told ---- */

static void
each_removed(
    const char *id, bool node, void (*fn)(bool *asked, bool *removed, bool *recorded, int how), int how)
{
	struct obs_node *n = node ? obs_node(mf_slice_str(id), true) : NULL;
	if (n != NULL)
		fn(&n->asked, &n->removed, &n->recorded, how);
	for (size_t i = 0; !node && i < me()->jobs_n; i++) {
		struct obs_job *j = &me()->jobs[i];
		if (strcmp(j->job, id) == 0)
			fn(&j->asked, &j->removed, &j->recorded, how);
	}
}

static void
mark(bool *asked, bool *removed, bool *recorded, int how)
{
	*asked = how == 0;
	*removed = *removed || how > 0;
	*recorded = *recorded || how > 1;
}

void
sim_saw_removal_asked(const char *id, bool node)
{
	each_removed(id, node, mark, 0);
}

void
sim_saw_removal_answered(const char *id, bool node, bool recorded)
{
	each_removed(id, node, mark, recorded ? 2 : 1);
}

void
sim_saw_removal_refused(const char *id, bool node)
{
	each_removed(id, node, mark, -1);
}

void
sim_saw_readmitted(const char *node)
{
	struct obs_node *n = obs_node(mf_slice_str(node), true);
	n->asked = n->removed = n->recorded = false;
}

void
sim_saw_policy(unsigned version)
{
	me()->policy = version;
}

void
sim_saw_act(const char *act, unsigned persons)
{
	if (sim_operators_required() == 0)
		return;
	if (persons == 99)
		sim_violated(6, "signatures that were used before did '%s' again", act);
	else if (persons < sim_operators_required())
		sim_violated(6, "'%s' was done with the signatures of %u person(s)", act, persons);
}

void
sim_saw_token_told(struct mf_slice token_id)
{
	if (!sim_disk_holds(sim_notary_disk(sim->notary), token_id))
		sim_violated(1, "a join token leaves, and its record is not on disk");
}

size_t
sim_jobs(void)
{
	return me()->jobs_n;
}

const char *
sim_job_id(size_t n)
{
	const struct obs_job *j = &me()->jobs[n];
	return j->job[0] == '\0' || j->opened == NEVER ? NULL : j->job;
}

/* ---- what jobs get ---- */

void
sim_saw_served(
    struct sim_agent *a, const struct sim_proc *p, const char *key, const char *job_id, struct mf_slice leaf)
{
	const struct sim_kernel *k = sim_agent_kernel(a);
	const struct obs_job *j = job_by_tail(key);
	char own[32], single[32];
	const char *name = strrchr(key, '/');
	sim_counts.served++;
	me()->served_by[sim_agent_index(a)] = sim->t_us;
	if (p == NULL || !p->alive)
		return; /* nobody reads it */
	(void)snprintf(own, sizeof(own), "cg-%llu", (unsigned long long)k->groups[p->group].id);
	(void)snprintf(single, sizeof(single), "p-%llu", (unsigned long long)p->proc_id);
	if (name == NULL || (strcmp(name + 1, own) != 0 && strcmp(name + 1, single) != 0) ||
	    strstr(key, k->boot) == NULL)
		sim_violated(5, "process %d (%s, %s) is served the identity of %s", p->pid, own, single, key);
	else if (j == NULL || j->uid != p->uid)
		sim_violated(5, "process %d of uid %u is served the identity of %s of uid %u", p->pid, p->uid,
		    key, j == NULL ? 0 : j->uid);
	else if (strcmp(j->job, job_id) != 0 && j->opened != NEVER)
		sim_violated(5, "%s is served job %s, and is %s", key, job_id, j->job);
	MF_UNUSED(leaf);
}

/* ---- the end ---- */

/* A node whose key somebody else has, or that was put out, may stay away for good. */
static bool
node_whole(int agent)
{
	const struct obs_node *n = obs_node(mf_slice_str(sim_agent_node(sim->agents[agent])), false);
	return n != NULL && n->evicted == NEVER && !n->removed && !me()->clones[agent];
}

void
sim_saw_clone(size_t of)
{
	me()->clones[of] = true;
}

void
sim_saw_peace(uint64_t since_us)
{
	char why[256];
	sim_saw_clouds_peace();
	if (me()->restored != 0 && !me()->ca_replaced)
		sim_violated(2, "what the CA signed in the lost part of the log is trusted until it expires");
	for (size_t i = 0; i < sim->agents_n; i++)
		if (sim_agent_holds_dead(sim->agents[i], why))
			sim_violated(2, "node%zu still holds what it has for %s, which is over", i, why);
	for (size_t i = 0; i < me()->jobs_n; i++) {
		const struct obs_job *j = &me()->jobs[i];
		const char *name = strrchr(j->key, '/');
		const struct sim_kernel *k = sim_agent_kernel(sim->agents[j->agent]);
		uint32_t uid;
		bool lives = strstr(j->key, k->boot) != NULL && sim_kernel_lives(k, name + 1, &uid);
		if (j->opened == NEVER || (lives && !j->removed) || (!node_whole(j->agent) && !j->removed))
			continue;
		if (j->ended == NEVER || !obs_durable(&j->end_record))
			sim_violated(j->removed ? 7 : 2, "%s is over, and the log does not say so", j->key);
	}
	for (size_t i = 0; i < sim->agents_n; i++)
		if (node_whole((int)i))
			obs_jwt_peace(i);
	for (size_t i = 0; i < sim->agents_n; i++)
		if (node_whole((int)i) && me()->served_by[i] < since_us) {
			sim_agent_say(sim->agents[i], why);
			sim_violated(0, "node%zu serves nobody although all is whole again: %s", i, why);
		}
}
