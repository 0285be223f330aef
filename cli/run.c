/* run: `mayfly run`: the command line of cli/launch.h. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/connect.h"
#include "cli/launch.h"
#include "cli/verbs.h"

enum mf_status
mf_cli_read_manifest(const char *path, struct mf_buf *to, struct mf_err *err)
{
	int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "manifest %s: %s", path, strerror(errno));
	ssize_t n = 0;
	uint8_t chunk[4096];
	do {
		n = read(fd, chunk, sizeof(chunk));
		if (n > 0)
			mf_buf_put(to, chunk, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	int e = errno;
	(void)close(fd);
	if (n < 0)
		return MF_FAIL(err, MF_E_IO, "manifest %s: %s", path, strerror(e));
	if (to->failed == MF_E_TOOBIG)
		return MF_FAIL(err, MF_E_TOOBIG, "manifest %s: longer than %u bytes", path, MF_LIM_MANIFEST);
	/* Nothing at all would pass for no manifest, which is another request. */
	if (to->failed == MF_OK && to->n == 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "manifest %s: it is empty: write one (docs/how-to/policy.md), or leave out --manifest",
		    path);
	return mf_buf_check(to, err);
}

/* Everything but the command's own exit code is 125, so that the two can be told apart. */
static int
failed(struct mf_cli *c, const struct mf_err *err)
{
	(void)mf_cli_fail(c, err);
	return MF_EXIT_RUN_FAILED;
}

int
mf_cli_run(struct mf_cli *c)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *agent = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf manifest;
	struct mf_launch_spec spec = { .profile = mf_cli_get(c, "profile"),
		.name = mf_cli_get(c, "name"),
		.argv = c->argv,
		.timeout_ms = c->timeout_ms };
	const char *file = mf_cli_get(c, "manifest");
	mf_buf_init(&manifest, MF_LIM_MANIFEST);
	if (file != NULL && mf_cli_read_manifest(file, &manifest, &err) != MF_OK)
		return failed(c, &err);
	spec.manifest = mf_buf_slice(&manifest);
	if (mf_cli_agent_path(c, &spec.socket_path, &err) != MF_OK || mf_cli_agent(c, &agent, &err) != MF_OK)
		return failed(c, &err);
	return mf_launch(c, agent, &spec);
}
