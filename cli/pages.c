#include "cli/pages.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/connect.h"
#include "cli/remote.h"

#define PAGES_MAX 4096u /* of some hundred rows each */

void
mf_cli_creds_fini(struct mf_cli_creds *l)
{
	for (size_t i = 0; i < l->n_pages; i++)
		mf_pb_free(l->pages[i]);
	free(l->pages);
	free(l->v);
	*l = (struct mf_cli_creds) { 0 };
}

static enum mf_status
add_page(struct mf_cli_creds *l, ProtobufCMessage *msg, struct mf_err *err)
{
	const Mayfly__Admin__V1__ListCredentialsResponse *r =
	    (const Mayfly__Admin__V1__ListCredentialsResponse *)(const void *)msg;
	ProtobufCMessage **pages = realloc(l->pages, (l->n_pages + 1) * sizeof(*pages));
	if (pages != NULL)
		l->pages = pages;
	Mayfly__Admin__V1__Credential **v = realloc(l->v, (l->n + r->n_credentials + 1) * sizeof(*v));
	if (v != NULL)
		l->v = v;
	if (pages == NULL || v == NULL || l->n_pages == PAGES_MAX) {
		mf_pb_free(msg);
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	}
	l->pages[l->n_pages++] = msg;
	l->sessions = r->sessions;
	for (size_t i = 0; i < r->n_credentials; i++)
		l->v[l->n++] = r->credentials[i];
	return MF_OK;
}

enum mf_status
mf_cli_creds_get(struct mf_cli *c, Mayfly__Admin__V1__ListCredentialsRequest *req, struct mf_cli_creds *ret,
    struct mf_err *err)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	char page[32] = "";
	*ret = (struct mf_cli_creds) { 0 };
	MF_TRY(mf_cli_admin(c, &sync, err));
	do {
		ProtobufCMessage *msg = NULL;
		req->page = page;
		enum mf_status s = mf_grpc_sync_unary(sync, &mf_cli_list_credentials, &req->base, &msg, err);
		if (s != MF_OK) {
			err->code = s;
			if (s == MF_E_UNAVAILABLE)
				mf_cli_remote_why(err);
			return s;
		}
		MF_TRY(add_page(ret, msg, err));
		(void)snprintf(page, sizeof(page), "%s",
		    ((const Mayfly__Admin__V1__ListCredentialsResponse *)(const void *)msg)->next_page);
	} while (page[0] != '\0');
	return MF_OK;
}
