#include "rpc/grpc_reflect.h"

#include <stdlib.h>

#include "base/list.h"
#include "rpc/proto_names.h"

#include "grpc/reflection/v1/reflection.pb-c.h"

#define SERVICES_MAX 32u
#define SERVICE_NAME_MAX 128u

typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;

struct mf_grpc_reflect {
	struct mf_grpc_service service;
	const struct mf_grpc_service *const *services;
	size_t n_services;
	/* Found out at the first question. */
	mf_proto_set files; /* 0: not yet */
	char names[SERVICES_MAX][SERVICE_NAME_MAX];
	size_t n_names;
	struct mf_list streams;
};

struct stream {
	struct mf_list link;
	struct mf_grpc_call *call;
	struct mf_buf owed; /* a question that there was no room to answer, packed; empty: none */
};

/* --- what is listed --- */

static void
add_name(struct mf_grpc_reflect *r, const char *path)
{
	struct mf_slice name = mf_slice_str(path + 1); /* after the slash */
	size_t n = 0;
	while (n < name.n && name.p[n] != '/')
		n++;
	name.n = n;
	for (size_t i = 0; i < r->n_names; i++)
		if (mf_slice_eq_str(name, r->names[i]))
			return;
	if (r->n_names == SERVICES_MAX || n >= SERVICE_NAME_MAX)
		return; /* a bound of our own tables, not of input */
	memcpy(r->names[r->n_names++], name.p, n);
}

static void
look(struct mf_grpc_reflect *r)
{
	if (r->files != 0)
		return;
	for (size_t i = 0; i < r->n_services; i++)
		for (size_t m = 0; m < r->services[i]->n_methods; m++)
			add_name(r, r->services[i]->methods[m].path);
	for (size_t i = 0; i < r->n_names; i++) {
		size_t file = mf_proto_file_of(UINT32_MAX, mf_slice_str(r->names[i]), NULL);
		if (file != MF_PROTO_NO_FILE)
			r->files |= mf_proto_file_needs(file);
	}
}

/* --- one question, one answer --- */

static enum mf_status
send(struct mf_grpc_call *c, const request *q, response *a, struct mf_err *err)
{
	a->valid_host = q->host;
	a->original_request = (request *)(uintptr_t)q; /* packing reads only */
	return mf_grpc_send(c, &a->base, err);
}

static enum mf_status
not_found(struct mf_grpc_call *c, const request *q, const char *what, struct mf_err *err)
{
	Grpc__Reflection__V1__ErrorResponse e = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
	response a = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
	e.error_code = MF_GRPC_NOT_FOUND;
	e.error_message = (char *)(uintptr_t)what;
	a.message_response_case =
	    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
	a.error_response = &e;
	return send(c, q, &a, err);
}

/* File ${i}, and behind it what it needs: the asker may not have these yet. */
static enum mf_status
send_file(struct mf_grpc_call *c, const request *q, size_t i, struct mf_err *err)
{
	ProtobufCBinaryData files[MF_PROTO_FILES_MAX];
	Grpc__Reflection__V1__FileDescriptorResponse f = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
	response a = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
	mf_proto_set needs = mf_proto_file_needs(i);
	for (size_t k = 0; k < MF_PROTO_FILES_MAX; k++) {
		/* The one that was asked for comes first. */
		size_t at = k == 0 ? i : (k <= i ? k - 1 : k);
		if ((needs >> at & 1) != 0)
			files[f.n_file_descriptor_proto++] = (ProtobufCBinaryData) { mf_proto_files[at].n,
				(uint8_t *)(uintptr_t)mf_proto_files[at].bytes };
	}
	f.file_descriptor_proto = files;
	a.message_response_case =
	    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
	a.file_descriptor_response = &f;
	return send(c, q, &a, err);
}

static enum mf_status
send_services(struct mf_grpc_reflect *r, struct mf_grpc_call *c, const request *q, struct mf_err *err)
{
	Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX], *list[SERVICES_MAX];
	Grpc__Reflection__V1__ListServiceResponse l = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
	response a = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
	for (size_t i = 0; i < r->n_names; i++) {
		services[i] =
		    (Grpc__Reflection__V1__ServiceResponse)GRPC__REFLECTION__V1__SERVICE_RESPONSE__INIT;
		services[i].name = r->names[i];
		list[i] = &services[i];
	}
	l.n_service = r->n_names;
	l.service = list;
	a.message_response_case =
	    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
	a.list_services_response = &l;
	return send(c, q, &a, err);
}

/* proto3 has no extensions but of options: a message that is known has none. */
static enum mf_status
send_extensions(struct mf_grpc_reflect *r, struct mf_grpc_call *c, const request *q, struct mf_err *err)
{
	Grpc__Reflection__V1__ExtensionNumberResponse e =
	    GRPC__REFLECTION__V1__EXTENSION_NUMBER_RESPONSE__INIT;
	response a = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
	enum mf_proto_kind kind;
	const char *type = q->all_extension_numbers_of_type;
	if (mf_proto_file_of(r->files, mf_slice_str(type), &kind) == MF_PROTO_NO_FILE ||
	    kind != MF_PROTO_MESSAGE)
		return not_found(c, q, "no message of that name", err);
	e.base_type_name = (char *)(uintptr_t)type;
	a.message_response_case =
	    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
	a.all_extension_numbers_response = &e;
	return send(c, q, &a, err);
}

static enum mf_status
answer(struct mf_grpc_reflect *r, struct mf_grpc_call *c, const request *q, struct mf_err *err)
{
	size_t file;
	look(r);
	switch (q->message_request_case) {
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
		file = mf_proto_file_named(mf_slice_str(q->file_by_filename));
		if (file == MF_PROTO_NO_FILE || (r->files >> file & 1) == 0)
			return not_found(c, q, "no file of that name", err);
		return send_file(c, q, file, err);
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
		file = mf_proto_file_of(r->files, mf_slice_str(q->file_containing_symbol), NULL);
		if (file == MF_PROTO_NO_FILE)
			return not_found(c, q, "no symbol of that name", err);
		return send_file(c, q, file, err);
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
		return not_found(c, q, "there are no extensions", err);
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
		return send_extensions(r, c, q, err);
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
		return send_services(r, c, q, err);
	default:
		return MF_FAIL(err, MF_E_INVALID,
		    "reflection: a request that asks nothing we know: set one of "
		    "list_services, file_by_filename, file_containing_symbol");
	}
}

/* --- streams --- */

static void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	mf_list_del(&s->link);
	mf_buf_fini(&s->owed);
	free(s);
}

static void
finish(struct stream *s, enum mf_grpc_code code, const char *text)
{
	struct mf_grpc_call *c = s->call;
	stream_free(s);
	mf_grpc_finish(c, code, text);
}

static void
on_open(struct mf_grpc_call *c)
{
	struct mf_grpc_reflect *r = mf_grpc_call_ctx(c);
	struct stream *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		mf_grpc_finish(c, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	s->call = c;
	mf_buf_init(&s->owed, MF_GRPC_REFLECT_REQUEST_MAX);
	mf_list_add_tail(&r->streams, &s->link);
	mf_grpc_call_set_user(c, s);
}

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct stream *s = mf_grpc_call_user(c);
	struct mf_err err = { 0 };
	enum mf_status st = answer(mf_grpc_call_ctx(c), c, (const request *)(const void *)msg, &err);
	if (st == MF_E_AGAIN) {
		/* A reader that takes no answers is asked nothing more of: one question waits, the rest is not read. */
		st = mf_pb_pack(msg, &s->owed, &err);
		mf_grpc_pause(c);
	}
	if (st != MF_OK)
		finish(s, mf_grpc_code_of(st), err.msg);
}

static void
on_writable(struct mf_grpc_call *c)
{
	struct stream *s = mf_grpc_call_user(c);
	struct mf_err err = { 0 };
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (s->owed.n == 0)
		return;
	enum mf_status st = mf_pb_unpack(
	    &grpc__reflection__v1__server_reflection_request__descriptor, mf_buf_slice(&s->owed), &msg, &err);
	if (st == MF_OK)
		st = answer(mf_grpc_call_ctx(c), c, (const request *)(const void *)msg, &err);
	if (st == MF_E_AGAIN)
		return;
	mf_buf_reset(&s->owed);
	if (st != MF_OK)
		finish(s, mf_grpc_code_of(st), err.msg);
	else
		mf_grpc_resume(c);
}

static void
on_half_close(struct mf_grpc_call *c)
{
	finish(mf_grpc_call_user(c), MF_GRPC_OK, NULL);
}

static void
on_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	stream_free(mf_grpc_call_user(c));
}

static const struct mf_grpc_server_ops ops = {
	.on_open = on_open,
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_writable = on_writable,
	.on_cancel = on_cancel,
};

/* The two packages differ in their name alone: the messages are the same bytes. */
#define INFO(package)                                                                           \
	{                                                                                       \
		.path = "/" package ".ServerReflection/ServerReflectionInfo",                   \
		.request = &grpc__reflection__v1__server_reflection_request__descriptor,        \
		.response = &grpc__reflection__v1__server_reflection_response__descriptor,      \
		.flags = MF_GRPC_BIDI, .ops = &ops, .max_message = MF_GRPC_REFLECT_REQUEST_MAX, \
	}

const struct mf_grpc_method mf_grpc_reflect_v1 = INFO("grpc.reflection.v1");
const struct mf_grpc_method mf_grpc_reflect_v1alpha = INFO("grpc.reflection.v1alpha");
static const struct mf_grpc_method methods[] = { INFO("grpc.reflection.v1"),
	INFO("grpc.reflection.v1alpha") };

enum mf_status
mf_grpc_reflect_new(const struct mf_grpc_service *const *services, size_t n_services,
    struct mf_grpc_reflect **ret_r, struct mf_err *err)
{
	struct mf_grpc_reflect *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "reflection: out of memory");
	r->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), r };
	r->services = services;
	r->n_services = n_services;
	mf_list_init(&r->streams);
	*ret_r = r;
	return MF_OK;
}

void
mf_grpc_reflect_free(struct mf_grpc_reflect *r)
{
	if (r == NULL)
		return;
	MF_LIST_EACH(at, &r->streams)
	stream_free(MF_LIST_ITEM(at, struct stream, link));
	free(r);
}

void
mf_grpc_reflect_shutdown(struct mf_grpc_reflect *r)
{
	MF_LIST_EACH(at, &r->streams)
	finish(MF_LIST_ITEM(at, struct stream, link), MF_GRPC_UNAVAILABLE, "the server is going down");
}

const struct mf_grpc_service *
mf_grpc_reflect_service(const struct mf_grpc_reflect *r)
{
	return &r->service;
}
