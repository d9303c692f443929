/* Bitmaps of rows: bit 0 of the first word is row 0. */
#include "internal.h"

static uint64_t word_at(const uint64_t *bits, int64_t word, int64_t rows) {
    int64_t left = rows - 64 * word;
    return left >= 64 ? bits[word] : bits[word] & ((UINT64_C(1) << left) - 1);
}

int64_t vgk_count_bits(const uint64_t *bits, int64_t rows) {
    int64_t count = 0;
    for (int64_t word = 0; 64 * word < rows; word++) count += __builtin_popcountll(word_at(bits, word, rows));
    return count;
}

int64_t vgk_rows_of_bits(const uint64_t *bits, int64_t rows, int32_t *out, int64_t room) {
    int64_t count = 0;
    for (int64_t word = 0; 64 * word < rows; word++) {
        for (uint64_t left = word_at(bits, word, rows); left; left &= left - 1) {
            if (count < room) out[count] = (int32_t)(64 * word + __builtin_ctzll(left));
            count++;
        }
    }
    return count;
}
