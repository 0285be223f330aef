/*
 * place: what the path of a cgroup tells about who is in it (attestation.md 3a, 5, 6). Pure.
 *
 * A path is taken apart from the front by a table of classifiers, first match wins. What decides is always a
 * directory that whoever is below it cannot have made; the names deeper down, which a job may choose, never change
 * what those before them said. A path that is not well-formed ("..", empty parts, too long) tells nothing.
 *
 * A classifier is a const table, one file each (place_*.c); all pass one conformance test
 * (tests/unit/test_place.c). What it says are facts, "key:value" selectors made of parts of the path. Below a
 * directory that belongs to a user (user@U.service) that user chose the names: there every value carries the owner,
 * "user@U.service/NAME", so that it never equals what root's directories say.
 * Thread rule: no state, call from anywhere.
 */
#ifndef MF_ATTESTOR_PLACE_H
#define MF_ATTESTOR_PLACE_H
#include "base/buf.h"

#define MF_PLACE_FACTS_MAX 6u

enum mf_cgroup_use {
	MF_CGROUP_SHARED, /* says nothing about whose work is in it */
	MF_CGROUP_OWN,	  /* of one job, as far as its place tells */
	MF_CGROUP_OURS,	  /* below our base: made for a `mayfly run` */
};

struct mf_place_fact {
	const char *key;       /* a literal: "systemd.unit" */
	struct mf_slice owner; /* empty, or "user@U.service" */
	struct mf_slice value; /* a part of the path, or a literal: any bytes but '/' and NUL */
	bool dashes;	       /* it is told with '-' for '_': systemd's slices spell a pod's UID so */
};

struct mf_place_env {
	struct mf_slice own;  /* the agent's own cgroup; empty: not known */
	struct mf_slice base; /* directory of our jobs; empty: none */
	/* Whether root's runc knows a container of this name; NULL: no runc here. ${name} is one part of a path. */
	bool (*runc_has)(void *ctx, struct mf_slice name);
	void *ctx;
};

struct mf_classifier;
struct mf_place {
	const struct mf_classifier *by; /* NULL: the path is not well-formed, or holds the agent itself */
	enum mf_cgroup_use use;
	size_t prefix;	  /* so much of the path names the cgroup that is the instance; 0 when SHARED */
	bool interactive; /* who is here came from outside to look: Slurm's extern step */
	struct mf_place_fact facts[MF_PLACE_FACTS_MAX];
	size_t n_facts;
};

struct mf_classifier {
	const char *name;	      /* unique */
	const char *summary;	      /* for docs: what is recognised */
	const char *const *selectors; /* every key that match may say; NULL ends */
	bool leaf; /* the instance is the caller's own cgroup, however deep: only the last one */
	/*
	 * True when the place is of this kind: ret_p->use, prefix, interactive and facts are filled. ${path} is
	 * well-formed (mf_cgroup_path_ok), not "/" and holds no agent. False leaves *ret_p as it was.
	 */
	bool (*match)(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p);
};
/* In the order in which they are asked; the last one takes everything. NULL ends. */
extern const struct mf_classifier *const mf_classifiers[];

/* What ${path} (of the cgroup2 hierarchy, any bytes) tells. *ret_p points into ${path}. */
void mf_place_of(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p);
/* "key:value" of one fact; false when it is no plain UTF-8 or too long for a selector: then nothing is put. */
bool mf_place_fact_put(struct mf_buf *to, const struct mf_place_fact *f);

/* ---- for classifiers ---- */
/* The part of ${path} after the first ${*at} bytes; *at moves behind it. Empty at the end. */
struct mf_slice mf_place_part(struct mf_slice path, size_t *at);
bool mf_place_ends(struct mf_slice s, const char *tail);
/* ${len} letters of 0-9a-f at ${s}, and nothing else. */
bool mf_place_hex(struct mf_slice s, size_t len);
/* A decimal number without leading zeros, at most 10 digits. */
bool mf_place_decimal(struct mf_slice s);
/* Take "user.slice/user-U.slice/user@U.service" from the front: *ret_owner is its last part, *at is behind it. */
bool mf_place_user_manager(struct mf_slice path, size_t *at, struct mf_slice *ret_owner);
void mf_place_say(struct mf_place *p, const char *key, struct mf_slice owner, struct mf_slice value);

extern const struct mf_classifier mf_place_run, mf_place_slurm, mf_place_container, mf_place_runc,
    mf_place_systemd, mf_place_plain;
#endif
