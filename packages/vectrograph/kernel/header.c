/* The header: what the arrays hold, and the counters by which one process publishes to others. */
#include "internal.h"

#define MAGIC UINT64_C(0x31784b4756) /* "VGKx1" */

int vgk_format(void) {
    return VGK_FORMAT;
}

void vgk_sizes(int64_t sizes[5]) {
    sizes[0] = sizeof(vgk_header);
    sizes[1] = sizeof(vgk_index);
    sizes[2] = sizeof(vgk_query);
    sizes[3] = sizeof(vgk_answer);
    sizes[4] = sizeof(vgk_link_options);
}

/* Levels above 0 of a row: one in 16 rows is on level 1, one in 16 of those on level 2. Derived from the number (by the
 * finaliser of splitmix64), so that no array has to hold it. */
int64_t vgk_levels(int64_t row) {
    uint64_t mixed = (uint64_t)row + UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    mixed ^= mixed >> 31;
    int64_t level = 0;
    for (; level < VGK_MAX_LEVEL && (mixed & 15) == 0; level++) mixed >>= 4;
    return level;
}

/* Blocks of `upper` that rows first <= row < end take. */
int64_t vgk_upper_blocks(int64_t first, int64_t end) {
    int64_t blocks = 0;
    for (int64_t row = first; row < end; row++) blocks += vgk_levels(row);
    return blocks;
}

void vgk_header_create(const vgk_index *index) {
    vgk_header *header = index->header;
    header->magic = MAGIC;
    header->format = VGK_FORMAT;
    header->dimension = (uint32_t)index->dimension;
    header->kind = (uint32_t)index->kind;
    header->metric = (uint32_t)index->metric;
    header->stride = index->stride;
    atomic_store_explicit(&header->entry, VGK_NONE, memory_order_relaxed);
}

int vgk_header_fits(const vgk_index *index) {
    const vgk_header *header = index->header;
    return header->magic == MAGIC && header->format == VGK_FORMAT && header->stride == index->stride &&
           header->dimension == (uint32_t)index->dimension && header->kind == (uint32_t)index->kind &&
           header->metric == (uint32_t)index->metric;
}

/* Publish a committed state, of which every row and every death was stored before. */
void vgk_publish(const vgk_index *index, int64_t seq, int64_t rows) {
    vgk_header *header = index->header;
    atomic_fetch_add_explicit(&header->turn, 1, memory_order_acq_rel);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&header->seq, seq, memory_order_relaxed);
    atomic_store_explicit(&header->rows, rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&header->turn, 1, memory_order_release);
}

/* Read how far the linker has come, and then the committed state: seq and rows of one `vgk_publish`. A writer that died in the middle leaves an odd turn, so
 * readers give up after some tries and take what is there; whoever opens the index next publishes anew. */
void vgk_state(const vgk_index *index, int64_t state[3]) {
    vgk_header *header = index->header;
    state[2] = atomic_load_explicit(&header->linked, memory_order_acquire);
    for (int tries = 0; tries < 1 << 20; tries++) {
        uint64_t before = atomic_load_explicit(&header->turn, memory_order_acquire);
        state[0] = atomic_load_explicit(&header->seq, memory_order_relaxed);
        state[1] = atomic_load_explicit(&header->rows, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if (!(before & 1) && atomic_load_explicit(&header->turn, memory_order_relaxed) == before) return;
    }
}

int64_t vgk_linked(const vgk_index *index) {
    return atomic_load_explicit(&index->header->linked, memory_order_acquire);
}

void vgk_set_linked(const vgk_index *index, int64_t linked) {
    atomic_store_explicit(&index->header->linked, linked, memory_order_release);
}

int64_t vgk_entry(const vgk_index *index) {
    return atomic_load_explicit(&index->header->entry, memory_order_acquire);
}

/* Rows that are dead already stay dead from when they died. */
int vgk_mark_dead(const vgk_index *index, const int64_t *rows, int64_t count, int64_t seq) {
    for (int64_t j = 0; j < count; j++) {
        if (rows[j] < 0 || rows[j] >= index->capacity) return VGK_BAD_ARGUMENT;
    }
    for (int64_t j = 0; j < count; j++) {
        int64_t alive = VGK_ALIVE;
        atomic_compare_exchange_strong_explicit(&index->died[rows[j]], &alive, seq, memory_order_release,
                                                memory_order_relaxed);
    }
    return VGK_OK;
}

/* After a crash: rows died in changes that were never committed. Returns how many live again. */
int64_t vgk_revive_after(const vgk_index *index, int64_t seq, int64_t rows) {
    int64_t revived = 0, end = rows < index->capacity ? rows : index->capacity;
    for (int64_t row = 0; row < end; row++) {
        int64_t died = atomic_load_explicit(&index->died[row], memory_order_relaxed);
        if (died <= seq || died == VGK_ALIVE) continue;
        atomic_store_explicit(&index->died[row], VGK_ALIVE, memory_order_relaxed);
        revived++;
    }
    return revived;
}
