/* PEM as a string for the caller, and its end. */
#include <mayfly/bundle.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/secret.h"
#include "client/handle.h"
#include "codec/pem.h"

enum mf_status
mf_pem_string(const char *label, const struct mf_slice *der, size_t n, char **ret_pem, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b; /* wiped */
	mf_buf_init(&b, 2 * MF_LIM_BUNDLE_DER);
	for (size_t i = 0; i < n; i++)
		mf_pem_put(&b, label, der[i]);
	MF_TRY(mf_buf_check(&b, err));
	char *s = mf_slice_dup_str(mf_buf_slice(&b));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "PEM: out of memory");
	*ret_pem = s;
	return MF_OK;
}

void
mayfly_string_free(char *s)
{
	if (s == NULL)
		return;
	mf_wipe(s, strlen(s));
	free(s);
}
