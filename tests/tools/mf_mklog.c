/*
 * mf_mklog DIR SIGNED [UNSIGNED [BATCH [SEGMENT]]]: a log of SIGNED records under a signed head and UNSIGNED
 * after it, for programs of others to verify. Prints its vkey.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "log_kit.h"

static uint64_t
number(int argc, char **argv, int at, uint64_t otherwise)
{
	uint64_t v = otherwise;
	if (argc > at && !mf_parse_u64(mf_slice_str(argv[at]), &v))
		return otherwise;
	return v;
}

int
main(int argc, char **argv)
{
	struct log_kit k;
	uint64_t n = number(argc, argv, 2, 0), tail = number(argc, argv, 3, 0);
	if (argc < 3) {
		(void)fprintf(stderr, "usage: mf_mklog DIR SIGNED [UNSIGNED [BATCH [SEGMENT]]]\n");
		return 2;
	}
	int64_t start = mf_now().wall_us - (int64_t)(n + tail) * 1000;
	mf_log_kit_open(&k, argv[1], start, number(argc, argv, 5, MF_LIM_WAL_SEGMENT));
	mf_log_kit_append(&k, n, number(argc, argv, 4, 16));
	mf_log_kit_sign(&k);
	mf_log_kit_append(&k, tail, number(argc, argv, 4, 16));
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	mf_note_key_put(&k.vkey, &b);
	(void)printf("%s\n", mf_buf_cstr(&b));
	mf_buf_fini(&b);
	mf_log_kit_close(&k);
	return 0;
}
