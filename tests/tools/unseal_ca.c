/*
 * unseal_ca: the CA key of a test's broker in clear, for certificates that it would never sign itself.
 *
 *   unseal_ca STATE TRUST-DOMAIN BROKER-ID     STATE holds kek and keys/; prints the key as DER (PKCS#8)
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/secret.h"
#include "broker/keys/ca_key.h"

static enum mf_status
unseal(char **argv, struct mf_err *err)
{
	MF_AUTO(mf_kek_free) struct mf_kek *kek = NULL;
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *ca = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	int state = open(argv[1], O_PATH | O_CLOEXEC), keys = openat(state, "keys", O_RDONLY | O_CLOEXEC),
	    fd = openat(state, "kek", O_RDONLY | O_CLOEXEC);
	if (state < 0 || keys < 0 || fd < 0)
		return MF_FAIL(err, MF_E_IO, "%s holds no broker's keys", argv[1]);
	MF_TRY(mf_kek_read_fd(fd, MF_KEK_RAW, &kek, err));
	const struct mf_ca_key_conf conf = {
		.trust_domain = argv[2], .broker_id = argv[3], .kek = kek, .keys_dirfd = keys
	};
	MF_TRY(mf_ca_key_first(&conf, &ca, err));
	MF_TRY(mf_p256_to_pkcs8(ca->key, &der, err));
	struct mf_slice bytes = mf_secret_slice(der);
	if (fwrite(bytes.p, 1, bytes.n, stdout) != bytes.n || fflush(stdout) != 0)
		return MF_FAIL(err, MF_E_IO, "stdout takes nothing");
	return MF_OK;
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	if (argc != 4) {
		(void)fprintf(stderr, "usage: unseal_ca STATE TRUST-DOMAIN BROKER-ID\n");
		return 2;
	}
	if (unseal(argv, &err) == MF_OK)
		return 0;
	(void)fprintf(stderr, "unseal_ca: %s\n", err.msg);
	return 1;
}
