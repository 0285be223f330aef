/* What the broker says of leases by itself: an announced end, a later deadline, an end. */
#include "agent/attestor/attestor_internal.h"
#include "os/jlog.h"

/* NULL: it ended, or the lease that is meant is not the one that we hold; a grant on its way says the same. */
static struct mf_instance *
held(struct mf_attestor *a, const char *instance_key, const char *lease_id)
{
	struct mf_instance *i = mf_instances_by_key(a->table, mf_slice_str(instance_key));
	return i == NULL || i->state >= MF_JOB_ENDED || strcmp(i->lease_id, lease_id) != 0 ? NULL : i;
}

void
mf_session_lease_ending(struct mf_attestor *a, const Mayfly__Agent__V1__LeaseEnding *in)
{
	struct mf_instance *i = held(a, in->instance_key, in->lease_id);
	Mayfly__Roles__V1__InstanceEnding m = MAYFLY__ROLES__V1__INSTANCE_ENDING__INIT;
	if (i == NULL)
		return;
	if (i->state == MF_JOB_ARMING) { /* nobody came: there is nothing to drain. It may be gone now */
		mf_life_event(a, i, MF_JOB_DRAIN, MF_END_OPERATOR);
		return;
	}
	bool known = in->cause > 0 && (unsigned)in->cause < MF_END_COUNT;
	const char *cause = mf_end_cause_name(known ? (enum mf_end_cause)in->cause : MF_END_OPERATOR);
	if (i->state == MF_JOB_LIVE)
		MF_LOG(MF_LOG_INFO, "instance.ending", "the end of an instance's job was announced",
		    mf_js("instance", i->name), mf_js("lease", i->lease_id), mf_js("cause", cause),
		    mf_ji("until", in->until));
	mf_life_event(a, i, MF_JOB_DRAIN, MF_END_NONE);
	char *text = mf_slice_dup_str(mf_slice_str(cause));
	m.handle = i->handle;
	m.until = in->until;
	m.cause = text == NULL ? m.cause : text;
	mf_attestor_tell(a, MF_MSG_INSTANCE_ENDING, &m.base);
	free(text);
}

void
mf_session_lease_deadline(struct mf_attestor *a, const Mayfly__Agent__V1__LeaseDeadline *in)
{
	struct mf_instance *i = held(a, in->instance_key, in->lease_id);
	Mayfly__Roles__V1__InstanceDeadline m = MAYFLY__ROLES__V1__INSTANCE_DEADLINE__INIT;
	if (i == NULL)
		return;
	m.handle = i->handle;
	m.deadline = in->deadline;
	mf_attestor_tell(a, MF_MSG_INSTANCE_DEADLINE, &m.base);
}

void
mf_session_lease_ended(struct mf_attestor *a, const Mayfly__Agent__V1__LeaseEnded *m)
{
	struct mf_instance *i = mf_instances_by_key(a->table, mf_slice_str(m->instance_key));
	if (i == NULL || i->state >= MF_JOB_ENDED)
		return;
	/* Of an epoch that is over: the lease that we hold is another one. */
	if (m->lease_id[0] != '\0' && i->lease_id[0] != '\0' && strcmp(m->lease_id, i->lease_id) != 0)
		return;
	if (m->suspended) {
		mf_life_suspend(a, i, m->reason);
		return;
	}
	bool known = m->cause > 0 && (unsigned)m->cause < MF_END_COUNT;
	mf_life_event(a, i, MF_JOB_LEASE_ENDED, known ? (enum mf_end_cause)m->cause : MF_END_OPERATOR);
}
