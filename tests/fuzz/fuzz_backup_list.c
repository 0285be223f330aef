/* Lists of a backup's files: what is taken is written again as it was, but for the order. */
#include <stdlib.h>

#include "broker/backup_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MF_AUTO_IN(mf_backup_list_fini) struct mf_backup_list l = { 0 };
	MF_AUTO_IN(mf_backup_list_fini) struct mf_backup_list again = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	struct mf_err err;
	mf_buf_init(&text, MF_BACKUP_LIST_MAX);
	if (mf_backup_list_parse(mf_slice(data, size), &l, &err) != MF_OK)
		return 0;
	mf_backup_list_put(&l, &text);
	if (text.n != size || mf_backup_list_parse(mf_buf_slice(&text), &again, &err) != MF_OK ||
	    again.n != l.n)
		abort();
	for (size_t i = 0; i < l.n; i++)
		if (mf_backup_list_find(&again, l.v[i].name) == NULL)
			abort();
	return 0;
}
