#include "bench_kit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/jws_key.h"
#include "crypto/p256.h"

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static double
clock_s(clockid_t c)
{
	struct timespec t;
	(void)clock_gettime(c, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double
mf_bench_own_cpu(void)
{
	return clock_s(CLOCK_THREAD_CPUTIME_ID);
}

double
mf_bench_clock(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

/* All threads, by nanoseconds: utime of /proc/PID/stat counts hundredths. */
static double
cpu_of(pid_t pid)
{
	char path[64];
	unsigned long long ns, sum = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	must(d != NULL);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char file[400];
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s/schedstat", path, e->d_name);
		FILE *f = fopen(file, "re");
		if (f == NULL)
			continue; /* it has just ended */
		if (fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		(void)fclose(f);
	}
	(void)closedir(d);
	return (double)sum / 1e9;
}

double
mf_bench_cpu(const struct bench_roles *r, double ret_each[BENCH_ROLES])
{
	double sum = 0;
	for (size_t i = 0; i < r->n; i++) {
		double one = cpu_of(r->pid[i]);
		if (ret_each != NULL)
			ret_each[i] = one;
		sum += one;
	}
	return sum;
}

static int
by_size(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;
	return (a > b) - (a < b);
}

double
mf_bench_quantile(double *v, size_t n, double q)
{
	must(n > 0);
	qsort(v, n, sizeof(*v), by_size);
	size_t at = (size_t)((double)n * q);
	return v[at < n ? at : n - 1];
}

double
mf_bench_median(const double *v, size_t n)
{
	double copy[64];
	must(n > 0 && n <= 64);
	for (size_t i = 0; i < n; i++)
		copy[i] = v[i];
	return mf_bench_quantile(copy, n, 0.5);
}

double
mf_bench_p256_signatures(double seconds)
{
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *signer = NULL;
	uint8_t digest[32] = { 7 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sig;
	mf_buf_init(&sig, MF_P256_SIG_MAX);
	must(mf_p256_generate(&key, NULL) == MF_OK && mf_p256_signer_new(key, &signer, NULL) == MF_OK);
	double begin = mf_bench_own_cpu(), in;
	unsigned made = 0;
	while ((in = mf_bench_own_cpu() - begin) < seconds)
		for (int i = 0; i < 64; i++, made++) {
			mf_buf_reset(&sig);
			must(mf_p256_sign_digest(signer, digest, &sig, NULL) == MF_OK);
		}
	return made / in;
}

double
mf_bench_rs256_signatures(double seconds)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *key = NULL;
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sig;
	mf_buf_init(&sig, 1024);
	must(mf_jws_key_generate(MF_JWS_RS256, &key, NULL) == MF_OK &&
	     mf_jws_signer_new(key, &signer, NULL) == MF_OK);
	double begin = mf_bench_own_cpu(), in;
	unsigned made = 0;
	while ((in = mf_bench_own_cpu() - begin) < seconds)
		for (int i = 0; i < 16; i++, made++) {
			mf_buf_reset(&sig);
			must(mf_jws_sign(signer, MF_SLICE_LIT("a header and a body"), &sig, NULL) == MF_OK);
		}
	return made / in;
}

double
mf_bench_load(void)
{
	double l = 0;
	return getloadavg(&l, 1) == 1 ? l : 0;
}

void
mf_bench_line(
    const char *what, double figure, const char *limit_name, double limit, double ratio, const char *target)
{
	(void)printf("%-44s %9.0f | %s %9.0f | ratio %.3f | target %s | load %.1f\n", what, figure,
	    limit_name, limit, ratio, target, mf_bench_load());
	(void)fflush(stdout);
}
