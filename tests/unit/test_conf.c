/* Strict YAML, the schema engine, and the configurations of broker and agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "conf/agent_conf.h"
#include "conf/broker_conf.h"

/* All problems as one text, which the caller frees. */
static char *
told(struct mf_problems *p)
{
	struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	mf_problems_put(p, &b);
	char *s = mf_slice_dup_str(mf_buf_slice(&b));
	mf_buf_fini(&b);
	assert_non_null(s);
	return s;
}

static void
test_yaml_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "a: &x 1\nb: 2\n", "f:1:4: anchors (&name) are not allowed: write the value out\n" },
		{ "a: &x 1\nb: *x\n", "f:1:4: anchors (&name) are not allowed: write the value out\nf:2:4: "
				      "aliases (*name) are not allowed: "
				      "write the value out\n" },
		{ "a: !!str 1\n",
		    "f:1:4: tags (!type) are not allowed: remove it, types come from the key\n" },
		{ "a: !x [1]\n",
		    "f:1:4: tags (!type) are not allowed: remove it, types come from the key\n" },
		{ "%YAML 1.1\n---\na: 1\n",
		    "f:1:1: directives (%YAML, %TAG) are not allowed: remove them\n" },
		{ "a: 1\n---\nb: 2\n",
		    "f:2:1: only one document may be in the file: remove what begins here\n" },
		{ "a: 1\na: 2\n", "f:2:1: the key `a` is here twice (first in line 1): remove one\n" },
		{ "{\"a\": 1, \"\\u0061\": 2}",
		    "f:1:10: the key `a` is here twice (first in line 1): remove one\n" },
		{ "b:\n  x: 1\n  y: 2\n  x: 3\na: 1\na: 2\n",
		    "f:4:3: the key `x` is here twice (first in line 2): remove one\nf:6:1: the key `a` is "
		    "here twice (first "
		    "in line 5): remove one\n" },
		{ "? [a]\n: 1\n", "f:1:3: a key must be text, not a list or map\n" },
		{ "a: \"x\\0y\"\n", "f:1:4: a NUL character is not allowed: remove \\0 or \\x00\n" },
		{ "a: \xff\n", "f: not UTF-8, or holds a NUL: save it as UTF-8 text\n" },
		{ "a:\n\t- b\n", "f:2:1: not YAML: found character that cannot start any token while "
				 "scanning for the next token (a tab: "
				 "indent with spaces)\n" },
		{ "a: [1\n",
		    "f:2:1: not YAML: did not find expected ',' or ']' while parsing a flow sequence\n" },
		{ "a: 1\n b: 2\n", "f:2:3: not YAML: mapping values are not allowed in this context\n" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
		MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL;
		struct mf_err err;
		(void)!mf_yaml_parse(mf_slice_str(cases[i].in), p, &doc, &err);
		char *got = told(p);
		assert_string_equal(got, cases[i].want);
		free(got);
	}
}

static void
test_yaml_caps(void **state)
{
	MF_UNUSED(state);
	static char deep[2 * MF_LIM_YAML_DEPTH + 4];
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL;
	struct mf_err err = { 0 };
	memset(deep, '[', MF_LIM_YAML_DEPTH);
	memset(deep + MF_LIM_YAML_DEPTH, ']', MF_LIM_YAML_DEPTH);
	assert_int_equal(mf_yaml_parse(mf_slice(deep, 2 * (size_t)MF_LIM_YAML_DEPTH), p, &doc, &err), MF_OK);
	memset(deep, '[', MF_LIM_YAML_DEPTH + 1);
	memset(deep + MF_LIM_YAML_DEPTH + 1, ']', MF_LIM_YAML_DEPTH + 1);
	mf_yaml_free(MF_TAKE(doc));
	assert_int_equal(
	    mf_yaml_parse(mf_slice(deep, 2 * (size_t)MF_LIM_YAML_DEPTH + 2), p, &doc, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "f:1:33: more than 32 levels of nesting: split the file");

	struct mf_buf b;
	mf_buf_init(&b, 2 * (size_t)MF_LIM_YAML);
	for (size_t i = 0; i < MF_LIM_YAML_NODES; i++)
		mf_buf_put_str(&b, "- a\n");
	MF_AUTO(mf_problems_free) struct mf_problems *q = mf_problems_new("f");
	assert_int_equal(mf_yaml_parse(mf_buf_slice(&b), q, &doc, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "more than 200000 values"));
	while (b.n <= MF_LIM_YAML)
		mf_buf_put_str(&b, "# filling a file that is larger than is read\n");
	assert_int_equal(mf_yaml_parse(mf_buf_slice(&b), q, &doc, &err), MF_E_TOOBIG);
	mf_buf_fini(&b);
}

static void
test_yaml_tree(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL, *none = NULL;
	assert_int_equal(
	    mf_yaml_parse(MF_SLICE_LIT("# c\na: yes\nl: [1, \"two\", {x: ''}]\nn:\n"), p, &doc, NULL), MF_OK);
	const struct mf_yaml_node *root = mf_yaml_root(doc), *l = mf_yaml_get(root, "l");
	assert_int_equal(root->kind, MF_YAML_MAP);
	assert_int_equal(root->n, 3);
	assert_true(mf_slice_eq_str(mf_yaml_get(root, "a")->text, "yes"));
	assert_int_equal(l->n, 3);
	assert_int_equal(l->line, 3);
	assert_int_equal(l->col, 4);
	assert_true(l->first->plain && !l->first->next->plain);
	assert_non_null(mf_yaml_get(l->first->next->next, "x"));
	assert_null(mf_yaml_get(l, "x"));
	assert_int_equal(mf_yaml_get(root, "n")->text.n, 0);
	assert_int_equal(mf_yaml_parse(MF_SLICE_LIT(""), p, &none, NULL), MF_OK);
	assert_int_equal(mf_yaml_root(none)->kind, MF_YAML_MAP);
	/* An empty file may come without memory. */
	mf_yaml_free(MF_TAKE(none));
	assert_int_equal(mf_yaml_parse(mf_slice(NULL, 0), p, &none, NULL), MF_OK);
	assert_int_equal(mf_yaml_root(none)->kind, MF_YAML_MAP);
	assert_int_equal(mf_problems_count(p), 0);
}

/* A table with every type. */
struct item {
	const struct mf_yaml_node *self;
	const char *name;
	int64_t n;
};
struct all {
	const char *s;
	int64_t i, date;
	bool b;
	uint64_t d, size;
	int e;
	struct mf_conf_strings list;
	struct mf_conf_ints ints;
	struct {
		const char *in;
		bool flag;
	} o;
	struct mf_conf_items items, map;
	const struct mf_yaml_node *tree;
};
static const char *const words[] = { "red", "green", "blue", NULL };
static const struct mf_conf_field item_fields[] = {
	{ .type = MF_CONF_SELF, .at = offsetof(struct item, self) },
	{ .type = MF_CONF_NAME, .at = offsetof(struct item, name) },
	{ .key = "n",
	    .type = MF_CONF_INT,
	    .at = offsetof(struct item, n),
	    .required = true,
	    .min = -5,
	    .max = 5,
	    .help = "a number" },
};
static const struct mf_conf_schema item_schema = MF_CONF_SCHEMA(item_fields, struct item);
static const struct mf_conf_field o_fields[] = {
	{ .key = "in_path",
	    .type = MF_CONF_STRING,
	    .check = mf_conf_check_path,
	    .def = "/d",
	    .help = "inner" },
	{ .key = "flag", .type = MF_CONF_BOOL, .at = sizeof(const char *) },
};
static const struct mf_conf_schema o_schema = { o_fields, 2, sizeof(((struct all *)0)->o), false };
#define F(member) .at = offsetof(struct all, member)
static const struct mf_conf_field all_fields[] = {
	{ .key = "s", .type = MF_CONF_STRING, F(s), .min = 1, .max = 8, .def = "x", .help = "text" },
	{ .key = "i", .type = MF_CONF_INT, F(i), .min = -10, .max = 10, .def = "7" },
	{ .key = "date", .type = MF_CONF_DATE, F(date) },
	{ .key = "b", .type = MF_CONF_BOOL, F(b) },
	{ .key = "d", .type = MF_CONF_DURATION, F(d), .min = 1000, .max = 3600000, .def = "90s" },
	{ .key = "size", .type = MF_CONF_SIZE, F(size), .min = 1024, .max = 1 << 20, .def = "4KiB" },
	{ .key = "e", .type = MF_CONF_ENUM, F(e), .words = words, .def = "green" },
	{ .key = "list", .type = MF_CONF_STRINGS, F(list), .max = 3, .check = mf_conf_check_name },
	{ .key = "ints", .type = MF_CONF_INTS, F(ints) },
	{ .key = "o_o", .type = MF_CONF_OBJECT, F(o), .sub = &o_schema },
	{ .key = "items", .type = MF_CONF_OBJECTS, F(items), .max = 2, .sub = &item_schema },
	{ .key = "map", .type = MF_CONF_MAP, F(map), .sub = &item_schema },
	{ .key = "tree", .type = MF_CONF_TREE, F(tree) },
};
#undef F
static const struct mf_conf_schema all_schema = MF_CONF_SCHEMA(all_fields, struct all);

struct loaded {
	struct all all;
	struct mf_arena *arena;
	struct mf_yaml *doc;
	struct mf_problems *problems;
};

static struct loaded
load(const char *text, char *const *env, char *const *argv)
{
	struct loaded l = { .arena = mf_arena_new(1 << 20), .problems = mf_problems_new("f") };
	static const char *const own[] = { "config=", "help", NULL };
	assert_int_equal(mf_yaml_parse(mf_slice_str(text), l.problems, &l.doc, NULL), MF_OK);
	assert_int_equal(
	    mf_conf_read(&all_schema, mf_yaml_root(l.doc), l.arena, l.problems, &l.all, NULL), MF_OK);
	assert_int_equal(
	    mf_conf_override(&all_schema, env, argv, own, l.arena, l.problems, &l.all, NULL), MF_OK);
	return l;
}

static void
unload(struct loaded *l)
{
	mf_problems_free(l->problems);
	mf_yaml_free(l->doc);
	mf_arena_free(l->arena);
}

static void
test_schema_defaults(void **state)
{
	MF_UNUSED(state);
	struct loaded l = load("{}", NULL, NULL);
	assert_int_equal(mf_problems_count(l.problems), 0);
	assert_string_equal(l.all.s, "x");
	assert_int_equal(l.all.i, 7);
	assert_int_equal(l.all.d, 90000);
	assert_int_equal(l.all.size, 4096);
	assert_int_equal(l.all.e, 1);
	assert_string_equal(l.all.o.in, "/d");
	assert_int_equal(l.all.list.n, 0);
	assert_null(l.all.tree);
	unload(&l);
}

static void
test_schema_values(void **state)
{
	MF_UNUSED(state);
	struct loaded l =
	    load("s: yes\ni: -3\ndate: 1970-01-03\nb: true\nd: 20m\nsize: 8KiB\ne: blue\n"
		 "list: [b, a]\nints: [0, 4294967295]\no_o: {in_path: /e/f, flag: true}\n"
		 "items: [{n: 1}, {n: -5}]\nmap:\n  m1: {n: 2}\n  m2: {n: 3}\ntree: {all: [x]}\n",
		NULL, NULL);
	assert_int_equal(mf_problems_count(l.problems), 0);
	assert_string_equal(l.all.s, "yes"); /* no YAML 1.1 booleans */
	assert_int_equal(l.all.i, -3);
	assert_int_equal(l.all.date, 2 * 86400);
	assert_true(l.all.b && l.all.o.flag);
	assert_int_equal(l.all.d, 1200000);
	assert_int_equal(l.all.size, 8192);
	assert_int_equal(l.all.e, 2);
	assert_int_equal(l.all.list.n, 2);
	assert_string_equal(l.all.list.v[0], "b");
	assert_true(l.all.ints.n == 2 && l.all.ints.v[1] == 4294967295);
	assert_string_equal(l.all.o.in, "/e/f");
	const struct item *items = l.all.items.v, *map = l.all.map.v;
	assert_int_equal(l.all.items.n, 2);
	assert_int_equal(items[1].n, -5);
	assert_string_equal(items[1].name, "");
	assert_int_equal(items[1].self->line, 11);
	assert_int_equal(l.all.map.n, 2);
	assert_string_equal(map[1].name, "m2");
	assert_int_equal(map[1].n, 3);
	assert_int_equal(l.all.tree->kind, MF_YAML_MAP);
	unload(&l);
}

/* Everything at once, each with its place and cure. */
static void
test_schema_problems(void **state)
{
	MF_UNUSED(state);
	struct loaded l = load("s: 123456789\n"
			       "i: 0x7\n"
			       "date: 2027-02-30\n"
			       "b: yes\n"
			       "d: 20\n"
			       "size: 2MiB\n"
			       "e: gren\n"
			       "list: [a, B, c]\n"
			       "ints: [1, -1]\n"
			       "o_o: {in_pat: /x, flag: {}}\n"
			       "items: [{n: 6}, {}, x]\n"
			       "map: {m: {n: }, k: {q: 1}}\n"
			       "itmes: []\n"
			       "something: 1\n"
			       "tree:\n",
	    NULL, NULL);
	char *got = told(l.problems);
	assert_string_equal(got,
	    "f:1:4: `s` must be 1 to 8 bytes of text, this is 9\n"
	    "f:2:4: `i` must be a whole number in decimal, without quotes or leading zeros (here: 0x7)\n"
	    "f:3:7: `date` must be a date like 2027-02-01 (here: 2027-02-30)\n"
	    "f:4:4: `b` must be true or false (here: yes)\n"
	    "f:5:4: `d` must be a duration: a number and ms, s, m, h or d, like 20m (here: 20)\n"
	    "f:6:7: `size` must be 1024 to 1048576 bytes\n"
	    "f:7:4: `e` must be `red`, `green` or `blue` (here: gren); did you mean `green`?\n"
	    "f:8:11: `list` must be 1 to 64 of a-z, 0-9, . - _ and begin with a letter or digit (here: B)\n"
	    "f:9:11: `ints` must be 0 to 4294967295, this is -1\n"
	    "f:10:7: unknown key `in_pat`; did you mean `in_path`?\n"
	    "f:10:25: `flag` must be a text, this is a map\n"
	    "f:11:8: `items` must have 0 to 2 elements, these are 3\n"
	    "f:12:11: `n` has no value: give it one or remove the line\n"
	    "f:12:20: `n` is missing: add it (a number)\n"
	    "f:12:21: unknown key `q`: remove it (known here: n)\n"
	    "f:13:1: unknown key `itmes`; did you mean `items`?\n"
	    "f:14:1: unknown key `something`: remove it (known here: s, i, date, b, d, size, e, list, ints, "
	    "o_o, items, map, "
	    "tree)\n");
	free(got);
	assert_string_equal(l.all.s, "x"); /* what is wrong keeps its default */
	assert_int_equal(l.all.list.n, 0);
	struct mf_err err = { 0 };
	assert_int_equal(mf_problems_check(l.problems, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "f:1:4: `s` must be 1 to 8 bytes of text, this is 9 (and 16 more)");
	unload(&l);
}

static void
test_problem_cap(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	for (int i = 0; i < 60; i++)
		mf_buf_putf(&b, "k%d_unknown: 1\n", i);
	struct loaded l = load(mf_buf_cstr(&b), NULL, NULL);
	assert_int_equal(mf_problems_count(l.problems), 60);
	char *got = told(l.problems);
	assert_non_null(strstr(got, "f:50:1: unknown key `k49_unknown`"));
	assert_null(strstr(got, "k50_unknown"));
	assert_non_null(strstr(got, "\nf: and 10 more\n"));
	free(got);
	unload(&l);
	mf_buf_fini(&b);
}

/* Flag over variable over file over default. */
static void
test_override(void **state)
{
	MF_UNUSED(state);
	char e1[] = "MAYFLY_S=env", e2[] = "MAYFLY_I=5", e3[] = "MAYFLY_OTHER=x", e4[] = "PATH=/bin",
	     e5[] = "MAYFLY_O_O_IN_PATH=/env", e6[] = "MAYFLY_LIST=p,q";
	char *env[] = { e1, e2, e3, e4, e5, e6, NULL };
	char a1[] = "--s=flag", a2[] = "--config", a3[] = "/etc/x", a4[] = "--o-o-flag", a5[] = "--d",
	     a6[] = "2m", a7[] = "--ints=", a8[] = "--help";
	char *argv[] = { a1, a2, a3, a4, a5, a6, a7, a8, NULL };
	struct loaded l = load("s: file\ni: 1\nsize: 1KiB\nints: [1]\n", env, argv);
	assert_int_equal(mf_problems_count(l.problems), 0);
	assert_string_equal(l.all.s, "flag");
	assert_int_equal(l.all.i, 5);
	assert_int_equal(l.all.size, 1024);
	assert_int_equal(l.all.d, 120000);
	assert_true(l.all.o.flag);
	assert_string_equal(l.all.o.in, "/env");
	assert_int_equal(l.all.list.n, 2);
	assert_string_equal(l.all.list.v[1], "q");
	assert_int_equal(l.all.ints.n, 0);
	assert_string_equal(mf_conf_own_value(argv, "config"), "/etc/x");
	assert_null(mf_conf_own_value(argv, "confi"));
	assert_true(mf_conf_own_flag(argv, "help"));
	assert_false(mf_conf_own_flag(argv, "h"));
	unload(&l);

	char b1[] = "--ss", b2[] = "--lisst=a", b3[] = "stray", b4[] = "--i=99", b5[] = "--s";
	char *bad[] = { b1, b2, b3, b4, b5, NULL };
	char e7[] = "MAYFLY_E=pink";
	char *bad_env[] = { e7, NULL };
	l = load("", bad_env, bad);
	char *got = told(l.problems);
	assert_string_equal(got, "MAYFLY_E: `e` must be `red`, `green` or `blue` (here: pink)\n"
				 "--ss: unknown flag; --help lists all\n"
				 "--lisst: unknown flag; did you mean --list?\n"
				 "stray: not a flag; --help lists all\n"
				 "--i: `i` must be -10 to 10, this is 99\n"
				 "--s: needs a value\n");
	free(got);
	unload(&l);
}

static struct mf_broker_conf *
broker(const char *text, char *const *argv, char **ret_problems)
{
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("broker.yaml");
	struct mf_broker_conf *c = NULL;
	struct mf_err err;
	enum mf_status s = mf_broker_conf_load(mf_slice_str(text), NULL, argv, NULL, p, &c, &err);
	assert_int_equal(s == MF_OK, mf_problems_count(p) == 0);
	*ret_problems = told(p);
	return c;
}

static void
test_broker(void **state)
{
	MF_UNUSED(state);
	char *problems = NULL;
	struct mf_broker_conf *c = broker("trust_domain: example.org\n", NULL, &problems);
	assert_string_equal(problems, "");
	assert_string_equal(c->trust_domain, "example.org");
	assert_string_equal(c->broker_id, "b1");
	assert_string_equal(c->listen, "0.0.0.0:8461");
	assert_string_equal(c->admin_socket, "/run/mayfly/admin.sock");
	assert_string_equal(c->kek.file, "/var/lib/mayfly/broker/kek");
	assert_int_equal(c->lease_ttl_ms, 300000);
	assert_int_equal(c->ca_ttl_ms, INT64_C(90) * 86400000);
	assert_int_equal(c->wal_segment_bytes, 64 * 1024 * 1024);
	assert_string_equal(c->users.notary, "mayfly-notary");
	free(problems);

	/* What is printed reads back to the same. */
	struct mf_buf first, second;
	mf_buf_init(&first, 1 << 16);
	mf_buf_init(&second, 1 << 16);
	mf_broker_conf_print(c, &first);
	struct mf_broker_conf *again = broker(mf_buf_cstr(&first), NULL, &problems);
	assert_string_equal(problems, "");
	mf_broker_conf_print(again, &second);
	assert_string_equal(mf_buf_cstr(&first), mf_buf_cstr(&second));
	assert_non_null(strstr(mf_buf_cstr(&first), "\nkek:\n  file: \"/var/lib/mayfly/broker/kek\""));
	mf_buf_reset(&first);
	mf_broker_conf_help(&first);
	assert_non_null(strstr(mf_buf_cstr(&first), "--users-notary"));
	assert_non_null(strstr(mf_buf_cstr(&first), "MAYFLY_USERS_NOTARY"));
	free(problems);
	mf_buf_fini(&first);
	mf_buf_fini(&second);
	mf_broker_conf_free(again);
	mf_broker_conf_free(c);
	mf_broker_conf_free(NULL);
}

static void
test_broker_problems(void **state)
{
	MF_UNUSED(state);
	char *problems = NULL;
	assert_null(broker("", NULL, &problems));
	assert_string_equal(problems, "broker.yaml: `trust_domain` is missing: set it here, by "
				      "--trust-domain or by MAYFLY_TRUST_DOMAIN (SPIFFE trust "
				      "domain)\n");
	free(problems);
	assert_null(broker(
	    "trust_domain: Example.org\nlease_ttl: 1m\nheartbeat: 30s\nlisten: 8461\npolicy: policy.yaml\n"
	    "kek: {file: /a, credential: b}\nusers: {front: 1x}\n",
	    NULL, &problems));
	assert_string_equal(problems,
	    "broker.yaml:1:15: `trust_domain` must be a trust domain: lowercase labels with dots between, "
	    "like example.org "
	    "(here: Example.org)\n"
	    "broker.yaml:3:12: `heartbeat` must be at most a third of `lease_ttl`: two lost heartbeats must "
	    "not suspend a "
	    "lease\n"
	    "broker.yaml:4:9: `listen` must be an address and port, like 127.0.0.1:8461, [::1]:8461 or "
	    "broker.example:8461 "
	    "(here: 8461)\n"
	    "broker.yaml:5:9: `policy` must be an absolute path without `.` or `..` parts (here: "
	    "policy.yaml)\n"
	    "broker.yaml:6:6: `kek` must name one source only: file, credential or passphrase_fd\n"
	    "broker.yaml:7:16: `front` must be a Unix name: up to 32 of a-z, A-Z, 0-9, . - _, not beginning "
	    "with a - or "
	    "digit (here: 1x)\n");
	free(problems);

	assert_null(broker("just text\n", NULL, &problems));
	assert_non_null(strstr(problems, "broker.yaml:1:1: must be a map (key: value), this is a text\n"));
	free(problems);
	assert_null(broker("[kek, users]\n", NULL, &problems));
	assert_non_null(strstr(problems, "broker.yaml:1:1: must be a map (key: value), this is a list\n"));
	free(problems);

	char a1[] = "--trust-domain=t.example", a2[] = "--kek-passphrase-fd=7";
	char *argv[] = { a1, a2, NULL };
	struct mf_broker_conf *c = broker("", argv, &problems);
	assert_string_equal(c->trust_domain, "t.example");
	assert_string_equal(c->kek.file, "");
	assert_int_equal(c->kek.passphrase_fd, 7);
	free(problems);
	mf_broker_conf_free(c);
}

/* WEP-2: the Workload API's socket is a path: there is no way to have it served over TCP. */
static void
test_agent_socket(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[] = { "127.0.0.1:8081", "tcp://127.0.0.1:8081", "unix:/run/a.sock",
		"a.sock", "'[::]:8081'", "localhost:1" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("agent.yaml");
		struct mf_agent_conf *c = NULL;
		char text[64];
		(void)snprintf(text, sizeof(text), "socket: %s\n", bad[i]);
		assert_int_equal(
		    mf_agent_conf_load(mf_slice_str(text), NULL, NULL, NULL, p, &c, NULL), MF_E_INVALID);
		char *got = told(p);
		assert_non_null(strstr(got, "`socket` must be an absolute path"));
		free(got);
	}
}

static void
test_agent(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("agent.yaml");
	struct mf_agent_conf *c = NULL;
	assert_int_equal(mf_agent_conf_load(mf_slice(NULL, 0), NULL, NULL, NULL, p, &c, NULL), MF_OK);
	assert_string_equal(c->socket, "/run/mayfly/agent.sock");
	assert_string_equal(c->cgroup_root, "auto");
	assert_string_equal(c->broker, "");
	assert_false(c->legacy_peercred);
	/* The administrators' variable is not the agent's. */
	char e1[] = "MAYFLY_BROKER=https://admin.example:8464",
	     e2[] = "MAYFLY_AGENT_BROKER=broker.example:8461";
	char *theirs[] = { e1, NULL }, *ours[] = { e1, e2, NULL };
	mf_agent_conf_free(MF_TAKE(c));
	assert_int_equal(mf_agent_conf_load(mf_slice(NULL, 0), theirs, NULL, NULL, p, &c, NULL), MF_OK);
	assert_string_equal(c->broker, "");
	mf_agent_conf_free(MF_TAKE(c));
	assert_int_equal(mf_agent_conf_load(mf_slice(NULL, 0), ours, NULL, NULL, p, &c, NULL), MF_OK);
	assert_string_equal(c->broker, "broker.example:8461");
	mf_agent_conf_free(MF_TAKE(c));
	assert_int_equal(mf_agent_conf_load(mf_slice(NULL, 0), NULL, NULL, NULL, p, &c, NULL), MF_OK);
	struct mf_buf b;
	mf_buf_init(&b, 1 << 16);
	mf_agent_conf_print(c, &b);
	mf_agent_conf_free(c);
	c = NULL;
	assert_int_equal(mf_agent_conf_load(mf_buf_slice(&b), NULL, NULL, NULL, p, &c, NULL), MF_OK);
	assert_int_equal(c->hold_ms, 15000);
	mf_buf_reset(&b);
	mf_agent_conf_help(&b);
	assert_non_null(strstr(mf_buf_cstr(&b), "--legacy-peercred"));
	mf_agent_conf_free(c);
	mf_buf_fini(&b);

	c = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(
	    mf_agent_conf_load(MF_SLICE_LIT("reconnect_min: 1m\nreconnect_max: 1s\ncgroup_root: x\n"), NULL,
		NULL, NULL, p, &c, &err),
	    MF_E_INVALID);
	char *got = told(p);
	assert_string_equal(got, "agent.yaml:1:16: `reconnect_min` must not be over `reconnect_max`\n"
				 "agent.yaml:3:14: `cgroup_root` must be `auto` or an absolute path below "
				 "/sys/fs/cgroup (here: x)\n");
	free(got);
	mf_agent_conf_free(NULL);
}

static void
test_checks(void **state)
{
	MF_UNUSED(state);
	static const char *const good[] = { "0.0.0.0:1", "[::1]:65535", "a-b.example:8461", "localhost:0" };
	static const char *const bad[] = { "", ":1", "a", "a:", "a:b", "a:65536", "a b:1", "[::g]:1", "[]:1x",
		"a/b:1" };
	for (size_t i = 0; i < MF_COUNT(good); i++)
		assert_null(mf_conf_check_address(mf_slice_str(good[i])));
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_non_null(mf_conf_check_address(mf_slice_str(bad[i])));
	assert_null(mf_conf_check_path(mf_slice_str("/")));
	assert_null(mf_conf_check_path(mf_slice_str("/a/b..c")));
	assert_non_null(mf_conf_check_path(mf_slice_str("a")));
	assert_non_null(mf_conf_check_path(mf_slice_str("/a/../b")));
	assert_non_null(mf_conf_check_path(mf_slice_str("/a/.")));
	assert_non_null(mf_conf_check_name(mf_slice_str("-a")));
	assert_null(mf_conf_check_user(mf_slice_str("_apt")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml_refused),
		cmocka_unit_test(test_yaml_caps),
		cmocka_unit_test(test_yaml_tree),
		cmocka_unit_test(test_schema_defaults),
		cmocka_unit_test(test_schema_values),
		cmocka_unit_test(test_schema_problems),
		cmocka_unit_test(test_problem_cap),
		cmocka_unit_test(test_override),
		cmocka_unit_test(test_broker),
		cmocka_unit_test(test_broker_problems),
		cmocka_unit_test(test_agent),
		cmocka_unit_test(test_agent_socket),
		cmocka_unit_test(test_checks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
