#include "cli/leak.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "cli/beside.h"

#define OUTPUT_MAX 16384u

/* Its standard output; standard error stays ours. */
static enum mf_status
run(const char *path, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf program;
	int p[2], status = 0;
	static char name[] = "mayfly-audit", verb[] = "fingerprint";
	char *file = strdup(path);
	mf_buf_init(&program, 4096);
	enum mf_status s = file == NULL ? MF_FAIL(err, MF_E_NOMEM, "out of memory")
					: mf_cli_beside(name, true, &program, err);
	if (s == MF_OK && pipe2(p, O_CLOEXEC) != 0)
		s = MF_FAIL(err, MF_E_IO, "pipe: %s", strerror(errno));
	if (s != MF_OK) {
		free(file);
		return s;
	}
	char *argv[] = { name, verb, file, NULL };
	pid_t pid = fork();
	if (pid == 0) {
		if (dup2(p[1], STDOUT_FILENO) >= 0)
			(void)execv((const char *)program.p, argv);
		_exit(127);
	}
	(void)close(p[1]);
	uint8_t chunk[4096];
	ssize_t n = 0;
	while (pid > 0 && ((n = read(p[0], chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			mf_buf_put(to, chunk, (size_t)n);
	(void)close(p[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	free(file);
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return MF_FAIL(err, MF_E_IO, "cannot run %s", (const char *)program.p);
	if (WEXITSTATUS(status) != 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: no credential was found in it", path);
	return mf_buf_check(to, err);
}

static bool
take_line(struct mf_slice line, struct mf_cli_leak *l)
{
	const struct mf_slice hash = MF_SLICE_LIT("sha256 "), id = MF_SLICE_LIT("access-key-id ");
	if (mf_slice_starts(line, hash) && l->msg.n_sha256 < MF_CLI_FINGERPRINTS) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 32);
		if (mf_hex_get(mf_slice_sub(line, hash.n, line.n), &b, NULL) != MF_OK || b.n != 32)
			return false;
		size_t i = l->msg.n_sha256++;
		memcpy(l->bytes[i], b.p, 32);
		l->hashes[i] = (ProtobufCBinaryData) { 32, l->bytes[i] };
		return true;
	}
	struct mf_slice v = mf_slice_starts(line, id) ? mf_slice_sub(line, id.n, line.n) : mf_slice(NULL, 0);
	if (v.n == 0 || v.n >= sizeof(l->text[0]) || l->msg.n_access_key_ids >= MF_CLI_FINGERPRINTS)
		return false;
	size_t i = l->msg.n_access_key_ids++;
	memcpy(l->text[i], v.p, v.n);
	l->text[i][v.n] = '\0';
	l->ids[i] = l->text[i];
	return true;
}

enum mf_status
mf_cli_leak_read(const char *path, struct mf_cli_leak *ret_leak, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, OUTPUT_MAX);
	MF_TRY(run(path, &out, err));
	ret_leak->msg = (Mayfly__Admin__V1__LeakedCredential)MAYFLY__ADMIN__V1__LEAKED_CREDENTIAL__INIT;
	ret_leak->msg.sha256 = ret_leak->hashes;
	ret_leak->msg.access_key_ids = ret_leak->ids;
	struct mf_slice rest = mf_buf_slice(&out);
	while (rest.n > 0) {
		const uint8_t *nl = memchr(rest.p, '\n', rest.n);
		size_t n = nl == NULL ? rest.n : (size_t)(nl - rest.p);
		if (!take_line(mf_slice(rest.p, n), ret_leak))
			return MF_FAIL(
			    err, MF_E_INTERNAL, "mayfly-audit said something else than was asked for");
		rest = nl == NULL ? mf_slice(NULL, 0) : mf_slice_sub(rest, n + 1, rest.n);
	}
	return MF_OK;
}
