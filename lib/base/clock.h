/*
 * clock: time as an argument. Pure cores take `struct mf_now`; only the daemon layer reads clocks.
 */
#ifndef MF_BASE_CLOCK_H
#define MF_BASE_CLOCK_H
#include "base/buf.h"

struct mf_now {
	int64_t wall_us;  /* microseconds since 1970 UTC (CLOCK_REALTIME) */
	uint64_t mono_ms; /* milliseconds of CLOCK_BOOTTIME: counts through suspend, never steps */
};

struct mf_now mf_now(void); /* reads the system's clocks; daemon layer and tests only */
/* RFC 3339 UTC: "2026-11-22T19:37:00.123456Z" (27 bytes) / without fraction (20 bytes). */
void mf_time_put_us(struct mf_buf *to, int64_t wall_us);
void mf_time_put_s(struct mf_buf *to, int64_t wall_s);
/* Either form back to microseconds; years 1970 to 9999, strict. */
MF_NODISCARD enum mf_status mf_time_get(struct mf_slice s, int64_t *ret_us, struct mf_err *err);
/* Civil date of a day number since 1970-01-01 and back (no libc time functions). */
void mf_civil(int64_t wall_s, int *ret_y, int *ret_mon, int *ret_d, int *ret_h, int *ret_min, int *ret_s);
#endif
