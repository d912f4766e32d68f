/* Keys go where Java's producers put them. The vectors are those of Kafka's own UtilsTest.testMurmur2, and
 * tests/integration/test_partitioner.c asks Java itself. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/klog.h"

static void known_hashes(void **state) {
    (void)state;
    static const struct {
        const char *key;
        int32_t murmur2;
    } vectors[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t positive = (uint32_t)vectors[i].murmur2 & 0x7fffffffU;
        for (int32_t count = 1; count <= 1024; count++)
            assert_int_equal(hf_klog_partition_of(hf_str_of(vectors[i].key), count), positive % (uint32_t)count);
    }
}

static void bytes_above_127_are_unsigned_in_the_hash(void **state) {
    (void)state;
    /* the tail and the body both see 0xff as 255, as Java's `& 0xff` does; a signed read would spread it */
    const char high[] = "\xff\xff\xff\xff\xff\xff\xff";
    int32_t seen[8];
    for (uint32_t len = 1; len <= 7; len++) {
        seen[len] = hf_klog_partition_of((hf_str){high, len}, 1000003);
        for (uint32_t before = 1; before < len; before++)
            assert_int_not_equal(seen[before], seen[len]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hashes),
        cmocka_unit_test(bytes_above_127_are_unsigned_in_the_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
