/*
 * job_watch: the life of one instance as its node sees it. A pure table: (state, event) -> state, actions.
 *
 *   ARMING   its cgroup is made, nobody was in it yet
 *   LIVE     somebody is in it
 *   ENDING   announced: what was granted is served, nothing new is asked for
 *   ENDED    over for good; the end is reported until the broker has recorded it
 *   GONE     the end is recorded: forget it
 *
 * An empty cell is a bug of the caller: mf_job_watch_step answers MF_E_STATE and changes nothing. An end is
 * final here: no event leads back from ENDED. Suspension is the lease's business, not this table's.
 */
#ifndef MF_AGENT_CORE_JOB_WATCH_H
#define MF_AGENT_CORE_JOB_WATCH_H
#include "base/err.h"

enum mf_job_state {
	MF_JOB_ARMING = 0,
	MF_JOB_LIVE,
	MF_JOB_ENDING,
	MF_JOB_ENDED,
	MF_JOB_GONE,
	MF_JOB_STATE_COUNT
};

enum mf_job_event {
	MF_JOB_POPULATED = 0, /* somebody is in the cgroup */
	MF_JOB_EMPTY,	      /* nobody is (any more): cgroup populated 0, subreaper's tree empty */
	MF_JOB_ANCHOR_GONE,   /* cgroup removed or replaced, or the process that the instance is has ended */
	MF_JOB_RUNNER_GONE,   /* mayfly run is gone, or says that its child ended */
	MF_JOB_DRAIN,	      /* an end was announced */
	MF_JOB_LEASE_ENDED,   /* the broker ended it: operator, eviction, deadline */
	MF_JOB_RECORDED,      /* the broker has the end on record */
	MF_JOB_EVENT_COUNT
};

/* What the caller has to do, in this order. */
enum mf_job_action {
	MF_JOB_STOP_SERVING = 1, /* close streams, wipe keys */
	MF_JOB_REPORT_END = 2,	 /* write it to the spool, tell the broker */
	MF_JOB_REPORT_DRAIN = 4,
	MF_JOB_UNWATCH = 8, /* no more events are wanted */
	MF_JOB_FORGET = 16, /* remove it from table and spool, remove a cgroup that was made for it */
};

/*
 * Take one event. On MF_OK, *ret_state and *ret_actions (a set of enum mf_job_action) are written.
 * ${tree}: the instance is a subreaper's tree, whose end is the runner's end; elsewhere a runner may go
 * while its job lives on in the cgroup.
 */
MF_NODISCARD enum mf_status mf_job_watch_step(enum mf_job_state state, enum mf_job_event event, bool tree,
    enum mf_job_state *ret_state, unsigned *ret_actions, struct mf_err *err);

const char *mf_job_state_name(enum mf_job_state s); /* "live", ...; never NULL */
const char *mf_job_event_name(enum mf_job_event e);
#endif
