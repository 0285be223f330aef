/*
 * memdisk: a disk in memory behind struct mf_log_io, for fault tests. It keeps what programs see (the page
 * cache) apart from what a power loss leaves: bytes reach the disk by a sync of their file, names by a sync
 * of the directory; what was not synced is kept or lost by a seeded coin, chunk by chunk. A failed sync calls
 * the pages clean without having written them, as Linux does. Space is finite. One directory.
 */
#ifndef MF_TEST_MEMDISK_H
#define MF_TEST_MEMDISK_H
#include "log/io.h"

enum mf_memdisk_fault {
	MEMDISK_NONE,
	MEMDISK_EIO,
	MEMDISK_ENOSPC,
	MEMDISK_SHORT,	      /* reads and writes do a part; syncs fail; other calls work */
	MEMDISK_POWER_BEFORE, /* the power goes before the call has any effect: it and all later calls fail */
	MEMDISK_POWER_AFTER,  /* ... when it has had its effect */
	MEMDISK_FAULTS
};

struct memdisk; /* opaque */

struct memdisk *mf_memdisk_new(uint64_t capacity, uint64_t seed);
void mf_memdisk_free(struct memdisk *d);
const struct mf_log_io *mf_memdisk_io(struct memdisk *d);
/* The ${nth} call from now (1 is the next one) meets ${fault}; 0 takes a fault back. */
void mf_memdisk_arm(struct memdisk *d, uint64_t nth, enum mf_memdisk_fault fault);
/* True once the armed fault has struck. */
bool mf_memdisk_struck(const struct memdisk *d);
uint64_t mf_memdisk_calls(const struct memdisk *d);
void mf_memdisk_capacity(struct memdisk *d, uint64_t capacity);
/* The process is gone: descriptors and locks are released, the page cache stays. */
void mf_memdisk_exit(struct memdisk *d);
/* The power is gone: only what the disk holds stays (plus what the coin gives). Power is on again. */
void mf_memdisk_power_loss(struct memdisk *d);
/* What a copy of the disk, taken now, would have; the caller's. */
struct memdisk *mf_memdisk_copy(const struct memdisk *d);
/* The live content of a file, to look at or to damage; NULL when there is none. */
uint8_t *mf_memdisk_file(struct memdisk *d, const char *name, size_t *ret_n);
/* Whether ${what} is in a file that a power loss now would leave, whatever the coin says. */
bool mf_memdisk_holds(const struct memdisk *d, struct mf_slice what);
#endif
