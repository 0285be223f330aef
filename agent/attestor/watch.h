/*
 * watch: the kernel's word that an instance is over. One epoll descriptor for all of it, to be nested in a loop.
 *
 * A cgroup is watched three ways, because each alone has a hole (attestation.md 2b): EPOLLPRI on cgroup.events
 * (exact, but the kernel holds back a second change within 10 ms, and a poll that already sleeps may miss a
 * removal), inotify on the parent directory (sees the removal), and a look at the value 20 ms after the watch
 * began and every 5 s from then on. What counts is always the value that is read, never that something fired.
 * A process is watched by its pidfd.
 *
 * A watch reports at most one end (EMPTY, REMOVED or EXITED), then is silent until it is deleted. Callbacks run
 * inside mf_watch_run only; they may add and delete watches, their own too.
 * Thread rule: one thread.
 */
#ifndef MF_ATTESTOR_WATCH_H
#define MF_ATTESTOR_WATCH_H
#include "agent/attestor/cgroup.h"

struct mf_watch_set; /* opaque */
struct mf_watch;     /* opaque: one thing watched */

enum mf_watch_cause {
	MF_WATCH_POPULATED, /* somebody is in now; only for watches that began empty */
	MF_WATCH_EMPTY,	    /* nobody is in any more */
	MF_WATCH_REMOVED,   /* the cgroup was removed */
	MF_WATCH_EXITED,    /* the process ended */
};
typedef void (*mf_watch_fn)(void *ctx, uint64_t handle, enum mf_watch_cause cause);

MF_NODISCARD enum mf_status
mf_watch_set_new(mf_watch_fn fn, void *ctx, struct mf_watch_set **ret_set, struct mf_err *err);
void mf_watch_set_free(struct mf_watch_set *set); /* with all its watches */
MF_DEFINE_CLEANUP(struct mf_watch_set, mf_watch_set_free)
/* Readable when mf_watch_run has something to do. */
int mf_watch_set_fd(const struct mf_watch_set *set);

/*
 * Watch cgroup ${c} for instance ${handle}; ${c} is borrowed for the call. ${armed}: nobody is in yet, which is
 * no end until somebody was. *ret_populated is the value that was read *after* the watch was set: false with
 * ${armed} false means that it is over already (nothing will be reported).
 * Errors: MF_E_NOTFOUND (removed), MF_E_EXHAUSTED (descriptors, inotify watches), MF_E_NOMEM, MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_watch_cgroup(struct mf_watch_set *set, const struct mf_cgroup *c,
    uint64_t handle, bool armed, struct mf_watch **ret_w, bool *ret_populated, struct mf_err *err);
/* Watch the process of ${pidfd} (duplicated). A dead one is reported by the next mf_watch_run. */
MF_NODISCARD enum mf_status mf_watch_process(
    struct mf_watch_set *set, int pidfd, uint64_t handle, struct mf_watch **ret_w, struct mf_err *err);
/* Stop; NULL is a no-op. After this returns nothing is reported for it. */
void mf_watch_del(struct mf_watch *w);

/* Take what is there without waiting and report it. MF_E_IO: the machinery itself is broken. */
MF_NODISCARD enum mf_status mf_watch_run(struct mf_watch_set *set, struct mf_err *err);
/* Look at every value now, as the 5 s round does (tests; after a long stop). */
void mf_watch_sweep(struct mf_watch_set *set);
size_t mf_watch_count(const struct mf_watch_set *set);
#endif
