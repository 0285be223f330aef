/*
 * lease: the states of an instance's right to credentials (design: "Words"), as one table.
 *
 * OPEN       credentials are issued and renewed
 * ENDING     draining: what was granted is renewed until the drain ends; nothing new is granted
 * SUSPENDED  its node is silent: credentials are void, nothing is issued; the same instance may come back
 * ENDED      final
 */
#ifndef MF_BROKER_LEASE_H
#define MF_BROKER_LEASE_H
#include "base/defs.h"

enum mf_lease_state {
	MF_LEASE_NONE,
	MF_LEASE_OPEN,
	MF_LEASE_ENDING,
	MF_LEASE_SUSPENDED,
	MF_LEASE_ENDED,
	MF_LEASE_STATES
};

enum mf_lease_event {
	MF_LEASE_EV_OPEN,      /* first grant */
	MF_LEASE_EV_RESUME,    /* re-adopted under a new epoch */
	MF_LEASE_EV_BEGIN_END, /* the end was announced */
	MF_LEASE_EV_SUSPEND,
	MF_LEASE_EV_END,
	MF_LEASE_EVENTS
};

/* The next state; MF_LEASE_NONE when the event is not allowed in ${from}: a protocol error of whoever caused it. */
enum mf_lease_state mf_lease_next(enum mf_lease_state from, enum mf_lease_event ev);
/* "open", "ending", ...: the words of records and output. */
const char *mf_lease_state_name(enum mf_lease_state s);
/* May anything be signed for it? */
bool mf_lease_may_renew(enum mf_lease_state s);
bool mf_lease_may_grant(enum mf_lease_state s);
#endif
