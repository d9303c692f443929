/* What the AVX-512 path takes from the AVX2 path: reading vectors takes longer than summing them, on either. */
#ifndef VGK_DISTANCES_X86_H
#define VGK_DISTANCES_X86_H

#include "internal.h"

float vgk_avx2_product_float16(const uint8_t *code, const float *query, int64_t padded);
float vgk_avx2_product_float32(const uint8_t *code, const float *query, int64_t padded);
void vgk_avx2_exact_products(const float *vector, const float *query, int64_t dimension, double sums[2]);
double vgk_avx2_exact_distance(const float *vector, const float *query, int64_t dimension);

#endif
