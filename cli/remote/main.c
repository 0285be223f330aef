/* mayfly-remote: started by `mayfly` only, see remote.h. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/remote/remote.h"
#include "crypto/provider.h"

#define LOCAL 3
#define TELL 4

static void
tell(const char *text)
{
	(void)!write(TELL, text, strlen(text)); /* nobody to tell that it failed */
}

static int
give_up(enum mf_status s, const struct mf_err *err)
{
	char line[MF_ERR_MSG_MAX + 64];
	(void)snprintf(line, sizeof(line), "error %s %s\n", mf_status_name(s), err->msg);
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 && c[1] != '\0')
			*c = '?';
	tell(line);
	return EXIT_FAILURE;
}

static bool
take(char **argv, const char *name, const char **to)
{
	size_t n = strlen(name);
	if (strncmp(*argv, name, n) != 0)
		return false;
	*to = *argv + n;
	return true;
}

int
main(int argc, char **argv)
{
	struct mf_remote_args a = { 0 };
	const char *timeout = "20000";
	uint64_t ms = 0;
	struct mf_err err = { 0 };
	if (fcntl(LOCAL, F_GETFD) < 0 || fcntl(TELL, F_GETFD) < 0) {
		(void)fputs("mayfly-remote is started by `mayfly --broker HOST:PORT`\n", stderr);
		return EXIT_FAILURE;
	}
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	for (int i = 1; i < argc; i++)
		if (!take(&argv[i], "--broker=", &a.broker) && !take(&argv[i], "--cert=", &a.cert) &&
		    !take(&argv[i], "--key=", &a.key) && !take(&argv[i], "--ca=", &a.ca) &&
		    !take(&argv[i], "--agent=", &a.agent) && !take(&argv[i], "--timeout-ms=", &timeout)) {
			(void)MF_FAIL(&err, MF_E_INVALID, "mayfly-remote: what is %s?", argv[i]);
			return give_up(MF_E_INVALID, &err);
		}
	if (a.broker == NULL || a.agent == NULL || !mf_parse_u64(mf_slice_str(timeout), &ms)) {
		(void)MF_FAIL(&err, MF_E_INVALID, "mayfly-remote: an argument is missing");
		return give_up(MF_E_INVALID, &err);
	}
	a.deadline_ms = mf_now().mono_ms + ms;
	mf_crypto_init();
	MF_AUTO_IN(mf_remote_identity_fini) struct mf_remote_identity id;
	MF_AUTO(mf_tls_free) struct mf_tls *tls = NULL;
	int fd = -1;
	mf_remote_identity_init(&id);
	enum mf_status s = mf_remote_identity_get(&a, &id, &err);
	if (s == MF_OK)
		s = mf_remote_connect(&a, &id, &tls, &fd, &err);
	if (s != MF_OK)
		return give_up(s, &err);
	tell("ok\n");
	s = mf_remote_relay(&id, tls, fd, LOCAL, &err);
	return s == MF_OK ? EXIT_SUCCESS : give_up(s, &err);
}
