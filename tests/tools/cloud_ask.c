/*
 * cloud_ask: one task of a backend against a real provider, with the courier's own HTTP, for scripts.
 *
 *   cloud_ask mint TARGET ROLE SESSION TTL NOT-AFTER ASSERTION CLIENT-ASSERTION "ACTION,... RESOURCE,..."...
 *       prints the credential in the container endpoint's form, or {"access_token", "Expiration"}
 *   cloud_ask revoke TARGET ROLE OLDER-THAN HANDLE CLIENT-ASSERTION [+TAG=VALUE | -TAG=VALUE]...
 *       prints "confirmed LEVEL"
 *   cloud_ask probe TARGET ROLE ASSERTION HANDLE CLIENT-ASSERTION
 *       prints "reachable", and "active" or "not active" where the provider says so
 *
 * TARGET: a file of lines "FIELD VALUE", fields of CloudTarget (proto/roles.proto); "FIELD @FILE" is the content of a file. Assertions
 * and handles are files; "-": none. Refused: "WORD: REASON" and exit code 1. Times are unix seconds; 0: none.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/courier/http.h"
#include "codec/json_write.h"
#include "rpc/pb_check.h"

#define LIST 4096u

static struct mf_http *http;
static struct mf_cloud_op *op;
static struct mf_http_request req;
static enum mf_cloud_step at;
static Mayfly__Roles__V1__CloudTarget target;
static const struct mf_token_backend *backend;

static void
die(const char *why)
{
	(void)fprintf(stderr, "cloud_ask: %s\n", why);
	exit(2);
}

static void
replied(void *ctx, const struct mf_http_reply *reply)
{
	*(bool *)ctx = true;
	at = backend->next(op, reply, &req);
}

static void
drive(enum mf_cloud_task task, const struct mf_cloud_job *job)
{
	struct mf_err err = { 0 };
	struct mf_http_way way = { .ca_pem = target.ca_pem,
		.client_chain_pem = mf_slice(target.client_chain_pem.data, target.client_chain_pem.len),
		.client_key_pem = mf_slice(target.client_key_pem.data, target.client_key_pem.len),
		.loopback = target.loopback,
		.timeout_ms = 60000 };
	if (mf_http_new(&http, &err) != MF_OK || backend->check(&target, &err) != MF_OK ||
	    backend->start(task, job, &op, &err) != MF_OK)
		die(err.msg);
	for (at = backend->next(op, NULL, &req); at == MF_CLOUD_SEND;) {
		struct mf_http_call *call = NULL;
		bool came = false;
		if (mf_http_start(http, &req, &way, replied, &came, &call, &err) != MF_OK)
			die(err.msg);
		while (!came)
			if (mf_http_wait(http, NULL, 0, 1000, &err) != MF_OK)
				die(err.msg);
	}
}

static void
read_file(const char *path, struct mf_buf *to)
{
	char chunk[4096];
	FILE *f = fopen(path, "r");
	if (f == NULL)
		die(path);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		mf_buf_put(to, chunk, n);
	(void)fclose(f);
	while (to->n > 0 && to->p[to->n - 1] == '\n')
		to->n--;
	if (mf_buf_cstr(to) == NULL)
		die(path);
}

/* A file's content, which lives as long as the program; "-": nothing. */
static ProtobufCBinaryData
content(const char *path)
{
	struct mf_buf *b = calloc(1, sizeof(*b));
	if (b == NULL)
		die("no memory");
	mf_buf_init(b, 1 << 20);
	if (strcmp(path, "-") != 0)
		read_file(path, b);
	return (ProtobufCBinaryData) { b->n, b->p };
}

static void
read_target(const char *path)
{
	ProtobufCBinaryData file = content(path);
	mayfly__roles__v1__cloud_target__init(&target);
	for (char *line = (char *)file.data, *next; line != NULL; line = next) {
		char *value = strchr(line, ' ');
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (value == NULL)
			die(line);
		*value++ = '\0';
		const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
		    &mayfly__roles__v1__cloud_target__descriptor, line);
		if (f == NULL)
			die(line);
		void *member = (char *)&target + f->offset;
		ProtobufCBinaryData d = { strlen(value), (uint8_t *)value };
		if (value[0] == '@')
			d = content(value + 1);
		if (f->type == PROTOBUF_C_TYPE_BYTES)
			*(ProtobufCBinaryData *)member = d;
		else if (f->type == PROTOBUF_C_TYPE_STRING)
			*(char **)member = (char *)d.data;
		else
			*(protobuf_c_boolean *)member = 1;
	}
	backend = mf_token_backend_find(target.backend);
	if (backend == NULL)
		die(target.backend);
}

static uint64_t
number(const char *s)
{
	uint64_t v;
	if (!mf_parse_u64(mf_slice_str(s), &v))
		die(s);
	return v;
}

/* "a,b,c" in place. */
static size_t
split(char *s, const char **to, size_t max)
{
	size_t n = 0;
	for (char *p = s; p != NULL && n < max;) {
		to[n++] = p;
		p = strchr(p, ',');
		if (p != NULL)
			*p++ = '\0';
	}
	return n;
}

static int
print_token(const Mayfly__Roles__V1__MintResult *r)
{
	struct mf_buf b;
	ProtobufCMessage *m = NULL;
	struct mf_jw w;
	if (!r->minted) {
		(void)printf("%s: %s\n", r->error, r->reason);
		return 1;
	}
	if (mf_pb_unpack(&mayfly__roles__v1__cloud_token__descriptor, mf_slice(r->token.data, r->token.len),
		&m, NULL) != MF_OK)
		die("no token");
	const Mayfly__Roles__V1__CloudToken *t = (const void *)m;
	mf_buf_init(&b, 1 << 18);
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	if (t->kind == MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS) {
		mf_jw_kstr(&w, "AccessKeyId", t->access_key_id);
		mf_jw_kstr(&w, "SecretAccessKey", t->secret_access_key);
		mf_jw_kstr(&w, "Token", t->session_token);
	} else {
		mf_jw_kstr(&w, "access_token", t->access_token);
		mf_jw_kstr(&w, "scope", t->scope);
	}
	mf_jw_ktime_us(&w, "Expiration", r->expires * 1000000);
	mf_jw_kstr(&w, "principal", r->principal);
	mf_jw_kstr(&w, "request", r->provider_request_id);
	mf_jw_object_end(&w);
	(void)printf("%s\n", mf_buf_cstr(&b));
	mf_buf_fini(&b);
	mf_pb_free(m);
	return 0;
}

static int
mint(int argc, char **argv)
{
	static const char *words[MF_SCOPE_STATEMENTS][2 * MF_SCOPE_RESOURCES];
	Mayfly__Roles__V1__MintRequest m = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	Mayfly__Roles__V1__MintResult r = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf policy;
	struct mf_err err = { 0 };
	mf_buf_init(&policy, 65536);
	struct mf_scope *s = calloc(1, sizeof(*s));
	if (s == NULL || argc < 9 || argc - 9 > (int)MF_SCOPE_STATEMENTS)
		die("mint: see the head of cloud_ask.c");
	m.role = argv[3];
	m.session = argv[4];
	m.ttl_s = (uint32_t)number(argv[5]);
	m.not_after = (int64_t)number(argv[6]);
	m.assertion = content(argv[7]);
	m.client_assertion = content(argv[8]);
	for (int i = 9; i < argc; i++) {
		struct mf_scope_rendered *st = &s->statements[s->statements_n];
		const char **w = words[s->statements_n++], *resources[MF_SCOPE_RESOURCES];
		char *space = strchr(argv[i], ' ');
		if (space == NULL)
			die(argv[i]);
		*space = '\0';
		st->actions_n = split(argv[i], w, MF_SCOPE_ACTIONS);
		st->actions = w;
		st->resources_n = split(space + 1, resources, MF_SCOPE_RESOURCES);
		for (size_t k = 0; k < st->resources_n; k++)
			st->resources[k] = mf_slice_str(resources[k]);
	}
	if (backend->render_scope(&target, s, m.not_after, &policy, &err) != MF_OK)
		die(err.msg);
	m.scope = (ProtobufCBinaryData) { policy.n, policy.p };
	struct mf_cloud_job job = { .target = &target, .mint = &m, .now_s = mf_now().wall_us / 1000000 };
	drive(MF_CLOUD_MINT, &job);
	backend->mint_result(op, &r);
	free(s);
	return print_token(&r);
}

static int
revoke(int argc, char **argv)
{
	static Mayfly__Roles__V1__CloudDeny all[LIST], *deny[LIST], *undeny[LIST];
	Mayfly__Roles__V1__CloudRevokeRequest q = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	Mayfly__Roles__V1__CloudRevokeResult r = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	if (argc < 7 || argc - 7 > (int)LIST)
		die("revoke: see the head of cloud_ask.c");
	q.role = argv[3];
	q.older_than = (int64_t)number(argv[4]);
	q.handle = content(argv[5]);
	q.client_assertion = content(argv[6]);
	q.deny = deny;
	q.undeny = undeny;
	for (int i = 7; i < argc; i++) {
		Mayfly__Roles__V1__CloudDeny *d = &all[i - 7];
		char *equals = strchr(argv[i], '=');
		if (equals == NULL)
			die(argv[i]);
		*equals = '\0';
		mayfly__roles__v1__cloud_deny__init(d);
		d->tag = argv[i] + 1;
		d->value = equals + 1;
		if (argv[i][0] == '+')
			deny[q.n_deny++] = d;
		else
			undeny[q.n_undeny++] = d;
	}
	struct mf_cloud_job job = { .target = &target, .revoke = &q, .now_s = mf_now().wall_us / 1000000 };
	drive(MF_CLOUD_REVOKE, &job);
	backend->revoke_result(op, &r);
	if (r.confirmed)
		(void)printf("confirmed %u%s\n", r.level, r.overflow ? " overflow" : "");
	else
		(void)printf("%s: %s\n", r.error, r.reason);
	return r.confirmed ? 0 : 1;
}

static int
probe(int argc, char **argv)
{
	Mayfly__Roles__V1__CloudProbeRequest q = MAYFLY__ROLES__V1__CLOUD_PROBE_REQUEST__INIT;
	Mayfly__Roles__V1__CloudProbeResult r = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
	if (argc != 7)
		die("probe: see the head of cloud_ask.c");
	q.role = argv[3];
	q.assertion = content(argv[4]);
	q.handle = content(argv[5]);
	q.client_assertion = content(argv[6]);
	struct mf_cloud_job job = { .target = &target, .probe = &q, .now_s = mf_now().wall_us / 1000000 };
	drive(MF_CLOUD_PROBE, &job);
	backend->probe_result(op, &r);
	if (r.error[0] != '\0')
		(void)printf("%s: %s\n", r.error, r.reason);
	else
		(void)printf("%s%s\n", r.reachable ? "reachable" : "not reachable",
		    !r.known   ? ""
		    : r.active ? ", active"
			       : ", not active");
	return r.error[0] != '\0';
}

int
main(int argc, char **argv)
{
	int rc = 2;
	if (argc < 4)
		die("see the head of cloud_ask.c");
	read_target(argv[2]);
	if (strcmp(argv[1], "mint") == 0)
		rc = mint(argc, argv);
	else if (strcmp(argv[1], "revoke") == 0)
		rc = revoke(argc, argv);
	else if (strcmp(argv[1], "probe") == 0)
		rc = probe(argc, argv);
	backend->free(op);
	mf_http_free(http);
	return rc;
}
