/* A short history of a broker as log records, for tests of what is applied from them. Include after cmocka.h. */
#ifndef MF_TESTS_RECORD_KIT_H
#define MF_TESTS_RECORD_KIT_H
#include <stdio.h>

#include "base/limits.h"
#include "broker/core/record.h"

#define KIT_US INT64_C(1790000000000000)
#define KIT_HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KIT_NODE_A "n-aaaaaaaaaaaaaaaa"
#define KIT_NODE_B "n-aaaabbbbbbbbbbbb"
#define KIT_JOB_1 "j-ccccccccccccccccdddd"
#define KIT_JOB_2 "j-ccccccccccccccccdddx"
#define KIT_JOB_3 "j-zzzzzzzzzzzzzzzzzzzz"

struct kit {
	struct mf_buf *rec; /* one per record */
	struct mf_slice *at;
	size_t n, cap;
};

static inline struct mf_record
kit_record(const struct kit *k, enum mf_record_type t)
{
	struct mf_record r = { .type = t, .ts_us = KIT_US + (int64_t)k->n * 1000000 };
	mf_record_set_str(&r, MF_RS_ID, "01890a5d-ac96-774b-bcce-b302099a8057");
	mf_record_set_str(&r, MF_RS_BROKER, "b1");
	mf_record_set_str(&r, MF_RS_BOOT, "01890a5d-ac96-774b-bcce-b302099a8058");
	mf_record_set_str(&r, MF_RS_ORIGIN, "example.org/mayfly/b1");
	mf_record_set_str(&r, MF_RS_TENANT, "default");
	mf_record_set_str(&r, MF_RS_PERSON, "");
	mf_record_set_str(&r, MF_RS_GRADE, "");
	return r;
}

static inline void
kit_add(struct kit *k, const struct mf_record *r)
{
	struct mf_err err = { 0 };
	if (k->n == k->cap) {
		k->cap = k->cap == 0 ? 64 : 2 * k->cap;
		k->rec = realloc(k->rec, k->cap * sizeof(*k->rec));
		k->at = realloc(k->at, k->cap * sizeof(*k->at));
		assert_non_null(k->rec);
		assert_non_null(k->at);
	}
	mf_buf_init(&k->rec[k->n], MF_LIM_RECORD);
	if (mf_record_encode(r, &k->rec[k->n], &err) != MF_OK)
		fail_msg("%s", err.msg);
	k->at[k->n] = mf_buf_slice(&k->rec[k->n]);
	k->n++;
}

static inline void
kit_fini(struct kit *k)
{
	for (size_t i = 0; i < k->n; i++)
		mf_buf_fini(&k->rec[i]);
	free(k->rec);
	free(k->at);
	*k = (struct kit) { .n = 0 };
}

static inline void
kit_opened(struct kit *k)
{
	struct mf_record r = kit_record(k, MF_REC_LOG_OPENED);
	mf_record_set_str(&r, MF_RS_TRUST_DOMAIN, "example.org");
	mf_record_set_str(&r, MF_RS_CA_SHA256, KIT_HEX64);
	mf_record_set_str(&r, MF_RS_VKEY, "example.org/mayfly/b1+deadbeef+AQID");
	mf_record_set_str(&r, MF_RS_INNER, KIT_HEX64);
	kit_add(k, &r);
}

static inline void
kit_token(struct kit *k, const char *id, int64_t uses)
{
	struct mf_slice attributes[] = { MF_SLICE_LIT("pool=gpu-a"), MF_SLICE_LIT("quote=\"x\"") };
	struct mf_record r = kit_record(k, MF_REC_TOKEN_CREATED);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_num(&r, MF_RN_UID, 0);
	mf_record_set_str(&r, MF_RS_TOKEN_ID, id);
	mf_record_set_str(&r, MF_RS_TOKEN_HASH, KIT_HEX64);
	mf_record_set_num(&r, MF_RN_USES, uses);
	mf_record_set_num(&r, MF_RN_EXPIRES, KIT_US / 1000000 + 3600);
	r.attributes = attributes;
	r.attributes_n = MF_COUNT(attributes);
	kit_add(k, &r);
}

static inline void
kit_node(struct kit *k, const char *id, const char *token, const char *hostname)
{
	struct mf_slice attributes[] = { MF_SLICE_LIT("pool=gpu-a") };
	char spiffe[128], inner[65];
	struct mf_record r = kit_record(k, MF_REC_NODE_REGISTERED);
	(void)snprintf(spiffe, sizeof(spiffe), "spiffe://example.org/mayfly/node/%s", id);
	(void)snprintf(inner, sizeof(inner), "%064zu", k->n);
	mf_record_set_str(&r, MF_RS_NODE_ID, id);
	mf_record_set_str(&r, MF_RS_INNER, inner);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, spiffe);
	mf_record_set_str(&r, MF_RS_TOKEN_ID, token);
	mf_record_set_str(&r, MF_RS_HOSTNAME, hostname);
	r.attributes = attributes;
	r.attributes_n = MF_COUNT(attributes);
	kit_add(k, &r);
}

/* node.evicted, node.readmitted, node.refused. */
static inline void
kit_node_says(struct kit *k, enum mf_record_type type, const char *id, const char *reason)
{
	struct mf_record r = kit_record(k, type);
	mf_record_set_str(&r, MF_RS_NODE_ID, id);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_str(&r, MF_RS_REASON, reason);
	kit_add(k, &r);
}

static inline void
kit_evicted(struct kit *k, const char *id)
{
	kit_node_says(k, MF_REC_NODE_EVICTED, id, "stolen");
}

static inline void
kit_job(struct kit *k, const char *id, const char *key, const char *name)
{
	struct mf_record r = kit_record(k, MF_REC_JOB_STARTED);
	mf_record_set_str(&r, MF_RS_JOB_ID, id);
	mf_record_set_str(&r, MF_RS_JOB_KEY, key);
	mf_record_set_str(&r, MF_RS_JOB_RUN, "r-cccccccccccccccccccc");
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, "train");
	mf_record_set_str(&r, MF_RS_JOB_NAME, name);
	mf_record_set_str(&r, MF_RS_RULE, "nlp-train");
	mf_record_set_num(&r, MF_RN_DEADLINE, KIT_US / 1000000 + 2 * 86400);
	mf_record_set_num(&r, MF_RN_DRAIN_MS, 60000);
	kit_add(k, &r);
}

static inline void
kit_lease(struct kit *k, const char *lease, const char *job, const char *key, const char *node, int64_t n)
{
	struct mf_slice selectors[] = { MF_SLICE_LIT("unix.user:alice"), MF_SLICE_LIT("unix.uid:1000") };
	struct mf_record r = kit_record(k, MF_REC_LEASE_OPENED);
	mf_record_set_str(&r, MF_RS_LEASE, lease);
	mf_record_set_str(&r, MF_RS_JOB_ID, job);
	mf_record_set_str(&r, MF_RS_INSTANCE_KEY, key);
	mf_record_set_str(&r, MF_RS_NODE_ID, node);
	mf_record_set_str(&r, MF_RS_NODE_BOOT, "0f3c9e6a-0000-4000-8000-000000000001");
	mf_record_set_str(&r, MF_RS_RULE, "nlp-train");
	mf_record_set_str(&r, MF_RS_POLICY, KIT_HEX64);
	mf_record_set_str(&r, MF_RS_GRADE, "cgroup");
	mf_record_set_num(&r, MF_RN_EPOCH, 1);
	mf_record_set_num(&r, MF_RN_INSTANCE, n);
	mf_record_set_num(&r, MF_RN_DEADLINE, KIT_US / 1000000 + 86400 * n);
	r.selectors = selectors;
	r.selectors_n = MF_COUNT(selectors);
	kit_add(k, &r);
}

/* lease.suspended, lease.resumed or lease.ended */
static inline void
kit_lease_moved(struct kit *k, enum mf_record_type t, const char *lease, const char *job, int64_t epoch)
{
	struct mf_record r = kit_record(k, t);
	mf_record_set_str(&r, MF_RS_LEASE, lease);
	mf_record_set_num(&r, MF_RN_EPOCH, epoch);
	if (t == MF_REC_LEASE_RESUMED) {
		mf_record_set_str(&r, MF_RS_RULE, "nlp-train");
		mf_record_set_str(&r, MF_RS_POLICY, KIT_HEX64);
	} else {
		mf_record_set_str(&r, MF_RS_CAUSE, t == MF_REC_LEASE_ENDED ? "empty" : "silent");
	}
	if (t == MF_REC_LEASE_ENDED)
		mf_record_set_str(&r, MF_RS_JOB_ID, job);
	kit_add(k, &r);
}

static inline void
kit_job_ended(struct kit *k, const char *job)
{
	struct mf_record r = kit_record(k, MF_REC_JOB_ENDED);
	mf_record_set_str(&r, MF_RS_JOB_ID, job);
	mf_record_set_str(&r, MF_RS_CAUSE, "empty");
	kit_add(k, &r);
}

/* job.extended, job.shortened (${at}: the deadline), job.ending (${at}: until when) */
static inline void
kit_job_moved(struct kit *k, enum mf_record_type t, const char *job, int64_t at)
{
	struct mf_record r = kit_record(k, t);
	mf_record_set_str(&r, MF_RS_JOB_ID, job);
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_str(&r, MF_RS_CAUSE, "operator");
	mf_record_set_num(&r, t == MF_REC_JOB_ENDING ? MF_RN_UNTIL : MF_RN_DEADLINE, at);
	kit_add(k, &r);
}

static inline void
kit_svid(struct kit *k, const char *lease)
{
	struct mf_record r = kit_record(k, MF_REC_SVID_ISSUED);
	mf_record_set_str(&r, MF_RS_HOLDER, "job");
	mf_record_set_str(&r, MF_RS_LEASE, lease);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, "spiffe://example.org/x");
	mf_record_set_str(&r, MF_RS_SERIAL, "00112233445566778899aabbccddeeff");
	mf_record_set_str(&r, MF_RS_DER, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	mf_record_set_str(&r, MF_RS_SPKI, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	mf_record_set_num(&r, MF_RN_NBF, KIT_US / 1000000);
	mf_record_set_num(&r, MF_RN_EXP, KIT_US / 1000000 + 1200);
	mf_record_set_num(&r, MF_RN_SLOT, 0);
	mf_record_set_num(&r, MF_RN_EPOCH, 1);
	kit_add(k, &r);
}

/* All of it: two nodes, three jobs in three states, one node evicted. */
static inline void
kit_history(struct kit *k)
{
	kit_opened(k);
	kit_token(k, "t-1", 2);
	kit_node(k, KIT_NODE_A, "t-1", "gpu-07");
	kit_node(k, KIT_NODE_B, "t-1", "gpu-08");
	kit_job(k, KIT_JOB_1, "local/" KIT_NODE_A "/boot/cg-11", "tiny");
	kit_lease(k, "L1.b1", KIT_JOB_1, "local/" KIT_NODE_A "/boot/cg-11", KIT_NODE_A, 1);
	kit_svid(k, "L1.b1");
	kit_job(k, KIT_JOB_2, "slurm/c1/77.0", "");
	kit_lease(k, "L2.b1", KIT_JOB_2, "slurm/c1/77.0/a", KIT_NODE_A, 1);
	kit_lease(k, "L3.b1", KIT_JOB_2, "slurm/c1/77.0/b", KIT_NODE_B, 2);
	kit_lease_moved(k, MF_REC_LEASE_SUSPENDED, "L2.b1", KIT_JOB_2, 1);
	kit_lease_moved(k, MF_REC_LEASE_RESUMED, "L2.b1", KIT_JOB_2, 2);
	kit_lease_moved(k, MF_REC_LEASE_SUSPENDED, "L3.b1", KIT_JOB_2, 1);
	kit_job(k, KIT_JOB_3, "local/" KIT_NODE_B "/boot/cg-12", "");
	kit_lease(k, "L4.b1", KIT_JOB_3, "local/" KIT_NODE_B "/boot/cg-12", KIT_NODE_B, 1);
	kit_lease_moved(k, MF_REC_LEASE_ENDED, "L4.b1", KIT_JOB_3, 1);
	kit_job_ended(k, KIT_JOB_3);
	kit_evicted(k, KIT_NODE_B);
}
#endif
