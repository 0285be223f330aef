#include "codec/bundle.h"

#include "codec/der.h"

enum mf_status
mf_bundle_split(
    struct mf_slice der, struct mf_slice *ret_certs, size_t max, size_t *ret_n, struct mf_err *err)
{
	if (der.n > MF_LIM_BUNDLE_DER)
		return MF_FAIL(err, MF_E_TOOBIG, "bundle: %zu bytes, at most %u", der.n, MF_LIM_BUNDLE_DER);
	struct mf_reader r = mf_reader(der);
	size_t n = 0;
	while (!mf_reader_end(&r)) {
		struct mf_der el;
		size_t at = der.n - r.n;
		if (!mf_der_read(&r, &el) || el.tag != MF_DER_SEQUENCE)
			return MF_FAIL(err, MF_E_INVALID, "bundle: no DER certificate at byte %zu%s", at,
			    at == 0 && der.p[0] == '-' ? "; this is PEM" : "");
		if (el.whole.n > MF_LIM_CERT_DER)
			return MF_FAIL(err, MF_E_TOOBIG, "bundle: certificate of %zu bytes, at most %u",
			    el.whole.n, MF_LIM_CERT_DER);
		if (n == max)
			return MF_FAIL(err, MF_E_TOOBIG, "bundle: more than %zu certificates", max);
		ret_certs[n++] = el.whole;
	}
	*ret_n = n;
	return MF_OK;
}

struct mf_slice
mf_bundle_first(struct mf_slice der)
{
	struct mf_reader r = mf_reader(der);
	struct mf_der el;
	return mf_der_read(&r, &el) && el.tag == MF_DER_SEQUENCE ? el.whole : mf_slice(NULL, 0);
}

enum mf_status
mf_bundle_join(const struct mf_slice *certs, size_t n, struct mf_buf *to, struct mf_err *err)
{
	size_t sum = 0;
	for (size_t i = 0; i < n; i++) {
		struct mf_slice body;
		if (!mf_der_only(certs[i], MF_DER_SEQUENCE, &body))
			return MF_FAIL(
			    err, MF_E_INVALID, "bundle: certificate %zu is not one DER certificate", i);
		if (certs[i].n > MF_LIM_CERT_DER || sum + certs[i].n > MF_LIM_BUNDLE_DER)
			return MF_FAIL(err, MF_E_TOOBIG,
			    "bundle: more than %u bytes, or than %u in certificate %zu", MF_LIM_BUNDLE_DER,
			    MF_LIM_CERT_DER, i);
		sum += certs[i].n;
	}
	size_t before = to->n;
	uint8_t *at = mf_buf_extend(to, sum); /* all or nothing */
	if (at == NULL && sum > 0)
		return mf_buf_check(to, err);
	to->n = before;
	for (size_t i = 0; i < n; i++)
		mf_buf_put_slice(to, certs[i]);
	return mf_buf_check(to, err);
}
