#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/secret.h"
#include "base/text.h"

static void
test_err(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	assert_int_equal(MF_FAIL(&err, MF_E_INVALID, "bad %d", 7), MF_E_INVALID);
	assert_string_equal(err.msg, "bad 7");
	assert_int_equal(mf_err_wrap(&err, MF_E_IO, "open %s", "x"), MF_E_IO);
	assert_string_equal(err.msg, "open x: bad 7");
	assert_int_equal(err.code, MF_E_INVALID);
	for (int i = 0; i < 10; i++)
		(void)mf_err_wrap(&err, MF_E_IO, "%0200d", i);
	assert_int_equal(strlen(err.msg), MF_ERR_MSG_MAX - 1);
	assert_int_equal(MF_FAIL(NULL, MF_E_IO, "x"), MF_E_IO);
	for (int s = 0; s < MF_STATUS_COUNT; s++)
		assert_non_null(mf_status_name((enum mf_status)s));
	assert_string_equal(mf_status_name((enum mf_status)999), "unknown");
}

static void
test_reader(void **state)
{
	MF_UNUSED(state);
	const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	struct mf_reader r = mf_reader(mf_slice(in, sizeof(in)));
	uint8_t a = 0;
	uint16_t b = 0;
	uint32_t c = 0;
	uint64_t d = 0;
	assert_true(
	    mf_read_u8(&r, &a) && mf_read_u16be(&r, &b) && mf_read_u32be(&r, &c) && mf_read_u64be(&r, &d));
	assert_int_equal(a, 1);
	assert_int_equal(b, 0x0203);
	assert_int_equal(c, 0x04050607);
	assert_true(d == UINT64_C(0x08090a0b0c0d0e0f));
	assert_true(mf_reader_end(&r));
	assert_false(mf_read_u8(&r, &a));
	r = mf_reader(mf_slice(in, 3));
	assert_false(mf_read_u32be(&r, &c));
	assert_int_equal(r.n, 3); /* a failed read takes nothing */
}

static void
test_buf_cap(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, 10);
	mf_buf_put_str(&b, "0123456789");
	assert_int_equal(mf_buf_check(&b, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&b), "0123456789");
	mf_buf_put_u8(&b, 'x');
	struct mf_err err = { 0 };
	assert_int_equal(mf_buf_check(&b, &err), MF_E_TOOBIG);
	assert_string_equal(err.msg, "more than the cap of 10 bytes");
	assert_null(mf_buf_extend(&b, 0));
	mf_buf_reset(&b);
	mf_buf_putf(&b, "%d-%s", 5, "ab");
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "5-ab"));
	mf_buf_consume(&b, 2);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "ab"));
	mf_buf_consume(&b, 99);
	assert_int_equal(b.n, 0);
	mf_buf_fini(&b);
}

/* Numbers as printf has them; a text that fills what is there to the last byte; letters one by one up to the cap. */
static void
test_buf_numbers(void **state)
{
	MF_UNUSED(state);
	static const int64_t v[] = { 0, 1, 9, 10, 99, 100, -1, -10, 1234567890123456789, INT64_MAX,
		INT64_MIN };
	struct mf_buf b;
	char want[64];
	mf_buf_init(&b, 1000);
	for (size_t i = 0; i < MF_COUNT(v); i++) {
		mf_buf_reset(&b);
		mf_buf_put_int(&b, v[i]);
		mf_buf_put_u8(&b, ' ');
		mf_buf_put_uint(&b, (uint64_t)v[i], 0);
		(void)snprintf(want, sizeof(want), "%lld %llu", (long long)v[i], (unsigned long long)v[i]);
		assert_string_equal(mf_buf_cstr(&b), want);
	}
	mf_buf_reset(&b);
	mf_buf_put_uint(&b, 7, 4);
	mf_buf_put_uint(&b, 12345, 4);
	assert_string_equal(mf_buf_cstr(&b), "000712345");
	mf_buf_fini(&b);
	for (int n = 0; n < 200; n++) {
		mf_buf_init(&b, 200);
		mf_buf_put_u8(&b, 'a');
		mf_buf_putf(&b, "%*s", n, "z");
		bool fits = (n < 1 ? 1 : n) + 2 <= 200;
		assert_int_equal(mf_buf_check(&b, NULL), fits ? MF_OK : MF_E_TOOBIG);
		assert_int_equal(b.n, fits ? (size_t)(n < 1 ? 1 : n) + 1 : 1);
		mf_buf_fini(&b);
	}
	mf_buf_init(&b, 300);
	for (int n = 0; n < 300; n++)
		mf_buf_put_u8(&b, (uint8_t)n);
	assert_int_equal(mf_buf_check(&b, NULL), MF_OK);
	for (size_t n = 0; n < 300; n++)
		assert_int_equal(b.p[n], n & 255);
	mf_buf_put_u8(&b, 0);
	assert_int_equal(mf_buf_check(&b, NULL), MF_E_TOOBIG);
	assert_int_equal(b.n, 300);
	mf_buf_fini(&b);
}

static void
check_codec(void (*put)(struct mf_buf *, struct mf_slice),
    enum mf_status (*get)(struct mf_slice, struct mf_buf *, struct mf_err *), const char *plain,
    const char *coded)
{
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	put(&b, mf_slice_str(plain));
	assert_string_equal(mf_buf_cstr(&b), coded);
	mf_buf_reset(&b);
	assert_int_equal(get(mf_slice_str(coded), &b, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&b), plain);
	mf_buf_fini(&b);
}

static void
test_text(void **state)
{
	MF_UNUSED(state);
	/* RFC 4648 section 10 */
	static const char *const v[][3] = { { "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" } };
	for (size_t i = 0; i < MF_COUNT(v); i++) {
		check_codec(mf_base64_put, mf_base64_get, v[i][0], v[i][1]);
		check_codec(mf_base64url_put, mf_base64url_get, v[i][0], v[i][2]);
	}
	check_codec(mf_hex_put, mf_hex_get, "Az", "417a");
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	static const char *const bad64[] = { "Zh", "Z", "Zg=", "Zm9v\n", " Zm9v", "Zm+v", "Zm/v" };
	for (size_t i = 0; i < MF_COUNT(bad64); i++)
		assert_int_equal(mf_base64url_get(mf_slice_str(bad64[i]), &b, NULL), MF_E_INVALID);
	static const char *const badstd[] = { "Zg", "Zh==", "====", "Zg=a", "Zm-v" };
	for (size_t i = 0; i < MF_COUNT(badstd); i++)
		assert_int_equal(mf_base64_get(mf_slice_str(badstd[i]), &b, NULL), MF_E_INVALID);
	assert_int_equal(mf_hex_get(MF_SLICE_LIT("4A"), &b, NULL), MF_E_INVALID);
	assert_int_equal(mf_hex_get(MF_SLICE_LIT("4"), &b, NULL), MF_E_INVALID);
	mf_buf_reset(&b);
	mf_base32_put(&b, MF_SLICE_LIT("foobar"));
	assert_string_equal(mf_buf_cstr(&b), "mzxw6ytboi");
	mf_buf_fini(&b);

	assert_true(mf_utf8_ok(MF_SLICE_LIT("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")));
	static const char *const bad8[] = { "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
		"\x80", "\xff" };
	for (size_t i = 0; i < MF_COUNT(bad8); i++)
		assert_false(mf_utf8_ok(mf_slice_str(bad8[i])));
	assert_false(mf_utf8_ok(mf_slice("a\0b", 3)));
	for (size_t i = 0; i < 12; i++) { /* no letter of 1, 2, 3 or 4 bytes is split */
		static const size_t want[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10 };
		assert_int_equal(
		    mf_utf8_cut(MF_SLICE_LIT("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), i), want[i]);
	}
	assert_int_equal(mf_utf8_cut(MF_SLICE_LIT("ab\xff"), 9), 2);
	uint64_t u;
	assert_true(mf_parse_u64(MF_SLICE_LIT("18446744073709551615"), &u) && u == UINT64_MAX);
	assert_false(mf_parse_u64(MF_SLICE_LIT("18446744073709551616"), &u));
	assert_false(mf_parse_u64(MF_SLICE_LIT("01"), &u));
	assert_int_equal(mf_parse_duration(MF_SLICE_LIT("20m"), &u, NULL), MF_OK);
	assert_int_equal(u, 1200000);
	assert_int_equal(mf_parse_duration(MF_SLICE_LIT("20"), &u, NULL), MF_E_INVALID);
	assert_int_equal(mf_parse_duration(MF_SLICE_LIT("99999d"), &u, NULL), MF_E_TOOBIG);
}

static void
test_time(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, 100);
	static const int64_t at[] = { 0, 951782400, 1700000000, 4102444799, 253402300799 };
	for (size_t i = 0; i < MF_COUNT(at); i++) {
		int64_t back;
		mf_buf_reset(&b);
		mf_time_put_us(&b, at[i] * 1000000 + 123456);
		assert_int_equal(mf_time_get(mf_buf_slice(&b), &back, NULL), MF_OK);
		assert_true(back == at[i] * 1000000 + 123456);
		mf_buf_reset(&b);
		mf_time_put_s(&b, at[i]);
		assert_int_equal(mf_time_get(mf_buf_slice(&b), &back, NULL), MF_OK);
		assert_true(back == at[i] * 1000000);
	}
	assert_string_equal(mf_buf_cstr(&b), "9999-12-31T23:59:59Z");
	mf_buf_fini(&b);
	int64_t v;
	static const char *const bad[] = { "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
		"2026-01-01T24:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "1969-12-31T23:59:59Z",
		"" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_time_get(mf_slice_str(bad[i]), &v, NULL), MF_E_INVALID);
}

static void
test_secret(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	assert_int_equal(mf_secret_new(32, &s, NULL), MF_OK);
	memset(mf_secret_bytes(s), 7, 32);
	uint8_t same[32];
	memset(same, 7, 32);
	assert_true(mf_ct_equal(mf_secret_slice(s), mf_slice(same, 32)));
	same[31] ^= 1;
	assert_false(mf_ct_equal(mf_secret_slice(s), mf_slice(same, 32)));
	assert_false(mf_ct_equal(mf_secret_slice(s), mf_slice(same, 31)));
	struct mf_secret *t;
	assert_int_equal(mf_secret_new(0, &t, NULL), MF_E_TOOBIG);
}

struct item {
	int k;
	struct mf_list at;
	bool map_oom;
	UT_hash_handle hh;
};

static void
test_list_map(void **state)
{
	MF_UNUSED(state);
	struct mf_list head;
	mf_list_init(&head);
	struct item it[5] = { 0 }, *map = NULL, *found;
	for (int i = 0; i < 5; i++) {
		it[i].k = i;
		mf_list_add_tail(&head, &it[i].at);
		HASH_ADD_INT(map, k, &it[i]);
		assert_false(it[i].map_oom);
	}
	int sum = 0;
	MF_LIST_EACH(p, &head)
	{
		sum = sum * 10 + MF_LIST_ITEM(p, struct item, at)->k;
		mf_list_del(p);
	}
	assert_int_equal(sum, 1234);
	assert_true(mf_list_empty(&head));
	int k = 3;
	HASH_FIND_INT(map, &k, found);
	assert_ptr_equal(found, &it[3]);
	HASH_CLEAR(hh, map);
}

/* What was given is in the pool no more, nothing is given twice, and large orders pass it by. */
static void
test_rand_pool(void **state)
{
	MF_UNUSED(state);
	struct mf_rand_pool pool = { .left = 0 };
	struct mf_rand r = mf_rand_pooled(&pool);
	uint8_t got[64][16], large[400];
	for (size_t i = 0; i < 64; i++) {
		r.fill(r.ctx, got[i], sizeof(got[i]));
		for (size_t k = pool.left; k < sizeof(pool.bytes); k++)
			assert_int_equal(pool.bytes[k], 0);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(got[i], got[k], sizeof(got[i]));
	}
	size_t left = pool.left;
	r.fill(r.ctx, large, sizeof(large));
	assert_int_equal(pool.left, left);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_buf_cap),
		cmocka_unit_test(test_buf_numbers),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_list_map),
		cmocka_unit_test(test_rand_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
