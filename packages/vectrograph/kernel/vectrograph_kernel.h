/* The index kernel: codes, links and search of one collection.
 *
 * A collection's rows are numbered from 0 in the order in which they were written. An index over them is a handful of
 * flat arrays without pointers, so they may lie in memory, in a mapped file or in shared memory, and one process can
 * search them while another writes:
 *
 *   header     one page: what the arrays hold, and the counters that publish them (struct vgk_header)
 *   records    capacity x stride bytes. The code of a row, padded with zeros, then two floats: scale and bias
 *   links      capacity x VGK_LINKS row numbers: the neighbours of a row on level 0, then VGK_NONE
 *   upper_at   capacity numbers: the first block of the row in `upper`, VGK_NONE where it is on level 0 alone
 *   upper      blocks of VGK_UPPER_LINKS row numbers: one block for each level above 0 that a row is on
 *   same       capacity row numbers: the next row with an equal code, newest first, then VGK_NONE. Only the oldest of
 *              equal rows has links; a thousand equal vectors would otherwise link to nothing but one another
 *   died       capacity numbers: the seq of the change that deleted or replaced the row, VGK_ALIVE until then
 *   vectors    the originals, vector_rows x dimension floats. Read to put candidates into their exact order
 *
 * One formula scores a row, whatever the metric; lower is closer:
 *
 *   bias - scale * dot(code, query)
 *
 * For cosine and euclidean this is half of the squared distance, less what depends on the query alone. The bias is
 * <x', x> - |x|^2 / 2 for a vector x whose code stands for x'. It is not |x|^2 / 2: the error of the code, x - x', then
 * counts in the direction of x, which is about that of any query to which x is near.
 *
 * Who may do what at the same time: one thread appends rows, marks rows dead and publishes. Any number of threads of
 * the same process link (each row once). Any number of threads of any process search. A search sees one committed
 * state, named by `seq` and `rows`: a row is visible when its number is below `rows` and it died after `seq`. So an
 * update, a new row and the death of the old one, never shows both or neither. The linker leaves out rows that are dead
 * in the committed state, so a search must know how far it had come before the state was read: `vgk_state` tells both.
 *
 * Mapped arrays may hold anything, now or a moment later. Every row number is compared with `capacity` where it is
 * used, and every loop ends whatever it reads. Wrong content gives wrong answers, and never a crash.
 */
#ifndef VECTROGRAPH_KERNEL_H
#define VECTROGRAPH_KERNEL_H

#include <stdatomic.h>
#include <stdint.h>

#if defined(_WIN32)
#define VGK_API __declspec(dllexport)
#else
#define VGK_API __attribute__((visibility("default")))
#endif

/* Changes with every change of a struct, of a function's arguments or of what an array holds. */
#define VGK_FORMAT 1

#define VGK_LINKS 32        /* neighbours on level 0: 128 bytes a row */
#define VGK_UPPER_LINKS 16  /* neighbours on each level above; also, one row in 16 is on the next level */
#define VGK_MAX_LEVEL 6     /* 16^6 rows: more than row numbers allow */
#define VGK_MAX_DIMENSION 16384
#define VGK_LOCKS 4096      /* locks that rows share while they are linked; a power of two */
#define VGK_NONE (-1)
#define VGK_ALIVE INT64_MAX

enum { VGK_COSINE = 0, VGK_EUCLIDEAN = 1, VGK_DOT = 2 };  /* metrics */
enum { VGK_INT8 = 0, VGK_FLOAT16 = 1, VGK_FLOAT32 = 2 };  /* kinds of code */
enum { VGK_WALK = 0, VGK_SCAN = 1, VGK_EXACT = 2 };       /* ways to search */
enum {                                                    /* what functions return */
    VGK_OK = 0,
    VGK_STOPPED = 1,    /* the flag was raised, or the time is over */
    VGK_NO_MEMORY = 2,
    VGK_NO_ROOM = 3,    /* an array is too short for what was asked */
    VGK_BAD_ARGUMENT = 4,
    VGK_STALE = 5,      /* rows behind `capacity` lead to wanted ones: map what was added, and call again */
};

typedef _Atomic int32_t vgk_row;

typedef struct {
    uint64_t magic;
    uint32_t format;
    uint32_t dimension;
    uint32_t kind;
    uint32_t metric;
    int64_t stride;
    uint8_t padding[32];
    /* Every row below was considered by the linker. */
    _Atomic int64_t linked;
    /* Where walks begin: level << 32 | row, VGK_NONE while nothing is linked. One number, so both change at once. */
    _Atomic int64_t entry;
    /* Blocks of `upper` that are taken. */
    _Atomic int64_t upper_used;
    uint8_t padding2[40];
    /* The committed state. `turn` is odd while it changes, and readers try again when it did. */
    _Atomic uint64_t turn;
    _Atomic int64_t seq;
    _Atomic int64_t rows;
    uint8_t padding3[40];
} vgk_header;

/* Where the arrays are in this process. Copied freely; never stored. */
typedef struct {
    vgk_header *header;
    uint8_t *records;
    vgk_row *links;
    int32_t *upper_at;
    vgk_row *upper;
    vgk_row *same;
    _Atomic int64_t *died;
    const float *vectors;
    const int64_t *created;  /* by row: among equal scores, the larger comes first. NULL: the larger row number */
    const float *centre;     /* subtracted from vectors before they are coded; NULL for the origin */
    atomic_uchar *locks;     /* VGK_LOCKS bytes for linking; of this process alone. NULL where nothing is linked */
    int64_t capacity;        /* rows of each array by row; upper bound of every row number that is used */
    int64_t upper_capacity;  /* blocks of `upper` */
    int64_t vector_rows;     /* rows of `vectors` */
    int64_t stride;          /* bytes of a record */
    int32_t dimension;
    int32_t kind;
    int32_t metric;
    int32_t padding;
} vgk_index;

typedef struct {
    const float *vector;
    const uint64_t *allowed;  /* bits by row; NULL for all */
    const int32_t *list;      /* scan these rows alone; NULL for all */
    const int32_t *also;      /* rows that have no code, compared exactly on every search; NULL for none */
    const _Atomic int32_t *stop;  /* raised by another thread to end the search; NULL for never */
    int64_t allowed_rows;     /* rows that `allowed` has bits for; others are not allowed */
    int64_t list_count;
    int64_t also_count;
    int64_t seq;              /* of the committed state that is searched */
    int64_t rows;             /* of the same */
    int64_t linked;           /* rows that the walk may find; see vgk_state. Those behind are scanned */
    int64_t budget;           /* nanoseconds after which to stop; 0 for no limit */
    int32_t k;
    int32_t beam;             /* ef: nodes that a walk keeps */
    int32_t refine;           /* candidates whose original vectors are read */
    int32_t way;
    int32_t any_dead;         /* 0: no row below `rows` is dead at `seq`, so `died` need not be read */
    int32_t padding;
} vgk_query;

typedef struct {
    int64_t *rows;      /* room for k */
    float *scores;      /* room for k: exact, summed in float64 */
    int64_t count;      /* rows that were found */
    int64_t compared;   /* codes and vectors compared with the query */
    int64_t refined;    /* original vectors read */
    int64_t accepted;   /* nodes met on the walk that may be an answer; all that were compared in a scan */
    int64_t way;        /* in which it was searched: exactly, where the query has no code */
} vgk_answer;

typedef struct {
    const _Atomic int32_t *stop;
    int64_t budget;
    int32_t breadth;  /* efConstruction: candidates for the links of a row */
    float alpha;      /* 1: prune as HNSW does; above: keep longer links */
} vgk_link_options;

typedef struct vgk_scratch vgk_scratch;

/* Set-up. `vgk_sizes` fills the sizes of the structs above, for bindings that mirror them. */
VGK_API int vgk_format(void);
VGK_API void vgk_sizes(int64_t sizes[5]);
VGK_API int64_t vgk_stride(int kind, int dimension);
VGK_API int64_t vgk_levels(int64_t row);
VGK_API int64_t vgk_upper_blocks(int64_t first, int64_t end);

/* Instruction sets: the name of each path, NULL behind the last; whether the processor has it; which one is used. */
VGK_API const char *vgk_path_name(int path);
VGK_API int vgk_path_available(int path);
VGK_API int vgk_path_used(void);
VGK_API int vgk_use_path(int path);

/* Header: fill a zeroed one; return whether it is one of this format and shape; publish and read. */
VGK_API void vgk_header_create(const vgk_index *index);
VGK_API int vgk_header_fits(const vgk_index *index);
VGK_API void vgk_publish(const vgk_index *index, int64_t seq, int64_t rows);
VGK_API void vgk_state(const vgk_index *index, int64_t state[3]);
VGK_API int64_t vgk_linked(const vgk_index *index);
VGK_API void vgk_set_linked(const vgk_index *index, int64_t linked);
VGK_API int64_t vgk_entry(const vgk_index *index);

/* Rows: code vectors into records; `placed` tells which have a code. Mark rows dead. Undo what came after `seq`. */
VGK_API int vgk_append(const vgk_index *index, const float *vectors, int64_t first, int64_t count, uint8_t *placed);
VGK_API int vgk_mark_dead(const vgk_index *index, const int64_t *rows, int64_t count, int64_t seq);
VGK_API int64_t vgk_revive_after(const vgk_index *index, int64_t seq, int64_t rows);

/* Search, and link rows first <= row < end in order; `done` counts them. */
VGK_API vgk_scratch *vgk_scratch_new(void);
VGK_API void vgk_scratch_free(vgk_scratch *scratch);
VGK_API int64_t vgk_scratch_bytes(const vgk_scratch *scratch);
VGK_API int vgk_search(const vgk_index *index, vgk_scratch *scratch, const vgk_query *query, vgk_answer *answer);
VGK_API int vgk_link(const vgk_index *index, vgk_scratch *scratch, const vgk_link_options *options, int64_t first,
                     int64_t end, int64_t *done);

/* Bitmaps: rows of the bits that are set, ascending; returns how many there are, and writes at most `room`. */
VGK_API int64_t vgk_rows_of_bits(const uint64_t *bits, int64_t rows, int32_t *out, int64_t room);
VGK_API int64_t vgk_count_bits(const uint64_t *bits, int64_t rows);

/* For tests: integer products of a query in [-127, 127] and codes in [0, 255], `padded` a multiple of 64. */
VGK_API int vgk_products(int path, const uint8_t *codes, const int8_t *query, int64_t padded, int64_t count,
                         int32_t *out);

#endif
