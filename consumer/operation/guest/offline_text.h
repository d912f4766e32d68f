/* The guest's files that offline_fix edits or reads, as text: lists of modules, X's configuration, and where interfaces are configured by name. Pure
 * functions over bytes of the guest's, whatever they are; what comes out is never more than what went in, but for the .link file. */
#pragma once
#include "schemas/base/buf.h"
#include "schemas/base/str.h"

/* Modules of VMware's virtual hardware and tools, which nothing on KVM has. */
bool hf_vmware_module(hf_str name);
/* One module a line (/etc/modules, modules-load.d, initramfs-tools/modules): such lines are taken out. */
bool hf_vmware_out_of_lines(hf_str text, hf_buf *to);
/* dracut's and mkinitcpio's words: such words are taken out of add_drivers, force_drivers, drivers and MODULES, in quotes or brackets. */
bool hf_vmware_out_of_words(hf_str text, hf_buf *to);
/* /etc/fstab: what is shared from VMware's host (vmhgfs) is commented out, or the start would wait for it. */
bool hf_vmware_out_of_fstab(hf_str text, hf_buf *to);
/* modprobe.d: "alias eth0 vmxnet3" and the like are taken out. */
bool hf_vmware_out_of_aliases(hf_str text, hf_buf *to);
/* udev's persistent net rules: how many cards they name by their address. */
uint32_t hf_net_rules_count(hf_str text);
/* xorg.conf: Driver "vmware" and "vmmouse" become what every X server has. */
bool hf_vmware_out_of_xorg(hf_str text, hf_buf *to);

/* ---- interfaces configured by name ----------------------------------------------------------------------------------------- */
enum { HF_NET_NAMES_MAX = 16, HF_NET_NAME_BYTES = 16 }; /* IFNAMSIZ with its NUL */

typedef struct hf_net_names {
    uint32_t count;
    char all[HF_NET_NAMES_MAX][HF_NET_NAME_BYTES];
    bool more; /* there were more than fit */
} hf_net_names;

/* Names that a kernel or udev gives to a network card: ens192, enp3s0, eno1, eth0; not lo, bridges, bonds, VLANs, patterns. */
bool hf_net_is_card(hf_str name);
void hf_net_add(hf_net_names *names, hf_str name); /* once, and only if it is a card's */
/* Each adds what its file names. */
void hf_net_of_interfaces(hf_str text, hf_net_names *names); /* ifupdown: auto, allow-…, iface */
void hf_net_of_netplan(hf_str text, hf_net_names *names);    /* keys below ethernets: without match: */
/* The first card that netplan's file configures in YAML's flow style (ethernets: {ens3: …}), which is not read, and that is not among the names;
 * empty: none. */
hf_str hf_net_of_flow(hf_str text, const hf_net_names *names);
void hf_net_of_keyfile(
    hf_str text, hf_net_names *names); /* NetworkManager: interface-name=; systemd-networkd: Name= below [Match] */
/* Whether the file binds a card's address: HWADDR=, hwaddress, macaddress:, mac-address=, MACAddress=. */
bool hf_net_pins_address(hf_str text);
/* Whether the command line leaves cards their kernel's names (net.ifnames=0). */
bool hf_net_kernel_names(hf_str command_line);

/* systemd.link(5): the card with that address, or (address empty) the one that virtio or an emulated Intel card drives, keeps the name. */
bool hf_net_link(const char *name, const char *address, hf_buf *to);
bool hf_net_address_ok(hf_str address); /* six octets, by colons */
