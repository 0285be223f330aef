#include "rpc/grpc_health.h"

#include <stdlib.h>

#include "base/list.h"
#include "grpc/health/v1/health.pb-c.h"

#define NAME_MAX_BYTES 128u

struct name {
	char text[NAME_MAX_BYTES];
	enum mf_grpc_health_state state;
};

struct mf_grpc_health {
	struct mf_grpc_service service;
	struct name names[MF_GRPC_HEALTH_NAMES];
	size_t n_names;
	struct mf_list watchers;
};

struct watcher {
	struct mf_list link;
	struct mf_grpc_call *call;
	char text[NAME_MAX_BYTES]; /* too long for us is unknown to us: kept cut, never found */
	bool too_long;
	int sent; /* the state that the client was told; 0: none */
};

static enum mf_grpc_health_state
state_of(const struct mf_grpc_health *h, const char *name)
{
	for (size_t i = 0; i < h->n_names; i++)
		if (strcmp(h->names[i].text, name) == 0)
			return h->names[i].state;
	return MF_GRPC_HEALTH_SERVICE_UNKNOWN;
}

static enum mf_status
send_state(struct mf_grpc_call *c, enum mf_grpc_health_state state)
{
	Grpc__Health__V1__HealthCheckResponse r;
	grpc__health__v1__health_check_response__init(&r);
	r.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)state;
	return mf_grpc_send(c, &r.base, NULL);
}

static void
check_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	const struct mf_grpc_health *h = mf_grpc_call_ctx(c);
	const Grpc__Health__V1__HealthCheckRequest *req = (const Grpc__Health__V1__HealthCheckRequest *)msg;
	enum mf_grpc_health_state state = state_of(h, req->service);
	if (state == MF_GRPC_HEALTH_SERVICE_UNKNOWN)
		mf_grpc_finish(c, MF_GRPC_NOT_FOUND, "unknown service");
	else if (send_state(c, state) != MF_OK)
		mf_grpc_finish(c, MF_GRPC_RESOURCE_EXHAUSTED, NULL);
	else
		mf_grpc_finish(c, MF_GRPC_OK, NULL);
}

/* Only the latest state is owed: a slow reader misses what lay between. */
static void
watcher_update(struct mf_grpc_health *h, struct watcher *w)
{
	enum mf_grpc_health_state now = w->too_long ? MF_GRPC_HEALTH_SERVICE_UNKNOWN : state_of(h, w->text);
	if (w->sent == (int)now)
		return;
	if (send_state(w->call, now) == MF_OK) /* else watch_writable tries again */
		w->sent = (int)now;
}

static void
watch_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	struct mf_grpc_health *h = mf_grpc_call_ctx(c);
	const Grpc__Health__V1__HealthCheckRequest *req = (const Grpc__Health__V1__HealthCheckRequest *)msg;
	struct watcher *w = calloc(1, sizeof(*w));
	if (w == NULL) {
		mf_grpc_finish(c, MF_GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	size_t n = strlen(req->service);
	w->too_long = n >= sizeof(w->text);
	if (!w->too_long)
		memcpy(w->text, req->service, n + 1);
	w->call = c;
	mf_list_add_tail(&h->watchers, &w->link);
	mf_grpc_call_set_user(c, w);
	watcher_update(h, w);
}

static void
watcher_free(struct watcher *w)
{
	if (w == NULL)
		return;
	mf_list_del(&w->link);
	free(w);
}

static void
watch_writable(struct mf_grpc_call *c)
{
	struct watcher *w = mf_grpc_call_user(c);
	if (w != NULL)
		watcher_update(mf_grpc_call_ctx(c), w);
}

static void
watch_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(why);
	watcher_free(mf_grpc_call_user(c));
}

static const struct mf_grpc_server_ops check_ops = { .on_message = check_message };
static const struct mf_grpc_server_ops watch_ops = {
	.on_message = watch_message,
	.on_writable = watch_writable,
	.on_cancel = watch_cancel,
};

#define CHECK                                                                                        \
	{                                                                                            \
		.path = "/grpc.health.v1.Health/Check",                                              \
		.request = &grpc__health__v1__health_check_request__descriptor,                      \
		.response = &grpc__health__v1__health_check_response__descriptor, .ops = &check_ops, \
		.max_message = 1024,                                                                 \
	}
#define WATCH                                                                           \
	{                                                                               \
		.path = "/grpc.health.v1.Health/Watch",                                 \
		.request = &grpc__health__v1__health_check_request__descriptor,         \
		.response = &grpc__health__v1__health_check_response__descriptor,       \
		.flags = MF_GRPC_SERVER_STREAM, .ops = &watch_ops, .max_message = 1024, \
	}

const struct mf_grpc_method mf_grpc_health_check = CHECK;
const struct mf_grpc_method mf_grpc_health_watch = WATCH;
static const struct mf_grpc_method methods[] = { CHECK, WATCH };

enum mf_status
mf_grpc_health_new(struct mf_grpc_health **ret_h, struct mf_err *err)
{
	struct mf_grpc_health *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "health: out of memory");
	h->service = (struct mf_grpc_service) { methods, MF_COUNT(methods), h };
	mf_list_init(&h->watchers);
	*ret_h = h;
	return MF_OK;
}

void
mf_grpc_health_free(struct mf_grpc_health *h)
{
	if (h == NULL)
		return;
	MF_LIST_EACH(at, &h->watchers)
	watcher_free(MF_LIST_ITEM(at, struct watcher, link));
	free(h);
}

enum mf_status
mf_grpc_health_set(
    struct mf_grpc_health *h, const char *name, enum mf_grpc_health_state state, struct mf_err *err)
{
	size_t i = 0;
	while (i < h->n_names && strcmp(h->names[i].text, name) != 0)
		i++;
	if (i == h->n_names) {
		size_t n = strlen(name);
		if (i == MF_GRPC_HEALTH_NAMES || n >= NAME_MAX_BYTES)
			return MF_FAIL(err, MF_E_TOOBIG, "health: at most %u names of %u bytes",
			    MF_GRPC_HEALTH_NAMES, NAME_MAX_BYTES - 1);
		memcpy(h->names[i].text, name, n + 1);
		h->n_names++;
	}
	h->names[i].state = state;
	MF_LIST_EACH(at, &h->watchers)
	watcher_update(h, MF_LIST_ITEM(at, struct watcher, link));
	return MF_OK;
}

void
mf_grpc_health_shutdown(struct mf_grpc_health *h)
{
	MF_LIST_EACH(at, &h->watchers)
	{
		struct watcher *w = MF_LIST_ITEM(at, struct watcher, link);
		struct mf_grpc_call *c = w->call;
		watcher_free(w);
		mf_grpc_finish(c, MF_GRPC_UNAVAILABLE, "the server is going down");
	}
}

const struct mf_grpc_service *
mf_grpc_health_service(const struct mf_grpc_health *h)
{
	return &h->service;
}
