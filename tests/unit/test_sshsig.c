/* SSH signatures made by ssh-keygen 9.2 over one message: read, verified, and broken in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/allowed_signers.h"
#include "codec/sshsig.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/ssh_verify.h"

#define CORPUS "tests/fuzz/corpus/sshsig/"
#define MESSAGE "mayfly-admin 1\nact: test\n"
/* The public keys of the corpus. */
#define ED25519 "AAAAC3NzaC1lZDI1NTE5AAAAILYJS5fS55Y6ltIdIA18ECtL0GRrRXzVxYt0hsW+eIKm"
#define P256                                                        \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAK4/" \
	"ZNHXs11gv1WiJ0lEno8QWoJadiKufwUvAAsTb53ITuwHVBGyRINcfeqD34tCLNl5/4yGWMJQ9xWr3EukwU="

static void
load(const char *name, struct mf_buf *blob)
{
	char path[256];
	uint8_t text[8192];
	(void)snprintf(path, sizeof(path), CORPUS "%s.sig", name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	size_t n = fread(text, 1, sizeof(text), f);
	(void)fclose(f);
	mf_buf_init(blob, MF_LIM_SSHSIG);
	assert_int_equal(mf_sshsig_unarmor(mf_slice(text, n), blob, NULL), MF_OK);
}

static enum mf_status
verify(struct mf_slice blob, const char *message)
{
	struct mf_sshsig s;
	uint8_t hash[64];
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	MF_TRY(mf_sshsig_parse(blob, &s, &err));
	if (s.message_sha512)
		mf_sha512(mf_slice_str(message), hash);
	else
		mf_sha256(mf_slice_str(message), hash);
	mf_sshsig_signed(&s, mf_slice(hash, s.message_sha512 ? 64 : 32), &b);
	switch (s.key.kind) {
	case MF_SSH_ED25519:
		return mf_ed25519_verify(s.key.point, mf_buf_slice(&b), s.sig, &err);
	case MF_SSH_RSA:
		return mf_ssh_verify_rsa(s.key.n, s.key.e, s.rsa_sha512, s.sig, mf_buf_slice(&b), &err);
	default:
		return mf_ssh_verify_ecdsa(s.key.kind == MF_SSH_P256   ? 256
					   : s.key.kind == MF_SSH_P384 ? 384
								       : 521,
		    s.key.point, s.r, s.s, mf_buf_slice(&b), &err);
	}
}

static const struct {
	const char *name;
	enum mf_ssh_kind kind;
} files[] = { { "ed25519", MF_SSH_ED25519 }, { "ed25519-sha256", MF_SSH_ED25519 },
	{ "ecdsa-256", MF_SSH_P256 }, { "ecdsa-384", MF_SSH_P384 }, { "ecdsa-521", MF_SSH_P521 },
	{ "rsa-2048", MF_SSH_RSA } };

static void
test_real_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < MF_COUNT(files); i++) {
		struct mf_buf blob;
		struct mf_sshsig s;
		load(files[i].name, &blob);
		assert_int_equal(mf_sshsig_parse(mf_buf_slice(&blob), &s, NULL), MF_OK);
		assert_int_equal(s.key.kind, files[i].kind);
		assert_true(mf_slice_eq_str(s.name_space, "mayfly-admin"));
		assert_int_equal(s.message_sha512, strstr(files[i].name, "sha256") == NULL);
		assert_int_equal(verify(mf_buf_slice(&blob), MESSAGE), MF_OK);
		assert_int_equal(verify(mf_buf_slice(&blob), MESSAGE "x"), MF_E_UNAUTH);
		mf_buf_fini(&blob);
	}
}

/* Every bit of every signature matters: whatever is flipped, it does not verify; nor what is cut or longer. */
static void
test_every_bit(void **state)
{
	(void)state;
	for (size_t i = 0; i < MF_COUNT(files); i++) {
		struct mf_buf blob;
		struct mf_sshsig s;
		load(files[i].name, &blob);
		size_t step = files[i].kind == MF_SSH_ED25519 ? 1 : 5; /* the slow kinds are sampled */
		for (size_t bit = 0; bit < 8 * blob.n; bit += step) {
			blob.p[bit / 8] = (uint8_t)(blob.p[bit / 8] ^ (1u << bit % 8));
			if (verify(mf_buf_slice(&blob), MESSAGE) == MF_OK)
				fail_msg("%s: bit %zu does not matter", files[i].name, bit);
			blob.p[bit / 8] = (uint8_t)(blob.p[bit / 8] ^ (1u << bit % 8));
		}
		for (size_t n = 0; n < blob.n; n++)
			assert_int_not_equal(mf_sshsig_parse(mf_slice(blob.p, n), &s, NULL), MF_OK);
		mf_buf_put_u8(&blob, 0);
		assert_int_equal(mf_sshsig_parse(mf_buf_slice(&blob), &s, NULL), MF_E_INVALID);
		mf_buf_fini(&blob);
	}
}

static void
test_armor(void **state)
{
	static const char *const bad[] = { "", "-----BEGIN SSH SIGNATURE-----",
		"-----BEGIN SSH SIGNATURE-----\n",
		"-----BEGIN SSH SIGNATURE-----\nAAA\n-----END SSH SIGNATURE-----",
		"-----BEGIN SSH SIGNATURE-----\nA*==\n-----END SSH SIGNATURE-----",
		"x\n-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----",
		"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\nx",
		"-----BEGIN PGP SIGNATURE-----\nAAAA\n-----END PGP SIGNATURE-----" };
	(void)state;
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, MF_LIM_SSHSIG);
		if (mf_sshsig_unarmor(mf_slice_str(bad[i]), &b, NULL) != MF_E_INVALID)
			fail_msg("accepted: %s", bad[i]);
	}
}

/* ---- allowed signers ---- */

static struct mf_signers *
signers(const char *text, struct mf_err *err)
{
	struct mf_signers *s = NULL;
	return mf_signers_parse(mf_slice_str(text), "mayfly-admin", &s, err) == MF_OK ? s : NULL;
}

static void
test_signers(void **state)
{
	struct mf_err err = { 0 };
	(void)state;
	MF_AUTO(mf_signers_free)
	struct mf_signers *s =
	    signers("# a comment\n\n"
		    "alice@example.org namespaces=\"git,mayfly-admin\" ssh-ed25519 " ED25519 " laptop\n"
		    "bob valid-after=\"20270101Z\",valid-before=\"202706011230Z\" "
		    "ecdsa-sha2-nistp256 " P256 "\r\n"
		    "carol namespaces=\"git\" ecdsa-sha2-nistp256 " P256,
		&err);
	if (s == NULL)
		fail_msg("%s", err.msg);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf a;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&a, 4096);
	mf_buf_init(&b, 4096);
	assert_int_equal(mf_base64_get(MF_SLICE_LIT(ED25519), &a, NULL), MF_OK);
	assert_int_equal(mf_base64_get(MF_SLICE_LIT(P256), &b, NULL), MF_OK);
	assert_string_equal(mf_signers_person(s, mf_buf_slice(&a), 0), "alice@example.org");
	assert_null(mf_signers_person(s, mf_buf_slice(&b), 1798761599)); /* one second before 2027 */
	assert_string_equal(mf_signers_person(s, mf_buf_slice(&b), 1798761600), "bob");
	assert_string_equal(mf_signers_person(s, mf_buf_slice(&b), 1811853000 - 1), "bob");
	assert_null(mf_signers_person(s, mf_buf_slice(&b), 1811853000));
	assert_null(mf_signers_person(s, MF_SLICE_LIT("x"), 0));
	assert_int_equal(mf_signers_persons(s, 0), 1);
	assert_int_equal(mf_signers_persons(s, 1798761600), 2);
}

static void
test_signers_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} t[] = {
		{ "al* ssh-ed25519 " ED25519, "one person" },
		{ "alice,bob ssh-ed25519 " ED25519, "one person" },
		{ " alice ssh-ed25519 " ED25519, "one person" },
		{ "alice cert-authority ssh-ed25519 " ED25519, "cert-authority" },
		{ "alice namespaces=\"mayfly-admin\",cert-authority ssh-ed25519 " ED25519, "cert-authority" },
		{ "alice no-such ssh-ed25519 " ED25519, "unknown option" },
		{ "alice valid-before=\"20271231\" ssh-ed25519 " ED25519, "UTC" },
		{ "alice valid-before=\"20270230Z\" ssh-ed25519 " ED25519, "UTC" },
		{ "alice valid-before=\"202702282460Z\" ssh-ed25519 " ED25519, "UTC" },
		{ "alice ssh-ed25519 AAAA", "copy the line" },
		{ "alice ssh-ed25519", "copy the line" },
		{ "alice", "copy the line" },
		{ "alice ssh-dss AAAAB3NzaC1kc3MAAAAA", "only Ed25519" },
		{ "alice ssh-ed25519 " ED25519 "\nbob ssh-ed25519 " ED25519,
		    "line 2: this key is alice's already" },
	};
	(void)state;
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_err err = { 0 };
		if (signers(t[i].text, &err) != NULL)
			fail_msg("accepted: %s", t[i].text);
		if (strstr(err.msg, t[i].says) == NULL)
			fail_msg("%s: %s", t[i].text, err.msg);
	}
	struct mf_err err = { 0 };
	MF_AUTO(mf_signers_free) struct mf_signers *none = signers("", &err);
	assert_int_equal(mf_signers_persons(none, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_ones),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_armor),
		cmocka_unit_test(test_signers),
		cmocka_unit_test(test_signers_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
