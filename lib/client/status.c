#include "client/status.h"

#include <stdio.h>
#include <unistd.h>

_Static_assert(MF_ERR_MSG_MAX <= MAYFLY_ERROR_TEXT, "a text of ours fits the public one");

static const mayfly_status public_of[MF_STATUS_COUNT] = {
	[MF_OK] = MAYFLY_OK,
	[MF_E_INVALID] = MAYFLY_E_INVALID,
	[MF_E_TOOBIG] = MAYFLY_E_TOOBIG,
	[MF_E_NOMEM] = MAYFLY_E_NOMEM,
	[MF_E_IO] = MAYFLY_E_IO,
	[MF_E_CLOSED] = MAYFLY_E_UNAVAILABLE,
	[MF_E_AGAIN] = MAYFLY_E_UNAVAILABLE,
	[MF_E_DENIED] = MAYFLY_E_DENIED,
	[MF_E_NOTFOUND] = MAYFLY_E_NOTFOUND,
	[MF_E_EXISTS] = MAYFLY_E_INVALID,
	[MF_E_STATE] = MAYFLY_E_STATE,
	[MF_E_UNAVAILABLE] = MAYFLY_E_UNAVAILABLE,
	[MF_E_UNAUTH] = MAYFLY_E_UNTRUSTED,
	[MF_E_UNSUPPORTED] = MAYFLY_E_UNSUPPORTED,
	[MF_E_CORRUPT] = MAYFLY_E_INVALID,
	[MF_E_EXHAUSTED] = MAYFLY_E_UNAVAILABLE,
	[MF_E_DEADLINE] = MAYFLY_E_DEADLINE,
	[MF_E_INTERNAL] = MAYFLY_E_INTERNAL,
};

static mayfly_status
fill(mayfly_status s, int grpc_code, const struct mf_err *e, mayfly_error *err)
{
	if (err == NULL || s == MAYFLY_OK)
		return s;
	*err = (mayfly_error) { .status = s, .grpc_code = grpc_code };
	(void)snprintf(err->text, sizeof(err->text), "%s",
	    e == NULL || e->msg[0] == '\0' ? mayfly_status_name(s) : e->msg);
	return s;
}

mayfly_status
mf_pub(enum mf_status s, const struct mf_err *e, mayfly_error *err)
{
	return fill((unsigned)s < MF_STATUS_COUNT ? public_of[s] : MAYFLY_E_INTERNAL, 0, e, err);
}

mayfly_status
mf_pub_answer(enum mf_status s, enum mf_grpc_code code, const struct mf_err *e, mayfly_error *err)
{
	if (code == MF_GRPC_OK)
		return mf_pub(s, e, err);
	/* UNTRUSTED is a verdict on peers; an agent that does not know the caller has no identity for it. */
	mayfly_status p =
	    code == MF_GRPC_UNAUTHENTICATED ? MAYFLY_E_DENIED : public_of[mf_grpc_code_to_status(code)];
	return fill(p, (int)code, e, err);
}

const char *
mayfly_status_name(mayfly_status status)
{
	static const char *const names[] = {
		[MAYFLY_OK] = "ok",
		[MAYFLY_E_INVALID] = "invalid",
		[MAYFLY_E_DENIED] = "denied",
		[MAYFLY_E_UNAVAILABLE] = "unavailable",
		[MAYFLY_E_DEADLINE] = "deadline",
		[MAYFLY_E_UNTRUSTED] = "untrusted",
		[MAYFLY_E_NOTFOUND] = "not_found",
		[MAYFLY_E_UNSUPPORTED] = "unsupported",
		[MAYFLY_E_STATE] = "wrong_state",
		[MAYFLY_E_TOOBIG] = "too_big",
		[MAYFLY_E_NOMEM] = "no_memory",
		[MAYFLY_E_IO] = "io",
		[MAYFLY_E_INTERNAL] = "internal",
	};
	return (unsigned)status < MF_COUNT(names) ? names[status] : "unknown";
}

const char *
mayfly_version(void)
{
	return MAYFLY_VERSION;
}

enum mf_status
mf_same_process(int pid, struct mf_err *err)
{
	if (pid == (int)getpid())
		return MF_OK;
	return MF_FAIL(
	    err, MF_E_STATE, "made before fork() by another process: make a new client in the child");
}
