//! Kernel settings. One table, each line with its reason; what a kernel does not have is no harm, what it refuses is noted.

use std::fs;
use std::io::ErrorKind;

/// Name, value, reason.
const SETTINGS: [(&str, &str, &str); 62] = [
    // Memory and processes.
    (
        "kernel.randomize_va_space",
        "2",
        "addresses differ at each start, the heap's too",
    ),
    ("vm.mmap_rnd_bits", "32", "as many bits of it as the architecture has"),
    ("vm.mmap_rnd_compat_bits", "16", "and where 32-bit programs could run"),
    (
        "vm.mmap_min_addr",
        "65536",
        "a null pointer of the kernel's leads to nothing mapped",
    ),
    (
        "vm.unprivileged_userfaultfd",
        "0",
        "page faults cannot be held up to win races in the kernel",
    ),
    ("vm.legacy_va_layout", "0", "the old layout is not random"),
    (
        "vm.overcommit_memory",
        "0",
        "allocations that can never be met are refused",
    ),
    (
        "vm.swappiness",
        "1",
        "there is no swap, and pages with secrets should never look for one",
    ),
    (
        "vm.panic_on_oom",
        "0",
        "a service over its limit dies alone and is started again",
    ),
    (
        "kernel.yama.ptrace_scope",
        "3",
        "no process looks into another, root included",
    ),
    (
        "kernel.unprivileged_bpf_disabled",
        "1",
        "programs in the kernel are not for services",
    ),
    (
        "net.core.bpf_jit_harden",
        "2",
        "constants in compiled filters cannot carry code",
    ),
    (
        "kernel.io_uring_disabled",
        "2",
        "nothing here uses it, and it goes around system call filters",
    ),
    ("user.max_user_namespaces", "0", "no service becomes root of anything"),
    (
        "kernel.perf_event_paranoid",
        "3",
        "performance counters tell about other processes",
    ),
    (
        "kernel.kptr_restrict",
        "2",
        "the kernel's addresses are nobody's business",
    ),
    ("kernel.dmesg_restrict", "1", "the kernel's log tells addresses"),
    ("kernel.sysrq", "0", "nobody at a keyboard gives orders to the kernel"),
    (
        "kernel.kexec_load_disabled",
        "1",
        "no other kernel is started without the firmware's check",
    ),
    (
        "kernel.core_pattern",
        "|/bin/false",
        "no file with a process's memory: there is no such program",
    ),
    ("kernel.core_uses_pid", "0", "see core_pattern"),
    ("fs.suid_dumpable", "0", "no dump of a process that changed its user"),
    (
        "kernel.printk_devkmsg",
        "on",
        "the supervisor bounds what it writes there itself, and its lines must not be lost",
    ),
    (
        "kernel.ctrl-alt-del",
        "0",
        "the keys ask PID 1, which stops everything in order",
    ),
    // What goes wrong in the kernel ends in a restart, and a restart on probation in the version before.
    ("kernel.panic", "-1", "restart at once"),
    (
        "kernel.panic_on_oops",
        "1",
        "a kernel that has gone wrong does not go on",
    ),
    ("kernel.oops_limit", "1", "see panic_on_oops"),
    (
        "kernel.warn_limit",
        "100",
        "warnings without end are an attack on a race",
    ),
    (
        "kernel.hung_task_panic",
        "0",
        "slow disks are no reason to restart; the watchdog decides",
    ),
    // Files.
    (
        "fs.protected_symlinks",
        "1",
        "links in shared folders are not followed for others",
    ),
    ("fs.protected_hardlinks", "1", "nobody links to what is not his"),
    ("fs.protected_fifos", "2", "nobody is tricked into another's pipe"),
    ("fs.protected_regular", "2", "nor into another's file"),
    ("fs.binfmt_misc.status", "0", "one kind of executable is enough"),
    (
        "dev.tty.ldisc_autoload",
        "0",
        "line disciplines have had more holes than users",
    ),
    ("dev.tty.legacy_tiocsti", "0", "nobody types into another's terminal"),
    // Network: an appliance routes, and is told by its configuration how.
    (
        "net.ipv4.ip_forward",
        "1",
        "zones are connected where policies say so; the filter drops everything else",
    ),
    ("net.ipv6.conf.all.forwarding", "1", "as for IPv4"),
    (
        "net.ipv4.conf.all.rp_filter",
        "1",
        "a packet comes from where its answer would go",
    ),
    ("net.ipv4.conf.default.rp_filter", "1", "on interfaces to come too"),
    (
        "net.ipv4.conf.all.accept_redirects",
        "0",
        "routes are the configuration's",
    ),
    ("net.ipv4.conf.default.accept_redirects", "0", "as above"),
    ("net.ipv6.conf.all.accept_redirects", "0", "as above"),
    ("net.ipv6.conf.default.accept_redirects", "0", "as above"),
    ("net.ipv4.conf.all.secure_redirects", "0", "not from gateways either"),
    ("net.ipv4.conf.default.secure_redirects", "0", "as above"),
    (
        "net.ipv4.conf.all.send_redirects",
        "0",
        "clients are not told ways around the appliance",
    ),
    ("net.ipv4.conf.default.send_redirects", "0", "as above"),
    (
        "net.ipv4.conf.all.accept_source_route",
        "0",
        "a packet does not choose its way",
    ),
    ("net.ipv4.conf.default.accept_source_route", "0", "as above"),
    ("net.ipv6.conf.all.accept_source_route", "0", "as above"),
    ("net.ipv6.conf.default.accept_source_route", "0", "as above"),
    (
        "net.ipv6.conf.all.accept_ra",
        "0",
        "addresses and routes are the configuration's",
    ),
    ("net.ipv6.conf.default.accept_ra", "0", "as above"),
    (
        "net.ipv4.conf.all.arp_ignore",
        "1",
        "an address is answered for on its own interface only",
    ),
    ("net.ipv4.conf.all.arp_announce", "2", "as above, for questions"),
    ("net.ipv4.icmp_echo_ignore_broadcasts", "1", "no amplifier"),
    (
        "net.ipv4.icmp_ignore_bogus_error_responses",
        "1",
        "broken routers do not fill the log",
    ),
    (
        "net.ipv4.tcp_syncookies",
        "1",
        "a flood of connections to be does not keep others out",
    ),
    (
        "net.ipv4.tcp_rfc1337",
        "1",
        "a connection's remains cannot be cut short by a stray packet",
    ),
    (
        "net.core.somaxconn",
        "4096",
        "as many waiting connections as listeners ask for",
    ),
    (
        "net.ipv4.conf.all.log_martians",
        "0",
        "a flood of impossible packets does not flood the log; they are counted",
    ),
];

/// Applies the table; says what the kernel has and refused.
pub(super) fn apply() -> Vec<String> {
    SETTINGS
        .into_iter()
        .filter_map(|(name, value, _)| {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            match fs::write(path, value) {
                Ok(()) => None,
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => Some(format!("the kernel refuses the setting {name} = {value}: {error}")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::SETTINGS;
    use std::collections::BTreeSet;

    #[test]
    fn every_setting_stands_once_and_has_its_reason() {
        let names: BTreeSet<_> = SETTINGS.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        assert!(SETTINGS.iter().all(|(_, _, reason)| !reason.is_empty()));
    }
}
