/*
 * watch: --watch of listings: the list once, then each second the rows that are new or changed, until it is interrupted
 * or the broker goes away.
 */
#ifndef MF_CLI_WATCH_H
#define MF_CLI_WATCH_H
#include "cli/show.h"

struct mf_cli_watch {
	bool on, again;	      /* --watch; not the first look */
	struct mf_buf hashes; /* of the rows of the last look */
};

/* ${list} asks and shows by mf_cli_watch_list: once, or with --watch for ever. An exit code. */
int mf_cli_watch_run(struct mf_cli *c, int (*list)(struct mf_cli *c, struct mf_cli_watch *w));
/* mf_show_list of what changed since the last look; ${rows} is sorted anew. Nothing is said when nothing has. */
int mf_cli_watch_list(struct mf_cli *c, struct mf_cli_watch *w, const char *kind, struct mf_cols cols,
    const void **rows, size_t n, const char *nothing);
#endif
