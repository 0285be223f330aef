/*
 * ossl_fail: libcrypto's and libssl's memory, so that the n-th allocation of it fails once. Works under sanitizers, too, because nothing is
 * replaced: they are asked to take it from here. One thread at a time may allocate while a failure is wanted.
 */
#ifndef MF_TESTS_OSSL_FAIL_H
#define MF_TESTS_OSSL_FAIL_H
#include "base/defs.h"

/* First of all in main: false when they have allocated already. */
bool mf_ossl_fail_init(void);
/* The ${n}-th allocation from now on fails; 0: none does. */
void mf_ossl_fail(long n);
/* Did it, since mf_ossl_fail(n) with n > 0? */
bool mf_ossl_failed(void);
/* While this is on nothing fails and nothing is counted down: for what a test does for itself. Returns what it was. */
bool mf_ossl_spare(bool on);
/* Nor in source files of theirs whose name has one of these in it, e.g. what is documented to abort. ${parts} must stay. */
void mf_ossl_spare_files(const char *const *parts, size_t n);
#endif
