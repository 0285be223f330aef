/*
 * secret: bytes that must not be copied, printed, dumped or compared in variable time.
 *
 * A struct mf_secret is a handle to its own locked, undumpable pages; it is wiped when freed.
 * There is no printing helper on purpose. Locking is best effort (RLIMIT_MEMLOCK); dumping is
 * always off (MADV_DONTDUMP, MADV_WIPEONFORK).
 */
#ifndef MF_BASE_SECRET_H
#define MF_BASE_SECRET_H
#include "base/slice.h"

struct mf_secret; /* opaque */

/* ${n} zero bytes (1..64 KiB). */
MF_NODISCARD enum mf_status mf_secret_new(size_t n, struct mf_secret **ret_s, struct mf_err *err);
void mf_secret_free(struct mf_secret *s); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_secret, mf_secret_free)
uint8_t *mf_secret_bytes(struct mf_secret *s);
size_t mf_secret_size(const struct mf_secret *s);
struct mf_slice mf_secret_slice(const struct mf_secret *s);

/* Not removed by the compiler. */
void mf_wipe(void *p, size_t n);
/* Constant time in the bytes; the lengths are public. */
bool mf_ct_equal(struct mf_slice a, struct mf_slice b);
#endif
