/* The part of the rig that has to do with tokens. See engine_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/notary/jwt_signer.h"
#include "engine_rig.h"

void
mf_rig_sign_jwts(struct rig *r, bool ok)
{
	struct mf_jwt_request *todo[MF_COUNT(r->jwts)];
	size_t n = r->jwts_n;
	MF_AUTO(mf_jwt_signer_free) struct mf_jwt_signer *signer = NULL;
	memcpy(todo, r->jwts, n * sizeof(todo[0]));
	r->jwts_n = 0;
	assert_int_equal(mf_jwt_signer_new(&signer, NULL), MF_OK);
	for (size_t i = 0; i < n; i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
		mf_buf_init(&token, MF_LIM_JWT);
		if (ok)
			assert_int_equal(mf_jwt_signer_make(signer, todo[i], &token, NULL), MF_OK);
		mf_engine_jwt_signed(r->e, r->now, todo[i]->ticket, mf_buf_slice(&token));
		mf_jwt_request_free(todo[i]);
	}
}

uint64_t
mf_rig_mint(struct rig *r, uint64_t sid, unsigned k, const char *lease, uint32_t epoch, const char *spiffe_id,
    const char *const *audiences, size_t n)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__MintJwt m = MAYFLY__AGENT__V1__MINT_JWT__INIT;
	char text[2][1024], *list[64];
	assert_true(n <= MF_COUNT(list));
	(void)snprintf(text[0], sizeof(text[0]), "%s", lease);
	(void)snprintf(text[1], sizeof(text[1]), "%s", spiffe_id);
	for (size_t i = 0; i < n; i++)
		list[i] = (char *)(uintptr_t)audiences[i]; /* packing only reads */
	m.lease_id = text[0];
	m.epoch = epoch;
	m.spiffe_id = text[1];
	m.audiences = list;
	m.n_audiences = n;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_MINT_JWT;
	up.mint_jwt = &m;
	return mf_rig_up(r, sid, k, &up);
}
