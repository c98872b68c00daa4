//! The kernel modules that may be in the image. Whatever is not here cannot be loaded on any appliance.

use crate::cpio::Archive;
use crate::sources::Packages;
use crate::tools::{Context, Outcome, read, run, text};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Needed by every machine, or for what can be plugged in later.
const ALWAYS: [&str; 50] = [
    // Asked for by name, through a helper program that there is none of: before whoever asks.
    "crc32c_generic",
    "xts",
    // The root and the data.
    "dm-verity",
    "dm-crypt",
    "erofs",
    "ext4",
    "sd_mod",
    // The firmware's partition and USB sticks.
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "usb-storage",
    "uas",
    // The packet filter.
    "nf_tables",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_nat",
    "nft_chain_nat",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_limit",
    "nft_log",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_fib",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_hash",
    "nft_numgen",
    "nft_connlimit",
    "nft_quota",
    "nft_synproxy",
    "nft_tproxy",
    "nft_socket",
    "nft_flow_offload",
    "nf_flow_table",
    "nf_flow_table_inet",
    "nfnetlink",
    "nfnetlink_log",
    "nf_log_syslog",
    // Interfaces of interfaces.
    "8021q",
    "bonding",
    "dummy",
    "veth",
    // Sensors behind a bus, buttons behind whatever they are attached to.
    "i2c-dev",
    "evdev",
];

/// Drivers, loaded where their hardware is.
const HARDWARE: [&str; 43] = [
    // Disks.
    "virtio_blk",
    "virtio_scsi",
    "ahci",
    "nvme",
    "mmc_block",
    "sdhci-pci",
    "sdhci-acpi",
    "vmw_pvscsi",
    "mptspi",
    // Network interfaces.
    "virtio_net",
    "e1000",
    "e1000e",
    "igb",
    "igc",
    "ixgbe",
    "i40e",
    "r8169",
    "tg3",
    "atlantic",
    "vmxnet3",
    // USB controllers.
    "xhci-pci",
    "ehci-pci",
    "ohci-pci",
    "uhci-hcd",
    // Watchdogs, power button, temperature, chassis.
    "i6300esb",
    "iTCO_wdt",
    "sp5100_tco",
    "wdat_wdt",
    "button",
    "i2c-i801",
    "i2c-piix4",
    "lpc_ich",
    "coretemp",
    "k10temp",
    // Random numbers, faster cryptography.
    "virtio-rng",
    "intel-rng",
    "amd-rng",
    "aesni-intel",
    "sha256-ssse3",
    "crc32c-intel",
    "crct10dif-pclmul",
    "ghash-clmulni-intel",
    // TPMs that are not on the usual bus.
    "tpm_tis_spi",
];

/// The kernel's tables, as `depmod` makes them.
struct Tables {
    folder: PathBuf,
    /// Module → file below the folder, files it needs.
    dependencies: BTreeMap<String, (String, Vec<String>)>,
    aliases: Vec<(String, String)>,
    built_in: BTreeSet<String>,
}

/// Puts the modules and their lists into an initramfs; returns how many there are.
pub(crate) fn pack(packages: &Packages, archive: &mut Archive) -> Outcome<usize> {
    let tables = Tables::read(packages)?;
    let (mut always, mut hardware, mut files) = (String::new(), BTreeSet::new(), BTreeMap::new());
    for name in ALWAYS {
        if let Some(name) = tables.find(name)? {
            always.push_str(&format!("{name}\n"));
            tables.close(&name, &mut files);
        }
    }
    for name in HARDWARE {
        if let Some(name) = tables.find(name)? {
            tables.close(&name, &mut files);
            hardware.insert(name);
        }
    }
    let mut aliases = String::new();
    for (pattern, name) in &tables.aliases {
        // Others would be of no use: a driver that is not on the list is not in the archive.
        if hardware.contains(name) {
            aliases.push_str(&format!("{pattern} {name}\n"));
        }
    }
    let mut list = String::new();
    for (name, (path, needs)) in &files {
        let file = Path::new(path)
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or(path);
        list.push_str(&format!(
            "{name} {file}{}\n",
            needs.iter().map(|need| format!(" {need}")).collect::<String>()
        ));
        archive.file(&format!("modules/{file}"), &read(&tables.folder.join(path))?)?;
    }
    for (name, content) in [("always", always), ("aliases", aliases), ("files", list)] {
        archive.file(&format!("modules/{name}"), content.as_bytes())?;
    }
    Ok(files.len())
}

impl Tables {
    fn read(packages: &Packages) -> Outcome<Self> {
        let (base, release) = (&packages.kernel.folder, packages.release());
        let folder = base.join("lib/modules").join(release);
        if !folder.join("modules.dep").exists() {
            run("depmod", &["-b", text(base)?, release])?;
        }
        let lines =
            |name: &str| fs::read_to_string(folder.join(name)).context(|| format!("cannot read {name} of the kernel"));
        let mut dependencies = BTreeMap::new();
        for line in lines("modules.dep")?.lines() {
            let (file, needs) = line.split_once(':').ok_or("a line of modules.dep has no colon")?;
            let needs: Vec<String> = needs.split_ascii_whitespace().map(module).collect();
            dependencies.insert(module(file), (file.to_owned(), needs));
        }
        // What a module asks for softly is asked for through a helper program, which there is none of here.
        for line in lines("modules.softdep")?.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some("softdep"), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            let before: Vec<String> = words
                .skip_while(|word| *word != "pre:")
                .skip(1)
                .take_while(|word| *word != "post:")
                .map(module)
                .collect();
            let known: Vec<_> = before
                .into_iter()
                .filter(|name| dependencies.contains_key(name))
                .collect();
            if let Some((_, needs)) = dependencies.get_mut(&module(name)) {
                needs.extend(known);
            }
        }
        let mut aliases = Vec::new();
        for line in lines("modules.alias")?.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(name)) = (words.next(), words.next(), words.next()) {
                aliases.push((pattern.to_owned(), module(name)));
            }
        }
        Ok(Self {
            built_in: lines("modules.builtin")?.lines().map(module).collect(),
            folder,
            dependencies,
            aliases,
        })
    }

    /// The module's name as the tables have it; `None` where it is part of the kernel itself.
    fn find(&self, name: &str) -> Outcome<Option<String>> {
        let name = module(name);
        if self.dependencies.contains_key(&name) {
            Ok(Some(name))
        } else if self.built_in.contains(&name) {
            Ok(None)
        } else {
            Err(format!("this kernel has no module {name}").into())
        }
    }

    /// The module with all that it needs.
    fn close(&self, name: &str, into: &mut BTreeMap<String, (String, Vec<String>)>) {
        if into.contains_key(name) {
            return;
        }
        if let Some((file, needs)) = self.dependencies.get(name) {
            into.insert(name.to_owned(), (file.clone(), needs.clone()));
            for need in needs {
                self.close(need, into);
            }
        }
    }
}

/// A module's name as the kernel has it: of its file, with one kind of dash.
fn module(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}
