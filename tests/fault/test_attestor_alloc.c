/*
 * Every allocation of the attestor's parts fails once: an answer, never a crash; nothing leaked; and what was there
 * before is still there. Instances, their file, the session machine, users, callers, watches.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"

#include "agent/attestor/classify.h"
#include "agent/attestor/interactive.h"
#include "agent/attestor/pidfd.h"
#include "agent/attestor/store.h"
#include "agent/attestor/watch.h"

#ifdef MF_INSTRUMENTED
int
main(void)
{
	printf("skipped: the sanitizer's allocator cannot be replaced\n");
	return 0;
}
#else

#define ROUNDS 5000 /* more allocations than any operation makes: a hang limit */
#define BOOT "0f3c9e6a-0000-4000-8000-000000000001"

/* Run ${op} with its 1st, 2nd, ... allocation failing until none fails; it cleans up after itself. */
static void torture(enum mf_status (*op)(void))
{
	for (long n = 1; n < ROUNDS; n++) {
		long before = mf_alloc_live();
		mf_alloc_fail(n);
		enum mf_status s = op();
		mf_alloc_fail(0);
		assert_int_equal(mf_alloc_live(), before);
		if (!mf_alloc_failed()) {
			assert_int_equal(s, MF_OK);
			assert_true(n > 1); /* it does allocate */
			return;
		}
		assert_true(s == MF_OK || s == MF_E_NOMEM);
	}
	fail_msg("more than %d allocations", ROUNDS);
}

static enum mf_status
fill(struct mf_instances *t)
{
	struct mf_instance *i = NULL;
	size_t had = mf_instances_count(t);
	enum mf_status s = mf_instances_add(t, MF_INSTANCE_RUN, 8, &i, NULL);
	if (s != MF_OK) {
		assert_int_equal(mf_instances_count(t), had);
		assert_null(mf_instances_by_cgroup(t, 8));
		return s;
	}
	i->grade = MF_GRADE_PIDFD;
	i->asked = true;
	MF_TRY(mf_instance_set(&i->lease_id, MF_SLICE_LIT("l-1"), 9, NULL));
	s = mf_instance_set(&i->profile, MF_SLICE_LIT("train"), 9, NULL);
	if (s != MF_OK)
		assert_string_equal(i->profile, "");
	MF_TRY(s);
	return mf_instance_set_manifest(i, MF_SLICE_LIT("{}"), NULL);
}

static enum mf_status
op_instances(void)
{
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	MF_AUTO(mf_instances_free) struct mf_instances *back = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_INSTANCES_FILE_MAX);
	MF_TRY(mf_instances_new(BOOT, &t, NULL));
	MF_TRY(fill(t));
	mf_instances_put(&b, t);
	MF_TRY(mf_buf_check(&b, NULL));
	enum mf_status s = mf_instances_parse(mf_buf_slice(&b), BOOT, &back, NULL);
	assert_true(s == MF_OK || back == NULL);
	return s;
}

static void
ops_send(void *ctx, enum mf_ic_what what, uint64_t id, struct mf_instance *const *held, size_t n)
{
	MF_UNUSED(what);
	MF_UNUSED(held);
	MF_UNUSED(n);
	*(uint64_t *)ctx = id;
}

static void
ops_end(void *ctx, uint64_t id, const struct mf_instance *i)
{
	MF_UNUSED(ctx);
	MF_UNUSED(id);
	MF_UNUSED(i);
}

static enum mf_status
ops_store(void *ctx, struct mf_slice v, struct mf_err *err)
{
	MF_UNUSED(ctx);
	MF_UNUSED(v);
	MF_UNUSED(err);
	return MF_OK;
}

static void
ops_verdict(void *ctx, struct mf_instance *i, enum mf_ic_verdict v)
{
	MF_UNUSED(ctx);
	MF_UNUSED(i);
	MF_UNUSED(v);
}

static void
ops_lost(void *ctx, enum mf_ic_kind kind, uint64_t tag)
{
	MF_UNUSED(ctx);
	MF_UNUSED(kind);
	MF_UNUSED(tag);
}

static void
ops_phase(void *ctx, enum mf_ic_phase p, const char *reason)
{
	MF_UNUSED(ctx);
	MF_UNUSED(p);
	MF_UNUSED(reason);
}

static const struct mf_ic_ops ops = { .send = ops_send,
	.send_end = ops_end,
	.store = ops_store,
	.verdict = ops_verdict,
	.lost = ops_lost,
	.phase = ops_phase };

static enum mf_status
op_session(void)
{
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	MF_AUTO(mf_ic_free) struct mf_inner_client *c = NULL;
	const struct mf_now now = { .mono_ms = 1 };
	const struct mf_ic_welcome w = { .version = 1, .session_value = MF_SLICE_LIT("0123456789abcdef") };
	const struct mf_ic_verdict_in v = { MF_SLICE_LIT("local/n/" BOOT "/cg-8"), MF_IC_KEEP };
	uint64_t last = 0, id = 0;
	MF_TRY(mf_instances_new(BOOT, &t, NULL));
	MF_TRY(fill(t));
	MF_TRY(mf_ic_new(&ops, &last, t, &c, NULL));
	mf_ic_opened(c, false, now);
	MF_TRY(mf_ic_welcome(c, last, &w, now, NULL));
	MF_TRY(mf_ic_resync_answer(c, last, &v, 1, now, NULL));
	return mf_ic_request(c, MF_IC_ATTACH, 1, now, &id, NULL);
}

static enum mf_status
op_texts(void)
{
	MF_AUTO(mf_users_free) struct mf_users *u = NULL;
	struct mf_trust t;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, 4096);
	MF_TRY(mf_users_parse(MF_SLICE_LIT("a:x:1:1::/:/x\nb:x:2:1::/:/x\nc:x:3:1::/:/x\n"), &u, NULL));
	mf_trust_init(&t);
	memcpy(t.trust_domain, "a.b", 4);
	memcpy(t.broker_id, "b", 2);
	t.bundle_number = 1;
	mf_buf_put_u8(&t.bundle, 0x30);
	mf_trust_put(&b, &t);
	enum mf_status s = mf_buf_check(&b, NULL);
	if (s == MF_OK)
		s = t.bundle.failed;
	if (s == MF_OK)
		s = mf_trust_parse(mf_buf_slice(&b), &t, NULL);
	mf_trust_fini(&t);
	return s;
}

/* The kernel's part: a caller (ourselves, by pidfd), its class and selectors, a watch. */
static enum mf_status
look_at_ourselves(struct mf_peer_env *env, int pidfd)
{
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	struct mf_caller c = MF_CALLER_NONE;
	struct mf_watch *w = NULL;
	struct mf_class k;
	mf_buf_init(&b, 65536);
	MF_TRY(mf_instances_new(BOOT, &t, NULL));
	MF_TRY(mf_watch_set_new(NULL, NULL, &set, NULL));
	enum mf_status s = mf_peer_attest_pidfd(env, pidfd, &c, NULL);
	if (s == MF_OK)
		s = mf_classify(env, t, &c, &k, NULL);
	if (s == MF_OK)
		s = mf_interactive_look(env, &c, NULL);
	if (s == MF_OK) {
		struct mf_selected what = { .kind = k.kind,
			.caller = &c,
			.cgroup_id = c.cgroup_id,
			.cgroup_path = c.cgroup.path,
			.user = "a" };
		s = mf_selectors_put(&b, env, &what, NULL);
	}
	if (s == MF_OK)
		s = mf_watch_process(set, pidfd, 1, &w, NULL);
	mf_caller_fini(&c);
	return s;
}

static enum mf_status
op_caller(void)
{
	MF_AUTO_IN(mf_fd_close) int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	MF_AUTO_IN(mf_fd_close) int pidfd = -1;
	struct mf_peer_env env;
	MF_AUTO(mf_cgroup_fs_free) struct mf_cgroup_fs *fs = NULL;
	enum mf_status s = mf_cgroup_fs_open(proc, &fs, NULL);
	if (s != MF_OK && s != MF_E_NOTFOUND)
		return s;
	MF_TRY(mf_peer_env_init(&env, "/none", proc, fs, NULL));
	MF_TRY(mf_pidfd_open(getpid(), &pidfd, NULL));
	return look_at_ourselves(&env, pidfd);
}

static void
test_all(void **state)
{
	MF_UNUSED(state);
	enum mf_status (*const all[])(void) = { op_instances, op_session, op_texts, op_caller };
	for (size_t i = 0; i < MF_COUNT(all); i++) {
		assert_int_equal(all[i](), MF_OK); /* what is allocated once and for ever is there */
		torture(all[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_all) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
