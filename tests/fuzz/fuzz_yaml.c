/*
 * The strict reader and the configuration of the broker: anything may come, every refusal has a text, and what was
 * taken prints to something that is taken again and prints the same.
 */
#include <stdlib.h>

#include "conf/broker_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_broker_conf *
load(struct mf_slice in)
{
	struct mf_problems *p = mf_problems_new("f");
	struct mf_broker_conf *c = NULL;
	struct mf_buf text;
	struct mf_err err;
	if (p == NULL)
		abort();
	enum mf_status s = mf_broker_conf_load(in, NULL, NULL, NULL, p, &c, &err);
	if ((s == MF_OK) != (c != NULL) || (s == MF_OK) != (mf_problems_count(p) == 0))
		abort();
	mf_buf_init(&text, 1 << 20);
	mf_problems_put(p, &text);
	if (text.failed != MF_OK || (s != MF_OK && text.n == 0))
		abort();
	mf_buf_fini(&text);
	mf_problems_free(p);
	return c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_broker_conf *c = load(mf_slice(data, size));
	if (c == NULL)
		return 0;
	struct mf_buf once, twice;
	mf_buf_init(&once, 8 << 20);
	mf_buf_init(&twice, 8 << 20);
	mf_broker_conf_print(c, &once);
	struct mf_broker_conf *again = load(mf_buf_slice(&once));
	if (again == NULL)
		abort();
	mf_broker_conf_print(again, &twice);
	if (!mf_slice_eq(mf_buf_slice(&once), mf_buf_slice(&twice)))
		abort();
	mf_buf_fini(&once);
	mf_buf_fini(&twice);
	mf_broker_conf_free(again);
	mf_broker_conf_free(c);
	return 0;
}
