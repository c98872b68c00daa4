//! What the first program does, in order, from the kernel's hand to the supervisor's first instruction.

use crate::data::{self, Closed, Empty, Held, Image, Open, Tpm, filesystem};
use crate::disks::{self, FoundSlot};
use crate::mapper;
use crate::modules::Modules;
use crate::{Context, Failure};
use redan_image_layout::facts::{self, Data, Facts};
use redan_image_layout::slot::Root;
use redan_image_layout::{disk, hex};
use redan_types::SecretBytes;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_move};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::CStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What becomes the root.
const ROOT: &str = "/sysroot";
/// The folder of the initramfs with modules and lists.
const MODULES: &str = "/modules";
/// The execution policy, signed.
const POLICY: &str = "/policy.p7b";
/// The maker's key for approvals.
const APPROVER: &str = "/approver";
/// The data's first file system.
const SEED: &str = "/seed";
/// The program that everything is handed to.
const SUPERVISOR: &str = "/usr/lib/redan/redan-supervisor";
/// Where this machine's approving key is, on the data's file system.
pub const APPROVING: &str = "boot/approver";
/// Where it stands, on the data's file system, that images up to this security version were made permanent.
pub const RAISING: &str = "boot/security";
/// A disk behind a slow controller, a USB stick.
const PATIENCE: Duration = Duration::from_secs(30);
/// The driver of a TPM that the firmware announces may still be looking for it.
const TPM_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
const HARD: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Makes the kernel's own file systems visible; without them nothing else works.
///
/// # Errors
/// The kernel refuses.
pub fn kernel_file_systems() -> Result<(), Failure> {
    let mounts: [(&str, &str, MountFlags, &CStr); 5] = [
        ("proc", "/proc", HARD, c""),
        ("sysfs", "/sys", HARD, c""),
        (
            "devtmpfs",
            "/dev",
            MountFlags::NOSUID.union(MountFlags::NOEXEC),
            c"mode=0755",
        ),
        ("tmpfs", "/run", HARD, c"mode=0755,size=16m,nr_inodes=4k"),
        ("securityfs", "/sys/kernel/security", HARD, c""),
    ];
    for (kind, place, flags, options) in mounts {
        // The initramfs has the folders; those in sysfs are the kernel's.
        mount(kind, place, kind, flags, options).context(|| format!("cannot mount {kind} at {place}"))?;
    }
    fs::DirBuilder::new()
        .mode(0o755)
        .create("/run/redan")
        .context(|| "cannot make /run/redan".to_owned())
}

/// Does everything and becomes the supervisor. Returns only why that was not possible.
#[must_use]
pub fn run(say: &mut dyn FnMut(&str)) -> Failure {
    match prepare(say).and_then(|()| leave(say)) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

/// No value is of this type: whoever returns it does not return.
enum Never {}

fn prepare(say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let began = uptime();
    let line = fs::read_to_string("/proc/cmdline").context(|| "cannot read the kernel's command line".to_owned())?;
    let root = Root::from_command_line(&line).ok_or_else(|| Failure::new("the kernel's command line names no root"))?;
    let mut modules = Modules::read(Path::new(MODULES))?;
    for failure in modules.load_always().into_iter().chain(modules.load_for_hardware()) {
        say(&failure.chain());
    }
    let slot = find_slot(&root, &mut modules)?;
    let device =
        mapper::map_root(&slot.partition, &root, &slot.trailer.signature).inspect_err(|_| say(&platform_keys()))?;
    mount(
        &device,
        ROOT,
        "erofs",
        MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID,
        c"",
    )
    .context(|| "cannot mount the root".to_owned())?;
    let version = slot.trailer.version();
    say(&format!(
        "version {version} in slot {}, {} modules",
        slot.slot,
        modules.count()
    ));
    let image = Image {
        security: slot.trailer.security,
        approver: fs::read(APPROVER).context(|| "cannot read the maker's key".to_owned())?,
        approvals: slot.trailer.approvals.clone(),
    };
    let data = open_data(&slot.partition.disk, &image);
    match &data {
        Data::Locked(reason) => say(&format!("the data partition stays closed: {reason}")),
        Data::New => say("the data partition was made"),
        Data::Opened | Data::Recovered => {}
    }
    let named = |partition| {
        let found = disks::find_on(&slot.partition.disk, partition);
        found
            .map(|found| found.device.display().to_string())
            .unwrap_or_default()
    };
    let other = match slot.slot {
        facts::Slot::A => disk::SLOT_B,
        facts::Slot::B => disk::SLOT_A,
    };
    let facts = Facts {
        slot: slot.slot,
        disk: slot.partition.disk.clone(),
        other_slot: named(other),
        esp: named(disk::ESP),
        version,
        security: image.security,
        root: hex(&root.hash),
        data,
        times: (began, uptime()),
    };
    tell(facts::APPROVER, 0o644, &image.approver)?;
    if let Ok(trailer) = slot.trailer.encode() {
        tell(facts::TRAILER, 0o644, &trailer)?;
    }
    tell(facts::PATH, 0o644, facts.to_string().as_bytes())
}

/// What the kernel says of the keys that it has from the firmware: without ours no signature holds.
fn platform_keys() -> String {
    let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
    let found = keys.lines().find_map(|line| line.split_once(".platform"));
    found.map_or_else(
        || "the kernel has no keys of the firmware".to_owned(),
        |(_, count)| format!("keys of the firmware{count}"),
    )
}

/// Waits for the slot; drivers may bring disks to light late.
fn find_slot(root: &Root, modules: &mut Modules) -> Result<FoundSlot, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(slot) = disks::find_slot(root) {
            return Ok(slot);
        }
        if Instant::now() >= end {
            return Err(Failure::new(
                "no disk has a slot with the root that this kernel was signed for",
            ));
        }
        std::thread::sleep(PAUSE);
        // Their failures were told the first time.
        let _ = modules.load_for_hardware();
    }
}

/// Opens the data partition or says why it stays closed. That is no reason not to start: somebody has to ask for the recovery key.
fn open_data(disk: &str, image: &Image) -> Data {
    let tpm = find_tpm();
    let looked = disks::find_on(disk, disk::DATA).map(|found| match data::look(found) {
        // Only an empty one grows: there is nothing to lose yet.
        Ok(Held::Nothing(_)) => disks::grow(disk).map_or_else(Err, data::look),
        other => other,
    });
    let opened = match looked {
        None => Err("there is no data partition on this disk".to_owned()),
        Some(Err(failure)) => Err(failure.chain()),
        Some(Ok(Held::Unknown)) => {
            Err("it holds neither nothing nor data of this appliance; a factory reset makes it anew".to_owned())
        }
        Some(Ok(Held::Nothing(empty))) => set_up(empty, tpm.as_ref().ok(), image).map_err(|failure| failure.chain()),
        Some(Ok(Held::Closed(closed))) => match &tpm {
            Ok(tpm) => open(*closed, tpm, image),
            Err(why) => Err(why.clone()),
        },
    };
    // Whatever runs from now on cannot have the key any more; a machine without TPM has none to keep.
    if let Ok(tpm) = &tpm
        && let Err(error) = tpm.leave()
    {
        return Data::Locked(format!("the TPM does not close what it released: {error}"));
    }
    opened.unwrap_or_else(Data::Locked)
}

fn find_tpm() -> Result<Tpm, String> {
    let (device, folder) = (Path::new("/dev/tpmrm0"), Path::new("/run/redan/tpm"));
    let end = Instant::now() + TPM_PATIENCE;
    while !device.exists() {
        let announced = Path::new("/sys/firmware/acpi/tables/TPM2").exists();
        if !announced || Instant::now() >= end {
            return Err("this machine has no TPM".to_owned());
        }
        std::thread::sleep(PAUSE);
    }
    let made = fs::DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|error| format!("the TPM's folder cannot be made: {error}"))?;
    let opened = Tpm::open(device, folder).map_err(|error| words(&error));
    // What the driver noted down is good for this opening only.
    let _ = fs::remove_dir_all(folder);
    opened
}

fn set_up(empty: Empty, tpm: Option<&Tpm>, image: &Image) -> Result<Data, Failure> {
    let (mut open, recovery, approver) = empty.set_up(tpm, image)?;
    let device = open.map()?;
    let seed = filesystem::read(Path::new(SEED))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(&device)
        .context(|| "cannot open the data partition".to_owned())?;
    filesystem::plant(&seed, &mut file)?;
    drop(file);
    attach(&device)?;
    keep_approver(approver.as_ref())?;
    rustix::fs::sync();
    tell(
        facts::RECOVERY,
        0o600,
        format!("{}\n", recovery.text().expose()).as_bytes(),
    )?;
    // Last: without a header the next start begins anew.
    open.write()?;
    Ok(Data::New)
}

fn open(closed: Closed, tpm: &Tpm, image: &Image) -> Result<Data, String> {
    let mut open = closed.by_tpm(tpm, image).map_err(|error| words(&error))?;
    open.map()
        .and_then(|device| attach(&device))
        .and_then(|()| raise(&mut open, tpm, image))
        .map(|()| Data::Opened)
        .map_err(|failure| failure.chain())
}

/// Seals under this image's security version once the image was made permanent; before that, the older one must still be able to
/// open the data, to go back to.
fn raise(open: &mut Open, tpm: &Tpm, image: &Image) -> Result<(), Failure> {
    let data = Path::new(ROOT).join("data");
    let permanent = fs::read_to_string(data.join(RAISING))
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    if permanent < Some(image.security) || open.security() >= Some(image.security) {
        return Ok(());
    }
    let approver = open.seal(tpm, image)?;
    write_approver(&data, &approver)
}

fn attach(device: &Path) -> Result<(), Failure> {
    filesystem::attach(device, &Path::new(ROOT).join("data"))
}

fn keep_approver(key: Option<&SecretBytes>) -> Result<(), Failure> {
    key.map_or(Ok(()), |key| write_approver(&Path::new(ROOT).join("data"), key))
}

/// Keeps this machine's approving key on the data's file system.
///
/// # Errors
/// It cannot be written.
pub fn write_approver(data: &Path, key: &SecretBytes) -> Result<(), Failure> {
    let path = data.join(APPROVING);
    let writing = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .context(writing)?;
    }
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .context(writing)?;
    file.write_all(key.expose())
        .and_then(|()| file.sync_all())
        .context(writing)?;
    fs::rename(&new, &path).context(writing)
}

/// Leaves the initramfs for the root, forbids everything that only this program needed, and becomes the supervisor.
fn leave(say: &mut dyn FnMut(&str)) -> Result<Never, Failure> {
    let policy = fs::read(POLICY).context(|| "cannot read the execution policy".to_owned())?;
    // Nothing of the initramfs is needed any more, and it is memory.
    for entry in fs::read_dir(MODULES).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
    for file in [SEED, POLICY, APPROVER, "/init"] {
        let _ = fs::remove_file(file);
    }
    for place in ["/dev", "/proc", "/run", "/sys"] {
        mount_move(place, format!("{ROOT}{place}").as_str()).context(|| format!("cannot move {place}"))?;
    }
    std::env::set_current_dir(ROOT).context(|| "cannot enter the root".to_owned())?;
    mount_move(".", "/").context(|| "cannot make the root the root".to_owned())?;
    rustix::process::chroot(".").context(|| "cannot make the root the root".to_owned())?;
    std::env::set_current_dir("/").context(|| "cannot enter the root".to_owned())?;
    mount_change("/", MountPropagationFlags::PRIVATE).context(|| "cannot keep mounts to this namespace".to_owned())?;
    enforce(&policy)?;
    fs::write("/proc/sys/kernel/modules_disabled", "1").context(|| "cannot forbid further modules".to_owned())?;
    say(&format!("handing over after {} ms", uptime()));
    let error = Command::new(SUPERVISOR).arg("--appliance").env_clear().exec();
    Err(error).context(|| format!("cannot execute {SUPERVISOR}"))
}

/// From here on the kernel executes nothing but what lies on the verified root.
fn enforce(policy: &[u8]) -> Result<(), Failure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move || format!("the execution policy cannot be {what}")
    };
    let ipe = Path::new("/sys/kernel/security/ipe");
    fs::write(ipe.join("new_policy"), policy).context(failed("loaded"))?;
    fs::write(ipe.join("policies/redan/active"), "1").context(failed("activated"))?;
    let enforced = fs::read_to_string(ipe.join("enforce")).context(failed("examined"))?;
    if enforced.trim() != "1" {
        return Err(Failure::new("the execution policy is not enforced"));
    }
    Ok(())
}

fn tell(path: &str, mode: u32, content: &[u8]) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(content))
        .context(|| format!("cannot write {path}"))
}

/// An error and its causes on one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// Milliseconds since the kernel started.
fn uptime() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000)
}
