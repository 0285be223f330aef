/* Signed notes and checkpoints: examples of other implementations, each rule, and each failing call of publication. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "log/checkpoint.h"
#include "log/note.h"
#include "memdisk.h"

/* The keys, text and signatures of the example in the documentation of Go's sumdb/note. */
static const char peter_seed[] = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
static const char peter[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char enoch[] = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
#define TEXT                                                         \
	"If you think cryptography is the answer to your problem,\n" \
	"then you don't know what your problem is.\n"
#define PETER_SIG           \
	"— PeterNeumann " \
	"x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
#define ENOCH_SIG        \
	"— EnochRoot " \
	"rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"

static void
must_key(const char *vkey, struct mf_note_key *k)
{
	struct mf_err err = { 0 };
	if (mf_note_key_parse(mf_slice_str(vkey), k, &err) != MF_OK)
		fail_msg("%s: %s", vkey, err.msg);
}

static struct mf_ed25519 *
peter_key(void)
{
	struct mf_buf b;
	mf_buf_init(&b, 64);
	struct mf_ed25519 *k = NULL;
	assert_int_equal(mf_base64_get(mf_slice_str(peter_seed), &b, NULL), MF_OK);
	assert_int_equal(mf_ed25519_new(mf_buf_slice(&b), &k, NULL), MF_OK);
	mf_buf_fini(&b);
	return k;
}

static void
test_example(void **state)
{
	MF_UNUSED(state);
	struct mf_note_key keys[2];
	must_key(peter, &keys[0]);
	must_key(enoch, &keys[1]);
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	mf_note_key_put(&keys[0], &b);
	assert_string_equal(mf_buf_cstr(&b), peter);
	/* Ed25519 is deterministic: our signature is theirs, letter for letter. */
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = peter_key();
	mf_buf_reset(&b);
	assert_int_equal(mf_note_sign(mf_slice_str(TEXT), MF_SLICE_LIT("PeterNeumann"), k, &b, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&b), TEXT "\n" PETER_SIG);
	mf_buf_fini(&b);

	struct mf_slice text;
	const struct mf_note_key *by = NULL;
	static const char both[] = TEXT "\n" PETER_SIG ENOCH_SIG;
	assert_int_equal(mf_note_open(mf_slice_str(both), keys, 2, &text, &by, NULL), MF_OK);
	assert_true(mf_slice_eq_str(text, TEXT) && by == &keys[0]);
	assert_int_equal(mf_note_open(mf_slice_str(both), &keys[1], 1, &text, &by, NULL), MF_OK);
	assert_ptr_equal(by, &keys[1]);
	static const char one[] = TEXT "\n" PETER_SIG;
	assert_int_equal(mf_note_open(mf_slice_str(one), &keys[1], 1, &text, &by, NULL), MF_E_UNAUTH);
	assert_int_equal(mf_note_open(mf_slice_str(one), keys, 0, &text, &by, NULL), MF_E_UNAUTH);
	/* Each letter of the text matters; each letter of the signature too. */
	char copy[sizeof(one)];
	for (size_t i = 0; i < sizeof(one) - 1; i++) {
		memcpy(copy, one, sizeof(one));
		copy[i] = copy[i] == 'B' ? 'C' : 'B';
		assert_int_not_equal(mf_note_open(mf_slice_str(copy), keys, 2, &text, &by, NULL), MF_OK);
	}
}

static void
test_bad_notes(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *note;
		enum mf_status want;
	} cases[] = {
		{ "", MF_E_INVALID },
		{ "\n", MF_E_INVALID },
		{ TEXT, MF_E_INVALID },
		{ TEXT "\n", MF_E_INVALID },
		{ TEXT PETER_SIG, MF_E_INVALID },
		{ "\n" PETER_SIG, MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "x", MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "x\n", MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "\n", MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "— PeterNeumann AAAA\n", MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "— PeterNeumann\n", MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "—  AAAAAAA=\n", MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "- PeterNeumann AAAAAAA=\n", MF_E_INVALID },
		{ TEXT "\n" PETER_SIG "— PeterNeumann x08go/Zk\n", MF_E_UNAUTH },
		{ TEXT "\n\r" PETER_SIG, MF_E_INVALID },
		{ TEXT "\t\n\n" PETER_SIG, MF_E_INVALID },
		{ TEXT "\xff\n\n" PETER_SIG, MF_E_INVALID },
		{ TEXT "more\n\n" PETER_SIG, MF_E_UNAUTH },
		{ TEXT "\n" PETER_SIG "— somebody AAAAAAA=\n", MF_OK },
		{ TEXT "\n" PETER_SIG PETER_SIG, MF_OK },
	};
	struct mf_note_key key;
	must_key(peter, &key);
	struct mf_slice text;
	const struct mf_note_key *by;
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		enum mf_status s = mf_note_open(mf_slice_str(cases[i].note), &key, 1, &text, &by, NULL);
		if (s != cases[i].want)
			fail_msg("case %zu: %s", i, mf_status_name(s));
	}
	struct mf_buf b;
	mf_buf_init(&b, 100000);
	mf_buf_put_str(&b, TEXT "\n" PETER_SIG);
	for (size_t i = 1; i < MF_LIM_NOTE_SIGS; i++)
		mf_buf_put_str(&b, "— somebody AAAAAAA=\n");
	assert_int_equal(mf_note_open(mf_buf_slice(&b), &key, 1, &text, &by, NULL), MF_OK);
	mf_buf_put_str(&b, "— somebody AAAAAAA=\n");
	assert_int_equal(mf_note_open(mf_buf_slice(&b), &key, 1, &text, &by, NULL), MF_E_TOOBIG);
	mf_buf_fini(&b);
	static const char *const bad_keys[] = { "", "PeterNeumann", "PeterNeumann+c74f20a3",
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumana+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy",
		"+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW" };
	for (size_t i = 0; i < MF_COUNT(bad_keys); i++)
		assert_int_equal(mf_note_key_parse(mf_slice_str(bad_keys[i]), &key, NULL), MF_E_INVALID);
	assert_int_equal(
	    mf_note_key_parse(
		MF_SLICE_LIT("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"), &key,
		NULL),
	    MF_E_UNSUPPORTED);
	assert_int_equal(
	    mf_note_key_parse(
		MF_SLICE_LIT("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n"), &key,
		NULL),
	    MF_OK);
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = peter_key();
	mf_buf_init(&b, 1000);
	assert_int_equal(
	    mf_note_sign(MF_SLICE_LIT("no newline"), MF_SLICE_LIT("a"), k, &b, NULL), MF_E_INVALID);
	assert_int_equal(mf_note_sign(MF_SLICE_LIT("x\n"), MF_SLICE_LIT("a+b"), k, &b, NULL), MF_E_INVALID);
	mf_buf_fini(&b);
}

#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static void
test_checkpoint_text(void **state)
{
	MF_UNUSED(state);
	struct mf_checkpoint cp;
	static const char good[] = "example.org/log\n0\n" ROOT "\n";
	assert_int_equal(mf_checkpoint_parse(mf_slice_str(good), &cp, NULL), MF_OK);
	assert_string_equal(cp.origin, "example.org/log");
	assert_true(cp.head.size == 0 && cp.head.root[0] == 0xe3);
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	mf_checkpoint_put(&cp, &b);
	assert_string_equal(mf_buf_cstr(&b), good);
	mf_buf_fini(&b);
	assert_int_equal(
	    mf_checkpoint_parse(MF_SLICE_LIT("o\n18446744073709551615\n" ROOT "\next\n"), &cp, NULL), MF_OK);
	static const char *const bad[] = { "", "o\n", "o\n1\n", "o\n1\n" ROOT, "o\n01\n" ROOT "\n",
		"\n1\n" ROOT "\n", "o\n-1\n" ROOT "\n", "o\n1\nAAAA\n", "o\n1\n" ROOT "\n\n",
		"o\n1\n" ROOT "\nx", "o\n1 \n" ROOT "\n", "o\n18446744073709551616\n" ROOT "\n" };
	static const char nul[] = "o\0x\n1\n" ROOT "\n";
	assert_int_equal(mf_checkpoint_parse(mf_slice(nul, sizeof(nul) - 1), &cp, NULL), MF_E_INVALID);
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_checkpoint_parse(mf_slice_str(bad[i]), &cp, NULL), MF_E_INVALID);
}

static struct mf_wal_head
head_of(uint64_t size)
{
	struct mf_wal_head h = { .size = size };
	for (size_t i = 0; i < MF_HASH_SIZE; i++)
		h.root[i] = (uint8_t)(size * 7 + i);
	return h;
}

static void
test_checkpointer(void **state)
{
	MF_UNUSED(state);
	struct memdisk *d = mf_memdisk_new(100000, 1);
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = peter_key();
	struct mf_note_key key;
	must_key(peter, &key);
	MF_AUTO(mf_checkpointer_free) struct mf_checkpointer *c = NULL;
	struct mf_checkpoint cp;
	assert_int_equal(mf_checkpoint_load(mf_memdisk_io(d), 3, &key, &cp, NULL), MF_E_NOTFOUND);
	assert_int_equal(
	    mf_checkpointer_new(mf_memdisk_io(d), 3, MF_SLICE_LIT("a b"), k, NULL, &c, NULL), MF_E_INVALID);
	assert_int_equal(
	    mf_checkpointer_new(mf_memdisk_io(d), 3, MF_SLICE_LIT("PeterNeumann"), k, NULL, &c, NULL), MF_OK);
	for (uint64_t size = 0; size < 30; size += 3) {
		struct mf_wal_head h = head_of(size), fork = h;
		assert_int_equal(mf_checkpointer_publish(c, &h, NULL), MF_OK);
		assert_int_equal(mf_checkpoint_load(mf_memdisk_io(d), 3, &key, &cp, NULL), MF_OK);
		assert_memory_equal(&cp.head, &h, sizeof(h));
		/* Again: nothing to do. Another tree of that size, or less: never. */
		uint64_t calls = mf_memdisk_calls(d);
		assert_int_equal(mf_checkpointer_publish(c, &h, NULL), MF_OK);
		fork.root[0] ^= 1;
		assert_int_equal(mf_checkpointer_publish(c, &fork, NULL), MF_E_STATE);
		fork = head_of(size - 1);
		if (size > 0)
			assert_int_equal(mf_checkpointer_publish(c, &fork, NULL), MF_E_STATE);
		assert_true(mf_memdisk_calls(d) == calls);
		/* A full disk does not stop it: the next file has its block already. */
		mf_memdisk_capacity(d, size == 12 ? 0 : 100000);
	}
	mf_checkpointer_free(MF_TAKE(c));
	struct mf_wal_head h = head_of(27), older = head_of(26);
	assert_int_equal(
	    mf_checkpointer_new(mf_memdisk_io(d), 3, MF_SLICE_LIT("PeterNeumann"), k, &h, &c, NULL), MF_OK);
	assert_int_equal(mf_checkpointer_publish(c, &older, NULL), MF_E_STATE);
	/* Another log's, and a damaged one. */
	struct mf_note_key other;
	must_key(enoch, &other);
	assert_int_equal(mf_checkpoint_load(mf_memdisk_io(d), 3, &other, &cp, NULL), MF_E_UNAUTH);
	size_t n = 0;
	uint8_t *p = mf_memdisk_file(d, MF_CHECKPOINT_NAME, &n);
	assert_non_null(p);
	p[n - 1] = 'x';
	struct mf_err err = { 0 };
	assert_int_equal(mf_checkpoint_load(mf_memdisk_io(d), 3, &key, &cp, &err), MF_E_CORRUPT);
	assert_int_equal(err.code, MF_E_CORRUPT);
	mf_memdisk_free(d);
}

/* Each call of a publication fails in each way: the old or the new head is there, and a second try works. */
static void
test_publish_fails(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = peter_key();
	struct mf_note_key key;
	must_key(peter, &key);
	uint64_t total = 0;
	for (int f = MEMDISK_EIO; f < MEMDISK_FAULTS; f++)
		for (uint64_t nth = 1;; nth++, total++) {
			struct memdisk *d = mf_memdisk_new(100000, nth);
			const struct mf_log_io *io = mf_memdisk_io(d);
			struct mf_checkpointer *c = NULL;
			struct mf_wal_head old = head_of(5), new = head_of(9), fork = head_of(9);
			struct mf_checkpoint cp;
			fork.root[3] ^= 1;
			assert_int_equal(
			    mf_checkpointer_new(io, 3, MF_SLICE_LIT("PeterNeumann"), k, NULL, &c, NULL),
			    MF_OK);
			assert_int_equal(mf_checkpointer_publish(c, &old, NULL), MF_OK);
			mf_memdisk_arm(d, nth, (enum mf_memdisk_fault)f);
			enum mf_status s = mf_checkpointer_publish(c, &new, NULL);
			bool struck = mf_memdisk_struck(d);
			mf_memdisk_arm(d, 0, MEMDISK_NONE);
			if (f >= MEMDISK_POWER_BEFORE && struck) {
				mf_checkpointer_free(c);
				mf_memdisk_power_loss(d);
				assert_int_equal(mf_checkpoint_load(io, 3, &key, &cp, NULL), MF_OK);
				assert_true(cp.head.size == 9 || (cp.head.size == 5 && s != MF_OK));
				old = cp.head;
				assert_int_equal(mf_checkpointer_new(
						     io, 3, MF_SLICE_LIT("PeterNeumann"), k, &old, &c, NULL),
				    MF_OK);
			} else {
				assert_int_equal(mf_checkpoint_load(io, 3, &key, &cp, NULL), MF_OK);
				assert_true(cp.head.size == 9 || (cp.head.size == 5 && s != MF_OK));
				if (s != MF_OK) /* it may be out there: nothing else of that size */
					assert_int_equal(mf_checkpointer_publish(c, &fork, NULL), MF_E_STATE);
			}
			assert_int_equal(mf_checkpointer_publish(c, &new, NULL), MF_OK);
			mf_checkpointer_free(c);
			mf_memdisk_power_loss(d);
			assert_int_equal(mf_checkpoint_load(io, 3, &key, &cp, NULL), MF_OK);
			assert_memory_equal(&cp.head, &new, sizeof(new));
			mf_memdisk_free(d);
			if (!struck)
				break;
		}
	assert_true(total > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_bad_notes),
		cmocka_unit_test(test_checkpoint_text),
		cmocka_unit_test(test_checkpointer),
		cmocka_unit_test(test_publish_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
