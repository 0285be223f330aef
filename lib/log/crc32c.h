/*
 * crc32c: CRC-32C (Castagnoli, RFC 3720 appendix B.4). Tells a torn write from a whole one; it is no
 * protection against anybody. Thread-safe.
 */
#ifndef MF_LOG_CRC32C_H
#define MF_LOG_CRC32C_H
#include "base/slice.h"

uint32_t mf_crc32c(struct mf_slice in);
#endif
