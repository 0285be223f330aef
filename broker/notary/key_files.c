#include "broker/notary/key_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/jlog.h"

/* One key in the making. A worker has it until MF_CREW_DONE; nobody else looks at it meanwhile. */
struct job {
	struct mf_key_files *files;
	uint64_t ticket;
	const struct mf_key_use *use;
	int64_t nbf, exp, outlive;
	struct mf_upstream_ca_bytes *upstream; /* NULL: the CA certificate signs itself */
	struct mf_ca_key *key;		       /* of the CA */
	struct mf_jwt_order order;
	struct mf_jws_key *jwt; /* or of JWTs */
	struct mf_err err;
	bool ok, later;
};

struct mf_key_files {
	struct mf_ca_key_conf conf;
	struct mf_upstream_ca_fds upstream;
	struct mf_jwt_keys *jwt; /* not ours */
	struct mf_ca_key *first;
	struct job *job; /* NULL: none is made */
};

enum mf_status
mf_key_files_new(const struct mf_ca_key_conf *conf, const struct mf_upstream_ca_fds *upstream,
    struct mf_jwt_keys *jwt, struct mf_key_files **ret_f, struct mf_err *err)
{
	static const struct mf_upstream_ca_fds none = { MF_UPSTREAM_NONE, -1, -1, -1 };
	struct mf_key_files *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "keys: out of memory");
	f->conf = *conf;
	f->upstream = upstream == NULL ? none : *upstream;
	f->jwt = jwt;
	*ret_f = f;
	return MF_OK;
}

static void
job_free(struct job *j)
{
	if (j == NULL)
		return;
	mf_upstream_ca_bytes_free(j->upstream);
	mf_ca_key_free(j->key);
	mf_jws_key_free(j->jwt);
	free(j);
}

void
mf_key_files_free(struct mf_key_files *f)
{
	if (f == NULL)
		return;
	job_free(f->job);
	mf_ca_key_free(f->first);
	const int fds[] = { f->upstream.cert, f->upstream.key, f->upstream.bundle };
	for (size_t i = 0; i < MF_COUNT(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	free(f);
}

bool
mf_key_files_reload(struct mf_key_files *f, const char *name, int fd)
{
	int *to = strcmp(name, MF_UPSTREAM_CERT) == 0	  ? &f->upstream.cert
		  : strcmp(name, MF_UPSTREAM_KEY) == 0	  ? &f->upstream.key
		  : strcmp(name, MF_UPSTREAM_BUNDLE) == 0 ? &f->upstream.bundle
							  : NULL;
	if (to == NULL)
		return false;
	if (*to >= 0)
		(void)close(*to);
	*to = fd;
	return true;
}

static void
describe(const struct mf_ca_key *k, struct mf_key_made *to)
{
	to->ok = true;
	to->use = mf_key_use_find(MF_SLICE_LIT(MF_KEY_USE_X509));
	to->id = k->id;
	to->certificate = mf_buf_slice(&k->certificate);
	to->anchor = mf_buf_slice(&k->anchor);
	to->nbf = k->not_before_s;
	to->exp = k->not_after_s;
}

static void
describe_jwt(const struct mf_key_use *use, const struct mf_jwt_key *k, struct mf_key_made *to)
{
	to->ok = true;
	to->use = use;
	to->id = k->kid;
	to->jwk = mf_buf_slice(&k->jwk);
}

/* ---- the first of each use ---- */

/* One that is in the log already, but not active (a crash came between), else the oldest of its algorithm. */
static const struct mf_jwt_key *
first_jwt(const struct mf_key_files *f, const struct mf_state *st, enum mf_jwt_set set, enum mf_jws_alg alg)
{
	const struct mf_jwt_key *oldest = NULL;
	for (const struct mf_jwt_key *k = mf_jwt_keys_next(f->jwt, set, NULL); k != NULL;
	     k = mf_jwt_keys_next(f->jwt, set, k)) {
		if (k->alg != alg)
			continue;
		if (mf_state_key(st, mf_slice_str(k->kid)) != NULL)
			return k;
		oldest = oldest != NULL ? oldest : k;
	}
	return oldest;
}

static enum mf_status
need_jwt(struct mf_key_files *f, const struct mf_state *st, const struct mf_key_use *use,
    struct mf_key_made *ret_first, bool *ret_is, struct mf_err *err)
{
	enum mf_jwt_set set;
	enum mf_jws_alg alg;
	bool needed;
	*ret_is = mf_jwt_use(use->name, &set, &alg, &needed) && needed &&
		  mf_state_active_key(st, use->name) == NULL;
	if (!*ret_is)
		return MF_OK;
	const struct mf_jwt_key *k = first_jwt(f, st, set, alg);
	const struct mf_key *prepared = mf_state_prepared_key(st, use->name);
	if (prepared != NULL && (k == NULL || strcmp(k->kid, prepared->id) != 0))
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "the file of the first %s key, %s, is not in keys/: put it back from a backup", use->name,
		    prepared->id);
	if (k == NULL) {
		MF_TRY(mf_jwt_keys_add(f->jwt, set, alg, &k, err));
		MF_TRY(mf_jwt_keys_save(f->jwt, f->conf.broker_id, f->conf.kek, f->conf.keys_dirfd, err));
	}
	describe_jwt(use, k, ret_first);
	return MF_OK;
}

enum mf_status
mf_key_files_first(struct mf_key_files *f, const struct mf_state *st,
    struct mf_key_made ret_first[MF_KEY_USES], size_t *ret_n, struct mf_err *err)
{
	size_t n = 0;
	if (mf_state_active_key(st, MF_KEY_USE_X509) == NULL) {
		MF_TRY(mf_ca_key_first(&f->conf, &f->first, err));
		describe(f->first, &ret_first[n++]);
	}
	for (size_t i = 0; i < MF_KEY_USES; i++) {
		bool is;
		MF_TRY(need_jwt(f, st, mf_key_use_at(i), &ret_first[n], &is, err));
		n += is;
	}
	*ret_n = n;
	return MF_OK;
}

/* ---- the start ---- */

static enum mf_status
load_one(struct mf_key_files *f, struct mf_engine *e, struct mf_crew *c, const struct mf_key *k,
    struct mf_err *err)
{
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *key = NULL;
	enum mf_status s = mf_ca_key_load(&f->conf, mf_slice(k->certificate, k->certificate_n),
	    mf_slice(k->anchor, k->anchor_n), &key, err);
	if (s == MF_OK)
		return mf_crew_add_key(c, f->conf.trust_domain, key, err);
	if (k->state == MF_KEY_ACTIVE)
		return mf_err_wrap(err, s, "CA key %s, which signs (put back its file from a backup)", k->id);
	mf_jlog_err(MF_LOG_ERROR, "key.lost", "a prepared CA key cannot be used", err);
	mf_engine_key_lost(e, k->id);
	*err = (struct mf_err) { 0 };
	return MF_OK;
}

static const struct mf_jwt_key *
find_jwt(const struct mf_key_files *f, const struct mf_key *k)
{
	enum mf_jwt_set set;
	enum mf_jws_alg alg;
	bool needed;
	return mf_jwt_use(k->use->name, &set, &alg, &needed)
		   ? mf_jwt_keys_find(f->jwt, set, mf_slice_str(k->id))
		   : NULL;
}

/* Certificates are made without it; what it should sign is refused, with the cure, until another one is active. */
static void
lost_jwt(struct mf_engine *e, const struct mf_key *k)
{
	MF_LOG(MF_LOG_ERROR, "key.lost",
	    "a JWT key's file is not in keys/: put it back from a backup, or prepare and activate another",
	    mf_js("use", k->use->name), mf_js("key", k->id));
	mf_engine_key_lost(e, k->id);
}

enum mf_status
mf_key_files_load(struct mf_key_files *f, struct mf_engine *e, struct mf_crew *c, struct mf_err *err)
{
	const struct mf_state *st = mf_engine_state(e);
	if (f->first != NULL)
		MF_TRY(mf_crew_add_key(c, f->conf.trust_domain, f->first, err));
	for (const struct mf_key *k = mf_state_next_key(st, NULL); k != NULL; k = mf_state_next_key(st, k)) {
		if (k->state > MF_KEY_ACTIVE)
			continue;
		if (mf_key_use_is_x509(k->use))
			MF_TRY(load_one(f, e, c, k, err));
		else if (find_jwt(f, k) == NULL)
			lost_jwt(e, k);
	}
	return MF_OK;
}

struct mf_jws_key *
mf_key_files_assertion(const struct mf_key_files *f, const char *kid)
{
	const struct mf_jwt_key *k = mf_jwt_keys_find(f->jwt, MF_JWT_ASSERTION, mf_slice_str(kid));
	return k == NULL ? NULL : mf_jws_key_ref(k->key);
}

struct mf_jws_key *
mf_key_files_jwt(const struct mf_key_files *f, const char *kid)
{
	const struct mf_jwt_key *k = mf_jwt_keys_find(f->jwt, MF_JWT_SVID, mf_slice_str(kid));
	return k == NULL ? NULL : mf_jws_key_ref(k->key);
}

static void
orphan(const char *file)
{
	MF_LOG(MF_LOG_WARN, "key.orphan",
	    "a key file belongs to no key of the log: the broker died while the key was made or removed. "
	    "Nothing is signed with it and no document names it: remove it (unless the log is an older copy: "
	    "then put back the newest one)",
	    mf_js("file", file));
}

static bool
is_named(const struct mf_state *st, const char *id)
{
	const struct mf_key *k = mf_state_key(st, mf_slice_str(id));
	return k != NULL && k->state != MF_KEY_GONE;
}

struct looking {
	const struct mf_state *st;
};

static void
orphan_ca(void *ctx, const char *file, const char *id)
{
	const struct looking *l = ctx;
	if (!is_named(l->st, id))
		orphan(file);
}

void
mf_key_files_orphans(const struct mf_key_files *f, const struct mf_state *st)
{
	char name[MF_JWT_FILE_NAME];
	struct mf_err err = { 0 };
	struct looking l = { st };
	for (unsigned set = 0; set < MF_JWT_SETS; set++)
		for (const struct mf_jwt_key *k = mf_jwt_keys_next(f->jwt, (enum mf_jwt_set)set, NULL);
		     k != NULL; k = mf_jwt_keys_next(f->jwt, (enum mf_jwt_set)set, k)) {
			mf_jwt_key_file((enum mf_jwt_set)set, k, name);
			if (!is_named(st, k->kid))
				orphan(name);
		}
	if (mf_ca_key_each_file(&f->conf, orphan_ca, &l, &err) != MF_OK)
		mf_jlog_err(MF_LOG_WARN, "key.orphan", "keys/ cannot be looked through", &err);
}

/* ---- making ---- */

/*
 * Under the upstream CA as its files are now. The schedule wants more than another key: one that ends no later than the active
 * one would be succeeded at once, again and again.
 */
static enum mf_status
make_under(struct job *j)
{
	const struct mf_ca_key_conf *conf = &j->files->conf;
	MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *up = NULL;
	MF_TRY(
	    mf_upstream_ca_judge(j->upstream, conf->trust_domain, mf_now().wall_us / 1000000, &up, &j->err));
	j->later = mf_upstream_ca_not_after_s(up) <= j->outlive;
	if (j->later)
		return MF_FAIL(&j->err, MF_E_STATE,
		    "the upstream CA's certificates end in %lld s, and so would a new key's: renew them, and "
		    "reload "
		    "(SIGHUP)",
		    (long long)(mf_upstream_ca_not_after_s(up) - mf_now().wall_us / 1000000));
	return mf_ca_key_make_under(up, conf->trust_domain, j->nbf, j->exp, &j->key, &j->err);
}

/* In a worker. The file is whole and synced when this returns: only then comes the record that names it. */
static void
make(void *arg, struct mf_jwt_signer *signers)
{
	struct job *j = arg;
	MF_UNUSED(signers);
	const struct mf_ca_key_conf *conf = &j->files->conf;
	enum mf_status s;
	if (!mf_key_use_is_x509(j->use)) {
		s = mf_jwt_key_make(
		    &j->order, conf->broker_id, conf->kek, conf->keys_dirfd, &j->jwt, &j->err);
	} else {
		s = j->upstream != NULL
			? make_under(j)
			: mf_ca_key_make(conf->trust_domain, j->nbf, j->exp, &j->key, &j->err);
		mf_upstream_ca_bytes_free(MF_TAKE(j->upstream));
		if (s == MF_OK)
			s = mf_ca_key_save(conf, j->key, &j->err);
	}
	j->ok = s == MF_OK;
}

/* What cannot be made is answered like what could not: with its reason. */
static void
refuse(void *arg, struct mf_jwt_signer *signers)
{
	MF_UNUSED(arg);
	MF_UNUSED(signers);
}

void
mf_key_files_make(struct mf_key_files *f, struct mf_crew *c, const struct mf_key_order *order)
{
	struct job *j = calloc(1, sizeof(*j));
	bool needed, ok = true;
	if (j == NULL || f->job != NULL)
		abort(); /* an order without answer would block every later one: start over instead */
	j->files = f;
	j->ticket = order->ticket;
	j->use = order->use;
	j->nbf = order->nbf;
	j->exp = order->exp;
	j->outlive = order->outlive;
	if (mf_key_use_is_x509(order->use) && f->upstream.kind != MF_UPSTREAM_NONE)
		ok = mf_upstream_ca_read(&f->upstream, &j->upstream, &j->err) == MF_OK;
	if (mf_jwt_use(order->use->name, &j->order.set, &j->order.alg, &needed))
		ok = mf_jwt_keys_number(f->jwt, j->order.set, &j->order.number, &j->err) == MF_OK;
	f->job = j;
	mf_crew_errand(c, ok ? make : refuse, j);
}

static enum mf_status
take(struct mf_key_files *f, struct mf_crew *c, struct job *j, struct mf_key_made *made)
{
	if (mf_key_use_is_x509(j->use)) {
		MF_TRY(mf_crew_add_key(c, f->conf.trust_domain, j->key, &j->err));
		describe(j->key, made);
		return MF_OK;
	}
	char kid[MF_KEY_ID_MAX];
	(void)snprintf(kid, sizeof(kid), "%s", mf_jws_key_kid(j->jwt));
	MF_TRY(mf_jwt_keys_take(f->jwt, j->order.set, j->order.number, &j->jwt, &j->err));
	describe_jwt(j->use, mf_jwt_keys_find(f->jwt, j->order.set, mf_slice_str(kid)), made);
	return MF_OK;
}

void
mf_key_files_done(struct mf_key_files *f, struct mf_crew *c, struct mf_engine *e, void *arg)
{
	struct job *j = arg;
	struct mf_key_made made = { .ticket = j->ticket };
	if (j != f->job)
		return;
	f->job = NULL;
	if (j->ok)
		j->ok = take(f, c, j, &made) == MF_OK;
	made.ok = j->ok;
	made.later = j->later;
	made.why = j->err.msg;
	mf_engine_key_made(e, mf_now(), &made);
	job_free(j);
}

void
mf_key_files_forget(struct mf_key_files *f, struct mf_crew *c, const char *use, const char *id)
{
	struct mf_err err = { 0 };
	enum mf_jwt_set set;
	enum mf_jws_alg alg;
	bool needed, jwt = mf_jwt_use(use, &set, &alg, &needed);
	if (!jwt)
		mf_crew_drop_key(c, id);
	if ((jwt ? mf_jwt_keys_remove(f->jwt, set, id, f->conf.keys_dirfd, &err)
		 : mf_ca_key_remove(&f->conf, id, &err)) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "key.not_removed",
		    "the file of a key that is gone stays: remove it, or let the next start do it", &err);
}
