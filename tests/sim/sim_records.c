/* The observer reads the log as it grows: what is opened, ended, given; and forgets what a crash took back. */
#include "sim_cloud.h"
#include "sim_observer.h"

#include <stdlib.h>

#include "broker/core/key_use.h"
#include "crypto/hash.h"

static struct sim_observer *
me(void)
{
	return sim->observer;
}

static void
to_text(char *to, size_t cap, struct mf_slice s)
{
	(void)snprintf(to, cap, "%.*s", (int)s.n, (const char *)s.p);
}

static void
keep(struct mf_buf *to, struct mf_slice bytes)
{
	mf_buf_fini(to);
	mf_buf_init(to, MF_LIM_RECORD);
	mf_buf_put_slice(to, bytes);
}

static void
lease_opened(uint64_t index, const struct mf_record *r)
{
	char key[256];
	to_text(key, sizeof(key), r->s[MF_RS_INSTANCE_KEY]);
	struct obs_job *j = obs_job_by_key(key);
	if (j == NULL) {
		sim_violated(4, "a lease is opened for %s, which no node has asked for", key);
		return;
	}
	if (j->voided) {
		j->voided = false;
		j->ended = j->suspended = j->resumed = j->ending = NEVER;
		j->ending_until = j->granted_s = 0;
	} else if (j->lease[0] != '\0' && j->opened != NEVER) {
		sim_violated(3, "a second lease is opened for %s", key);
	}
	to_text(j->lease, sizeof(j->lease), r->s[MF_RS_LEASE]);
	to_text(j->job, sizeof(j->job), r->s[MF_RS_JOB_ID]);
	to_text(j->node, sizeof(j->node), r->s[MF_RS_NODE_ID]);
	j->opened = index;
	/* A node that was put out calls the end of what lives on there; let in again, that may ask for the first time. */
	const struct sim_kernel *k = sim_agent_kernel(sim->agents[j->agent]);
	uint32_t uid;
	if (j->end_told &&
	    (strstr(key, k->boot) == NULL || !sim_kernel_lives(k, strrchr(key, '/') + 1, &uid)))
		sim_violated(3, "a lease is opened for %s, whose end is on record", key);
	j->end_told = false;
}

/* Whatever was handed out and works on must be named by the record that ends it. */
static void
check_named(const struct obs_job *j, const struct mf_record *r)
{
	int64_t now_s = me()->last_s;
	for (size_t i = 0; i < me()->creds_n; i++) {
		struct obs_cred *c = &me()->creds[i];
		bool named = false;
		if (c->job != j || !c->sent || c->told || c->exp <= now_s)
			continue;
		for (size_t k = 0; k < r->creds_n; k++)
			named = named || mf_slice_eq_str(r->creds[k].serial, c->id);
		if (!named)
			sim_violated(2,
			    "lease %s ends, and nobody is told of %s, which works for %lld s more", j->lease,
			    c->id, (long long)(c->exp - now_s));
		c->told = true;
	}
}

static void
lease_ended(uint64_t index, const struct mf_record *r, struct mf_slice bytes)
{
	struct obs_job *j = obs_job_by_lease(r->s[MF_RS_LEASE]);
	if (j == NULL)
		return;
	sim_counts.ended++;
	check_named(j, r);
	if (j->ended == NEVER)
		j->ended = index;
	j->voided = mf_slice_eq_str(r->s[MF_RS_CAUSE], "restored");
	keep(&j->end_record, bytes);
}

static void
lease_suspended(uint64_t index, const struct mf_record *r)
{
	struct obs_job *j = obs_job_by_lease(r->s[MF_RS_LEASE]);
	if (j == NULL)
		return;
	sim_counts.suspended++;
	check_named(j, r);
	j->suspended = index;
}

static void
lease_resumed(uint64_t index, const struct mf_record *r)
{
	struct obs_job *j = obs_job_by_lease(r->s[MF_RS_LEASE]);
	if (j == NULL)
		return;
	if (j->ended != NEVER)
		sim_violated(3, "lease %s is resumed after its end", j->lease);
	j->resumed = index;
	j->suspended = NEVER;
}

static void
job_ending(uint64_t index, const struct mf_record *r)
{
	for (size_t i = 0; i < me()->jobs_n; i++)
		if (mf_slice_eq_str(r->s[MF_RS_JOB_ID], me()->jobs[i].job)) {
			me()->jobs[i].ending = index;
			me()->jobs[i].ending_until = r->n[MF_RN_UNTIL];
		}
}

static void
issued(uint64_t index, const struct mf_record *r, struct mf_slice bytes)
{
	struct sim_observer *o = me();
	struct obs_job *j = obs_job_by_lease(r->s[MF_RS_LEASE]);
	if (o->creds_n == OBS_CREDS)
		sim_abort("more credentials than a history has");
	struct obs_cred *c = &o->creds[o->creds_n++];
	*c = (struct obs_cred) { .job = j, .exp = r->n[MF_RN_EXP], .index = index };
	to_text(c->id, sizeof(c->id), r->s[MF_RS_SERIAL]);
	keep(&c->record, bytes);
	if (j == NULL)
		return;
	if (j->ended != NEVER)
		sim_violated(3, "record %llu issues %s for lease %s, which record %llu ended",
		    (unsigned long long)index, c->id, j->lease, (unsigned long long)j->ended);
	if (j->suspended != NEVER)
		sim_violated(3, "record %llu issues %s for lease %s, which is suspended",
		    (unsigned long long)index, c->id, j->lease);
}

static void
node_record(uint64_t index, const struct mf_record *r)
{
	struct obs_node *n = obs_node(r->s[MF_RS_NODE_ID], true);
	switch (r->type) {
	case MF_REC_NODE_SESSION:
		to_text(n->given[n->given_n++ % OBS_GIVEN], sizeof(n->given[0]), r->s[MF_RS_SESSION]);
		break;
	case MF_REC_NODE_CONFIRMED:
		to_text(n->confirmed, sizeof(n->confirmed), r->s[MF_RS_SESSION]);
		n->confirmed_at = index;
		n->given_n = 0;
		break;
	case MF_REC_NODE_EVICTED:
		n->evicted = index;
		break;
	case MF_REC_NODE_READMITTED:
		n->readmitted = index;
		n->evicted_before = n->evicted;
		n->evicted = NEVER;
		n->confirmed[0] = '\0'; /* it is let in once, whatever it holds */
		n->asked = n->removed = n->recorded = false;
		break;
	default:
		break;
	}
}

void
sim_saw_record(uint64_t index, struct mf_slice bytes, bool removal)
{
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
	struct mf_err err = { 0 };
	MF_UNUSED(removal);
	if (mf_record_decode(bytes, &doc, &err) != MF_OK)
		sim_abort("record %llu: %s", (unsigned long long)index, err.msg);
	const struct mf_record *r = mf_record_doc_get(doc);
	if (r->ts_us / 1000000 > me()->last_s)
		me()->last_s = r->ts_us / 1000000;
	sim_trace("record %llu %s %.*s%.*s", (unsigned long long)index, mf_record_type_name(r->type),
	    (int)r->s[MF_RS_LEASE].n, (const char *)r->s[MF_RS_LEASE].p, (int)r->s[MF_RS_REASON].n,
	    (const char *)r->s[MF_RS_REASON].p);
	switch (r->type) {
	case MF_REC_LEASE_OPENED:
		lease_opened(index, r);
		break;
	case MF_REC_LEASE_RESUMED:
		lease_resumed(index, r);
		break;
	case MF_REC_LEASE_SUSPENDED:
		lease_suspended(index, r);
		break;
	case MF_REC_LEASE_ENDED:
		lease_ended(index, r, bytes);
		break;
	case MF_REC_JOB_ENDING:
		job_ending(index, r);
		break;
	case MF_REC_SVID_ISSUED:
	case MF_REC_SVID_RENEWED:
	case MF_REC_JWT_ISSUED:
		issued(index, r, bytes);
		break;
	case MF_REC_CLOUD_INTENT:
	case MF_REC_CLOUD_ISSUED:
	case MF_REC_CLOUD_FAILED:
	case MF_REC_CLOUD_RECONCILED:
	case MF_REC_REVOKE_COMPLETED:
		sim_saw_cloud_record(index, r, bytes);
		break;
	case MF_REC_KEY_ACTIVATED:
		sim->observer->ca_replaced |= mf_slice_eq_str(r->s[MF_RS_KEY_USE], MF_KEY_USE_X509);
		break;
	case MF_REC_FREEZE_SET:
	case MF_REC_FREEZE_LIFTED:
		sim_saw_freeze_record(index, r);
		break;
	case MF_REC_NODE_SESSION:
	case MF_REC_NODE_CONFIRMED:
	case MF_REC_NODE_EVICTED:
	case MF_REC_NODE_READMITTED:
		node_record(index, r);
		break;
	default:
		break;
	}
}

/* ---- a new life ---- */

static void
forget_after(uint64_t *index, uint64_t size)
{
	if (*index != NEVER && *index >= size)
		*index = NEVER;
}

static void
forget_job(struct obs_job *j, bool power, uint64_t size)
{
	if (j->opened != NEVER && j->opened >= size) {
		j->opened = NEVER;
		j->lease[0] = '\0';
	}
	if (j->end_told && j->ended != NEVER && j->ended >= size)
		sim_violated(7, "the end of %s was said to be recorded, and is gone", j->key);
	forget_after(&j->ended, size);
	forget_after(&j->suspended, size);
	forget_after(&j->resumed, size);
	forget_after(&j->ending, size);
	if (j->ending == NEVER)
		j->ending_until = 0;
	j->asked = false;
	if (power && !j->recorded)
		j->removed = false; /* nobody was promised that it survives the machine */
}

void
sim_saw_notary_start(bool power, uint64_t size)
{
	struct sim_observer *o = me();
	size_t kept = 0;
	o->sessions_n = o->asked_n = 0;
	memset(o->asked, 0, sizeof(o->asked));
	sim_saw_clouds_restart(size);
	sim_saw_freezes_restart(power, size);
	for (size_t i = 0; i < o->jobs_n; i++)
		forget_job(&o->jobs[i], power, size);
	for (size_t i = 0; i < o->creds_n; i++) {
		struct obs_cred *c = &o->creds[i];
		if (c->index < size && (!c->sent || obs_durable(&c->record))) {
			if (kept != i) {
				o->creds[kept] = *c;
				c->record = (struct mf_buf) { 0 };
			}
			kept++;
			continue;
		}
		if (c->sent)
			sim_violated(
			    1, "%s was handed out, and after a crash the log knows nothing of it", c->id);
		mf_buf_fini(&c->record);
	}
	o->creds_n = kept;
	for (size_t i = 0; i < o->nodes_n; i++) {
		struct obs_node *n = &o->nodes[i];
		forget_after(&n->evicted, size);
		if (n->readmitted != NEVER && n->readmitted >= size) {
			n->readmitted = NEVER;
			n->evicted = n->evicted_before;
			forget_after(&n->evicted, size);
		}
		if (n->confirmed_at >= size)
			n->confirmed[0] = '\0';
		n->asked = false;
		if (power && !n->recorded)
			n->removed = false;
	}
}
