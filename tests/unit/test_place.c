/* The classifiers of cgroup paths: what each shape tells, and one conformance test that all of them pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/attestor/cgroup.h"
#include "agent/attestor/place.h"
#include "base/limits.h"

#define CID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CID2 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define UID "11111111-2222-3333-4444-555555555555"
#define UID_ "11111111_2222_3333_4444_555555555555"
#define UM "/user.slice/user-1000.slice/user@1000.service"

static const struct {
	const char *path, *by, *prefix; /* prefix NULL: shared */
	const char *facts;		/* lines; "" none */
	bool interactive;
} rows[] = {
	/* ours */
	{ "/mayfly", "run", NULL, "", false },
	{ "/mayfly/j1", "run", "/mayfly/j1", "", false },
	{ "/mayfly/j1/docker/" CID, "run", "/mayfly/j1", "", false },
	{ "/mayfly/j1/mayfly/j2", "run", "/mayfly/j1", "", false },
	{ "/mayfly/j1/user.slice/session-1.scope", "run", "/mayfly/j1", "", false },
	{ "/mayfly2/j1", "cgroup", "/mayfly2/j1", "", false },
	{ "/x/mayfly/j1", "cgroup", "/x/mayfly/j1", "", false },
	/* what holds the agent, and its neighbours */
	{ "/top", NULL, NULL, "", false },
	{ "/top/agent", NULL, NULL, "", false },
	{ "/top/agent2", "cgroup", "/top/agent2", "", false },
	{ "/top/agent/child", "cgroup", "/top/agent/child", "", false },
	/* Docker */
	{ "/docker/" CID, "container", "/docker/" CID, "container.runtime:docker\ncontainer.id:" CID "\n",
	    false },
	{ "/docker/" CID "/kubelet/kubepods/pod" UID "/" CID2, "container", "/docker/" CID,
	    "container.runtime:docker\ncontainer.id:" CID "\n", false },
	{ "/docker/short", "cgroup", "/docker/short", "", false },
	{ "/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "cgroup",
	    "/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "", false },
	{ "/docker", "cgroup", "/docker", "", false },
	{ "/system.slice/docker-" CID ".scope", "container", "/system.slice/docker-" CID ".scope",
	    "container.runtime:docker\ncontainer.id:" CID "\n", false },
	{ "/system.slice/docker-" CID ".scope/init.scope", "container", "/system.slice/docker-" CID ".scope",
	    "container.runtime:docker\ncontainer.id:" CID "\n", false },
	{ "/system.slice/docker-.scope", "systemd", "/system.slice/docker-.scope",
	    "systemd.unit:docker-.scope\nsystemd.slice:system.slice\nsystemd.scope:system\n", false },
	/* Podman, conmon beside it */
	{ "/machine.slice/libpod-" CID ".scope/container", "container", "/machine.slice/libpod-" CID ".scope",
	    "container.runtime:podman\ncontainer.id:" CID "\n", false },
	{ "/machine.slice/libpod-conmon-" CID ".scope", "container", NULL, "", false },
	{ "/libpod_parent/libpod-" CID, "container", "/libpod_parent/libpod-" CID,
	    "container.runtime:podman\ncontainer.id:" CID "\n", false },
	{ UM "/user.slice/libpod-" CID ".scope", "container", UM "/user.slice/libpod-" CID ".scope",
	    "container.runtime:user@1000.service/podman\ncontainer.id:user@1000.service/" CID "\n", false },
	{ UM "/user.slice/libpod-conmon-" CID ".scope", "container", NULL, "", false },
	/* Kubernetes */
	{ "/kubepods/pod" UID "/" CID, "container", "/kubepods/pod" UID "/" CID,
	    "container.runtime:cri\ncontainer.id:" CID "\nk8s.pod_uid:" UID "\n", false },
	{ "/kubepods/burstable/pod" UID "/" CID "/pod22222222-2222-2222-2222-222222222222/" CID2, "container",
	    "/kubepods/burstable/pod" UID "/" CID,
	    "container.runtime:cri\ncontainer.id:" CID "\nk8s.pod_uid:" UID "\n", false },
	{ "/kubepods/besteffort/pod0123456789abcdef0123456789abcdef/" CID, "container",
	    "/kubepods/besteffort/pod0123456789abcdef0123456789abcdef/" CID,
	    "container.runtime:cri\ncontainer.id:" CID "\nk8s.pod_uid:0123456789abcdef0123456789abcdef\n",
	    false },
	{ "/kubepods/burstable/x/pod" UID "/" CID, "container", NULL, "", false },
	{ "/kubepods/pod" UID, "container", NULL, "", false },
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice/cri-containerd-" CID
	  ".scope",
	    "container",
	    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	    ".slice/cri-containerd-" CID ".scope",
	    "container.runtime:containerd\ncontainer.id:" CID "\nk8s.pod_uid:" UID "\n", false },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" CID ".scope", "container",
	    "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" CID ".scope",
	    "container.runtime:cri-o\ncontainer.id:" CID "\nk8s.pod_uid:" UID "\n", false },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-conmon-" CID ".scope", "container", NULL, "",
	    false },
	{ "/kubepods-besteffort-pod" UID_ ".slice:cri-containerd:" CID, "container",
	    "/kubepods-besteffort-pod" UID_ ".slice:cri-containerd:" CID,
	    "container.runtime:containerd\ncontainer.id:" CID "\nk8s.pod_uid:" UID "\n", false },
	/* runc: by its name while root's runc has it */
	{ "/train-1", "runc", "/train-1", "container.runtime:runc\ncontainer.id:train-1\n", false },
	{ "/train-1/inner/" CID, "runc", "/train-1", "container.runtime:runc\ncontainer.id:train-1\n",
	    false },
	{ "/other-1", "cgroup", "/other-1", "", false },
	/* systemd */
	{ "/system.slice/train.service", "systemd", "/system.slice/train.service",
	    "systemd.unit:train.service\nsystemd.slice:system.slice\nsystemd.scope:system\n", false },
	{ "/system.slice/train.service/sub/sshd.service", "systemd", "/system.slice/train.service",
	    "systemd.unit:train.service\nsystemd.slice:system.slice\nsystemd.scope:system\n", false },
	{ "/system.slice/system-train.slice/train@7.service", "systemd",
	    "/system.slice/system-train.slice/train@7.service",
	    "systemd.unit:train@7.service\nsystemd.slice:system-train.slice\nsystemd.scope:system\n", false },
	{ "/gpu.slice/run-u3.scope", "systemd", "/gpu.slice/run-u3.scope",
	    "systemd.unit:run-u3.scope\nsystemd.slice:gpu.slice\nsystemd.scope:system\n", false },
	{ "/system.slice/_cgroup.service", "systemd", "/system.slice/_cgroup.service",
	    "systemd.unit:cgroup.service\nsystemd.slice:system.slice\nsystemd.scope:system\n", false },
	{ "/system.slice", "systemd", NULL, "", false },
	{ "/init.scope", "systemd", NULL, "", false },
	{ "/system.slice/cron.service", "systemd", NULL, "", false },
	{ "/system.slice/cron.service/mine.service", "systemd", NULL, "", false },
	{ "/system.slice/ssh.service", "systemd", NULL, "", false },
	{ "/system.slice/system-sshd.slice/sshd@3-1.2.3.4:22.service", "systemd", NULL, "", false },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "systemd", NULL, "", false },
	/* a user's manager: the user chose the name, so the user stands in the value */
	{ UM, "systemd", NULL, "", false },
	{ UM "/init.scope", "systemd", NULL, "", false },
	{ UM "/app.slice", "systemd", NULL, "", false },
	{ UM "/app.slice/train.service/sub", "systemd", UM "/app.slice/train.service",
	    "systemd.unit:user@1000.service/train.service\nsystemd.slice:user@1000.service/app.slice\n"
	    "systemd.scope:user\n",
	    false },
	{ UM "/train.service", "systemd", UM "/train.service",
	    "systemd.unit:user@1000.service/train.service\nsystemd.scope:user\n", false },
	{ UM "/system.slice/docker-" CID ".scope", "systemd", UM "/system.slice/docker-" CID ".scope",
	    "systemd.unit:user@1000.service/docker-" CID
	    ".scope\nsystemd.slice:user@1000.service/system.slice\n"
	    "systemd.scope:user\n",
	    false },
	{ "/user.slice/user-1000.slice/user@1001.service/app.slice/x.service", "systemd", NULL, "", false },
	{ "/user.slice/user-01.slice/user@01.service/app.slice/x.service", "systemd", NULL, "", false },
	{ "/user.slice/user-1000.slice/session-3.scope", "systemd", NULL, "", false },
	{ "/user.slice/user-1000.slice/session-3.scope/mine", "systemd", NULL, "", false },
	{ "/user.slice/user-1000.slice/session-c1.scope/kubepods/pod1/" CID, "systemd", NULL, "", false },
	{ "/x.slice/session-1.scope", "systemd", NULL, "", false },
	/* Slurm */
	{ "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0", "slurm",
	    "/system.slice/slurmstepd.scope/job_7", "slurm.job_id:7\n", false },
	{ "/system.slice/slurmstepd.scope/job_7/step_batch/user/task_special/job_8/step_0/user", "slurm",
	    "/system.slice/slurmstepd.scope/job_7", "slurm.job_id:7\n", false },
	{ "/system.slice/vm_slurmstepd.scope/job_7/step_extern/user/task_0", "slurm",
	    "/system.slice/vm_slurmstepd.scope/job_7", "slurm.job_id:7\n", true },
	{ "/system.slice/slurmstepd.scope/sABCDEFGH01234/step_0/user", "slurm",
	    "/system.slice/slurmstepd.scope/sABCDEFGH01234", "slurm.sluid:sABCDEFGH01234\n", false },
	{ "/system.slice/slurmstepd.scope/job_7/step_0/slurm", "slurm", NULL, "", false },
	{ "/system.slice/slurmstepd.scope/job_007/step_0/user", "slurm", NULL, "", false },
	{ "/system.slice/slurmstepd.scope/system", "slurm", NULL, "", false },
	/* the rest */
	{ "/", NULL, NULL, "", false },
	{ "/3", "cgroup", NULL, "", false },
	{ "/c3/deeper", "cgroup", NULL, "", false },
	{ "/elogind/c1", "cgroup", NULL, "", false },
	{ "/openrc.sshd/x", "cgroup", NULL, "", false },
	{ "/openrc.train", "cgroup", "/openrc.train", "", false },
	{ "/c", "cgroup", "/c", "", false },
	{ "/job3", "cgroup", "/job3", "", false },
	{ "/a (deleted)", "cgroup", "/a (deleted)", "", false },
	{ "/\xff\xfe", "cgroup", "/\xff\xfe", "", false },
	{ "/docker/session-1.scope", "cgroup", "/docker/session-1.scope", "", false },
	/* Bytes that are no text are in no selector, but the place is what it is. */
	{ "/system.slice/\xff.service", "systemd", "/system.slice/\xff.service",
	    "systemd.slice:system.slice\nsystemd.scope:system\n", false },
	{ "/system.slice/a\nunix.uid:0.service", "systemd", "/system.slice/a\nunix.uid:0.service",
	    "systemd.slice:system.slice\nsystemd.scope:system\n", false },
	/* not paths; ".." is what an agent in a cgroup namespace of its own is shown */
	{ "", NULL, NULL, "", false },
	{ "/../../docker/" CID, NULL, NULL, "", false },
	{ "/../../../burstable/pod" UID "/" CID, NULL, NULL, "", false },
	{ "/mayfly/../mayfly/j1", NULL, NULL, "", false },
	{ "/mayfly//j1", NULL, NULL, "", false },
	{ "/mayfly/j1/", NULL, NULL, "", false },
	{ "/docker/.", NULL, NULL, "", false },
	{ "docker/" CID, NULL, NULL, "", false },
};

static bool
has(void *ctx, struct mf_slice name)
{
	return mf_slice_eq_str(name, ctx);
}

static char runc_name[] = "train-1";

static const struct mf_place_env here = { .own = { (const uint8_t *)"/top/agent", 10 },
	.base = { (const uint8_t *)"/mayfly", 7 },
	.runc_has = has,
	.ctx = runc_name };

static void
facts_of(const struct mf_place *p, struct mf_buf *b)
{
	mf_buf_reset(b);
	for (size_t i = 0; i < p->n_facts; i++)
		(void)mf_place_fact_put(b, &p->facts[i]);
	assert_int_equal(mf_buf_check(b, NULL), MF_OK);
}

static void
test_shapes(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, 65536);
	for (size_t i = 0; i < MF_COUNT(rows); i++) {
		struct mf_place p;
		mf_place_of(mf_slice_str(rows[i].path), &here, &p);
		facts_of(&p, &b);
		bool good =
		    rows[i].by == NULL ? p.by == NULL : p.by != NULL && strcmp(p.by->name, rows[i].by) == 0;
		good = good && (p.use == MF_CGROUP_SHARED) == (rows[i].prefix == NULL) &&
		       p.prefix == (rows[i].prefix == NULL ? 0 : strlen(rows[i].prefix)) &&
		       mf_slice_eq_str(mf_buf_slice(&b), rows[i].facts) &&
		       p.interactive == rows[i].interactive;
		if (!good)
			print_message("%s: %s, use %d, prefix %zu, facts %.*s\n", rows[i].path,
			    p.by == NULL ? "none" : p.by->name, (int)p.use, p.prefix, (int)b.n,
			    (const char *)b.p);
		assert_true(good);
	}
	/* Without a base, an own cgroup and runc nothing matches by being empty. */
	const struct mf_place_env bare = { 0 };
	struct mf_place p;
	mf_place_of(MF_SLICE_LIT("/a"), &bare, &p);
	assert_int_equal(p.use, MF_CGROUP_OWN);
	const struct mf_place_env root = { .own = MF_SLICE_LIT("/") }; /* an agent there covers nobody else */
	mf_place_of(MF_SLICE_LIT("/a"), &root, &p);
	assert_int_equal(p.use, MF_CGROUP_OWN);
	mf_place_of(mf_slice("/a\0b", 4), &bare, &p);
	assert_null(p.by);
}

static bool
declares(const struct mf_classifier *c, const char *key)
{
	for (size_t i = 0; c->selectors[i] != NULL; i++)
		if (strcmp(c->selectors[i], key) == 0)
			return true;
	return false;
}

static bool
same_facts(const struct mf_place *a, const struct mf_place *b)
{
	bool same = a->n_facts == b->n_facts;
	for (size_t i = 0; same && i < a->n_facts; i++)
		same = strcmp(a->facts[i].key, b->facts[i].key) == 0 &&
		       mf_slice_eq(a->facts[i].owner, b->facts[i].owner) &&
		       mf_slice_eq(a->facts[i].value, b->facts[i].value);
	return same;
}

/* What holds for every classifier on every path. */
static void
conform(const char *path)
{
	static const char *const deeper[] = { "/x", "/docker/" CID2, "/kubepods/pod" UID "/" CID2,
		"/session-1.scope", "/system.slice/evil.service", "/job_9/step_extern/user/x", "/mayfly/j9",
		"/sshd.service", "/train-1", "/user/task_0", "/slurm", "/\xff", "/init.scope" };
	struct mf_slice s = mf_slice_str(path);
	struct mf_place p, q;
	mf_place_of(s, &here, &p);
	mf_place_of(s, &here, &q);
	assert_true(p.by == q.by && p.use == q.use && p.prefix == q.prefix && same_facts(&p, &q));
	assert_true(p.use == MF_CGROUP_SHARED ? p.prefix == 0 : p.prefix > 1 && p.prefix <= s.n);
	if (p.use == MF_CGROUP_SHARED) {
		assert_int_equal(p.n_facts, 0);
		return;
	}
	assert_non_null(p.by);
	assert_true(p.prefix == s.n || s.p[p.prefix] == '/');
	assert_true(p.n_facts <= MF_PLACE_FACTS_MAX);
	for (size_t i = 0; i < p.n_facts; i++) {
		assert_true(declares(p.by, p.facts[i].key));
		for (size_t k = 0; k < p.facts[i].value.n; k++)
			assert_true(p.facts[i].value.p[k] != '/' && p.facts[i].value.p[k] != '\0');
	}
	/* Names deeper down change nothing. */
	for (size_t i = 0; i < MF_COUNT(deeper); i++) {
		char longer[2 * MF_CGROUP_PATH_MAX];
		int n = snprintf(longer, sizeof(longer), "%s%s", path, deeper[i]);
		struct mf_slice l = mf_slice(longer, (size_t)n);
		mf_place_of(l, &here, &q);
		if (!mf_cgroup_path_ok(l))
			continue;
		bool same = p.by == q.by && p.use == q.use && p.interactive == q.interactive &&
			    same_facts(&p, &q) && (p.by->leaf ? q.prefix == l.n : q.prefix == p.prefix);
		if (!same)
			print_message("%s and %s\n", path, longer);
		assert_true(same);
	}
	/* ".." anywhere, or a doubled slash, and nothing is told. */
	static const char *const bad[] = { "/..", "/../x", "//x", "/." };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		char broken[2 * MF_CGROUP_PATH_MAX];
		(void)snprintf(broken, sizeof(broken), "%s%s", path, bad[i]);
		mf_place_of(mf_slice_str(broken), &here, &q);
		assert_true(q.by == NULL && q.use == MF_CGROUP_SHARED);
	}
}

static void
test_conformance(void **state)
{
	MF_UNUSED(state);
	static const char *const words[] = { "docker", CID, CID2, "system.slice", "user.slice",
		"user-1000.slice", "user@1000.service", "app.slice", "x.service", "docker-" CID ".scope",
		"libpod-" CID ".scope", "kubepods", "burstable", "pod" UID, "kubepods.slice",
		"kubepods-pod" UID_ ".slice", "cri-containerd-" CID ".scope", "slurmstepd.scope", "job_1",
		"step_0", "step_extern", "user", "slurm", "mayfly", "top", "agent", "train-1",
		"session-1.scope", "init.scope", "machine.slice", "libpod_parent", "libpod-" CID,
		"sshd.service", "3", "elogind", "\xff", "_", ".slice", "a b" };
	uint64_t seed = 42;
	for (size_t i = 0; i < MF_COUNT(rows); i++)
		conform(rows[i].path);
	for (int turn = 0; turn < 20000; turn++) {
		char path[1024];
		size_t n = 0;
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		unsigned parts = 1 + (unsigned)(seed >> 60) % 6;
		for (unsigned k = 0; k < parts; k++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			n += (size_t)snprintf(
			    path + n, sizeof(path) - n, "/%s", words[(seed >> 33) % MF_COUNT(words)]);
		}
		conform(path);
	}
}

/* The table itself. */
static void
test_table(void **state)
{
	MF_UNUSED(state);
	size_t n = 0;
	for (; mf_classifiers[n] != NULL; n++) {
		const struct mf_classifier *c = mf_classifiers[n];
		assert_true(
		    c->name[0] != '\0' && c->summary[0] != '\0' && c->selectors != NULL && c->match != NULL);
		assert_true(!c->leaf || mf_classifiers[n + 1] == NULL);
		for (size_t i = 0; i < n; i++)
			assert_string_not_equal(c->name, mf_classifiers[i]->name);
		bool shown = false;
		for (size_t i = 0; i < MF_COUNT(rows); i++)
			shown |= rows[i].by != NULL && strcmp(rows[i].by, c->name) == 0;
		assert_true(shown); /* each has rows above */
	}
	assert_true(n > 0);
}

static void
test_long(void **state)
{
	MF_UNUSED(state);
	static char deep[MF_CGROUP_PATH_MAX + 2];
	struct mf_place p;
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 2 == 0 ? '/' : 'a';
	mf_place_of(mf_slice(deep, MF_CGROUP_PATH_MAX), &here, &p);
	assert_int_equal(p.use, MF_CGROUP_OWN);
	mf_place_of(mf_slice(deep, sizeof(deep)), &here, &p);
	assert_null(p.by);
	/* A unit whose name fits no selector is still a place, and not told. */
	static char unit[MF_LIM_SELECTOR + 64] = "/system.slice/";
	memset(unit + 14, 'u', MF_LIM_SELECTOR);
	memcpy(unit + 14 + MF_LIM_SELECTOR, ".service", 9);
	mf_place_of(mf_slice_str(unit), &here, &p);
	assert_int_equal(p.use, MF_CGROUP_OWN);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, 65536);
	facts_of(&p, &b);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "systemd.slice:system.slice\nsystemd.scope:system\n"));
}

/* Every selector stands in the reference, in the row of its classifier. */
static void
test_documented(void **state)
{
	MF_UNUSED(state);
	static char text[65536];
	FILE *f = fopen("docs/reference/selectors.md", "re");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	(void)fclose(f);
	for (size_t n = 0; mf_classifiers[n] != NULL; n++) {
		const struct mf_classifier *c = mf_classifiers[n];
		char row[128];
		(void)snprintf(row, sizeof(row), "| `%s` |", c->name);
		assert_non_null(strstr(text, row));
		for (size_t i = 0; c->selectors[i] != NULL; i++) {
			(void)snprintf(row, sizeof(row), "| `%s` |", c->selectors[i]);
			assert_non_null(strstr(text, row));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_conformance),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_documented),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
