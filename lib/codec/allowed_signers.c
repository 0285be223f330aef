#include "codec/allowed_signers.h"

#include <stdlib.h>

#include "base/text.h"
#include "codec/sshsig.h"

#define PERSON_MAX 128u

struct signer {
	char person[PERSON_MAX + 1];
	uint8_t *blob;
	size_t blob_n;
	int64_t after_s, before_s; /* [after, before) */
};

struct mf_signers {
	size_t n;
	struct signer v[MF_LIM_SIGNERS];
};

void
mf_signers_free(struct mf_signers *s)
{
	for (size_t i = 0; s != NULL && i < s->n; i++)
		free(s->v[i].blob);
	free(s);
}

/* ---- a line ---- */

/* Up to the next blank outside of quotes; *${rest} then starts behind the blanks. */
static struct mf_slice
word(struct mf_slice *rest)
{
	size_t n = 0;
	bool quoted = false;
	while (n < rest->n && (quoted || (rest->p[n] != ' ' && rest->p[n] != '\t'))) {
		quoted = rest->p[n] == '"' ? !quoted : quoted;
		n++;
	}
	struct mf_slice w = mf_slice_sub(*rest, 0, n);
	while (n < rest->n && (rest->p[n] == ' ' || rest->p[n] == '\t'))
		n++;
	*rest = mf_slice_sub(*rest, n, rest->n);
	return w;
}

static bool
person_ok(struct mf_slice p)
{
	for (size_t i = 0; i < p.n; i++) {
		uint8_t c = p.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == 0 || strchr("@._+-", c) == NULL))
			return false;
	}
	return p.n > 0 && p.n <= PERSON_MAX;
}

static bool
digits(struct mf_slice s, size_t from, size_t n, int *ret_v)
{
	uint64_t v = 0;
	for (size_t i = from; i < from + n; i++) {
		if (i >= s.n || s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*ret_v = (int)v;
	return true;
}

/* Days since 1970 of a day of the Gregorian calendar; false when there is no such day. */
static bool
day_number(int y, int m, int d, int64_t *ret_days)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	if (y < 1970 || y > 9999 || m < 1 || m > 12 || d < 1)
		return false;
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	if (d > lengths[m - 1] + (m == 2 && leap))
		return false;
	int64_t days = 0;
	for (int i = 1970; i < y; i++)
		days += 365 + ((i % 4 == 0 && i % 100 != 0) || i % 400 == 0);
	for (int i = 1; i < m; i++)
		days += lengths[i - 1] + (i == 2 && leap);
	*ret_days = days + d - 1;
	return true;
}

/* YYYYMMDDZ, YYYYMMDDHHMMZ, YYYYMMDDHHMMSSZ */
static bool
read_date(struct mf_slice v, int64_t *ret_s)
{
	int y, mo, d, h = 0, mi = 0, s = 0;
	int64_t days;
	if ((v.n != 9 && v.n != 13 && v.n != 15) || v.p[v.n - 1] != 'Z' || !digits(v, 0, 4, &y) ||
	    !digits(v, 4, 2, &mo) || !digits(v, 6, 2, &d) || (v.n >= 13 && !digits(v, 8, 2, &h)) ||
	    (v.n >= 13 && !digits(v, 10, 2, &mi)) || (v.n == 15 && !digits(v, 12, 2, &s)) ||
	    !day_number(y, mo, d, &days) || h > 23 || mi > 59 || s > 59)
		return false;
	*ret_s = days * 86400 + h * 3600 + mi * 60 + s;
	return true;
}

/* "a,b" holds ${name}. */
static bool
list_has(struct mf_slice list, const char *name)
{
	while (list.n > 0) {
		size_t n = 0;
		while (n < list.n && list.p[n] != ',')
			n++;
		if (mf_slice_eq_str(mf_slice_sub(list, 0, n), name))
			return true;
		list = mf_slice_sub(list, n + 1, list.n);
	}
	return false;
}

/* One option; *${wanted} becomes false when the line is for another namespace. */
static const char *
take_option(struct mf_slice o, const char *name_space, struct signer *s, bool *wanted)
{
	size_t eq = 0;
	while (eq < o.n && o.p[eq] != '=')
		eq++;
	struct mf_slice key = mf_slice_sub(o, 0, eq), v = mf_slice_sub(o, eq + 1, o.n);
	if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
		v = mf_slice_sub(v, 1, v.n - 2);
	if (mf_slice_eq_str(key, "cert-authority"))
		return "cert-authority does not count here: list each person's key";
	if (mf_slice_eq_str(key, "namespaces")) {
		*wanted = *wanted && list_has(v, name_space);
		return NULL;
	}
	bool after = mf_slice_eq_str(key, "valid-after");
	if (after || mf_slice_eq_str(key, "valid-before"))
		return read_date(v, after ? &s->after_s : &s->before_s)
			   ? NULL
			   : "dates are in UTC: \"20271231Z\" or \"202712312359Z\"";
	return "unknown option: namespaces, valid-after and valid-before count";
}

static const char *
take_options(struct mf_slice all, const char *name_space, struct signer *s, bool *wanted)
{
	while (all.n > 0) {
		size_t n = 0;
		bool quoted = false;
		while (n < all.n && (quoted || all.p[n] != ',')) {
			quoted = all.p[n] == '"' ? !quoted : quoted;
			n++;
		}
		const char *why = take_option(mf_slice_sub(all, 0, n), name_space, s, wanted);
		if (why != NULL)
			return why;
		all = mf_slice_sub(all, n + 1, all.n);
	}
	return NULL;
}

static bool
is_key_type(struct mf_slice w)
{
	return mf_slice_starts(w, MF_SLICE_LIT("ssh-")) || mf_slice_starts(w, MF_SLICE_LIT("ecdsa-")) ||
	       mf_slice_starts(w, MF_SLICE_LIT("sk-"));
}

/* NULL, or what is wrong. ${blob} is initialised. */
static const char *
take_line(struct mf_slice l, const char *name_space, struct signer *s, struct mf_buf *blob, bool *wanted)
{
	struct mf_ssh_key key;
	struct mf_err err = { 0 };
	struct mf_slice person = word(&l), w = word(&l);
	s->after_s = INT64_MIN;
	s->before_s = INT64_MAX;
	if (!person_ok(person))
		return "name one person (letters, digits and @ . _ + -), no list and no pattern";
	memcpy(s->person, person.p, person.n);
	s->person[person.n] = '\0';
	if (!is_key_type(w)) {
		const char *why = take_options(w, name_space, s, wanted);
		if (why != NULL)
			return why;
		w = word(&l);
	}
	if (mf_base64_get(word(&l), blob, &err) != MF_OK ||
	    mf_ssh_key_parse(mf_buf_slice(blob), &key, &err) != MF_OK)
		return err.code == MF_E_UNSUPPORTED
			   ? "only Ed25519, ECDSA and RSA keys count (no DSA, no FIDO keys)"
			   : "the key is broken: copy the line of the .pub file whole";
	return NULL;
}

static enum mf_status
add(struct mf_signers *s, const struct signer *one, struct mf_slice blob, unsigned line_no,
    struct mf_err *err)
{
	for (size_t i = 0; i < s->n; i++)
		if (mf_slice_eq(mf_slice(s->v[i].blob, s->v[i].blob_n), blob) &&
		    strcmp(s->v[i].person, one->person) != 0)
			return MF_FAIL(err, MF_E_INVALID,
			    "signers, line %u: this key is %s's already: a key is one person's", line_no,
			    s->v[i].person);
	if (s->n == MF_LIM_SIGNERS)
		return MF_FAIL(err, MF_E_TOOBIG, "signers: more than %u keys", MF_LIM_SIGNERS);
	s->v[s->n] = *one;
	s->v[s->n].blob = malloc(blob.n);
	if (s->v[s->n].blob == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "signers: out of memory");
	memcpy(s->v[s->n].blob, blob.p, blob.n);
	s->v[s->n++].blob_n = blob.n;
	return MF_OK;
}

enum mf_status
mf_signers_parse(struct mf_slice text, const char *name_space, struct mf_signers **ret_s, struct mf_err *err)
{
	MF_AUTO(mf_signers_free) struct mf_signers *s = calloc(1, sizeof(*s));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf blob;
	mf_buf_init(&blob, MF_LIM_SSHSIG);
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "signers: out of memory");
	if (text.n > MF_LIM_SIGNERS_FILE)
		return MF_FAIL(err, MF_E_TOOBIG, "signers: more than %u bytes", MF_LIM_SIGNERS_FILE);
	for (unsigned no = 1; text.n > 0; no++) {
		size_t n = 0;
		while (n < text.n && text.p[n] != '\n')
			n++;
		struct mf_slice l = mf_slice_sub(text, 0, n);
		text = mf_slice_sub(text, n + 1, text.n);
		if (l.n > 0 && l.p[l.n - 1] == '\r')
			l.n--;
		if (l.n == 0 || l.p[0] == '#')
			continue;
		struct signer one = { .blob = NULL };
		bool wanted = true;
		mf_buf_reset(&blob);
		const char *why = take_line(l, name_space, &one, &blob, &wanted);
		if (why != NULL)
			return MF_FAIL(err, MF_E_INVALID, "signers, line %u: %s", no, why);
		if (wanted)
			MF_TRY(add(s, &one, mf_buf_slice(&blob), no, err));
	}
	*ret_s = MF_TAKE(s);
	return MF_OK;
}

/* ---- asking ---- */

const char *
mf_signers_person(const struct mf_signers *s, struct mf_slice key_blob, int64_t now_s)
{
	for (size_t i = 0; i < s->n; i++)
		if (mf_slice_eq(mf_slice(s->v[i].blob, s->v[i].blob_n), key_blob) &&
		    now_s >= s->v[i].after_s && now_s < s->v[i].before_s)
			return s->v[i].person;
	return NULL;
}

size_t
mf_signers_persons(const struct mf_signers *s, int64_t now_s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		bool counts = now_s >= s->v[i].after_s && now_s < s->v[i].before_s;
		for (size_t k = 0; k < i && counts; k++)
			counts = strcmp(s->v[k].person, s->v[i].person) != 0 || now_s < s->v[k].after_s ||
				 now_s >= s->v[k].before_s;
		n += counts;
	}
	return n;
}
