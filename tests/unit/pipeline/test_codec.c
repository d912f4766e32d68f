/* A codec's bytes are the same in every lane, wherever its memory lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline/codec.h"
#include "consumer/pipeline/codec_place.h"

enum { LANES = 32, GRAINS = 2500, BYTES = 192 };

static void each_lane_makes_the_same_bytes(void **state) {
    (void)state;
    size_t codecs;
    const hf_codec *all = hf_codecs(&codecs);
    unsigned seed = 5;
    for (size_t c = 0; c < codecs; c++) {
        void *lanes[LANES];
        for (int i = 0; i < LANES; i++)
            assert_non_null(lanes[i] = all[c].lane_new(all[c].level));
        for (int g = 0; g < GRAINS; g++) {
            /* Its first bytes come again: a match with the first position, which is what a wrongly filed third one crowds out. */
            uint8_t grain[BYTES], first[HF_CODEC_BOUND], other[HF_CODEC_BOUND];
            for (int i = 0; i < BYTES; i++)
                grain[i] = (uint8_t)(rand_r(&seed) >> 7);
            memcpy(grain + 100, grain, 12);
            size_t len = all[c].compress(lanes[0], grain, BYTES, first, sizeof first);
            assert_true(len > 0);
            for (int i = 1; i < LANES; i++) {
                assert_int_equal(all[c].compress(lanes[i], grain, BYTES, other, sizeof other), len);
                assert_memory_equal(first, other, len);
            }
        }
        for (int i = 0; i < LANES; i++)
            all[c].lane_free(lanes[i]);
    }
}

static void places_are_found_zeroed_and_given_back(void **state) {
    (void)state;
    enum { MANY = 200, SIZE = 150000 };
    char *places[MANY];
    for (int i = 0; i < MANY; i++) {
        assert_non_null(places[i] = hf_place_alloc(SIZE));
        assert_int_equal(hf_place_hash(places[i]), 0);
        for (int at = 0; at < SIZE; at++)
            assert_int_equal(places[i][at], 0);
        memset(places[i], 1, SIZE);
    }
    for (int i = 0; i < MANY; i++)
        hf_place_free(places[i], SIZE);
    hf_place_free(NULL, SIZE);
    assert_null(hf_place_alloc((size_t)1 << 48));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_lane_makes_the_same_bytes),
                                       cmocka_unit_test(places_are_found_zeroed_and_given_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
