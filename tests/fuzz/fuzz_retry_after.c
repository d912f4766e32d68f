// LIBS: hf_notify
/* Whatever a receiver says in Retry-After: it is refused, or the wait is between nothing and a century; and what is understood with a
 * blank around it is understood without. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/notify/retry_after.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char padded[258] = " ";
    const int64_t century = 100LL * 366 * 86400 * 1000;
    int64_t now = 1768645800000, ms = -7, again = -7;
    if (size > 256)
        return 0;
    bool known = hf_retry_after_parse((hf_str){(const char *)data, (uint32_t)size}, now, &ms);
    MUST(known ? ms >= 0 && ms <= century : ms == -7);
    memcpy(padded + 1, data, size);
    padded[size + 1] = '\r';
    MUST(hf_retry_after_parse((hf_str){padded, (uint32_t)size + 2}, now, &again) == known && again == ms);
    return 0;
}
