/* Landlock by raw system calls: there is no libc for it, and the headers of the build may be older than the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/confine_parts.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

/* linux/landlock.h; the ABI that brought each. */
#define LL_EXECUTE (1ull << 0)
#define LL_WRITE_FILE (1ull << 1)
#define LL_READ_FILE (1ull << 2)
#define LL_READ_DIR (1ull << 3)
#define LL_REMOVE_DIR (1ull << 4)
#define LL_REMOVE_FILE (1ull << 5)
#define LL_MAKE_DIR (1ull << 7)
#define LL_MAKE_REG (1ull << 8)
#define LL_ALL_ABI1 ((1ull << 13) - 1)
#define LL_REFER (1ull << 13)	   /* 2 */
#define LL_TRUNCATE (1ull << 14)   /* 3 */
#define LL_NET_BIND (1ull << 0)	   /* 4 */
#define LL_NET_CONNECT (1ull << 1) /* 4 */
#define LL_IOCTL_DEV (1ull << 15)  /* 5 */
#define LL_SCOPE_ALL 3ull	   /* 6: abstract Unix sockets, signals */
#define LL_RULE_PATH 1
#define LL_RULE_PORT 2
#define LL_VERSION 1u

struct ll_ruleset {
	uint64_t fs, net, scoped;
};
struct ll_path {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));
struct ll_port {
	uint64_t allowed, port;
};

int
mf_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
	return abi < 0 ? 0 : (int)abi;
}

static struct ll_ruleset
handled_by(int abi)
{
	struct ll_ruleset r = { .fs = LL_ALL_ABI1 };
	if (abi >= 2)
		r.fs |= LL_REFER;
	if (abi >= 3)
		r.fs |= LL_TRUNCATE;
	if (abi >= 4)
		r.net = LL_NET_BIND | LL_NET_CONNECT;
	if (abi >= 5)
		r.fs |= LL_IOCTL_DEV;
	if (abi >= 6)
		r.scoped = LL_SCOPE_ALL;
	return r;
}

/* A kernel knows a prefix of the structure: what came later must not be handed over. */
static size_t
size_for(int abi)
{
	if (abi >= 6)
		return sizeof(struct ll_ruleset);
	return abi >= 4 ? offsetof(struct ll_ruleset, scoped) : offsetof(struct ll_ruleset, net);
}

static enum mf_status
add_paths(int set, const struct mf_confinement *c, const struct mf_confine_env *env, uint64_t handled,
    struct mf_err *err)
{
	for (size_t i = 0; i < c->fs_count; i++) {
		const struct mf_fs_rule *r = &c->fs[i];
		int fd = mf_confine_fd(env, r->fd_name);
		if (fd < 0)
			continue;
		uint64_t allowed = LL_READ_FILE | LL_READ_DIR;
		if ((r->access & MF_FS_WRITE) != 0)
			allowed |= LL_WRITE_FILE | LL_TRUNCATE | LL_MAKE_REG | LL_REMOVE_FILE | LL_MAKE_DIR |
				   LL_REMOVE_DIR | LL_REFER;
		struct ll_path p = { .allowed = allowed & handled, .fd = fd };
		if (syscall(SYS_landlock_add_rule, set, LL_RULE_PATH, &p, 0) != 0)
			return MF_FAIL(
			    err, MF_E_IO, "Landlock rule for \"%s\": %s", r->fd_name, strerror(errno));
	}
	return MF_OK;
}

static enum mf_status
add_port(int set, uint16_t port, struct mf_err *err)
{
	struct ll_port p = { .allowed = LL_NET_CONNECT, .port = port };
	if (port != 0 && syscall(SYS_landlock_add_rule, set, LL_RULE_PORT, &p, 0) != 0)
		return MF_FAIL(err, MF_E_IO, "Landlock rule for port %u: %s", port, strerror(errno));
	return MF_OK;
}

static enum mf_status
fill_and_restrict(int set, const struct mf_confinement *c, const struct mf_confine_env *env,
    const struct ll_ruleset *handled, struct mf_err *err)
{
	MF_TRY(add_paths(set, c, env, handled->fs, err));
	if (c->connects && handled->net != 0) {
		MF_TRY(add_port(set, env->connect_port, err));
		for (size_t i = 0; i < env->more_port_count; i++)
			MF_TRY(add_port(set, env->more_ports[i], err));
	}
	if (syscall(SYS_landlock_restrict_self, set, 0) != 0)
		return MF_FAIL(err, MF_E_IO, "Landlock: %s", strerror(errno));
	return MF_OK;
}

enum mf_status
mf_confine_landlock(
    const struct mf_confinement *c, const struct mf_confine_env *env, int *ret_abi, struct mf_err *err)
{
	int abi = mf_landlock_abi();
	*ret_abi = abi;
	if (abi == 0)
		return MF_OK; /* reported by the caller: seccomp and the own user remain */
	struct ll_ruleset handled = handled_by(abi);
	long set = syscall(SYS_landlock_create_ruleset, &handled, size_for(abi), 0);
	if (set < 0)
		return MF_FAIL(err, MF_E_IO, "Landlock rule set: %s", strerror(errno));
	enum mf_status s = fill_and_restrict((int)set, c, env, &handled, err);
	(void)close((int)set);
	return s;
}
