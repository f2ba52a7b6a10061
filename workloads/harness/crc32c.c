/* SPDX-License-Identifier: MIT */
/*
 * One table look-up a byte for the odd ones, eight at a time for the rest
 * (slicing by eight, M. Kounavis and F. Berry, ISCC 2005): table k holds what a byte
 * adds when k more bytes follow it.
 */
#include "workloads/harness/crc32c.h"

#include <string.h>

/* The Castagnoli polynomial with its bits reversed. */
#define CRC32C_POLYNOMIAL 0x82f63b78u

static uint32_t table[8][256];

/* Before main, so that nobody has to ask whether it is done. */
static void KMEM_CONSTRUCTOR make_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
		table[0][i] = crc;
	}
	for (int k = 1; k < 8; k++)
		for (uint32_t i = 0; i < 256; i++)
			table[k][i] = table[k - 1][i] >> 8 ^
				      table[0][table[k - 1][i] & 0xff];
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
	const unsigned char *p = data;

	crc = ~crc;
	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word)); /* little-endian, as the traces are */
		word ^= crc;
		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= table[7 - k][word >> 8 * k & 0xff];
	}
	for (; bytes > 0; bytes--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return ~crc;
}
