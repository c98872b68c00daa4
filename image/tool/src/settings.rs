//! What the kernel is told: its command line and the execution policy, each word with its reason.

/// Words of the kernel's command line.
pub(crate) const COMMAND_LINE: [(&str, &str); 39] = [
    (
        "console=ttyS0,115200",
        "the serial line is the appliance's only console",
    ),
    (
        "loglevel=4",
        "errors are shown there, not the kernel's chatter between the lines of the menu",
    ),
    ("ro", "the root is read-only"),
    (
        "panic=-1",
        "a kernel that has failed restarts at once, and the boot loader counts the try",
    ),
    ("oops=panic", "a kernel that has gone wrong does not go on"),
    // The test measures a delay loop against interrupts; an emulated machine that is starved for processor time fails it and panics.
    ("no_timer_check", "the timer's interrupt arrives, however late"),
    ("net.ifnames=0", "interfaces are called as the kernel finds them"),
    (
        "lsm=landlock,lockdown,yama,ipe",
        "the modules that are used here and no other",
    ),
    ("lockdown=confidentiality", "not even root reads or changes the kernel"),
    ("module.sig_enforce=1", "every module is signed"),
    ("ipe.enforce=1", "the execution policy cannot be had without effect"),
    ("slab_nomerge", "objects of different kinds do not share memory"),
    ("init_on_alloc=1", "no memory is given out with what another left in it"),
    ("init_on_free=1", "nothing stays in memory after its time"),
    ("page_alloc.shuffle=1", "the order of free pages cannot be guessed"),
    (
        "randomize_kstack_offset=1",
        "nor where on the kernel's stack something lies",
    ),
    ("hash_pointers=always", "no message tells an address"),
    ("hardened_usercopy=1", "copies from and to programs keep to one object"),
    ("rodata=on", "constants of the kernel cannot be written"),
    (
        "bdev_allow_write_mounted=0",
        "nobody writes under a mounted file system",
    ),
    (
        "proc_mem.force_override=never",
        "no process writes into protected memory of another",
    ),
    ("vsyscall=none", "no code at an address that everybody knows"),
    ("vdso32=0", "no 32-bit programs run here"),
    ("ia32_emulation=0", "nor have they system calls"),
    ("debugfs=off", "the kernel's insides are not a file system"),
    (
        "kfence.sample_interval=100",
        "some accesses to freed memory are found while running",
    ),
    // Threads of one core share caches, but services of different trust are not pinned to them, and without them half of a small
    // machine is gone: each mitigation is on, only `nosmt` is not.
    (
        "mitigations=auto",
        "what the processor is known to leak through is closed",
    ),
    (
        "pti=on",
        "the kernel is not mapped while a program runs, whatever the processor says of itself",
    ),
    ("spectre_v2=on", "indirect jumps do not follow what another trained"),
    ("spectre_v2_user=on", "between programs too"),
    ("spectre_bhi=on", "nor through the history of branches"),
    ("spec_store_bypass_disable=on", "loads do not run ahead of stores"),
    ("srbds=on", "random numbers do not leak between cores"),
    ("gather_data_sampling=force", "nor do vector registers"),
    ("tsx=off", "transactions that are only good for attacks"),
    // `efi=disable_early_pci_dma` is left out: firmware of real machines hangs with it. The kernel takes the devices' access away as
    // soon as it has set up the IOMMU.
    (
        "intel_iommu=on",
        "a device reaches the memory that it was given and no other",
    ),
    (
        "amd_iommu=force_isolation",
        "the same with the other maker's processors",
    ),
    ("iommu.passthrough=0", "for the kernel's own drivers too"),
    ("iommu.strict=1", "and only as long as it is given"),
];

/// The execution policy (kernel documentation, "Integrity Policy Enforcement"): programs come from a file system whose root hash the
/// key of the firmware's signed; nothing else is loaded at all.
pub(crate) const POLICY: &str = "policy_name=redan policy_version=0.0.1\n\
    DEFAULT action=DENY\n\
    op=EXECUTE dmverity_signature=TRUE action=ALLOW\n";

/// The boot loader's configuration: no menu, no editor, nothing that a keyboard could change.
pub(crate) const LOADER: &str = "timeout 0\nconsole-mode keep\neditor no\nauto-entries no\nauto-firmware no\n";
