/* What the public issuer may show: two documents, the first ends at a NUL. Whatever they are, the verdict is one of the words. */
#include <stdlib.h>

#include "broker/notary/issuer_judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"0000\"}"

static struct mf_state *
state_with_a_key(void)
{
	struct mf_state *st = NULL;
	struct mf_record r = { .type = MF_REC_KEY_PREPARED };
	mf_record_set_str(&r, MF_RS_KEY_ID, "kid1");
	mf_record_set_str(&r, MF_RS_KEY_USE, MF_KEY_USE_ASSERTION_RS256);
	mf_record_set_str(&r, MF_RS_JWK, KEY);
	mf_record_set_num(&r, MF_RN_BUNDLE, 1);
	if (mf_state_new(&st, NULL) != MF_OK || mf_state_apply(st, 0, &r, NULL) != MF_OK)
		abort();
	return st;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mf_state *st;
	static struct mf_issuer_seen seen;
	if (st == NULL)
		st = state_with_a_key();
	const uint8_t *cut = size == 0 ? NULL : memchr(data, 0, size);
	size_t n = cut == NULL ? size : (size_t)(cut - data);
	struct mf_slice rest = mf_slice_sub(mf_slice(data, size), n + 1, size);
	mf_issuer_judge(st, "https://a.example", mf_slice(data, n), rest, &seen);
	if (seen.sight == MF_ISSUER_UNSEEN || seen.sight >= MF_ISSUER_SIGHTS ||
	    seen.kids_n > MF_ISSUER_KEYS_MAX)
		abort();
	if ((seen.sight == MF_ISSUER_SAME) != (seen.why[0] == '\0') ||
	    (seen.sight == MF_ISSUER_SAME && !mf_issuer_shows(&seen, "kid1")))
		abort();
	return 0;
}
