#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/net_metrics.h"

static void
has(const char *text, const char *line)
{
	if (strstr(text, line) == NULL)
		fail_msg("missing: %s in:\n%s", line, text);
}

static void
test_text(void **state)
{
	MF_UNUSED(state);
	struct mf_net_counters a = { 0 }, b = { 0 };
	struct mf_buf out;
	a.open = 3;
	a.accepted = 7;
	a.closed[MF_NET_CALM] = 2;
	a.grpc.finished[MF_GRPC_PERMISSION_DENIED] = 5;
	b.grpc.h2.ping_in = 11;
	const struct mf_net_metrics_item items[] = { { "jobs", &a }, { "admin", &b } };
	mf_buf_init(&out, 1u << 20);
	mf_net_metrics_put(&out, "mayfly_agent", items, 2);
	const char *text = mf_buf_cstr(&out);
	assert_non_null(text);
	has(text, "# HELP mayfly_agent_net_connections Open connections\n# TYPE mayfly_agent_net_connections "
		  "gauge\n"
		  "mayfly_agent_net_connections{listener=\"jobs\"} "
		  "3\nmayfly_agent_net_connections{listener=\"admin\"} "
		  "0\n# HELP");
	has(text,
	    "# TYPE mayfly_agent_net_accepted counter\nmayfly_agent_net_accepted_total{listener=\"jobs\"} 7\n"
	    "mayfly_agent_net_accepted_total{listener=\"admin\"} 0\n# HELP");
	has(text, "\nmayfly_agent_net_closed_total{listener=\"jobs\",why=\"flood\"} 2\n# HELP");
	has(text, "\nmayfly_agent_net_calls_finished_total{listener=\"jobs\",code=\"PERMISSION_DENIED\"} "
		  "5\n# HELP");
	has(text, "\nmayfly_agent_net_control_frames_in_total{listener=\"admin\",type=\"ping\"} 11\n# HELP");
	assert_int_equal(out.p[out.n - 1], '\n');
	mf_buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
