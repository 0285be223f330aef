#include "rpc/admin_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"

/* ---- one message as lines ---- */

static void
put_quoted(struct mf_buf *to, const char *s)
{
	mf_buf_put_u8(to, '"');
	for (; s != NULL && *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			mf_buf_put_u8(to, '\\');
		if (c < 0x20 || c == 0x7f)
			mf_buf_putf(to, "\\u%04x", c);
		else
			mf_buf_put_u8(to, c);
	}
	mf_buf_put_u8(to, '"');
}

static const void *
member(const ProtobufCMessage *m, size_t offset)
{
	return (const uint8_t *)(const void *)m + offset;
}

/* Numbers of every width as one; the generated structs hold them as what C calls them. */
static void
put_number(struct mf_buf *to, const ProtobufCFieldDescriptor *f, const void *at)
{
	union {
		uint32_t u32;
		int32_t i32;
		uint64_t u64;
		int64_t i64;
	} v;
	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		memcpy(&v.u32, at, sizeof(v.u32));
		mf_buf_putf(to, "%" PRIu32, v.u32);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		memcpy(&v.u64, at, sizeof(v.u64));
		mf_buf_putf(to, "%" PRIu64, v.u64);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		memcpy(&v.i64, at, sizeof(v.i64));
		mf_buf_putf(to, "%" PRId64, v.i64);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		memcpy(&v.i32, at, sizeof(v.i32));
		mf_buf_put_str(to, v.i32 != 0 ? "true" : "false");
		break;
	default: /* 32 bits with a sign, and enums by number; floats do not occur in these messages */
		memcpy(&v.i32, at, sizeof(v.i32));
		mf_buf_putf(to, "%" PRId32, v.i32);
		break;
	}
}

static size_t
size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static void
put_value(struct mf_buf *to, const char *name, const ProtobufCFieldDescriptor *f, const void *at)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		char prefix[512];
		const ProtobufCMessage *sub = *(const ProtobufCMessage *const *)at;
		(void)snprintf(prefix, sizeof(prefix), "%s.", name);
		/* Its being there says something, even when it is empty. */
		mf_buf_putf(to, "%s: {}\n", name);
		mf_pb_text(sub, prefix, to);
		return;
	}
	mf_buf_putf(to, "%s: ", name);
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		put_quoted(to, *(const char *const *)at);
	} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
		const ProtobufCBinaryData *b = at;
		mf_hex_put(to, mf_slice(b->data, b->len));
	} else {
		put_number(to, f, at);
	}
	mf_buf_put_u8(to, '\n');
}

/* Not there, or as good as not there. */
static bool
is_default(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	static const uint8_t zeros[8];
	const void *at = member(m, f->offset);
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
		uint32_t which;
		memcpy(&which, member(m, f->quantifier_offset), sizeof(which));
		return which != f->id; /* a member of a oneof that is set counts, whatever its value */
	}
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const ProtobufCMessage *const *)at == NULL;
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		const char *s = *(const char *const *)at;
		return s == NULL || s[0] == '\0';
	}
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)at)->len == 0;
	return memcmp(at, zeros, size_of(f)) == 0;
}

/* A map's entry: a message of key and value. */
static bool
is_map(const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *d = f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
	return d != NULL && d->n_fields == 2 && strcmp(d->fields[0].name, "key") == 0 &&
	       strcmp(d->fields[1].name, "value") == 0 && d->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static const char *
key_of(const ProtobufCMessage *entry)
{
	return *(const char *const *)member(entry, entry->descriptor->fields[0].offset);
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(
	    key_of(*(const ProtobufCMessage *const *)a), key_of(*(const ProtobufCMessage *const *)b));
}

static void
put_map(struct mf_buf *to, const char *name, const ProtobufCMessage *const *v, size_t n)
{
	const ProtobufCMessage **sorted = malloc((n + 1) * sizeof(*sorted));
	if (sorted == NULL) {
		to->failed = MF_E_NOMEM;
		return;
	}
	if (n > 0) {
		memcpy(sorted, v, n * sizeof(*sorted));
		qsort(sorted, n, sizeof(*sorted), by_key);
	}
	for (size_t i = 0; i < n; i++) {
		const ProtobufCFieldDescriptor *value = &sorted[i]->descriptor->fields[1];
		MF_AUTO_IN(mf_buf_fini) struct mf_buf label;
		mf_buf_init(&label, MF_LIM_ADMIN_TEXT);
		mf_buf_putf(&label, "%s[", name);
		put_quoted(&label, key_of(sorted[i]));
		mf_buf_put_str(&label, "]");
		const char *text = mf_buf_cstr(&label);
		if (text == NULL)
			to->failed = label.failed;
		else
			put_value(to, text, value, member(sorted[i], value->offset));
	}
	free(sorted);
}

static void
put_repeated(
    struct mf_buf *to, const char *name, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	size_t n;
	char label[512];
	memcpy(&n, member(m, f->quantifier_offset), sizeof(n));
	const uint8_t *v = *(const uint8_t *const *)member(m, f->offset);
	if (is_map(f)) {
		put_map(to, name, (const ProtobufCMessage *const *)(const void *)v, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(label, sizeof(label), "%s[%zu]", name, i);
		put_value(to, label, f, v + i * size_of(f));
	}
}

void
mf_pb_text(const ProtobufCMessage *msg, const char *prefix, struct mf_buf *to)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	for (unsigned i = 0; i < d->n_fields; i++) { /* sorted by number: protobuf-c keeps them so */
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		char name[512];
		(void)snprintf(name, sizeof(name), "%s%s", prefix, f->name);
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			put_repeated(to, name, msg, f);
		else if (!is_default(msg, f))
			put_value(to, name, f, member(msg, f->offset));
	}
}

/* ---- the whole text ---- */

static bool
one_line(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

enum mf_status
mf_admin_text(
    const struct mf_admin_head *head, const ProtobufCMessage *request, struct mf_buf *to, struct mf_err *err)
{
	if (!one_line(head->log) || !one_line(head->policy) || strlen(head->nonce) != MF_ADMIN_NONCE ||
	    strspn(head->nonce, "0123456789abcdef") != MF_ADMIN_NONCE)
		return MF_FAIL(
		    err, MF_E_INVALID, "the nonce is 32 letters of hex, log and policy one line each");
	mf_buf_putf(to, "mayfly-admin 1\nact: %s\nlog: %s\npolicy: %s\nnonce: %s\nnot-after: %" PRId64 "\n\n",
	    request->descriptor->name, head->log, head->policy, head->nonce, head->not_after_s);
	mf_pb_text(request, "", to);
	return mf_buf_check(to, err);
}

/* "${name}: VALUE\n" off the front; NULL when it is not there. */
static char *
take_line(char **at, const char *name)
{
	size_t n = strlen(name);
	char *nl = strchr(*at, '\n'), *v = *at + n;
	if (nl == NULL || strncmp(*at, name, n) != 0)
		return NULL;
	*nl = '\0';
	*at = nl + 1;
	return v;
}

enum mf_status
mf_admin_text_head(char *text, struct mf_admin_head *ret_head, struct mf_err *err)
{
	struct mf_admin_head h = { 0 };
	uint64_t when;
	char *not_after = NULL;
	if (take_line(&text, "mayfly-admin 1") != NULL && take_line(&text, "act: ") != NULL &&
	    (h.log = take_line(&text, "log: ")) != NULL &&
	    (h.policy = take_line(&text, "policy: ")) != NULL &&
	    (h.nonce = take_line(&text, "nonce: ")) != NULL)
		not_after = take_line(&text, "not-after: ");
	if (not_after == NULL || !mf_parse_u64(mf_slice_str(not_after), &when) || when > INT64_MAX)
		return MF_FAIL(err, MF_E_INVALID, "this is no request that `--offline-request` wrote");
	h.not_after_s = (int64_t)when;
	*ret_head = h;
	return MF_OK;
}
