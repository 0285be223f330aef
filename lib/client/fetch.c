#include "client/fetch.h"

#include <errno.h>
#include <poll.h>

#include "client/link.h"
#include "client/methods.h"
#include "client/status.h"
#include "client/take.h"

#define NEVER UINT64_MAX
#define ONE_ATTEMPT_MS 10000u

bool
mf_worth_retrying(enum mf_status s, enum mf_grpc_code code)
{
	switch (code) {
	case MF_GRPC_OK: /* no answer of the agent: connection, or an answer that was refused */
		return s != MF_E_INTERNAL && s != MF_E_STATE;
	case MF_GRPC_INVALID_ARGUMENT:
	case MF_GRPC_UNIMPLEMENTED: /* WEP-13, WAPI-2: "report, no retry" */
		return false;
	default:
		return true;
	}
}

static uint64_t
now_ms(void)
{
	return mf_now().mono_ms;
}

/* Until ${until} or, with a link, until it has something to do. False: ${until} is over. */
static bool
pause_until(const struct mf_link *l, uint64_t until)
{
	uint64_t now = now_ms(), at = until;
	if (now >= until)
		return false;
	if (l != NULL && mf_link_wakeup(l) < at)
		at = mf_link_wakeup(l);
	uint64_t wait = at <= now ? 0 : at - now;
	struct pollfd p = { .fd = l == NULL ? -1 : mf_link_fd(l),
		.events = (short)(POLLIN | (l != NULL && mf_link_wants_write(l) ? POLLOUT : 0)) };
	(void)poll(&p, 1, wait > 60000 ? 60000 : (int)wait);
	return true;
}

/* One connection, one answer. *ret_code: the agent's, when it answered with a status. */
static enum mf_status
attempt(const mayfly_client *client, const struct mf_fetch *f, uint64_t until, enum mf_grpc_code *ret_code,
    struct mf_err *err)
{
	MF_AUTO(mf_link_free) struct mf_link *l = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	*ret_code = MF_GRPC_OK;
	MF_TRY(mf_link_open(&client->endpoint, f->method, f->request, &l, err));
	for (;;) {
		enum mf_status s = mf_link_step(l, &msg, err);
		if (s == MF_OK && (f->method->flags & MF_GRPC_SERVER_STREAM) != 0)
			return f->take(f->ctx, msg, err);
		if (s == MF_OK) { /* unary: the status decides, not the message */
			ProtobufCMessage *more = NULL;
			while ((s = mf_link_step(l, &more, err)) == MF_E_AGAIN && pause_until(l, until))
				;
			mf_pb_free(more);
			if (s == MF_E_CLOSED && mf_link_code(l) == MF_GRPC_OK)
				return f->take(f->ctx, msg, err);
			if (s == MF_OK)
				return MF_FAIL(err, MF_E_INVALID, "agent: two answers to one question");
		}
		*ret_code = mf_link_code(l);
		if (s == MF_E_CLOSED)
			return MF_FAIL(err, MF_E_UNAVAILABLE, "the agent ended the stream without an answer");
		if (s != MF_E_AGAIN)
			return s;
		if (!pause_until(l, until))
			return MF_FAIL(err, MF_E_DEADLINE, "the agent did not answer in time");
	}
}

mayfly_status
mf_fetch(const mayfly_client *client, const struct mf_fetch *f, int timeout_ms, mayfly_error *err)
{
	struct mf_backoff pause = { client->first_ms, client->most_ms, 0, mf_rand_system() };
	uint64_t until =
	    timeout_ms < 0 ? NEVER : now_ms() + (timeout_ms == 0 ? ONE_ATTEMPT_MS : (uint64_t)timeout_ms);
	struct mf_err e = { 0 }, last = { 0 };
	enum mf_grpc_code last_code = MF_GRPC_OK;
	for (unsigned tries = 1;; tries++) {
		enum mf_grpc_code code = MF_GRPC_OK;
		enum mf_status s = attempt(client, f, until, &code, &e);
		if (s == MF_OK)
			return MAYFLY_OK;
		/* A reason says more than that time is over. */
		if (s != MF_E_DEADLINE || code != MF_GRPC_OK || last.code == MF_OK) {
			last = e;
			last.code = s;
			last_code = code;
		}
		uint64_t now = now_ms(), next = now + mf_backoff_next(&pause);
		if (timeout_ms == 0 || !mf_worth_retrying(s, code))
			break;
		if (next >= until || now >= until) {
			if (tries > 1)
				(void)mf_err_wrap(
				    &last, last.code, "%u attempts in %d ms", tries, timeout_ms);
			break;
		}
		while (pause_until(NULL, next))
			;
	}
	return mf_pub_answer(last.code, last_code, &last, err);
}

static enum mf_status
take_x509(void *ctx, const ProtobufCMessage *msg, struct mf_err *err)
{
	MF_AUTO(mf_x509_drop) mayfly_x509 *all = NULL;
	MF_TRY(mf_take_x509(msg, &all, err));
	enum mf_status s = mf_x509_prune(all, mf_now().wall_us / 1000000, ctx, err);
	return s == MF_E_NOTFOUND ? MF_FAIL(err, MF_E_UNAVAILABLE,
					"agent: every identity it gave has expired (is its clock right?)")
				  : s;
}

mayfly_status
mayfly_fetch_x509(const mayfly_client *client, int timeout_ms, mayfly_x509 **ret_x509, mayfly_error *err)
{
	const struct mf_fetch f = { &mf_wl_fetch_x509, mf_wl_x509_request, take_x509, ret_x509 };
	return mf_fetch(client, &f, timeout_ms, err);
}

static enum mf_status
take_bundles(void *ctx, const ProtobufCMessage *msg, struct mf_err *err)
{
	return mf_take_bundles(msg, ctx, err);
}

mayfly_status
mayfly_fetch_bundles(
    const mayfly_client *client, int timeout_ms, mayfly_bundles **ret_bundles, mayfly_error *err)
{
	const struct mf_fetch f = { &mf_wl_fetch_bundles, mf_wl_bundles_request, take_bundles, ret_bundles };
	return mf_fetch(client, &f, timeout_ms, err);
}
