#include "broker/front/admin_access.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "codec/pem.h"
#include "codec/x509_read.h"
#include "rpc/pb_check.h"

#include "roles.pb-c.h"

#define RESERVED "/mayfly/" /* of our own trust domain: nodes and brokers */

struct mf_admin_access {
	char trust_domain[MF_LIM_TRUST_DOMAIN + 1];
	ProtobufCMessage *msg; /* what the assignments lie in; NULL: there are none */
	const Mayfly__Roles__V1__AdminAccess *conf;
	struct mf_anchors *own; /* NULL: no bundle yet */
	struct mf_anchors *ca;	/* NULL: none */
	size_t n_foreign;
	struct mf_anchors *foreign[MF_LIM_ADMIN_BUNDLES];
};

/* ---- reading ---- */

static enum mf_status
read_anchors(
    const char *trust_domain, const ProtobufCBinaryData *pem, struct mf_anchors **ret_a, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_LIM_BUNDLE_DER);
	MF_TRY(mf_pem_get_all(mf_slice(pem->data, pem->len), MF_PEM_CERTIFICATE, &der, err));
	return mf_anchors_new(mf_slice_str(trust_domain), mf_buf_slice(&der), ret_a, err);
}

static enum mf_status
check_spiffe_id(const struct mf_admin_access *a, char *text, struct mf_err *err)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_TRY(mf_spiffe_id_parse(mf_slice_str(text), &id, err));
	if (strcmp(mf_spiffe_id_str(id), text) != 0)
		return MF_FAIL(err, MF_E_INVALID, "write it in lowercase: %s", mf_spiffe_id_str(id));
	if (mf_spiffe_id_path(id).n == 0)
		return MF_FAIL(err, MF_E_INVALID, "a SPIFFE ID without a path names no one");
	if (mf_slice_eq_str(mf_spiffe_id_trust_domain(id), a->trust_domain) &&
	    mf_slice_starts(mf_spiffe_id_path(id), MF_SLICE_LIT(RESERVED)))
		return MF_FAIL(err, MF_E_INVALID, "names under " RESERVED " are nodes and brokers");
	return MF_OK;
}

static bool
is_hex64(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static enum mf_status
check_assignment(
    const struct mf_admin_access *a, const Mayfly__Roles__V1__AdminAssignment *as, struct mf_err *err)
{
	enum mf_admin_role role;
	int n = (as->spiffe_id[0] != '\0') + (as->cert_sha256[0] != '\0') + (as->subject[0] != '\0');
	if (!mf_admin_role_parse(mf_slice_str(as->role), &role))
		return MF_FAIL(err, MF_E_INVALID, "role must be viewer, revoker, operator or admin");
	if (n != 1)
		return MF_FAIL(err, MF_E_INVALID,
		    "name exactly one of spiffe_id, fingerprint and subject for each role");
	if (as->spiffe_id[0] != '\0')
		return check_spiffe_id(a, as->spiffe_id, err);
	if (a->ca == NULL)
		return MF_FAIL(err, MF_E_INVALID,
		    "fingerprint and subject need admin_ca: without it no such certificate is accepted");
	if (as->cert_sha256[0] != '\0' && !is_hex64(as->cert_sha256))
		return MF_FAIL(err, MF_E_INVALID, "a fingerprint is SHA-256 in 64 letters of lowercase hex");
	return MF_OK;
}

static enum mf_status
read_access(struct mf_admin_access *a, struct mf_err *err)
{
	const Mayfly__Roles__V1__AdminAccess *c = a->conf;
	if (c->n_assignments > MF_LIM_ADMIN_RULES || c->n_bundles > MF_LIM_ADMIN_BUNDLES)
		return MF_FAIL(err, MF_E_TOOBIG, "at most %u admins and %u admin_bundles", MF_LIM_ADMIN_RULES,
		    MF_LIM_ADMIN_BUNDLES);
	if (c->admin_ca_pem.len > 0) {
		enum mf_status s = read_anchors("", &c->admin_ca_pem, &a->ca, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "admin_ca");
	}
	for (size_t i = 0; i < c->n_bundles; i++) {
		const Mayfly__Roles__V1__ForeignBundle *b = c->bundles[i];
		enum mf_status s =
		    strcmp(b->trust_domain, a->trust_domain) == 0
			? MF_FAIL(err, MF_E_INVALID, "it is our own trust domain")
			: read_anchors(b->trust_domain, &b->bundle_pem, &a->foreign[a->n_foreign], err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "admin_bundles.%s", b->trust_domain);
		a->n_foreign++;
	}
	for (size_t i = 0; i < c->n_assignments; i++) {
		enum mf_status s = check_assignment(a, c->assignments[i], err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "admins, entry %zu", i + 1);
	}
	return MF_OK;
}

enum mf_status
mf_admin_access_new(
    struct mf_slice packed, const char *trust_domain, struct mf_admin_access **ret_a, struct mf_err *err)
{
	static const Mayfly__Roles__V1__AdminAccess nobody = MAYFLY__ROLES__V1__ADMIN_ACCESS__INIT;
	MF_AUTO(mf_admin_access_free) struct mf_admin_access *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	if (strlen(trust_domain) >= sizeof(a->trust_domain))
		return MF_FAIL(err, MF_E_TOOBIG, "the trust domain's name is too long");
	memcpy(a->trust_domain, trust_domain, strlen(trust_domain) + 1);
	a->conf = &nobody;
	if (packed.n > 0) {
		MF_TRY(mf_pb_unpack(&mayfly__roles__v1__admin_access__descriptor, packed, &a->msg, err));
		a->conf = (const Mayfly__Roles__V1__AdminAccess *)(const void *)a->msg;
	}
	MF_TRY(read_access(a, err));
	*ret_a = MF_TAKE(a);
	return MF_OK;
}

void
mf_admin_access_free(struct mf_admin_access *a)
{
	if (a == NULL)
		return;
	mf_anchors_free(a->own);
	mf_anchors_free(a->ca);
	for (size_t i = 0; i < a->n_foreign; i++)
		mf_anchors_free(a->foreign[i]);
	mf_pb_free(a->msg);
	free(a);
}

enum mf_status
mf_admin_access_bundle(struct mf_admin_access *a, struct mf_slice bundle, struct mf_err *err)
{
	struct mf_anchors *own = NULL;
	MF_TRY(mf_anchors_new(mf_slice_str(a->trust_domain), bundle, &own, err));
	mf_anchors_free(a->own);
	a->own = own;
	return MF_OK;
}

/* ---- judging ---- */

static void
hex_of(const uint8_t sha[32], char to[65])
{
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(to + 2 * i, 3, "%02x", sha[i]);
}

static enum mf_status
verify_svid(const struct mf_admin_access *a, const struct mf_slice *chain, size_t n, int64_t now_s,
    struct mf_admin_id *id, struct mf_err *err)
{
	const struct mf_anchors *sets[MF_LIM_ADMIN_BUNDLES + 1];
	size_t n_sets = 0;
	struct mf_svid svid = { 0 };
	if (a->own != NULL)
		sets[n_sets++] = a->own;
	for (size_t i = 0; i < a->n_foreign; i++)
		sets[n_sets++] = a->foreign[i];
	MF_TRY(mf_svid_verify(chain, n, sets, n_sets, now_s, &svid, err));
	enum mf_status s = MF_OK;
	if (mf_slice_eq_str(mf_spiffe_id_trust_domain(svid.id), a->trust_domain) &&
	    mf_slice_starts(mf_spiffe_id_path(svid.id), MF_SLICE_LIT(RESERVED))) {
		s = MF_FAIL(err, MF_E_UNAUTH, "a node's or broker's certificate: it administers nothing");
	} else {
		hex_of(svid.sha256, id->cert);
		(void)snprintf(id->spiffe_id, sizeof(id->spiffe_id), "%s", mf_spiffe_id_str(svid.id));
		id->not_after_s = svid.not_after_s;
	}
	mf_svid_fini(&svid);
	return s;
}

enum mf_status
mf_admin_access_verify(const struct mf_admin_access *a, const struct mf_slice *chain, size_t n, int64_t now_s,
    struct mf_admin_id *ret_id, struct mf_err *err)
{
	struct mf_admin_id id = { .not_after_s = 0 };
	struct mf_client_cert cert;
	struct mf_svid leaf = { 0 };
	if (n == 0)
		return MF_FAIL(err, MF_E_UNAUTH, "no client certificate: administrators need one");
	/* What reads as an SVID is judged as one: an admin CA vouches for no SPIFFE ID. */
	bool svid = mf_svid_read(chain[0], &leaf, err) == MF_OK;
	mf_svid_fini(&leaf);
	if (svid) {
		MF_TRY(verify_svid(a, chain, n, now_s, &id, err));
	} else if (a->ca == NULL) {
		return MF_FAIL(err, MF_E_UNAUTH, "the certificate is no X.509-SVID, and no admin_ca is set");
	} else {
		MF_TRY(mf_client_cert_verify(chain, n, a->ca, now_s, &cert, err));
		hex_of(cert.sha256, id.cert);
		memcpy(id.subject, cert.subject, sizeof(id.subject));
		id.not_after_s = cert.not_after_s;
	}
	*ret_id = id;
	return MF_OK;
}

static bool
is_meant(const Mayfly__Roles__V1__AdminAssignment *as, const struct mf_admin_id *id)
{
	if (as->spiffe_id[0] != '\0')
		return strcmp(as->spiffe_id, id->spiffe_id) == 0;
	if (id->spiffe_id[0] != '\0')
		return false; /* fingerprint and subject are for certificates of the admin CA */
	if (as->cert_sha256[0] != '\0')
		return strcmp(as->cert_sha256, id->cert) == 0;
	return as->subject[0] != '\0' && strcmp(as->subject, id->subject) == 0;
}

enum mf_admin_role
mf_admin_access_role(const struct mf_admin_access *a, const struct mf_admin_id *id)
{
	enum mf_admin_role best = MF_ADMIN_NOBODY, r;
	for (size_t i = 0; i < a->conf->n_assignments; i++) {
		const Mayfly__Roles__V1__AdminAssignment *as = a->conf->assignments[i];
		if (is_meant(as, id) && mf_admin_role_parse(mf_slice_str(as->role), &r) && r > best)
			best = r;
	}
	return best;
}

const char *
mf_admin_id_name(const struct mf_admin_id *id)
{
	return id->spiffe_id[0] != '\0' ? id->spiffe_id : id->subject[0] != '\0' ? id->subject : id->cert;
}

size_t
mf_admin_access_count(const struct mf_admin_access *a)
{
	return a->conf->n_assignments;
}
