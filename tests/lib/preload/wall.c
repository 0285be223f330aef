/*
 * wall.c: a wall clock that a test can move under running programs. Preloaded by an /etc/ld.so.preload of the test's own mount
 * namespace, so that roles have it too, which inherit no environment. WALL_FILE holds an int64_t, microseconds to be added to
 * CLOCK_REALTIME; it is mapped before a role confines itself, and read from memory ever after. Monotonic clocks stay as they are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *added;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void
wall_init(void)
{
	*(void **)(void *)&real = dlsym(RTLD_NEXT, "clock_gettime");
	int fd = open(WALL_FILE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	void *p = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		added = p;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (real == NULL)
		wall_init();
	int rc = real(id, ts);
	if (rc != 0 || added == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return rc;
	int64_t us = (int64_t)ts->tv_sec * 1000000 + ts->tv_nsec / 1000 + atomic_load(added);
	ts->tv_nsec = (us % 1000000) * 1000 + ts->tv_nsec % 1000;
	ts->tv_sec = us / 1000000;
	return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;
	(void)zone;
	int rc = clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return rc;
}

time_t
time(time_t *to)
{
	struct timespec ts;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	if (to != NULL)
		*to = ts.tv_sec;
	return ts.tv_sec;
}
