#include "broker/notary/issuer_judge.h"

#include <stdio.h>

#include "base/limits.h"
#include "codec/json.h"

#define JWK_MAX 2048u

static const char *const names[MF_ISSUER_SIGHTS] = {
	[MF_ISSUER_UNSEEN] = "unseen",
	[MF_ISSUER_AWAY] = "away",
	[MF_ISSUER_STALE] = "stale",
	[MF_ISSUER_FOREIGN] = "foreign",
	[MF_ISSUER_SAME] = "same",
};

const char *
mf_issuer_sight_name(enum mf_issuer_sight s)
{
	return (unsigned)s < MF_ISSUER_SIGHTS ? names[s] : "unknown";
}

bool
mf_issuer_shows(const struct mf_issuer_seen *s, const char *kid)
{
	for (size_t i = 0; i < s->kids_n; i++)
		if (strcmp(s->kids[i], kid) == 0)
			return true;
	return false;
}

/* Its members as RFC 7638 3.2 spells them: what the record of a key of ours says. False: no key that we know how to read. */
static bool
canonical(const struct mf_json_value *jwk, struct mf_buf *to)
{
	struct mf_slice kty, a, b;
	if (!mf_json_string(mf_json_get(jwk, "kty"), &kty))
		return false;
	if (mf_slice_eq_str(kty, "RSA")) {
		if (!mf_json_string(mf_json_get(jwk, "e"), &a) || !mf_json_string(mf_json_get(jwk, "n"), &b))
			return false;
		mf_buf_putf(to, "{\"e\":\"%.*s\",\"kty\":\"RSA\",\"n\":\"%.*s\"}", (int)a.n,
		    (const char *)a.p, (int)b.n, (const char *)b.p);
	} else {
		struct mf_slice crv;
		if (!mf_slice_eq_str(kty, "EC") || !mf_json_string(mf_json_get(jwk, "crv"), &crv) ||
		    !mf_slice_eq_str(crv, "P-256") || !mf_json_string(mf_json_get(jwk, "x"), &a) ||
		    !mf_json_string(mf_json_get(jwk, "y"), &b))
			return false;
		mf_buf_putf(to, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%.*s\",\"y\":\"%.*s\"}", (int)a.n,
		    (const char *)a.p, (int)b.n, (const char *)b.p);
	}
	return to->failed == MF_OK;
}

/* NULL: none of ours, those that have gone included. */
static const struct mf_key *
ours(const struct mf_state *st, const struct mf_json_value *jwk)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	struct mf_slice kid;
	mf_buf_init(&text, JWK_MAX);
	if (!canonical(jwk, &text) || !mf_json_string(mf_json_get(jwk, "kid"), &kid))
		return NULL;
	for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL; k = mf_state_next_key(st, k))
		if (k->use->bundle == MF_KEY_IN_OIDC && k->jwk != NULL && mf_slice_eq_str(kid, k->id) &&
		    mf_slice_eq_str(mf_buf_slice(&text), k->jwk))
			return k;
	return NULL;
}

static void
say(struct mf_issuer_seen *s, enum mf_issuer_sight sight, const char *issuer, const char *what)
{
	s->sight = sight;
	(void)snprintf(s->why, sizeof(s->why), "%s %s", issuer, what);
}

#define COPY "copy the documents there ('mayfly oidc export')"

/* What it shows of ours, and whether there is more. False: it is said. */
static bool
read_keys(
    const struct mf_state *st, const char *issuer, const struct mf_json_value *keys, struct mf_issuer_seen *s)
{
	size_t n = mf_json_size(keys);
	bool old = false;
	if (n > MF_ISSUER_KEYS_MAX) {
		say(s, MF_ISSUER_FOREIGN, issuer,
		    "shows more keys than there can be of ours: no cloud token is asked for "
		    "until " COPY);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const struct mf_key *k = ours(st, mf_json_at(keys, i));
		if (k == NULL) {
			say(s, MF_ISSUER_FOREIGN, issuer,
			    "shows a key that is not ours: whoever has it can mint at every cloud that "
			    "trusts this issuer. "
			    "Find out who wrote it, and " COPY "; until then no cloud token is asked for");
			return false;
		}
		(void)snprintf(s->kids[s->kids_n++], MF_KEY_ID_MAX, "%s", k->id);
		old |= !mf_key_published(k);
	}
	if (old)
		say(s, MF_ISSUER_STALE, issuer, "still shows a key of ours that is gone or revoked: " COPY);
	return !old;
}

void
mf_issuer_judge(const struct mf_state *st, const char *issuer, struct mf_slice discovery,
    struct mf_slice jwks, struct mf_issuer_seen *ret)
{
	MF_AUTO(mf_json_free) struct mf_json *disc = NULL;
	MF_AUTO(mf_json_free) struct mf_json *set = NULL;
	struct mf_slice named;
	ret->kids_n = 0;
	ret->why[0] = '\0';
	ret->sight = MF_ISSUER_SAME;
	if (mf_json_parse(discovery, MF_LIM_OIDC_DOCUMENT, &disc, NULL) != MF_OK ||
	    mf_json_parse(jwks, MF_LIM_OIDC_DOCUMENT, &set, NULL) != MF_OK ||
	    mf_json_type(mf_json_get(mf_json_root(set), "keys")) != MF_JSON_ARRAY) {
		say(ret, MF_ISSUER_AWAY, issuer, "does not answer with OIDC documents: " COPY);
		return;
	}
	if (!mf_json_string(mf_json_get(mf_json_root(disc), "issuer"), &named) ||
	    !mf_slice_eq_str(named, issuer)) {
		say(ret, MF_ISSUER_FOREIGN, issuer,
		    "answers with the documents of another issuer: oidc.issuer must be that URL byte by "
		    "byte; until then no "
		    "cloud token is asked for");
		return;
	}
	if (!read_keys(st, issuer, mf_json_get(mf_json_root(set), "keys"), ret))
		return;
	for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL; k = mf_state_next_key(st, k))
		if (k->use->bundle == MF_KEY_IN_OIDC && k->state <= MF_KEY_ACTIVE &&
		    !mf_issuer_shows(ret, k->id)) {
			say(ret, MF_ISSUER_STALE, issuer,
			    k->state == MF_KEY_ACTIVE
				? "does not show the key that signs, so every cloud would refuse it: " COPY
				: "does not show the key that was prepared: its activation waits; " COPY);
			if (k->state == MF_KEY_ACTIVE)
				return; /* the graver of the two */
		}
}
