/*
 * rand: bytes from the kernel (getrandom). There is no failure to handle: without entropy the
 * process cannot be safe and aborts. Pure cores never call this; they are given a
 * struct mf_rand so that a simulation can be replayed from a seed.
 */
#ifndef MF_BASE_RAND_H
#define MF_BASE_RAND_H
#include "base/defs.h"

void mf_rand_bytes(void *to, size_t n);

struct mf_rand {
	void (*fill)(void *ctx, void *to, size_t n);
	void *ctx;
};
/* The kernel's. */
struct mf_rand mf_rand_system(void);

/*
 * The kernel's, some hundred bytes at a time, where a system call for each number would be felt. What was given is wiped. Of one
 * thread, in a process that does not fork. Starts zeroed.
 */
struct mf_rand_pool {
	uint8_t bytes[512];
	size_t left;
};
struct mf_rand mf_rand_pooled(struct mf_rand_pool *p);
#endif
