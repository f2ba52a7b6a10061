/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli polynomial, RFC 3720 appendix B.4), as iSCSI and ext4 have it. */
#ifndef KMEMBENCH_CRC32C_H
#define KMEMBENCH_CRC32C_H

#include <kmem/compiler.h>

/* Goes on from crc, the result of an earlier call, or begins with 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

#endif /* KMEMBENCH_CRC32C_H */
