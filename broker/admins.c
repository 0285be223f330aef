#include "broker/admins.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "broker/sources.h"
#include "conf/admins_conf.h"
#include "os/secure_file.h"

#include "roles.pb-c.h"

static enum mf_status
read_file(const char *path, size_t max, struct mf_buf *to, struct mf_err *err)
{
	int fd = -1;
	mf_buf_init(to, max);
	/* Who may write it gives roles. */
	MF_TRY(mf_broker_open_file(path, MF_FILE_NO_WRITERS, &fd, err));
	enum mf_status s = mf_file_read_all(fd, to, err);
	(void)close(fd);
	return s == MF_OK ? MF_OK : mf_err_wrap(err, s, "%s", path);
}

/* The message with everything that it points to. */
struct making {
	Mayfly__Roles__V1__AdminAccess msg;
	Mayfly__Roles__V1__AdminAssignment *assignments, **assignment_p;
	Mayfly__Roles__V1__ForeignBundle *bundles, **bundle_p;
	struct mf_buf ca, *bundle_pem;
	size_t n_pem;
};

static void
making_fini(struct making *m)
{
	for (size_t i = 0; i < m->n_pem; i++)
		mf_buf_fini(&m->bundle_pem[i]);
	mf_buf_fini(&m->ca);
	free(m->assignments);
	free(m->assignment_p);
	free(m->bundles);
	free(m->bundle_p);
	free(m->bundle_pem);
}

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s; /* generated structs take no const; packing changes nothing */
}

static void
put_assignments(struct making *m, const struct mf_admins_conf *c)
{
	const struct mf_admins_entry *e = c->admins.v;
	for (size_t i = 0; i < c->admins.n; i++) {
		mayfly__roles__v1__admin_assignment__init(&m->assignments[i]);
		m->assignments[i].role = text(mf_admins_role_words[e[i].role]);
		m->assignments[i].spiffe_id = text(e[i].spiffe_id);
		m->assignments[i].cert_sha256 = text(e[i].fingerprint);
		m->assignments[i].subject = text(e[i].subject);
		m->assignment_p[i] = &m->assignments[i];
	}
	m->msg.n_assignments = c->admins.n;
	m->msg.assignments = m->assignment_p;
}

static enum mf_status
put_bundles(struct making *m, const struct mf_admins_conf *c, struct mf_err *err)
{
	const struct mf_admins_bundle *b = c->bundles.v;
	for (size_t i = 0; i < c->bundles.n; i++) {
		struct mf_buf *pem = &m->bundle_pem[m->n_pem++];
		MF_TRY(read_file(b[i].file, 2 * (size_t)MF_LIM_BUNDLE_DER, pem, err));
		mayfly__roles__v1__foreign_bundle__init(&m->bundles[i]);
		m->bundles[i].trust_domain = text(b[i].trust_domain);
		m->bundles[i].bundle_pem = (ProtobufCBinaryData) { pem->n, pem->p };
		m->bundle_p[i] = &m->bundles[i];
	}
	m->msg.n_bundles = c->bundles.n;
	m->msg.bundles = m->bundle_p;
	return MF_OK;
}

static enum mf_status
make(struct making *m, const struct mf_admins_conf *c, int *ret_fd, struct mf_err *err)
{
	size_t na = c->admins.n + 1, nb = c->bundles.n + 1;
	mayfly__roles__v1__admin_access__init(&m->msg);
	mf_buf_init(&m->ca, 2 * (size_t)MF_LIM_BUNDLE_DER);
	m->assignments = calloc(na, sizeof(*m->assignments));
	m->assignment_p = calloc(na, sizeof(*m->assignment_p));
	m->bundles = calloc(nb, sizeof(*m->bundles));
	m->bundle_p = calloc(nb, sizeof(*m->bundle_p));
	m->bundle_pem = calloc(nb, sizeof(*m->bundle_pem));
	if (m->assignments == NULL || m->assignment_p == NULL || m->bundles == NULL || m->bundle_p == NULL ||
	    m->bundle_pem == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "admins: out of memory");
	put_assignments(m, c);
	MF_TRY(put_bundles(m, c, err));
	if (c->ca[0] != '\0')
		MF_TRY(read_file(c->ca, 2 * (size_t)MF_LIM_BUNDLE_DER, &m->ca, err));
	m->msg.admin_ca_pem = (ProtobufCBinaryData) { m->ca.n, m->ca.p };
	size_t n = mayfly__roles__v1__admin_access__get_packed_size(&m->msg);
	if (n > MF_LIM_PB_BYTES)
		return MF_FAIL(err, MF_E_TOOBIG, "admins: %zu bytes with its certificates, at most %u", n,
		    MF_LIM_PB_BYTES);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf packed;
	mf_buf_init(&packed, MF_LIM_PB_BYTES);
	uint8_t *to = n == 0 ? NULL : mf_buf_extend(&packed, n);
	if (n > 0 && to == NULL)
		return mf_buf_check(&packed, err);
	if (n > 0)
		(void)mayfly__roles__v1__admin_access__pack(&m->msg, to);
	return mf_broker_hand_over("mayfly-admins", mf_buf_slice(&packed), ret_fd, err);
}

enum mf_status
mf_broker_admins(const char *path, int *ret_fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf file;
	MF_TRY(read_file(path, MF_LIM_YAML, &file, err));
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new(path);
	MF_AUTO(mf_admins_conf_free) struct mf_admins_conf *c = NULL;
	if (problems == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "admins: out of memory");
	MF_TRY(mf_admins_conf_load(mf_buf_slice(&file), problems, &c, err));
	MF_AUTO_IN(making_fini) struct making m = { .n_pem = 0 };
	return make(&m, c, ret_fd, err);
}
