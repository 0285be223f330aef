#include "codec/x509_peek.h"

#include "codec/der.h"

#define SERIAL_MAX 20 /* RFC 5280, 4.1.2.2 */
#define EXTENSIONS_MAX 64
#define POINT_SIZE 65

static const uint8_t spki_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
	0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };

static enum mf_status
bad(struct mf_err *err, const char *what)
{
	return MF_FAIL(err, MF_E_INVALID, "certificate: bad %s", what);
}

/* An element of this tag, with tag and length. */
static bool
whole(struct mf_reader *r, uint8_t tag, struct mf_slice *ret)
{
	struct mf_reader at = *r;
	struct mf_der el;
	if (!mf_der_read(&at, &el) || el.tag != tag)
		return false;
	*r = at;
	*ret = el.whole;
	return true;
}

static bool
read_validity(struct mf_reader *r, struct mf_x509_peek *p)
{
	struct mf_slice body;
	struct mf_der a, b;
	if (!mf_der_expect(r, MF_DER_SEQUENCE, &body))
		return false;
	struct mf_reader v = mf_reader(body);
	return mf_der_read(&v, &a) && mf_der_read(&v, &b) && mf_reader_end(&v) &&
	       mf_der_get_time(a.tag, a.body, &p->not_before_s) &&
	       mf_der_get_time(b.tag, b.body, &p->not_after_s);
}

static bool
read_san(struct mf_slice value, struct mf_x509_peek *p)
{
	struct mf_slice body;
	if (!mf_der_only(value, MF_DER_SEQUENCE, &body) || body.n == 0)
		return false;
	struct mf_reader r = mf_reader(body);
	while (!mf_reader_end(&r)) {
		struct mf_der name;
		if (!mf_der_read(&r, &name))
			return false;
		if (name.tag != MF_DER_CONTEXT(6))
			continue;
		p->n_uri++;
		p->uri = p->n_uri == 1 ? name.body : mf_slice(NULL, 0);
	}
	return true;
}

static bool
read_basic_constraints(struct mf_slice value, struct mf_x509_peek *p)
{
	struct mf_slice body, v;
	if (!mf_der_only(value, MF_DER_SEQUENCE, &body))
		return false;
	struct mf_reader r = mf_reader(body);
	p->has_basic_constraints = true;
	if (mf_der_expect(&r, MF_DER_BOOLEAN, &v) && (!mf_der_get_bool(v, &p->ca) || !p->ca))
		return false; /* DER: a default is not written */
	if (!mf_reader_end(&r) && !mf_der_expect(&r, MF_DER_INTEGER, &v))
		return false;
	return mf_reader_end(&r);
}

static bool
read_key_usage(struct mf_slice value, struct mf_x509_peek *p)
{
	struct mf_slice bits;
	if (!mf_der_only(value, MF_DER_BIT_STRING, &bits) || bits.n < 2 || bits.n > 3 || bits.p[0] > 7)
		return false;
	for (unsigned i = 0; i < (bits.n - 1) * 8; i++)
		if ((bits.p[1 + i / 8] & (0x80u >> (i % 8))) != 0)
			p->key_usage |= 1u << i;
	return true;
}

static bool
read_aki(struct mf_slice value, struct mf_x509_peek *p)
{
	struct mf_slice body;
	if (!mf_der_only(value, MF_DER_SEQUENCE, &body))
		return false;
	struct mf_reader r = mf_reader(body);
	struct mf_slice id;
	if (mf_der_expect(&r, MF_DER_CONTEXT(0), &id))
		p->aki = id;
	return true; /* issuer and serial may follow; nobody here needs them */
}

/* One Extension; those we know by their OID 2.5.29.N. ${seen} has a bit per N: RFC 5280, 4.2: "A certificate
 * MUST NOT include more than one instance of a particular extension." */
static bool
read_extension(struct mf_reader *r, uint64_t *seen, struct mf_x509_peek *p)
{
	struct mf_slice body, oid, v;
	bool critical = false;
	if (!mf_der_expect(r, MF_DER_SEQUENCE, &body))
		return false;
	struct mf_reader e = mf_reader(body);
	if (!mf_der_expect(&e, MF_DER_OID, &oid))
		return false;
	if (mf_der_expect(&e, MF_DER_BOOLEAN, &v) && (!mf_der_get_bool(v, &critical) || !critical))
		return false;
	if (!mf_der_expect(&e, MF_DER_OCTET_STRING, &v) || !mf_reader_end(&e))
		return false;
	if (oid.n != 3 || oid.p[0] != 0x55 || oid.p[1] != 0x1d || oid.p[2] >= 64)
		return true;
	if ((*seen & UINT64_C(1) << oid.p[2]) != 0)
		return false;
	*seen |= UINT64_C(1) << oid.p[2];
	switch (oid.p[2]) {
	case 14:
		return mf_der_only(v, MF_DER_OCTET_STRING, &p->ski);
	case 15:
		return read_key_usage(v, p);
	case 17:
		return read_san(v, p);
	case 19:
		return read_basic_constraints(v, p);
	case 35:
		return read_aki(v, p);
	default:
		return true;
	}
}

static enum mf_status
read_tbs(struct mf_slice tbs, struct mf_slice *ret_alg, struct mf_x509_peek *p, struct mf_err *err)
{
	static const uint8_t two[] = { MF_DER_INTEGER, 1, 2 };
	struct mf_reader r = mf_reader(tbs);
	struct mf_slice v;
	if (!mf_der_expect(&r, MF_DER_EXPLICIT(0), &v) || !mf_slice_eq(v, mf_slice(two, sizeof(two))))
		return bad(err, "version (only 3 has extensions)");
	if (!mf_der_expect(&r, MF_DER_INTEGER, &v) || !mf_der_get_positive(v, &p->serial) ||
	    p->serial.n > SERIAL_MAX)
		return bad(err, "serial");
	if (!whole(&r, MF_DER_SEQUENCE, ret_alg) || !whole(&r, MF_DER_SEQUENCE, &p->issuer))
		return bad(err, "issuer");
	if (!read_validity(&r, p))
		return bad(err, "validity");
	if (!whole(&r, MF_DER_SEQUENCE, &p->subject) || !whole(&r, MF_DER_SEQUENCE, &p->spki))
		return bad(err, "subject or public key");
	(void)!mf_der_expect(&r, MF_DER_CONTEXT(1), &v); /* unique identifiers, long out of use */
	(void)!mf_der_expect(&r, MF_DER_CONTEXT(2), &v);
	if (mf_reader_end(&r))
		return MF_OK;
	struct mf_slice list;
	if (!mf_der_expect(&r, MF_DER_EXPLICIT(3), &v) || !mf_reader_end(&r) ||
	    !mf_der_only(v, MF_DER_SEQUENCE, &list))
		return bad(err, "extensions");
	struct mf_reader e = mf_reader(list);
	uint64_t seen = 0;
	for (unsigned n = 0; !mf_reader_end(&e); n++)
		if (n == EXTENSIONS_MAX || !read_extension(&e, &seen, p))
			return MF_FAIL(err, MF_E_INVALID, "certificate: bad extension %u", n);
	return MF_OK;
}

enum mf_status
mf_x509_peek(struct mf_slice der, struct mf_x509_peek *ret_peek, struct mf_err *err)
{
	if (der.n > MF_LIM_CERT_DER)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "certificate: %zu bytes, at most %u", der.n, MF_LIM_CERT_DER);
	struct mf_slice cert, tbs, inner = { 0 }, outer, bits;
	struct mf_x509_peek p = { 0 };
	if (!mf_der_only(der, MF_DER_SEQUENCE, &cert))
		return bad(err, "outer DER (is it PEM?)");
	struct mf_reader r = mf_reader(cert);
	if (!whole(&r, MF_DER_SEQUENCE, &p.tbs) || !whole(&r, MF_DER_SEQUENCE, &outer) ||
	    !mf_der_expect(&r, MF_DER_BIT_STRING, &bits) || !mf_reader_end(&r) || bits.n < 2 ||
	    bits.p[0] != 0)
		return bad(err, "structure");
	p.sig = mf_slice_sub(bits, 1, bits.n);
	if (!mf_der_only(p.tbs, MF_DER_SEQUENCE, &tbs))
		return bad(err, "structure");
	MF_TRY(read_tbs(tbs, &inner, &p, err));
	/* RFC 5280, 4.1.1.2: the field "MUST contain the same algorithm identifier" inside and outside */
	if (!mf_slice_eq(inner, outer))
		return bad(err, "signature algorithm");
	*ret_peek = p;
	return MF_OK;
}

bool
mf_x509_peek_point(const struct mf_x509_peek *peek, struct mf_slice *ret_point)
{
	if (peek->spki.n != sizeof(spki_head) + POINT_SIZE ||
	    memcmp(peek->spki.p, spki_head, sizeof(spki_head)) != 0 || peek->spki.p[sizeof(spki_head)] != 4)
		return false;
	*ret_point = mf_slice_sub(peek->spki, sizeof(spki_head), POINT_SIZE);
	return true;
}
