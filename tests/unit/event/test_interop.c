/* Interop with a client nobody here wrote: interop.py drives fastavro, and this program is its other side.
 *
 *   test_interop                                 runs interop.py with the interpreter $HF_TEST_PYTHON; without one: skipped (77)
 *   test_interop fingerprints                    NAME and fingerprint of each schema, a line each
 *   test_interop reencode NAME IN OUT [SCHEMA]   decodes file IN, encodes it into file OUT; SCHEMA is what the registry
 *                                                gives for any id */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "schemas/base/mem.h"
#include "schemas/event/codec.h"

enum { SKIPPED = 77 };

static hf_code read_file(const char *path, hf_buf *out, hf_err *reterr) {
    char part[4096];
    size_t n;
    FILE *file = fopen(path, "re");
    if (!file)
        return hf_fail(reterr, HF_E_IO, "%s", path);
    while ((n = fread(part, 1, sizeof part, file)) > 0)
        hf_buf_put(out, part, n);
    fclose(file);
    return out->failed ? hf_fail(reterr, HF_E_LIMIT, "%s", path) : HF_OK;
}

static hf_code lookup(void *ctx, int32_t id, char **ret_text, hf_err *reterr) {
    hf_buf text;
    hf_buf_init(&text, 1 << 20);
    hf_code code = read_file(ctx, &text, reterr);
    if (code == HF_OK && !(*ret_text = hf_strndup((const char *)text.data, text.len)))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "id %" PRId32, id);
    hf_buf_done(&text);
    return code;
}

static hf_code reencode(hf_schema schema, const char *in, const char *out, char *registry, hf_err *err) {
    _Alignas(16) char record[1024];
    hf_codec *codec = NULL;
    hf_arena arena;
    hf_buf bytes, again;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    hf_buf_init(&bytes, HF_MAX_RECORD);
    hf_buf_init(&again, HF_MAX_RECORD);
    hf_code code = hf_codec_new(registry ? lookup : NULL, registry, &codec, err);
    if (code == HF_OK)
        code = read_file(in, &bytes, err);
    if (code == HF_OK)
        code = hf_decode(codec, schema, hf_buf_str(&bytes), &arena, record, err);
    if (code == HF_OK)
        code = hf_encode(codec, schema, record, &again, err);
    FILE *file = code == HF_OK ? fopen(out, "we") : NULL;
    if (file && (fwrite(again.data, 1, again.len, file) != again.len || fclose(file) != 0))
        code = hf_fail(err, HF_E_IO, "%s", out);
    hf_buf_done(&again);
    hf_buf_done(&bytes);
    hf_arena_done(&arena);
    hf_codec_free(codec);
    return code;
}

static int drive(char *self) {
    const char *python = getenv("HF_TEST_PYTHON");
    if (!python || !*python) {
        puts("skipped: HF_TEST_PYTHON names no Python interpreter that has fastavro (ops/build/python-venv makes one)");
        return SKIPPED;
    }
    execl(python, python, HF_SOURCE_DIR "/tests/unit/event/interop.py", HF_SOURCE_DIR, self, (char *)NULL);
    perror(python);
    return 1;
}

int main(int argc, char **argv) {
    hf_err err = {0};
    if (argc == 1)
        return drive(argv[0]);
    if (argc == 2 && strcmp(argv[1], "fingerprints") == 0) {
        for (int s = 0; s < HF_SCHEMA_COUNT; s++)
            printf("%s %016" PRIx64 "\n", hf_schema_name((hf_schema)s), hf_schema_fingerprint((hf_schema)s));
        return 0;
    }
    for (int s = 0; argc >= 5 && argc <= 6 && s < HF_SCHEMA_COUNT; s++)
        if (strcmp(argv[1], "reencode") == 0 && strcmp(argv[2], hf_schema_name((hf_schema)s)) == 0) {
            hf_code code = reencode((hf_schema)s, argv[3], argv[4], argc == 6 ? argv[5] : NULL, &err);
            if (code)
                fprintf(stderr, "%s: %s\n", hf_code_name(code), err.detail);
            return hf_code_exit_status(code);
        }
    fprintf(stderr, "usage: see the head of test_interop.c\n");
    return 64;
}
