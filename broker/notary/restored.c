/* The broker was restored from a backup. Driven by the state alone, so that a crash in between is gone on from. */
#include <stdio.h>

#include "broker/notary/engine_internal.h"

void
mf_engine_void_leases(struct mf_engine *e, struct mf_now now)
{
	uint64_t at = mf_state_restored(e->state, NULL);
	const struct end_reason why = { MAYFLY__AGENT__V1__END_CAUSE__END_RESTORED,
		"the broker was restored from a backup: the instance attaches anew", 0, "broker" };
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL && at > 0;
	     l = mf_state_next_lease(e->state, l))
		if (l->index < at && l->state != MF_LEASE_ENDED)
			(void)mf_engine_end_lease(e, now, l, &why, false);
}

/* A CA key of before the restore that signs no more, and is not distrusted yet. */
static const struct mf_key *
untainted(const struct mf_engine *e, uint64_t at)
{
	for (const struct mf_key *k = mf_state_next_key(e->state, NULL); k != NULL;
	     k = mf_state_next_key(e->state, k))
		if (mf_key_use_is_x509(k->use) && k->index < at &&
		    (k->state == MF_KEY_RETIRED || k->state == MF_KEY_PREPARED))
			return k;
	return NULL;
}

void
mf_engine_replace_ca(struct mf_engine *e, struct mf_now now)
{
	bool tail_missing;
	uint64_t at = mf_state_restored(e->state, &tail_missing);
	if (at == 0 || !tail_missing)
		return;
	struct key_actor by = { .kind = "broker" };
	(void)snprintf(by.reason, sizeof(by.reason),
	    "restored from a backup: what the CA keys of before signed after it is not known");
	for (const struct mf_key *k = untainted(e, at); k != NULL; k = untainted(e, at))
		if (mf_engine_key_step(e, now, MF_REC_KEY_TAINTED, k, &by) == UINT64_MAX)
			return;
	const struct mf_key *active = mf_engine_signer(e);
	const struct mf_key *next = mf_state_prepared_key(e->state, MF_KEY_USE_X509);
	if (active == NULL || active->index > at || mf_engine_why_not(e, now) != NULL)
		return;
	if (next == NULL && now.mono_ms >= e->keys.not_before_ms)
		(void)mf_engine_order_key(e, now, active->use, 0, 0, &by);
	/* Nobody waits until all agents have it: what they hold is void, and they ask by the inner session. */
	if (next == NULL || !mf_engine_may_force(e, now, next) ||
	    mf_engine_key_step(e, now, MF_REC_KEY_ACTIVATED, next, &by) == UINT64_MAX)
		return;
	for (const struct mf_key *k = untainted(e, at); k != NULL; k = untainted(e, at))
		if (mf_engine_key_step(e, now, MF_REC_KEY_TAINTED, k, &by) == UINT64_MAX)
			return;
}
