/* For the files of lib/net: the loop, its timers, and the base for other parts of libevent (evhttp). */
#ifndef MF_NET_LOOP_INTERNAL_H
#define MF_NET_LOOP_INTERNAL_H
#include "net/loop.h"

struct event_base;

struct mf_loop {
	struct event_base *base;
	/* Timers: a binary heap by due time with room for every timer that exists, so that arming cannot fail. */
	struct mf_loop_timer **heap;
	size_t armed, made, room;
	int timer_fd;	  /* CLOCK_BOOTTIME, as mono_ms */
	uint64_t set_for; /* what timer_fd is set to; 0: not set */
	struct mf_loop_fd *timer_io;
};

struct event_base *mf_loop_base(struct mf_loop *l);
MF_NODISCARD enum mf_status mf_loop_timers_init(struct mf_loop *l, struct mf_err *err);
void mf_loop_timers_fini(struct mf_loop *l);
#endif
