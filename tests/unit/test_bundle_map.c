/* Bundle maps (rows BND-8 to BND-11): read whole or not at all, and written as they are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/bundle_map.h"

#define EC                                                                                        \
	"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define ONE "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\"," EC "}],\"spiffe_refresh_hint\":60}"

struct seen {
	size_t n, jwt;
	struct mf_buf again;
	enum mf_status fail;
};

static enum mf_status
take(void *ctx, const struct mf_bundle_entry *e, struct mf_err *err)
{
	struct seen *s = ctx;
	if (s->fail != MF_OK)
		return MF_FAIL(err, s->fail, "no more");
	mf_bundle_map_put(&s->again, s->n == 0, e->trust_domain, e->document);
	s->n++;
	s->jwt += mf_jwk_set_count(e->jwt);
	return MF_OK;
}

static enum mf_status
read_map(const char *text, struct seen *s, struct mf_err *err)
{
	*s = (struct seen) { .fail = s->fail };
	mf_buf_init(&s->again, 65536);
	mf_bundle_map_begin(&s->again);
	enum mf_status st = mf_bundle_map_read(mf_slice_str(text), 65536, take, s, err);
	mf_bundle_map_end(&s->again);
	return st;
}

/* BND-11 */
static void
test_read(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *row, *text;
		enum mf_status want;
		size_t n, jwt;
	} rows[] = {
		{ "BND-9", "{}", MF_E_INVALID, 0, 0 },
		{ "BND-9", "{\"trust_domains\":[]}", MF_E_INVALID, 0, 0 },
		{ "BND-9", "{\"trust_domains\":{}}", MF_OK, 0, 0 },
		{ "BND-8", "{\"trust_domains\":{\"a.org\":" ONE ",\"b.org\":{\"keys\":[]}}}", MF_OK, 2, 1 },
		{ "BND-10", "{\"trust_domains\":{\"a.org\":" ONE ",\"a.org\":" ONE "}}", MF_E_INVALID, 0, 0 },
		{ "BND-9", "{\"trust_domains\":{\"spiffe://a.org\":" ONE "}}", MF_E_INVALID, 0, 0 },
		{ "ID-6", "{\"trust_domains\":{\"A.org\":" ONE "}}", MF_E_INVALID, 0, 0 },
		{ "ID-2", "{\"trust_domains\":{\"\":" ONE "}}", MF_E_INVALID, 0, 0 },
		{ "BND-4", "{\"trust_domains\":{\"a.org\":{}}}", MF_E_INVALID, 0, 0 },
		{ "BND-5",
		    "{\"trust_domains\":{\"a.org\":{\"keys\":[{\"kty\":\"AKP\",\"x\":1.5,\"y\":null}]}}}",
		    MF_OK, 1, 0 },
		{ "BND-10", "[]", MF_E_INVALID, 0, 0 },
	};
	for (size_t i = 0; i < MF_COUNT(rows); i++) {
		struct mf_err err = { 0 };
		struct seen s = { 0 };
		enum mf_status st = read_map(rows[i].text, &s, &err);
		if (st != rows[i].want || (st == MF_OK && (s.n != rows[i].n || s.jwt != rows[i].jwt)))
			fail_msg("%s: %s: %d, %zu, %zu: %s", rows[i].row, rows[i].text, (int)st, s.n, s.jwt,
			    err.msg);
		if (st == MF_OK) { /* what was written again is read as the same */
			struct seen t = { 0 };
			assert_int_equal(read_map(mf_buf_cstr(&s.again), &t, &err), MF_OK);
			assert_int_equal(t.n, s.n);
			assert_true(mf_slice_eq(mf_buf_slice(&t.again), mf_buf_slice(&s.again)));
			mf_buf_fini(&t.again);
		}
		mf_buf_fini(&s.again);
	}
}

static void
test_names_the_one(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct seen s = { 0 };
	assert_int_equal(
	    read_map("{\"trust_domains\":{\"a.org\":" ONE ",\"b.org\":{}}}", &s, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "b.org"));
	mf_buf_fini(&s.again);
	s.fail = MF_E_TOOBIG; /* the callee's */
	assert_int_equal(read_map("{\"trust_domains\":{\"a.org\":" ONE "}}", &s, &err), MF_E_TOOBIG);
	mf_buf_fini(&s.again);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_names_the_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
