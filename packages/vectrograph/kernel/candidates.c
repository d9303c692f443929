/* The best of many rows, in a binary heap: the worst that is kept is at the root. */
#include "internal.h"

static bool is_worse(const best_rows *best, candidate one, candidate other) {
    if (one.score != other.score) return one.score > other.score;
    if (!best->created) return one.row < other.row;
    int64_t mine = best->created[one.row], others = best->created[other.row];
    return mine != others ? mine < others : one.row < other.row;
}

static void sink(best_rows *best, int64_t at, int64_t count) {
    candidate moving = best->items[at];
    for (int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_worse(best, best->items[child + 1], best->items[child])) child++;
        if (!is_worse(best, best->items[child], moving)) break;
        best->items[at] = best->items[child];
        at = child;
    }
    best->items[at] = moving;
}

/* Keep a row if it is among the best; `not a number` never is. */
void vgk_offer(best_rows *best, float score, int32_t row) {
    candidate new = {score, row};
    if (best->count == best->room) {
        if (best->room == 0 || !(score <= best->items[0].score) || !is_worse(best, best->items[0], new)) return;
        best->items[0] = new;
        sink(best, 0, best->count);
        return;
    }
    if (!(score <= INFINITY)) return;
    int64_t at = best->count++;
    while (at > 0 && is_worse(best, new, best->items[(at - 1) / 2])) {
        best->items[at] = best->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    best->items[at] = new;
}

/* Put the rows in order, the best first; nothing can be offered afterwards. */
void vgk_sort_best(best_rows *best) {
    for (int64_t last = best->count - 1; last > 0; last--) {
        candidate worst = best->items[0];
        best->items[0] = best->items[last];
        best->items[last] = worst;
        sink(best, 0, last);
    }
}
