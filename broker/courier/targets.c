#include "broker/courier/targets.h"

#include <stdlib.h>

#include "codec/url.h"
#include "rpc/pb_check.h"

struct mf_targets {
	unsigned refs;
	ProtobufCMessage *msg; /* CloudConf */
};

static const Mayfly__Roles__V1__CloudConf *
conf(const struct mf_targets *t)
{
	return (const Mayfly__Roles__V1__CloudConf *)(const void *)t->msg;
}

enum mf_status
mf_targets_new(struct mf_slice packed, struct mf_targets **ret_t, struct mf_err *err)
{
	MF_AUTO(mf_targets_unref) struct mf_targets *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "targets: out of memory");
	t->refs = 1;
	MF_TRY(mf_pb_unpack(&mayfly__roles__v1__cloud_conf__descriptor, packed, &t->msg, err));
	for (size_t i = 0; i < conf(t)->n_targets; i++) {
		const Mayfly__Roles__V1__CloudTarget *c = conf(t)->targets[i];
		const struct mf_token_backend *b = mf_token_backend_find(c->backend);
		if (b == NULL)
			return MF_FAIL(
			    err, MF_E_INVALID, "cloud target %s: no backend of that name", c->name);
		enum mf_status s = b->check(c, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "cloud target %s", c->name);
	}
	*ret_t = MF_TAKE(t);
	return MF_OK;
}

struct mf_targets *
mf_targets_ref(struct mf_targets *t)
{
	t->refs++;
	return t;
}

void
mf_targets_unref(struct mf_targets *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	mf_pb_free(t->msg);
	free(t);
}

size_t
mf_targets_count(const struct mf_targets *t)
{
	return conf(t)->n_targets;
}

const Mayfly__Roles__V1__CloudTarget *
mf_targets_at(const struct mf_targets *t, size_t i)
{
	return conf(t)->targets[i];
}

const Mayfly__Roles__V1__CloudTarget *
mf_targets_find(const struct mf_targets *t, const char *name)
{
	for (size_t i = 0; i < conf(t)->n_targets; i++)
		if (strcmp(conf(t)->targets[i]->name, name) == 0)
			return conf(t)->targets[i];
	return NULL;
}

static size_t
add_port(const char *url, uint16_t *ports, size_t n, size_t max)
{
	struct mf_url u;
	if (url[0] == '\0' || mf_url_parse(mf_slice_str(url), &u, NULL) != MF_OK)
		return n;
	for (size_t i = 0; i < n; i++)
		if (ports[i] == u.port)
			return n;
	if (n < max)
		ports[n++] = u.port;
	return n;
}

size_t
mf_targets_ports(const struct mf_targets *t, uint16_t *ret, size_t max)
{
	size_t n = add_port(conf(t)->issuer, ret, 0, max);
	for (size_t i = 0; i < conf(t)->n_targets; i++) {
		const Mayfly__Roles__V1__CloudTarget *c = conf(t)->targets[i];
		const char *const urls[] = { c->endpoint, c->admin_endpoint, c->revocation_endpoint,
			c->introspection_endpoint, c->issuer };
		for (size_t k = 0; k < MF_COUNT(urls); k++)
			n = add_port(urls[k], ret, n, max);
	}
	return n;
}
