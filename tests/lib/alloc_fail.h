/*
 * alloc_fail: malloc and its kin, so that the n-th allocation of a thread fails once. It replaces the allocator of the whole program,
 * libraries too, and so is linked into those tests only that include this (tests/CMakeLists.txt); a sanitizer's allocator
 * cannot be replaced: such a test says that it is skipped there (MF_INSTRUMENTED).
 *
 * Everything is of the calling thread: others have memory.
 */
#ifndef MF_TESTS_ALLOC_FAIL_H
#define MF_TESTS_ALLOC_FAIL_H
#include "base/defs.h"

/* The ${n}-th allocation from now on fails, once; 0: none does. */
void mf_alloc_fail(long n);
/* Did it, since mf_alloc_fail(n) with n > 0? */
bool mf_alloc_failed(void);
/* Allocations less frees: what is the same before and after leaked nothing. */
long mf_alloc_live(void);
/* While this is on nothing fails and nothing is counted down: for what a test does for itself in between. Returns what it was. */
bool mf_alloc_spare(bool on);

/* libc's own, which neither fail nor are counted. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);
#endif
