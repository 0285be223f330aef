/* merkle, crc32c, frame: vectors of others, then each rule of the frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "log/crc32c.h"
#include "log/frame.h"
#include "log/merkle.h"

static void
assert_hex(const uint8_t h[MF_HASH_SIZE], const char *want)
{
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	mf_hex_put(&b, mf_slice(h, MF_HASH_SIZE));
	assert_string_equal(mf_buf_cstr(&b), want);
	mf_buf_fini(&b);
}

/* The inputs and roots that certificate transparency implementations share as test data. */
static const char *const leaf_hex[] = { "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
	"606162636465666768696a6b6c6d6e6f" };
static const char *const root_hex[] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void
test_vectors(void **state)
{
	MF_UNUSED(state);
	struct mf_merkle t;
	uint8_t h[MF_HASH_SIZE];
	mf_merkle_init(&t);
	for (size_t i = 0;; i++) {
		mf_merkle_root(&t, h);
		assert_hex(h, root_hex[i]);
		assert_true(t.size == i);
		if (i == MF_COUNT(leaf_hex))
			break;
		struct mf_buf b;
		mf_buf_init(&b, 100);
		assert_int_equal(mf_hex_get(mf_slice_str(leaf_hex[i]), &b, NULL), MF_OK);
		mf_merkle_leaf(mf_buf_slice(&b), h);
		mf_merkle_append(&t, h);
		mf_buf_fini(&b);
	}
}

/* The definition of RFC 6962 2.1 by itself: split at the largest power of two below n. */
static void
naive_root(uint8_t (*leaf)[MF_HASH_SIZE], size_t n, uint8_t ret[MF_HASH_SIZE])
{
	if (n == 1) {
		memcpy(ret, leaf[0], MF_HASH_SIZE);
		return;
	}
	size_t k = 1;
	while (k * 2 < n)
		k *= 2;
	uint8_t l[MF_HASH_SIZE], r[MF_HASH_SIZE];
	naive_root(leaf, k, l);
	naive_root(leaf + k, n - k, r);
	mf_merkle_node(l, r, ret);
}

static void
test_against_definition(void **state)
{
	MF_UNUSED(state);
	static uint8_t leaf[300][MF_HASH_SIZE];
	struct mf_merkle t;
	mf_merkle_init(&t);
	struct mf_buf b;
	mf_buf_init(&b, MF_MERKLE_CODED_MAX);
	for (size_t i = 0; i < MF_COUNT(leaf); i++) {
		uint8_t want[MF_HASH_SIZE], got[MF_HASH_SIZE];
		mf_merkle_leaf(mf_slice(&i, sizeof(i)), leaf[i]);
		mf_merkle_append(&t, leaf[i]);
		naive_root(leaf, i + 1, want);
		mf_merkle_root(&t, got);
		assert_memory_equal(want, got, MF_HASH_SIZE);
		/* Through a snapshot and back, the tree is the same. */
		struct mf_merkle u;
		mf_buf_reset(&b);
		mf_merkle_put(&t, &b);
		assert_int_equal(mf_merkle_get(mf_buf_slice(&b), &u, NULL), MF_OK);
		mf_merkle_root(&u, got);
		assert_memory_equal(want, got, MF_HASH_SIZE);
		assert_true(u.size == t.size);
		for (size_t cut = 0; cut < b.n; cut += 13)
			assert_int_equal(
			    mf_merkle_get(mf_slice_sub(mf_buf_slice(&b), 0, cut), &u, NULL), MF_E_INVALID);
		mf_buf_put_u8(&b, 0);
		assert_int_equal(mf_merkle_get(mf_buf_slice(&b), &u, NULL), MF_E_INVALID);
	}
	mf_buf_fini(&b);
	uint8_t huge[8];
	memset(huge, 0xff, sizeof(huge));
	assert_int_equal(mf_merkle_get(mf_slice(huge, sizeof(huge)), &t, NULL), MF_E_INVALID);
}

static void
test_crc(void **state)
{
	MF_UNUSED(state);
	/* RFC 3720 B.4 */
	uint8_t in[32];
	memset(in, 0, sizeof(in));
	assert_true(mf_crc32c(mf_slice(in, sizeof(in))) == 0x8a9136aau);
	memset(in, 0xff, sizeof(in));
	assert_true(mf_crc32c(mf_slice(in, sizeof(in))) == 0x62a8ab43u);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	assert_true(mf_crc32c(mf_slice(in, sizeof(in))) == 0x46dd794eu);
	assert_true(mf_crc32c(MF_SLICE_LIT("123456789")) == 0xe3069283u);
	assert_true(mf_crc32c(mf_slice(NULL, 0)) == 0);
}

static void
make_frame(struct mf_buf *b, struct mf_frame *f)
{
	struct mf_slice rec[] = { MF_SLICE_LIT("{\"a\":1}"), MF_SLICE_LIT("x"), MF_SLICE_LIT("{}") };
	memset(f, 0, sizeof(*f));
	f->first_index = 41;
	f->flags = MF_FRAME_REMOVALS;
	memset(f->prev, 7, MF_HASH_SIZE);
	memset(f->root, 9, MF_HASH_SIZE);
	mf_buf_reset(b);
	assert_int_equal(mf_frame_encode(f, rec, MF_COUNT(rec), b, NULL), MF_OK);
	assert_int_equal(b->n, mf_frame_size(rec, MF_COUNT(rec)));
}

static void
test_frame(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, MF_FRAME_MAX);
	struct mf_frame f, g;
	make_frame(&b, &f);
	size_t len = 0;
	assert_int_equal(mf_frame_peek(mf_slice_sub(mf_buf_slice(&b), 0, MF_FRAME_HEAD), &len, NULL), MF_OK);
	assert_int_equal(len, b.n);
	assert_int_equal(mf_frame_decode(mf_buf_slice(&b), &g, NULL), MF_OK);
	assert_true(g.first_index == 41 && g.count == 3 && g.tree_size == 44 && g.flags == MF_FRAME_REMOVALS);
	assert_memory_equal(g.prev, f.prev, MF_HASH_SIZE);
	assert_memory_equal(g.root, f.root, MF_HASH_SIZE);
	struct mf_reader p = mf_reader(g.payload);
	struct mf_slice rec;
	assert_true(mf_frame_next_record(&p, &rec) && mf_slice_eq_str(rec, "{\"a\":1}"));
	assert_true(mf_frame_next_record(&p, &rec) && mf_slice_eq_str(rec, "x"));
	assert_true(mf_frame_next_record(&p, &rec) && mf_slice_eq_str(rec, "{}"));
	assert_false(mf_frame_next_record(&p, &rec));
	/* Each byte matters, each cut shows, and nothing may follow. */
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 0x20;
		assert_int_equal(mf_frame_decode(mf_buf_slice(&b), &g, NULL), MF_E_INVALID);
		b.p[i] ^= 0x20;
		assert_int_equal(
		    mf_frame_decode(mf_slice_sub(mf_buf_slice(&b), 0, i), &g, NULL), MF_E_INVALID);
	}
	mf_buf_put_u8(&b, 0);
	assert_int_equal(mf_frame_decode(mf_buf_slice(&b), &g, NULL), MF_E_INVALID);
	mf_buf_fini(&b);
}

/* With the checksum made right, what is behind it must hold by itself. */
static void
test_frame_rules(void **state)
{
	MF_UNUSED(state);
	static const struct {
		size_t at;
		uint8_t flip;
		const char *msg;
	} bad[] = {
		{ 0, 1, "frame: does not begin with the magic number" },
		{ 5, 3, "frame: version 2, this program reads 1" },
		{ 6, 0x80, "frame: unknown flags" },
		{ 8, 0xff, "frame: index out of range" },
		{ 15, 1, "frame: tree size is not first index plus count" },
		{ 19, 3, "frame: 0 records in 16 bytes" },
		{ 19, 1, "frame: bytes after its last record" },
		{ 19, 7, "frame: record 3 is cut, empty or too long" },
		{ 23, 0x1f, "frame: longer than it says" },
		{ 23, 0x01, "frame: shorter than it says" },
		{ 56, 0xff, "frame: record 0 is cut, empty or too long" },
		{ 57, 7, "frame: record 0 is cut, empty or too long" },
		{ 79, 1, "frame: tree size is not first index plus count" },
	};
	struct mf_buf b;
	mf_buf_init(&b, MF_FRAME_MAX);
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_frame f, g;
		struct mf_err err = { 0 };
		make_frame(&b, &f);
		b.p[bad[i].at] ^= bad[i].flip;
		uint32_t crc = mf_crc32c(mf_slice(b.p, b.n - 4));
		b.n -= 4;
		mf_buf_put_u32be(&b, crc);
		assert_int_equal(mf_frame_decode(mf_buf_slice(&b), &g, &err), MF_E_INVALID);
		assert_string_equal(err.msg, bad[i].msg);
	}
	mf_buf_fini(&b);
}

static void
test_frame_caps(void **state)
{
	MF_UNUSED(state);
	static uint8_t big[MF_LIM_RECORD + 1];
	static struct mf_slice rec[MF_LIM_WAL_BATCH + 1];
	assert_int_equal(mf_frame_size(NULL, 0), 0);
	rec[0] = mf_slice(big, 0);
	assert_int_equal(mf_frame_size(rec, 1), 0);
	rec[0] = mf_slice(big, sizeof(big));
	assert_int_equal(mf_frame_size(rec, 1), 0);
	rec[0] = mf_slice(big, MF_LIM_RECORD);
	assert_int_equal(mf_frame_size(rec, 1), MF_FRAME_HEAD + 2 + MF_LIM_RECORD + MF_FRAME_TRAIL);
	for (size_t i = 0; i < MF_COUNT(rec); i++)
		rec[i] = mf_slice(big, 1);
	assert_int_equal(mf_frame_size(rec, MF_COUNT(rec)), 0);
	assert_true(mf_frame_size(rec, MF_COUNT(rec) - 1) > 0);
	for (size_t i = 0; i < MF_COUNT(rec); i++)
		rec[i] = mf_slice(big, MF_LIM_RECORD);
	size_t fit = MF_LIM_WAL_FRAME / (2 + MF_LIM_RECORD);
	assert_int_equal(mf_frame_size(rec, fit + 1), 0);
	struct mf_buf b;
	mf_buf_init(&b, MF_FRAME_MAX);
	struct mf_frame f = { 0 }, g;
	assert_int_equal(mf_frame_encode(&f, rec, fit, &b, NULL), MF_OK);
	assert_int_equal(mf_frame_decode(mf_buf_slice(&b), &g, NULL), MF_OK);
	assert_int_equal(mf_frame_encode(&f, rec, fit + 1, &b, NULL), MF_E_TOOBIG);
	f.flags = 0x8000;
	assert_int_equal(mf_frame_encode(&f, rec, 1, &b, NULL), MF_E_INVALID);
	f.flags = 0;
	mf_buf_fini(&b);
	mf_buf_init(&b, 50);
	assert_int_equal(mf_frame_encode(&f, rec, 1, &b, NULL), MF_E_TOOBIG);
	mf_buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_against_definition),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_frame_rules),
		cmocka_unit_test(test_frame_caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
