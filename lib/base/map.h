/*
 * map: uthash with the two settings every user of it must have. Keys come from jobs, so the hash is
 * keyed (no flooding), and running out of memory is an error, not an exit: after HASH_ADD check
 * mf_map_oom(&flag).
 */
#ifndef MF_BASE_MAP_H
#define MF_BASE_MAP_H
#include "base/defs.h"

/* Keyed 64-bit hash (SipHash-1-3) under a key drawn once per process. */
uint64_t mf_map_hash(const void *key, size_t len);

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)mf_map_hash((keyptr), (keylen)))
#define uthash_nonfatal_oom(elt) ((elt)->map_oom = true)
#include <uthash.h>
/* Every element struct carries: bool map_oom; UT_hash_handle hh; */
#endif
