/* notary_log: what notary_rig knows, and the rules of the log that its notary writes. Header only. */
#ifndef MF_TEST_NOTARY_LOG_H
#define MF_TEST_NOTARY_LOG_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "broker/core/record.h"
#include "codec/join_token.h"
#include "codec/x509_peek.h"
#include "crypto/hash.h"
#include "crypto/inner.h"
#include "crypto/p256.h"
#include "log/reader.h"
#include "os/build_id.h"
#include "os/control.h"
#include "os/role_start.h"
#include "os/spawn.h"
#include "rpc/role_links.h"
#include "store_kit.h"

#include "roles.pb-c.h"

#define NR_HANG_MS 60000
#define NR_BOOT "11111111-1111-4111-8111-111111111111"
#define NR_MAX_JOB_S 3600
#define NR_TAPE 4096u
#define NR_PEERS 4u
#define NR_UID 64998u /* of the notary, where the test is root */

/* An honest attestor behind the hostile front. */
struct npeer {
	uint64_t sid;
	struct mf_x25519 *key;
	struct mf_noise *noise;
	struct mf_inner *inner; /* NULL: the session is not there */
	char node[80];
	uint8_t value[16];
	uint64_t request;
	ProtobufCMessage *down; /* the answer to ${request} */
	char lease[80];		/* as granted last */
	unsigned instance;	/* as it asked last */
	uint32_t epoch;
};

/* What has passed, both ways: a front can keep it all. */
struct npassed {
	uint64_t sid;
	bool handshake, up;
	uint8_t *p;
	size_t n;
};

struct nrig {
	struct store_kit k;
	struct mf_buf prologue;
	char stderr_path[96];
	pid_t pid;
	int pidfd;
	struct mf_seqpacket *control, *front; /* front NULL: the notary has closed the link */
	bool open;			      /* its hello has come */
	struct npeer peer[NR_PEERS];
	struct npassed tape[NR_TAPE];
	size_t tape_n;
	bool keep_up, keep_down; /* the front holds back what goes up or down: it is on the tape only */
	uint64_t next_sid, next_call;
	ProtobufCMessage *reply; /* the last AdminReply */
	size_t certificates, grants, cloud_grants;
	const char *policy; /* what the notary begins with; NULL: the rig's own */
	uint8_t cloud[1024];
	size_t cloud_n;	   /* and its cloud targets, packed; 0: none */
	char refusal[256]; /* the last one that an attestor heard */
	char *stated[256]; /* instance keys that honest attestors have named, each with its node */
	size_t stated_n;
};

static inline int
nr_memfd(const char *name, const void *p, size_t n)
{
	char path[96];
	(void)snprintf(path, sizeof(path), "/tmp/mayfly-test-%s-XXXXXX", name);
	int fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* ---- the log ---- */

typedef void nr_record_fn(void *ctx, uint64_t index, const struct mf_record *rec);
struct nr_walk {
	nr_record_fn *fn;
	void *ctx;
};

static inline enum mf_status
nr_walk_one(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	struct nr_walk *w = ctx;
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *d = NULL;
	MF_TRY(mf_record_decode(rec->bytes, &d, err));
	w->fn(w->ctx, rec->index, mf_record_doc_get(d));
	return MF_OK;
}

static inline void
nr_walk(struct nrig *r, nr_record_fn *fn, void *ctx)
{
	struct nr_walk w = { fn, ctx };
	struct mf_err err = { 0 };
	uint64_t next = 0;
	if (mf_wal_read(NULL, r->k.wal_fd, 0, UINT64_MAX, nr_walk_one, &w, &next, &err) != MF_OK)
		fail_msg("the log: %s", err.msg);
}

struct nr_find {
	struct mf_slice der, serial;
	char sha256[65]; /* hex, of a cloud token */
	bool found;
	int64_t exp;
	enum mf_record_type type;
	size_t n;
};

static inline void
nr_sha256_hex(const char *text, char ret_hex[65])
{
	uint8_t sum[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 128);
	mf_sha256(mf_slice_str(text), sum);
	mf_hex_put(&b, mf_slice(sum, sizeof(sum)));
	(void)snprintf(ret_hex, 65, "%s", mf_buf_cstr(&b));
}

static inline void
nr_is_cloud_issued(void *ctx, uint64_t index, const struct mf_record *rec)
{
	struct nr_find *f = ctx;
	MF_UNUSED(index);
	if (rec->type != MF_REC_CLOUD_ISSUED || !mf_slice_eq(rec->s[MF_RS_SERIAL], f->serial) ||
	    !mf_slice_eq_str(rec->s[MF_RS_SHA256], f->sha256))
		return;
	f->found = true;
	f->exp = rec->n[MF_RN_EXP];
}

static inline void
nr_is_der(void *ctx, uint64_t index, const struct mf_record *rec)
{
	struct nr_find *f = ctx;
	MF_UNUSED(index);
	f->found = f->found || mf_slice_eq(rec->s[MF_RS_DER], f->der);
}

static inline void
nr_is_type(void *ctx, uint64_t index, const struct mf_record *rec)
{
	struct nr_find *f = ctx;
	MF_UNUSED(index);
	f->n += rec->type == f->type;
}

static inline size_t
nr_count(struct nrig *r, enum mf_record_type type)
{
	struct nr_find f = { .type = type };
	nr_walk(r, nr_is_type, &f);
	return f.n;
}

/* The rule for every grant: its certificates are in the log already, and live no longer than the job may. */
static inline void
nr_look_at_grant(struct nrig *r, struct npeer *p, const Mayfly__Agent__V1__Grant *g)
{
	int64_t now_s = mf_now().wall_us / 1000000;
	r->grants++;
	(void)snprintf(p->lease, sizeof(p->lease), "%s", g->lease_id);
	p->epoch = g->epoch;
	for (size_t i = 0; i < g->n_issued; i++) {
		struct mf_x509_peek peek;
		uint8_t sum[32];
		char text[64];
		/* The leaf comes first; its length stands in its second to fourth byte. */
		const uint8_t *d = g->issued[i]->chain.data;
		assert_true(g->issued[i]->chain.len > 4 && d[0] == 0x30 && d[1] == 0x82);
		struct mf_slice leaf = mf_slice(d, 4u + (size_t)(d[2] << 8 | d[3]));
		assert_int_equal(mf_x509_peek(leaf, &peek, NULL), MF_OK);
		mf_sha256(leaf, sum);
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 64);
		mf_base64url_put(&b, mf_slice(sum, sizeof(sum)));
		(void)snprintf(text, sizeof(text), "%s", mf_buf_cstr(&b));
		struct nr_find f = { .der = mf_slice_str(text) };
		nr_walk(r, nr_is_der, &f);
		if (!f.found)
			fail_msg("a certificate without its record: %s", g->issued[i]->spiffe_id);
		assert_true(peek.not_after_s <= g->deadline);
		assert_true(peek.not_after_s <= now_s + 1200 + 5);
		assert_true(g->deadline <= now_s + NR_MAX_JOB_S + 5);
	}
}

/* And for every cloud token: it is in the log already, by its hash, and works no longer than was recorded. */
static inline void
nr_look_at_cloud_grant(struct nrig *r, const Mayfly__Agent__V1__CloudGrant *g)
{
	Mayfly__Roles__V1__CloudToken *t =
	    mayfly__roles__v1__cloud_token__unpack(NULL, g->token.len, g->token.data);
	struct nr_find f = { .serial = mf_slice_str(g->credential_id) };
	assert_non_null(t);
	nr_sha256_hex(t->session_token[0] != '\0' ? t->session_token : t->access_token, f.sha256);
	r->cloud_grants++;
	nr_walk(r, nr_is_cloud_issued, &f);
	if (!f.found)
		fail_msg("a cloud token without its record: %s", g->credential_id);
	assert_true(g->effective_expires <= g->expires);
	assert_int_equal(g->expires, f.exp);
	mayfly__roles__v1__cloud_token__free_unpacked(t, NULL);
}

/* ---- the rules of the whole log ---- */

struct nr_over {
	char lease[64][80];
	size_t n;
	struct nrig *r;
	struct {
		uint64_t index;
		char lease[80];
	} issued[512];
	size_t issued_n;
};

static inline bool
nr_is_over(const struct nr_over *o, struct mf_slice lease)
{
	for (size_t i = 0; i < o->n; i++)
		if (mf_slice_eq_str(lease, o->lease[i]))
			return true;
	return false;
}

static inline void
nr_check_record(void *ctx, uint64_t index, const struct mf_record *rec)
{
	struct nr_over *o = ctx;
	struct mf_slice lease = rec->s[MF_RS_LEASE];
	if (rec->type == MF_REC_LEASE_OPENED) { /* an honest attestor has asked for it */
		bool stated = false;
		for (size_t i = 0; i < o->r->stated_n; i++)
			stated = stated || mf_slice_eq_str(rec->s[MF_RS_INSTANCE_KEY], o->r->stated[i]);
		if (!stated)
			fail_msg("record %llu: a lease that nobody asked for", (unsigned long long)index);
	}
	if (rec->type == MF_REC_LEASE_ENDED && o->n < MF_COUNT(o->lease))
		(void)snprintf(
		    o->lease[o->n++], sizeof(o->lease[0]), "%.*s", (int)lease.n, (const char *)lease.p);
	if ((rec->type == MF_REC_SVID_ISSUED || rec->type == MF_REC_SVID_RENEWED) && lease.n > 0 &&
	    nr_is_over(o, lease))
		fail_msg("record %llu: issued after the end", (unsigned long long)index);
}

static inline void
nr_check_log(struct nrig *r)
{
	struct nr_over *o = calloc(1, sizeof(*o));
	const struct mf_wal_anchor empty = { 0 };
	MF_AUTO(mf_wal_reader_free) struct mf_wal_reader *rd = NULL;
	struct mf_err err = { 0 };
	struct mf_frame f;
	enum mf_status s;
	assert_non_null(o);
	o->r = r;
	nr_walk(r, nr_check_record, o);
	free(o);
	assert_int_equal(mf_wal_reader_new(NULL, r->k.wal_fd, &empty, &rd, &err), MF_OK);
	while ((s = mf_wal_reader_next(rd, &f, &err)) == MF_OK)
		continue;
	if (s != MF_E_AGAIN)
		fail_msg("the log does not verify: %s", err.msg);
}
#endif
