#include "agent/core/svid_cache.h"

#include <stdlib.h>

#include "agent/core/svid_internal.h"
#include "codec/bundle.h"
#include "codec/x509_peek.h"

struct mf_svid_cache {
	char *trust_domain;
	struct mf_svid_entry *by_key, *by_handle;
	size_t count, max;
	struct mf_buf bundle;
	uint64_t bundle_version;
};

static const char *const state_names[] = { "unknown", "pending", "granted", "refused", "ended" };

const char *
mf_svid_state_name(enum mf_svid_state s)
{
	return (size_t)s < MF_COUNT(state_names) ? state_names[s] : "unknown";
}

enum mf_status
mf_svid_cache_new(
    const char *trust_domain, size_t max_instances, struct mf_svid_cache **ret_c, struct mf_err *err)
{
	struct mf_svid_cache *c = calloc(1, sizeof(*c));
	char *td = mf_slice_dup_str(mf_slice_str(trust_domain));
	if (c == NULL || td == NULL) {
		free(c);
		free(td);
		return MF_FAIL(err, MF_E_NOMEM, "identity cache: out of memory");
	}
	c->trust_domain = td;
	c->max = max_instances == 0 ? MF_LIM_NODE_INSTANCES : max_instances;
	mf_buf_init(&c->bundle, MF_LIM_BUNDLE_DER);
	*ret_c = c;
	return MF_OK;
}

void
mf_svid_identity_wipe(struct mf_svid_identity *i)
{
	free(i->spiffe_id);
	free(i->hint);
	mf_buf_fini(&i->chain);
	mf_secret_free(i->key);
	*i = (struct mf_svid_identity) { 0 };
}

static void
drop_identities(struct mf_svid_entry *e)
{
	for (size_t i = 0; i < e->n_identities; i++)
		mf_svid_identity_wipe(&e->identities[i]);
	e->n_identities = 0;
	mf_jwt_cache_wipe(&e->jwts);
}

void
mf_svid_job_fini(struct mf_svid_job *j)
{
	free(j->lease_id);
	free(j->job_id);
	free(j->job_key);
	free(j->run_id);
	free(j->profile);
	free(j->rule);
	free(j->tenant);
	*j = (struct mf_svid_job) { 0 };
}

static void
unhash_handle(struct mf_svid_cache *c, struct mf_svid_entry *e)
{
	if (mf_svid_cache_by_handle(c, e->handle) == e)
		HASH_DELETE(hh_handle, c->by_handle, e);
}

void
mf_svid_cache_del(struct mf_svid_cache *c, struct mf_svid_entry *e)
{
	HASH_DEL(c->by_key, e);
	unhash_handle(c, e);
	c->count--;
	drop_identities(e);
	mf_cloud_cache_wipe(&e->clouds);
	mf_svid_job_fini(&e->job);
	free(e->key);
	free(e);
}

void
mf_svid_cache_free(struct mf_svid_cache *c)
{
	if (c == NULL)
		return;
	MF_SVID_EACH(e, c)
	mf_svid_cache_del(c, e);
	mf_buf_fini(&c->bundle);
	free(c->trust_domain);
	free(c);
}

size_t
mf_svid_cache_count(const struct mf_svid_cache *c)
{
	return c->count;
}

const char *
mf_svid_cache_trust_domain(const struct mf_svid_cache *c)
{
	return c->trust_domain;
}

struct mf_svid_entry *
mf_svid_cache_first(struct mf_svid_cache *c)
{
	return c->by_key;
}

struct mf_svid_entry *
mf_svid_cache_next(struct mf_svid_entry *e)
{
	return e == NULL ? NULL : e->hh.next;
}

struct mf_svid_entry *
mf_svid_cache_by_handle(struct mf_svid_cache *c, uint64_t handle)
{
	struct mf_svid_entry *e = NULL;
	HASH_FIND(hh_handle, c->by_handle, &handle, sizeof(handle), e);
	return e;
}

struct mf_svid_entry *
mf_svid_cache_by_key(struct mf_svid_cache *c, const char *key)
{
	struct mf_svid_entry *e = NULL;
	HASH_FIND(hh, c->by_key, key, strlen(key), e);
	return e;
}

static enum mf_status
add_entry(struct mf_svid_cache *c, const char *key, struct mf_svid_entry **ret_e, struct mf_err *err)
{
	if (c->count >= c->max)
		return MF_FAIL(err, MF_E_EXHAUSTED, "%zu instances are served already; end some", c->count);
	struct mf_svid_entry *e = calloc(1, sizeof(*e));
	char *copy = mf_slice_dup_str(mf_slice_str(key));
	if (e == NULL || copy == NULL) {
		free(e);
		free(copy);
		return MF_FAIL(err, MF_E_NOMEM, "instance: out of memory");
	}
	e->key = copy;
	mf_jwt_cache_init(&e->jwts);
	mf_cloud_cache_init(&e->clouds);
	HASH_ADD_KEYPTR(hh, c->by_key, e->key, strlen(e->key), e);
	if (e->map_oom) {
		free(copy);
		free(e);
		return MF_FAIL(err, MF_E_NOMEM, "instance: out of memory");
	}
	c->count++;
	*ret_e = e;
	return MF_OK;
}

enum mf_status
mf_svid_cache_bind(struct mf_svid_cache *c, const char *key, uint64_t handle, uint32_t generation,
    struct mf_svid_entry **ret_e, struct mf_err *err)
{
	size_t n = key == NULL ? 0 : strlen(key);
	if (n == 0 || n > MF_SVID_TEXT_MAX)
		return MF_FAIL(err, MF_E_INVALID, "instance key of %zu bytes", n);
	struct mf_svid_entry *e = mf_svid_cache_by_key(c, key), *other = mf_svid_cache_by_handle(c, handle);
	if (e == NULL || other != e) {
		if (other != NULL && other->generation == generation)
			return MF_FAIL(
			    err, MF_E_INVALID, "handle %llu is two instances", (unsigned long long)handle);
		bool fresh = e == NULL;
		if (fresh)
			MF_TRY(add_entry(c, key, &e, err));
		else
			unhash_handle(c, e);
		if (other != NULL) /* an old handle that now means another instance */
			unhash_handle(c, other);
		e->handle = handle;
		e->map_oom = false;
		HASH_ADD(hh_handle, c->by_handle, handle, sizeof(e->handle), e);
		if (e->map_oom) {
			e->generation = 0;
			if (fresh)
				mf_svid_cache_del(c, e);
			return MF_FAIL(err, MF_E_NOMEM, "instance: out of memory");
		}
	}
	e->generation = generation;
	*ret_e = e;
	return MF_OK;
}

void
mf_svid_text(char ret_text[MF_SVID_TEXT_MAX + 1], struct mf_slice s)
{
	size_t n = s.n < MF_SVID_TEXT_MAX ? s.n : MF_SVID_TEXT_MAX;
	while (n > 0 && n < s.n && (s.p[n] & 0xc0) == 0x80)
		n--;
	if (n > 0)
		memcpy(ret_text, s.p, n);
	ret_text[n] = '\0';
}

void
mf_svid_set_reason(struct mf_svid_entry *e, struct mf_slice reason)
{
	mf_svid_text(e->reason, reason);
}

void
mf_svid_pend(struct mf_svid_entry *e)
{
	if (e->state == MF_SVID_UNKNOWN || e->state == MF_SVID_REFUSED) {
		e->state = MF_SVID_PENDING;
		e->version++;
	}
}

void
mf_svid_refuse(struct mf_svid_entry *e, uint32_t code, struct mf_slice reason, struct mf_slice rule)
{
	if (e->state == MF_SVID_ENDED)
		return;
	drop_identities(e);
	mf_cloud_cache_wipe(&e->clouds);
	e->state = MF_SVID_REFUSED;
	e->refusal_code = code;
	mf_svid_text(e->refusal_rule, rule);
	mf_svid_set_reason(e, reason);
	e->version++;
}

void
mf_svid_forget(struct mf_svid_entry *e, struct mf_slice reason)
{
	if (e->state == MF_SVID_ENDED)
		return;
	mf_cloud_cache_wipe(&e->clouds);
	mf_svid_lapse(e, reason);
}

bool
mf_svid_set_uid(struct mf_svid_entry *e, uint32_t uid)
{
	bool another = e->has_uid && e->uid != uid;
	if (another) {
		mf_rotation_drop(&e->rotation);
		mf_svid_forget(e, MF_SLICE_LIT("another user's process is the first of this cgroup now"));
	}
	e->uid = uid;
	e->has_uid = true;
	return another;
}

void
mf_svid_lapse(struct mf_svid_entry *e, struct mf_slice reason)
{
	if (e->state == MF_SVID_ENDED)
		return;
	drop_identities(e);
	e->state = MF_SVID_UNKNOWN;
	mf_svid_set_reason(e, reason);
	e->version++;
}

void
mf_svid_end(struct mf_svid_entry *e, struct mf_slice cause)
{
	if (e->state == MF_SVID_ENDED)
		return;
	drop_identities(e);
	mf_cloud_cache_wipe(&e->clouds);
	e->state = MF_SVID_ENDED;
	mf_svid_set_reason(e, cause);
	e->version++;
}

int64_t
mf_svid_expires_s(const struct mf_svid_entry *e)
{
	int64_t first = INT64_MAX;
	for (size_t i = 0; i < e->n_identities; i++)
		if (e->identities[i].not_after_s < first)
			first = e->identities[i].not_after_s;
	return first;
}

bool
mf_svid_servable(const struct mf_svid_cache *c, const struct mf_svid_entry *e, int64_t now_s)
{
	return e->state == MF_SVID_GRANTED && e->n_identities > 0 && c->bundle.n > 0 &&
	       mf_svid_expires_s(e) > now_s;
}

/* The URI that the signing certificate of our trust domain has: "spiffe://td" (ID-15). */
static bool
is_own_ca(const struct mf_svid_cache *c, const struct mf_x509_peek *p)
{
	struct mf_slice scheme = MF_SLICE_LIT("spiffe://");
	return p->ca && p->n_uri == 1 && mf_slice_starts(p->uri, scheme) &&
	       mf_slice_eq_str(mf_slice_sub(p->uri, scheme.n, p->uri.n), c->trust_domain);
}

enum mf_status
mf_svid_cache_set_bundle(struct mf_svid_cache *c, struct mf_slice der, bool *ret_changed, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_TRY(mf_bundle_split(der, certs, MF_COUNT(certs), &n, err));
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "bundle: no certificate");
	for (size_t i = 0; i < n; i++) {
		struct mf_x509_peek p;
		MF_TRY(mf_x509_peek(certs[i], &p, err));
		if (!p.ca)
			return MF_FAIL(
			    err, MF_E_INVALID, "bundle: certificate %zu is no signing certificate", i);
		if (p.n_uri > 0 && !is_own_ca(c, &p))
			return MF_FAIL(
			    err, MF_E_INVALID, "bundle: certificate %zu is of another trust domain", i);
	}
	if (mf_slice_eq(der, mf_buf_slice(&c->bundle))) {
		*ret_changed = false;
		return MF_OK;
	}
	struct mf_buf fresh;
	mf_buf_init(&fresh, MF_LIM_BUNDLE_DER);
	mf_buf_put_slice(&fresh, der);
	enum mf_status s = mf_buf_check(&fresh, err);
	if (s != MF_OK) {
		mf_buf_fini(&fresh);
		return s;
	}
	mf_buf_fini(&c->bundle);
	c->bundle = fresh;
	c->bundle_version++;
	MF_SVID_EACH(e, c)
	e->version++;
	*ret_changed = true;
	return MF_OK;
}

struct mf_slice
mf_svid_cache_bundle(const struct mf_svid_cache *c)
{
	return mf_buf_slice(&c->bundle);
}

uint64_t
mf_svid_cache_bundle_version(const struct mf_svid_cache *c)
{
	return c->bundle_version;
}
