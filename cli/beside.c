#include "cli/beside.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum mf_status
mf_cli_beside(const char *name, bool role, struct mf_buf *to, struct mf_err *err)
{
	char self[4096];
	const char *libexec = role ? secure_getenv("MAYFLY_LIBEXEC") : NULL;
	mf_buf_reset(to);
	if (libexec != NULL && libexec[0] != '\0') {
		mf_buf_putf(to, "%s/%s", libexec, name);
	} else {
		ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
		if (n <= 0 || (size_t)n >= sizeof(self))
			return MF_FAIL(
			    err, MF_E_IO, "cannot find out where this program lies: is /proc mounted?");
		while (n > 0 && self[n - 1] != '/')
			n--;
		mf_buf_put(to, self, (size_t)n);
		size_t folder = to->n;
		mf_buf_putf(to, "%s%s", role ? "../libexec/mayfly/" : "", name);
		/* Packages put the daemons into sbin. */
		if (!role && mf_buf_cstr(to) != NULL && access((const char *)to->p, X_OK) != 0) {
			to->n = folder;
			mf_buf_putf(to, "../sbin/%s", name);
		}
	}
	if (mf_buf_cstr(to) == NULL)
		return mf_buf_check(to, err);
	if (access((const char *)to->p, X_OK) != 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: %s; is the installation whole?", (const char *)to->p,
		    strerror(errno));
	return MF_OK;
}
