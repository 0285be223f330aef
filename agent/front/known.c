#include "agent/front/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "os/pidfd.h"
#include "rpc/pb_check.h"

#define OPT_PEERGROUPS 59 /* SO_PEERGROUPS, Linux 4.13 */

struct entry {
	struct {
		uint64_t cgroup, id; /* cgroup 1: ${id} is a cgroup's number, else a process's inode */
	} key;
	struct mf_known_look look;
	ProtobufCMessage *msg; /* owned; Caller */
	uint64_t until_ms;     /* UINT64_MAX: while it is true */
	struct mf_list link;   /* oldest first */
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_known {
	struct entry *map;
	struct mf_list order;
};

static bool
groups_of(int sock, struct mf_known_look *l)
{
	socklen_t n = sizeof(l->groups);
	if (getsockopt(sock, SOL_SOCKET, OPT_PEERGROUPS, l->groups, &n) != 0)
		return false;
	l->n_groups = n / sizeof(l->groups[0]);
	return true;
}

bool
mf_known_look(int sock, struct mf_known_look *ret_look)
{
	struct mf_known_look l = { 0 };
	struct ucred cred;
	socklen_t n = sizeof(cred);
	struct mf_pid_info i;
	MF_AUTO_IN(mf_fd_close) int pidfd = -1;
	if (mf_pidfd_of_peer(sock, &pidfd, NULL) != MF_OK || mf_pidfd_ask(pidfd, &i, NULL) != MF_OK ||
	    getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0 || n != sizeof(cred) ||
	    mf_pidfd_inode(pidfd, &l.inode, NULL) != MF_OK || !groups_of(sock, &l) || !mf_pidfd_alive(pidfd))
		return false;
	bool itself = i.ruid == i.euid && i.suid == i.euid && i.fsuid == i.euid && i.rgid == i.egid &&
		      i.sgid == i.egid && i.fsgid == i.egid;
	if (!itself || cred.pid != i.pid || cred.uid != i.euid || cred.gid != i.egid || l.inode == 0 ||
	    i.cgroup_id == 0)
		return false;
	l.pid = i.pid;
	l.uid = i.euid;
	l.gid = i.egid;
	l.cgroup_id = i.cgroup_id;
	*ret_look = l;
	return true;
}

struct mf_known *
mf_known_new(void)
{
	struct mf_known *k = calloc(1, sizeof(*k));
	if (k != NULL)
		mf_list_init(&k->order);
	return k;
}

static void
drop(struct mf_known *k, struct entry *e)
{
	HASH_DEL(k->map, e);
	mf_list_del(&e->link);
	mf_pb_free(e->msg);
	free(e);
}

void
mf_known_clear(struct mf_known *k)
{
	struct entry *e, *next;
	HASH_ITER(hh, k->map, e, next)
	drop(k, e);
}

void
mf_known_free(struct mf_known *k)
{
	if (k == NULL)
		return;
	mf_known_clear(k);
	free(k);
}

size_t
mf_known_count(const struct mf_known *k)
{
	return HASH_COUNT(k->map);
}

static const Mayfly__Roles__V1__Caller *
caller(const struct entry *e)
{
	return (const void *)e->msg;
}

void
mf_known_forget(struct mf_known *k, uint64_t handle)
{
	struct entry *e, *next;
	HASH_ITER(hh, k->map, e, next)
	if (caller(e)->handle == handle)
		drop(k, e);
}

static struct entry *
find(struct mf_known *k, bool cgroup, uint64_t id)
{
	struct entry *e = NULL, want;
	memset(&want, 0, sizeof(want));
	want.key.cgroup = cgroup ? 1 : 0;
	want.key.id = id;
	HASH_FIND(hh, k->map, &want.key, sizeof(want.key), e);
	return e;
}

/* The groups that the attestor told are those of the look: one selector each. */
static bool
same_as_told(const struct mf_known_look *l, const Mayfly__Roles__V1__Caller *m)
{
	size_t told = 0;
	for (size_t i = 0; i < m->n_selectors; i++)
		told += strncmp(m->selectors[i], "unix.sup_gid:", 13) == 0;
	for (size_t g = 0; g < l->n_groups; g++) {
		char want[32];
		bool found = false;
		(void)snprintf(want, sizeof(want), "unix.sup_gid:%u", l->groups[g]);
		for (size_t i = 0; i < m->n_selectors && !found; i++)
			found = strcmp(m->selectors[i], want) == 0;
		if (!found)
			return false;
	}
	return told == l->n_groups;
}

static ProtobufCMessage *
copy(const Mayfly__Roles__V1__Caller *m)
{
	ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	if (mf_pb_pack(&m->base, &b, NULL) != MF_OK ||
	    mf_pb_unpack(&mayfly__roles__v1__caller__descriptor, mf_buf_slice(&b), &msg, NULL) != MF_OK)
		return NULL;
	return msg;
}

static void
add(struct mf_known *k, bool cgroup, uint64_t id, const struct mf_known_look *look,
    const Mayfly__Roles__V1__Caller *m, uint64_t until_ms)
{
	struct entry *e = find(k, cgroup, id);
	if (e != NULL)
		drop(k, e);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return;
	e->key.cgroup = cgroup ? 1 : 0;
	e->key.id = id;
	e->look = *look;
	e->until_ms = until_ms;
	e->msg = copy(m);
	if (e->msg != NULL)
		HASH_ADD(hh, k->map, key, sizeof(e->key), e);
	if (e->msg == NULL || e->map_oom) {
		mf_pb_free(e->msg);
		free(e);
		return;
	}
	mf_list_add_tail(&k->order, &e->link);
	if (HASH_COUNT(k->map) > MF_KNOWN_MAX)
		drop(k, MF_LIST_ITEM(k->order.next, struct entry, link));
}

void
mf_known_learn(struct mf_known *k, const struct mf_known_look *look, const Mayfly__Roles__V1__Caller *m,
    uint64_t no_until_ms)
{
	if (m->sender || m->unavailable)
		return;
	if (!m->known) {
		add(k, false, look->inode, look, m, no_until_ms);
		return;
	}
	if (m->pidfs_inode != look->inode || m->caller_cgroup_id != look->cgroup_id || m->uid != look->uid ||
	    m->gid != look->gid || m->pid != look->pid || !same_as_told(look, m))
		return;
	add(k, false, look->inode, look, m, UINT64_MAX);
	if (m->cgroup_wide && m->cgroup_id == look->cgroup_id)
		add(k, true, look->cgroup_id, look, m, UINT64_MAX);
}

/* Everything but which process it is. */
static bool
same_ids(const struct mf_known_look *a, const struct mf_known_look *b)
{
	if (a->uid != b->uid || a->gid != b->gid || a->cgroup_id != b->cgroup_id ||
	    a->n_groups != b->n_groups)
		return false;
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i] != b->groups[i])
			return false;
	return true;
}

bool
mf_known_find(
    struct mf_known *k, const struct mf_known_look *look, uint64_t now_ms, Mayfly__Roles__V1__Caller *ret_m)
{
	struct entry *e = find(k, false, look->inode);
	if (e != NULL && (!same_ids(&e->look, look) || e->until_ms <= now_ms)) {
		drop(k, e);
		return false; /* it changed: what holds for its cgroup may not hold for it */
	}
	if (e == NULL)
		e = find(k, true, look->cgroup_id);
	if (e == NULL || !same_ids(&e->look, look))
		return false;
	mf_list_del(&e->link);
	mf_list_add_tail(&k->order, &e->link);
	*ret_m = *caller(e);
	ret_m->pid = look->pid;
	ret_m->pidfs_inode = look->inode;
	return true;
}
