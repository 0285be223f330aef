#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/instances.h"
#include "base/limits.h"

#define BOOT "0f3c9e6a-0000-4000-8000-000000000001"
#define OTHER_BOOT "0f3c9e6a-0000-4000-8000-000000000002"

static struct mf_instance *
add(struct mf_instances *t, enum mf_instance_kind kind, uint64_t id)
{
	struct mf_instance *i = NULL;
	assert_int_equal(mf_instances_add(t, kind, id, &i, NULL), MF_OK);
	i->grade = MF_GRADE_PIDFD;
	return i;
}

static void
test_lookup(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	assert_int_equal(mf_instances_new("short", &t, NULL), MF_E_INVALID);
	assert_int_equal(mf_instances_new(BOOT, &t, NULL), MF_OK);
	struct mf_instance *cg = add(t, MF_INSTANCE_CGROUP, 7), *p = add(t, MF_INSTANCE_PROCESS, 7),
			   *run = add(t, MF_INSTANCE_RUN, 8);
	assert_int_equal(run->state, MF_JOB_ARMING);
	assert_int_equal(cg->state, MF_JOB_LIVE);
	assert_ptr_equal(mf_instances_by_cgroup(t, 7), cg); /* one number, two kinds */
	assert_ptr_equal(mf_instances_by_process(t, 7), p);
	assert_null(mf_instances_by_process(t, 8));
	assert_ptr_equal(mf_instances_by_handle(t, run->handle), run);
	assert_null(mf_instances_by_handle(t, 99));
	struct mf_instance *twice = NULL;
	assert_int_equal(mf_instances_add(t, MF_INSTANCE_RUN, 7, &twice, NULL), MF_E_EXISTS);
	assert_null(twice);

	struct mf_buf key;
	mf_buf_init(&key, 256);
	mf_instance_key_put(&key, cg, MF_SLICE_LIT("gpu-1"));
	assert_string_equal(mf_buf_cstr(&key), "local/gpu-1/" BOOT "/cg-7");
	assert_ptr_equal(mf_instances_by_key(t, mf_buf_slice(&key)), cg);
	assert_null(mf_instances_by_key(t, MF_SLICE_LIT("local/n/" OTHER_BOOT "/cg-7")));
	assert_null(mf_instances_by_key(t, MF_SLICE_LIT("cg-7")));
	assert_null(mf_instances_by_key(t, MF_SLICE_LIT("")));
	assert_null(mf_instances_by_key(t, MF_SLICE_LIT("/")));
	mf_buf_fini(&key);

	uint64_t old = p->handle;
	mf_instances_del(t, p);
	assert_null(mf_instances_by_process(t, 7));
	p = add(t, MF_INSTANCE_PROCESS, 7);
	assert_true(p->handle > old); /* handles do not come again */
	assert_int_equal(mf_instances_count(t), 3);
}

static void
test_set(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	assert_int_equal(mf_instances_new(BOOT, &t, NULL), MF_OK);
	struct mf_instance *i = add(t, MF_INSTANCE_RUN, 8);
	assert_string_equal(i->profile, "");
	assert_int_equal(mf_instance_set(&i->profile, MF_SLICE_LIT("train"), 5, NULL), MF_OK);
	assert_int_equal(mf_instance_set(&i->profile, MF_SLICE_LIT("trains"), 5, NULL), MF_E_TOOBIG);
	assert_int_equal(mf_instance_set(&i->profile, mf_slice("a\0b", 3), 5, NULL), MF_E_INVALID);
	assert_string_equal(i->profile, "train");
	static uint8_t big[MF_LIM_MANIFEST + 1];
	assert_int_equal(mf_instance_set_manifest(i, mf_slice(big, sizeof(big)), NULL), MF_E_TOOBIG);
	assert_int_equal(mf_instance_set_manifest(i, mf_slice(big, sizeof(big) - 1), NULL), MF_OK);
	assert_int_equal(i->manifest_n, MF_LIM_MANIFEST);
	assert_int_equal(mf_instance_set_manifest(i, mf_slice(NULL, 0), NULL), MF_OK);
	assert_null(i->manifest);
}

static void
fill(struct mf_instances *t)
{
	struct mf_instance *i = add(t, MF_INSTANCE_RUN, 8);
	i->grade = MF_GRADE_CGROUP;
	i->state = MF_JOB_LIVE;
	i->uid = 1000;
	i->gid = 1001;
	i->interactive = i->asked = true;
	i->proc_id = 1234;
	i->pid = 77;
	i->epoch = 3;
	assert_int_equal(mf_instance_set(&i->cgroup_path, MF_SLICE_LIT("/mayfly/j\xff"), 99, NULL), MF_OK);
	assert_int_equal(mf_instance_set(&i->lease_id, MF_SLICE_LIT("l-1"), 99, NULL), MF_OK);
	assert_int_equal(mf_instance_set(&i->selectors, MF_SLICE_LIT("unix.uid:1000\n"), 99, NULL), MF_OK);
	assert_int_equal(mf_instance_set_manifest(i, mf_slice("\0\1", 2), NULL), MF_OK);
	i = add(t, MF_INSTANCE_PROCESS, 9);
	i->state = MF_JOB_ENDED;
	i->end_cause = MF_END_PROCESS;
	i->end_us = 1700000000000000;
}

static void
test_file(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	MF_AUTO(mf_instances_free) struct mf_instances *back = NULL;
	struct mf_buf file, again;
	mf_buf_init(&file, MF_INSTANCES_FILE_MAX);
	mf_buf_init(&again, MF_INSTANCES_FILE_MAX);
	assert_int_equal(mf_instances_new(BOOT, &t, NULL), MF_OK);
	fill(t);
	mf_instances_put(&file, t);
	assert_int_equal(mf_instances_parse(mf_buf_slice(&file), OTHER_BOOT, &back, NULL), MF_OK);
	assert_int_equal(mf_instances_count(back), 2);
	mf_instances_put(&again, back);
	assert_true(mf_slice_eq(mf_buf_slice(&file), mf_buf_slice(&again)));
	/* Inodes start anew with every boot: an old entry does not stand for a new thing of that number. */
	assert_null(mf_instances_by_cgroup(back, 8));
	struct mf_instance *fresh = add(back, MF_INSTANCE_CGROUP, 8);
	assert_ptr_equal(mf_instances_by_cgroup(back, 8), fresh);
	assert_int_equal(fresh->handle, 3);
	struct mf_instance *old = mf_instances_by_key(back, MF_SLICE_LIT("local/n/" BOOT "/cg-8"));
	assert_non_null(old);
	assert_true(old != fresh);
	assert_true(old->interactive && old->asked);
	assert_int_equal(old->manifest_n, 2);
	assert_string_equal(old->selectors, "unix.uid:1000\n");

	/* Every cut and every single changed byte is refused or read as something well-formed. */
	for (size_t n = 0; n < file.n; n++) {
		struct mf_instances *cut = NULL;
		assert_int_equal(mf_instances_parse(mf_slice(file.p, n), BOOT, &cut, NULL), MF_E_CORRUPT);
		assert_null(cut);
	}
	mf_buf_put_u8(&file, 0);
	struct mf_instances *more = NULL;
	assert_int_equal(mf_instances_parse(mf_buf_slice(&file), BOOT, &more, NULL), MF_E_CORRUPT);
	file.n--;
	for (size_t n = 0; n < file.n; n++) {
		struct mf_instances *bent = NULL;
		file.p[n] ^= 0x80;
		enum mf_status s = mf_instances_parse(mf_buf_slice(&file), BOOT, &bent, NULL);
		assert_true(s == MF_OK || s == MF_E_CORRUPT || s == MF_E_UNSUPPORTED);
		mf_instances_free(bent);
		file.p[n] ^= 0x80;
	}
	mf_buf_fini(&file);
	mf_buf_fini(&again);
}

static void
test_full(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_instances_free) struct mf_instances *t = NULL;
	assert_int_equal(mf_instances_new(BOOT, &t, NULL), MF_OK);
	for (uint64_t n = 0; n < MF_LIM_NODE_INSTANCES; n++)
		add(t, MF_INSTANCE_CGROUP, n);
	struct mf_instance *i = NULL;
	assert_int_equal(mf_instances_add(t, MF_INSTANCE_CGROUP, UINT64_MAX, &i, NULL), MF_E_EXHAUSTED);
	size_t seen = 0;
	uint64_t last = 0;
	MF_INSTANCES_EACH(k, t)
	{
		assert_true(k->handle > last);
		last = k->handle;
		seen++;
		if (seen % 2 == 0)
			mf_instances_del(t, k);
	}
	assert_int_equal(seen, MF_LIM_NODE_INSTANCES);
	assert_int_equal(mf_instances_count(t), MF_LIM_NODE_INSTANCES / 2);
	struct mf_buf small;
	mf_buf_init(&small, 100);
	mf_instances_put(&small, t);
	assert_int_equal(mf_buf_check(&small, NULL), MF_E_TOOBIG);
	mf_buf_fini(&small);
}

static void
test_words(void **state)
{
	MF_UNUSED(state);
	for (unsigned g = 0; g < MF_GRADE_COUNT; g++)
		assert_int_equal(mf_grade_by_name(mf_slice_str(mf_grade_name((enum mf_grade)g))), g);
	assert_int_equal(mf_grade_by_name(MF_SLICE_LIT("root")), MF_GRADE_NONE);
	assert_string_equal(mf_grade_name(MF_GRADE_COUNT), "none");
	assert_string_equal(mf_end_cause_name(MF_END_REBOOT), "reboot");
	assert_string_equal(mf_end_cause_name(MF_END_COUNT), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
