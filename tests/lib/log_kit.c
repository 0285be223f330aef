#include "log_kit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define ORIGIN "example.org/log/b1"
#define STEP_US 1000

static void
must(enum mf_status s, const struct mf_err *err)
{
	if (s == MF_OK)
		return;
	(void)fprintf(stderr, "log_kit: %s\n", err->msg);
	abort();
}

static int
make_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0755) != 0 && errno != EEXIST)
		abort();
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

void
mf_log_kit_open(struct log_kit *k, const char *dir, int64_t start_us, uint64_t segment)
{
	struct mf_err err = { 0 };
	uint8_t seed[32], pub[32];
	memset(k, 0, sizeof(*k));
	memset(seed, 42, sizeof(seed));
	k->ts_us = start_us;
	k->dirfd = make_dir(AT_FDCWD, dir);
	k->waldirfd = make_dir(k->dirfd, "wal");
	must(mf_ed25519_new(mf_slice(seed, sizeof(seed)), &k->key, &err), &err);
	mf_ed25519_public(k->key, pub);
	must(mf_note_key_init(MF_SLICE_LIT(ORIGIN), pub, &k->vkey, &err), &err);
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	mf_note_key_put(&k->vkey, &b);
	mf_buf_put_str(&b, "\n");
	must(mf_log_io_replace(mf_log_io_system(), k->dirfd, MF_VKEY_NAME, mf_buf_slice(&b), &err), &err);
	mf_buf_fini(&b);
	struct mf_wal_opts o = { .segment = segment, .tail_reserve = segment / 8, .reserve = segment / 4 };
	must(mf_wal_open(k->waldirfd, &o, &k->wal, NULL, &err), &err);
	must(mf_checkpointer_new(NULL, k->dirfd, MF_SLICE_LIT(ORIGIN), k->key, NULL, &k->cp, &err), &err);
}

void
mf_log_kit_close(struct log_kit *k)
{
	mf_checkpointer_free(k->cp);
	mf_wal_free(k->wal);
	mf_ed25519_free(k->key);
	(void)close(k->waldirfd);
	(void)close(k->dirfd);
}

static void
put_record(struct log_kit *k, struct mf_buf *b)
{
	static const char *const types[7] = { "job.started", "lease.opened", "svid.issued", "svid.renewed",
		"svid.renewed", "lease.ended", "job.ended" };
	uint64_t i = k->next++, job = i / 7, at = i % 7;
	mf_buf_reset(b);
	mf_buf_put_u8(b, '{');
	if (at == 5)
		mf_buf_putf(b,
		    "\"cause\":\"completed\",\"credentials\":[{\"exp\":1,\"serial\":\"%016" PRIx64 "\"}],",
		    i - 3);
	if (at != 3 && at != 4)
		mf_buf_putf(b, "\"grade\":\"cgroup\",\"id\":\"01890000-0000-7000-8000-%012" PRIx64 "\",", i);
	if (at == 0 || at == 1 || at == 6)
		mf_buf_putf(b,
		    "\"job\":{\"id\":\"j-%020" PRIu64 "\",\"key\":\"local/n%" PRIu64 "/b/cg-%" PRIu64 "\"},",
		    job, job % 3, job);
	if (at > 0 && at < 6)
		mf_buf_putf(b, "\"lease\":\"b1/%" PRIu64 "\",", job);
	if (at < 2)
		mf_buf_putf(b, "\"node\":{\"id\":\"n%" PRIu64 "\"},", job % 3);
	if (at == 3 || at == 4)
		mf_buf_putf(b, "\"of\":%" PRIu64 ",", i - (at - 2));
	if (at >= 2 && at <= 4)
		mf_buf_putf(b, "\"serial\":\"%016" PRIx64 "\",", i);
	if (at == 2)
		mf_buf_putf(
		    b, "\"spiffe_id\":\"spiffe://example.org/default/train/dev/job/j-%020" PRIu64 "\",", job);
	if (at != 3 && at != 4)
		mf_buf_put_str(b, "\"tenant\":\"default\",");
	mf_buf_put_str(b, "\"ts\":\"");
	mf_time_put_us(b, k->ts_us);
	k->ts_us += STEP_US;
	mf_buf_putf(b, "\",\"type\":\"%s\",\"v\":1}", types[at]);
}

void
mf_log_kit_append(struct log_kit *k, uint64_t n, uint64_t batch)
{
	struct mf_err err = { 0 };
	struct mf_buf *b = calloc(batch, sizeof(*b));
	struct mf_slice *rec = calloc(batch, sizeof(*rec));
	if (b == NULL || rec == NULL)
		abort();
	for (uint64_t i = 0; i < batch; i++)
		mf_buf_init(&b[i], 2000);
	while (n > 0) {
		uint64_t m = n < batch ? n : batch, first;
		for (uint64_t i = 0; i < m; i++) {
			put_record(k, &b[i]);
			rec[i] = mf_buf_slice(&b[i]);
		}
		must(mf_wal_append_batch(k->wal, rec, m, MF_WAL_NORMAL, &first, &err), &err);
		n -= m;
	}
	for (uint64_t i = 0; i < batch; i++)
		mf_buf_fini(&b[i]);
	free(b);
	free(rec);
}

void
mf_log_kit_sign(struct log_kit *k)
{
	struct mf_err err = { 0 };
	struct mf_wal_head h = mf_wal_head(k->wal);
	must(mf_checkpointer_publish(k->cp, &h, &err), &err);
}
