/* Cloud tokens: the front's question to the notary and back; and whose socket it is that asks the front for one. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/attestor/attestor_internal.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define INVALID MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID
#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define SUSPENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED

static void
answer(
    struct mf_attestor *a, uint64_t mint_id, Mayfly__Agent__V1__CloudGrant *g, Mayfly__Agent__V1__Refusal *r)
{
	Mayfly__Roles__V1__InstanceCloud m = MAYFLY__ROLES__V1__INSTANCE_CLOUD__INIT;
	m.mint_id = mint_id;
	m.grant = g;
	m.refusal = r;
	mf_attestor_tell(a, MF_MSG_INSTANCE_CLOUD, &m.base);
}

static void
refuse(struct mf_attestor *a, uint64_t mint_id, Mayfly__Agent__V1__RefusalCode code, const char *reason)
{
	Mayfly__Agent__V1__Refusal r = MAYFLY__AGENT__V1__REFUSAL__INIT;
	char text[MF_ERR_MSG_MAX];
	(void)snprintf(text, sizeof(text), "%s", reason);
	r.code = code;
	r.reason = text;
	answer(a, mint_id, NULL, &r);
}

/* Why nothing is asked for; NULL: it is. */
static const char *
why_not(const struct mf_attestor *a, const struct mf_instance *i, const char *grant,
    Mayfly__Agent__V1__RefusalCode *ret_code)
{
	*ret_code = ENDED;
	if (i == NULL || i->state >= MF_JOB_ENDED)
		return "the job has ended";
	*ret_code = SUSPENDED;
	if (i->lease_id[0] == '\0')
		return "no lease: attach anew";
	*ret_code = INVALID;
	if (grant[0] == '\0')
		return "the grant has no name";
	*ret_code = UNAVAILABLE;
	if (mf_ic_phase(a->ic) == MF_IC_READY && !a->mints_cloud)
		return "the broker is of a release without cloud tokens, or has no cloud_targets";
	return NULL;
}

void
mf_cloud_ask(struct mf_attestor *a, const Mayfly__Roles__V1__MintInstanceCloud *q)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintCloud c = MAYFLY__AGENT__V1__MINT_CLOUD__INIT;
	Mayfly__Agent__V1__RefusalCode code = UNAVAILABLE;
	struct mf_err err = { 0 };
	struct mf_mint undone;
	struct mf_instance *i = mf_instances_by_handle(a->table, q->handle);
	const char *why = why_not(a, i, q->grant, &code);
	if (why != NULL) {
		refuse(a, q->mint_id, code, why);
		return;
	}
	const struct mf_mint *m = mf_mint_remember(a, q->mint_id, q->handle);
	if (m == NULL) {
		refuse(a, q->mint_id, UNAVAILABLE, "the agent is out of memory");
		return;
	}
	if (mf_ic_request(a->ic, MF_IC_CLOUD, m->tag, mf_now(), &up.request_id, &err) != MF_OK) {
		(void)mf_mint_take(a, m->tag, &undone);
		refuse(a, q->mint_id, UNAVAILABLE, err.msg);
		return;
	}
	c.lease_id = i->lease_id;
	c.epoch = i->epoch;
	c.grant = q->grant;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD;
	up.mint_cloud = &c;
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

void
mf_cloud_granted(struct mf_attestor *a, uint64_t request_id, Mayfly__Agent__V1__CloudGrant *g)
{
	uint64_t tag = 0;
	struct mf_mint m;
	if (mf_ic_answered(a->ic, request_id, 1u << MF_IC_CLOUD, &tag, NULL) != MF_OK ||
	    !mf_mint_take(a, tag, &m))
		return; /* late */
	const struct mf_instance *i = mf_instances_by_handle(a->table, m.handle);
	/* For a job that is over meanwhile, or another epoch of its lease, it is nothing. */
	if (i == NULL || i->state >= MF_JOB_ENDED || strcmp(i->lease_id, g->lease_id) != 0 ||
	    i->epoch != g->epoch)
		refuse(a, m.mint_id, ENDED, "the job has ended");
	else
		answer(a, m.mint_id, g, NULL);
}

void
mf_cloud_refused(struct mf_attestor *a, uint64_t tag, Mayfly__Agent__V1__Refusal *r)
{
	struct mf_mint m;
	if (!mf_mint_take(a, tag, &m))
		return;
	if (r == NULL) {
		refuse(a, m.mint_id, UNAVAILABLE, "the session with the broker was cut; ask again");
		return;
	}
	answer(a, m.mint_id, NULL, r);
	mf_mint_believe(a, m.handle, r->code);
}

void
mf_cloud_ended(struct mf_attestor *a, const Mayfly__Agent__V1__CloudEnded *in)
{
	Mayfly__Roles__V1__InstanceCloudEnded m = MAYFLY__ROLES__V1__INSTANCE_CLOUD_ENDED__INIT;
	char reason[MF_TEXT_REASON];
	if (in->lease_id[0] == '\0')
		return;
	(void)snprintf(reason, sizeof(reason), "%s", in->reason);
	m.grant = in->grant;
	m.credential_id = in->credential_id;
	m.reason = reason;
	m.may_ask_again = in->may_ask_again;
	MF_INSTANCES_EACH(i, a->table)
	{
		if (i->state >= MF_JOB_ENDED || strcmp(i->lease_id, in->lease_id) != 0)
			continue;
		m.handle = i->handle;
		mf_attestor_tell(a, MF_MSG_INSTANCE_CLOUD_ENDED, &m.base);
	}
}

/* ---- peers ---- */

static struct mf_instance *
by_name(struct mf_attestor *a, const char *name)
{
	char key[MF_BOOT_ID_LEN + MF_INSTANCE_NAME_MAX + 16];
	int n = snprintf(key, sizeof(key), "local//%s/%s", mf_instances_boot(a->table), name);
	return n < 0 || (size_t)n >= sizeof(key) ? NULL : mf_instances_by_key(a->table, mf_slice_str(key));
}

/*
 * An instance with a cgroup is whoever made the socket in it. One that has none (a single process, a subreaper's tree) is
 * known by its user only: the secret is all that tells two of one user apart, and a socket of another job's cgroup is
 * not its own.
 */
static bool
is_of(struct mf_attestor *a, const struct mf_instance *i, const Mayfly__Roles__V1__FindPeer *q)
{
	const struct mf_instance *other =
	    q->cgroup_id == 0 ? NULL : mf_instances_by_cgroup(a->table, q->cgroup_id);
	const struct mf_live *l = i->owner;
	if (other != NULL && other != i && other->state < MF_JOB_ENDED)
		return false;
	if (i->cgroup_id != 0 && (i->kind == MF_INSTANCE_CGROUP || i->kind == MF_INSTANCE_RUN))
		return i->cgroup_id == q->cgroup_id ||
		       (l != NULL && mf_cgroup_holds(&l->cgroup, q->cgroup_id));
	return i->uid == q->uid;
}

void
mf_cloud_find_peer(struct mf_attestor *a, const Mayfly__Roles__V1__FindPeer *q)
{
	Mayfly__Roles__V1__PeerFound m = MAYFLY__ROLES__V1__PEER_FOUND__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf key;
	static char over[] = "the job has ended", foreign[] = "the caller is not of this job",
		    starting[] = "the agent has not joined a broker yet";
	mf_buf_init(&key, 4096);
	m.peer_id = q->peer_id;
	struct mf_instance *i = by_name(a, q->name);
	if (a->trust.node_id[0] == '\0') {
		m.unavailable = true;
		m.reason = starting;
	} else if (i == NULL || i->state >= MF_JOB_ENDED) {
		m.reason = over; /* one that is forgotten has ended, too */
		m.ended = true;
	} else if (!is_of(a, i, q)) {
		m.reason = foreign;
	} else {
		mf_attestor_key(a, i, &key);
		char *text = (char *)(uintptr_t)mf_buf_cstr(&key); /* packing reads only */
		m.known = text != NULL;
		m.unavailable = text == NULL;
		m.handle = i->handle;
		m.cgroup_id = i->kind == MF_INSTANCE_CGROUP || i->kind == MF_INSTANCE_RUN ? i->cgroup_id : 0;
		m.instance_key = text == NULL ? m.instance_key : text;
	}
	mf_attestor_tell(a, MF_MSG_PEER_FOUND, &m.base);
}
