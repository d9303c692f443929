/* Exact scores, summed in float64 and rounded once. In the same order on every path, so that equal vectors have equal
 * scores wherever they are compared. */
#include <float.h>

#include "internal.h"

/* Cosine distances below are computed from the difference of the directions: what is left of 1 - cos(q, v) when the
 * cosine is nearly 1 is mostly rounding. */
#define NEAR 1e-6

exact_query vgk_exact_query(const vgk_index *index, const float *vector) {
    double sums[2];
    vgk_current_path()->exact_products(vector, vector, index->dimension, sums);
    return (exact_query){vector, sqrt(sums[1])};
}

static double half_squared_difference(const float *vector, double length, const exact_query *query, int dimension) {
    double lanes[LANES] = {0};
    for (int i = 0; i < dimension; i++) {
        double difference = vector[i] / length - query->vector[i] / query->length;
        lanes[i % LANES] += difference * difference;
    }
    return sum_lanes(lanes) / 2;
}

static double clamped(double value) {
    return value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value;
}

/* The score of a row that is below `vector_rows`. */
float vgk_exact_score(const vgk_index *index, const exact_query *query, int64_t row) {
    const path *path = vgk_current_path();
    const float *vector = index->vectors + row * index->dimension;
    double sums[2];
    if (index->metric == VGK_EUCLIDEAN) {
        return (float)clamped(path->exact_distance(vector, query->vector, index->dimension));
    }
    path->exact_products(vector, query->vector, index->dimension, sums);
    if (index->metric == VGK_DOT) return (float)(0 - clamped(sums[0])); /* 0 - 0 is not minus zero */
    double length = sqrt(sums[1]);
    if (length == 0 || query->length == 0) return 1;
    double score = 1 - sums[0] / (length * query->length);
    if (score > 2) return 2;
    return (float)(score < NEAR ? half_squared_difference(vector, length, query, index->dimension) : score);
}
