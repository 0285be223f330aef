/* Whose is this? By what a leaked certificate or token itself says, never by what somebody says of it. */
#include "base/text.h"
#include "broker/core/state_internal.h"

struct look {
	const struct mf_leak *what;
	char hex[65], der[44];
};

static bool
is_it(const struct look *k, const struct mf_cred *c)
{
	return c->kid[0] != '\0' ? strcmp(c->sha256, k->hex) == 0 : strcmp(c->der, k->der) == 0;
}

static const struct mf_cred *
among(const struct look *k, const struct mf_list *creds)
{
	MF_LIST_EACH(p, creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (is_it(k, c))
			return c;
	}
	return NULL;
}

static bool
is_cloud(const struct look *k, const struct mf_cloud_cred *c)
{
	const char *id = k->what->access_key_id;
	return strcmp(c->token_hash, k->hex) == 0 || (id[0] != '\0' && strcmp(c->provider_session, id) == 0);
}

bool
mf_state_find_leaked(const struct mf_state *st, const struct mf_leak *what, struct mf_leaked *ret)
{
	struct look k = { .what = what };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, 256);
	mf_hex_put(&text, what->sha256);
	if (what->sha256.n != 32 || mf_buf_cstr(&text) == NULL)
		return false;
	memcpy(k.hex, text.p, sizeof(k.hex));
	mf_buf_reset(&text);
	mf_base64url_put(&text, what->sha256);
	if (mf_buf_cstr(&text) == NULL)
		return false;
	memcpy(k.der, text.p, sizeof(k.der));
	for (const struct mf_lease *l = mf_state_next_lease(st, NULL); l != NULL;
	     l = mf_state_next_lease(st, l)) {
		const struct mf_cred *c = among(&k, &l->creds);
		if (c == NULL)
			continue;
		*ret = (struct mf_leaked) { c->kid[0] != '\0' ? "jwt-svid" : "x509-svid", c->serial, l->job,
			NULL };
		return true;
	}
	MF_LIST_EACH(p, mf_state_clouds(st))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		const struct mf_job *j = mf_state_job(st, mf_slice_str(c->job_id));
		if (j == NULL || !is_cloud(&k, c))
			continue;
		*ret = (struct mf_leaked) { "cloud-token", c->id, j, NULL };
		return true;
	}
	for (const struct mf_node *n = mf_state_next_node(st, NULL); n != NULL;
	     n = mf_state_next_node(st, n)) {
		const struct mf_cred *c = among(&k, &n->creds);
		if (c == NULL)
			continue;
		*ret = (struct mf_leaked) { "x509-svid", c->serial, NULL, n };
		return true;
	}
	return false;
}
