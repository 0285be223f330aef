/* From a certificate to node attributes: only what was asked for, only once, only in one alphabet. */
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "base/attribute.h"
#include "codec/x509_pop.h"
#include "codec/x509_pop_internal.h"

#define OID_MAX 64u
#define EXTENSION "extension."

MF_DEFINE_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free)
MF_DEFINE_CLEANUP(ASN1_OBJECT, ASN1_OBJECT_free)

static const struct {
	const char *source;
	int nid; /* of the subject */
	int san; /* GEN_x, when nid is 0 */
} sources[] = {
	{ "subject.CN", NID_commonName, 0 },
	{ "subject.O", NID_organizationName, 0 },
	{ "subject.OU", NID_organizationalUnitName, 0 },
	{ "san.dns", 0, GEN_DNS },
	{ "san.uri", 0, GEN_URI },
};

static bool
split(struct mf_slice rule, struct mf_slice *ret_name, struct mf_slice *ret_source)
{
	const uint8_t *eq = rule.n == 0 ? NULL : memchr(rule.p, '=', rule.n);
	if (eq == NULL)
		return false;
	*ret_name = mf_slice_sub(rule, 0, (size_t)(eq - rule.p));
	*ret_source = mf_slice_sub(rule, ret_name->n + 1, rule.n);
	return mf_attribute_name_ok(*ret_name);
}

/* Digits and dots, as OBJ_txt2obj takes without guessing names. */
static bool
oid_of(struct mf_slice source, char to[OID_MAX])
{
	struct mf_slice prefix = MF_SLICE_LIT(EXTENSION);
	if (!mf_slice_starts(source, prefix) || source.n - prefix.n < 3 || source.n - prefix.n >= OID_MAX)
		return false;
	memcpy(to, source.p + prefix.n, source.n - prefix.n);
	to[source.n - prefix.n] = '\0';
	if (strspn(to, "0123456789.") != strlen(to))
		return false;
	MF_AUTO(ASN1_OBJECT_free) ASN1_OBJECT *o = OBJ_txt2obj(to, 1);
	ERR_clear_error();
	return o != NULL;
}

static int
known(struct mf_slice source)
{
	for (size_t i = 0; i < MF_COUNT(sources); i++)
		if (mf_slice_eq_str(source, sources[i].source))
			return (int)i;
	return -1;
}

const char *
mf_pop_rule_check(struct mf_slice rule)
{
	struct mf_slice name, source;
	char oid[OID_MAX];
	if (split(rule, &name, &source) && (known(source) >= 0 || oid_of(source, oid)))
		return NULL;
	return "must be NAME=SOURCE: a name of a-z 0-9 _ . - (not `id` or `attestor`), a source of "
	       "subject.CN, "
	       "subject.O, subject.OU, san.dns, san.uri or extension.<OID>";
}

/* ${n} finds of the source, the last one ${v}. */
static enum mf_status
put(struct mf_slice name, struct mf_slice source, size_t n, struct mf_slice v, struct mf_buf *to,
    struct mf_err *err)
{
	if (n == 0)
		return MF_OK;
	if (n > 1)
		return MF_FAIL(err, MF_E_INVALID,
		    "node certificate: %.*s is there %zu times; an attribute has one value", (int)source.n,
		    (const char *)source.p, n);
	if (!mf_attribute_value_ok(v))
		return MF_FAIL(err, MF_E_INVALID,
		    "node certificate: %.*s is no attribute value: 1 to 128 letters, digits and ._:/@+- ",
		    (int)source.n, (const char *)source.p);
	mf_buf_put_slice(to, name);
	mf_buf_put_u8(to, '=');
	mf_buf_put_slice(to, v);
	mf_buf_put_u8(to, '\n');
	return mf_buf_check(to, err);
}

static struct mf_slice
string_of(const ASN1_STRING *s)
{
	int n = ASN1_STRING_length(s);
	return mf_slice(ASN1_STRING_get0_data(s), n < 0 ? 0 : (size_t)n);
}

static enum mf_status
from_subject(
    X509 *x, int nid, struct mf_slice name, struct mf_slice source, struct mf_buf *to, struct mf_err *err)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	struct mf_slice v = { 0 };
	size_t n = 0;
	for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, nid, at)) >= 0; n++) {
		const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		/* Wide strings are none of the alphabet, whatever their bytes look like. */
		int type = ASN1_STRING_type(s);
		bool plain =
		    type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING || type == V_ASN1_IA5STRING;
		v = plain ? string_of(s) : mf_slice(NULL, 0);
	}
	return put(name, source, n, v, to, err);
}

static enum mf_status
from_san(
    X509 *x, int kind, struct mf_slice name, struct mf_slice source, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO(GENERAL_NAMES_free)
	GENERAL_NAMES *sans = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	struct mf_slice v = { 0 };
	size_t n = 0;
	ERR_clear_error();
	for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
		const GENERAL_NAME *gn = sk_GENERAL_NAME_value(sans, i);
		if (gn->type != kind)
			continue;
		v = string_of(gn->d.ia5);
		n++;
	}
	return put(name, source, n, v, to, err);
}

/* The value of the extension is one UTF8String, PrintableString or IA5String and nothing more. */
static enum mf_status
from_extension(X509 *x, const char *oid, struct mf_slice name, struct mf_slice source, struct mf_buf *to,
    struct mf_err *err)
{
	MF_AUTO(ASN1_OBJECT_free) ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
	struct mf_slice v = { 0 };
	size_t n = 0;
	if (o == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "node certificate: out of memory");
	for (int at = -1; (at = X509_get_ext_by_OBJ(x, o, at)) >= 0; n++) {
		struct mf_slice der = string_of(X509_EXTENSION_get_data(X509_get_ext(x, at)));
		bool text = der.n >= 2 && der.n - 2 == der.p[1] && der.p[1] < 0x80 &&
			    (der.p[0] == V_ASN1_UTF8STRING || der.p[0] == V_ASN1_PRINTABLESTRING ||
				der.p[0] == V_ASN1_IA5STRING);
		v = text ? mf_slice_sub(der, 2, der.n) : mf_slice(NULL, 0);
	}
	return put(name, source, n, v, to, err);
}

enum mf_status
mf_pop_attribute(X509 *leaf, struct mf_slice rule, struct mf_buf *to, struct mf_err *err)
{
	struct mf_slice name, source;
	char oid[OID_MAX];
	if (!split(rule, &name, &source))
		return MF_FAIL(err, MF_E_INVALID, "attribute mapping: %s", mf_pop_rule_check(rule));
	int k = known(source);
	if (k >= 0 && sources[k].nid != 0)
		return from_subject(leaf, sources[k].nid, name, source, to, err);
	if (k >= 0)
		return from_san(leaf, sources[k].san, name, source, to, err);
	if (!oid_of(source, oid))
		return MF_FAIL(err, MF_E_INVALID, "attribute mapping: %s", mf_pop_rule_check(rule));
	return from_extension(leaf, oid, name, source, to, err);
}
