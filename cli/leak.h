/*
 * leak: what a file that turned up somewhere holds of credentials, as fingerprints (mayfly-audit makes them: this program
 * knows no cryptography). The file's bytes go nowhere.
 */
#ifndef MF_CLI_LEAK_H
#define MF_CLI_LEAK_H
#include "admin.pb-c.h"
#include "base/err.h"

#define MF_CLI_FINGERPRINTS 32u

struct mf_cli_leak {
	Mayfly__Admin__V1__LeakedCredential msg; /* points into this struct */
	ProtobufCBinaryData hashes[MF_CLI_FINGERPRINTS];
	uint8_t bytes[MF_CLI_FINGERPRINTS][32];
	char *ids[MF_CLI_FINGERPRINTS];
	char text[MF_CLI_FINGERPRINTS][129];
};

/* MF_E_NOTFOUND: it holds nothing that looks like a credential, or cannot be read; the text says what. */
MF_NODISCARD enum mf_status
mf_cli_leak_read(const char *path, struct mf_cli_leak *ret_leak, struct mf_err *err);
#endif
