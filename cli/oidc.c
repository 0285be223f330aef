/* oidc: `mayfly oidc fetch`: what the broker published, where its directory is not on this machine. */
#include <fcntl.h>
#include <unistd.h>

#include "admin.pb-c.h"
#include "cli/connect.h"
#include "cli/verbs.h"
#include "os/secure_file.h"

#define FILES_MAX 16u
#define MANIFEST "manifest"

/* A name of one component, as those of STATE/public: whatever the broker's front says, nothing else is written. */
static bool
name_ok(const char *name)
{
	size_t n = strlen(name);
	return n > 0 && n <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* The manifest last: files that it does not describe are a copy under way. */
static enum mf_status
write_all(int dir, const Mayfly__Admin__V1__OidcDocuments *m, struct mf_err *err)
{
	if (m->n_files > FILES_MAX)
		return MF_FAIL(err, MF_E_INVALID, "more than %u documents", FILES_MAX);
	for (size_t i = 0; i < m->n_files; i++) {
		const Mayfly__Admin__V1__OidcDocument *d = m->files[i];
		if (!name_ok(d->name) || strcmp(d->name, MANIFEST) == 0)
			return MF_FAIL(err, MF_E_INVALID, "a document whose name is none");
		MF_TRY(mf_file_write(dir, d->name, mf_slice(d->body.data, d->body.len), 0644, err));
	}
	return mf_file_write(dir, MANIFEST, mf_slice(m->manifest.data, m->manifest.len), 0644, err);
}

int
mf_cli_oidc_fetch(struct mf_cli *c)
{
	Mayfly__Admin__V1__GetOidcDocumentsRequest q = MAYFLY__ADMIN__V1__GET_OIDC_DOCUMENTS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	struct mf_err err = { 0 };
	int dir = -1;
	int rc = mf_cli_ask_admin(c, &mf_cli_get_oidc_documents, &q.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	enum mf_status s = mf_dir_open(c->argv[0], true, geteuid(), getegid(), 0755, &dir, &err);
	if (s == MF_OK)
		s = write_all(dir, (const Mayfly__Admin__V1__OidcDocuments *)(const void *)msg, &err);
	if (dir >= 0)
		(void)close(dir);
	return s == MF_OK ? MF_EXIT_OK : mf_cli_fail(c, &err);
}
