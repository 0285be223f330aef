/* The seccomp half of a confinement: the only file that knows libseccomp. */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/confine_parts.h"
#include "os/jlog.h"

#define MOST_SYSCALLS 1024u
#define NAME_MAX_BYTES 32u

/* For the handler, which may not allocate: numbers to names, made before the filter. */
static char names[MOST_SYSCALLS][NAME_MAX_BYTES];
static void (*on_violation)(const char *);

static void
remember_names(void)
{
	for (unsigned i = 0; i < MOST_SYSCALLS; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)i);
		if (name == NULL)
			continue;
		size_t n = strlen(name);
		if (n >= NAME_MAX_BYTES)
			n = NAME_MAX_BYTES - 1;
		memcpy(names[i], name, n);
		free(name);
	}
}

/* Name the call, then die by the very signal, so that the supervisor's wait status says SIGSYS. */
static void
on_sigsys(int sig, siginfo_t *si, void *context)
{
	MF_UNUSED(context);
	const char *name = "unknown";
	if (si->si_syscall >= 0 && (unsigned)si->si_syscall < MOST_SYSCALLS &&
	    names[si->si_syscall][0] != '\0')
		name = names[si->si_syscall];
	mf_jlog_from_handler("confinement.violation", "a system call outside the role's table: the role dies",
	    "syscall", name);
	if (on_violation != NULL)
		on_violation(name);
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	(void)sigaction(sig, &dfl, NULL);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	(void)syscall(SYS_tgkill, getpid(), gettid(), sig);
	_exit(128 + SIGSYS);
}

static unsigned
to_compare(const struct mf_syscall_rule *r, struct scmp_arg_cmp *cmp)
{
	unsigned n = 0;
	for (size_t i = 0; i < MF_COUNT(r->args) && r->args[i].op != MF_ARG_NONE; i++, n++) {
		const struct mf_arg_test *t = &r->args[i];
		cmp[n] = (struct scmp_arg_cmp) { .arg = t->arg, .op = SCMP_CMP_EQ, .datum_a = t->value };
		if (t->op == MF_ARG_SELF)
			cmp[n].datum_a = (scmp_datum_t)getpid();
		if (t->op == MF_ARG_MASK)
			cmp[n] = (struct scmp_arg_cmp) { t->arg, SCMP_CMP_MASKED_EQ, t->mask, t->value };
	}
	return n;
}

static enum mf_status
add_group(scmp_filter_ctx ctx, const struct mf_syscall_group *g, struct mf_err *err)
{
	for (size_t i = 0; i < g->count; i++) {
		const struct mf_syscall_rule *r = &g->rules[i];
		struct scmp_arg_cmp cmp[MF_COUNT(r->args)];
		int nr = seccomp_syscall_resolve_name(r->name);
		if (nr < 0)
			continue; /* not on this architecture */
		unsigned n = to_compare(r, cmp);
		uint32_t action = r->answer == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t)r->answer);
		int rc = seccomp_rule_add_array(ctx, action, nr, n, cmp);
		/* The same rule may stand in two groups of one role. */
		if (rc != 0 && rc != -EEXIST)
			return MF_FAIL(err, MF_E_INVALID, "seccomp rule %s of group %s: %s", r->name, g->name,
			    strerror(-rc));
	}
	return MF_OK;
}

static enum mf_status
build_and_load(scmp_filter_ctx ctx, const struct mf_confinement *c, struct mf_err *err)
{
	/* no_new_privs is set already; another ABI's call numbers mean other calls. */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) != 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "libseccomp refuses its own attributes: it is too old");
	/* A tree instead of a list: the hot calls of a role are not all in front. Older libraries lack it. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (const struct mf_syscall_group *const *g = c->groups; *g != NULL; g++)
		MF_TRY(add_group(ctx, *g, err));
	if (mf_confine_instrumented != NULL)
		MF_TRY(add_group(ctx, mf_confine_instrumented, err));
	struct sigaction act = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	(void)sigfillset(&act.sa_mask);
	if (sigaction(SIGSYS, &act, NULL) != 0)
		return MF_FAIL(err, MF_E_IO, "sigaction SIGSYS: %s", strerror(errno));
	int rc = seccomp_load(ctx);
	if (rc != 0)
		return MF_FAIL(
		    err, MF_E_UNSUPPORTED, "seccomp: %s: this kernel cannot confine the role", strerror(-rc));
	return MF_OK;
}

enum mf_status
mf_confine_seccomp(const struct mf_confinement *c, const struct mf_confine_env *env, struct mf_err *err)
{
	remember_names();
	on_violation = env->on_violation;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	if (ctx == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "seccomp filter");
	enum mf_status s = build_and_load(ctx, c, err);
	seccomp_release(ctx);
	return s;
}

static enum mf_status
check_group(const struct mf_confinement *c, const struct mf_syscall_group *g, struct mf_err *err)
{
	for (size_t i = 0; i < g->count; i++) {
		const struct mf_syscall_rule *r = &g->rules[i];
		bool tested = r->args[0].op != MF_ARG_NONE;
		if (seccomp_syscall_resolve_name(r->name) == __NR_SCMP_ERROR)
			return MF_FAIL(
			    err, MF_E_INVALID, "%s, %s: no system call %s", c->role, g->name, r->name);
		if (tested != (r->when != NULL))
			return MF_FAIL(err, MF_E_INVALID, "%s, %s: the words for %s do not match its tests",
			    c->role, g->name, r->name);
		if (r->answer < 0 || r->answer > 133)
			return MF_FAIL(err, MF_E_INVALID, "%s, %s: answer %d of %s", c->role, g->name,
			    r->answer, r->name);
	}
	return MF_OK;
}

enum mf_status
mf_confinement_check(const struct mf_confinement *c, struct mf_err *err)
{
	for (const struct mf_syscall_group *const *g = c->groups; *g != NULL; g++)
		MF_TRY(check_group(c, *g, err));
	return MF_OK;
}
