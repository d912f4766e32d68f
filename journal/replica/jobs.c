#include "journal/replica/jobs.h"

#include "schemas/base/mem.h"

/* ---- the map: open addressing, linear probing, backward-shift deletion ------------------------------- */
/* The cells hold part of the hash beside the pointer: looking for an id that is not there touches no slot. */
enum { FIRST = 256 };

void hf_jobs_init(hf_jobs *jobs) { *jobs = (hf_jobs){0}; }

void hf_jobs_done(hf_jobs *jobs) {
    for (size_t i = 0; jobs->table && i <= jobs->mask; i++)
        hf_slot_free(jobs->table[i].slot);
    free(jobs->table);
    hf_jobs_init(jobs);
}

static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static uint64_t hash_of(hf_str id) {
    uint64_t h = 0x9e3779b97f4a7c15u ^ id.len, word;
    for (; id.len >= 8; id.p += 8, id.len -= 8) {
        memcpy(&word, id.p, 8);
        h = mix(h ^ word);
    }
    word = 0;
    if (id.len)
        memcpy(&word, id.p, id.len);
    return mix(h ^ word);
}

hf_slot *hf_jobs_find(const hf_jobs *jobs, hf_str id) {
    if (!jobs->table)
        return NULL;
    uint64_t hash = hash_of(id);
    for (size_t i = hash & jobs->mask;; i = (i + 1) & jobs->mask) {
        const hf_job_cell *cell = &jobs->table[i];
        if (!cell->slot || (cell->hash == hash && hf_str_eq(cell->slot->job.id, id)))
            return cell->slot;
    }
}

static void place(hf_job_cell *table, size_t mask, hf_job_cell cell) {
    size_t i = cell.hash & mask;
    while (table[i].slot)
        i = (i + 1) & mask;
    table[i] = cell;
}

bool hf_jobs_reserve(hf_jobs *jobs) {
    if (jobs->table && jobs->count + 1 <= (jobs->mask + 1) / 2)
        return true;
    size_t size = jobs->table ? (jobs->mask + 1) * 2 : FIRST;
    hf_job_cell *table = hf_alloc(size * sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; jobs->table && i <= jobs->mask; i++)
        if (jobs->table[i].slot)
            place(table, size - 1, jobs->table[i]);
    free(jobs->table);
    jobs->table = table;
    jobs->mask = size - 1;
    return true;
}

static void unlink_slot(hf_jobs *jobs, hf_slot *slot) {
    *(slot->newer ? &slot->newer->older : &jobs->newest) = slot->older;
    *(slot->older ? &slot->older->newer : &jobs->oldest) = slot->newer;
    slot->newer = slot->older = NULL;
}
static void link_newest(hf_jobs *jobs, hf_slot *slot) {
    slot->older = jobs->newest;
    slot->newer = NULL;
    *(jobs->newest ? &jobs->newest->newer : &jobs->oldest) = slot;
    jobs->newest = slot;
}

void hf_jobs_touch(hf_jobs *jobs, hf_slot *slot) {
    if (jobs->newest == slot)
        return;
    unlink_slot(jobs, slot);
    link_newest(jobs, slot);
}

void hf_jobs_add(hf_jobs *jobs, hf_slot *slot) {
    uint32_t len = slot->job.id.len < HF_ID_MAX_BYTES ? slot->job.id.len : HF_ID_MAX_BYTES;
    memmove(slot->id, slot->job.id.p, len);
    slot->job.id = (hf_str){slot->id, len};
    slot->hash = hash_of(slot->job.id);
    place(jobs->table, jobs->mask, (hf_job_cell){slot->hash, slot});
    jobs->count++;
    link_newest(jobs, slot);
}

void hf_jobs_drop(hf_jobs *jobs, hf_slot *slot) {
    size_t i = slot->hash & jobs->mask;
    while (jobs->table[i].slot != slot)
        i = (i + 1) & jobs->mask;
    jobs->table[i].slot = NULL;
    for (size_t j = (i + 1) & jobs->mask; jobs->table[j].slot; j = (j + 1) & jobs->mask) {
        size_t home = jobs->table[j].hash & jobs->mask;
        if (((j - home) & jobs->mask) >= ((j - i) & jobs->mask)) {
            jobs->table[i] = jobs->table[j];
            jobs->table[j].slot = NULL;
            i = j;
        }
    }
    jobs->count--;
    unlink_slot(jobs, slot);
    hf_slot_free(slot);
}

/* ---- slots and their pieces ---------------------------------------------------------------------------- */
hf_slot *hf_slot_new(void) {
    hf_slot *slot = hf_alloc(sizeof *slot);
    if (slot)
        slot->stored_state = HF_S_NONE;
    return slot;
}

static const hf_str *text_at(const hf_job *job, const hf_field *f) {
    return (const hf_str *)(const void *)((const char *)job + f->offset);
}
static void *option_at(const hf_job *job, const hf_field *f) {
    void *p;
    memcpy(&p, (const char *)job + f->offset, sizeof p);
    return p;
}
static void *pointer_at(const hf_job *job, const hf_field *f) {
    if (f->kind == HF_K_OPTION)
        return option_at(job, f);
    union {
        const char *in;
        void *out;
    } u = {text_at(job, f)->p};
    return u.out;
}
static bool is_piece(const hf_field *f) {
    return f->offset != offsetof(hf_job, id) && (f->kind == HF_K_STR || f->kind == HF_K_RAW || f->kind == HF_K_OPTION);
}

static void add_piece(hf_pieces *pieces, const void *p) {
    union {
        const void *in;
        void *out;
    } u = {p};
    if (p)
        pieces->p[pieces->count++] = u.out;
}

void hf_pieces_free(hf_pieces *pieces) {
    while (pieces->count > 0)
        free(pieces->p[--pieces->count]);
}

/* hf_type_clone of an option as large as a specification costs more than all the rest: only when it is new. */
static void *copy_piece(const hf_field *f, hf_job *after) {
    char *at = (char *)after + f->offset;
    if (f->kind == HF_K_OPTION) {
        void *copy = hf_type_clone(f->sub, option_at(after, f));
        memcpy(at, &copy, sizeof copy);
        return copy;
    }
    hf_str s = *text_at(after, f);
    char *copy = hf_strndup(s.p, s.len);
    memcpy(at, &(hf_str){copy, s.len}, sizeof s);
    return copy;
}

bool hf_pieces_copy(const hf_job *before, hf_job *after, hf_pieces *ret_new, hf_pieces *ret_old) {
    _Static_assert(sizeof(hf_job) < 1024, "a job is small without its pieces");
    ret_new->count = ret_old->count = 0;
    for (uint32_t i = 0; i < HF_TYPE_JOB.field_count; i++) {
        const hf_field *f = &HF_TYPE_JOB.fields[i];
        if (!is_piece(f))
            continue;
        void *was = before ? pointer_at(before, f) : NULL, *is = pointer_at(after, f);
        if (was == is)
            continue;
        add_piece(ret_old, was);
        if (f->kind != HF_K_OPTION && text_at(after, f)->len == 0) {
            memset((char *)after + f->offset, 0, sizeof(hf_str));
            continue;
        }
        if (!is)
            continue;
        void *copy = copy_piece(f, after);
        if (!copy) {
            hf_pieces_free(ret_new);
            return false;
        }
        add_piece(ret_new, copy);
    }
    return true;
}

void hf_slot_free(hf_slot *slot) {
    if (!slot)
        return;
    for (uint32_t i = 0; i < HF_TYPE_JOB.field_count; i++) {
        const hf_field *f = &HF_TYPE_JOB.fields[i];
        if (is_piece(f) && !(slot->ended && f->kind == HF_K_OPTION))
            free(pointer_at(&slot->job, f));
    }
    free(slot);
}

void hf_slot_put(hf_slot *slot, const hf_job *after) {
    hf_str id = {slot->id, after->id.len};
    slot->job = *after;
    slot->job.id = id;
}

void hf_slot_make_stub(hf_slot *slot) {
    static const hf_spec nothing = {0};
    hf_job ended = {.id = slot->job.id,
                    .created = slot->job.created,
                    .last = slot->job.last,
                    .state = slot->job.state,
                    .deleted = slot->job.deleted,
                    .spec = &nothing};
    for (uint32_t i = 0; i < HF_TYPE_JOB.field_count; i++) {
        const hf_field *f = &HF_TYPE_JOB.fields[i];
        if (is_piece(f) && !(slot->ended && f->kind == HF_K_OPTION))
            free(pointer_at(&slot->job, f));
    }
    slot->job = ended;
    slot->ended = true;
    slot->bytes = 0;
}
