/*
 * bench_wal [DIR [SECONDS]]: medians of records a second through the log with 1, 16 and 128 in flight, against F, one bare
 * append of the same 700 bytes with its fdatasync, measured in the same run on the same disk. One thread makes
 * records and keeps so many unacknowledged (the state thread), one commits what has arrived (the committer),
 * and signs a head every second. Figures, nothing asserted.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "log_kit.h"

#define RECORD 700
#define MAX_FLIGHT 128
#define SAMPLES 2000000
#define ROUNDS 9 /* medians of these */

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled, drained;
	uint64_t made, acked; /* records */
	uint64_t flight;
	bool stop;
	double made_at[MAX_FLIGHT];
	char record[MAX_FLIGHT][RECORD + 1];
};

static double *latency;
static size_t latencies;

static double
now(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
make_record(char to[RECORD + 1], uint64_t i)
{
	int n = snprintf(to, RECORD + 1, "{\"id\":\"%020llu\",\"pad\":\"", (unsigned long long)i);
	memset(to + n, 'x', (size_t)(RECORD - n - 2));
	memcpy(to + RECORD - 2, "\"}", 2);
}

static void *
state_thread(void *arg)
{
	struct queue *q = arg;
	(void)pthread_mutex_lock(&q->lock);
	while (!q->stop) {
		while (!q->stop && q->made - q->acked >= q->flight)
			(void)pthread_cond_wait(&q->drained, &q->lock);
		while (!q->stop && q->made - q->acked < q->flight) {
			size_t at = q->made % MAX_FLIGHT;
			(void)pthread_mutex_unlock(&q->lock);
			make_record(q->record[at], q->made);
			q->made_at[at] = now();
			(void)pthread_mutex_lock(&q->lock);
			q->made++;
			(void)pthread_cond_signal(&q->filled);
		}
	}
	(void)pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* Records a second with ${flight} in flight. */
static double
through_log(struct log_kit *k, uint64_t flight, double seconds, double *ret_batch)
{
	static struct queue q;
	memset(&q, 0, sizeof(q));
	(void)pthread_mutex_init(&q.lock, NULL);
	(void)pthread_cond_init(&q.filled, NULL);
	(void)pthread_cond_init(&q.drained, NULL);
	q.flight = flight;
	pthread_t thread;
	if (pthread_create(&thread, NULL, state_thread, &q) != 0)
		abort();
	double begin = now(), end = begin + seconds, sign_at = begin + 1, t = begin;
	uint64_t batches = 0;
	struct mf_err err = { 0 };
	while (t < end) {
		struct mf_slice rec[MAX_FLIGHT];
		(void)pthread_mutex_lock(&q.lock);
		while (q.made == q.acked)
			(void)pthread_cond_wait(&q.filled, &q.lock);
		uint64_t n = q.made - q.acked, first;
		(void)pthread_mutex_unlock(&q.lock);
		for (uint64_t i = 0; i < n; i++)
			rec[i] = mf_slice(q.record[(q.acked + i) % MAX_FLIGHT], RECORD);
		if (mf_wal_append_batch(k->wal, rec, n, MF_WAL_NORMAL, &first, &err) != MF_OK) {
			(void)fprintf(stderr, "bench_wal: %s\n", err.msg);
			exit(1);
		}
		t = now();
		for (uint64_t i = 0; i < n && latencies < SAMPLES; i++)
			latency[latencies++] = t - q.made_at[(q.acked + i) % MAX_FLIGHT];
		(void)pthread_mutex_lock(&q.lock);
		q.acked += n;
		(void)pthread_cond_signal(&q.drained);
		(void)pthread_mutex_unlock(&q.lock);
		batches++;
		if (t > sign_at) {
			mf_log_kit_sign(k);
			sign_at += 1;
		}
	}
	(void)pthread_mutex_lock(&q.lock);
	q.stop = true;
	uint64_t acked = q.acked;
	(void)pthread_cond_signal(&q.drained);
	(void)pthread_mutex_unlock(&q.lock);
	(void)pthread_join(thread, NULL);
	*ret_batch = (double)acked / (double)batches;
	return (double)acked / (t - begin);
}

/* F: one write and one fdatasync for each record. */
static double
bare(const char *dir, double seconds)
{
	char name[300], rec[RECORD + 1];
	(void)snprintf(name, sizeof(name), "%s/bare", dir);
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		abort();
	double begin = now(), t = begin;
	uint64_t n = 0;
	make_record(rec, 1);
	for (; t < begin + seconds; n++, t = now())
		if (write(fd, rec, RECORD) != RECORD || fdatasync(fd) != 0)
			abort();
	(void)close(fd);
	(void)unlink(name);
	return (double)n / (t - begin);
}

static int
by_value(const void *a, const void *b)
{
	double x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	static const uint64_t flights[] = { 1, 16, 128 };
	char dir[200];
	uint64_t seconds = 5;
	(void)snprintf(dir, sizeof(dir), "%s/bench-wal-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (argc > 2 && !mf_parse_u64(mf_slice_str(argv[2]), &seconds))
		return 2;
	latency = calloc(SAMPLES, sizeof(*latency));
	if (latency == NULL || mkdtemp(dir) == NULL) {
		perror(dir);
		return 1;
	}
	struct log_kit k;
	char log[300];
	(void)snprintf(log, sizeof(log), "%s/log", dir);
	mf_log_kit_open(&k, log, 0, MF_LIM_WAL_SEGMENT);
	(void)printf("%9s %12s %12s %18s %10s %10s %10s\n", "in flight", "records/s", "F/s",
	    "ratio (min..max)", "per sync", "p50 ms", "p99 ms");
	for (size_t i = 0; i < MF_COUNT(flights); i++) {
		double f[ROUNDS], rate[ROUNDS], ratio[ROUNDS], batch = 0, slice = (double)seconds / ROUNDS;
		latencies = 0;
		for (size_t r = 0; r < ROUNDS; r++) { /* in turns: the disk is shared */
			f[r] = bare(dir, slice);
			rate[r] = through_log(&k, flights[i], slice, &batch);
			ratio[r] = rate[r] / f[r];
		}
		qsort(latency, latencies, sizeof(*latency), by_value);
		qsort(f, ROUNDS, sizeof(*f), by_value);
		qsort(rate, ROUNDS, sizeof(*rate), by_value);
		qsort(ratio, ROUNDS, sizeof(*ratio), by_value);
		(void)printf("%9llu %12.0f %12.0f %6.2f (%.2f..%.2f) %8.1f %10.2f %10.2f\n",
		    (unsigned long long)flights[i], rate[ROUNDS / 2], f[ROUNDS / 2], ratio[ROUNDS / 2],
		    ratio[0], ratio[ROUNDS - 1], batch, latency[latencies / 2] * 1e3,
		    latency[latencies * 99 / 100] * 1e3);
	}
	mf_log_kit_close(&k);
	free(latency);
	char cmd[300];
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) == 0 ? 0 : 1;
}
