/* svid_cache, the part that takes a grant: check everything, build aside, then replace. */
#include <stdlib.h>

#include "agent/core/svid_internal.h"
#include "base/text.h"
#include "codec/bundle.h"
#include "codec/spiffe_id.h"
#include "codec/x509_peek.h"

void
mf_svid_keys_fini(struct mf_svid_keys *k)
{
	for (size_t i = 0; i < MF_COUNT(k->pkcs8); i++)
		mf_secret_free(k->pkcs8[i]);
	mf_wipe(k, sizeof(*k));
}

static enum mf_status
check_id(struct mf_slice text, const char *trust_domain, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_TRY(mf_spiffe_id_parse(text, &id, err));
	if (!mf_slice_eq(mf_spiffe_id_uri(id), text))
		return MF_FAIL(err, MF_E_INVALID, "SPIFFE ID is not in its folded form");
	if (!mf_slice_eq_str(mf_spiffe_id_trust_domain(id), trust_domain))
		return MF_FAIL(err, MF_E_INVALID, "SPIFFE ID of another trust domain");
	if (mf_spiffe_id_path(id).n == 0)
		return MF_FAIL(err, MF_E_INVALID, "SPIFFE ID without a path");
	return MF_OK;
}

static enum mf_status
check_leaf(
    const struct mf_x509_peek *p, const struct mf_svid_issued *i, const uint8_t *point, struct mf_err *err)
{
	struct mf_slice has;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf serial;
	mf_buf_init(&serial, 2 * MF_SVID_SERIAL);
	mf_hex_put(&serial, p->serial);
	MF_TRY(mf_buf_check(&serial, err));
	if (p->n_uri != 1 || !mf_slice_eq(p->uri, i->spiffe_id))
		return MF_FAIL(err, MF_E_INVALID, "leaf says another SPIFFE ID");
	if (!mf_x509_peek_point(p, &has) || has.n != MF_SVID_POINT ||
	    memcmp(has.p, point, MF_SVID_POINT) != 0)
		return MF_FAIL(err, MF_E_INVALID, "leaf is for another key");
	if (p->ca || !p->has_basic_constraints || p->key_usage != MF_X509_KU_DIGITAL_SIGNATURE)
		return MF_FAIL(err, MF_E_INVALID, "leaf is not an X.509-SVID leaf");
	if (p->not_before_s != i->not_before_s || p->not_after_s != i->not_after_s)
		return MF_FAIL(err, MF_E_INVALID, "leaf has other dates");
	if (!mf_slice_eq(mf_buf_slice(&serial), i->serial))
		return MF_FAIL(err, MF_E_INVALID, "leaf has another serial");
	return MF_OK;
}

/* One identity of a grant; the key stays in ${k} until all of them are good. */
static enum mf_status
check_issued(const struct mf_svid_cache *c, const struct mf_svid_issued *i, const struct mf_svid_keys *k,
    int64_t now_s, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	size_t n = 0;
	if (i->point >= k->n || k->pkcs8[i->point] == NULL)
		return MF_FAIL(err, MF_E_INVALID, "no key %u was offered", i->point);
	if (i->hint.n > MF_LIM_HINT || !mf_utf8_ok(i->hint))
		return MF_FAIL(err, MF_E_INVALID, "bad hint");
	if (i->serial.n == 0 || i->serial.n > MF_SVID_SERIAL)
		return MF_FAIL(err, MF_E_INVALID, "bad serial");
	MF_TRY(check_id(i->spiffe_id, mf_svid_cache_trust_domain(c), err));
	MF_TRY(mf_bundle_split(i->chain, certs, MF_COUNT(certs), &n, err));
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "no certificate");
	struct mf_x509_peek p;
	MF_TRY(mf_x509_peek(certs[0], &p, err));
	MF_TRY(check_leaf(&p, i, k->points[i->point], err));
	for (size_t j = 1; j < n; j++) {
		MF_TRY(mf_x509_peek(certs[j], &p, err));
		if (!p.ca)
			return MF_FAIL(
			    err, MF_E_INVALID, "certificate %zu of the chain is no signing certificate", j);
	}
	if (i->not_after_s <= now_s)
		return MF_FAIL(err, MF_E_INVALID, "expired already: compare the clocks of node and broker");
	return MF_OK;
}

static enum mf_status
copy_text(char **ret, struct mf_slice s, struct mf_err *err)
{
	if (s.n > MF_LIM_SPIFFE_ID)
		return MF_FAIL(err, MF_E_TOOBIG, "grant: a text of %zu bytes", s.n);
	*ret = mf_slice_dup_str(s);
	return *ret != NULL ? MF_OK : MF_FAIL(err, MF_E_NOMEM, "grant: out of memory");
}

static enum mf_status
copy_job(struct mf_svid_job *j, const struct mf_svid_grant *g, struct mf_err *err)
{
	MF_TRY(copy_text(&j->lease_id, g->lease_id, err));
	MF_TRY(copy_text(&j->job_id, g->job_id, err));
	MF_TRY(copy_text(&j->job_key, g->job_key, err));
	MF_TRY(copy_text(&j->run_id, g->run_id, err));
	MF_TRY(copy_text(&j->profile, g->profile, err));
	MF_TRY(copy_text(&j->rule, g->rule, err));
	MF_TRY(copy_text(&j->tenant, g->tenant, err));
	j->epoch = g->epoch;
	j->instance = g->instance;
	j->drain_ms = g->drain_ms;
	j->deadline_s = g->deadline_s;
	return MF_OK;
}

static enum mf_status
copy_identity(struct mf_svid_identity *to, const struct mf_svid_issued *i, struct mf_err *err)
{
	mf_buf_init(&to->chain, MF_LIM_CHAIN * MF_LIM_CERT_DER);
	MF_TRY(copy_text(&to->spiffe_id, i->spiffe_id, err));
	MF_TRY(copy_text(&to->hint, i->hint, err));
	mf_buf_put_slice(&to->chain, i->chain);
	memcpy(to->serial, i->serial.p, i->serial.n);
	to->not_before_s = i->not_before_s;
	to->not_after_s = i->not_after_s;
	return mf_buf_check(&to->chain, err);
}

static bool
hint_before(const struct mf_svid_grant *g, size_t at)
{
	for (size_t i = 0; i < at && g->issued[at].hint.n > 0; i++)
		if (mf_slice_eq(g->issued[i].hint, g->issued[at].hint))
			return true;
	return false;
}

static enum mf_status
check_grant(const struct mf_svid_cache *c, const struct mf_svid_entry *e, const struct mf_svid_grant *g,
    const struct mf_svid_keys *k, int64_t now_s, struct mf_err *err)
{
	if (e->state == MF_SVID_ENDED)
		return MF_FAIL(err, MF_E_STATE, "grant: the instance is over");
	if (g->n_issued == 0 || g->n_issued > MF_LIM_IDENTITIES)
		return MF_FAIL(err, MF_E_INVALID, "grant: %zu identities", g->n_issued);
	for (size_t i = 0; i < g->n_issued; i++) {
		enum mf_status s = check_issued(c, &g->issued[i], k, now_s, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "grant: identity %zu", i);
		for (size_t j = 0; j < i; j++)
			if (g->issued[j].point == g->issued[i].point)
				return MF_FAIL(err, MF_E_INVALID, "grant: one key for two identities");
	}
	return MF_OK;
}

enum mf_status
mf_svid_take_grant(struct mf_svid_cache *c, struct mf_svid_entry *e, const struct mf_svid_grant *g,
    struct mf_svid_keys *k, int64_t now_s, size_t *ret_dropped, struct mf_err *err)
{
	struct mf_svid_identity fresh[MF_LIM_IDENTITIES] = { 0 };
	struct mf_svid_job job = { 0 };
	size_t n = 0, dropped = 0;
	uint32_t points[MF_LIM_IDENTITIES] = { 0 };
	enum mf_status s = check_grant(c, e, g, k, now_s, err);
	if (s != MF_OK)
		return s;
	s = copy_job(&job, g, err);
	for (size_t i = 0; i < g->n_issued && s == MF_OK; i++) {
		if (hint_before(g, i)) {
			dropped++;
			continue;
		}
		points[n] = g->issued[i].point;
		s = copy_identity(&fresh[n++], &g->issued[i], err);
	}
	if (s != MF_OK) {
		for (size_t i = 0; i < n; i++)
			mf_svid_identity_wipe(&fresh[i]);
		mf_svid_job_fini(&job);
		return s;
	}
	for (size_t i = 0; i < e->n_identities; i++)
		mf_svid_identity_wipe(&e->identities[i]);
	mf_svid_job_fini(&e->job);
	for (size_t i = 0; i < n; i++) {
		fresh[i].key = MF_TAKE(k->pkcs8[points[i]]);
		e->identities[i] = fresh[i];
	}
	e->n_identities = n;
	e->n_keys = g->n_issued;
	e->job = job;
	e->state = MF_SVID_GRANTED;
	e->reason[0] = '\0';
	e->version++;
	if (ret_dropped != NULL)
		*ret_dropped = dropped;
	return MF_OK;
}
