/* The broker's push that policy changed for one instance. */
#include "agent/attestor/attestor_internal.h"

#define RECONSIDER_WITHIN_MS 2000u /* a change of policy brings them all at once: spread the renewals */

/* What the front holds for it may no longer be what policy gives: it asks anew, and is told. */
void
mf_session_reconsider(struct mf_attestor *a, const Mayfly__Agent__V1__Reconsider *m)
{
	Mayfly__Roles__V1__InstanceHurry out = MAYFLY__ROLES__V1__INSTANCE_HURRY__INIT;
	const struct mf_instance *i = mf_instances_by_key(a->table, mf_slice_str(m->instance_key));
	if (i == NULL || i->state >= MF_JOB_ENDED || strcmp(m->lease_id, i->lease_id) != 0)
		return;
	out.handle = i->handle;
	out.within_ms = RECONSIDER_WITHIN_MS;
	mf_attestor_tell(a, MF_MSG_INSTANCE_HURRY, &out.base);
}
