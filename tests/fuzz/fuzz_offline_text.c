// LIBS: hf_operation
/* Configuration of a guest, whatever it is: edits end, give no more than they were given, and change nothing a second time; names that are found are names. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/operation/guest/offline_text.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void edit(bool (*how)(hf_str, hf_buf *), hf_str text) {
    hf_buf once, twice;
    hf_buf_init(&once, 1 << 20);
    hf_buf_init(&twice, 1 << 20);
    MUST(how(text, &once));
    hf_str first = once.len ? hf_buf_str(&once) : HF_STR("");
    MUST(how(first, &twice));
    MUST(once.len == twice.len && (once.len == 0 || memcmp(once.data, twice.data, once.len) == 0));
    hf_buf_done(&once);
    hf_buf_done(&twice);
}

static void names(void (*how)(hf_str, hf_net_names *), hf_str text) {
    hf_net_names found = {0};
    how(text, &found);
    MUST(found.count <= HF_NET_NAMES_MAX);
    for (uint32_t i = 0; i < found.count; i++)
        MUST(hf_net_is_card(hf_str_of(found.all[i])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 65536)
        return -1;
    hf_str text = {(const char *)data, (uint32_t)size};
    edit(hf_vmware_out_of_lines, text);
    edit(hf_vmware_out_of_words, text);
    edit(hf_vmware_out_of_fstab, text);
    edit(hf_vmware_out_of_aliases, text);
    MUST(hf_net_rules_count(text) <= size);
    names(hf_net_of_interfaces, text);
    names(hf_net_of_netplan, text);
    names(hf_net_of_keyfile, text);
    hf_net_names none = {0};
    hf_str card = hf_net_of_flow(text, &none);
    MUST(card.len == 0 || hf_net_is_card(card));
    (void)hf_net_pins_address(text);
    (void)hf_net_kernel_names(text);
    hf_buf out;
    hf_buf_init(&out, 1 << 20);
    MUST(hf_vmware_out_of_xorg(text, &out)); /* more than one driver in a line: a second time may find the next */
    hf_buf_done(&out);
    return 0;
}
