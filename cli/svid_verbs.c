/* svid_verbs: `mayfly svid fetch` and `mayfly svid watch`. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/text.h"
#include "cli/connect.h"
#include "cli/svid.h"
#include "cli/verbs.h"
#include "workload.pb-c.h"

#define BACKOFF_MIN_MS 500u
#define BACKOFF_MAX_MS 15000u

static enum mf_status
ask(const struct mf_cli *c, struct mf_grpc_sync **ret_sync, struct mf_grpc_sync_stream **ret_st,
    struct mf_err *err)
{
	X509SVIDRequest req = X509_SVIDREQUEST__INIT;
	MF_TRY(mf_cli_agent(c, ret_sync, err));
	MF_TRY(mf_grpc_sync_open(*ret_sync, &mf_cli_fetch_x509_svid, ret_st, err));
	MF_TRY(mf_grpc_sync_send(*ret_st, &req.base, err));
	return mf_grpc_sync_half_close(*ret_st, err);
}

/* Files and text of one answer. */
static enum mf_status
deliver(struct mf_cli *c, const struct mf_svids *s, struct mf_err *err)
{
	const char *dir = mf_cli_get(c, "write");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	if (dir != NULL)
		MF_TRY(mf_svids_write(s, dir, err));
	MF_TRY(mf_svids_show(c, "X509SVIDList", s, mf_cli_has(c, "with-key"), &b, err));
	mf_cli_write(c, mf_buf_slice(&b));
	if (dir != NULL)
		mf_cli_note(c, "wrote svid.pem, key.pem and bundle.pem in %s", dir);
	return MF_OK;
}

static enum mf_status
fetch(struct mf_cli *c, struct mf_err *err)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_AUTO(mf_grpc_sync_stream_free) struct mf_grpc_sync_stream *st = NULL;
	MF_AUTO_IN(mf_svids_fini) struct mf_svids s = { 0 };
	ProtobufCMessage *msg = NULL;
	MF_TRY(ask(c, &sync, &st, err));
	MF_TRY(mf_grpc_sync_recv(st, c->timeout_ms, &msg, err));
	enum mf_status r = mf_svids_take(msg, &s, err);
	if (r != MF_OK) {
		mf_pb_free(msg);
		return r;
	}
	return deliver(c, &s, err);
}

int
mf_cli_svid_fetch(struct mf_cli *c)
{
	struct mf_err err = { 0 };
	if (mf_cli_has(c, "jwt"))
		return mf_cli_jwt_fetch(c);
	if (mf_cli_has(c, "audience") || mf_cli_has(c, "spiffe-id"))
		return mf_cli_usage(c, "--audience and --spiffe-id go with --jwt");
	if (mf_cli_has(c, "with-key") && !c->json)
		return mf_cli_usage(c, "--with-key needs -o json; for files use --write DIR");
	if (fetch(c, &err) == MF_OK)
		return MF_EXIT_OK;
	mf_cli_add_why(c, &err);
	return mf_cli_fail(c, &err);
}

/* --- watch --- */

struct watch {
	struct mf_cli *c;
	int signals;
	uint64_t seen, most; /* updates; 0: no end */
	uint64_t backoff_ms;
	bool asked_to_stop;
};

/* "TIME  ID serial S until T (20m left)", once for each identity of the update on one line. */
static enum mf_status
update_line(const struct mf_svids *s, struct mf_buf *to, struct mf_err *err)
{
	struct mf_now now = mf_now();
	mf_time_put_s(to, now.wall_us / 1000000);
	for (size_t i = 0; i < s->n; i++) {
		mf_buf_put_str(to, i == 0 ? "  " : "; ");
		mf_show_clean(to, mf_slice_str(s->v[i].spiffe_id));
		mf_buf_putf(to, " serial %s until ", s->v[i].serial);
		mf_show_until(to, s->v[i].not_after, now);
	}
	mf_buf_put_u8(to, '\n');
	return mf_buf_check(to, err);
}

static enum mf_status
update(struct watch *w, ProtobufCMessage *msg, struct mf_err *err)
{
	MF_AUTO_IN(mf_svids_fini) struct mf_svids s = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	enum mf_status r = mf_svids_take(msg, &s, err);
	if (r != MF_OK) {
		mf_pb_free(msg);
		return r;
	}
	const char *dir = mf_cli_get(w->c, "write");
	if (dir != NULL)
		MF_TRY(mf_svids_write(&s, dir, err));
	MF_TRY(
	    w->c->json ? mf_svids_show(w->c, "X509SVIDList", &s, false, &b, err) : update_line(&s, &b, err));
	mf_cli_write(w->c, mf_buf_slice(&b));
	if (fflush(w->c->out) != 0)
		return MF_FAIL(err, MF_E_IO, "nobody reads the output any more");
	w->seen++;
	w->backoff_ms = 0;
	return MF_OK;
}

/* Until ${fd} (-1: nothing) has something, a signal came or ${ms} passed. */
static void
wait_for(struct watch *w, int fd, int ms)
{
	struct pollfd p[] = { { w->signals, POLLIN, 0 }, { fd, POLLIN, 0 } };
	struct signalfd_siginfo si;
	(void)poll(p, 2, ms);
	if (read(w->signals, &si, sizeof(si)) == (ssize_t)sizeof(si))
		w->asked_to_stop = true;
}

static bool
done(const struct watch *w)
{
	return w->asked_to_stop || (w->most != 0 && w->seen >= w->most);
}

/* One connection: until it ends. MF_OK: we may stop. */
static enum mf_status
follow(struct watch *w, struct mf_err *err)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_AUTO(mf_grpc_sync_stream_free) struct mf_grpc_sync_stream *st = NULL;
	MF_TRY(ask(w->c, &sync, &st, err));
	while (!done(w)) {
		ProtobufCMessage *msg = NULL;
		enum mf_status r = mf_grpc_sync_recv(st, 0, &msg, err);
		if (r == MF_E_DEADLINE)
			wait_for(w, mf_grpc_sync_fd(sync), 60000);
		else if (r != MF_OK)
			return r;
		else
			MF_TRY(update(w, msg, err));
	}
	return MF_OK;
}

static void
pause_before_retry(struct watch *w)
{
	uint64_t next = w->backoff_ms * 2;
	w->backoff_ms = next < BACKOFF_MIN_MS	? BACKOFF_MIN_MS
			: next > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
						: next;
	uint16_t r = 0;
	mf_rand_bytes(&r, sizeof(r));
	/* Half of it at random: after a restart of the agent not all come back at once. */
	uint64_t ms = w->backoff_ms / 2 + w->backoff_ms / 2 * r / UINT16_MAX;
	uint64_t end = mf_now().mono_ms + ms;
	for (uint64_t now; !done(w) && (now = mf_now().mono_ms) < end;)
		wait_for(w, -1, (int)(end - now));
}

static int
watch(struct watch *w)
{
	while (!done(w)) {
		struct mf_err err = { 0 };
		enum mf_status r = follow(w, &err);
		if (r == MF_OK)
			break;
		err.code = r;
		/* Refused and ended are answers; a lost agent is not, once it was there. */
		if ((r != MF_E_UNAVAILABLE && r != MF_E_CLOSED) || w->seen == 0) {
			mf_cli_add_why(w->c, &err);
			return mf_cli_fail(w->c, &err);
		}
		if (w->backoff_ms == 0)
			mf_cli_note(w->c, "mayfly: %s; trying again", err.msg);
		pause_before_retry(w);
	}
	return MF_EXIT_OK;
}

int
mf_cli_svid_watch(struct mf_cli *c)
{
	struct watch w = { .c = c };
	sigset_t set, old;
	const char *count = mf_cli_get(c, "count");
	if (count != NULL && (!mf_parse_u64(mf_slice_str(count), &w.most) || w.most == 0))
		return mf_cli_usage(c, "--count %s: must be a number, 1 or more", count);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	w.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int rc = MF_EXIT_FAILED;
	if (w.signals >= 0) {
		rc = watch(&w);
		(void)close(w.signals);
	} else {
		mf_cli_note(c, "mayfly: no descriptor for signals: too many open files?");
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}
