/* The admin API by mutual TLS: who gets in, and what each role may call. The matrix comes from the descriptors. */
#include <openssl/x509.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/core/admin_roles.h"
#include "codec/pem.h"
#include "crypto/hash.h"
#include "front_world.h"
#include "x509_ref.h"

#define SERVICE (&mayfly__admin__v1__admin__descriptor)
#define ALICE "/ops/alice" /* has the role that the test gives */
#define AS(name) mayfly__admin__v1__##name##__descriptor

struct world {
	struct fw w;
	struct mint *corp; /* a foreign trust domain */
	EVP_PKEY *ca_key;
	X509 *ca;
	struct mf_buf ca_pem, corp_pem, packed;
};

/* ---- certificates of another CA ---- */

struct person {
	struct mf_tls_ctx *tls;
	char sha256[65];
};

static enum mf_status
any_server(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	MF_UNUSED(ctx);
	MF_UNUSED(conn);
	MF_UNUSED(chain);
	MF_UNUSED(n);
	MF_UNUSED(err);
	return MF_OK;
}

static struct person
person_new(struct world *t, const char *cn, X509 *issuer, EVP_PKEY *issuer_key, int64_t from_s, int64_t to_s,
    const char *uri)
{
	struct person p = { 0 };
	int64_t now = mf_now().wall_us / 1000000;
	EVP_PKEY *key = mf_ref_key();
	struct ref_cert c = { .issuer = issuer == NULL ? t->ca : issuer,
		.issuer_key = issuer_key == NULL ? t->ca_key : issuer_key,
		.key = key,
		.org = "Example",
		.cn = cn,
		.not_before_s = now + from_s,
		.not_after_s = now + to_s,
		.uri = { uri },
		.pathlen = -1,
		.ku = 1,
		.eku = true };
	X509 *x = mf_ref_cert(&c);
	struct mf_buf der, pkcs8;
	uint8_t sha[32], *k = NULL;
	mf_buf_init(&der, MF_LIM_CERT_DER);
	mf_buf_init(&pkcs8, 4096);
	mf_ref_der(x, &der);
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int n = i2d_PKCS8_PRIV_KEY_INFO(info, &k);
	mf_buf_put(&pkcs8, k, (size_t)n);
	struct mf_slice chain[1] = { mf_buf_slice(&der) };
	struct mf_tls_config cfg = {
		.chain = chain, .n_chain = 1, .key = mf_buf_slice(&pkcs8), .verify = any_server
	};
	assert_int_equal(mf_tls_ctx_new(&cfg, &p.tls, NULL), MF_OK);
	mf_sha256(mf_buf_slice(&der), sha);
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(p.sha256 + 2 * i, 3, "%02x", sha[i]);
	OPENSSL_free(k);
	PKCS8_PRIV_KEY_INFO_free(info);
	mf_buf_fini(&der);
	mf_buf_fini(&pkcs8);
	X509_free(x);
	EVP_PKEY_free(key);
	return p;
}

/* ---- the world ---- */

static int
setup(void **state)
{
	struct world *t = calloc(1, sizeof(*t));
	assert_non_null(t);
	int64_t now = mf_now().wall_us / 1000000;
	mf_fw_init(&t->w);
	kit_history(&t->w.kit);
	t->corp = mf_mint_new("corp.example", now);
	t->ca_key = mf_ref_key();
	const struct ref_cert ca = { .key = t->ca_key,
		.org = "Example",
		.cn = "admin CA",
		.not_before_s = now - 100,
		.not_after_s = now + 100000,
		.ca = true,
		.pathlen = -1,
		.ku = 0x60 };
	t->ca = mf_ref_cert(&ca);
	struct mf_buf der;
	mf_buf_init(&der, MF_LIM_CERT_DER);
	mf_ref_der(t->ca, &der);
	mf_buf_init(&t->ca_pem, 65536);
	mf_buf_init(&t->corp_pem, 65536);
	mf_buf_init(&t->packed, 1u << 20);
	mf_pem_put(&t->ca_pem, MF_PEM_CERTIFICATE, mf_buf_slice(&der));
	mf_pem_put(&t->corp_pem, MF_PEM_CERTIFICATE, mf_mint_ca(t->corp));
	mf_buf_fini(&der);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct world *t = *state;
	mf_fw_fini(&t->w);
	mf_mint_free(t->corp);
	X509_free(t->ca);
	EVP_PKEY_free(t->ca_key);
	mf_buf_fini(&t->ca_pem);
	mf_buf_fini(&t->corp_pem);
	mf_buf_fini(&t->packed);
	free(t);
	return 0;
}

struct entry {
	const char *role, *spiffe_id, *cert, *subject;
};

static char *
text(const char *s)
{
	static char none[1];
	return s == NULL ? none : (char *)(uintptr_t)s;
}

/* What the supervisor would hand over. */
static struct mf_slice
access_of(struct world *t, const struct entry *e, size_t n)
{
	Mayfly__Roles__V1__AdminAccess m = MAYFLY__ROLES__V1__ADMIN_ACCESS__INIT;
	Mayfly__Roles__V1__AdminAssignment a[8], *ap[8];
	Mayfly__Roles__V1__ForeignBundle b = MAYFLY__ROLES__V1__FOREIGN_BUNDLE__INIT, *bp = &b;
	assert_true(n <= MF_COUNT(a));
	for (size_t i = 0; i < n; i++) {
		mayfly__roles__v1__admin_assignment__init(&a[i]);
		a[i].role = text(e[i].role);
		a[i].spiffe_id = text(e[i].spiffe_id);
		a[i].cert_sha256 = text(e[i].cert);
		a[i].subject = text(e[i].subject);
		ap[i] = &a[i];
	}
	m.n_assignments = n;
	m.assignments = ap;
	m.admin_ca_pem = (ProtobufCBinaryData) { t->ca_pem.n, t->ca_pem.p };
	b.trust_domain = text("corp.example");
	b.bundle_pem = (ProtobufCBinaryData) { t->corp_pem.n, t->corp_pem.p };
	m.n_bundles = 1;
	m.bundles = &bp;
	mf_buf_reset(&t->packed);
	assert_int_equal(mf_pb_pack(&m.base, &t->packed, NULL), MF_OK);
	return mf_buf_slice(&t->packed);
}

static void
refuse_call(struct fake_notary *n, const Mayfly__Roles__V1__AdminCall *call)
{
	mf_fn_fail(n, call->call_id, "not_found", "no such thing here");
}

static void
serve(struct world *t, const struct entry *e, size_t n)
{
	t->w.conf.admins = access_of(t, e, n);
	mf_fw_serve(&t->w);
	mf_fn_records(&t->w, 0, t->w.kit.n);
	FW_UNTIL(&t->w, mf_fn_last(&t->w, MF_MSG_LOG_ACK) != NULL);
	t->w.n.on_call = refuse_call;
}

/* A call with an empty request; PERMISSION_DENIED or not. */
static void
call(struct fw_client *c, const ProtobufCMethodDescriptor *m, struct fw_unary *u)
{
	ProtobufCMessage *q = calloc(1, m->input->sizeof_message);
	assert_non_null(q);
	m->input->message_init(q);
	mf_fw_ask(c, m->name, q, m->output, u);
	free(q);
}

static const ProtobufCMethodDescriptor *
rpc(const char *name)
{
	const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(SERVICE, name);
	assert_non_null(m);
	return m;
}

/* The code of GetStatus for whoever has this TLS identity; the text in ${u}. */
static enum mf_grpc_code
status_as(struct world *t, struct mf_tls_ctx *tls, struct fw_unary *u)
{
	static struct fw_client c;
	mf_fw_admin_tls(&t->w, &c, tls);
	if (c.over) {
		*u = (struct fw_unary) { .code = MF_GRPC_UNAVAILABLE };
		return u->code;
	}
	call(&c, rpc("GetStatus"), u);
	mf_fw_hang_up(&t->w, &c);
	mf_fw_unary_fini(u);
	return u->code;
}

static enum mf_grpc_code
svid_status(struct world *t, const struct mint *m, const char *path, int64_t not_after, struct fw_unary *u)
{
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = mf_fw_client_tls(&t->w, m, path, not_after);
	return status_as(t, tls, u);
}

static enum mf_grpc_code
person_status(struct world *t, struct person p, struct fw_unary *u)
{
	enum mf_grpc_code code = status_as(t, p.tls, u);
	mf_tls_ctx_free(p.tls);
	return code;
}

/* ---- tests ---- */

/* Every role by every RPC of the service. */
static void
test_matrix(void **state)
{
	struct world *t = *state;
	static struct fw_client c;
	struct entry e = { .spiffe_id = "spiffe://" FW_TD ALICE };
	size_t denied = 0, allowed = 0;
	for (int r = MF_ADMIN_VIEWER; r < MF_ADMIN_ROLES; r++) {
		e.role = mf_admin_role_name((enum mf_admin_role)r);
		if (t->w.f == NULL)
			serve(t, &e, 1);
		else
			assert_int_equal(mf_broker_front_admins(t->w.f, access_of(t, &e, 1), NULL), MF_OK);
		MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = mf_fw_client_tls(&t->w, NULL, ALICE, 0);
		mf_fw_admin_tls(&t->w, &c, tls);
		assert_false(c.over);
		for (unsigned i = 0; i < SERVICE->n_methods; i++) {
			const ProtobufCMethodDescriptor *m = &SERVICE->methods[i];
			const struct mf_admin_rule *rule = mf_admin_rpc_rule(mf_slice_str(m->name));
			struct fw_unary u;
			if (rule == NULL)
				fail_msg("%s: no row in broker/core/admin_roles.c", m->name);
			size_t calls = mf_fn_count(&t->w, MF_MSG_ADMIN_CALL);
			call(&c, m, &u);
			bool may = r >= (int)rule->least;
			if ((u.code != MF_GRPC_PERMISSION_DENIED) != may)
				fail_msg(
				    "%s as %s: %s %s", m->name, e.role, mf_grpc_code_name(u.code), u.text);
			if (!may) {
				/* It says what is needed, who asks, what they have, and who gives it. */
				assert_non_null(strstr(u.text, mf_admin_role_name(rule->least)));
				assert_non_null(strstr(u.text, e.spiffe_id));
				assert_non_null(strstr(u.text, e.role));
				assert_non_null(strstr(u.text, "admins file"));
				/* And the notary never hears of it. */
				assert_int_equal(mf_fn_count(&t->w, MF_MSG_ADMIN_CALL), calls);
			}
			denied += !may;
			allowed += may;
			mf_fw_unary_fini(&u);
		}
		mf_fw_hang_up(&t->w, &c);
	}
	assert_int_equal(denied + allowed, 4 * SERVICE->n_methods);
	assert_true(denied >= 5 && allowed >= 15);
}

static void
test_who_gets_in(void **state)
{
	struct world *t = *state;
	struct fw_unary u;
	int64_t now = mf_now().wall_us / 1000000;
	struct mint *other = mf_mint_new(FW_TD, now), *stranger = mf_mint_new("evil.example", now);
	struct person bob = person_new(t, "bob", NULL, NULL, -10, 3600, NULL);
	const struct entry e[] = { { .role = "viewer", .spiffe_id = "spiffe://" FW_TD ALICE },
		{ .role = "viewer", .spiffe_id = "spiffe://corp.example" ALICE },
		{ .role = "viewer", .cert = bob.sha256 },
		{ .role = "viewer", .subject = "CN=carol,O=Example" } };
	serve(t, e, MF_COUNT(e));
	assert_int_equal(svid_status(t, NULL, ALICE, 0, &u), MF_GRPC_OK);
	assert_int_equal(svid_status(t, t->corp, ALICE, 0, &u), MF_GRPC_OK);
	assert_int_equal(person_status(t, bob, &u), MF_GRPC_OK);
	assert_int_equal(
	    person_status(t, person_new(t, "carol", NULL, NULL, -10, 3600, NULL), &u), MF_GRPC_OK);
	/* Refused before any call: nothing shown, expired, unknown authorities, nodes. */
	assert_int_equal(svid_status(t, NULL, NULL, 0, &u), MF_GRPC_UNAVAILABLE);
	assert_int_equal(svid_status(t, NULL, ALICE, now - 1, &u), MF_GRPC_UNAVAILABLE);
	assert_int_equal(svid_status(t, other, ALICE, 0, &u), MF_GRPC_UNAVAILABLE);
	assert_int_equal(svid_status(t, stranger, ALICE, 0, &u), MF_GRPC_UNAVAILABLE);
	assert_int_equal(svid_status(t, NULL, "/mayfly/node/n1", 0, &u), MF_GRPC_UNAVAILABLE);
	EVP_PKEY *k = mf_ref_key();
	X509 *forged = X509_dup(t->ca); /* the right name, another key */
	assert_int_equal(
	    person_status(t, person_new(t, "carol", forged, k, -10, 3600, NULL), &u), MF_GRPC_UNAVAILABLE);
	assert_int_equal(
	    person_status(t, person_new(t, "carol", NULL, NULL, -100, -10, NULL), &u), MF_GRPC_UNAVAILABLE);
	/* The admin CA vouches for no SPIFFE ID. */
	assert_int_equal(
	    person_status(t, person_new(t, "carol", NULL, NULL, -10, 3600, "spiffe://" FW_TD ALICE), &u),
	    MF_GRPC_UNAVAILABLE);
	/* Good certificates without a role are told so. */
	assert_int_equal(svid_status(t, NULL, "/ops/mallory", 0, &u), MF_GRPC_PERMISSION_DENIED);
	assert_non_null(strstr(u.text, "no role here"));
	assert_int_equal(svid_status(t, t->corp, "/ops/mallory", 0, &u), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(person_status(t, person_new(t, "carol ", NULL, NULL, -10, 3600, NULL), &u),
	    MF_GRPC_PERMISSION_DENIED);
	X509_free(forged);
	EVP_PKEY_free(k);
	mf_mint_free(other);
	mf_mint_free(stranger);
}

/* What the notary is told of the caller. */
static void
test_identity_reaches_the_notary(void **state)
{
	struct world *t = *state;
	static struct fw_client c;
	struct fw_unary u;
	struct person bob = person_new(t, "bob", NULL, NULL, -10, 3600, NULL);
	const struct entry e[] = { { .role = "operator", .spiffe_id = "spiffe://" FW_TD ALICE },
		{ .role = "viewer", .spiffe_id = "spiffe://" FW_TD ALICE }, /* the higher one counts */
		{ .role = "admin", .subject = "CN=bob,O=Example" } };
	serve(t, e, MF_COUNT(e));
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = mf_fw_client_tls(&t->w, NULL, ALICE, 0);
	mf_fw_admin_tls(&t->w, &c, tls);
	call(&c, rpc("CreateJoinToken"), &u);
	assert_int_equal(u.code, MF_GRPC_NOT_FOUND);
	const Mayfly__Roles__V1__AdminCall *a = mf_fn_last(&t->w, MF_MSG_ADMIN_CALL);
	assert_true(a->remote);
	assert_string_equal(a->spiffe_id, "spiffe://" FW_TD ALICE);
	assert_string_equal(a->role, "operator");
	assert_string_equal(a->subject, "");
	assert_int_equal(strlen(a->cert_sha256), 64);
	assert_int_equal(a->uid, 0);
	assert_int_equal(a->pid, 0);
	mf_fw_hang_up(&t->w, &c);
	mf_fw_admin_tls(&t->w, &c, bob.tls);
	call(&c, rpc("CreateJoinToken"), &u);
	a = mf_fn_last(&t->w, MF_MSG_ADMIN_CALL);
	assert_string_equal(a->spiffe_id, "");
	assert_string_equal(a->subject, "CN=bob,O=Example");
	assert_string_equal(a->cert_sha256, bob.sha256);
	assert_string_equal(a->role, "admin");
	mf_fw_hang_up(&t->w, &c);
	mf_fw_admin(&t->w, &c); /* a local one */
	call(&c, rpc("CreateJoinToken"), &u);
	a = mf_fn_last(&t->w, MF_MSG_ADMIN_CALL);
	assert_false(a->remote);
	assert_string_equal(a->cert_sha256, "");
	assert_int_equal(a->uid, getuid());
	mf_tls_ctx_free(bob.tls);
}

/* Taking a role away takes effect on connections that are open. */
static void
test_reload(void **state)
{
	struct world *t = *state;
	static struct fw_client c;
	struct fw_unary u;
	struct mf_err err = { 0 };
	const struct entry alice = { .role = "viewer", .spiffe_id = "spiffe://" FW_TD ALICE },
			   bad = { .role = "boss", .spiffe_id = "spiffe://" FW_TD ALICE },
			   node = { .role = "viewer", .spiffe_id = "spiffe://" FW_TD "/mayfly/node/n" };
	serve(t, &alice, 1);
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = mf_fw_client_tls(&t->w, NULL, ALICE, 0);
	mf_fw_admin_tls(&t->w, &c, tls);
	call(&c, rpc("GetStatus"), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
	/* What is wrong changes nothing. */
	assert_int_equal(mf_broker_front_admins(t->w.f, access_of(t, &bad, 1), &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "entry 1"));
	assert_int_equal(mf_broker_front_admins(t->w.f, access_of(t, &node, 1), &err), MF_E_INVALID);
	assert_int_equal(mf_broker_front_admins(t->w.f, MF_SLICE_LIT("\xff\xff"), &err), MF_E_INVALID);
	call(&c, rpc("GetStatus"), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
	assert_int_equal(mf_broker_front_admins(t->w.f, access_of(t, NULL, 0), NULL), MF_OK);
	FW_UNTIL(&t->w, c.over);
	assert_int_equal(status_as(t, tls, &u), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(mf_broker_front_admins(t->w.f, access_of(t, &alice, 1), NULL), MF_OK);
	assert_int_equal(status_as(t, tls, &u), MF_GRPC_OK);
}

/* Its own caps: full for administrators, agents come and go; certificates without a role hold few of them. */
static void
test_own_lane(void **state)
{
	struct world *t = *state;
	static struct fw_client c[20], agent, local;
	static struct fw_stream s;
	struct fw_unary u;
	const struct entry alice = { .role = "viewer", .spiffe_id = "spiffe://" FW_TD ALICE };
	t->w.conf.admin_tls_net.conns = 12;
	t->w.conf.admin_tls_net.handshakes = 4;
	serve(t, &alice, 1);
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *nobody = mf_fw_client_tls(&t->w, NULL, "/ops/mallory", 0);
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = mf_fw_client_tls(&t->w, NULL, ALICE, 0);
	size_t in = 0;
	for (size_t i = 0; i < 12; i++) {
		mf_fw_admin_tls(&t->w, &c[i], nobody);
		if (!c[i].over) {
			call(&c[i], rpc("GetStatus"), &u); /* in TLS 1.3 only an answer shows that it is in */
			in += u.code == MF_GRPC_PERMISSION_DENIED;
		}
	}
	assert_int_equal(in, 8);
	for (size_t i = 0; i < 4; i++) {
		mf_fw_admin_tls(&t->w, &c[12 + i], tls);
		call(&c[12 + i], rpc("GetStatus"), &u);
		assert_int_equal(u.code, MF_GRPC_OK);
		mf_fw_unary_fini(&u);
	}
	mf_fw_admin_tls(&t->w, &c[16], tls);
	FW_UNTIL(&t->w, c[16].over); /* full */
	mf_fw_dial_node(&t->w, &agent, KIT_NODE_A);
	(void)mf_fw_session(&agent, &s);
	mf_fw_admin(&t->w, &local);
	call(&local, rpc("GetStatus"), &u);
	assert_int_equal(u.code, MF_GRPC_OK);
	mf_fw_unary_fini(&u);
	for (size_t i = 0; i < 16; i++)
		mf_fw_hang_up(&t->w, &c[i]);
	assert_int_equal(status_as(t, tls, &u), MF_GRPC_OK); /* room again */
}

/* A certificate that expires while its connection is open ends with it. */
static void
test_expiry_on_an_open_connection(void **state)
{
	struct world *t = *state;
	static struct fw_client c;
	struct fw_unary u;
	const struct entry alice = { .role = "viewer", .spiffe_id = "spiffe://" FW_TD ALICE };
	serve(t, &alice, 1);
	MF_AUTO(mf_tls_ctx_free)
	struct mf_tls_ctx *tls = mf_fw_client_tls(&t->w, NULL, ALICE, mf_now().wall_us / 1000000 + 2);
	mf_fw_admin_tls(&t->w, &c, tls);
	do {
		mf_fn_forget(&t->w);
		call(&c, rpc("GetStatus"), &u);
		mf_fw_unary_fini(&u);
	} while (u.code == MF_GRPC_OK); /* the hang limit is the test's own */
	assert_int_equal(u.code, MF_GRPC_PERMISSION_DENIED);
	assert_non_null(strstr(u.text, "has expired"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_matrix),
		T(test_who_gets_in),
		T(test_identity_reaches_the_notary),
		T(test_reload),
		T(test_own_lane),
		T(test_expiry_on_an_open_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
