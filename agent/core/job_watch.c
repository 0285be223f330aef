#include "agent/core/job_watch.h"

struct cell {
	bool used;
	uint8_t next;
	uint8_t actions;
};

#define OVER (MF_JOB_STOP_SERVING | MF_JOB_REPORT_END | MF_JOB_UNWATCH)
#define STAY(s)              \
	{                    \
		true, (s), 0 \
	}
#define GO(s, a)               \
	{                      \
		true, (s), (a) \
	}

/*
 * ARMING, RUNNER_GONE: nobody will come any more. LIVE, RUNNER_GONE: the cgroup decides (a tree ends: see
 * below). ENDED swallows what was on its way; it asks for nothing twice. GONE takes nothing but echoes of its
 * end: a recorded end may be told again.
 */
static const struct cell table[MF_JOB_STATE_COUNT][MF_JOB_EVENT_COUNT] = {
	[MF_JOB_ARMING] = {
		[MF_JOB_POPULATED] = GO(MF_JOB_LIVE, 0),
		[MF_JOB_EMPTY] = STAY(MF_JOB_ARMING),
		[MF_JOB_ANCHOR_GONE] = GO(MF_JOB_ENDED, OVER),
		[MF_JOB_RUNNER_GONE] = GO(MF_JOB_ENDED, OVER),
		[MF_JOB_DRAIN] = GO(MF_JOB_ENDED, OVER),
		[MF_JOB_LEASE_ENDED] = GO(MF_JOB_ENDED, OVER),
	},
	[MF_JOB_LIVE] = {
		[MF_JOB_POPULATED] = STAY(MF_JOB_LIVE),
		[MF_JOB_EMPTY] = GO(MF_JOB_ENDED, OVER),
		[MF_JOB_ANCHOR_GONE] = GO(MF_JOB_ENDED, OVER),
		[MF_JOB_RUNNER_GONE] = STAY(MF_JOB_LIVE),
		[MF_JOB_DRAIN] = GO(MF_JOB_ENDING, MF_JOB_REPORT_DRAIN),
		[MF_JOB_LEASE_ENDED] = GO(MF_JOB_ENDED, OVER),
	},
	[MF_JOB_ENDING] = {
		[MF_JOB_POPULATED] = STAY(MF_JOB_ENDING),
		[MF_JOB_EMPTY] = GO(MF_JOB_ENDED, OVER),
		[MF_JOB_ANCHOR_GONE] = GO(MF_JOB_ENDED, OVER),
		[MF_JOB_RUNNER_GONE] = STAY(MF_JOB_ENDING),
		[MF_JOB_DRAIN] = STAY(MF_JOB_ENDING),
		[MF_JOB_LEASE_ENDED] = GO(MF_JOB_ENDED, OVER),
	},
	[MF_JOB_ENDED] = {
		[MF_JOB_POPULATED] = STAY(MF_JOB_ENDED),
		[MF_JOB_EMPTY] = STAY(MF_JOB_ENDED),
		[MF_JOB_ANCHOR_GONE] = STAY(MF_JOB_ENDED),
		[MF_JOB_RUNNER_GONE] = STAY(MF_JOB_ENDED),
		[MF_JOB_DRAIN] = STAY(MF_JOB_ENDED),
		[MF_JOB_LEASE_ENDED] = STAY(MF_JOB_ENDED),
		[MF_JOB_RECORDED] = GO(MF_JOB_GONE, MF_JOB_FORGET),
	},
	[MF_JOB_GONE] = {
		[MF_JOB_RECORDED] = STAY(MF_JOB_GONE),
	},
};

enum mf_status
mf_job_watch_step(enum mf_job_state state, enum mf_job_event event, bool tree, enum mf_job_state *ret_state,
    unsigned *ret_actions, struct mf_err *err)
{
	if ((unsigned)state >= MF_JOB_STATE_COUNT || (unsigned)event >= MF_JOB_EVENT_COUNT)
		return MF_FAIL(err, MF_E_INTERNAL, "job watch: no such state or event");
	/* The runner is what holds a subreaper's tree together: without it nobody is accountable. */
	if (tree && event == MF_JOB_RUNNER_GONE)
		event = MF_JOB_ANCHOR_GONE;
	const struct cell *c = &table[state][event];
	if (!c->used)
		return MF_FAIL(err, MF_E_STATE, "job watch: %s in state %s", mf_job_event_name(event),
		    mf_job_state_name(state));
	*ret_state = (enum mf_job_state)c->next;
	*ret_actions = c->actions;
	return MF_OK;
}

const char *
mf_job_state_name(enum mf_job_state s)
{
	static const char *const names[MF_JOB_STATE_COUNT] = { "arming", "live", "ending", "ended", "gone" };
	return (unsigned)s < MF_JOB_STATE_COUNT ? names[s] : "unknown";
}

const char *
mf_job_event_name(enum mf_job_event e)
{
	static const char *const names[MF_JOB_EVENT_COUNT] = { "populated", "empty", "anchor_gone",
		"runner_gone", "drain", "lease_ended", "recorded" };
	return (unsigned)e < MF_JOB_EVENT_COUNT ? names[e] : "unknown";
}
