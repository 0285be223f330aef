#include "log/crc32c.h"

#include <pthread.h>
#include <stdlib.h>

/* Slicing by eight: table [k][b] is the effect of byte b followed by k zero bytes. */
static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
make_table(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t c = b;
		for (int i = 0; i < 8; i++)
			c = (c & 1) != 0 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		table[0][b] = c;
	}
	for (size_t b = 0; b < 256; b++)
		for (size_t k = 1; k < 8; k++)
			table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

uint32_t
mf_crc32c(struct mf_slice in)
{
	if (pthread_once(&once, make_table) != 0)
		abort();
	const uint8_t *p = in.p;
	size_t n = in.n;
	uint32_t c = 0xffffffffu;
	for (; n >= 8; p += 8, n -= 8) {
		uint32_t lo =
		    c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
		c = table[7][lo & 0xff] ^ table[6][lo >> 8 & 0xff] ^ table[5][lo >> 16 & 0xff] ^
		    table[4][lo >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	}
	for (; n > 0; p++, n--)
		c = c >> 8 ^ table[0][(c ^ *p) & 0xff];
	return ~c;
}
