/* CRLs of a hostile agent: read or refused; never counted unless read. */
#include <stdlib.h>

#include "codec/x509_crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_crls *crls = NULL;
	if (mf_crls_new(&crls, NULL) != MF_OK)
		abort();
	bool ok = mf_crls_add(crls, mf_slice(data, size), NULL) == MF_OK;
	if (mf_crls_count(crls) != (ok ? 1u : 0u))
		abort();
	mf_crls_free(crls);
	return 0;
}
