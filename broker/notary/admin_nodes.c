/* What operators ask of the notary about nodes, beside their removal (admin.c). */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

#define REASON_MAX 512u

/* Adding access: refused while nothing is issued, and answered when its record is durable. */
void
mf_engine_readmit(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__ReadmitNodeRequest *q = call->readmit_node;
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(q->match));
	const char *why = mf_engine_why_not(e, now);
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE, why);
		return;
	}
	if (n == NULL || !n->evicted) {
		mf_engine_admin_fail(e, call->call_id, n == NULL ? MF_E_NOTFOUND : MF_E_STATE,
		    n == NULL ? "no such node: see 'mayfly node ls --all'"
			      : "this node is not evicted: there is nothing to readmit");
		return;
	}
	if (strlen(q->reason) > REASON_MAX || !mf_engine_plain(q->reason)) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID,
		    "the reason is longer than 512 bytes, or holds a control character");
		return;
	}
	struct mf_record r = { .type = MF_REC_NODE_READMITTED };
	char id[MF_STATE_ID_MAX];
	memcpy(id, n->id, sizeof(id));
	mf_engine_actor(&r, call);
	mf_record_set_str(&r, MF_RS_NODE_ID, id);
	mf_record_set_str(&r, MF_RS_REASON, q->reason);
	uint64_t index = mf_engine_record(e, now, &r);
	if (index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE,
		    "the broker could not record it: nothing was changed; try again");
		return;
	}
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__ReadmitNodeResponse done = MAYFLY__ADMIN__V1__READMIT_NODE_RESPONSE__INIT;
	done.node_id = id;
	done.record_index = index;
	reply.call_id = call->call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_READMITTED;
	reply.readmitted = &done;
	mf_release_admin(e, now, index, &reply);
}
