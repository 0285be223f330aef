#include "broker/keys/jwt_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/text.h"
#include "broker/keys/sealed.h"
#include "os/secure_file.h"

#define NAME_MAX_BYTES MF_JWT_FILE_NAME
#define JWK_MAX 2048u

struct mf_jwt_keys {
	struct mf_list sets[MF_JWT_SETS]; /* struct mf_jwt_key.at, by number */
};

static const char *const set_names[MF_JWT_SETS] = {
	[MF_JWT_SVID] = "svid",
	[MF_JWT_ASSERTION] = "assertion",
	[MF_JWT_SELFSERVE] = "selfserve",
};

static const struct {
	const char *use;
	enum mf_jwt_set set;
	enum mf_jws_alg alg;
	bool needed; /* by every broker */
} uses[] = {
	{ "jwt-svid-es256", MF_JWT_SVID, MF_JWS_ES256, true },
	/* Made with the others and not when a profile first asks for RS256: a key is published before its first use. */
	{ "jwt-svid-rs256", MF_JWT_SVID, MF_JWS_RS256, true },
	{ "jwt-assertion-es256", MF_JWT_ASSERTION, MF_JWS_ES256, true },
	{ "jwt-assertion-rs256", MF_JWT_ASSERTION, MF_JWS_RS256, true },
	{ "jwt-selfserve-es256", MF_JWT_SELFSERVE, MF_JWS_ES256, true },
	{ "jwt-selfserve-rs256", MF_JWT_SELFSERVE, MF_JWS_RS256, false },
};

bool
mf_jwt_use(const char *use, enum mf_jwt_set *ret_set, enum mf_jws_alg *ret_alg, bool *ret_needed)
{
	for (size_t i = 0; i < MF_COUNT(uses); i++) {
		if (strcmp(uses[i].use, use) != 0)
			continue;
		*ret_set = uses[i].set;
		*ret_alg = uses[i].alg;
		*ret_needed = uses[i].needed;
		return true;
	}
	return false;
}

enum mf_status
mf_jwt_keys_new(struct mf_jwt_keys **ret_keys, struct mf_err *err)
{
	struct mf_jwt_keys *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwt keys: out of memory");
	for (size_t i = 0; i < MF_JWT_SETS; i++)
		mf_list_init(&k->sets[i]);
	*ret_keys = k;
	return MF_OK;
}

static void
key_free(struct mf_jwt_key *k)
{
	mf_list_del(&k->at);
	mf_jws_key_free(k->key);
	mf_buf_fini(&k->jwk);
	free(k);
}

void
mf_jwt_keys_free(struct mf_jwt_keys *keys)
{
	if (keys == NULL)
		return;
	for (size_t i = 0; i < MF_JWT_SETS; i++)
		MF_LIST_EACH(p, &keys->sets[i])
	key_free(MF_LIST_ITEM(p, struct mf_jwt_key, at));
	free(keys);
}

static struct mf_jwt_key *
find(const struct mf_jwt_keys *keys, enum mf_jwt_set set, struct mf_slice kid)
{
	MF_LIST_EACH(p, &keys->sets[set])
	{
		struct mf_jwt_key *k = MF_LIST_ITEM(p, struct mf_jwt_key, at);
		if (mf_slice_eq_str(kid, k->kid))
			return k;
	}
	return NULL;
}

const struct mf_jwt_key *
mf_jwt_keys_find(const struct mf_jwt_keys *keys, enum mf_jwt_set set, struct mf_slice kid)
{
	return find(keys, set, kid);
}

const struct mf_jwt_key *
mf_jwt_keys_next(const struct mf_jwt_keys *keys, enum mf_jwt_set set, const struct mf_jwt_key *after)
{
	struct mf_list *p = after == NULL ? keys->sets[set].next : after->at.next;
	return p == &keys->sets[set] ? NULL : MF_LIST_ITEM(p, struct mf_jwt_key, at);
}

/* Takes ${key}. The list stays in the order of the numbers. */
static enum mf_status
insert(struct mf_jwt_keys *keys, enum mf_jwt_set set, uint32_t number, struct mf_jws_key **key,
    struct mf_jwt_key **ret_k, struct mf_err *err)
{
	if (find(keys, set, mf_slice_str(mf_jws_key_kid(*key))) != NULL)
		return MF_FAIL(
		    err, MF_E_CORRUPT, "jwt keys: two files of %s hold the same key", set_names[set]);
	struct mf_jwt_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "jwt keys: out of memory");
	mf_buf_init(&k->jwk, JWK_MAX);
	mf_jws_key_put_jwk(*key, &k->jwk);
	if (mf_buf_check(&k->jwk, err) != MF_OK) {
		mf_buf_fini(&k->jwk);
		free(k);
		return MF_E_NOMEM;
	}
	k->key = MF_TAKE(*key);
	k->kid = mf_jws_key_kid(k->key);
	k->alg = mf_jws_key_alg(k->key);
	k->number = number;
	struct mf_list *before = &keys->sets[set];
	MF_LIST_EACH(p, &keys->sets[set])
	if (before == &keys->sets[set] && MF_LIST_ITEM(p, struct mf_jwt_key, at)->number > number)
		before = p;
	mf_list_init(&k->at);
	mf_list_add_tail(before, &k->at);
	*ret_k = k;
	return MF_OK;
}

enum mf_status
mf_jwt_keys_number(
    const struct mf_jwt_keys *keys, enum mf_jwt_set set, uint32_t *ret_number, struct mf_err *err)
{
	uint32_t number = 1;
	if (!mf_list_empty(&keys->sets[set]))
		number = MF_LIST_ITEM(keys->sets[set].prev, struct mf_jwt_key, at)->number + 1;
	if (number > MF_LIM_KEY_NUMBER)
		return MF_FAIL(
		    err, MF_E_EXHAUSTED, "jwt keys: no number is left in the set %s", set_names[set]);
	*ret_number = number;
	return MF_OK;
}

enum mf_status
mf_jwt_keys_take(struct mf_jwt_keys *keys, enum mf_jwt_set set, uint32_t number, struct mf_jws_key **key,
    struct mf_err *err)
{
	struct mf_jwt_key *k;
	MF_TRY(insert(keys, set, number, key, &k, err));
	k->stored = true;
	return MF_OK;
}

/* Not one whose id begins like an option: people type it. */
static enum mf_status
generate(enum mf_jws_alg alg, struct mf_jws_key **ret_key, struct mf_err *err)
{
	struct mf_jws_key *key = NULL;
	MF_TRY(mf_jws_key_generate(alg, &key, err));
	while (mf_jws_key_kid(key)[0] == '-') {
		mf_jws_key_free(MF_TAKE(key));
		MF_TRY(mf_jws_key_generate(alg, &key, err));
	}
	*ret_key = key;
	return MF_OK;
}

enum mf_status
mf_jwt_keys_add(struct mf_jwt_keys *keys, enum mf_jwt_set set, enum mf_jws_alg alg,
    const struct mf_jwt_key **ret_key, struct mf_err *err)
{
	uint32_t number;
	struct mf_jwt_key *k;
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *key = NULL;
	MF_TRY(mf_jwt_keys_number(keys, set, &number, err));
	MF_TRY(generate(alg, &key, err));
	MF_TRY(insert(keys, set, number, &key, &k, err));
	*ret_key = k;
	return MF_OK;
}

enum mf_status
mf_jwt_keys_make_needed(struct mf_jwt_keys *keys, struct mf_err *err)
{
	const struct mf_jwt_key *k;
	for (size_t i = 0; i < MF_COUNT(uses); i++)
		if (uses[i].needed)
			MF_TRY(mf_jwt_keys_add(keys, uses[i].set, uses[i].alg, &k, err));
	return MF_OK;
}

/* ---- files ---- */

static void
file_name(enum mf_jwt_set set, uint32_t number, char to[NAME_MAX_BYTES])
{
	(void)snprintf(to, NAME_MAX_BYTES, "jwt-%s.%u.key", set_names[set], number);
}

void
mf_jwt_key_file(enum mf_jwt_set set, const struct mf_jwt_key *k, char to[MF_JWT_FILE_NAME])
{
	file_name(set, k->number, to);
}

static void
purpose_of(enum mf_jwt_set set, char to[NAME_MAX_BYTES])
{
	(void)snprintf(to, NAME_MAX_BYTES, "jwt-%s", set_names[set]);
}

enum mf_status
mf_jwt_keys_remove(
    struct mf_jwt_keys *keys, enum mf_jwt_set set, const char *kid, int keys_dirfd, struct mf_err *err)
{
	char name[NAME_MAX_BYTES];
	struct mf_jwt_key *k = find(keys, set, mf_slice_str(kid));
	if (k == NULL)
		return MF_OK;
	file_name(set, k->number, name);
	MF_TRY(mf_file_remove(keys_dirfd, name, err));
	key_free(k);
	return MF_OK;
}

static enum mf_status
write_one(const struct mf_jws_key *key, enum mf_jwt_set set, uint32_t number, const char *broker_id,
    struct mf_kek *kek, int keys_dirfd, struct mf_err *err)
{
	char name[NAME_MAX_BYTES], purpose[NAME_MAX_BYTES];
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	file_name(set, number, name);
	purpose_of(set, purpose);
	MF_TRY(mf_jws_key_to_pkcs8(key, &der, err));
	return mf_sealed_write(keys_dirfd, name, kek, purpose, broker_id, mf_secret_slice(der), err);
}

enum mf_status
mf_jwt_key_make(const struct mf_jwt_order *o, const char *broker_id, struct mf_kek *kek, int keys_dirfd,
    struct mf_jws_key **ret_key, struct mf_err *err)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *key = NULL;
	MF_TRY(generate(o->alg, &key, err));
	MF_TRY(write_one(key, o->set, o->number, broker_id, kek, keys_dirfd, err));
	*ret_key = MF_TAKE(key);
	return MF_OK;
}

enum mf_status
mf_jwt_keys_save(
    struct mf_jwt_keys *keys, const char *broker_id, struct mf_kek *kek, int keys_dirfd, struct mf_err *err)
{
	for (unsigned set = 0; set < MF_JWT_SETS; set++) {
		MF_LIST_EACH(p, &keys->sets[set])
		{
			struct mf_jwt_key *k = MF_LIST_ITEM(p, struct mf_jwt_key, at);
			if (k->stored)
				continue;
			MF_TRY(write_one(
			    k->key, (enum mf_jwt_set)set, k->number, broker_id, kek, keys_dirfd, err));
			k->stored = true;
		}
	}
	return MF_OK;
}

/* jwt-<set>.<number>.key, in the one spelling that file_name gives. */
static bool
parse_name(const char *name, enum mf_jwt_set *ret_set, uint32_t *ret_number)
{
	const char *dot = strchr(name, '.');
	if (dot == NULL)
		return false;
	for (unsigned set = 0; set < MF_JWT_SETS; set++) {
		char want[NAME_MAX_BYTES];
		uint64_t n;
		size_t digits = strspn(dot + 1, "0123456789");
		if (!mf_parse_u64(mf_slice(dot + 1, digits), &n) || n == 0 || n > MF_LIM_KEY_NUMBER)
			return false;
		file_name((enum mf_jwt_set)set, (uint32_t)n, want);
		if (strcmp(want, name) != 0)
			continue;
		*ret_set = (enum mf_jwt_set)set;
		*ret_number = (uint32_t)n;
		return true;
	}
	return false;
}

static enum mf_status
load_one(struct mf_jwt_keys *keys, const char *name, const char *broker_id, struct mf_kek *kek,
    int keys_dirfd, struct mf_err *err)
{
	enum mf_jwt_set set;
	uint32_t number;
	char purpose[NAME_MAX_BYTES];
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *key = NULL;
	if (!parse_name(name, &set, &number))
		return MF_OK; /* another kind of key */
	purpose_of(set, purpose);
	MF_TRY(mf_sealed_read(keys_dirfd, name, kek, purpose, broker_id, &der, err));
	MF_TRY(mf_jws_key_from_pkcs8(mf_secret_slice(der), &key, err));
	return mf_jwt_keys_take(keys, set, number, &key, err);
}

static void
close_dir(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

enum mf_status
mf_jwt_keys_load(const char *broker_id, struct mf_kek *kek, int keys_dirfd, struct mf_jwt_keys **ret_keys,
    struct mf_err *err)
{
	MF_AUTO(mf_jwt_keys_free) struct mf_jwt_keys *keys = NULL;
	MF_TRY(mf_jwt_keys_new(&keys, err));
	int fd = openat(keys_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MF_AUTO_IN(close_dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (d == NULL) {
		int e = errno;
		if (fd >= 0)
			(void)close(fd);
		return MF_FAIL(err, MF_E_IO, "keys: the directory cannot be read (errno %d)", e);
	}
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(d);
		if (e == NULL && errno != 0)
			return MF_FAIL(err, MF_E_IO, "keys: the directory cannot be read (errno %d)", errno);
		if (e == NULL)
			break;
		MF_TRY(load_one(keys, e->d_name, broker_id, kek, keys_dirfd, err));
	}
	*ret_keys = MF_TAKE(keys);
	return MF_OK;
}
