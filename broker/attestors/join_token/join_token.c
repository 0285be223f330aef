/* A secret that an operator gave out: a hash comparison, nothing to parse. */
#include "base/secret.h"
#include "base/text.h"
#include "broker/attestors/node_attestor.h"
#include "codec/join_token.h"

#define UNKNOWN "the join token is unknown, used up or expired: make a new one with 'mayfly node token'"

static const char *
check(const struct mf_attest_claim *c, struct mf_attested *ret)
{
	const struct mf_token *t = mf_state_token(c->state, mf_slice_str(c->token_id));
	uint8_t hash[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	mf_buf_init(&hex, sizeof(hash) * 2);
	if (c->token_secret.n != MF_JOIN_SECRET)
		return "the join token's secret has the wrong size";
	mf_join_token_hash(c->token_secret.p, hash);
	mf_hex_put(&hex, mf_slice(hash, sizeof(hash)));
	if (t == NULL || mf_buf_check(&hex, NULL) != MF_OK ||
	    !mf_ct_equal(mf_buf_slice(&hex), mf_slice_str(t->hash)))
		return UNKNOWN;
	if (t->uses == 0 || c->wall_us > t->expires * 1000000)
		return "the join token is used up or expired: make a new one with 'mayfly node token'";
	ret->token_id = t->id;
	for (size_t i = 0; i < t->attributes_n && i < MF_ATTRIBUTES; i++)
		ret->attributes[ret->attributes_n++] = mf_slice_str(t->attributes[i]);
	return NULL;
}

const struct mf_node_attestor mf_attestor_join_token = { .name = "join_token", .check = check };
