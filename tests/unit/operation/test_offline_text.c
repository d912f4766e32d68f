/* What offline_fix makes of the guest's text files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/offline_text.h"

static void check(bool (*edit)(hf_str, hf_buf *), const char *before, const char *after) {
    hf_buf out, again;
    hf_buf_init(&out, 4096);
    hf_buf_init(&again, 4096);
    assert_true(edit(hf_str_of(before), &out));
    assert_true(hf_buf_put(&out, "", 1));
    assert_string_equal((const char *)out.data, after);
    assert_true(edit(hf_str_of((const char *)out.data), &again) &&
                hf_buf_put(&again, "", 1)); /* a second time changes nothing */
    assert_string_equal((const char *)again.data, after);
    hf_buf_done(&out);
    hf_buf_done(&again);
}

static void modules_go_out_of_lists(void **state) {
    (void)state;
    check(hf_vmware_out_of_lines, "", "");
    check(hf_vmware_out_of_lines, "# vmxnet3\nloop\nvmxnet3\n  vmw_pvscsi  # disks\nvmxnet3x\nvmw_balloon",
          "# vmxnet3\nloop\nvmxnet3x\n");
    check(hf_vmware_out_of_lines, "loop\r\nvmci\r\n", "loop\r\n");
    check(hf_vmware_out_of_words, "add_drivers+=\" vmw_pvscsi virtio_blk vmxnet3 \"\n# drivers=\"vmxnet3\"\n",
          "add_drivers+=\" virtio_blk \"\n# drivers=\"vmxnet3\"\n");
    check(hf_vmware_out_of_words, "MODULES=(vmw_pvscsi ext4 vmxnet3)\nHOOKS=(base vmxnet3)\n",
          "MODULES=(ext4 )\nHOOKS=(base vmxnet3)\n");
    check(hf_vmware_out_of_words, "MODULES=\"vmxnet3\"", "MODULES=\"\"");
    check(hf_vmware_out_of_xorg, "Section \"Device\"\n\tDriver \"vmware\"\n\tIdentifier \"vmware\"\nEndSection\n",
          "Section \"Device\"\n\tDriver \"modesetting\"\n\tIdentifier \"vmware\"\nEndSection\n");
    check(hf_vmware_out_of_xorg, "  driver \"vmmouse\" # was\n#Driver \"vmware\"\n",
          "  driver \"libinput\" # was\n#Driver \"vmware\"\n");
}

static void shares_and_aliases_go_out(void **state) {
    (void)state;
    check(
        hf_vmware_out_of_fstab,
        "UUID=1 / ext4 defaults 0 1\n.host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0\n#.host:/ /a vmhgfs\n.host:/b\t/b\tvmhgfs",
        "UUID=1 / ext4 defaults 0 1\n#.host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0\n#.host:/ /a vmhgfs\n#.host:/b\t/b\tvmhgfs");
    check(hf_vmware_out_of_aliases,
          "alias eth0 vmxnet3\nalias eth1 e1000\n# alias eth0 vmxnet3\noptions vmxnet3 x=1\nalias\n",
          "alias eth1 e1000\n# alias eth0 vmxnet3\noptions vmxnet3 x=1\nalias\n");
    assert_int_equal(hf_net_rules_count(HF_STR("# one\nSUBSYSTEM==\"net\", ATTR{address}==\"00:50\", NAME=\"eth0\"\n"
                                               "SUBSYSTEM==\"net\", ATTR{address}==\"00:51\", NAME=\"eth1\"\n"
                                               "#SUBSYSTEM==\"net\", ATTR{address}==\"00:52\", NAME=\"eth2\"\n")),
                     2);
}

static void names_are_cards(void **state) {
    (void)state;
    static const char *const cards[] = {"eth0", "ens192", "enp3s0",          "enp0s31f6",
                                        "eno1", "em1",    "enx00155d0a0b0c", "enP2p1s0"};
    static const char *const others[] = {"",    "lo",    "eth",   "ens",      "eth0.5",           "eth0:1",   "en*",
                                         "br0", "bond0", "wlan0", "enslaved", "ens1234567890123", "eth0/../x"};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++)
        assert_true(hf_net_is_card(hf_str_of(cards[i])));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(hf_net_is_card(hf_str_of(others[i])));
}

static void found(void (*read)(hf_str, hf_net_names *), const char *text, const char *expected) {
    hf_net_names names = {0};
    char all[400] = "";
    read(hf_str_of(text), &names);
    for (uint32_t i = 0; i < names.count; i++)
        strcat(strcat(all, i ? " " : ""), names.all[i]);
    assert_string_equal(all, expected);
}

static void flow(const char *text, const char *card) {
    hf_net_names names = {.count = 1, .all = {"ens192"}};
    hf_str got = hf_net_of_flow(hf_str_of(text), &names);
    if (!hf_str_eqz(got, card))
        fail_msg("%s: %.*s", text, HF_STR_ARG(got));
}

static void names_are_read_where_they_are_configured(void **state) {
    (void)state;
    found(
        hf_net_of_interfaces,
        "auto lo ens192\nallow-hotplug ens224\n#auto ens1\niface ens192 inet dhcp\niface ens256 inet6 auto\n  address ens33\nsource /etc/x\n",
        "ens192 ens224 ens256");
    found(
        hf_net_of_netplan,
        "network:\n  version: 2\n  ethernets:\n    ens160:\n      dhcp4: true\n    \"ens192\":\n      addresses: [10.0.0.1/24]\n    card0:\n      match:\n        "
        "macaddress: 00:50:56:00:00:01\n      set-name: ens5\n  bridges:\n    ens7:\n      interfaces: [ens160]\n",
        "ens160 ens192");
    found(hf_net_of_netplan, "network: {ethernets: {ens3: {}}}\n", ""); /* flow style: not read */
    found(hf_net_of_netplan, "ethernets:\n  ens3: {dhcp4: true}\n  ens5: {match: {driver: x}}\n", "ens3");
    found(hf_net_of_netplan, "ethernets:\n  ens5: {match: {driver: x}}\n", "");
    flow("network: {ethernets: {ens3: {}}}\n", "ens3");
    flow("{\"network\": {\"ethernets\" :\n {\"a\": {}, \"ens3\": {\"dhcp4\": true}}}}", "ens3");
    flow("ethernets: {ens5: {match: {driver: x}, set-name: ens6}, ens192: null}", ""); /* is among the names */
    flow("ethernets: {lo: {addresses: [ens1, ens2]}}, bridges: {ens7: {}}", "");
    flow("ethernets: {}\n# ethernets: {ens3: {}}\nethernets:\n  ens3: {}\n", "");
    flow("ethernets: {ens3: {", "");
    flow("ethernets: {b: {}}\nethernets: {ens4: {}}", "ens4");
    found(hf_net_of_netplan, "  ethernets:\n    ens3:", "ens3");
    found(hf_net_of_keyfile,
          "[connection]\nid=a\ninterface-name=ens160\n[Match]\nName=ens192 en* eth0\n[Network]\nName=ens9\n",
          "ens160 ens192 eth0");
    hf_net_names names = {0};
    char name[16];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "ens%d", i);
        hf_net_add(&names, hf_str_of(name));
    }
    assert_int_equal(names.count, HF_NET_NAMES_MAX);
    assert_true(names.more);
    assert_true(hf_net_pins_address(HF_STR("DEVICE=eth0\nHWADDR=00:11\n")) &&
                hf_net_pins_address(HF_STR("  hwaddress ether 00:11")));
    assert_false(hf_net_pins_address(HF_STR("# HWADDR=00:11\nX=1\n")));
    assert_true(hf_net_kernel_names(HF_STR("GRUB_CMDLINE_LINUX=\"net.ifnames=0 biosdevname=0\"")));
    assert_false(hf_net_kernel_names(HF_STR_NONE));
}

static void a_link_keeps_a_name(void **state) {
    (void)state;
    hf_buf out;
    hf_buf_init(&out, 1024);
    assert_true(hf_net_link("ens192", "", &out) && hf_buf_put(&out, "", 1));
    assert_non_null(strstr((const char *)out.data, "[Match]\nDriver=virtio_net e1000 e1000e\n\n[Link]\nName=ens192\n"));
    hf_buf_clear(&out);
    assert_true(hf_net_link("ens192", "00:50:56:01:02:03", &out) && hf_buf_put(&out, "", 1));
    assert_non_null(strstr((const char *)out.data, "[Match]\nMACAddress=00:50:56:01:02:03\n\n[Link]\nName=ens192\n"));
    hf_buf_done(&out);
    assert_true(hf_net_address_ok(HF_STR("00:50:56:aA:02:03")));
    assert_false(hf_net_address_ok(HF_STR("00:50:56:01:02:0")) || hf_net_address_ok(HF_STR("00-50-56-01-02-03")) ||
                 hf_net_address_ok(HF_STR_NONE));
}

static void no_room_is_told(void **state) {
    (void)state;
    hf_buf out;
    hf_buf_init(&out, 4);
    assert_false(hf_vmware_out_of_lines(HF_STR("loop\nloop\n"), &out));
    assert_false(hf_vmware_out_of_words(HF_STR("MODULES=(a b)\n"), &out));
    assert_false(hf_net_link("eth0", "", &out));
    hf_buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_go_out_of_lists), cmocka_unit_test(shares_and_aliases_go_out),
        cmocka_unit_test(names_are_cards),         cmocka_unit_test(names_are_read_where_they_are_configured),
        cmocka_unit_test(a_link_keeps_a_name),     cmocka_unit_test(no_room_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
