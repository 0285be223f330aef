/* gRPC reflection: what is listed is what is served, with the files that describe it; WEP-15. */
#include "unit/grpc_pair.h"

#include "rpc/grpc_reflect.h"
#include "rpc/proto_names.h"

#include "grpc/reflection/v1/reflection.pb-c.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;
#define ASK(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##kind
#define TOLD(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind

/* A server of the pair's own service (unknown to all files), one method of the Workload API, health and reflection. */
struct world {
	struct pair p;
	struct mf_grpc_method method;
	struct mf_grpc_service workload;
	const struct mf_grpc_service *services[4];
	struct mf_grpc_reflect *reflect;
	struct mf_grpc_call *call;
	/* the last answer, and how many there were */
	response *got;
	int answers, statuses;
	enum mf_grpc_code code;
	char text[256];
};

static void
take(struct mf_grpc_call *c, ProtobufCMessage *msg)
{
	struct world *w = mf_grpc_call_user(c);
	if (w->got != NULL)
		mf_pb_free(&w->got->base);
	w->got = (response *)(void *)msg;
	w->answers++;
}

static void
over(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	struct world *w = mf_grpc_call_user(c);
	w->statuses++;
	w->code = code;
	assert_true(strlen(text) < sizeof(w->text));
	memcpy(w->text, text, strlen(text) + 1);
	w->call = NULL;
}

static const struct mf_grpc_client_ops reflect_cops = { .take_message = take, .on_status = over };

static void
begin(struct world *w, const struct mf_grpc_method *m)
{
	struct mf_err err = { 0 };
	assert_int_equal(mf_grpc_open(w->p.c, m, &reflect_cops, w, NULL, 0, 0, &w->call, &err), MF_OK);
}

static void
world_init(struct world *w, const struct mf_grpc_method *m)
{
	struct mf_err err = { 0 };
	memset(w, 0, sizeof(*w));
	pair_init(&w->p);
	w->method = (struct mf_grpc_method) { .path = "/SpiffeWorkloadAPI/FetchX509SVID",
		.request = &x509_svidrequest__descriptor,
		.response = &x509_svidresponse__descriptor,
		.ops = &unary_ops };
	w->workload = (struct mf_grpc_service) { &w->method, 1, &w->p.svc };
	assert_int_equal(mf_grpc_reflect_new(w->services, MF_COUNT(w->services), &w->reflect, &err), MF_OK);
	w->services[0] = &w->p.service;
	w->services[1] = &w->workload;
	w->services[2] = mf_grpc_health_service(w->p.health);
	w->services[3] = mf_grpc_reflect_service(w->reflect);
	w->p.srv.services = w->services;
	w->p.srv.n_services = MF_COUNT(w->services);
	pair_connect(&w->p);
	begin(w, m);
}

static void
world_fini(struct world *w)
{
	if (w->got != NULL)
		mf_pb_free(&w->got->base);
	pair_fini(&w->p);
	mf_grpc_reflect_free(w->reflect);
}

static void
put(struct world *w, int kind, const char *text)
{
	request q = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
	Grpc__Reflection__V1__ExtensionRequest e = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
	char host[] = "here", name[5000];
	assert_true(strlen(text) < sizeof(name));
	memcpy(name, text, strlen(text) + 1);
	q.host = host;
	q.message_request_case = (Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)kind;
	e.containing_type = name;
	if (kind == (int)ASK(FILE_CONTAINING_EXTENSION))
		q.file_containing_extension = &e;
	else if (kind != 0)
		q.file_by_filename = name; /* one union */
	assert_int_equal(mf_grpc_send(w->call, &q.base, NULL), MF_OK);
}

static const response *
ask(struct world *w, int kind, const char *text)
{
	int before = w->answers;
	put(w, kind, text);
	pump(&w->p);
	assert_int_equal(w->answers, before + 1);
	assert_string_equal(w->got->valid_host, "here");
	assert_int_equal(w->got->original_request->message_request_case, kind);
	return w->got;
}

static void
asks_in_vain(struct world *w, int kind, const char *text)
{
	const response *r = ask(w, kind, text);
	assert_int_equal(r->message_response_case, TOLD(ERROR_RESPONSE));
	assert_int_equal(r->error_response->error_code, MF_GRPC_NOT_FOUND);
}

/* The names of the files in an answer: field 1 of each is the first thing in it. */
static void
is_files(const response *r, const char *const *names, size_t n)
{
	assert_int_equal(r->message_response_case, TOLD(FILE_DESCRIPTOR_RESPONSE));
	const Grpc__Reflection__V1__FileDescriptorResponse *f = r->file_descriptor_response;
	assert_int_equal(f->n_file_descriptor_proto, n);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(names[i]);
		assert_true(f->file_descriptor_proto[i].len > len + 2);
		assert_int_equal(f->file_descriptor_proto[i].data[0], 0x0a);
		assert_int_equal(f->file_descriptor_proto[i].data[1], len);
		assert_memory_equal(f->file_descriptor_proto[i].data + 2, names[i], len);
	}
}

static const char *const workload_files[] = { "workload.proto", "google/protobuf/struct.proto" };

/* WEP-15 */
static void
test_list(void **state)
{
	static const char *const want[] = { "t.T", "SpiffeWorkloadAPI", "grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection" };
	MF_UNUSED(state);
	const struct mf_grpc_method *const both[] = { &mf_grpc_reflect_v1, &mf_grpc_reflect_v1alpha };
	for (size_t v = 0; v < MF_COUNT(both); v++) {
		struct world w;
		world_init(&w, both[v]);
		const response *r = ask(&w, ASK(LIST_SERVICES), "");
		assert_int_equal(r->message_response_case, TOLD(LIST_SERVICES_RESPONSE));
		const Grpc__Reflection__V1__ListServiceResponse *l = r->list_services_response;
		assert_int_equal(l->n_service, MF_COUNT(want));
		for (size_t i = 0; i < MF_COUNT(want); i++)
			assert_string_equal(l->service[i]->name, want[i]);
		mf_grpc_half_close(w.call);
		pump(&w.p);
		assert_int_equal(w.statuses, 1);
		assert_int_equal(w.code, MF_GRPC_OK);
		world_fini(&w);
	}
}

static void
test_files(void **state)
{
	static const char *const alpha[] = { "grpc/reflection/v1alpha/reflection.proto" };
	MF_UNUSED(state);
	struct world w;
	world_init(&w, &mf_grpc_reflect_v1);
	is_files(ask(&w, ASK(FILE_BY_FILENAME), "workload.proto"), workload_files, 2);
	is_files(ask(&w, ASK(FILE_BY_FILENAME), "google/protobuf/struct.proto"), &workload_files[1], 1);
	is_files(ask(&w, ASK(FILE_CONTAINING_SYMBOL), "grpc.reflection.v1alpha.ServerReflection"), alpha, 1);
	/* Files of ours that no service here needs are not found, nor paths, nor what is no file. */
	static const char *const none[] = { "admin.proto", "roles.proto", "agent.proto", "", "workload",
		"workload.proto/", "/etc/passwd", "../proto/workload.proto", "WORKLOAD.PROTO" };
	for (size_t i = 0; i < MF_COUNT(none); i++)
		asks_in_vain(&w, (int)ASK(FILE_BY_FILENAME), none[i]);
	world_fini(&w);
}

static void
test_symbols(void **state)
{
	static const char *const found[] = { "SpiffeWorkloadAPI", "SpiffeWorkloadAPI.FetchX509SVID",
		"SpiffeWorkloadAPI.FetchWITBundles", "X509SVID", "X509SVID.x509_svid_key",
		"X509SVIDResponse.FederatedBundlesEntry", "X509SVIDResponse.FederatedBundlesEntry.value" };
	static const char *const not_found[] = { "", ".", "SpiffeWorkloadAPI.", ".SpiffeWorkloadAPI",
		"SpiffeWorkloadAPI.Nope", "SpiffeWorkloadAPI.FetchX509SVID.x", "X509", "grpc",
		"grpc.reflection.v1", "grpc.reflection.v1.", "mayfly.admin.v1.Admin",
		"X509SVID..x509_svid_key", "spiffeworkloadapi", "t.T" };
	MF_UNUSED(state);
	struct world w;
	world_init(&w, &mf_grpc_reflect_v1);
	for (size_t i = 0; i < MF_COUNT(found); i++)
		is_files(ask(&w, ASK(FILE_CONTAINING_SYMBOL), found[i]), workload_files, 2);
	for (size_t i = 0; i < MF_COUNT(not_found); i++)
		asks_in_vain(&w, (int)ASK(FILE_CONTAINING_SYMBOL), not_found[i]);
	/* A value of an enum lies beside its enum. */
	static const char *const health[] = { "grpc/health/v1/health.proto" };
	is_files(
	    ask(&w, ASK(FILE_CONTAINING_SYMBOL), "grpc.health.v1.HealthCheckResponse.SERVING"), health, 1);
	is_files(ask(&w, ASK(FILE_CONTAINING_SYMBOL), "google.protobuf.NullValue"), &workload_files[1], 1);
	is_files(ask(&w, ASK(FILE_CONTAINING_SYMBOL), "google.protobuf.NULL_VALUE"), &workload_files[1], 1);
	asks_in_vain(
	    &w, (int)ASK(FILE_CONTAINING_SYMBOL), "grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING");
	world_fini(&w);
}

static void
test_extensions(void **state)
{
	MF_UNUSED(state);
	struct world w;
	world_init(&w, &mf_grpc_reflect_v1);
	asks_in_vain(&w, (int)ASK(FILE_CONTAINING_EXTENSION), "X509SVID");
	asks_in_vain(&w, (int)ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "Nope");
	asks_in_vain(&w, (int)ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "SpiffeWorkloadAPI");
	const response *r = ask(&w, ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "X509SVID");
	assert_int_equal(r->message_response_case, TOLD(ALL_EXTENSION_NUMBERS_RESPONSE));
	assert_string_equal(r->all_extension_numbers_response->base_type_name, "X509SVID");
	assert_int_equal(r->all_extension_numbers_response->n_extension_number, 0);
	world_fini(&w);
}

/* Nothing asked: the stream is at fault. Too long: refused by its prefix. Both leave the connection whole. */
static void
test_bad(void **state)
{
	char longer[MF_GRPC_REFLECT_REQUEST_MAX + 1];
	MF_UNUSED(state);
	struct world w;
	world_init(&w, &mf_grpc_reflect_v1);
	put(&w, 0, "");
	pump(&w.p);
	assert_int_equal(w.statuses, 1);
	assert_int_equal(w.code, MF_GRPC_INVALID_ARGUMENT);
	assert_non_null(strstr(w.text, "list_services"));
	assert_int_equal(w.answers, 0);
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	begin(&w, &mf_grpc_reflect_v1);
	put(&w, (int)ASK(FILE_BY_FILENAME), longer);
	pump(&w.p);
	assert_int_equal(w.statuses, 2);
	assert_int_equal(w.code, MF_GRPC_RESOURCE_EXHAUSTED);
	begin(&w, &mf_grpc_reflect_v1);
	is_files(ask(&w, ASK(FILE_BY_FILENAME), "workload.proto"), workload_files, 2);
	/* The server goes down: the stream is told. */
	mf_grpc_reflect_shutdown(w.reflect);
	pump(&w.p);
	assert_int_equal(w.statuses, 3);
	assert_int_equal(w.code, MF_GRPC_UNAVAILABLE);
	/* One that is lost leaves nothing behind. */
	begin(&w, &mf_grpc_reflect_v1);
	put(&w, (int)ASK(LIST_SERVICES), "");
	pump(&w.p);
	mf_grpc_cancel(w.call);
	pump(&w.p);
	world_fini(&w);
}

/* 2000 questions by one who reads no answer: one waits, the others are not even read; none is lost. */
static void
test_slow_reader(void **state)
{
	MF_UNUSED(state);
	struct world w;
	world_init(&w, &mf_grpc_reflect_v1);
	int asked = 0;
	for (int turn = 0; turn < 100; turn++) {
		request q = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
		char name[] = "workload.proto";
		q.message_request_case = ASK(FILE_BY_FILENAME);
		q.file_by_filename = name;
		for (int i = 0; i < 20 && mf_grpc_send(w.call, &q.base, NULL) == MF_OK; i++)
			asked++;
		(void)carry(&w.p, w.p.c, w.p.s); /* and nothing comes back */
	}
	mf_grpc_half_close(w.call);
	assert_int_equal(asked, 2000);
	assert_int_equal(w.answers, 0);
	assert_true(w.p.sc.messages_out < 2000);
	pump(&w.p);
	assert_int_equal(w.answers, asked);
	assert_int_equal(w.statuses, 1);
	assert_int_equal(w.code, MF_GRPC_OK);
	world_fini(&w);
}

/* Every file is there, is whole, and names its own symbols; a cut one is read to the cut. */
static void
test_all_files(void **state)
{
	MF_UNUSED(state);
	assert_true(mf_proto_files_n <= MF_PROTO_FILES_MAX);
	static const struct {
		const char *symbol, *file;
	} rows[] = {
		{ "mayfly.admin.v1.Admin", "admin.proto" },
		{ "mayfly.job.v1.Jobs", "job.proto" },
		{ "mayfly.agent.v1.MintJwt.audiences", "agent.proto" },
		{ "grpc.reflection.v1.ServerReflection.ServerReflectionInfo",
		    "grpc/reflection/v1/reflection.proto" },
	};
	for (size_t i = 0; i < MF_COUNT(rows); i++) {
		size_t file = mf_proto_file_of(UINT32_MAX, mf_slice_str(rows[i].symbol), NULL);
		assert_int_not_equal(file, MF_PROTO_NO_FILE);
		assert_string_equal(mf_proto_files[file].name, rows[i].file);
		assert_int_equal(
		    mf_proto_file_of(~((mf_proto_set)1 << file), mf_slice_str(rows[i].symbol), NULL),
		    MF_PROTO_NO_FILE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_all_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
