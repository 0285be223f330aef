#include "broker/cloud.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "broker/sources.h"
#include "broker/backends/token_backend.h"
#include "os/secure_file.h"

#include "roles.pb-c.h"

#define KEY_FILE_MAX 1024u
#define PEM_MAX (2u * MF_LIM_BUNDLE_DER)

/* A target with everything that it points to. */
struct making {
	Mayfly__Roles__V1__CloudTarget msg;
	struct mf_buf ca, chain, key, admin;
};
struct all {
	struct making *targets;
	Mayfly__Roles__V1__CloudTarget **list;
	size_t n;
};

static void
all_fini(struct all *a)
{
	for (size_t i = 0; i < a->n; i++) {
		mf_buf_fini(&a->targets[i].ca);
		mf_buf_fini(&a->targets[i].chain);
		mf_buf_fini(&a->targets[i].key);
		mf_buf_fini(&a->targets[i].admin);
	}
	free(a->targets);
	free(a->list);
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s; /* generated structs take no const; packing changes nothing */
}

static enum mf_status
read_file(const char *path, mode_t forbidden, struct mf_buf *to, struct mf_err *err)
{
	int fd = -1;
	if (path[0] == '\0')
		return MF_OK;
	MF_TRY(mf_broker_open_file(path, forbidden, &fd, err));
	enum mf_status s = mf_file_read_all(fd, to, err);
	(void)close(fd);
	return s == MF_OK ? MF_OK : mf_err_wrap(err, s, "%s", path);
}

/* "ACCESS:SECRET", and a newline at most. */
static enum mf_status
split_key(const char *path, struct making *m, struct mf_err *err)
{
	if (m->admin.n > 0 && m->admin.p[m->admin.n - 1] == '\n')
		m->admin.p[--m->admin.n] = '\0';
	const char *whole = mf_buf_cstr(&m->admin);
	char *colon = whole == NULL ? NULL : strchr((char *)m->admin.p, ':');
	if (colon == NULL || colon == (char *)m->admin.p || colon[1] == '\0' || strlen(whole) != m->admin.n ||
	    strpbrk(whole, " \t\r\n") != NULL)
		return MF_FAIL(err, MF_E_INVALID, "%s: must be one line ACCESS:SECRET", path);
	*colon = '\0';
	m->msg.access_key = (char *)m->admin.p;
	m->msg.secret_key = colon + 1;
	return MF_OK;
}

static void
put_words(Mayfly__Roles__V1__CloudTarget *m, const struct mf_cloud_conf_target *t)
{
	m->name = text(t->name);
	m->backend = text(mf_cloud_conf_backends[t->backend]);
	m->endpoint = text(t->endpoint);
	m->admin_endpoint = text(t->admin_endpoint);
	m->region = text(t->region);
	m->audience = text(t->audience);
	m->revoker_role = text(t->revoker_role);
	m->client_id = text(t->client_id);
	m->flow = text(t->flow);
	m->client_auth = text(t->client_auth);
	m->revocation_endpoint = text(t->revocation_endpoint);
	m->introspection_endpoint = text(t->introspection_endpoint);
	m->issuer = text(t->issuer);
	m->algorithm = text(t->algorithm);
	m->service_endpoint = text(t->service_endpoint);
	m->loopback = t->loopback;
	m->deny_bytes = (uint32_t)t->deny_bytes;
}

static enum mf_status
make_target(struct making *m, const struct mf_cloud_conf_target *t, bool secrets, struct mf_err *err)
{
	put_words(&m->msg, t);
	const struct mf_token_backend *b = mf_token_backend_find(m->msg.backend);
	MF_TRY(
	    b == NULL ? MF_FAIL(err, MF_E_UNSUPPORTED, "no backend of that name") : b->check(&m->msg, err));
	MF_TRY(read_file(t->ca_file, MF_FILE_NO_WRITERS, &m->ca, err));
	m->msg.ca_pem = m->ca.n == 0 ? m->msg.ca_pem : text(mf_buf_cstr(&m->ca));
	if (m->msg.ca_pem == NULL || strlen(m->msg.ca_pem) != m->ca.n)
		return MF_FAIL(err, MF_E_INVALID, "%s: must be certificates, PEM", t->ca_file);
	if (!secrets)
		return MF_OK;
	MF_TRY(read_file(t->client_cert, MF_FILE_NO_WRITERS, &m->chain, err));
	MF_TRY(read_file(t->client_key, MF_FILE_PRIVATE, &m->key, err));
	m->msg.client_chain_pem = (ProtobufCBinaryData) { m->chain.n, m->chain.p };
	m->msg.client_key_pem = (ProtobufCBinaryData) { m->key.n, m->key.p };
	MF_TRY(read_file(t->revoker_key_file, MF_FILE_PRIVATE, &m->admin, err));
	return t->revoker_key_file[0] == '\0' ? MF_OK : split_key(t->revoker_key_file, m, err);
}

static enum mf_status
make_all(struct all *a, const struct mf_broker_conf *conf, bool secrets, struct mf_err *err)
{
	const struct mf_cloud_conf_target *t = conf->cloud_targets.v;
	size_t n = conf->cloud_targets.n;
	a->targets = calloc(n + 1, sizeof(*a->targets));
	a->list = calloc(n + 1, sizeof(*a->list));
	if (a->targets == NULL || a->list == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "cloud_targets: out of memory");
	for (size_t i = 0; i < n; i++) {
		struct making *m = &a->targets[a->n++];
		mayfly__roles__v1__cloud_target__init(&m->msg);
		mf_buf_init(&m->ca, PEM_MAX);
		mf_buf_init(&m->chain, PEM_MAX);
		mf_buf_init(&m->key, PEM_MAX);
		mf_buf_init(&m->admin, KEY_FILE_MAX);
		a->list[i] = &m->msg;
		enum mf_status s = make_target(m, &t[i], secrets, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "cloud target %s", t[i].name);
	}
	return MF_OK;
}

enum mf_status
mf_broker_cloud(const struct mf_broker_conf *conf, bool secrets, int *ret_fd, struct mf_err *err)
{
	MF_AUTO_IN(all_fini) struct all a = { .n = 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf packed;
	Mayfly__Roles__V1__CloudConf msg = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	mf_buf_init(&packed, MF_LIM_PB_BYTES);
	MF_TRY(make_all(&a, conf, secrets, err));
	msg.issuer = text(conf->oidc.issuer);
	msg.targets = a.list;
	msg.n_targets = a.n;
	size_t n = mayfly__roles__v1__cloud_conf__get_packed_size(&msg);
	if (n > MF_LIM_PB_BYTES)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "cloud_targets: %zu bytes with their certificates, at most %u", n, MF_LIM_PB_BYTES);
	uint8_t *to = n == 0 ? NULL : mf_buf_extend(&packed, n);
	if (n > 0 && to == NULL)
		return mf_buf_check(&packed, err);
	if (n > 0)
		(void)mayfly__roles__v1__cloud_conf__pack(&msg, to);
	return mf_broker_hand_over("mayfly-cloud", mf_buf_slice(&packed), ret_fd, err);
}
