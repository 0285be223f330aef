#include "agent/front/outer_trust.h"

#include <stdlib.h>

struct mf_outer_trust {
	char *trust_domain;
	bool has_pin;
	uint8_t pin[MF_SHA256_SIZE];
	struct mf_anchors *anchors; /* NULL: no bundle yet */
};

enum mf_status
mf_outer_trust_new(
    const char *trust_domain, struct mf_slice pin, struct mf_outer_trust **ret_t, struct mf_err *err)
{
	if (pin.n != 0 && pin.n != MF_SHA256_SIZE)
		return MF_FAIL(err, MF_E_INVALID, "CA pin: %zu bytes, not %d", pin.n, MF_SHA256_SIZE);
	MF_AUTO(mf_outer_trust_free) struct mf_outer_trust *t = calloc(1, sizeof(*t));
	if (t == NULL || (t->trust_domain = mf_slice_dup_str(mf_slice_str(trust_domain))) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "outer trust: out of memory");
	t->has_pin = pin.n > 0;
	if (t->has_pin)
		memcpy(t->pin, pin.p, pin.n);
	*ret_t = MF_TAKE(t);
	return MF_OK;
}

void
mf_outer_trust_free(struct mf_outer_trust *t)
{
	if (t == NULL)
		return;
	mf_anchors_free(t->anchors);
	free(t->trust_domain);
	free(t);
}

bool
mf_outer_trust_usable(const struct mf_outer_trust *t)
{
	return t->has_pin || t->anchors != NULL;
}

enum mf_status
mf_outer_trust_set_bundle(struct mf_outer_trust *t, struct mf_slice der, struct mf_err *err)
{
	struct mf_anchors *fresh = NULL;
	MF_TRY(mf_anchors_new(mf_slice_str(t->trust_domain), der, &fresh, err));
	mf_anchors_free(t->anchors);
	t->anchors = fresh;
	return MF_OK;
}

static enum mf_status
verify_broker(
    const struct mf_anchors *a, const struct mf_slice *chain, size_t n, int64_t now_s, struct mf_err *err)
{
	static const struct mf_slice place = { (const uint8_t *)"/mayfly/broker/", 15 };
	struct mf_svid leaf = { 0 };
	MF_TRY(mf_svid_verify(chain, n, &a, 1, now_s, &leaf, err));
	struct mf_slice path = mf_spiffe_id_path(leaf.id);
	bool broker =
	    mf_slice_starts(path, place) && mf_spiffe_segment_ok(mf_slice_sub(path, place.n, path.n));
	enum mf_status s = MF_OK;
	if (!broker)
		s = MF_FAIL(err, MF_E_DENIED,
		    "the server is %.256s, which is no broker's name: something else "
		    "answers at the broker's address",
		    mf_spiffe_id_str(leaf.id));
	mf_svid_fini(&leaf);
	return s;
}

/* Is it a broker of our trust domain under the CA certificate that it shows itself? */
static bool
consistent(const struct mf_outer_trust *t, const struct mf_slice *chain, size_t n, int64_t now_s)
{
	for (size_t i = 1; i < n; i++) {
		MF_AUTO(mf_anchors_free) struct mf_anchors *a = NULL;
		if (mf_anchors_new(mf_slice_str(t->trust_domain), chain[i], &a, NULL) == MF_OK &&
		    verify_broker(a, chain, i, now_s, NULL) == MF_OK)
			return true;
	}
	return false;
}

static enum mf_status
judge_by_pin(const struct mf_outer_trust *t, const struct mf_slice *chain, size_t n, int64_t now_s,
    bool *ret_alarm, struct mf_err *err)
{
	for (size_t i = 1; i < n; i++) {
		uint8_t sum[MF_SHA256_SIZE];
		mf_sha256(chain[i], sum);
		if (memcmp(sum, t->pin, sizeof(sum)) != 0)
			continue;
		MF_AUTO(mf_anchors_free) struct mf_anchors *a = NULL;
		MF_TRY(mf_anchors_new(mf_slice_str(t->trust_domain), chain[i], &a, err));
		return verify_broker(a, chain, i, now_s, err);
	}
	/*
	 * A token may be older than the broker's present CA key. It pins the notary's key as well, to which alone its
	 * secret is ever said: the inner session decides (design 6), as it does for a node that has joined.
	 */
	*ret_alarm = consistent(t, chain, n, now_s);
	(void)MF_FAIL(err, MF_E_UNAUTH, "%s",
	    *ret_alarm
		? "the server shows another CA certificate than the join token names: the broker's CA key "
		  "was changed since the token was made, or this is not that broker"
		: "the server does not show the CA certificate that the join token names: wrong broker "
		  "address, or a token of another broker; make a new one with 'mayfly node token'");
	return *ret_alarm ? MF_OK : MF_E_UNAUTH;
}

enum mf_status
mf_outer_trust_judge(const struct mf_outer_trust *t, const struct mf_slice *chain, size_t n, int64_t now_s,
    bool *ret_alarm, struct mf_err *err)
{
	*ret_alarm = false;
	if (n == 0)
		return MF_FAIL(err, MF_E_UNAUTH, "the server shows no certificate");
	if (t->anchors == NULL)
		return t->has_pin
			   ? judge_by_pin(t, chain, n, now_s, ret_alarm, err)
			   : MF_FAIL(err, MF_E_UNAUTH, "neither CA pin nor bundle to judge the server by");
	*ret_alarm = verify_broker(t->anchors, chain, n, now_s, err) != MF_OK;
	return MF_OK;
}
