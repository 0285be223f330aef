/*
 * place_container: containers of Docker, Podman and the Kubernetes runtimes, which name the cgroup by the container's
 * 64 hexadecimal digits (attestation.md 3a). The instance is the container's cgroup, whatever is made below it.
 *
 *   /docker/<CID>                                     Docker, cgroupfs driver
 *   /system.slice/docker-<CID>.scope                  Docker, systemd driver
 *   /libpod_parent/libpod-<CID>                       Podman, cgroupfs
 *   /machine.slice/libpod-<CID>.scope                 Podman, systemd
 *   /kubepods[/burstable|/besteffort]/pod<UID>/<CID>  Kubernetes, cgroupfs driver
 *   /kubepods.slice[/kubepods-QOS.slice]/kubepods-[QOS-]pod<UID>.slice/(cri-containerd|crio|docker)-<CID>.scope
 *   /kubepods-[QOS-]pod<UID>.slice:cri-containerd:<CID>   cgroupfs path under the systemd driver
 *   /user.slice/user-U.slice/user@U.service/user.slice/(libpod|docker)-<CID>.scope   rootless
 *
 * conmon, the monitor of a container, is in a cgroup like the container's and is none.
 */
#include "agent/attestor/place.h"

#define CID 64u

static const struct {
	const char *prefix, *runtime; /* of "<prefix>-<CID>.scope" */
} scopes[] = {
	{ "docker", "docker" },
	{ "libpod", "podman" },
	{ "cri-containerd", "containerd" },
	{ "crio", "cri-o" },
};

static void
say(struct mf_place *p, size_t prefix, struct mf_slice owner, const char *runtime, struct mf_slice id)
{
	p->use = MF_CGROUP_OWN;
	p->prefix = prefix;
	mf_place_say(p, "container.runtime", owner, mf_slice_str(runtime));
	mf_place_say(p, "container.id", owner, id);
}

/* "<prefix>-<CID>.scope", or without ".scope" where ${bare}. NULL: it is not. */
static const char *
scope_runtime(struct mf_slice part, bool bare, struct mf_slice *ret_id)
{
	if (mf_place_ends(part, ".scope"))
		part = mf_slice_sub(part, 0, part.n - 6);
	else if (!bare)
		return NULL;
	for (size_t i = 0; i < MF_COUNT(scopes); i++) {
		size_t n = strlen(scopes[i].prefix);
		if (part.n != n + 1 + CID || !mf_slice_starts(part, mf_slice_str(scopes[i].prefix)) ||
		    part.p[n] != '-' || !mf_place_hex(mf_slice_sub(part, n + 1, CID), CID))
			continue;
		*ret_id = mf_slice_sub(part, n + 1, CID);
		return scopes[i].runtime;
	}
	return NULL;
}

static bool
is_monitor(struct mf_slice part)
{
	return mf_slice_starts(part, MF_SLICE_LIT("crio-conmon-")) ||
	       mf_slice_starts(part, MF_SLICE_LIT("libpod-conmon-"));
}

/* 8-4-4-4-12 digits parted by ${dash}, or the 32 of a static pod. */
static bool
is_pod_uid(struct mf_slice s, char dash)
{
	if (s.n == 32)
		return mf_place_hex(s, 32);
	if (s.n != 36)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool at_dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (at_dash ? s.p[i] != (uint8_t)dash : !mf_place_hex(mf_slice_sub(s, i, 1), 1))
			return false;
	}
	return true;
}

static bool
strip(struct mf_slice *s, struct mf_slice head)
{
	if (!mf_slice_starts(*s, head))
		return false;
	*s = mf_slice_sub(*s, head.n, s->n - head.n);
	return true;
}

/* The UID in "kubepods-[QOS-]pod<UID>", with '_' for '-'. */
static bool
slice_uid(struct mf_slice s, struct mf_slice *ret_uid)
{
	if (!strip(&s, MF_SLICE_LIT("kubepods-")))
		return false;
	if (!strip(&s, MF_SLICE_LIT("burstable-")))
		(void)strip(&s, MF_SLICE_LIT("besteffort-"));
	if (!strip(&s, MF_SLICE_LIT("pod")) || !is_pod_uid(s, '_'))
		return false;
	*ret_uid = s;
	return true;
}

static void
say_pod(struct mf_place *p, struct mf_slice uid)
{
	mf_place_say(p, "k8s.pod_uid", mf_slice_sub(uid, 0, 0), uid);
	p->facts[p->n_facts - 1].dashes = true;
}

/* /kubepods[/burstable|/besteffort]/pod<UID>/<CID> */
static bool
kubepods(struct mf_slice path, size_t at, struct mf_place *ret_p)
{
	struct mf_slice part = mf_place_part(path, &at), id;
	if (mf_slice_eq_str(part, "burstable") || mf_slice_eq_str(part, "besteffort"))
		part = mf_place_part(path, &at);
	if (!strip(&part, MF_SLICE_LIT("pod")) || !is_pod_uid(part, '-'))
		return true;
	id = mf_place_part(path, &at);
	if (mf_place_hex(id, CID)) {
		say(ret_p, at, mf_slice_sub(id, 0, 0), "cri", id);
		say_pod(ret_p, part);
	}
	return true;
}

/* /kubepods.slice[/kubepods-QOS.slice]/kubepods-[QOS-]pod<UID>.slice/RUNTIME-<CID>.scope */
static bool
kubepods_slice(struct mf_slice path, size_t at, struct mf_place *ret_p)
{
	struct mf_slice part = mf_place_part(path, &at), uid, id = MF_SLICE_LIT("");
	if (mf_slice_eq_str(part, "kubepods-burstable.slice") ||
	    mf_slice_eq_str(part, "kubepods-besteffort.slice"))
		part = mf_place_part(path, &at);
	if (!mf_place_ends(part, ".slice") || !slice_uid(mf_slice_sub(part, 0, part.n - 6), &uid))
		return true;
	part = mf_place_part(path, &at);
	const char *runtime = is_monitor(part) ? NULL : scope_runtime(part, false, &id);
	if (runtime != NULL) {
		say(ret_p, at, mf_slice_sub(id, 0, 0), runtime, id);
		say_pod(ret_p, uid);
	}
	return true;
}

/* "kubepods-[QOS-]pod<UID>.slice:cri-containerd:<CID>" in one part */
static bool
colons(struct mf_slice part, size_t at, struct mf_place *ret_p)
{
	const struct mf_slice mid = MF_SLICE_LIT(".slice:cri-containerd:");
	struct mf_slice uid, id;
	if (part.n < CID + mid.n)
		return false;
	size_t head = part.n - CID - mid.n;
	id = mf_slice_sub(part, head + mid.n, CID);
	if (!mf_slice_starts(mf_slice_sub(part, head, part.n - head), mid) || !mf_place_hex(id, CID) ||
	    !slice_uid(mf_slice_sub(part, 0, head), &uid))
		return false;
	say(ret_p, at, mf_slice_sub(id, 0, 0), "containerd", id);
	say_pod(ret_p, uid);
	return true;
}

/* Rootless: the user made the name, so the user stands in the value. */
static bool
rootless(struct mf_slice path, struct mf_place *ret_p)
{
	size_t at = 0;
	struct mf_slice owner, id;
	if (!mf_place_user_manager(path, &at, &owner) ||
	    !mf_slice_eq_str(mf_place_part(path, &at), "user.slice"))
		return false;
	struct mf_slice part = mf_place_part(path, &at);
	const char *runtime = scope_runtime(part, false, &id);
	if (runtime == NULL)
		return is_monitor(part);
	say(ret_p, at, owner, runtime, id);
	return true;
}

static bool
match(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p)
{
	MF_UNUSED(env);
	size_t at = 0;
	struct mf_slice first = mf_place_part(path, &at), id = MF_SLICE_LIT("");
	size_t end = at;
	if (mf_slice_eq_str(first, "kubepods"))
		return kubepods(path, at, ret_p);
	if (mf_slice_eq_str(first, "kubepods.slice"))
		return kubepods_slice(path, at, ret_p);
	if (mf_slice_eq_str(first, "user.slice"))
		return rootless(path, ret_p);
	if (colons(first, end, ret_p))
		return true;
	struct mf_slice second = mf_place_part(path, &at);
	if (mf_slice_eq_str(first, "docker") && mf_place_hex(second, CID)) {
		say(ret_p, at, mf_slice_sub(second, 0, 0), "docker", second);
		return true;
	}
	bool bare = mf_slice_eq_str(first, "libpod_parent");
	if (!bare && !mf_slice_eq_str(first, "system.slice") && !mf_slice_eq_str(first, "machine.slice"))
		return false;
	const char *runtime = is_monitor(second) ? NULL : scope_runtime(second, bare, &id);
	if (runtime == NULL)
		return is_monitor(second);
	say(ret_p, at, mf_slice_sub(id, 0, 0), runtime, id);
	return true;
}

static const char *const selectors[] = { "container.runtime", "container.id", "k8s.pod_uid", NULL };
const struct mf_classifier mf_place_container = {
	.name = "container",
	.summary = "a container of Docker, Podman, containerd or CRI-O, known by its 64 digits",
	.selectors = selectors,
	.match = match,
};
