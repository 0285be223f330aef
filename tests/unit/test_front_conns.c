/* The agent's front: whose messages these are, the attestor's restarts, many and slow clients, its end. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "front_rig.h"

static struct rig *
rig(void **state)
{
	return *state;
}

static int
setup(void **state)
{
	*state = mf_frig_new();
	return 0;
}

static int
teardown(void **state)
{
	mf_frig_free(*state);
	return 0;
}

static const X509SVIDResponse *
svids(struct rig_client *c)
{
	const ProtobufCMessage *m = mf_frig_next(c);
	if (m == NULL)
		fail_msg("no message, but %s: %s", mf_grpc_code_name(c->code), c->text);
	return (const void *)m;
}

/* --- senders --- */

/* A child process writes a PING on our connection. */
static void
child_writes(struct rig_client *c)
{
	static const uint8_t ping[17] = { 0, 0, 8, 6 };
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(send(mf_grpc_sync_fd(c->s), ping, sizeof(ping), MSG_NOSIGNAL) == sizeof(ping) ? 0 : 1);
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static bool
sender_seen(void *ctx)
{
	return ((struct rig *)ctx)->sender_is > 0;
}

/* An inherited descriptor within the job: looked at once, then served. */
static void
test_sender_of_the_job(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	assert_int_equal(r->sender_is, 0);
	child_writes(&a);
	assert_true(mf_frig_until(r, sender_seen, r));
	assert_int_equal(r->sender_is, 1);
	mf_frig_open_on(&a, &b, &mf_frig_fetch); /* ours again: known without asking */
	(void)svids(&b);
	assert_int_equal(r->sender_is, 1);
	mf_frig_close(&b);
	mf_frig_close(&a);
}

/* A process of another instance: the connection is closed, nothing more is served on it. */
static void
test_foreign_sender(void **state)
{
	struct rig *r = rig(state);
	static const struct {
		enum rig_who sender;
		uint64_t handle;
	} t[] = { { RIG_KNOWN, 99 }, { RIG_STRANGER, 0 } };
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct rig_client a, b;
		r->sender = RIG_KNOWN;
		r->foreign = 0;
		mf_frig_open(r, &a, &mf_frig_fetch);
		(void)svids(&a);
		r->sender = t[i].sender;
		r->foreign = t[i].handle;
		child_writes(&a);
		assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
		assert_string_equal(a.text, "no identity issued");
		r->sender = RIG_KNOWN;
		r->foreign = 0;
		mf_frig_open(r, &b, &mf_frig_fetch); /* another connection of the job is not touched */
		(void)svids(&b);
		mf_frig_close(&b);
		mf_frig_close(&a);
	}
	if (r->pidfds != r->sender_is)
		print_message("this kernel passes no pidfds (SO_PASSPIDFD)\n");
}

/*
 * The socket was connected by another process (fd passing, connect-then-fork): who writes is not who was attested, so
 * nothing is done for it before the attestor has looked at it.
 */
static void
test_passed_descriptor(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	r->pid = 1;
	r->sender = RIG_SILENT;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_UNAVAILABLE); /* held, then told to come again */
	assert_int_equal(r->sender_is, 1);
	assert_int_equal(r->attach, 1); /* the attested job's own; it is not shown to this caller */
	mf_frig_close(&a);
	r->sender = RIG_STRANGER;
	mf_frig_open(r, &b, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&b), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&b);
	r->sender = RIG_KNOWN;
	mf_frig_open(r, &b, &mf_frig_fetch);
	(void)svids(&b);
	mf_frig_close(&b);
}

/* Where the kernel has pidfs, the process is compared and not its number. */
static void
test_pidfs_inode(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	struct stat st;
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0 || fstat(fd, &st) != 0) {
		print_message("skipped: no pidfd_open here\n");
		skip();
	}
	(void)close(fd);
	r->inode = (uint64_t)st.st_ino;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	assert_int_equal(r->sender_is, 0);
	mf_frig_close(&a);
	/* the right number, but another process: the number was used again */
	r->inode ^= 1;
	r->sender = RIG_STRANGER;
	mf_frig_open(r, &a, &mf_frig_fetch);
	if (mf_frig_next(&a) != NULL)
		print_message("skipped: pidfds have no inodes of their own here (Linux < 6.9)\n");
	else
		assert_int_equal(a.code, MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&a);
}

/* --- who was attested before --- */
static void
test_recognised(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	r->looks = true;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	mf_frig_close(&a);
	if (!r->looked) {
		print_message("skipped: PIDFD_GET_INFO is not there (Linux < 6.13)\n");
		skip();
	}
	for (int i = 0; i < 5; i++) { /* the same process again: nobody is asked */
		mf_frig_open(r, &a, &mf_frig_fetch);
		(void)svids(&a);
		mf_frig_close(&a);
	}
	assert_int_equal(r->who_is, 1);
	assert_int_equal(r->attach, 1);
	/* Of an ended instance nobody is recognised. */
	mf_frig_ended(r, r->handle, false);
	mf_frig_settle(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)mf_frig_next(&a);
	assert_int_equal(r->who_is, 2);
	mf_frig_close(&a);
}

/* A process that nobody serves costs one question, however often it connects. */
static void
test_no_is_remembered(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	r->looks = true;
	r->who = RIG_STRANGER;
	r->refusal_ms = 120000; /* longer than this takes, however busy the machine is */
	mf_frig_start(r);
	for (int i = 0; i < 20; i++) {
		mf_frig_open(r, &a, &mf_frig_fetch);
		assert_null(mf_frig_next(&a));
		assert_int_equal(a.code, MF_GRPC_PERMISSION_DENIED);
		mf_frig_close(&a);
	}
	assert_int_equal(r->who_is, r->looked ? 1 : 20);
}

/* --- the attestor goes and comes --- */

static bool
who_asked_twice(void *ctx)
{
	return ((struct rig *)ctx)->who_is >= 2;
}

static void
test_attestor_restart(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b, c;
	r->ttl_s = 6;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	/* who is known already is served from the cache; who is not is held */
	mf_frig_open_on(&a, &b, &mf_frig_fetch);
	(void)svids(&b);
	mf_frig_open(r, &c, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
	mf_frig_close(&c);
	assert_true(mf_frig_quiet(&a));
	/* it comes back with other handles: shown again, matched by key, renewed under the new handle */
	assert_int_equal(r->who_is, 1);
	r->handle = 70;
	mf_frig_attestor(r);
	assert_true(mf_frig_until(r, who_asked_twice, r));
	const X509SVIDResponse *m = svids(&a);
	assert_string_equal(
	    m->svids[0]->spiffe_id, "spiffe://example.org/default/job/70-0"); /* the fake's naming */
	assert_int_equal(r->attach, 1);
	assert_int_equal(r->renew, 1);
	mf_frig_ended(r, 70, false);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&b);
	mf_frig_close(&a);
}

static bool
who_asked_thrice(void *ctx)
{
	return ((struct rig *)ctx)->who_is >= 3;
}

/* It comes back without its table, and sees another user of the cgroup first: what is given from now on is not for the first one's stream. */
static void
test_another_user_first(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a, b;
	char selector[] = "unix.uid:1", grade[] = "pidfd+cgroup", *selectors[] = { selector }, none[] = "";
	Mayfly__Roles__V1__Caller m = MAYFLY__ROLES__V1__CALLER__INIT;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	mf_frig_attestor_dies(r);
	mf_frig_settle(r);
	r->handle = 70;
	r->who = RIG_SILENT;
	mf_frig_attestor(r);
	assert_true(
	    mf_frig_until(r, who_asked_twice, r)); /* about the first one, and there is no answer yet */
	assert_true(mf_frig_quiet(&a));
	mf_frig_open(r, &b, &mf_frig_fetch);
	assert_true(mf_frig_until(r, who_asked_thrice, r));
	m.conn_id = r->conn_id;
	m.known = true;
	m.handle = r->handle;
	m.pid = (int32_t)getpid();
	m.uid = (uint32_t)getuid() + 1;
	m.grade = grade;
	m.reason = none;
	m.selectors = selectors;
	m.n_selectors = 1;
	m.instance_key = r->key;
	mf_frig_send(r, MF_MSG_CALLER, &m.base);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(r->renew, 0); /* for the other one it is asked for anew, in its time */
	mf_frig_close(&b);
	mf_frig_close(&a);
}

/* It no longer knows the job: then nobody does. */
static void
test_restart_without_the_job(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	r->who = RIG_NOT_YET;
	mf_frig_attestor(r);
	assert_true(mf_frig_until(r, who_asked_twice, r));
	assert_true(mf_frig_quiet(&a)); /* not yet is not no */
	r->who = RIG_STRANGER;
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&a);
}

/* A request that was out when the link died is void; it is asked anew, with new keys. */
static void
test_restart_mid_request(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	r->answer = RIG_MUTE;
	r->cfg.hold_ms = RIG_HANG_MS;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	for (int i = 0; i < 1000 && r->attach == 0; i++)
		mf_frig_turn(r);
	assert_int_equal(r->attach, 1);
	r->answer = RIG_GRANT;
	mf_frig_attestor(r);
	(void)svids(&a);
	assert_int_equal(r->attach, 2);
	assert_false(r->point_twice);
	mf_frig_close(&a);
}

/* What nobody shows to live after a restart is wiped; what somebody watches is not. */
static void
test_not_adopted(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	r->cfg.adopt_ms = 100;
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	mf_frig_close(&a);
	mf_frig_settle(r);
	mf_frig_attestor(r);
	struct mf_buf page;
	mf_buf_init(&page, 65536);
	bool gone = false;
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; !gone && mf_now().mono_ms < end;) {
		mf_frig_turn(r);
		mf_buf_reset(&page);
		assert_int_equal(mf_front_pages(r->front)[0].fill(r->front, &page), 200);
		gone = strstr(mf_buf_cstr(&page), "mayfly_agent_instances 0\n") != NULL;
	}
	assert_true(gone);
	mf_buf_fini(&page);
}

/* A message that the table does not have ends the link, not the front. */
static void
test_bad_attestor(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	static const struct {
		uint16_t type;
		const char *payload;
	} t[] = { { 3, "" }, { 64, "\x0a\x01x" }, { 68, "\xff" }, { 999, "" }, { 70, "\x12\x02\xff\xfe" } };
	mf_frig_start(r);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_err err = { 0 };
		assert_int_equal(
		    mf_seqpacket_send(r->fake, t[i].type, mf_slice_str(t[i].payload), -1, &err), MF_OK);
		for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS;
		     r->fake != NULL && mf_now().mono_ms < end;)
			mf_frig_turn(r);
		assert_null(r->fake);
		assert_true(mf_frig_quiet(&a));
		mf_frig_attestor(r);
		mf_frig_settle(r);
	}
	mf_frig_close(&a);
}

/* --- many and slow --- */

/* E-1, E-11: one reader that takes nothing stalls nobody, and gets the newest state when it reads. */
static void
test_slow_reader(void **state)
{
	struct rig *r = rig(state);
	enum { STREAMS = 100 };
	struct rig_client *slow = calloc(STREAMS, sizeof(*slow)), fast;
	struct mint *ca[6];
	assert_non_null(slow);
	r->identities = 4;
	mf_frig_start(r);
	mf_frig_open(r, &slow[0], &mf_frig_fetch);
	for (size_t i = 1; i < STREAMS; i++)
		mf_frig_open_on(&slow[0], &slow[i], &mf_frig_fetch);
	mf_frig_settle(r);
	mf_frig_open(r, &fast, &mf_frig_fetch);
	(void)svids(&fast);
	for (size_t i = 0; i < MF_COUNT(ca); i++) {
		ca[i] = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
		mf_frig_trust(r, ca[i], 2 + i);
		const X509SVIDResponse *m = svids(&fast);
		assert_true(mf_slice_eq(
		    mf_slice(m->svids[0]->bundle.data, m->svids[0]->bundle.len), mf_mint_ca(ca[i])));
	}
	struct mf_slice newest = mf_mint_ca(ca[MF_COUNT(ca) - 1]);
	/* All are read in turn, as one window is theirs together. */
	size_t served = 0;
	bool is[STREAMS] = { false };
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; served < STREAMS && mf_now().mono_ms < end;) {
		mf_frig_turn(r);
		for (size_t i = 0; i < STREAMS; i++) {
			if (!mf_frig_poll(&slow[i]))
				continue;
			assert_false(slow[i].ended);
			const X509SVIDResponse *m = (const void *)slow[i].msg;
			struct mf_slice bundle = mf_slice(m->svids[0]->bundle.data, m->svids[0]->bundle.len);
			assert_false(is[i]); /* nothing comes after the newest */
			is[i] = mf_slice_eq(bundle, newest);
			served += is[i];
		}
	}
	assert_int_equal(served, STREAMS);
	for (size_t i = STREAMS; i > 0; i--)
		mf_frig_close(&slow[i - 1]);
	free(slow);
	mf_frig_close(&fast);
	for (size_t i = 0; i < MF_COUNT(ca); i++)
		mf_mint_free(ca[i]);
}

/*
 * WAPI-25: the job ends while a message waits for a reader that is slow. Entitlement is looked at again before it would
 * go out: the reader gets what was sent while it was entitled, and then PERMISSION_DENIED; never the message that waited.
 */
static void
test_end_while_blocked(void **state)
{
	struct rig *r = rig(state);
	enum { PUSHES = 400 }; /* of about 5 KB: more than one stream may have waiting */
	struct rig_client slow, fast;
	struct mint *ca[2], *last = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
	r->identities = 4;
	mf_frig_start(r);
	mf_frig_open(r, &slow, &mf_frig_fetch);
	(void)svids(&slow);
	mf_frig_open(r, &fast, &mf_frig_fetch);
	(void)svids(&fast);
	for (size_t i = 0; i < MF_COUNT(ca); i++)
		ca[i] = mf_mint_new(RIG_TD, mf_now().wall_us / 1000000);
	for (size_t i = 0; i < PUSHES; i++) {
		mf_frig_trust(r, ca[i % 2], 2 + i);
		(void)svids(&fast);
	}
	mf_frig_trust(r, last, 2 + PUSHES);
	const X509SVIDResponse *m = svids(&fast);
	assert_true(
	    mf_slice_eq(mf_slice(m->svids[0]->bundle.data, m->svids[0]->bundle.len), mf_mint_ca(last)));
	mf_frig_ended(r, r->handle, false);
	assert_int_equal(mf_frig_end(&fast), MF_GRPC_PERMISSION_DENIED);
	size_t got = 0;
	while ((m = (const void *)mf_frig_next(&slow)) != NULL) {
		struct mf_slice bundle = mf_slice(m->svids[0]->bundle.data, m->svids[0]->bundle.len);
		assert_false(mf_slice_eq(bundle, mf_mint_ca(last)));
		got++;
	}
	assert_in_range(got, 1, PUSHES - 1);
	assert_int_equal(slow.code, MF_GRPC_PERMISSION_DENIED);
	assert_string_equal(slow.text, "no identity issued");
	mf_frig_close(&slow);
	mf_frig_close(&fast);
	for (size_t i = 0; i < MF_COUNT(ca); i++)
		mf_mint_free(ca[i]);
	mf_mint_free(last);
}

/* Caps: connections of one user (test_front_share.c), streams of one connection. Who is over gets an answer. */
static void
test_caps(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[3], over;
	r->cfg.conns_per_uid = 4;
	r->cfg.streams_per_conn = 3;
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(c); i++) {
		mf_frig_open(r, &c[i], &mf_frig_fetch);
		(void)svids(&c[i]);
	}
	mf_frig_open(r, &over, &mf_frig_fetch);
	assert_int_equal(mf_frig_end(&over), MF_GRPC_UNAVAILABLE);
	mf_frig_close(&over);
	struct rig_client more[3];
	for (size_t i = 0; i < 2; i++) {
		mf_frig_open_on(&c[0], &more[i], &mf_frig_fetch);
		(void)svids(&more[i]);
	}
	mf_frig_open_on(&c[0], &more[2], &mf_frig_fetch); /* waits: SETTINGS say three */
	assert_true(mf_frig_quiet(&more[2]));
	mf_frig_close(&more[0]);
	(void)svids(&more[2]);
	mf_frig_close(&more[2]);
	mf_frig_close(&more[1]);
	for (size_t i = 0; i < MF_COUNT(c); i++)
		mf_frig_close(&c[i]);
}

/* E-1: twenty connections with fifty streams each, and a stranger between them. */
static void
test_crowd(void **state)
{
	struct rig *r = rig(state);
	enum { CONNS = 20, STREAMS = 50 };
	struct rig_client *c = calloc(CONNS * STREAMS, sizeof(*c));
	assert_non_null(c);
	mf_frig_start(r);
	for (size_t i = 0; i < CONNS; i++) {
		mf_frig_open(r, &c[i * STREAMS], &mf_frig_fetch);
		for (size_t k = 1; k < STREAMS; k++)
			mf_frig_open_on(&c[i * STREAMS], &c[i * STREAMS + k], &mf_frig_bundles);
	}
	for (size_t i = 0; i < CONNS * STREAMS; i++)
		assert_non_null(mf_frig_next(&c[i]));
	assert_int_equal(r->who_is, CONNS); /* one question a connection */
	assert_int_equal(r->attach, 1);	    /* one request for the job */
	for (size_t i = CONNS * STREAMS; i > 0; i--)
		mf_frig_close(&c[i - 1]);
	free(c);
}

/* --- the end --- */

static void
stopped(void *ctx)
{
	*(bool *)ctx = true;
}

static bool
is_true(void *ctx)
{
	return *(bool *)ctx;
}

/* P-1: never OK, never CANCELLED. */
static void
test_shutdown(void **state)
{
	struct rig *r = rig(state);
	struct rig_client c[3];
	bool done = false;
	mf_frig_start(r);
	r->sender = RIG_SILENT;
	mf_frig_open(r, &c[0], &mf_frig_fetch);
	(void)svids(&c[0]);
	mf_frig_open_on(&c[0], &c[1], &mf_frig_bundles);
	assert_non_null(mf_frig_next(&c[1]));
	r->who = RIG_SILENT;
	mf_frig_open(r, &c[2], &mf_frig_fetch); /* held */
	mf_frig_settle(r);
	mf_front_stop(r->front, RIG_HANG_MS, stopped, &done);
	for (size_t i = 0; i < MF_COUNT(c); i++)
		assert_int_equal(mf_frig_end(&c[i]), MF_GRPC_UNAVAILABLE);
	struct mf_buf page;
	mf_buf_init(&page, 4096);
	assert_int_equal(mf_front_pages(r->front)[2].fill(r->front, &page), 503);
	mf_buf_fini(&page);
	for (size_t i = MF_COUNT(c); i > 0; i--)
		mf_frig_close(&c[i - 1]);
	assert_true(mf_frig_until(r, is_true, &done));
	mf_front_free(MF_TAKE(r->front));
}

static void
test_pages(void **state)
{
	struct rig *r = rig(state);
	struct rig_client a;
	struct mf_buf page;
	mf_buf_init(&page, 65536);
	r->no_session = true;
	mf_frig_start(r);
	const struct mf_http_status_page *p = mf_front_pages(r->front);
	assert_string_equal(p[0].path, "/metrics");
	assert_string_equal(p[1].path, "/healthz");
	assert_string_equal(p[2].path, "/readyz");
	assert_int_equal(p[1].fill(p[1].ctx, &page), 200);
	mf_buf_reset(&page);
	assert_int_equal(p[2].fill(p[2].ctx, &page), 503);
	mf_frig_settle(r);
	mf_frig_session(r, true);
	mf_frig_settle(r);
	mf_buf_reset(&page);
	assert_int_equal(p[2].fill(p[2].ctx, &page), 200);
	mf_frig_open(r, &a, &mf_frig_fetch);
	(void)svids(&a);
	mf_buf_reset(&page);
	assert_int_equal(p[0].fill(p[0].ctx, &page), 200);
	const char *text = mf_buf_cstr(&page);
	static const char *const lines[] = { "mayfly_agent_streams 1\n", "mayfly_agent_instances_served 1\n",
		"mayfly_agent_identity_grants_total 1\n", "mayfly_agent_who_is_total 1\n",
		"# TYPE mayfly_agent_messages counter\n", "mayfly_agent_session_ready 1\n", "# EOF\n" };
	for (size_t i = 0; i < MF_COUNT(lines); i++)
		if (strstr(text, lines[i]) == NULL)
			fail_msg("no line %s in\n%s", lines[i], text);
	mf_buf_fini(&page);
	mf_frig_close(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_recognised),
		TEST(test_no_is_remembered),
		TEST(test_sender_of_the_job),
		TEST(test_foreign_sender),
		TEST(test_passed_descriptor),
		TEST(test_pidfs_inode),
		TEST(test_attestor_restart),
		TEST(test_another_user_first),
		TEST(test_restart_without_the_job),
		TEST(test_restart_mid_request),
		TEST(test_not_adopted),
		TEST(test_bad_attestor),
		TEST(test_slow_reader),
		TEST(test_end_while_blocked),
		TEST(test_caps),
		TEST(test_crowd),
		TEST(test_shutdown),
		TEST(test_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
