#include "broker/core/record.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "broker/core/record_internal.h"
#include "codec/json_write.h"

/* ---- the fields, in the order of the canonical text: by top-level key, then by member ---- */

static const struct field fields[] = {
	{ "actor", "cert_sha256", K_STR, MF_RS_ACTOR_CERT },
	{ "actor", "kind", K_STR, MF_RS_ACTOR_KIND },
	{ "actor", "loginuid", K_NUM, MF_RN_LOGINUID },
	{ "actor", "pid", K_NUM, MF_RN_PID },
	{ "actor", "role", K_STR, MF_RS_ACTOR_ROLE },
	{ "actor", "spiffe_id", K_STR, MF_RS_ACTOR_SPIFFE_ID },
	{ "actor", "subject", K_STR, MF_RS_ACTOR_SUBJECT },
	{ "actor", "uid", K_NUM, MF_RN_UID },
	{ "anchor", NULL, K_STR, MF_RS_ANCHOR },
	{ "attestor", NULL, K_STR, MF_RS_ATTESTOR },
	{ "attributes", NULL, K_ATTRIBUTES, 0 },
	{ "aud", NULL, K_AUD, 0 },
	{ "boot", NULL, K_STR, MF_RS_BOOT },
	{ "broker", NULL, K_STR, MF_RS_BROKER },
	{ "bundle", NULL, K_NUM, MF_RN_BUNDLE },
	{ "bytes", NULL, K_NUM, MF_RN_BYTES },
	{ "ca", NULL, K_NUM, MF_RN_CA },
	{ "ca_sha256", NULL, K_STR, MF_RS_CA_SHA256 },
	{ "cause", NULL, K_STR, MF_RS_CAUSE },
	{ "certificate", NULL, K_STR, MF_RS_CERTIFICATE },
	{ "cloud", "backend", K_STR, MF_RS_CLOUD_BACKEND },
	{ "cloud", "before", K_NUM, MF_RN_CLOUD_BEFORE },
	{ "cloud", "completed", K_NUM, MF_RN_CLOUD_COMPLETED },
	{ "cloud", "dead_at", K_NUM, MF_RN_CLOUD_DEAD_AT },
	{ "cloud", "effective", K_NUM, MF_RN_CLOUD_EFFECTIVE },
	{ "cloud", "ended", K_NUM, MF_RN_CLOUD_ENDED },
	{ "cloud", "ended_us", K_NUM, MF_RN_CLOUD_ENDED_US },
	{ "cloud", "error", K_STR, MF_RS_CLOUD_ERROR },
	{ "cloud", "generation", K_NUM, MF_RN_CLOUD_GENERATION },
	{ "cloud", "grant", K_STR, MF_RS_CLOUD_GRANT },
	{ "cloud", "handle", K_NUM, MF_RN_CLOUD_HANDLE },
	{ "cloud", "issued", K_NUM, MF_RN_CLOUD_ISSUED },
	{ "cloud", "issued_us", K_NUM, MF_RN_CLOUD_ISSUED_US },
	{ "cloud", "level", K_NUM, MF_RN_CLOUD_LEVEL },
	{ "cloud", "principal", K_STR, MF_RS_CLOUD_PRINCIPAL },
	{ "cloud", "probe", K_STR, MF_RS_CLOUD_PROBE },
	{ "cloud", "provider_session", K_STR, MF_RS_CLOUD_PROVIDER_SESSION },
	{ "cloud", "request_id", K_STR, MF_RS_CLOUD_REQUEST_ID },
	{ "cloud", "role", K_STR, MF_RS_CLOUD_ROLE },
	{ "cloud", "scope", K_STR, MF_RS_CLOUD_SCOPE },
	{ "cloud", "scope_sha256", K_STR, MF_RS_CLOUD_SCOPE_SHA256 },
	{ "cloud", "session", K_STR, MF_RS_CLOUD_SESSION },
	{ "cloud", "state", K_STR, MF_RS_CLOUD_STATE },
	{ "cloud", "target", K_STR, MF_RS_CLOUD_TARGET },
	{ "cloud", "token_format", K_STR, MF_RS_CLOUD_TOKEN_FORMAT },
	{ "credentials", NULL, K_CREDS, 0 },
	{ "deadline", NULL, K_NUM, MF_RN_DEADLINE },
	{ "decision", "effect", K_STR, MF_RS_EFFECT },
	{ "decision", "policy", K_STR, MF_RS_POLICY },
	{ "decision", "rule", K_STR, MF_RS_RULE },
	{ "der", NULL, K_STR, MF_RS_DER },
	{ "detected_us", NULL, K_NUM, MF_RN_DETECTED_US },
	{ "drain_ms", NULL, K_NUM, MF_RN_DRAIN_MS },
	{ "epoch", NULL, K_NUM, MF_RN_EPOCH },
	{ "evidence", NULL, K_STR, MF_RS_EVIDENCE },
	{ "exp", NULL, K_NUM, MF_RN_EXP },
	{ "expires", NULL, K_NUM, MF_RN_EXPIRES },
	{ "grade", NULL, K_STR, MF_RS_GRADE },
	{ "hint", NULL, K_STR, MF_RS_HINT },
	{ "holder", NULL, K_STR, MF_RS_HOLDER },
	{ "hostname", NULL, K_STR, MF_RS_HOSTNAME },
	{ "id", NULL, K_STR, MF_RS_ID },
	{ "inner", NULL, K_STR, MF_RS_INNER },
	{ "instance", "key", K_STR, MF_RS_INSTANCE_KEY },
	{ "instance", "n", K_NUM, MF_RN_INSTANCE },
	{ "job", "id", K_STR, MF_RS_JOB_ID },
	{ "job", "key", K_STR, MF_RS_JOB_KEY },
	{ "job", "manifest", K_STR, MF_RS_JOB_MANIFEST },
	{ "job", "name", K_STR, MF_RS_JOB_NAME },
	{ "job", "profile", K_STR, MF_RS_JOB_PROFILE },
	{ "job", "run", K_STR, MF_RS_JOB_RUN },
	{ "jwk", NULL, K_STR, MF_RS_JWK },
	{ "jwt_bundle", NULL, K_NUM, MF_RN_JWT_BUNDLE },
	{ "key", "id", K_STR, MF_RS_KEY_ID },
	{ "key", "use", K_STR, MF_RS_KEY_USE },
	{ "kid", NULL, K_STR, MF_RS_KID },
	{ "last_exp", NULL, K_NUM, MF_RN_LAST_EXP },
	{ "lease", NULL, K_STR, MF_RS_LEASE },
	{ "nbf", NULL, K_NUM, MF_RN_NBF },
	{ "node", "boot", K_STR, MF_RS_NODE_BOOT },
	{ "node", "id", K_STR, MF_RS_NODE_ID },
	{ "nonce", NULL, K_STR, MF_RS_NONCE },
	{ "of", NULL, K_NUM, MF_RN_OF },
	{ "oidc_bundle", NULL, K_NUM, MF_RN_OIDC_BUNDLE },
	{ "on_end", NULL, K_STR, MF_RS_ON_END },
	{ "origin", NULL, K_STR, MF_RS_ORIGIN },
	{ "owner", NULL, K_NUM, MF_RN_OWNER },
	{ "person", NULL, K_STR, MF_RS_PERSON },
	{ "previous", "origin", K_STR, MF_RS_PREVIOUS_ORIGIN },
	{ "previous", "root", K_STR, MF_RS_PREVIOUS_ROOT },
	{ "previous", "size", K_NUM, MF_RN_PREVIOUS_SIZE },
	{ "reason", NULL, K_STR, MF_RS_REASON },
	{ "release", NULL, K_STR, MF_RS_RELEASE },
	{ "rules", NULL, K_NUM, MF_RN_RULES },
	{ "selectors", NULL, K_SELECTORS, 0 },
	{ "serial", NULL, K_STR, MF_RS_SERIAL },
	{ "session", NULL, K_STR, MF_RS_SESSION },
	{ "sha256", NULL, K_STR, MF_RS_SHA256 },
	{ "size", NULL, K_NUM, MF_RN_SIZE },
	{ "slot", NULL, K_NUM, MF_RN_SLOT },
	{ "spiffe_id", NULL, K_STR, MF_RS_SPIFFE_ID },
	{ "spki", NULL, K_STR, MF_RS_SPKI },
	{ "subject", NULL, K_STR, MF_RS_SUBJECT },
	{ "tenant", NULL, K_STR, MF_RS_TENANT },
	{ "token", "hash", K_STR, MF_RS_TOKEN_HASH },
	{ "token", "id", K_STR, MF_RS_TOKEN_ID },
	{ "token", "uses", K_NUM, MF_RN_USES },
	{ "trust_domain", NULL, K_STR, MF_RS_TRUST_DOMAIN },
	{ "ts", NULL, K_TS, 0 },
	{ "type", NULL, K_TYPE, 0 },
	{ "until", NULL, K_NUM, MF_RN_UNTIL },
	{ "v", NULL, K_VERSION, 0 },
	{ "vkey", NULL, K_STR, MF_RS_VKEY },
};

/* ---- the types: what each must carry besides the envelope (id, broker, boot, origin, tenant, person, grade) ---- */

#define S(x) (UINT64_C(1) << MF_RS_##x)
#define N(x) (UINT64_C(1) << MF_RN_##x)
#define KEY (S(ACTOR_KIND) | S(KEY_ID) | S(KEY_USE))
#define CLOUD                                                                                     \
	(S(LEASE) | S(JOB_ID) | S(SERIAL) | S(CLOUD_GRANT) | S(CLOUD_TARGET) | S(CLOUD_BACKEND) | \
	    S(CLOUD_SCOPE_SHA256))
#define ENVELOPE (S(ID) | S(BROKER) | S(BOOT) | S(ORIGIN) | S(TENANT) | S(PERSON) | S(GRADE))

static const struct {
	const char *name;
	uint64_t s, n;
	bool removal;
} types[MF_RECORD_TYPES] = {
	[MF_REC_LOG_OPENED] = { "log.opened", ENVELOPE | S(TRUST_DOMAIN) | S(CA_SHA256) | S(VKEY) | S(INNER),
	    0, false },
	[MF_REC_LOG_RECOVERED] = { "log.recovered", ENVELOPE, N(BYTES), true },
	[MF_REC_BROKER_STARTED] = { "broker.started", ENVELOPE | S(RELEASE), 0, true },
	[MF_REC_BROKER_STOPPED] = { "broker.stopped", ENVELOPE, 0, true },
	[MF_REC_POLICY_LOADED] = { "policy.loaded", ENVELOPE | S(SHA256), N(RULES), false },
	[MF_REC_SNAPSHOT_WRITTEN] = { "snapshot.written", ENVELOPE | S(SHA256), N(SIZE), false },
	[MF_REC_TOKEN_CREATED] = { "node.token_created",
	    ENVELOPE | S(ACTOR_KIND) | S(TOKEN_HASH) | S(TOKEN_ID), N(USES) | N(EXPIRES), false },
	[MF_REC_NODE_REGISTERED] = { "node.registered", ENVELOPE | S(NODE_ID) | S(INNER) | S(SPIFFE_ID), 0,
	    false },
	[MF_REC_NODE_SESSION] = { "node.session", ENVELOPE | S(NODE_ID) | S(NODE_BOOT) | S(SESSION), 0,
	    false },
	/* A removal: the value before this one is accepted no more. */
	[MF_REC_NODE_CONFIRMED] = { "node.session_confirmed", ENVELOPE | S(NODE_ID) | S(SESSION), 0, true },
	[MF_REC_NODE_EVICTED] = { "node.evicted", ENVELOPE | S(NODE_ID) | S(ACTOR_KIND), 0, true },
	[MF_REC_NODE_REFUSED] = { "node.refused", ENVELOPE | S(REASON), 0, false },
	[MF_REC_JOB_STARTED] = { "job.started",
	    ENVELOPE | S(JOB_ID) | S(JOB_KEY) | S(JOB_RUN) | S(JOB_PROFILE), 0, false },
	[MF_REC_JOB_ENDED] = { "job.ended", ENVELOPE | S(JOB_ID) | S(CAUSE), 0, true },
	[MF_REC_LEASE_OPENED] = { "lease.opened",
	    ENVELOPE | S(LEASE) | S(JOB_ID) | S(INSTANCE_KEY) | S(NODE_ID) | S(NODE_BOOT) | S(RULE) |
		S(POLICY),
	    N(EPOCH) | N(INSTANCE) | N(DEADLINE), false },
	[MF_REC_LEASE_RESUMED] = { "lease.resumed", ENVELOPE | S(LEASE) | S(RULE) | S(POLICY), N(EPOCH),
	    false },
	[MF_REC_LEASE_SUSPENDED] = { "lease.suspended", ENVELOPE | S(LEASE) | S(CAUSE), N(EPOCH), true },
	[MF_REC_LEASE_ENDED] = { "lease.ended", ENVELOPE | S(LEASE) | S(JOB_ID) | S(CAUSE), N(EPOCH), true },
	[MF_REC_SVID_ISSUED] = { "svid.issued",
	    ENVELOPE | S(HOLDER) | S(SPIFFE_ID) | S(SERIAL) | S(DER) | S(SPKI), N(NBF) | N(EXP) | N(SLOT),
	    false },
	[MF_REC_SVID_RENEWED] = { "svid.renewed", S(LEASE) | S(SERIAL) | S(DER), N(OF) | N(NBF) | N(EXP),
	    false },
	[MF_REC_AUTHZ_DENIED] = { "authz.denied", ENVELOPE | S(NODE_ID) | S(INSTANCE_KEY) | S(REASON), 0,
	    false },
	[MF_REC_REVOKE_REQUESTED] = { "revoke.requested", ENVELOPE | S(ACTOR_KIND) | S(SUBJECT), 0, true },
	[MF_REC_CLOCK_REFUSED] = { "clock.refused", ENVELOPE | S(REASON), 0, true },
	[MF_REC_SIGNERS_LOADED] = { "admin.signers_loaded", ENVELOPE | S(SHA256), 0, false },
	[MF_REC_ADMIN_APPROVED] = { "admin.approved",
	    ENVELOPE | S(ACTOR_KIND) | S(SUBJECT) | S(SHA256) | S(NONCE), N(EXPIRES), false },
	[MF_REC_CLOCK_CONFIRMED] = { "clock.confirmed", ENVELOPE | S(ACTOR_KIND), 0, false },
	[MF_REC_NODE_REATTESTED] = { "node.reattested",
	    ENVELOPE | S(NODE_ID) | S(INNER) | S(ATTESTOR) | S(EVIDENCE), 0, false },
	[MF_REC_NODE_READMITTED] = { "node.readmitted", ENVELOPE | S(NODE_ID) | S(ACTOR_KIND), 0, false },
	[MF_REC_JOB_ENDING] = { "job.ending", ENVELOPE | S(JOB_ID) | S(CAUSE), N(UNTIL), true },
	[MF_REC_JOB_EXTENDED] = { "job.extended", ENVELOPE | S(JOB_ID) | S(ACTOR_KIND), N(DEADLINE), false },
	[MF_REC_JOB_SHORTENED] = { "job.shortened", ENVELOPE | S(JOB_ID) | S(ACTOR_KIND), N(DEADLINE), true },
	[MF_REC_JWT_ISSUED] = { "jwt.issued", ENVELOPE | S(LEASE) | S(SERIAL) | S(KID) | S(SPIFFE_ID),
	    N(NBF) | N(EXP) | N(SLOT) | N(EPOCH), false },
	/* And its public half: a certificate or a jwk, as its use has it. */
	[MF_REC_KEY_PREPARED] = { "key.prepared", ENVELOPE | KEY, N(NBF) | N(EXP) | N(BUNDLE), false },
	[MF_REC_KEY_ACTIVATED] = { "key.activated", ENVELOPE | KEY, 0, false },
	[MF_REC_KEY_TAINTED] = { "key.tainted", ENVELOPE | KEY, 0, true },
	[MF_REC_KEY_REVOKED] = { "key.revoked", ENVELOPE | KEY, N(BUNDLE), true },
	[MF_REC_KEY_REMOVED] = { "key.removed", ENVELOPE | KEY, 0,
	    true }, /* N(BUNDLE) when it was in there */
	[MF_REC_MANAGER_STARTED] = { "manager.started", ENVELOPE | S(JOB_KEY) | S(NODE_ID), 0, false },
	[MF_REC_MANAGER_ENDED] = { "manager.ended", ENVELOPE | S(JOB_KEY) | S(NODE_ID) | S(CAUSE), 0, true },
	[MF_REC_FREEZE_SET] = { "freeze.set", ENVELOPE | S(ACTOR_KIND) | S(SUBJECT), 0, true },
	[MF_REC_FREEZE_LIFTED] = { "freeze.lifted", ENVELOPE | S(ACTOR_KIND) | S(SUBJECT), 0, false },
	[MF_REC_LOG_RESTORED] = { "log.restored",
	    ENVELOPE | S(ACTOR_KIND) | S(CAUSE) | S(VKEY) | S(PREVIOUS_ORIGIN) | S(PREVIOUS_ROOT),
	    N(PREVIOUS_SIZE), false },
	[MF_REC_RUN_KEPT] = { "run.kept", ENVELOPE | S(JOB_RUN) | S(JOB_ID) | S(JOB_PROFILE), 0, false },
	[MF_REC_CLOUD_INTENT] = { "cloud.intent", ENVELOPE | CLOUD, N(EPOCH) | N(EXP) | N(CLOUD_GENERATION),
	    false },
	[MF_REC_CLOUD_PROBE] = { "cloud.probe", ENVELOPE | CLOUD | S(ACTOR_KIND) | S(JOB_PROFILE), N(EXP),
	    false },
	[MF_REC_CLOUD_ISSUED] = { "cloud.issued", ENVELOPE | S(LEASE) | S(SERIAL) | S(SHA256),
	    N(EXP) | N(CLOUD_EFFECTIVE), false },
	/* Removals: what was thought to be live is not, or is to be taken back. */
	[MF_REC_CLOUD_FAILED] = { "cloud.failed", ENVELOPE | S(LEASE) | S(SERIAL) | S(CLOUD_ERROR), 0, true },
	[MF_REC_CLOUD_RECONCILED] = { "cloud.reconciled", ENVELOPE | S(LEASE) | S(SERIAL) | S(CAUSE), N(EXP),
	    true },
	[MF_REC_CLOUD_KEPT] = { "cloud.kept", ENVELOPE | CLOUD | S(CLOUD_STATE),
	    N(EPOCH) | N(EXP) | N(CLOUD_GENERATION), false },
	[MF_REC_REVOKE_CLOUD] = { "revoke.cloud", ENVELOPE | S(CLOUD_TARGET), 0, true },
	[MF_REC_REVOKE_COMPLETED] = { "revoke.completed", ENVELOPE | S(SERIAL),
	    N(CLOUD_LEVEL) | N(CLOUD_DEAD_AT), true },
	[MF_REC_CREDENTIAL_ENDED] = { "credential.ended",
	    ENVELOPE | S(ACTOR_KIND) | S(LEASE) | S(JOB_ID) | S(SERIAL) | S(CAUSE), N(EXP), true },
	[MF_REC_SESSIONS_ENDED] = { "sessions.ended",
	    ENVELOPE | S(ACTOR_KIND) | S(CLOUD_TARGET) | S(CLOUD_BACKEND), N(CLOUD_BEFORE) | N(UNTIL),
	    true }, /* and cloud.role */
	[MF_REC_GRANT_ENDED] = { "grant.ended",
	    ENVELOPE | S(ACTOR_KIND) | S(LEASE) | S(JOB_ID) | S(SUBJECT) | S(CAUSE), 0, true },
};

/* The envelope's tenant, person and grade are there even when empty; every other string only when it is not. */
#define MAY_BE_EMPTY (S(TENANT) | S(PERSON) | S(GRADE))

_Static_assert(MF_RN_COUNT <= 64, "the sets are bit masks");

static bool
has(uint64_t set, unsigned at)
{
	return at < 64 && (set >> at & 1) != 0;
}

static bool
is_required(enum mf_record_type t, const struct field *f)
{
	return (f->kind == K_STR && has(types[t].s, f->at)) || (f->kind == K_NUM && has(types[t].n, f->at));
}

const char *
mf_record_type_name(enum mf_record_type t)
{
	return (unsigned)t < MF_RECORD_TYPES ? types[t].name : "unknown";
}

bool
mf_record_type_parse(struct mf_slice name, enum mf_record_type *ret_t)
{
	for (unsigned i = 0; i < MF_RECORD_TYPES; i++) {
		if (!mf_slice_eq_str(name, types[i].name))
			continue;
		*ret_t = (enum mf_record_type)i;
		return true;
	}
	return false;
}

bool
mf_record_is_removal(enum mf_record_type t)
{
	return (unsigned)t < MF_RECORD_TYPES && types[t].removal;
}

void
mf_record_required(enum mf_record_type t, struct mf_buf *to)
{
	const char *gap = "";
	uint64_t strings = types[t].s & ~(t == MF_REC_SVID_RENEWED ? UINT64_C(0) : ENVELOPE);
	for (size_t i = 0; i < MF_COUNT(fields); i++) {
		const struct field *f = &fields[i];
		bool needed = is_required(t, f) && (f->kind != K_STR || has(strings, f->at));
		if (!needed)
			continue;
		mf_buf_putf(to, "%s%s%s%s", gap, f->key, f->member == NULL ? "" : ".",
		    f->member == NULL ? "" : f->member);
		gap = ", ";
	}
}

/* ---- writing ---- */

/* Which strings are written: bit i is string i. Looked at once, for there are many more fields than a record has. */
struct strings {
	uint64_t set[2];
};
_Static_assert(MF_RS_COUNT <= 128, "two words of bits");

static struct strings
strings_of(const struct mf_record *r)
{
	struct strings t = { { MAY_BE_EMPTY & types[r->type].s, 0 } };
	for (unsigned i = 0; i < MF_RS_COUNT; i++)
		t.set[i / 64] |= (uint64_t)(r->s[i].n > 0) << i % 64;
	return t;
}

static inline bool
is_set(const struct mf_record *r, const struct strings *t, const struct field *f)
{
	if (f->kind == K_STR)
		return (t->set[f->at / 64] >> f->at % 64 & 1) != 0;
	if (f->kind == K_NUM)
		return mf_record_has_num(r, (enum mf_record_num)f->at);
	switch (f->kind) {
	case K_ATTRIBUTES:
		return r->attributes_n > 0;
	case K_SELECTORS:
		return r->selectors_n > 0;
	case K_AUD:
		return r->aud_n > 0;
	case K_CREDS:
		return r->creds_n > 0;
	default: /* K_TS, K_TYPE, K_VERSION */
		return true;
	}
}

static void
put_strings(struct mf_jw *w, const struct mf_slice *v, size_t n)
{
	mf_jw_array_begin(w);
	for (size_t i = 0; i < n; i++)
		mf_jw_string(w, v[i]);
	mf_jw_array_end(w);
}

static void
put_creds(struct mf_jw *w, const struct mf_record_cred *v, size_t n)
{
	mf_jw_array_begin(w);
	for (size_t i = 0; i < n; i++) {
		mf_jw_object_begin(w);
		mf_jw_kint(w, "exp", v[i].exp);
		mf_jw_kstring(w, "serial", v[i].serial);
		mf_jw_object_end(w);
	}
	mf_jw_array_end(w);
}

static void
put_field(struct mf_jw *w, const struct mf_record *r, const struct field *f)
{
	mf_jw_key_known(w, mf_slice_str(f->member != NULL ? f->member : f->key));
	switch (f->kind) {
	case K_STR:
		mf_jw_string(w, r->s[f->at]);
		break;
	case K_NUM:
		mf_jw_int(w, r->n[f->at]);
		break;
	case K_ATTRIBUTES:
		put_strings(w, r->attributes, r->attributes_n);
		break;
	case K_SELECTORS:
		put_strings(w, r->selectors, r->selectors_n);
		break;
	case K_AUD:
		put_strings(w, r->aud, r->aud_n);
		break;
	case K_CREDS:
		put_creds(w, r->creds, r->creds_n);
		break;
	case K_TS:
		mf_jw_time_us(w, r->ts_us);
		break;
	case K_TYPE:
		mf_jw_str(w, types[r->type].name);
		break;
	case K_VERSION:
		mf_jw_int(w, 1);
		break;
	}
}

static enum mf_status
check_required(const struct mf_record *r, const struct strings *t, struct mf_err *err)
{
	if ((types[r->type].s & ~t->set[0]) == 0 && (types[r->type].n & ~r->n_set) == 0)
		return MF_OK;
	for (size_t i = 0; i < MF_COUNT(fields); i++) {
		const struct field *f = &fields[i];
		if (is_required(r->type, f) && !is_set(r, t, f))
			return MF_FAIL(err, MF_E_INVALID, "record %s: %s%s%s is missing", types[r->type].name,
			    f->key, f->member != NULL ? "." : "", f->member != NULL ? f->member : "");
	}
	return MF_OK;
}

enum mf_status
mf_record_encode(const struct mf_record *r, struct mf_buf *to, struct mf_err *err)
{
	if ((unsigned)r->type >= MF_RECORD_TYPES)
		return MF_FAIL(err, MF_E_INTERNAL, "record: type %d", (int)r->type);
	const struct strings t = strings_of(r);
	MF_TRY(check_required(r, &t, err));
	struct mf_jw w;
	size_t start = to->n;
	const char *open = NULL; /* the object we are in */
	mf_jw_init(&w, to, true);
	mf_jw_object_begin(&w);
	for (size_t i = 0; i < MF_COUNT(fields); i++) {
		const struct field *f = &fields[i];
		if (!is_set(r, &t, f))
			continue;
		if (open != NULL && (f->member == NULL || strcmp(open, f->key) != 0)) {
			mf_jw_object_end(&w);
			open = NULL;
		}
		if (f->member != NULL && open == NULL) {
			mf_jw_key_known(&w, mf_slice_str(f->key));
			mf_jw_object_begin(&w);
			open = f->key;
		}
		put_field(&w, r, f);
	}
	if (open != NULL)
		mf_jw_object_end(&w);
	mf_jw_object_end(&w);
	MF_TRY(mf_jw_finish(&w, err));
	if (to->n - start > MF_LIM_RECORD)
		return MF_FAIL(err, MF_E_TOOBIG, "record %s: %zu bytes", types[r->type].name, to->n - start);
	return MF_OK;
}

/* ---- reading ---- */

void
mf_record_doc_free(struct mf_record_doc *doc)
{
	if (doc == NULL)
		return;
	mf_json_free(doc->json);
	free(doc->attributes);
	free(doc->selectors);
	free(doc->aud);
	free(doc->creds);
	free(doc);
}

const struct mf_record *
mf_record_doc_get(const struct mf_record_doc *doc)
{
	return &doc->rec;
}

static enum mf_status
read_strings(const struct mf_json_value *v, struct mf_slice **ret_v, size_t *ret_n, struct mf_err *err)
{
	size_t n = mf_json_size(v);
	if (n == 0 || mf_json_type(v) != MF_JSON_ARRAY)
		return MF_FAIL(err, MF_E_INVALID, "record: an empty or wrong list");
	struct mf_slice *a = calloc(n, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "record: out of memory");
	for (size_t i = 0; i < n; i++) {
		if (mf_json_string(mf_json_at(v, i), &a[i]))
			continue;
		free(a);
		return MF_FAIL(err, MF_E_INVALID, "record: a list of strings holds something else");
	}
	*ret_v = a;
	*ret_n = n;
	return MF_OK;
}

static enum mf_status
read_creds(const struct mf_json_value *v, struct mf_record_doc *d, struct mf_err *err)
{
	size_t n = mf_json_size(v);
	if (n == 0 || mf_json_type(v) != MF_JSON_ARRAY)
		return MF_FAIL(err, MF_E_INVALID, "record: an empty or wrong list of credentials");
	d->creds = calloc(n, sizeof(*d->creds));
	if (d->creds == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "record: out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct mf_json_value *o = mf_json_at(v, i);
		MF_TRY(mf_json_need_int(o, "exp", &d->creds[i].exp, err));
		MF_TRY(mf_json_need_string(o, "serial", &d->creds[i].serial, err));
	}
	d->rec.creds = d->creds;
	d->rec.creds_n = n;
	return MF_OK;
}

static enum mf_status
read_field(const struct mf_json_value *v, const struct field *f, struct mf_record_doc *d, struct mf_err *err)
{
	struct mf_record *r = &d->rec;
	struct mf_slice s;
	int64_t n;
	switch (f->kind) {
	case K_STR:
		if (mf_json_string(v, &r->s[f->at]))
			return MF_OK;
		break;
	case K_NUM:
		if (mf_json_int(v, &n)) {
			mf_record_set_num(r, (enum mf_record_num)f->at, n);
			return MF_OK;
		}
		break;
	case K_ATTRIBUTES:
		MF_TRY(read_strings(v, &d->attributes, &r->attributes_n, err));
		r->attributes = d->attributes;
		return MF_OK;
	case K_SELECTORS:
		MF_TRY(read_strings(v, &d->selectors, &r->selectors_n, err));
		r->selectors = d->selectors;
		return MF_OK;
	case K_AUD:
		MF_TRY(read_strings(v, &d->aud, &r->aud_n, err));
		r->aud = d->aud;
		return MF_OK;
	case K_CREDS:
		return read_creds(v, d, err);
	case K_TS:
		if (mf_json_string(v, &s))
			return mf_time_get(s, &r->ts_us, err);
		break;
	case K_TYPE:
		if (mf_json_string(v, &s) && mf_record_type_parse(s, &r->type))
			return MF_OK;
		return MF_FAIL(err, MF_E_UNSUPPORTED, "record: a type that this release does not know");
	case K_VERSION:
		if (mf_json_int(v, &n) && n == 1)
			return MF_OK;
		return MF_FAIL(err, MF_E_UNSUPPORTED, "record: a version that this release does not know");
	}
	return MF_FAIL(err, MF_E_INVALID, "record: %s has the wrong type", f->key);
}

/* What encoding would make sure of, when the members' order and spelling are known to be right. */
static bool
is_complete(const struct mf_record *r, const struct record_strings *there)
{
	if ((types[r->type].s & ~there->set[0]) != 0 || (types[r->type].n & ~r->n_set) != 0)
		return false;
	for (unsigned i = 0; i < MF_RS_COUNT; i++) {
		bool written = r->s[i].n > 0 || has(MAY_BE_EMPTY & types[r->type].s, i);
		if (written != ((there->set[i / 64] >> i % 64 & 1) != 0))
			return false;
	}
	return true;
}

enum mf_status
mf_record_decode(struct mf_slice bytes, struct mf_record_doc **ret_doc, struct mf_err *err)
{
	if (bytes.n > MF_LIM_RECORD)
		return MF_FAIL(err, MF_E_TOOBIG, "record: %zu bytes", bytes.n);
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *d = NULL;
	MF_TRY(mf_record_plain(bytes, fields, MF_COUNT(fields), &d, err));
	if (d != NULL && is_complete(&d->rec, &d->strings)) {
		*ret_doc = MF_TAKE(d);
		return MF_OK;
	}
	/* Not plain, or not a record: this way knows every spelling, and says what is wrong. */
	mf_record_doc_free(d);
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "record: out of memory");
	MF_TRY(mf_json_parse(bytes, MF_LIM_RECORD, &d->json, err));
	const struct mf_json_value *root = mf_json_root(d->json);
	for (size_t i = 0; i < MF_COUNT(fields); i++) {
		const struct field *f = &fields[i];
		const struct mf_json_value *v = mf_json_get(root, f->key);
		if (f->member != NULL)
			v = mf_json_get(v, f->member);
		if (v != NULL)
			MF_TRY(read_field(v, f, d, err));
		else if (f->kind == K_TYPE || f->kind == K_TS || f->kind == K_VERSION)
			return MF_FAIL(err, MF_E_INVALID, "record: %s is missing", f->key);
	}
	/* One spelling per record: unknown members, other orders and white space do not survive this. */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf again;
	mf_buf_init(&again, MF_LIM_RECORD);
	MF_TRY(mf_record_encode(&d->rec, &again, err));
	if (!mf_slice_eq(mf_buf_slice(&again), bytes))
		return MF_FAIL(
		    err, MF_E_INVALID, "record %s: not in canonical form", types[d->rec.type].name);
	*ret_doc = MF_TAKE(d);
	return MF_OK;
}

void
mf_uuid7(int64_t wall_us, const uint8_t random[10], char ret_text[37])
{
	static const char hexd[] = "0123456789abcdef";
	uint64_t ms = (uint64_t)(wall_us / 1000);
	uint8_t b[16];
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)(ms >> (40 - 8 * i));
	memcpy(b + 6, random, 10);
	b[6] = (uint8_t)(0x70 | (b[6] & 0x0f));
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
	char *t = ret_text;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*t++ = '-';
		*t++ = hexd[b[i] >> 4];
		*t++ = hexd[b[i] & 15];
	}
	*t = '\0';
}
