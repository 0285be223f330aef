#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const names[MF_STATUS_COUNT] = {
	[MF_OK] = "ok",
	[MF_E_INVALID] = "invalid",
	[MF_E_TOOBIG] = "too_big",
	[MF_E_NOMEM] = "no_memory",
	[MF_E_IO] = "io",
	[MF_E_CLOSED] = "closed",
	[MF_E_AGAIN] = "again",
	[MF_E_DENIED] = "denied",
	[MF_E_NOTFOUND] = "not_found",
	[MF_E_EXISTS] = "exists",
	[MF_E_STATE] = "wrong_state",
	[MF_E_UNAVAILABLE] = "unavailable",
	[MF_E_UNAUTH] = "unauthenticated",
	[MF_E_UNSUPPORTED] = "unsupported",
	[MF_E_CORRUPT] = "corrupt",
	[MF_E_EXHAUSTED] = "exhausted",
	[MF_E_DEADLINE] = "deadline",
	[MF_E_INTERNAL] = "internal",
};

const char *
mf_status_name(enum mf_status s)
{
	if ((unsigned)s >= MF_STATUS_COUNT)
		return "unknown";
	return names[s];
}

enum mf_status
mf_err_set(struct mf_err *err, enum mf_status code, const char *file, int line, const char *fmt, ...)
{
	if (err == NULL)
		return code;
	int saved = errno;
	va_list ap;
	err->code = code;
	err->file = file;
	err->line = line;
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	errno = saved;
	return code;
}

enum mf_status
mf_err_wrap(struct mf_err *err, enum mf_status code, const char *fmt, ...)
{
	if (err == NULL)
		return code;
	int saved = errno;
	char head[MF_ERR_MSG_MAX], joined[2 * MF_ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	int n = snprintf(joined, sizeof(joined), "%s: %s", head, err->msg);
	size_t keep = n < 0 ? 0 : (size_t)n;
	if (keep >= sizeof(err->msg))
		keep = sizeof(err->msg) - 1;
	memcpy(err->msg, joined, keep);
	err->msg[keep] = '\0';
	if (err->code == MF_OK)
		err->code = code;
	errno = saved;
	return code;
}
