/* The signed manifest of published documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "log/published.h"

#define ORIGIN "example.org/mayfly/b1"

struct signed_manifest {
	struct mf_ed25519 *key;
	struct mf_note_key vkey;
	struct mf_published p;
	struct mf_buf note;
};

static void
make(struct signed_manifest *m, const char *issuer)
{
	uint8_t pub[MF_ED25519_KEY_SIZE];
	*m = (struct signed_manifest) { .p = { .revision = 42 } };
	assert_int_equal(mf_ed25519_generate(NULL, &m->key, NULL), MF_OK);
	mf_ed25519_public(m->key, pub);
	assert_int_equal(mf_note_key_init(MF_SLICE_LIT(ORIGIN), pub, &m->vkey, NULL), MF_OK);
	mf_buf_init(&m->note, MF_LIM_NOTE);
	(void)snprintf(m->p.issuer, sizeof(m->p.issuer), "%s", issuer);
	(void)snprintf(m->p.x5c_issuer, sizeof(m->p.x5c_issuer), "%s/x5c", issuer);
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++)
		mf_published_add(&m->p, (enum mf_published_file)i, mf_slice_str(mf_published_name(i)));
	assert_int_equal(mf_published_sign(&m->p, MF_SLICE_LIT(ORIGIN), m->key, &m->note, NULL), MF_OK);
}

static void
drop(struct signed_manifest *m)
{
	mf_ed25519_free(m->key);
	mf_buf_fini(&m->note);
}

static void
test_manifest(void **state)
{
	MF_UNUSED(state);
	struct signed_manifest m, other;
	struct mf_published p;
	struct mf_err err = { 0 };
	make(&m, "https://oidc.example.org/td1");
	make(&other, "https://oidc.example.org/td1");
	assert_int_equal(mf_published_open(mf_buf_slice(&m.note), &m.vkey, &p, &err), MF_OK);
	assert_int_equal(p.revision, 42);
	assert_string_equal(p.issuer, "https://oidc.example.org/td1");
	assert_string_equal(p.x5c_issuer, "https://oidc.example.org/td1/x5c");
	assert_true(mf_published_is(&p, MF_PUBLISHED_KEYS, MF_SLICE_LIT("keys")));
	assert_false(mf_published_is(&p, MF_PUBLISHED_KEYS, MF_SLICE_LIT("keyz")));
	assert_false(mf_published_is(&p, MF_PUBLISHED_DISCOVERY, MF_SLICE_LIT("keys")));
	/* Another broker's key, and every byte of it changed. */
	assert_int_equal(mf_published_open(mf_buf_slice(&m.note), &other.vkey, &p, &err), MF_E_UNAUTH);
	for (size_t i = 0; i < m.note.n; i++) {
		m.note.p[i] ^= 1;
		assert_int_not_equal(mf_published_open(mf_buf_slice(&m.note), &m.vkey, &p, &err), MF_OK);
		m.note.p[i] ^= 1;
	}
	for (size_t n = 0; n < m.note.n; n++)
		assert_int_not_equal(mf_published_open(mf_slice(m.note.p, n), &m.vkey, &p, &err), MF_OK);
	drop(&m);
	drop(&other);
}

/* What else the log's key signs is no manifest. */
static void
test_other_notes(void **state)
{
	MF_UNUSED(state);
	static const char *const texts[] = { ORIGIN "\n3\nAAAA\n", "mayfly published documents v1\n",
		"mayfly published documents v1\nrevision x\n",
		"mayfly published documents v1\nrevision 1\nissuer ftp://x\n",
		"mayfly published documents v2\nrevision 1\n" };
	struct signed_manifest m;
	struct mf_published p;
	make(&m, "https://a.example");
	for (size_t i = 0; i < MF_COUNT(texts); i++) {
		struct mf_err err = { 0 };
		mf_buf_reset(&m.note);
		assert_int_equal(
		    mf_note_sign(mf_slice_str(texts[i]), MF_SLICE_LIT(ORIGIN), m.key, &m.note, NULL), MF_OK);
		assert_int_equal(mf_published_open(mf_buf_slice(&m.note), &m.vkey, &p, &err), MF_E_INVALID);
		assert_non_null(strstr(err.msg, "published documents"));
	}
	drop(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_other_notes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
