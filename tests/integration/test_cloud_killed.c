/*
 * kill -9 between intent and outcome, of the courier and of the notary: both as they are run, confined, against a provider of the test's
 * that keeps what it made (it stands for failures, not for a cloud). At the end nothing that it made lacks an intent, nothing that
 * works lacks a record or is held by nobody without being denied, every question was answered, and all is back by itself.
 */
#include "integration/cloud_rig.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "fake_http.h"

#define COURIER_ROUNDS 200u
#define NOTARY_ROUNDS 50u
#define JOB_ROUNDS 40u /* of one job: an instance has at most 64 live tokens */
#define MADE_MAX 512u
#define COURIER_UID 64997u
#define REVOKER "arn:aws:iam::000000000000:role/revoker"

/* When the blow falls. */
enum moment {
	AT_REQUEST, /* read, nothing made */
	MADE,	    /* made, nothing said */
	HALF_SAID,  /* the reply is cut in the middle */
	SAID,	    /* the whole reply is out */
	AT_PUT,	    /* a deny list is being written: it stands, nothing is said */
	SOME_TIME,  /* whenever that is */
	MOMENTS
};

static struct {
	pthread_mutex_t lock;
	char made[MADE_MAX][40]; /* mayfly-cred of the tokens there are */
	size_t made_n;
	char *denied; /* the policy as it stands, percent-encoded; NULL: none */
	unsigned puts;
	atomic_int moment; /* to stop at; MOMENTS: at none */
	atomic_bool there, go_on;
} provider;

/* ---- the provider ---- */

/* If this is the moment: say so, and wait for the blow. */
static void
pass(enum moment m)
{
	if (atomic_load(&provider.moment) != (int)m || atomic_exchange(&provider.there, true))
		return;
	for (unsigned i = 0; i < 30000 && !atomic_load(&provider.go_on); i++)
		(void)poll(NULL, 0, 1);
}

/* The value of ${name} in a form; NULL: it has none. The caller frees. */
static char *
field(struct mf_slice body, const char *name)
{
	char key[64];
	int n = snprintf(key, sizeof(key), "%s=", name);
	for (size_t i = 0; i + (size_t)n <= body.n; i++) {
		if ((i > 0 && body.p[i - 1] != '&') || memcmp(body.p + i, key, (size_t)n) != 0)
			continue;
		const uint8_t *from = body.p + i + n, *end = memchr(from, '&', body.n - i - (size_t)n);
		size_t len = end == NULL ? body.n - i - (size_t)n : (size_t)(end - from);
		char *text = malloc(len + 1);
		if (text == NULL)
			abort();
		memcpy(text, from, len);
		text[len] = '\0';
		return text;
	}
	return NULL;
}

/* The token's mayfly-cred; false: it is the revoker's. */
static bool
cred_of(const char *assertion, char ret_cred[40])
{
	MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
	static const char tag[] = "\"mayfly-cred\":[\"";
	if (assertion == NULL || mf_jws_parse(mf_slice_str(assertion), &jws, NULL) != MF_OK)
		abort();
	struct mf_slice c = mf_jws_payload(jws);
	const char *at = memmem(c.p, c.n, tag, sizeof(tag) - 1);
	if (at == NULL)
		return false;
	(void)snprintf(ret_cred, 40, "%.36s", at + sizeof(tag) - 1);
	return true;
}

static void
session_document(struct mf_buf *to, const char *key, const char *duration)
{
	char when[32];
	time_t end = (time_t)(mf_now().wall_us / 1000000) + strtol(duration, NULL, 10);
	struct tm tm;
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
	mf_buf_putf(to,
	    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
	    "<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:sts::000000000000:assumed-role/r/"
	    "j"
	    "</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA%s</AccessKeyId>"
	    "<SecretAccessKey>canary-secret-of-%s</SecretAccessKey><SessionToken>canary-session-of-%s"
	    "</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
	    "<ResponseMetadata><RequestId>req</RequestId></ResponseMetadata>"
	    "</AssumeRoleWithWebIdentityResponse>",
	    key, key, key, when);
}

static bool
assume(int conn, struct mf_slice body)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf doc;
	char cred[40] = "", key[20] = "REVOKER", head[64];
	char *assertion = field(body, "WebIdentityToken"), *duration = field(body, "DurationSeconds");
	bool job = cred_of(assertion, cred);
	mf_buf_init(&doc, 8192);
	if (job) {
		pass(AT_REQUEST);
		bool made = atomic_load(&provider.moment) != AT_REQUEST;
		(void)pthread_mutex_lock(&provider.lock);
		if (made && provider.made_n < MADE_MAX)
			memcpy(provider.made[provider.made_n++], cred, sizeof(cred));
		(void)snprintf(key, sizeof(key), "K%zu", provider.made_n);
		(void)pthread_mutex_unlock(&provider.lock);
		pass(MADE);
	}
	session_document(&doc, key, duration);
	free(assertion);
	free(duration);
	int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", doc.n);
	size_t half = job && atomic_load(&provider.moment) == HALF_SAID ? doc.n / 2 : doc.n;
	bool ok = mf_fake_http_write(conn, head, (size_t)n) && mf_fake_http_write(conn, doc.p, half);
	if (job) {
		pass(HALF_SAID);
		pass(SAID);
	}
	return ok && half == doc.n;
}

/* The deny list of the role. */
static bool
policy(int conn, const char *action, struct mf_slice body)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf reply;
	bool missing = false;
	mf_buf_init(&reply, 65536);
	(void)pthread_mutex_lock(&provider.lock);
	if (strcmp(action, "GetRolePolicy") == 0) {
		missing = provider.denied == NULL;
		if (missing)
			mf_buf_put_str(&reply,
			    "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>");
		else
			mf_buf_putf(&reply,
			    "<GetRolePolicyResponse><GetRolePolicyResult><PolicyDocument>%s</PolicyDocument>"
			    "</GetRolePolicyResult></GetRolePolicyResponse>",
			    provider.denied);
	} else {
		free(provider.denied);
		provider.denied = field(body, "PolicyDocument"); /* NULL: DeleteRolePolicy */
		provider.puts++;
		mf_buf_putf(&reply,
		    "<%sResponse><ResponseMetadata><RequestId>req</RequestId></ResponseMetadata></"
		    "%sResponse>",
		    action, action);
	}
	(void)pthread_mutex_unlock(&provider.lock);
	if (strcmp(action, "PutRolePolicy") == 0)
		pass(AT_PUT);
	return mf_fake_http_reply(conn, missing ? "404 Not Found" : "200 OK", NULL, mf_buf_slice(&reply));
}

static bool
answer(void *ctx, int conn, const char *head, struct mf_slice body)
{
	char *action = field(body, "Action");
	MF_UNUSED(ctx);
	MF_UNUSED(head);
	bool on =
	    action != NULL && (strcmp(action, "AssumeRoleWithWebIdentity") == 0 ? assume(conn, body)
										: policy(conn, action, body));
	free(action);
	return on;
}

/* ---- the courier's process ---- */

struct role {
	pid_t pid;
	int pidfd;
	struct mf_seqpacket *control;
};

static int exe = -1;

static void
role_begin(struct nrig *r, struct role *c)
{
	int control[2], link[2];
	char build[128], boss[64];
	struct mf_err err = { 0 };
	if (exe < 0)
		assert_int_equal(mf_spawn_open_role("courier", &exe, &err), MF_OK);
	assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_pair(link, NULL), MF_OK);
	struct mf_named_fd fds[] = { { "control", control[1] },
		{ "cloud", nr_memfd("cloud", r->cloud, r->cloud_n) } };
	(void)snprintf(build, sizeof(build), "--build-id=%s", mf_build_id());
	(void)snprintf(boss, sizeof(boss), "--supervisor=%d", (int)getpid());
	const char *args[] = { build, boss, NULL };
	struct mf_spawn how = { .name = "courier",
		.exe_fd = exe,
		.fds = fds,
		.fd_count = MF_COUNT(fds),
		.args = args,
		.change_user = geteuid() == 0,
		.uid = COURIER_UID,
		.gid = COURIER_UID };
	int old = dup(2), log = open(r->stderr_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(old >= 0 && log >= 0 && dup2(log, 2) == 2);
	enum mf_status s = mf_spawn_role(&how, &c->pid, &c->pidfd, &err);
	assert_int_equal(dup2(old, 2), 2);
	(void)close(old);
	(void)close(log);
	if (s != MF_OK)
		fail_msg("%s", err.msg);
	(void)close(control[1]);
	(void)close(fds[1].fd);
	assert_int_equal(mf_seqpacket_new(control[0], MF_CONTROL_QUEUE, &c->control, NULL), MF_OK);
	assert_int_equal(mf_control_send(c->control, MF_CONTROL_LINK, "notary", link[0], NULL), MF_OK);
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_LINK, "courier", link[1], NULL), MF_OK);
}

static void
role_kill(struct role *c)
{
	int st = 0;
	assert_int_equal(kill(c->pid, SIGKILL), 0);
	assert_int_equal(waitpid(c->pid, &st, 0), c->pid);
	if (!WIFSIGNALED(st) || WTERMSIG(st) != SIGKILL)
		fail_msg("the courier ended by itself: %x", (unsigned)st);
	(void)close(c->pidfd);
	mf_seqpacket_free(c->control);
	c->control = NULL;
}

/* A new notary beside the courier that lives. */
static void
role_relink(struct nrig *r, struct role *c)
{
	int link[2];
	assert_int_equal(mf_seqpacket_pair(link, NULL), MF_OK);
	assert_int_equal(mf_control_send(c->control, MF_CONTROL_LINK, "notary", link[0], NULL), MF_OK);
	assert_int_equal(mf_control_send(r->control, MF_CONTROL_LINK, "courier", link[1], NULL), MF_OK);
}

/* ---- rounds ---- */

/* A time at which the blow falls where nobody waits for it; a deny list comes when it comes. */
static uint64_t
latest(uint64_t random, enum moment m)
{
	return mf_now().mono_ms + (m == AT_PUT ? 200 : random % 8);
}

struct world {
	struct nrig *r;
	struct mf_fake_http *http;
	struct role courier;
	uint64_t seed;
	size_t answered, granted, kills;
};

static uint64_t
rnd(struct world *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed;
}

static void
arm(enum moment m)
{
	atomic_store(&provider.go_on, false);
	atomic_store(&provider.there, false);
	atomic_store(&provider.moment, (int)m);
}

/* One that may still wait goes on; later ones do not stop. */
static void
disarm(void)
{
	atomic_store(&provider.moment, MOMENTS);
	atomic_store(&provider.go_on, true);
}

static void
take_answer(struct world *w)
{
	struct npeer *p = &w->r->peer[0];
	int kind = nr_answer(w->r, p);
	if (kind != CLOUD_GRANT && (kind != REFUSAL || w->r->refusal[0] == '\0'))
		fail_msg("no clear answer: %d", kind);
	w->answered++;
	w->granted += kind == CLOUD_GRANT;
	/* As a front does: where a courier starts slowly, more is asked than a session has room for in the beginning. */
	nr_credit(w->r, p->sid, 2);
}

/* As a client does. The first question may still find the courier starting. */
static void
until_granted(struct world *w)
{
	size_t before = w->granted;
	for (uint64_t end = mf_now().mono_ms + NR_HANG_MS; w->granted == before;) {
		if (mf_now().mono_ms > end)
			fail_msg("it does not come back: %s", w->r->refusal);
		cr_ask(w->r, &w->r->peer[0]);
		take_answer(w);
		(void)nr_turn(w->r, 5);
	}
}

static void
world_begin(struct world *w)
{
	char url[64];
	memset(w, 0, sizeof(*w));
	(void)pthread_mutex_init(&provider.lock, NULL);
	provider.made_n = 0;
	provider.puts = 0;
	free(provider.denied);
	provider.denied = NULL;
	disarm();
	w->seed = 1;
	w->http = mf_fake_http_new(answer, NULL);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", mf_fake_http_port(w->http));
	w->r = cr_new(url, REVOKER);
	role_begin(w->r, &w->courier);
	cr_job(w->r, 1);
	until_granted(w);
}

/* ---- what must be so at the end ---- */

struct found {
	const char *id;
	bool intent, issued, failed, completed;
	char job[80];
};

static void
look(void *ctx, uint64_t index, const struct mf_record *rec)
{
	struct found *f = ctx;
	MF_UNUSED(index);
	if (!mf_slice_eq_str(rec->s[MF_RS_SERIAL], f->id))
		return;
	f->intent = f->intent || rec->type == MF_REC_CLOUD_INTENT;
	f->issued = f->issued || rec->type == MF_REC_CLOUD_ISSUED;
	f->failed = f->failed || rec->type == MF_REC_CLOUD_FAILED;
	f->completed = f->completed || rec->type == MF_REC_REVOKE_COMPLETED;
	if (rec->type == MF_REC_CLOUD_INTENT)
		(void)snprintf(f->job, sizeof(f->job), "%.*s", (int)rec->s[MF_RS_JOB_ID].n,
		    (const char *)rec->s[MF_RS_JOB_ID].p);
}

static bool
is_denied(const struct found *f)
{
	(void)pthread_mutex_lock(&provider.lock);
	bool is = provider.denied != NULL &&
		  (strstr(provider.denied, f->id) != NULL || strstr(provider.denied, f->job) != NULL);
	(void)pthread_mutex_unlock(&provider.lock);
	return is;
}

/* The ${i}-th token that was made; false: there are not so many. */
static bool
made_at(size_t i, char ret_id[40])
{
	(void)pthread_mutex_lock(&provider.lock);
	bool is = i < provider.made_n;
	if (is)
		memcpy(ret_id, provider.made[i], 40);
	(void)pthread_mutex_unlock(&provider.lock);
	return is;
}

/* All that were made: on record, and denied at the provider when nobody may hold them. How many are not there yet. */
static size_t
not_yet(struct world *w, char ret_one[40])
{
	char id[40];
	size_t n = 0;
	for (size_t i = 0; made_at(i, id); i++) {
		struct found f = { .id = id };
		nr_walk(w->r, look, &f);
		if (!f.intent)
			fail_msg("a token without a record: %s", id);
		if (f.failed)
			fail_msg("a token that is said not to exist: %s", id);
		if (f.completed && is_denied(&f))
			continue;
		n++;
		memcpy(ret_one, id, sizeof(id));
	}
	return n;
}

/* The job ends: everything that was ever made for anybody is dead at the provider, and said to be. */
static void
world_end(struct world *w, unsigned job)
{
	char one[40] = "";
	disarm();
	until_granted(w);
	nr_end(w->r, &w->r->peer[0], job);
	uint64_t end = mf_now().mono_ms + NR_HANG_MS;
	while (not_yet(w, one) > 0) {
		(void)nr_turn(w->r, 50);
		if (mf_now().mono_ms > end)
			fail_msg("not all are taken back, one is %s", one);
	}
	assert_int_equal(cr_check_log(w->r), 0);
	role_kill(&w->courier);
	mf_fake_http_free(w->http);
	print_message("   %zu kills, %zu questions, %zu tokens given, %zu made, %u deny lists\n", w->kills,
	    w->answered, w->granted, provider.made_n, provider.puts);
	assert_int_equal(nr_told(w->r, "canary"), 0);
	nr_free(w->r);
}

/* ---- the tests ---- */

static void
courier_round(struct world *w, enum moment m)
{
	struct npeer *p = &w->r->peer[0];
	bool killed = false;
	uint64_t when = latest(rnd(w), m), end = mf_now().mono_ms + NR_HANG_MS;
	arm(m);
	cr_ask(w->r, p);
	while (!killed || p->down == NULL) {
		if (!killed && (atomic_load(&provider.there) || (m >= AT_PUT && mf_now().mono_ms >= when))) {
			role_kill(&w->courier);
			disarm();
			role_begin(w->r, &w->courier);
			w->kills++;
			killed = true;
		}
		if (!killed && p->down != NULL &&
		    m < AT_PUT) { /* refused before it was asked for: once more */
			take_answer(w);
			cr_ask(w->r, p);
		}
		(void)nr_turn(w->r, 1);
		if (mf_now().mono_ms > end)
			fail_msg("moment %d never came: %s", (int)m, w->r->refusal);
	}
	take_answer(w);
}

static void
test_courier(void **state)
{
	struct world w;
	unsigned job = 1;
	MF_UNUSED(state);
	world_begin(&w);
	for (unsigned i = 0; i < COURIER_ROUNDS; i++) {
		courier_round(&w, (enum moment)(i % MOMENTS));
		if (i % JOB_ROUNDS != JOB_ROUNDS - 1)
			continue;
		until_granted(&w);
		nr_end(w.r, &w.r->peer[0], job++);
		cr_job(w.r, job);
		until_granted(&w);
	}
	assert_int_equal(w.kills, COURIER_ROUNDS);
	world_end(&w, job);
}

static void
notary_round(struct world *w, enum moment m)
{
	struct npeer *p = &w->r->peer[0];
	uint64_t when = latest(rnd(w), m), end = mf_now().mono_ms + NR_HANG_MS;
	arm(m);
	cr_ask(w->r, p);
	while (!atomic_load(&provider.there) && (m < AT_PUT || mf_now().mono_ms < when)) {
		if (p->down != NULL && m < AT_PUT) {
			take_answer(w);
			cr_ask(w->r, p);
		}
		(void)nr_turn(w->r, 1);
		if (mf_now().mono_ms > end)
			fail_msg("moment %d never came: %s", (int)m, w->r->refusal);
	}
	nr_kill(w->r);
	w->kills++;
	disarm();
	nr_start(w->r, NULL, 0);
	role_relink(w->r, &w->courier);
	nr_begin(w->r, p, "");
	if (!nr_join(w->r, p, NULL, true))
		fail_msg("the node is turned away: %s", w->r->refusal);
	until_granted(w);
}

static void
test_notary(void **state)
{
	struct world w;
	MF_UNUSED(state);
	world_begin(&w);
	for (unsigned i = 0; i < NOTARY_ROUNDS / 2; i++)
		notary_round(&w, (enum moment)(i % MOMENTS));
	nr_end(w.r, &w.r->peer[0], 1);
	cr_job(w.r, 2);
	until_granted(&w);
	for (unsigned i = 0; i < NOTARY_ROUNDS / 2; i++)
		notary_round(&w, (enum moment)(i % MOMENTS));
	world_end(&w, 2);
}

int
main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_courier),
		cmocka_unit_test(test_notary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
