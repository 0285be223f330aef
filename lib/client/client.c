/* mayfly/workload.h: where the agent is, and how to behave towards it. */
#include <mayfly/workload.h>
#include <stdlib.h>

#include "client/handle.h"
#include "client/status.h"

#define ENV "SPIFFE_ENDPOINT_SOCKET"

static enum mf_status
make(const char *address, mayfly_client **ret_client, struct mf_err *err)
{
	bool from_env = address == NULL;
	if (from_env)
		address = getenv(ENV); /* lint: quiet: what the standard says a client does (WEP-7) */
	if (address == NULL || (from_env && address[0] == '\0'))
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "no agent address: give one, or set " ENV "=unix:///path/to/agent.sock");
	mayfly_client *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "client: out of memory");
	c->first_ms = MF_BACKOFF_FIRST_MS;
	c->most_ms = MF_BACKOFF_MOST_MS;
	enum mf_status s = mf_endpoint_parse(mf_slice_str(address), &c->endpoint, err);
	if (s == MF_OK && (c->address = mf_slice_dup_str(mf_slice_str(address))) == NULL)
		s = MF_FAIL(err, MF_E_NOMEM, "client: out of memory");
	if (s != MF_OK) {
		mayfly_client_free(c);
		return from_env ? mf_err_wrap(err, s, ENV) : s;
	}
	*ret_client = c;
	return MF_OK;
}

mayfly_status
mayfly_client_new(const char *address, mayfly_client **ret_client, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(make(address, ret_client, &e), &e, err);
}

void
mayfly_client_free(mayfly_client *client)
{
	if (client == NULL)
		return;
	free(client->address);
	free(client);
}

const char *
mayfly_client_address(const mayfly_client *client)
{
	return client->address;
}

void
mayfly_client_set_on_denied(mayfly_client *client, mayfly_on_denied what)
{
	client->on_denied = what == MAYFLY_KEEP ? MAYFLY_KEEP : MAYFLY_DROP;
}

mayfly_status
mayfly_client_set_backoff(mayfly_client *client, unsigned first_ms, unsigned most_ms, mayfly_error *err)
{
	struct mf_err e = { 0 };
	if (first_ms == 0 || first_ms > most_ms || most_ms > MF_BACKOFF_LIMIT_MS)
		return mf_pub(MF_FAIL(&e, MF_E_INVALID, "backoff: 1 <= first <= most <= %u milliseconds",
				  MF_BACKOFF_LIMIT_MS),
		    &e, err);
	client->first_ms = first_ms;
	client->most_ms = most_ms;
	return MAYFLY_OK;
}
