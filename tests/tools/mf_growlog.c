/*
 * mf_growlog STATE TRUST-DOMAIN BROKER-ID RECORDS DAYS: a broker's log as after DAYS days of work, ending now: jobs of a day each, of
 * which each has one certificate, renewed every ten minutes. As many at a time as make RECORDS records; then on until the last
 * segment is nearly full, so that a start has the longest tail to read. Every record is applied to the state, as the notary would,
 * and snapshots are made as it makes them. Nothing is synced before the end: a machine crash leaves rubbish.
 *
 * STATE (kek, keys, log) is of `mayfly-broker init`, DAYS days ago by its own clock. No role may run.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "broker/keys/broker_keys.h"
#include "broker/notary/store.h"
#include "crypto/hash.h"
#include "log/frame.h"

#define NODES 100u
#define RENEWALS 143u /* of a job: with the first certificate a day */
#define EVERY_S 600
#define TTL_S 1200
#define BATCH 64u
#define BOOT "22222222-2222-4222-8222-222222222222"
#define POLICY "0000000000000000000000000000000000000000000000000000000000000000"
#define FULL_PERCENT 95u
#define RECORD_BYTES 249u /* of the usual mixture, with its length */
#define SNAPSHOTS \
	600000u /* records before the end from which on they are made: older ones would be removed */

/* A place at which one job follows another. */
struct place {
	unsigned renewals, left;
	uint64_t job, of;
	char serial[2][33]; /* the last two */
	int64_t exp[2];
};

struct grower {
	struct mf_store_opened o;
	struct mf_store_hook hook;
	struct mf_log_io io;
	struct mf_checkpointer *heads;
	int log_fd;
	const char *broker;
	struct place *places;
	uint64_t live, next_job, size, goal, in_segment, bytes;
	int64_t now_us;
	struct mf_buf text[BATCH];
	struct mf_record rec[BATCH];
	unsigned n;
	/* what records point into, until the batch is written */
	struct texts {
		char id[40], job[32], lease[32], node[32], key[128], other[160], serial[2][40], der[48],
		    spki[48], sha[3][72];
	} s[BATCH];
	struct mf_record_cred cred[BATCH][2];
	struct mf_slice selectors[3];
	bool snapshot;
	uint8_t snapshot_sha[32];
	uint64_t snapshot_size;
};

static void
must(enum mf_status s, const struct mf_err *err)
{
	if (s == MF_OK)
		return;
	(void)fprintf(stderr, "mf_growlog: %s\n", err->msg);
	exit(1);
}

static int
no_sync(void *ctx, int fd)
{
	MF_UNUSED(ctx);
	MF_UNUSED(fd);
	return 0;
}

static void
hex(const uint8_t *p, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++)
		(void)snprintf(to + 2 * i, 3, "%02x", p[i]);
}

static void
on_rollover(void *ctx, const struct mf_wal_anchor *at)
{
	struct grower *g = ctx;
	struct mf_err err = { 0 };
	g->in_segment = 0;
	if (g->goal > g->size && g->goal - g->size > SNAPSHOTS)
		return;
	must(mf_store_write(&g->io, g->log_fd, g->o.state, at, g->snapshot_sha, &err), &err);
	g->snapshot = true;
	g->snapshot_size = at->tree.size;
}

static void
write_batch(struct grower *g)
{
	struct mf_err err = { 0 };
	struct mf_slice v[BATCH];
	uint64_t first;
	if (g->n == 0)
		return;
	for (unsigned i = 0; i < g->n; i++) {
		mf_buf_reset(&g->text[i]);
		must(mf_record_encode(&g->rec[i], &g->text[i], &err), &err);
		v[i] = mf_buf_slice(&g->text[i]);
		g->in_segment += v[i].n + 4;
		g->bytes += v[i].n;
	}
	must(mf_wal_append_batch(g->o.wal, v, g->n, MF_WAL_NORMAL, &first, &err), &err);
	for (unsigned i = 0; i < g->n; i++)
		must(mf_state_apply(g->o.state, first + i, &g->rec[i], &err), &err);
	g->size = first + g->n;
	g->n = 0;
}

/* The next record of the batch, with its envelope. ${s}: texts that live as long as it. */
static struct mf_record *
next(struct grower *g, enum mf_record_type type, struct texts **ret_s)
{
	if (g->n == BATCH)
		write_batch(g);
	struct mf_record *r = &g->rec[g->n];
	struct texts *s = &g->s[g->n++];
	uint8_t random[10];
	memset(r, 0, sizeof(*r));
	r->type = type;
	r->ts_us = g->now_us;
	if (type != MF_REC_SVID_RENEWED) {
		mf_rand_bytes(random, sizeof(random));
		mf_uuid7(g->now_us, random, s->id);
		mf_record_set_str(r, MF_RS_ID, s->id);
		mf_record_set_str(r, MF_RS_BOOT, BOOT);
		mf_record_set_str(r, MF_RS_BROKER, g->broker);
		mf_record_set_str(r, MF_RS_ORIGIN, mf_state_origin(g->o.state));
		mf_record_set_str(r, MF_RS_TENANT, "default");
		mf_record_set_str(r, MF_RS_PERSON, "unix:bench");
		mf_record_set_str(r, MF_RS_GRADE, "pidfd+cgroup");
	}
	*ret_s = s;
	return r;
}

static void
job_id(struct mf_record *r, uint64_t job, struct texts *s)
{
	(void)snprintf(s->job, sizeof(s->job), "j-%020" PRIu64, job);
	mf_record_set_str(r, MF_RS_JOB_ID, s->job);
}

static void
lease_id(struct mf_record *r, uint64_t job, struct texts *s)
{
	(void)snprintf(s->lease, sizeof(s->lease), "l-b1-%016" PRIu64, job);
	mf_record_set_str(r, MF_RS_LEASE, s->lease);
}

static void
node_id(struct mf_record *r, uint64_t job, struct texts *s)
{
	(void)snprintf(s->node, sizeof(s->node), "n-%016u", (unsigned)(job % NODES));
	mf_record_set_str(r, MF_RS_NODE_ID, s->node);
}

static void
job_key(struct mf_record *r, uint64_t job, enum mf_record_str which, struct texts *s)
{
	(void)snprintf(
	    s->key, sizeof(s->key), "local/n-%016u/" BOOT "/cg-%" PRIu64, (unsigned)(job % NODES), job);
	mf_record_set_str(r, which, s->key);
}

static void
node(struct grower *g, unsigned i)
{
	struct texts *s;
	uint8_t random[64];
	struct mf_record *r = next(g, MF_REC_NODE_REGISTERED, &s);
	mf_rand_bytes(random, sizeof(random));
	hex(random, 32, s->sha[0]);
	hex(random + 32, 32, s->sha[1]);
	node_id(r, i, s);
	(void)snprintf(s->other, sizeof(s->other), "spiffe://%s/mayfly/node/n-%016u",
	    mf_state_trust_domain(g->o.state), i);
	mf_record_set_str(r, MF_RS_INNER, s->sha[0]);
	mf_record_set_str(r, MF_RS_EVIDENCE, s->sha[1]);
	mf_record_set_str(r, MF_RS_ATTESTOR, "x509pop");
	mf_record_set_str(r, MF_RS_SPIFFE_ID, s->other);
	mf_record_set_str(r, MF_RS_NODE_BOOT, BOOT);
}

/* Serial, hashes and times of a certificate. */
static void
certificate(struct grower *g, struct mf_record *r, struct place *p, struct texts *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	uint8_t random[60];
	mf_rand_bytes(random, sizeof(random));
	memcpy(p->serial[0], p->serial[1], sizeof(p->serial[0]));
	p->exp[0] = p->exp[1];
	hex(random, 16, p->serial[1]);
	p->exp[1] = g->now_us / 1000000 + TTL_S;
	memcpy(s->serial[0], p->serial[1], sizeof(p->serial[1]));
	for (unsigned i = 0; i < 43; i++)
		s->der[i] = letters[random[16 + i] % 64];
	s->der[43] = '\0';
	mf_record_set_str(r, MF_RS_SERIAL, s->serial[0]);
	mf_record_set_str(r, MF_RS_DER, s->der);
	mf_record_set_num(r, MF_RN_NBF, g->now_us / 1000000 - 30);
	mf_record_set_num(r, MF_RN_EXP, p->exp[1]);
}

static void
begin(struct grower *g, struct place *p)
{
	struct texts *s;
	uint64_t job = p->job = g->next_job++;
	int64_t deadline = g->now_us / 1000000 + 2 * 86400;
	struct mf_record *r = next(g, MF_REC_JOB_STARTED, &s);
	job_id(r, job, s);
	node_id(r, job, s);
	job_key(r, job, MF_RS_JOB_KEY, s);
	(void)snprintf(s->other, sizeof(s->other), "r-%020" PRIu64, job);
	mf_record_set_str(r, MF_RS_JOB_RUN, s->other);
	mf_record_set_str(r, MF_RS_JOB_PROFILE, "long");
	mf_record_set_str(r, MF_RS_ACTOR_KIND, "agent");
	mf_record_set_str(r, MF_RS_EFFECT, "permit");
	mf_record_set_str(r, MF_RS_RULE, "long");
	mf_record_set_str(r, MF_RS_POLICY, POLICY);
	mf_record_set_num(r, MF_RN_DEADLINE, deadline);
	mf_record_set_num(r, MF_RN_DRAIN_MS, 0);
	r = next(g, MF_REC_LEASE_OPENED, &s);
	job_id(r, job, s);
	lease_id(r, job, s);
	node_id(r, job, s);
	job_key(r, job, MF_RS_INSTANCE_KEY, s);
	mf_record_set_str(r, MF_RS_JOB_PROFILE, "long");
	mf_record_set_str(r, MF_RS_NODE_BOOT, BOOT);
	mf_record_set_str(r, MF_RS_EFFECT, "permit");
	mf_record_set_str(r, MF_RS_RULE, "long");
	mf_record_set_str(r, MF_RS_POLICY, POLICY);
	mf_record_set_str(r, MF_RS_ON_END, "deny");
	mf_record_set_num(r, MF_RN_EPOCH, 1);
	mf_record_set_num(r, MF_RN_INSTANCE, 1);
	mf_record_set_num(r, MF_RN_DEADLINE, deadline);
	mf_record_set_num(r, MF_RN_DRAIN_MS, 0);
	r->selectors = g->selectors;
	r->selectors_n = MF_COUNT(g->selectors);
	r = next(g, MF_REC_SVID_ISSUED, &s);
	p->of = g->size + g->n - 1;
	certificate(g, r, p, s);
	job_id(r, job, s);
	lease_id(r, job, s);
	(void)snprintf(s->other, sizeof(s->other), "spiffe://%s/default/long/job/j-%020" PRIu64,
	    mf_state_trust_domain(g->o.state), job);
	memcpy(s->spki, s->der, 44); /* any hash */
	mf_record_set_str(r, MF_RS_SPIFFE_ID, s->other);
	mf_record_set_str(r, MF_RS_SPKI, s->spki);
	mf_record_set_str(r, MF_RS_HOLDER, "job");
	mf_record_set_str(r, MF_RS_HINT, "job");
	mf_record_set_num(r, MF_RN_EPOCH, 1);
	mf_record_set_num(r, MF_RN_SLOT, 0);
	p->left = p->renewals;
	p->renewals = RENEWALS;
}

static void
end(struct grower *g, struct place *p)
{
	struct texts *s;
	struct mf_record *r = next(g, MF_REC_LEASE_ENDED, &s);
	struct mf_record_cred *c = g->cred[g->n - 1];
	unsigned n = 0;
	job_id(r, p->job, s);
	lease_id(r, p->job, s);
	mf_record_set_str(r, MF_RS_CAUSE, "completed");
	mf_record_set_num(r, MF_RN_EPOCH, 1);
	for (unsigned i = 0; i < 2; i++)
		if (p->exp[i] > g->now_us / 1000000) {
			memcpy(s->serial[i], p->serial[i], sizeof(p->serial[i]));
			c[n].serial = mf_slice_str(s->serial[i]);
			c[n++].exp = p->exp[i];
		}
	r->creds = c;
	r->creds_n = n;
	r = next(g, MF_REC_JOB_ENDED, &s);
	job_id(r, p->job, s);
	mf_record_set_str(r, MF_RS_CAUSE, "completed");
}

static void
renew(struct grower *g, struct place *p)
{
	struct texts *s;
	struct mf_record *r = next(g, MF_REC_SVID_RENEWED, &s);
	lease_id(r, p->job, s);
	certificate(g, r, p, s);
	mf_record_set_num(r, MF_RN_OF, (int64_t)p->of);
	p->left--;
}

static void
visit(struct grower *g, struct place *p)
{
	struct texts *s;
	if (p->of == 0) {
		begin(g, p);
	} else if (p->left > 0) {
		renew(g, p);
	} else {
		end(g, p);
		begin(g, p);
	}
	if (!g->snapshot)
		return;
	g->snapshot = false;
	struct mf_record *r = next(g, MF_REC_SNAPSHOT_WRITTEN, &s);
	hex(g->snapshot_sha, 32, s->sha[0]);
	mf_record_set_str(r, MF_RS_SHA256, s->sha[0]);
	mf_record_set_num(r, MF_RN_SIZE, (int64_t)g->snapshot_size);
}

static void
grow(struct grower *g, uint64_t records, uint64_t days)
{
	uint64_t room = MF_LIM_WAL_SEGMENT - MF_LIM_WAL_SEGMENT / 8; /* the rest is for removals */
	int64_t end_us = mf_now().wall_us - 60000000;
	/* So many it will be when the last segment is nearly full; 4 more for each job than its certificates. */
	uint64_t whole = records * RECORD_BYTES / room, last = room / 100 * FULL_PERCENT;
	uint64_t all = (whole * room + last) / RECORD_BYTES;
	g->live = all * RENEWALS / (days * 86400 / EVERY_S * (RENEWALS + 5));
	if (g->live == 0)
		g->live = 1;
	g->places = calloc(g->live, sizeof(*g->places));
	if (g->places == NULL)
		abort();
	int64_t step = (int64_t)EVERY_S * 1000000 / (int64_t)g->live;
	g->goal = all;
	for (unsigned i = 0; i < NODES; i++)
		node(g, i);
	for (uint64_t i = 0; i < g->live; i++) /* not all end at once */
		g->places[i].renewals = 1 + (unsigned)(i % RENEWALS);
	for (uint64_t i = 0; g->size < whole * room / RECORD_BYTES || g->in_segment < last; i++) {
		if (g->now_us + step < end_us)
			g->now_us += step;
		visit(g, &g->places[i % g->live]);
		if (g->size >= 1000000 && i % 1000000 == 0)
			(void)fprintf(stderr, "mf_growlog: %" PRIu64 " records\n", g->size);
	}
	write_batch(g);
}

static void
open_all(struct grower *g, char **argv, struct mf_broker_keys **ret_k)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_kek_free) struct mf_kek *kek = NULL;
	int state = open(argv[1], O_PATH | O_CLOEXEC), keys = openat(state, "keys", O_RDONLY | O_CLOEXEC),
	    fd = openat(state, "kek", O_RDONLY | O_CLOEXEC);
	g->log_fd = openat(state, "log", O_RDONLY | O_CLOEXEC);
	if (state < 0 || keys < 0 || fd < 0 || g->log_fd < 0)
		must(MF_FAIL(&err, MF_E_IO, "%s is no broker's", argv[1]), &err);
	must(mf_kek_read_fd(fd, MF_KEK_RAW, &kek, &err), &err);
	must(mf_broker_keys_load(argv[2], argv[3], kek, keys, ret_k, &err), &err);
	uint8_t pub[MF_ED25519_KEY_SIZE];
	struct mf_note_key key;
	struct mf_buf origin;
	mf_buf_init(&origin, 1000);
	mf_log_origin(argv[2], argv[3], &origin);
	mf_ed25519_public((*ret_k)->log, pub);
	must(mf_note_key_init(mf_buf_slice(&origin), pub, &key, &err), &err);
	g->io = *mf_log_io_system();
	g->io.fsync = g->io.fdatasync = no_sync;
	struct mf_store_conf sc = {
		.io = &g->io, .log_dirfd = g->log_fd, .segment = MF_LIM_WAL_SEGMENT, .key = &key
	};
	must(mf_store_open(&sc, &g->hook, &g->o, &err), &err);
	must(mf_checkpointer_new(&g->io, g->log_fd, mf_buf_slice(&origin), (*ret_k)->log,
		 g->o.has_head ? &g->o.signed_head : NULL, &g->heads, &err),
	    &err);
	g->broker = argv[3];
	g->size = mf_state_size(g->o.state);
	g->now_us = mf_state_last_us(g->o.state) + 1000000;
	g->hook.ctx = g;
	g->hook.on_rollover = on_rollover;
	mf_buf_fini(&origin);
}

int
main(int argc, char **argv)
{
	static struct grower g;
	static const char *const selectors[3] = { "unix.uid:0", "unix.user:bench", "unix.gid:0" };
	struct mf_broker_keys *keys = NULL;
	struct mf_err err = { 0 };
	uint64_t records, days;
	if (argc != 6 || !mf_parse_u64(mf_slice_str(argv[4]), &records) ||
	    !mf_parse_u64(mf_slice_str(argv[5]), &days) || days == 0) {
		(void)fprintf(stderr, "usage: mf_growlog STATE TRUST-DOMAIN BROKER-ID RECORDS DAYS\n");
		return 2;
	}
	for (unsigned i = 0; i < BATCH; i++)
		mf_buf_init(&g.text[i], MF_LIM_RECORD);
	for (size_t i = 0; i < 3; i++)
		g.selectors[i] = mf_slice_str(selectors[i]);
	open_all(&g, argv, &keys);
	grow(&g, records, days);
	struct mf_wal_head head = mf_wal_head(g.o.wal);
	must(mf_checkpointer_publish(g.heads, &head, &err), &err);
	(void)syncfs(g.log_fd);
	(void)printf("%" PRIu64 " records, %" PRIu64 " bytes, %" PRIu64 " live certificates\n", g.size,
	    g.bytes, g.live);
	mf_checkpointer_free(g.heads);
	mf_wal_free(g.o.wal);
	mf_state_free(g.o.state);
	mf_broker_keys_free(keys);
	free(g.places);
	return 0;
}
