#include "broker/core/lease.h"

static const enum mf_lease_state next[MF_LEASE_STATES][MF_LEASE_EVENTS] = {
	[MF_LEASE_NONE] = { [MF_LEASE_EV_OPEN] = MF_LEASE_OPEN },
	[MF_LEASE_OPEN] = { [MF_LEASE_EV_BEGIN_END] = MF_LEASE_ENDING,
	    [MF_LEASE_EV_SUSPEND] = MF_LEASE_SUSPENDED,
	    [MF_LEASE_EV_END] = MF_LEASE_ENDED },
	[MF_LEASE_ENDING] = { [MF_LEASE_EV_SUSPEND] = MF_LEASE_ENDED, /* nothing to come back for */
	    [MF_LEASE_EV_END] = MF_LEASE_ENDED },
	[MF_LEASE_SUSPENDED] = { [MF_LEASE_EV_RESUME] = MF_LEASE_OPEN, [MF_LEASE_EV_END] = MF_LEASE_ENDED },
	/* ENDED: an empty row. No event leads out of it. */
};

static const char *const names[MF_LEASE_STATES] = { "none", "open", "ending", "suspended", "ended" };

enum mf_lease_state
mf_lease_next(enum mf_lease_state from, enum mf_lease_event ev)
{
	if ((unsigned)from >= MF_LEASE_STATES || (unsigned)ev >= MF_LEASE_EVENTS)
		return MF_LEASE_NONE;
	return next[from][ev];
}

const char *
mf_lease_state_name(enum mf_lease_state s)
{
	return (unsigned)s < MF_LEASE_STATES ? names[s] : "unknown";
}

bool
mf_lease_may_renew(enum mf_lease_state s)
{
	return s == MF_LEASE_OPEN || s == MF_LEASE_ENDING;
}

bool
mf_lease_may_grant(enum mf_lease_state s)
{
	return s == MF_LEASE_OPEN;
}
