/* A walk never leaves the input; what it names lies inside; the bundle cutter agrees on whole certificates. */
#include <stdlib.h>

#include "codec/bundle.h"
#include "codec/x509_peek.h"

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
inside(struct mf_slice part, struct mf_slice whole)
{
	check(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size), point, cert[2];
	struct mf_x509_peek p;
	size_t n = 0;
	if (mf_x509_peek(in, &p, NULL) != MF_OK)
		return 0;
	const struct mf_slice parts[] = { p.tbs, p.sig, p.serial, p.issuer, p.subject, p.spki, p.uri, p.ski,
		p.aki };
	for (size_t i = 0; i < MF_COUNT(parts); i++)
		inside(parts[i], in);
	check(p.serial.n >= 1 && p.serial.n <= 20 && p.not_before_s >= 0 && p.not_after_s >= 0);
	check(p.n_uri == 1 || p.uri.n == 0);
	if (mf_x509_peek_point(&p, &point))
		check(point.n == 65 && point.p[0] == 4);
	check(mf_bundle_split(in, cert, 2, &n, NULL) == MF_OK && n == 1 && mf_slice_eq(cert[0], in));
	return 0;
}
