#include "broker/notary/oidc_docs.h"

#include <stdio.h>

#include "base/text.h"
#include "codec/json_write.h"
#include "codec/x509_self.h"

#define X5C_LIFE_S \
	(INT64_C(10) * 365 * 86400) /* nobody looks at its dates; the key is replaced long before */

void
mf_oidc_docs_init(struct mf_oidc_docs *d)
{
	for (size_t i = 0; i < MF_PUBLISHED_FILES; i++)
		mf_buf_init(&d->files[i], MF_LIM_OIDC_DOCUMENT);
	mf_buf_init(&d->manifest, MF_LIM_NOTE);
}

void
mf_oidc_docs_fini(struct mf_oidc_docs *d)
{
	for (size_t i = 0; i < MF_PUBLISHED_FILES; i++)
		mf_buf_fini(&d->files[i]);
	mf_buf_fini(&d->manifest);
}

static void
put_strings(struct mf_jw *w, const char *key, const char *const *v)
{
	mf_jw_key(w, key);
	mf_jw_array_begin(w);
	for (; *v != NULL; v++)
		mf_jw_str(w, *v);
	mf_jw_array_end(w);
}

static void
put_url(struct mf_jw *w, const char *key, const char *issuer, const char *path)
{
	char url[MF_LIM_ISSUER + 64];
	(void)snprintf(url, sizeof(url), "%s%s", issuer, path);
	mf_jw_kstr(w, key, url);
}

/*
 * OpenID Connect Discovery 3: what is required, and what AWS looks for beside it. Nobody logs in here, so the
 * authorization endpoint is a place where nothing is.
 */
static enum mf_status
put_discovery(const char *issuer, const char *const *algs, struct mf_buf *to, struct mf_err *err)
{
	static const char *const types[] = { "id_token", NULL }, *const subjects[] = { "public", NULL };
	static const char *const claims[] = { "sub", "aud", "exp", "iat", "iss", "jti", NULL };
	struct mf_jw w;
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "issuer", issuer);
	put_url(&w, "jwks_uri", issuer, mf_published_path(MF_PUBLISHED_KEYS));
	put_url(&w, "authorization_endpoint", issuer, "/none");
	put_strings(&w, "response_types_supported", types);
	put_strings(&w, "subject_types_supported", subjects);
	put_strings(&w, "id_token_signing_alg_values_supported", algs);
	put_strings(&w, "claims_supported", claims);
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, err);
}

static bool
names(struct mf_slice jwks, const char *word)
{
	size_t n = strlen(word);
	for (size_t i = 0; i + n <= jwks.n; i++)
		if (memcmp(jwks.p + i, word, n) == 0)
			return true;
	return false;
}

/* Some stores look at the first key only, and at nothing of it but the certificate: there is one key, which signs. */
static enum mf_status
put_x5c(const struct mf_jws_key *key, int64_t nbf, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der, b64;
	struct mf_jw w;
	mf_buf_init(&der, MF_LIM_CERT_DER);
	mf_buf_init(&b64, 2 * MF_LIM_CERT_DER);
	mf_jw_init(&w, to, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	if (key != NULL) {
		struct mf_jws_public pub = mf_jws_key_public(key);
		MF_TRY(mf_x509_self(key, nbf, nbf + X5C_LIFE_S, &der, err));
		mf_base64_put(&b64, mf_buf_slice(&der)); /* RFC 7517 4.7: base64, not base64url */
		MF_TRY(mf_buf_check(&b64, err));
		mf_jw_object_begin(&w);
		mf_jw_kstr(&w, "kty", "RSA");
		mf_jw_kstr(&w, "use", "sig");
		mf_jw_kstr(&w, "alg", "RS256");
		mf_jw_kstr(&w, "kid", mf_jws_key_kid(key));
		mf_jw_kbase64url(&w, "n", pub.n);
		mf_jw_kbase64url(&w, "e", pub.e);
		mf_jw_key(&w, "x5c");
		mf_jw_array_begin(&w);
		mf_jw_string(&w, mf_buf_slice(&b64));
		mf_jw_array_end(&w);
		mf_jw_object_end(&w);
	}
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	return mf_jw_finish(&w, err);
}

enum mf_status
mf_oidc_docs_make(const struct mf_oidc_docs_conf *c, const struct mf_oidc_set *set,
    const struct mf_jws_key *x5c, struct mf_oidc_docs *d, struct mf_err *err)
{
	const char *algs[3] = { NULL }, *const rs256[] = { "RS256", NULL };
	struct mf_published p = { .revision = set->revision };
	size_t n = 0;
	if (names(set->jwks, "\"alg\":\"RS256\""))
		algs[n++] = "RS256";
	if (names(set->jwks, "\"alg\":\"ES256\""))
		algs[n++] = "ES256";
	MF_TRY(put_discovery(c->issuer, algs, &d->files[MF_PUBLISHED_DISCOVERY], err));
	mf_buf_put_slice(&d->files[MF_PUBLISHED_KEYS], set->jwks);
	MF_TRY(mf_buf_check(&d->files[MF_PUBLISHED_KEYS], err));
	MF_TRY(put_discovery(c->x5c_issuer, rs256, &d->files[MF_PUBLISHED_X5C_DISCOVERY], err));
	MF_TRY(put_x5c(x5c, set->x5c_nbf, &d->files[MF_PUBLISHED_X5C_KEYS], err));
	(void)snprintf(p.issuer, sizeof(p.issuer), "%s", c->issuer);
	(void)snprintf(p.x5c_issuer, sizeof(p.x5c_issuer), "%s", c->x5c_issuer);
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++)
		mf_published_add(&p, (enum mf_published_file)i, mf_buf_slice(&d->files[i]));
	return mf_published_sign(&p, c->origin, c->log_key, &d->manifest, err);
}
