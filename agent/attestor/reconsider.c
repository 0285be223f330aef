/* The broker's pushes about what an instance holds and goes on with: policy changed, a token or certificate is over. */
#include "agent/attestor/attestor_internal.h"

#define SERIAL_LETTERS 64u	   /* letters of a serial or a jti, at most */
#define RECONSIDER_WITHIN_MS 2000u /* a change of policy brings them all at once: spread the renewals */

/* What the front holds for it may no longer be what policy gives: it asks anew, and is told. */
static void
reconsider(struct mf_attestor *a, const Mayfly__Agent__V1__Reconsider *m)
{
	Mayfly__Roles__V1__InstanceHurry out = MAYFLY__ROLES__V1__INSTANCE_HURRY__INIT;
	const struct mf_instance *i = mf_instances_by_key(a->table, mf_slice_str(m->instance_key));
	if (i == NULL || i->state >= MF_JOB_ENDED || strcmp(m->lease_id, i->lease_id) != 0)
		return;
	out.handle = i->handle;
	out.within_ms = RECONSIDER_WITHIN_MS;
	mf_attestor_tell(a, MF_MSG_INSTANCE_HURRY, &out.base);
}

/* Replaced or dropped; nothing else of the instance changes. */
static void
svid_ended(struct mf_attestor *a, const Mayfly__Agent__V1__SvidEnded *in)
{
	Mayfly__Roles__V1__InstanceSvidEnded m = MAYFLY__ROLES__V1__INSTANCE_SVID_ENDED__INIT;
	if (in->lease_id[0] == '\0' || in->serial[0] == '\0' || strlen(in->serial) > SERIAL_LETTERS)
		return;
	m.serial = in->serial;
	MF_INSTANCES_EACH(i, a->table)
	{
		if (i->state >= MF_JOB_ENDED || strcmp(i->lease_id, in->lease_id) != 0)
			continue;
		m.handle = i->handle;
		mf_attestor_tell(a, MF_MSG_INSTANCE_SVID_ENDED, &m.base);
	}
}

void
mf_session_recalled(struct mf_attestor *a, const Mayfly__Agent__V1__Down *d)
{
	if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_RECONSIDER)
		reconsider(a, d->reconsider);
	else if (d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_ENDED)
		mf_cloud_ended(a, d->cloud_ended);
	else
		svid_ended(a, d->svid_ended);
}
