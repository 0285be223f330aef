#include "base/clock.h"

#include <time.h>

struct mf_now
mf_now(void)
{
	struct timespec w, m;
	(void)clock_gettime(CLOCK_REALTIME, &w);
	(void)clock_gettime(CLOCK_BOOTTIME, &m);
	return (struct mf_now) {
		.wall_us = (int64_t)w.tv_sec * 1000000 + w.tv_nsec / 1000,
		.mono_ms = (uint64_t)m.tv_sec * 1000 + (uint64_t)m.tv_nsec / 1000000,
	};
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Hinnant's algorithm). */
static int64_t
days_from_civil(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

void
mf_civil(int64_t wall_s, int *ret_y, int *ret_mon, int *ret_d, int *ret_h, int *ret_min, int *ret_s)
{
	int64_t days = wall_s / 86400, rest = wall_s % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	*ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_mon = (int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_y = (int)(yoe + era * 400 + (*ret_mon <= 2));
	*ret_h = (int)(rest / 3600);
	*ret_min = (int)(rest / 60 % 60);
	*ret_s = (int)(rest % 60);
}

static void
put_date(struct mf_buf *to, int64_t wall_s)
{
	int y, mo, d, h, mi, s;
	mf_civil(wall_s, &y, &mo, &d, &h, &mi, &s);
	const int part[] = { y, mo, d, h, mi, s };
	if (y < 0 || y > 9999) {
		mf_buf_putf(to, "%04d-%02d-%02dT%02d:%02d:%02d", y, mo, d, h, mi, s);
		return;
	}
	for (size_t i = 0; i < MF_COUNT(part); i++) {
		if (i > 0)
			mf_buf_put_u8(to, (uint8_t) "--T::"[i - 1]);
		mf_buf_put_uint(to, (uint64_t)part[i], i == 0 ? 4 : 2);
	}
}

void
mf_time_put_us(struct mf_buf *to, int64_t wall_us)
{
	int64_t s = wall_us / 1000000, us = wall_us % 1000000;
	if (us < 0) {
		us += 1000000;
		s--;
	}
	put_date(to, s);
	mf_buf_put_u8(to, '.');
	mf_buf_put_uint(to, (uint64_t)us, 6);
	mf_buf_put_u8(to, 'Z');
}

void
mf_time_put_s(struct mf_buf *to, int64_t wall_s)
{
	put_date(to, wall_s);
	mf_buf_put_u8(to, 'Z');
}

static bool
digits(struct mf_slice s, size_t at, size_t n, int *ret_v)
{
	int v = 0;
	for (size_t i = at; i < at + n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*ret_v = v;
	return true;
}

enum mf_status
mf_time_get(struct mf_slice s, int64_t *ret_us, struct mf_err *err)
{
	static const int mdays[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int y, mo, d, h, mi, se, us = 0;
	if ((s.n != 20 && s.n != 27) || s.p[4] != '-' || s.p[7] != '-' || s.p[10] != 'T' || s.p[13] != ':' ||
	    s.p[16] != ':' || s.p[s.n - 1] != 'Z' || (s.n == 27 && s.p[19] != '.') || !digits(s, 0, 4, &y) ||
	    !digits(s, 5, 2, &mo) || !digits(s, 8, 2, &d) || !digits(s, 11, 2, &h) ||
	    !digits(s, 14, 2, &mi) || !digits(s, 17, 2, &se) || (s.n == 27 && !digits(s, 20, 6, &us)))
		return MF_FAIL(err, MF_E_INVALID, "time: write it like 2026-11-22T06:00:00Z");
	if (y < 1970 || mo < 1 || mo > 12 || h > 23 || mi > 59 || se > 59)
		return MF_FAIL(err, MF_E_INVALID, "time: no such moment");
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	if (d < 1 || d > mdays[mo - 1] + (mo == 2 && leap))
		return MF_FAIL(err, MF_E_INVALID, "time: no such day");
	int64_t sec = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + se;
	*ret_us = sec * 1000000 + us;
	return MF_OK;
}
