#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/limits.h"
#include "base/text.h"
#include "broker/core/record.h"

/*
 * What each type must carry, in the order of its text: spelled out here a second time, so that nobody takes a field
 * out of records by mistake. (grade, person and tenant are there even when empty, and so can never be missing.)
 */
static const struct {
	enum mf_record_type type;
	const char *name, *must;
	bool removal;
} types[] = {
	{ MF_REC_LOG_OPENED, "log.opened", "boot broker ca_sha256 id inner origin trust_domain vkey", false },
	{ MF_REC_LOG_RECOVERED, "log.recovered", "boot broker bytes id origin", true },
	{ MF_REC_BROKER_STARTED, "broker.started", "boot broker id origin release", true },
	{ MF_REC_BROKER_STOPPED, "broker.stopped", "boot broker id origin", true },
	{ MF_REC_POLICY_LOADED, "policy.loaded", "boot broker id origin rules sha256", false },
	{ MF_REC_SNAPSHOT_WRITTEN, "snapshot.written", "boot broker id origin sha256 size", false },
	{ MF_REC_TOKEN_CREATED, "node.token_created",
	    "actor.kind boot broker expires id origin token.hash token.id token.uses", false },
	{ MF_REC_NODE_REGISTERED, "node.registered", "boot broker id inner node.id origin spiffe_id", false },
	{ MF_REC_NODE_SESSION, "node.session", "boot broker id node.boot node.id origin session", false },
	{ MF_REC_NODE_CONFIRMED, "node.session_confirmed", "boot broker id node.id origin session", true },
	{ MF_REC_NODE_EVICTED, "node.evicted", "actor.kind boot broker id node.id origin", true },
	{ MF_REC_NODE_REFUSED, "node.refused", "boot broker id origin reason", false },
	{ MF_REC_JOB_STARTED, "job.started", "boot broker id job.id job.key job.profile job.run origin",
	    false },
	{ MF_REC_JOB_ENDED, "job.ended", "boot broker cause id job.id origin", true },
	{ MF_REC_LEASE_OPENED, "lease.opened",
	    "boot broker deadline decision.policy decision.rule epoch id instance.key instance.n job.id "
	    "lease node.boot node.id origin",
	    false },
	{ MF_REC_LEASE_RESUMED, "lease.resumed",
	    "boot broker decision.policy decision.rule epoch id lease origin", false },
	{ MF_REC_LEASE_SUSPENDED, "lease.suspended", "boot broker cause epoch id lease origin", true },
	{ MF_REC_LEASE_ENDED, "lease.ended", "boot broker cause epoch id job.id lease origin", true },
	{ MF_REC_SVID_ISSUED, "svid.issued",
	    "boot broker der exp holder id nbf origin serial slot spiffe_id spki", false },
	{ MF_REC_SVID_RENEWED, "svid.renewed", "der exp lease nbf of serial", false },
	{ MF_REC_AUTHZ_DENIED, "authz.denied", "boot broker id instance.key node.id origin reason", false },
	{ MF_REC_REVOKE_REQUESTED, "revoke.requested", "actor.kind boot broker id origin subject", true },
	{ MF_REC_CLOCK_REFUSED, "clock.refused", "boot broker id origin reason", true },
	{ MF_REC_SIGNERS_LOADED, "admin.signers_loaded", "boot broker id origin sha256", false },
	{ MF_REC_ADMIN_APPROVED, "admin.approved",
	    "actor.kind boot broker expires id nonce origin sha256 subject", false },
	{ MF_REC_CLOCK_CONFIRMED, "clock.confirmed", "actor.kind boot broker id origin", false },
	{ MF_REC_NODE_REATTESTED, "node.reattested", "attestor boot broker evidence id inner node.id origin",
	    false },
	{ MF_REC_NODE_READMITTED, "node.readmitted", "actor.kind boot broker id node.id origin", false },
	{ MF_REC_JOB_ENDING, "job.ending", "boot broker cause id job.id origin until", true },
	{ MF_REC_JOB_EXTENDED, "job.extended", "actor.kind boot broker deadline id job.id origin", false },
	{ MF_REC_JOB_SHORTENED, "job.shortened", "actor.kind boot broker deadline id job.id origin", true },
	{ MF_REC_JWT_ISSUED, "jwt.issued",
	    "boot broker epoch exp id kid lease nbf origin serial slot spiffe_id", false },
	{ MF_REC_KEY_PREPARED, "key.prepared",
	    "actor.kind boot broker bundle exp id key.id key.use nbf origin", false },
	{ MF_REC_KEY_ACTIVATED, "key.activated", "actor.kind boot broker id key.id key.use origin", false },
	{ MF_REC_KEY_TAINTED, "key.tainted", "actor.kind boot broker id key.id key.use origin", true },
	{ MF_REC_KEY_REVOKED, "key.revoked", "actor.kind boot broker bundle id key.id key.use origin", true },
	{ MF_REC_KEY_REMOVED, "key.removed", "actor.kind boot broker id key.id key.use origin", true },
	{ MF_REC_MANAGER_STARTED, "manager.started", "boot broker id job.key node.id origin", false },
	{ MF_REC_MANAGER_ENDED, "manager.ended", "boot broker cause id job.key node.id origin", true },
	{ MF_REC_RUN_KEPT, "run.kept", "boot broker id job.id job.profile job.run origin", false },
	{ MF_REC_FREEZE_SET, "freeze.set", "actor.kind boot broker id origin subject", true },
	{ MF_REC_FREEZE_LIFTED, "freeze.lifted", "actor.kind boot broker id origin subject", false },
	{ MF_REC_LOG_RESTORED, "log.restored",
	    "actor.kind boot broker cause id origin previous.origin previous.root previous.size vkey",
	    false },
	{ MF_REC_CLOUD_INTENT, "cloud.intent",
	    "boot broker cloud.backend cloud.generation cloud.grant cloud.scope_sha256 cloud.target epoch "
	    "exp id job.id lease origin serial",
	    false },
	{ MF_REC_CLOUD_PROBE, "cloud.probe",
	    "actor.kind boot broker cloud.backend cloud.grant cloud.scope_sha256 cloud.target exp id job.id "
	    "job.profile lease origin serial",
	    false },
	{ MF_REC_CLOUD_ISSUED, "cloud.issued",
	    "boot broker cloud.effective exp id lease origin serial sha256", false },
	{ MF_REC_CLOUD_FAILED, "cloud.failed", "boot broker cloud.error id lease origin serial", true },
	{ MF_REC_CLOUD_RECONCILED, "cloud.reconciled", "boot broker cause exp id lease origin serial", true },
	{ MF_REC_CLOUD_KEPT, "cloud.kept",
	    "boot broker cloud.backend cloud.generation cloud.grant cloud.scope_sha256 cloud.state "
	    "cloud.target epoch exp id job.id lease origin serial",
	    false },
	{ MF_REC_REVOKE_CLOUD, "revoke.cloud", "boot broker cloud.target id origin", true },
	{ MF_REC_REVOKE_COMPLETED, "revoke.completed",
	    "boot broker cloud.dead_at cloud.level id origin serial", true },
	{ MF_REC_CREDENTIAL_ENDED, "credential.ended",
	    "actor.kind boot broker cause exp id job.id lease origin serial", true },
	{ MF_REC_SESSIONS_ENDED, "sessions.ended",
	    "actor.kind boot broker cloud.backend cloud.before cloud.target id origin until", true },
	{ MF_REC_GRANT_ENDED, "grant.ended", "actor.kind boot broker cause id job.id lease origin subject",
	    true },
};

static const struct {
	const char *name;
	enum mf_record_str at;
} strs[] = {
	{ "actor.cert_sha256", MF_RS_ACTOR_CERT },
	{ "attestor", MF_RS_ATTESTOR },
	{ "evidence", MF_RS_EVIDENCE },
	{ "actor.kind", MF_RS_ACTOR_KIND },
	{ "actor.role", MF_RS_ACTOR_ROLE },
	{ "actor.spiffe_id", MF_RS_ACTOR_SPIFFE_ID },
	{ "actor.subject", MF_RS_ACTOR_SUBJECT },
	{ "anchor", MF_RS_ANCHOR },
	{ "boot", MF_RS_BOOT },
	{ "broker", MF_RS_BROKER },
	{ "ca_sha256", MF_RS_CA_SHA256 },
	{ "cause", MF_RS_CAUSE },
	{ "certificate", MF_RS_CERTIFICATE },
	{ "cloud.backend", MF_RS_CLOUD_BACKEND },
	{ "cloud.error", MF_RS_CLOUD_ERROR },
	{ "cloud.grant", MF_RS_CLOUD_GRANT },
	{ "cloud.principal", MF_RS_CLOUD_PRINCIPAL },
	{ "cloud.probe", MF_RS_CLOUD_PROBE },
	{ "cloud.provider_session", MF_RS_CLOUD_PROVIDER_SESSION },
	{ "cloud.request_id", MF_RS_CLOUD_REQUEST_ID },
	{ "cloud.role", MF_RS_CLOUD_ROLE },
	{ "cloud.scope", MF_RS_CLOUD_SCOPE },
	{ "cloud.scope_sha256", MF_RS_CLOUD_SCOPE_SHA256 },
	{ "cloud.session", MF_RS_CLOUD_SESSION },
	{ "cloud.state", MF_RS_CLOUD_STATE },
	{ "cloud.target", MF_RS_CLOUD_TARGET },
	{ "cloud.token_format", MF_RS_CLOUD_TOKEN_FORMAT },
	{ "decision.effect", MF_RS_EFFECT },
	{ "decision.policy", MF_RS_POLICY },
	{ "decision.rule", MF_RS_RULE },
	{ "der", MF_RS_DER },
	{ "grade", MF_RS_GRADE },
	{ "hint", MF_RS_HINT },
	{ "holder", MF_RS_HOLDER },
	{ "hostname", MF_RS_HOSTNAME },
	{ "id", MF_RS_ID },
	{ "inner", MF_RS_INNER },
	{ "instance.key", MF_RS_INSTANCE_KEY },
	{ "job.id", MF_RS_JOB_ID },
	{ "job.key", MF_RS_JOB_KEY },
	{ "job.manifest", MF_RS_JOB_MANIFEST },
	{ "job.name", MF_RS_JOB_NAME },
	{ "job.profile", MF_RS_JOB_PROFILE },
	{ "job.run", MF_RS_JOB_RUN },
	{ "kid", MF_RS_KID },
	{ "jwk", MF_RS_JWK },
	{ "key.id", MF_RS_KEY_ID },
	{ "key.use", MF_RS_KEY_USE },
	{ "lease", MF_RS_LEASE },
	{ "node.boot", MF_RS_NODE_BOOT },
	{ "node.id", MF_RS_NODE_ID },
	{ "nonce", MF_RS_NONCE },
	{ "on_end", MF_RS_ON_END },
	{ "origin", MF_RS_ORIGIN },
	{ "person", MF_RS_PERSON },
	{ "previous.origin", MF_RS_PREVIOUS_ORIGIN },
	{ "previous.root", MF_RS_PREVIOUS_ROOT },
	{ "reason", MF_RS_REASON },
	{ "release", MF_RS_RELEASE },
	{ "serial", MF_RS_SERIAL },
	{ "session", MF_RS_SESSION },
	{ "sha256", MF_RS_SHA256 },
	{ "spiffe_id", MF_RS_SPIFFE_ID },
	{ "spki", MF_RS_SPKI },
	{ "subject", MF_RS_SUBJECT },
	{ "tenant", MF_RS_TENANT },
	{ "token.hash", MF_RS_TOKEN_HASH },
	{ "token.id", MF_RS_TOKEN_ID },
	{ "trust_domain", MF_RS_TRUST_DOMAIN },
	{ "vkey", MF_RS_VKEY },
};

static const struct {
	const char *name;
	enum mf_record_num at;
} nums[] = {
	{ "actor.loginuid", MF_RN_LOGINUID },
	{ "actor.pid", MF_RN_PID },
	{ "actor.uid", MF_RN_UID },
	{ "bundle", MF_RN_BUNDLE },
	{ "bytes", MF_RN_BYTES },
	{ "ca", MF_RN_CA },
	{ "cloud.before", MF_RN_CLOUD_BEFORE },
	{ "cloud.completed", MF_RN_CLOUD_COMPLETED },
	{ "cloud.dead_at", MF_RN_CLOUD_DEAD_AT },
	{ "cloud.effective", MF_RN_CLOUD_EFFECTIVE },
	{ "cloud.ended", MF_RN_CLOUD_ENDED },
	{ "cloud.ended_us", MF_RN_CLOUD_ENDED_US },
	{ "cloud.generation", MF_RN_CLOUD_GENERATION },
	{ "cloud.handle", MF_RN_CLOUD_HANDLE },
	{ "cloud.issued", MF_RN_CLOUD_ISSUED },
	{ "cloud.issued_us", MF_RN_CLOUD_ISSUED_US },
	{ "cloud.level", MF_RN_CLOUD_LEVEL },
	{ "deadline", MF_RN_DEADLINE },
	{ "detected_us", MF_RN_DETECTED_US },
	{ "drain_ms", MF_RN_DRAIN_MS },
	{ "epoch", MF_RN_EPOCH },
	{ "exp", MF_RN_EXP },
	{ "expires", MF_RN_EXPIRES },
	{ "instance.n", MF_RN_INSTANCE },
	{ "jwt_bundle", MF_RN_JWT_BUNDLE },
	{ "last_exp", MF_RN_LAST_EXP },
	{ "nbf", MF_RN_NBF },
	{ "of", MF_RN_OF },
	{ "oidc_bundle", MF_RN_OIDC_BUNDLE },
	{ "owner", MF_RN_OWNER },
	{ "previous.size", MF_RN_PREVIOUS_SIZE },
	{ "rules", MF_RN_RULES },
	{ "size", MF_RN_SIZE },
	{ "slot", MF_RN_SLOT },
	{ "token.uses", MF_RN_USES },
	{ "until", MF_RN_UNTIL },
};

static bool
has_word(const char *words, const char *w)
{
	size_t n = strlen(w);
	for (const char *p = words; (p = strstr(p, w)) != NULL; p += n)
		if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
			return true;
	return false;
}

/* A record of type ${i} with what it must have, but for the word ${without} (NULL: all of it). */
static struct mf_record
minimal(size_t i, const char *without)
{
	struct mf_record r = { .type = types[i].type, .ts_us = INT64_C(1800000000123456) };
	for (size_t k = 0; k < MF_COUNT(strs); k++)
		if (has_word(types[i].must, strs[k].name) &&
		    (without == NULL || strcmp(without, strs[k].name) != 0))
			mf_record_set_str(&r, strs[k].at, strs[k].name);
	for (size_t k = 0; k < MF_COUNT(nums); k++)
		if (has_word(types[i].must, nums[k].name) &&
		    (without == NULL || strcmp(without, nums[k].name) != 0))
			mf_record_set_num(&r, nums[k].at, 0);
	return r;
}

static void
check_same(const struct mf_record *a, const struct mf_record *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->ts_us, b->ts_us);
	assert_int_equal(a->n_set, b->n_set);
	for (size_t i = 0; i < MF_RS_COUNT; i++)
		assert_true(mf_slice_eq(a->s[i], b->s[i]));
	for (size_t i = 0; i < MF_RN_COUNT; i++)
		assert_true(a->n[i] == b->n[i]);
	assert_int_equal(a->attributes_n, b->attributes_n);
	for (size_t i = 0; i < a->attributes_n; i++)
		assert_true(mf_slice_eq(a->attributes[i], b->attributes[i]));
	assert_int_equal(a->selectors_n, b->selectors_n);
	for (size_t i = 0; i < a->selectors_n; i++)
		assert_true(mf_slice_eq(a->selectors[i], b->selectors[i]));
	assert_int_equal(a->aud_n, b->aud_n);
	for (size_t i = 0; i < a->aud_n; i++)
		assert_true(mf_slice_eq(a->aud[i], b->aud[i]));
	assert_int_equal(a->creds_n, b->creds_n);
	for (size_t i = 0; i < a->creds_n; i++)
		assert_true(mf_slice_eq(a->creds[i].serial, b->creds[i].serial) &&
			    a->creds[i].exp == b->creds[i].exp);
}

static void
check_round_trip(const struct mf_record *r)
{
	struct mf_record_doc *doc = NULL;
	struct mf_err err = { 0 };
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_RECORD);
	if (mf_record_encode(r, &b, &err) != MF_OK || mf_record_decode(mf_buf_slice(&b), &doc, &err) != MF_OK)
		fail_msg("%s: %s", mf_record_type_name(r->type), err.msg);
	check_same(r, mf_record_doc_get(doc));
	mf_record_doc_free(doc);
	mf_buf_fini(&b);
}

static void
test_every_type(void **state)
{
	MF_UNUSED(state);
	assert_int_equal(MF_COUNT(types), MF_RECORD_TYPES);
	assert_int_equal(MF_COUNT(strs), MF_RS_COUNT);
	assert_int_equal(MF_COUNT(nums), MF_RN_COUNT);
	const struct mf_slice texts[] = { MF_SLICE_LIT("a=1"), MF_SLICE_LIT("b=\"\\\n\xe2\x82\xac") };
	const struct mf_record_cred creds[] = { { MF_SLICE_LIT("00ff"), 1 },
		{ MF_SLICE_LIT("01"), INT64_MAX } };
	for (size_t i = 0; i < MF_COUNT(types); i++) {
		enum mf_record_type t;
		assert_string_equal(mf_record_type_name(types[i].type), types[i].name);
		assert_true(mf_record_type_parse(mf_slice_str(types[i].name), &t) && t == types[i].type);
		assert_int_equal(mf_record_is_removal(types[i].type), types[i].removal);
		struct mf_record r = minimal(i, NULL);
		check_round_trip(&r);
		/* And with everything that there is. */
		for (size_t k = 0; k < MF_COUNT(strs); k++)
			mf_record_set_str(&r, strs[k].at, strs[k].name);
		for (size_t k = 0; k < MF_COUNT(nums); k++)
			mf_record_set_num(&r, nums[k].at, k % 2 == 0 ? INT64_MAX : INT64_MIN);
		r.attributes = r.selectors = texts;
		r.attributes_n = r.selectors_n = 2;
		r.creds = creds;
		r.creds_n = 2;
		r.aud = texts;
		r.aud_n = 2;
		check_round_trip(&r);
	}
	assert_string_equal(mf_record_type_name(MF_RECORD_TYPES), "unknown");
	assert_false(mf_record_is_removal(MF_RECORD_TYPES));
}

static void
test_missing_fields(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_RECORD);
	for (size_t i = 0; i < MF_COUNT(types); i++) {
		size_t missing = 0;
		for (size_t k = 0; k < MF_COUNT(strs) + MF_COUNT(nums); k++) {
			const char *w = k < MF_COUNT(strs) ? strs[k].name : nums[k - MF_COUNT(strs)].name;
			if (!has_word(types[i].must, w))
				continue;
			struct mf_record r = minimal(i, w);
			struct mf_err err = { 0 };
			mf_buf_reset(&b);
			assert_int_equal(mf_record_encode(&r, &b, &err), MF_E_INVALID);
			assert_int_equal(b.n, 0);
			assert_non_null(strstr(err.msg, w));
			missing++;
		}
		assert_true(missing >= 4);
	}
	struct mf_record bad = { .type = MF_RECORD_TYPES };
	assert_int_equal(mf_record_encode(&bad, &b, NULL), MF_E_INTERNAL);
	mf_buf_fini(&b);
}

/* The table of fields is in the order of the text: a record with all of them, as another writer sorts it. */
static void
test_order_of_all(void **state)
{
	MF_UNUSED(state);
	struct mf_record r = { .type = MF_REC_CLOUD_KEPT, .ts_us = 1 };
	const struct mf_slice one[] = { MF_SLICE_LIT("k=v") };
	const struct mf_record_cred cred[] = { { MF_SLICE_LIT("0a"), 5 } };
	for (int i = 0; i < MF_RS_COUNT; i++)
		mf_record_set_str(&r, (enum mf_record_str)i, "x");
	for (int i = 0; i < MF_RN_COUNT; i++)
		mf_record_set_num(&r, (enum mf_record_num)i, 1);
	r.attributes = r.selectors = r.aud = one;
	r.attributes_n = r.selectors_n = r.aud_n = 1;
	r.creds = cred;
	r.creds_n = 1;
	struct mf_buf b;
	mf_buf_init(&b, 65536);
	assert_int_equal(mf_record_encode(&r, &b, NULL), MF_OK);
	json_t *j = json_loadb((const char *)b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	char *want = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(mf_buf_cstr(&b), want);
	free(want);
	json_decref(j);
	mf_buf_fini(&b);
}

static const char good[] =
    "{\"actor\":{\"kind\":\"operator\",\"uid\":0},\"boot\":\"b\",\"broker\":\"b1\",\"credentials\":[{\"exp\":"
    "5,"
    "\"serial\":\"0a\"}],\"grade\":\"\",\"id\":\"i\",\"origin\":\"o\",\"person\":\"\",\"selectors\":[\"x\"],"
    "\"subject\":\"j-1\",\"tenant\":\"default\",\"ts\":\"2027-01-15T08:00:00.123456Z\",\"type\":"
    "\"revoke.requested\",\"v\":1}";

/* That text with ${from} replaced by ${to} once. */
static const struct {
	const char *from, *to;
} misspelt[] = {
	{ "{\"actor\"", " {\"actor\"" }, { "\"v\":1}", "\"v\":1}\n" }, { "\"v\":1}", "\"v\":1 }" },
	{ "\"v\":1}", "\"v\": 1}" }, { "\"v\":1}", "\"v\":2}" }, { "\"v\":1}", "\"v\":01}" },
	{ "\"v\":1}", "\"v\":1.0}" }, { "\"v\":1}", "\"v\":\"1\"}" }, { ",\"v\":1}", "}" },
	{ "\"v\":1}", "\"v\":1}{}" }, { "\"v\":1}", "\"v\":1,\"w\":1}" }, { "\"v\":1}", "\"v\":1,\"v\":1}" },
	{ "\"v\":1}", "\"v\":1" },
	{ "\"boot\":\"b\",\"broker\":\"b1\"", "\"broker\":\"b1\",\"boot\":\"b\"" }, /* another order */
	{ "\"boot\":\"b\"", "\"boot\":\"b\",\"boot\":\"b\"" },
	{ "\"boot\":\"b\"", "\"boot\":\"b\",\"boot \":\"b\"" }, { "\"boot\":\"b\"", "\"boot\":\"\"" },
	{ "\"boot\":\"b\"", "\"boot\":null" }, { "\"boot\":\"b\"", "\"boot\":7" },
	{ "\"boot\":\"b\"", "\"boot\":\"\\u0062\"" }, /* another spelling of a letter */
	{ "\"boot\":\"b\"", "\"boot\":\"\\u0000\"" }, { "\"boot\":\"b\"", "\"boot\":\"\xff\"" },
	{ "\"boot\":\"b\"", "\"boot\":\"\\/\"" }, { "\"boot\":\"b\",", "" },
	{ "\"boot\":\"b\",", "\"boot\":\"b\",\"bytes\":\"1\"," },
	{ "\"kind\":\"operator\",\"uid\":0", "\"kind\":\"operator\",\"nobody\":1,\"uid\":0" },
	{ "\"kind\":\"operator\",\"uid\":0", "\"uid\":0,\"kind\":\"operator\"" },
	{ "\"kind\":\"operator\",\"uid\":0", "\"kind\":\"operator\"},\"actor\":{\"uid\":0" },
	{ "{\"kind\":\"operator\",\"uid\":0}", "\"operator\"" },
	{ "{\"kind\":\"operator\",\"uid\":0}", "{}" }, { "\"uid\":0", "\"uid\":-0" },
	{ "\"uid\":0", "\"uid\":9223372036854775808" }, { "\"uid\":0", "\"uid\":1e3" },
	{ "\"exp\":5,\"serial\":\"0a\"", "\"serial\":\"0a\",\"exp\":5" },
	{ "\"exp\":5,\"serial\":\"0a\"", "\"exp\":5,\"serial\":\"0a\",\"x\":1" },
	{ "\"exp\":5,\"serial\":\"0a\"", "\"exp\":5" }, { "[{\"exp\":5,\"serial\":\"0a\"}]", "[]" },
	{ "[{\"exp\":5,\"serial\":\"0a\"}]", "{}" }, { "[{\"exp\":5,\"serial\":\"0a\"}]", "[5]" },
	{ "[\"x\"]", "[]" }, { "[\"x\"]", "\"x\"" }, { "[\"x\"]", "[\"x\",1]" }, { "[\"x\"]", "[ \"x\"]" },
	{ "2027-01-15T08:00:00.123456Z", "2027-01-15T08:00:00Z" },
	{ "2027-01-15T08:00:00.123456Z", "2027-01-15T08:00:00.123456+00:00" },
	{ "2027-01-15T08:00:00.123456Z", "2027-02-30T08:00:00.123456Z" },
	{ "\"ts\":\"2027-01-15T08:00:00.123456Z\",", "" }, { "revoke.requested", "revoke.unknown" },
	{ "\"type\":\"revoke.requested\",", "" },
	{ "revoke.requested", "lease.ended" }, /* which must carry more */
};

/* Strings with more than plain ASCII are read another way, to the same end. */
static const struct {
	const char *written, *means;
} strings[] = { { "j-1", "j-1" }, { "j-\xc3\xa9", "j-\xc3\xa9" }, { "a\\\"b", "a\"b" }, { "a\\nb", "a\nb" },
	{ "\x7f", "\x7f" } };

static void
test_every_string(void **state)
{
	MF_UNUSED(state);
	const char *at = strstr(good, "j-1");
	assert_non_null(at);
	for (size_t i = 0; i < MF_COUNT(strings); i++) {
		MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
		struct mf_err err = { 0 };
		char text[2048];
		int n = snprintf(
		    text, sizeof(text), "%.*s%s%s", (int)(at - good), good, strings[i].written, at + 3);
		if (mf_record_decode(mf_slice(text, (size_t)n), &doc, &err) != MF_OK)
			fail_msg("%s: %s", strings[i].written, err.msg);
		memset(text, 'x', sizeof(text)); /* what was read is its own */
		const struct mf_record *r = mf_record_doc_get(doc);
		assert_true(mf_slice_eq_str(r->s[MF_RS_SUBJECT], strings[i].means));
		assert_true(mf_slice_eq_str(r->selectors[0], "x") && r->selectors_n == 1);
		assert_true(mf_slice_eq_str(r->creds[0].serial, "0a") && r->creds[0].exp == 5);
		assert_true(mf_record_has_num(r, MF_RN_UID) && r->n[MF_RN_UID] == 0);
	}
}

static void
test_one_spelling(void **state)
{
	MF_UNUSED(state);
	struct mf_record_doc *doc = NULL;
	struct mf_err err = { 0 };
	if (mf_record_decode(mf_slice_str(good), &doc, &err) != MF_OK)
		fail_msg("%s", err.msg);
	mf_record_doc_free(doc);
	for (size_t i = 0; i < MF_COUNT(misspelt); i++) {
		struct mf_record_doc *untouched = (void *)&err;
		const char *at = strstr(good, misspelt[i].from);
		char text[2048];
		assert_non_null(at);
		int n = snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, misspelt[i].to,
		    at + strlen(misspelt[i].from));
		err = (struct mf_err) { 0 };
		if (mf_record_decode(mf_slice(text, (size_t)n), &untouched, &err) == MF_OK)
			fail_msg("taken: %s", text);
		assert_true(err.msg[0] != '\0' && err.code != MF_OK);
		assert_ptr_equal(untouched, &err);
	}
	/* Cut anywhere, or one bit changed: never taken for the same. */
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		assert_int_not_equal(mf_record_decode(mf_slice(good, i), &doc, NULL), MF_OK);
		char text[sizeof(good)];
		memcpy(text, good, sizeof(good));
		text[i] = (char)(text[i] ^ 1);
		if (mf_record_decode(mf_slice(text, sizeof(good) - 1), &doc, NULL) != MF_OK)
			continue;
		struct mf_buf b;
		mf_buf_init(&b, MF_LIM_RECORD);
		assert_int_equal(mf_record_encode(mf_record_doc_get(doc), &b, NULL), MF_OK);
		assert_true(mf_slice_eq(mf_buf_slice(&b), mf_slice(text, sizeof(good) - 1)));
		mf_buf_fini(&b);
		mf_record_doc_free(doc);
	}
}

static void
test_golden(void **state)
{
	MF_UNUSED(state);
	struct mf_record r = { .type = MF_REC_SVID_RENEWED, .ts_us = INT64_C(1800000000000001) };
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_RECORD);
	mf_record_set_str(&r, MF_RS_LEASE, "l-b1-abc");
	mf_record_set_str(&r, MF_RS_SERIAL, "40ff");
	mf_record_set_str(&r, MF_RS_DER, "AAA");
	mf_record_set_num(&r, MF_RN_OF, 42);
	mf_record_set_num(&r, MF_RN_NBF, 1);
	mf_record_set_num(&r, MF_RN_EXP, 2);
	mf_buf_put_str(&b, "before");
	assert_int_equal(mf_record_encode(&r, &b, NULL), MF_OK); /* it appends */
	assert_string_equal(mf_buf_cstr(&b),
	    "before{\"der\":\"AAA\",\"exp\":2,\"lease\":\"l-b1-abc\",\"nbf\":1,\"of\":42,\"serial\":\"40ff\","
	    "\"ts\":"
	    "\"2027-01-15T08:00:00.000001Z\",\"type\":\"svid.renewed\",\"v\":1}");
	mf_buf_fini(&b);
}

/* Compact: with the longest ids that there are, in a log of a million million records. */
static void
test_renewal_is_small(void **state)
{
	MF_UNUSED(state);
	struct mf_record r = { .type = MF_REC_SVID_RENEWED, .ts_us = INT64_C(4102444799999999) };
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_RECORD);
	mf_record_set_str(&r, MF_RS_LEASE, "l-brokerbr-abcdefghijklmnop"); /* engine: "l-%.8s-", 16 letters */
	mf_record_set_str(&r, MF_RS_SERIAL, "40ffffffffffffffffffffffffffffff");
	mf_record_set_str(&r, MF_RS_DER, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	mf_record_set_num(&r, MF_RN_OF, INT64_C(999999999999));
	mf_record_set_num(&r, MF_RN_NBF, INT64_C(4102444799));
	mf_record_set_num(&r, MF_RN_EXP, INT64_C(4102444799));
	assert_int_equal(mf_record_encode(&r, &b, NULL), MF_OK);
	assert_true(b.n <= 250);
	mf_buf_fini(&b);
}

static void
test_size(void **state)
{
	MF_UNUSED(state);
	struct mf_record_doc *doc = NULL;
	char *big = malloc(MF_LIM_RECORD + 1);
	struct mf_buf b;
	assert_non_null(big);
	mf_buf_init(&b, 4 * MF_LIM_RECORD);
	memset(big, 'x', MF_LIM_RECORD + 1);
	struct mf_record r = minimal(0, NULL);
	mf_record_set(&r, MF_RS_REASON, mf_slice(big, MF_LIM_RECORD));
	assert_int_equal(mf_record_encode(&r, &b, NULL), MF_E_TOOBIG);
	mf_buf_reset(&b);
	mf_record_set(&r, MF_RS_REASON, mf_slice(big, 1));
	assert_int_equal(mf_record_encode(&r, &b, NULL), MF_OK);
	size_t room = MF_LIM_RECORD - b.n + 1;
	mf_buf_reset(&b);
	mf_record_set(&r, MF_RS_REASON, mf_slice(big, room));
	assert_int_equal(mf_record_encode(&r, &b, NULL), MF_OK);
	assert_int_equal(b.n, MF_LIM_RECORD);
	assert_int_equal(mf_record_decode(mf_buf_slice(&b), &doc, NULL), MF_OK);
	mf_record_doc_free(doc);
	assert_int_equal(mf_record_decode(mf_slice(big, MF_LIM_RECORD + 1), &doc, NULL), MF_E_TOOBIG);
	/* What cannot be text is not written. */
	mf_buf_reset(&b);
	mf_record_set(&r, MF_RS_REASON, MF_SLICE_LIT("a\xff"));
	assert_int_equal(mf_record_encode(&r, &b, NULL), MF_E_INVALID);
	mf_buf_fini(&b);
	free(big);
}

/* RFC 9562 A.6. */
static void
test_uuid7(void **state)
{
	MF_UNUSED(state);
	const uint8_t random[10] = { 0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f };
	const uint8_t ones[10] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
	char id[37];
	mf_uuid7(INT64_C(1645557742000) * 1000, random, id);
	assert_string_equal(id, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
	mf_uuid7(0, ones, id);
	assert_string_equal(id, "00000000-0000-7fff-bfff-ffffffffffff");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type),
		cmocka_unit_test(test_missing_fields),
		cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_every_string),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_renewal_is_small),
		cmocka_unit_test(test_order_of_all),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_uuid7),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
