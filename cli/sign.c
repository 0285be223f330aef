#include "cli/sign.h"

#include "cli/full_id.h"
#include "cli/sign/sign_act.h"

static bool
repeated(const struct mf_cli *c, const char *option, const char *to[MF_LIM_APPROVALS], size_t *n)
{
	const char *name;
	for (size_t i = 0; (name = mf_cli_get_nth(c, option, i)) != NULL; i++)
		if (!mf_sign_add(to, n, name))
			return false;
	return true;
}

int
mf_cli_sign(struct mf_cli *c, struct mf_grpc_sync *s, ProtobufCMessage *request)
{
	struct mf_err err = { 0 };
	struct mf_sign_opts o = { 0 };
	bool written = false;
	if ((c->verb->flags & MF_CLI_SIGNED) == 0)
		return -1;
	o.offline = mf_cli_get(c, "offline-request");
	if (!repeated(c, "signature", o.signatures, &o.signatures_n) ||
	    !repeated(c, "sign", o.keys, &o.keys_n))
		return mf_cli_usage(c, "more than %u signatures", MF_LIM_APPROVALS);
	if (o.signatures_n > 0 && o.offline == NULL)
		return mf_cli_usage(
		    c, "--signature belongs to a file that --offline-request wrote: name it too");
	enum mf_status st = mf_sign_asked(&o) ? mf_cli_full_id(c, s, request, &err) : MF_OK;
	if (st == MF_OK)
		st = mf_sign_act(&o, s, request, &written, &err);
	if (st != MF_OK) {
		err.code = st;
		return mf_cli_fail(c, &err);
	}
	if (!written)
		return -1;
	mf_cli_note(c, MF_SIGN_WRITTEN, o.offline, o.offline, o.offline);
	return MF_EXIT_OK;
}
