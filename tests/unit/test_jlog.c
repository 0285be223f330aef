#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "os/jlog.h"

static int out[2];
static char text[1 << 16];

static int
setup(void **state)
{
	MF_UNUSED(state);
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	mf_jlog_to(out[1]);
	mf_jlog_init("tester", MF_LOG_INFO);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jlog_to(2);
	(void)close(out[0]);
	(void)close(out[1]);
	return 0;
}

/* What was logged, with the time checked for its form and cut off: "level...". */
static const char *
logged(void)
{
	ssize_t n = read(out[0], text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	if (n <= 0)
		return "";
	int y, mo, d, h, mi, s, us, end = 0;
	assert_int_equal(sscanf(text, "{\"time\":\"%4d-%2d-%2dT%2d:%2d:%2d.%6dZ\",%n", &y, &mo, &d, &h, &mi,
			     &s, &us, &end),
	    7);
	assert_int_equal(end, 38);
	assert_true(y >= 2024 && mo >= 1 && mo <= 12 && d >= 1 && h < 24 && mi < 60 && s < 61);
	return text + end;
}

static void
test_fields(void **state)
{
	MF_UNUSED(state);
	MF_LOG(MF_LOG_INFO, "a.b", "words");
	assert_string_equal(
	    logged(), "\"level\":\"info\",\"role\":\"tester\",\"event\":\"a.b\",\"msg\":\"words\"}\n");
	MF_LOG(MF_LOG_WARN, "a.c", "w", mf_js("s", "x"), mf_js("none", NULL), mf_ji("i", INT64_MIN),
	    mf_ju("u", UINT64_MAX), mf_jx("h", MF_SLICE_LIT("\1\xab")), mf_jb("t", true), mf_jb("f", false));
	assert_string_equal(logged(),
	    "\"level\":\"warn\",\"role\":\"tester\",\"event\":\"a.c\",\"msg\":\"w\",\"s\":\"x\","
	    "\"i\":-9223372036854775808,\"u\":18446744073709551615,\"h\":\"01ab\",\"t\":true,\"f\":false}\n");
	MF_LOG(MF_LOG_DEBUG, "a.d", "below the level");
	assert_string_equal(logged(), "");
}

static void
test_escapes(void **state)
{
	MF_UNUSED(state);
	const struct {
		struct mf_slice in;
		const char *want;
	} t[] = {
		{ MF_SLICE_LIT("a\"b\\c"), "a\\\"b\\\\c" },
		{ MF_SLICE_LIT("\n\x1b[31m\x7f"), "\\u000a\\u001b[31m\\u007f" },
		{ MF_SLICE_LIT("nul\0in"), "nul\\u0000in" },
		{ MF_SLICE_LIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
		    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ MF_SLICE_LIT("\xff\xc3"), "\\ufffd\\ufffd" },
		{ MF_SLICE_LIT("\xc0\xaf"), "\\ufffd\\ufffd" },
		{ MF_SLICE_LIT("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd" }, /* a surrogate */
		{ MF_SLICE_LIT("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd" },
		{ MF_SLICE_LIT("\xe0\x80\xaf"), "\\ufffd\\ufffd\\ufffd" },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		char want[256];
		MF_LOG(MF_LOG_INFO, "esc", "m", mf_jss("v", t[i].in));
		(void)snprintf(want, sizeof(want),
		    "\"level\":\"info\",\"role\":\"tester\",\"event\":\"esc\",\"msg\":\"m\",\"v\":\"%s\"}\n",
		    t[i].want);
		assert_string_equal(logged(), want);
	}
}

static void
test_cut(void **state)
{
	MF_UNUSED(state);
	static char big[8192];
	memset(big, '"', sizeof(big) - 1);
	MF_LOG(MF_LOG_INFO, "cut", "m", mf_ji("a", 1), mf_js("big", big), mf_ji("z", 2));
	assert_string_equal(logged(),
	    "\"level\":\"info\",\"role\":\"tester\",\"event\":\"cut\",\"msg\":\"m\",\"a\":1,\"cut\":true}\n");
	MF_LOG(MF_LOG_INFO, "cut", big);
	assert_string_equal(
	    logged(), "\"level\":\"info\",\"role\":\"tester\",\"event\":\"cut\",\"cut\":true}\n");
	big[3500] = '\0';
	memset(big, 'x', 3500);
	MF_LOG(MF_LOG_INFO, "cut", "m", mf_js("big", big), mf_js("z", big));
	size_t n = strlen(logged());
	assert_true(n > 3500 && n < 4096);
	assert_non_null(strstr(text, ",\"cut\":true}\n"));
}

static void
test_rate(void **state)
{
	MF_UNUSED(state);
	size_t lines = 0;
	for (int i = 0; i < 1000; i++) {
		MF_LOG(MF_LOG_INFO, "flood", "m");
		if (logged()[0] != '\0')
			lines++;
	}
	/* The burst, and what a slow machine earned meanwhile; other events are not touched by it. */
	assert_true(lines >= MF_JLOG_BURST && lines < 1000);
	MF_LOG(MF_LOG_INFO, "calm", "m");
	assert_string_equal(
	    logged(), "\"level\":\"info\",\"role\":\"tester\",\"event\":\"calm\",\"msg\":\"m\"}\n");
	bool seen = false;
	for (int i = 0; i < 1000 && !seen; i++) {
		struct timespec ts = { 0, 10000000 };
		MF_LOG(MF_LOG_INFO, "flood", "m");
		seen = strstr(logged(), "\"suppressed\":") != NULL;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	}
	assert_true(seen);
}

static void
test_dropped(void **state)
{
	MF_UNUSED(state);
	static char fill[65536];
	while (write(out[1], fill, sizeof(fill)) > 0)
		;
	while (write(out[1], fill, 1) > 0)
		;
	MF_LOG(MF_LOG_INFO, "drop.1", "m");
	MF_LOG(MF_LOG_INFO, "drop.2", "m");
	while (read(out[0], fill, sizeof(fill)) > 0)
		;
	MF_LOG(MF_LOG_INFO, "drop.3", "m");
	assert_string_equal(logged(),
	    "\"level\":\"info\",\"role\":\"tester\",\"event\":\"drop.3\",\"msg\":\"m\",\"dropped\":2}\n");
}

static void
test_err_and_handler(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { .code = MF_E_IO, .line = 12, .file = "/build/lib/x.c", .msg = "no space" };
	mf_jlog_err(MF_LOG_ERROR, "e", "m", &err);
	assert_string_equal(logged(),
	    "\"level\":\"error\",\"role\":\"tester\",\"event\":\"e\",\"msg\":\"m\","
	    "\"code\":\"io\",\"error\":\"no space\",\"file\":\"x.c\",\"line\":12}\n");
	mf_jlog_from_handler("h", "m", "syscall", "openat");
	assert_string_equal(logged(), "\"level\":\"error\",\"role\":\"tester\",\"event\":\"h\",\"msg\":\"m\","
				      "\"syscall\":\"openat\"}\n");
}

static void *
many(void *arg)
{
	for (int i = 0; i < 20; i++)
		MF_LOG(MF_LOG_INFO, arg, "from a thread", mf_ji("i", i));
	return NULL;
}

static void
test_threads(void **state)
{
	MF_UNUSED(state);
	static char names[4][8] = { "t.0", "t.1", "t.2", "t.3" };
	pthread_t t[4];
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, names[i]), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	(void)logged();
	size_t lines = 0;
	for (const char *p = text; *p != '\0'; lines++) {
		assert_memory_equal(p, "{\"time\":\"", 9);
		p = strchr(p, '\n');
		assert_non_null(p);
		assert_int_equal(p[-1], '}');
		p++;
	}
	assert_int_equal(lines, 80);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_fields), T(test_escapes), T(test_cut), T(test_rate),
		T(test_dropped), T(test_err_and_handler), T(test_threads) };
	return cmocka_run_group_tests_name("jlog", tests, NULL, NULL);
}
