/* Java's own kafka-clients says where 1,000 keys go; we say the same. Needs a JDK (single-file source launch). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/klog.h"
#include "tests/support/kafka.h"

static const int32_t counts[] = {1, 2, 3, 4, 7, 12, 16, 50, 100, 1024};
enum { COUNTS = sizeof counts / sizeof *counts, KEYS = 1000 };

static void keys_go_where_java_puts_them(void **state) {
    (void)state;
    char command[1024], key[64];
    int len = snprintf(command, sizeof command,
                       "jars=$(bash " HF_SOURCE_DIR "/tests/support/kafka/kafka-up --fetch) && "
                       "java -cp \"$jars/jars/*\" " HF_SOURCE_DIR "/tests/integration/java/PartitionOf.java");
    for (int c = 0; c < COUNTS; c++)
        len += snprintf(command + len, sizeof command - (size_t)len, " %d", counts[c]);
    FILE *java = popen(command, "re");
    assert_non_null(java);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, i % 2 ? "schl\xc3\xbcssel-\xe6\x97\xa5-%d" : "key-%d", i);
        for (int c = 0; c < COUNTS; c++) {
            int theirs;
            if (fscanf(java, "%d", &theirs) != 1)
                fail_msg("Java said nothing for key %d", i);
            if (theirs != hf_klog_partition_of(hf_str_of(key), counts[c]))
                fail_msg("%s of %d partitions: Java says %d", key, counts[c], theirs);
        }
    }
    assert_int_equal(pclose(java), 0);
}

int main(void) {
    if (hf_test_kafka_missing())
        return HF_TEST_SKIPPED;
    if (system("command -v javac >/dev/null 2>&1")) {
        fprintf(stderr, "SKIPPED: a JDK is needed to run a Java source, here is only a runtime\n");
        return HF_TEST_SKIPPED;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_go_where_java_puts_them)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
