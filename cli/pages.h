/* pages: all credentials that a request names, however many answers that takes. */
#ifndef MF_CLI_PAGES_H
#define MF_CLI_PAGES_H
#include "admin.pb-c.h"
#include "cli/cli.h"

struct mf_cli_creds {
	Mayfly__Admin__V1__Credential **v; /* in ${pages} */
	size_t n;
	ProtobufCMessage **pages;
	size_t n_pages;
	const Mayfly__Admin__V1__EndedSessions *sessions; /* in ${pages}; NULL: the subject is no role's */
};
/* ${req}'s page is set anew. Fini'd in any case. */
MF_NODISCARD enum mf_status mf_cli_creds_get(struct mf_cli *c, Mayfly__Admin__V1__ListCredentialsRequest *req,
    struct mf_cli_creds *ret, struct mf_err *err);
void mf_cli_creds_fini(struct mf_cli_creds *l);
static inline void
mf_cli_creds_fini_p(struct mf_cli_creds *l)
{
	mf_cli_creds_fini(l);
}
#endif
