/*
 * loop: the event loop of a role's thread, and the only wrapper of libevent's base.
 *
 * Every registration is a handle owned by who made it. Cancelling it (also from inside its own
 * callback) is final: once mf_loop_*_free returns, its callback does not run. Callbacks of one loop
 * run on the thread of mf_loop_run, one at a time, and must not block.
 */
#ifndef MF_NET_LOOP_H
#define MF_NET_LOOP_H
#include "base/clock.h"

struct mf_loop;
struct mf_loop_fd;
struct mf_loop_timer;
struct mf_loop_defer;
struct mf_loop_signal;

enum mf_loop_ready {
	MF_LOOP_READ = 1, /* readable, or the peer hung up */
	MF_LOOP_WRITE = 2,
};

MF_NODISCARD enum mf_status mf_loop_new(struct mf_loop **ret_l, struct mf_err *err);
/* All handles must be freed before. NULL is a no-op. */
void mf_loop_free(struct mf_loop *l);
MF_DEFINE_CLEANUP(struct mf_loop, mf_loop_free)
/* Runs until mf_loop_stop. */
MF_NODISCARD enum mf_status mf_loop_run(struct mf_loop *l, struct mf_err *err);
/* One turn: what is ready now; with ${wait} first until something is. For tests and small tools. */
MF_NODISCARD enum mf_status mf_loop_turn(struct mf_loop *l, bool wait, struct mf_err *err);
void mf_loop_stop(struct mf_loop *l); /* after the callbacks of this turn */
/* The time, read anew. Timers run on mono_ms. */
struct mf_now mf_loop_now(const struct mf_loop *l);

/* ${fd} stays the caller's: free the handle before closing it. ${interest} 0 is allowed. */
MF_NODISCARD enum mf_status mf_loop_fd_new(struct mf_loop *l, int fd, unsigned interest,
    void (*fn)(void *ctx, unsigned ready), void *ctx, struct mf_loop_fd **ret_h, struct mf_err *err);
MF_NODISCARD enum mf_status mf_loop_fd_set(struct mf_loop_fd *h, unsigned interest, struct mf_err *err);
void mf_loop_fd_free(struct mf_loop_fd *h);
MF_DEFINE_CLEANUP(struct mf_loop_fd, mf_loop_fd_free)

/* Made idle; set arms it (again) for once. A set cannot fail: what it needs was allocated by new. */
MF_NODISCARD enum mf_status mf_loop_timer_new(
    struct mf_loop *l, void (*fn)(void *ctx), void *ctx, struct mf_loop_timer **ret_h, struct mf_err *err);
void mf_loop_timer_set(struct mf_loop_timer *h, uint64_t after_ms);
void mf_loop_timer_clear(struct mf_loop_timer *h);
bool mf_loop_timer_pending(const struct mf_loop_timer *h);
void mf_loop_timer_free(struct mf_loop_timer *h);
MF_DEFINE_CLEANUP(struct mf_loop_timer, mf_loop_timer_free)

/* ${fn} runs once, after the current callbacks, for any number of sets before that. */
MF_NODISCARD enum mf_status mf_loop_defer_new(
    struct mf_loop *l, void (*fn)(void *ctx), void *ctx, struct mf_loop_defer **ret_h, struct mf_err *err);
void mf_loop_defer_set(struct mf_loop_defer *h);
void mf_loop_defer_free(struct mf_loop_defer *h);
MF_DEFINE_CLEANUP(struct mf_loop_defer, mf_loop_defer_free)

/* By signalfd: blocks ${signo} in the calling thread; do it before other threads start. */
MF_NODISCARD enum mf_status mf_loop_signal_new(struct mf_loop *l, int signo, void (*fn)(void *ctx, int signo),
    void *ctx, struct mf_loop_signal **ret_h, struct mf_err *err);
void mf_loop_signal_free(struct mf_loop_signal *h);
MF_DEFINE_CLEANUP(struct mf_loop_signal, mf_loop_signal_free)
#endif
