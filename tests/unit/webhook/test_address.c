/* Which addresses are open: the first and last of each closed range, their neighbours, and every way to write an IPv4 address in an IPv6 one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "schemas/webhook/address.h"

static const struct {
    const char *address, *why; /* a piece of the reason; NULL: open */
} cases[] = {
    {"0.0.0.0", "unspecified"},
    {"0.255.255.255", "unspecified"},
    {"1.0.0.0", NULL},
    {"1.1.1.1", NULL},
    {"8.8.8.8", NULL},
    {"9.255.255.255", NULL},
    {"10.0.0.0", "private"},
    {"10.255.255.255", "private"},
    {"11.0.0.0", NULL},
    {"93.184.216.34", NULL},
    {"100.63.255.255", NULL},
    {"100.64.0.0", "carrier"},
    {"100.100.100.200", "carrier"},
    {"100.127.255.255", "carrier"},
    {"100.128.0.0", NULL},
    {"126.255.255.255", NULL},
    {"127.0.0.0", "loopback"},
    {"127.0.0.1", "loopback"},
    {"127.255.255.255", "loopback"},
    {"128.0.0.0", NULL},
    {"168.63.129.15", NULL},
    {"168.63.129.16", "metadata"},
    {"168.63.129.17", NULL},
    {"169.253.255.255", NULL},
    {"169.254.0.0", "link-local"},
    {"169.254.169.254", "link-local"},
    {"169.254.255.255", "link-local"},
    {"169.255.0.0", NULL},
    {"172.15.255.255", NULL},
    {"172.16.0.0", "private"},
    {"172.31.255.255", "private"},
    {"172.32.0.0", NULL},
    {"191.255.255.255", NULL},
    {"192.0.0.0", "protocols"},
    {"192.0.0.192", "protocols"},
    {"192.0.1.0", NULL},
    {"192.0.2.1", "documentation"},
    {"192.0.3.0", NULL},
    {"192.88.99.1", "6to4"},
    {"192.167.255.255", NULL},
    {"192.168.0.0", "private"},
    {"192.168.255.255", "private"},
    {"192.169.0.0", NULL},
    {"198.17.255.255", NULL},
    {"198.18.0.0", "benchmarks"},
    {"198.19.255.255", "benchmarks"},
    {"198.20.0.0", NULL},
    {"198.51.100.7", "documentation"},
    {"203.0.113.7", "documentation"},
    {"203.0.114.0", NULL},
    {"223.255.255.255", NULL},
    {"224.0.0.0", "multicast"},
    {"239.255.255.255", "multicast"},
    {"240.0.0.0", "reserved"},
    {"255.255.255.255", "reserved"},
    {"::", "unspecified"},
    {"::1", "loopback"},
    {"::2", "unspecified"}, /* compatible: 0.0.0.2 */
    {"::127.0.0.1", "loopback"},
    {"::10.1.2.3", "private"},
    {"::8.8.8.8", NULL},
    {"::ffff:127.0.0.1", "loopback"},
    {"::ffff:169.254.169.254", "link-local"},
    {"::ffff:192.168.1.1", "private"},
    {"::ffff:100.64.0.1", "carrier"},
    {"::ffff:0.0.0.0", "unspecified"},
    {"::ffff:8.8.8.8", NULL},
    {"::ffff:0:127.0.0.1", "loopback"}, /* translated, RFC 2765 */
    {"::fffe:8.8.8.8", "outside"},
    {"64:ff9b::127.0.0.1", "loopback"},
    {"64:ff9b::10.0.0.1", "private"},
    {"64:ff9b::8.8.8.8", NULL},
    {"64:ff9b:1::8.8.8.8", "outside"}, /* a site's own NAT64, RFC 8215 */
    {"64:ff9b::1:8.8.8.8", "outside"},
    {"100::1", "outside"},
    {"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "outside"},
    {"2000::1", NULL},
    {"2001::1", "protocols"}, /* Teredo */
    {"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "protocols"},
    {"2001:200::1", NULL},
    {"2001:4860:4860::8888", NULL},
    {"2001:db8::1", "documentation"},
    {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"},
    {"2001:db9::1", NULL},
    {"2002:7f00:1::", "loopback"},
    {"2002:a9fe:a9fe::1", "link-local"},
    {"2002:c0a8:101::1", "private"},
    {"2002:808:808::1", NULL},
    {"2606:4700:4700::1111", NULL},
    {"2606:4700::5efe:10.0.0.1", "private"}, /* ISATAP */
    {"2606:4700::200:5efe:127.0.0.1", "loopback"},
    {"2606:4700::200:5efe:8.8.8.8", NULL},
    {"3fff::1", "documentation"},
    {"3fff:1000::1", NULL},
    {"4000::1", "outside"},
    {"fbff::1", "outside"},
    {"fc00::1", "RFC 4193"},
    {"fd00:ec2::254", "RFC 4193"},
    {"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 4193"},
    {"fe00::1", "outside"},
    {"fe80::1", "link-local"},
    {"febf:ffff::1", "link-local"},
    {"fec0::1", "site-local"},
    {"ff02::1", "multicast"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"},
};

static const char *ask(const char *address) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = 80};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = 80};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return hf_address_refused((const struct sockaddr *)&v4, sizeof v4);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return hf_address_refused((const struct sockaddr *)&v6, sizeof v6);
}

static void the_table(void **state) {
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        const char *why = ask(cases[i].address);
        if ((why != NULL) != (cases[i].why != NULL) || (why && !strstr(why, cases[i].why)))
            fail_msg("%s: %s", cases[i].address, why ? why : "open");
    }
}

static void other_families_are_not_called(void **state) {
    (void)state;
    struct sockaddr unix_socket = {.sa_family = AF_UNIX};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x08080808)};
    assert_non_null(hf_address_refused(&unix_socket, sizeof unix_socket));
    assert_null(hf_address_refused((const struct sockaddr *)&v4, sizeof v4));
    assert_non_null(hf_address_refused((const struct sockaddr *)&v4, sizeof v4 - 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table), cmocka_unit_test(other_families_are_not_called)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
