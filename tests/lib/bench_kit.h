/*
 * bench_kit: what benches measure with: CPU time of processes, by the kernel's nanoseconds; the physical limits that figures stand
 * beside, measured in the same run; lines of the table.
 */
#ifndef MF_TEST_BENCH_KIT_H
#define MF_TEST_BENCH_KIT_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BENCH_ROUNDS 5u
#define BENCH_ROLES 8u

struct bench_roles {
	const char *name[BENCH_ROLES];
	pid_t pid[BENCH_ROLES];
	size_t n;
};
/* CPU seconds that each role has used; the sum is returned. ${ret_each} may be NULL. */
double mf_bench_cpu(const struct bench_roles *r, double ret_each[BENCH_ROLES]);
double mf_bench_own_cpu(void); /* of the calling thread, seconds */
double mf_bench_clock(void);   /* monotonic, seconds */
double mf_bench_median(const double *v, size_t n);
/* Quantile ${q} of ${n} values, which are sorted by this. */
double mf_bench_quantile(double *v, size_t n, double q);

/* Bare signatures by libcrypto, per CPU second of this thread, for about ${seconds} of it. */
double mf_bench_p256_signatures(double seconds);
double mf_bench_rs256_signatures(double seconds);
/*
 * Mutual TLS 1.3 handshakes over loopback TCP by libssl, sockets and nothing else, ${n} of them one after another: CPU seconds of the
 * server's process for each.
 */
double mf_bench_tls_server(double n);

/* One line: ${what}: ${figure} against ${limit}: the ratio, beside its target; and the load. */
void mf_bench_line(
    const char *what, double figure, const char *limit_name, double limit, double ratio, const char *target);
double mf_bench_load(void);
#endif
