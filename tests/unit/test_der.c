#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/asn1.h>

#include "base/rand.h"
#include "codec/der.h"

#define L(lit)                                          \
	{                                               \
		(const uint8_t *)(lit), sizeof(lit) - 1 \
	}

static void
test_read_table(void **state)
{
	MF_UNUSED(state);
	static const struct {
		struct mf_slice in;
		bool ok;
		size_t body;
	} cases[] = {
		{ L("\x30\x00"), true, 0 }, { L("\x04\x02hi"), true, 2 },
		{ L("\x04\x02hiX"), true, 2 }, /* the rest is the caller's */
		{ L(""), false, 0 }, { L("\x30"), false, 0 }, { L("\x04\x03hi"), false, 0 },
		{ L("\x30\x80\x00\x00"), false, 0 },		 /* indefinite */
		{ L("\x04\x81\x02hi"), false, 0 },		 /* long form of a short length */
		{ L("\x04\x82\x00\x80"), false, 0 },		 /* leading zero */
		{ L("\x04\x85\x01\x00\x00\x00\x00"), false, 0 }, /* five length bytes */
		{ L("\x04\x84\xff\xff\xff\xff"), false, 0 },	 /* longer than what is there */
		{ L("\x1f\x81\x01\x00"), false, 0 },		 /* multi-byte tag */
		{ L("\xbf\x21\x00"), false, 0 }, { L("\x00\x00"), false, 0 }, /* end of contents */
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_reader r = mf_reader(cases[i].in);
		struct mf_der el;
		assert_int_equal(mf_der_read(&r, &el), cases[i].ok);
		if (cases[i].ok) {
			assert_int_equal(el.body.n, cases[i].body);
			assert_int_equal(el.whole.n, cases[i].body + 2);
		} else {
			assert_int_equal(r.n, cases[i].in.n); /* takes nothing */
		}
	}
}

static void
test_scalars(void **state)
{
	MF_UNUSED(state);
	static const struct {
		struct mf_slice in;
		size_t n; /* 0: refused */
	} ints[] = { { L("\x01"), 1 }, { L("\x00\x80"), 1 }, { L("\x7f\xff"), 2 }, { L(""), 0 },
		{ L("\x00"), 0 }, { L("\x80"), 0 }, { L("\x00\x7f"), 0 }, { L("\x00\x00"), 0 } };
	for (size_t i = 0; i < MF_COUNT(ints); i++) {
		struct mf_slice v = { 0 };
		assert_int_equal(mf_der_get_positive(ints[i].in, &v), ints[i].n != 0);
		assert_int_equal(v.n, ints[i].n);
	}
	for (int c = 0; c < 256; c++) {
		uint8_t b = (uint8_t)c;
		bool v = false;
		assert_int_equal(mf_der_get_bool(mf_slice(&b, 1), &v), c == 0 || c == 255);
		assert_int_equal(v, c == 255);
	}
	bool v;
	assert_false(mf_der_get_bool(mf_slice("\xff\xff", 2), &v));
	struct mf_slice body;
	assert_true(mf_der_only((struct mf_slice)L("\x30\x00"), MF_DER_SEQUENCE, &body));
	assert_false(mf_der_only((struct mf_slice)L("\x30\x00\x00"), MF_DER_SEQUENCE, &body));
	assert_false(mf_der_only((struct mf_slice)L("\x30\x00"), MF_DER_SET, &body));
}

/* Lengths around each change of form: written by us, read by libcrypto and by us. */
static void
test_write_lengths(void **state)
{
	MF_UNUSED(state);
	static const size_t sizes[] = { 0, 1, 127, 128, 129, 255, 256, 257, 65535, 65536, 65537, 1 << 20 };
	uint8_t *data = calloc(1, 1 << 20);
	assert_non_null(data);
	for (size_t i = 0; i < MF_COUNT(sizes); i++) {
		struct mf_buf a, b;
		mf_buf_init(&a, 2 << 20);
		mf_buf_init(&b, 2 << 20);
		mf_der_put(&a, MF_DER_OCTET_STRING, mf_slice(data, sizes[i]));
		size_t mark = mf_der_open(&b, MF_DER_OCTET_STRING);
		mf_buf_put(&b, data, sizes[i]);
		mf_der_close(&b, mark);
		assert_true(mf_slice_eq(mf_buf_slice(&a), mf_buf_slice(&b)));
		const uint8_t *p = a.p;
		ASN1_OCTET_STRING *os = d2i_ASN1_OCTET_STRING(NULL, &p, (long)a.n);
		assert_non_null(os);
		assert_int_equal(ASN1_STRING_length(os), sizes[i]);
		assert_ptr_equal(p, a.p + a.n);
		ASN1_OCTET_STRING_free(os);
		struct mf_slice body;
		assert_true(mf_der_only(mf_buf_slice(&a), MF_DER_OCTET_STRING, &body));
		assert_int_equal(body.n, sizes[i]);
		mf_buf_fini(&a);
		mf_buf_fini(&b);
	}
	free(data);
	struct mf_buf small; /* a full buffer stays failed through nested closes */
	mf_buf_init(&small, 4);
	size_t m1 = mf_der_open(&small, MF_DER_SEQUENCE), m2 = mf_der_open(&small, MF_DER_SEQUENCE);
	mf_der_put_uint(&small, mf_slice("\1\2\3\4", 4));
	mf_der_close(&small, m2);
	mf_der_close(&small, m1);
	mf_der_put_true(&small);
	assert_int_equal(mf_buf_check(&small, NULL), MF_E_TOOBIG);
	mf_buf_fini(&small);
}

static void
test_write_uint(void **state)
{
	MF_UNUSED(state);
	for (int i = 0; i < 2000; i++) {
		uint8_t v[20];
		mf_rand_bytes(v, sizeof(v));
		size_t n = (size_t)i % (sizeof(v) + 1);
		for (size_t z = 0; z < n && z < (size_t)i % 4; z++)
			v[z] = 0;
		struct mf_buf b;
		mf_buf_init(&b, 64);
		mf_der_put_uint(&b, mf_slice(v, n));
		BIGNUM *bn = BN_bin2bn(v, (int)n, NULL);
		ASN1_INTEGER *ai = BN_to_ASN1_INTEGER(bn, NULL);
		uint8_t *want = NULL;
		int want_n = i2d_ASN1_INTEGER(ai, &want);
		assert_int_equal(b.n, want_n);
		assert_memory_equal(b.p, want, b.n);
		OPENSSL_free(want);
		ASN1_INTEGER_free(ai);
		BN_free(bn);
		mf_buf_fini(&b);
	}
}

/* RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; the same bytes as libcrypto's. */
static void
check_time(int64_t s)
{
	struct mf_buf b;
	mf_buf_init(&b, 64);
	mf_der_put_time(&b, s);
	assert_int_equal(mf_buf_check(&b, NULL), MF_OK);
	ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)s);
	uint8_t *want = NULL;
	int n = i2d_ASN1_TIME(t, &want);
	assert_int_equal(b.n, n);
	assert_memory_equal(b.p, want, b.n);
	OPENSSL_free(want);
	ASN1_TIME_free(t);
	int64_t back = -1;
	assert_true(mf_der_get_time(b.p[0], mf_slice(b.p + 2, b.n - 2), &back));
	assert_true(back == s);
	mf_buf_fini(&b);
}

static void
test_time(void **state)
{
	MF_UNUSED(state);
	static const int64_t at[] = { 0, 1, 951782399, 951782400, 951868800, 1234567890, 2524607999,
		2524608000, 4102444799, 4102444800, 253402300799 };
	for (size_t i = 0; i < MF_COUNT(at); i++)
		check_time(at[i]);
	for (int64_t s = 7; s < INT64_C(253402300799); s += 123456789)
		check_time(s);
	static const int64_t bad[] = { -1, INT64_MIN, 253402300800, INT64_MAX };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_buf b;
		mf_buf_init(&b, 64);
		mf_der_put_time(&b, bad[i]);
		assert_int_equal(mf_buf_check(&b, NULL), MF_E_INVALID);
		mf_buf_fini(&b);
	}
	static const struct {
		uint8_t tag;
		const char *text;
		bool ok;
	} cases[] = {
		{ MF_DER_UTC_TIME, "261122193700Z", true },
		{ MF_DER_UTC_TIME, "491231235959Z", true },
		{ MF_DER_UTC_TIME, "500101000000Z", false }, /* 1950: before we count */
		{ MF_DER_UTC_TIME, "2611221937Z", false },
		{ MF_DER_UTC_TIME, "261122193700", false },
		{ MF_DER_UTC_TIME, "261122193700+", false },
		{ MF_DER_UTC_TIME, "261322193700Z", false },
		{ MF_DER_UTC_TIME, "260229000000Z", false },
		{ MF_DER_UTC_TIME, "26112219370aZ", false },
		{ MF_DER_UTC_TIME, "20500101000000Z", false },
		{ MF_DER_GENERALIZED_TIME, "20500101000000Z", true },
		{ MF_DER_GENERALIZED_TIME, "20491231235959Z", false }, /* must be UTCTime */
		{ MF_DER_GENERALIZED_TIME, "20500101000000.5Z", false },
		{ MF_DER_GENERALIZED_TIME, "99991231235959Z", true },
		{ MF_DER_INTEGER, "261122193700Z", false },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		int64_t s;
		assert_int_equal(mf_der_get_time(cases[i].tag, mf_slice_str(cases[i].text), &s), cases[i].ok);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_table),
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_write_lengths),
		cmocka_unit_test(test_write_uint),
		cmocka_unit_test(test_time),
	};
	return cmocka_run_group_tests_name("der", tests, NULL, NULL);
}
