//! From programs and packages to a disk image, an update bundle, a bill of materials.

use crate::cpio::Archive;
use crate::keys::Keys;
use crate::root::{self, Ingredients};
use crate::settings::{COMMAND_LINE, POLICY};
use crate::sources::{Packages, Profile, cache};
use crate::tools::{Context, Outcome, files_below, folder_at, program, read, run_command, text, write};
use crate::{esp, measure, modules, pe, pkcs7, sbom, seed, verity};
use redan_image_layout::disk::{DATA, DATA_SIZE, ESP, ESP_SIZE, SLOT_A, SLOT_B, SLOT_SIZE};
use redan_image_layout::slot::Trailer;
use redan_image_layout::{Version, gpt, hex, sha256};
use redan_update::bundle::{self, BundleError, Digest, Extent, Manifest};
use redan_update::version::BootEntry;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What is to be built.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) profile: Profile,
    /// Where the programs are, if they are not to be built.
    pub(crate) binaries: Option<PathBuf>,
    pub(crate) version: Version,
    pub(crate) security: u32,
    /// Where the results go.
    pub(crate) out: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) token: Option<String>,
    pub(crate) repository: PathBuf,
}

/// Names of the results.
pub(crate) struct Names {
    pub(crate) image: PathBuf,
    pub(crate) update: PathBuf,
    pub(crate) bill: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) figures: PathBuf,
}

impl Names {
    pub(crate) fn new(out: &Path, version: Version) -> Self {
        let name = |suffix: &str| out.join(format!("redan-{version}.{suffix}"));
        Self {
            image: name("img"),
            update: name("update"),
            bill: name("cdx.json"),
            kernel: name("efi"),
            figures: name("figures.json"),
        }
    }
}

/// What `image/report` tells.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Figures {
    /// Bytes of the compressed image.
    pub(crate) compressed: u64,
    /// Bytes of the root file system.
    pub(crate) root: u64,
    /// Bytes of the kernel image with its initramfs.
    pub(crate) kernel: u64,
    /// Bytes of the update bundle.
    pub(crate) update: u64,
    /// Programs, the first one in the initramfs among them.
    pub(crate) executables: u64,
    /// Files on the root file system.
    pub(crate) files: u64,
    /// How the programs were built.
    pub(crate) profile: String,
}

/// A slot's content, and what names it.
struct Slot {
    content: Vec<u8>,
    trailer: Trailer,
}

/// Builds everything.
pub(crate) fn build(order: &Order) -> Outcome<()> {
    let keys = Keys::open(&order.keys, order.token.as_deref())?;
    let packages = Packages::fetch(&cache()?)?;
    let binaries = match &order.binaries {
        Some(folder) => folder.clone(),
        None => root::build(order.profile, &order.repository)?,
    };
    let work = tempfile::tempdir()?;
    let version = order.version;

    let tree = work.path().join("root");
    let boards = order.repository.join("hal/boards");
    let ingredients = Ingredients {
        packages: &packages,
        binaries: &binaries,
        update_key: keys.update(),
        version,
        boards: boards.exists().then_some(boards.as_path()),
    };
    root::assemble(&tree, &ingredients)?;
    let file_system = root::file_system(&tree, &work.path().join("root.erofs"))?;
    // From the content, so that it is the same for the same content and no table of hashes made before serves for it.
    let salt = sha256(&[b"redan root salt", &file_system]);
    let (root, hash_tree) = verity::tree(&file_system, salt);
    println!("root: {} bytes, hash {}", file_system.len(), hex(&root.hash));

    let init = initramfs(&keys, &packages, &binaries, work.path())?;
    let words: Vec<&str> = COMMAND_LINE.iter().map(|(word, _)| *word).collect();
    let line = format!("{} {}", words.join(" "), root.parameter());
    let release = root::os_release(&version.to_string());
    let linux = read(
        &packages
            .kernel
            .folder
            .join("boot")
            .join(format!("vmlinuz-{}", packages.release())),
    )?;
    let sections: [(&str, &[u8]); 4] = [
        (".osrel", release.as_bytes()),
        (".cmdline", line.as_bytes()),
        (".initrd", &init),
        (".linux", &linux),
    ];
    let efi = packages.boot.folder.join("usr/lib/systemd/boot/efi");
    let kernel = pe::sign(&keys, &pe::unify(&read(&efi.join("linuxx64.efi.stub"))?, &sections)?)?;
    println!(
        "kernel image: {} bytes, of which the initramfs {}",
        kernel.len(),
        init.len()
    );

    let trailer = Trailer {
        version: [version.major, version.minor, version.patch],
        security: order.security,
        root,
        signature: pkcs7::detached(&keys, hex(&root.hash).as_bytes())?,
        approvals: measure::approvals(&keys, measure::image(&sections), order.security)?,
    };
    let slot = Slot {
        content: [&file_system[..], &hash_tree, &trailer.encode()?].concat(),
        trailer,
    };
    let loader = pe::sign(&keys, &read(&efi.join("systemd-bootx64.efi"))?)?;
    let name = format!("EFI/Linux/{}", BootEntry::permanent(version));
    let system = esp::make(work.path(), &loader, (&name, &kernel))?;

    folder_at(&order.out)?;
    let names = Names::new(&order.out, version);
    write_disk(&names.image, &system, &slot)?;
    write(&names.kernel, &kernel)?;
    write_update(&names.update, &keys, order, &slot, &kernel)?;
    write(&names.bill, sbom::make(order, &packages, &tree)?)?;
    // The smallest where it is shipped, the quickest where it is tried.
    let level = if order.profile == Profile::Release { "-19" } else { "-1" };
    run_command(
        program("zstd")
            .args(["-q", "-f", level, "-T1", "--no-progress"])
            .arg(&names.image),
    )?;
    let figures = Figures {
        compressed: std::fs::metadata(names.image.with_extension("img.zst"))?.len(),
        root: u64::try_from(file_system.len())?,
        kernel: u64::try_from(kernel.len())?,
        update: std::fs::metadata(&names.update)?.len(),
        executables: u64::try_from(files_below(&tree.join("usr/lib/redan"))?.len())? + 1,
        files: u64::try_from(files_below(&tree)?.len())?,
        profile: if order.profile == Profile::Release {
            "release"
        } else {
            "dev"
        }
        .to_owned(),
    };
    write(&names.figures, serde_json::to_vec_pretty(&figures)?)?;
    sums(&order.out, &names)?;
    println!("in {}", order.out.display());
    Ok(())
}

fn initramfs(keys: &Keys, packages: &Packages, binaries: &Path, work: &Path) -> Outcome<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "run", "sysroot", "modules"] {
        archive.folder(folder)?;
    }
    // The kernel opens it before there is a /dev.
    archive.device("dev/console", (5, 1))?;
    let init = work.join("init");
    root::strip(&binaries.join("redan-init"), &init)?;
    archive.program("init", &read(&init)?)?;
    let count = modules::pack(packages, &mut archive)?;
    archive.file("policy.p7b", &pkcs7::attached(keys, POLICY.as_bytes())?)?;
    archive.file("approver", &keys.approver())?;
    archive.file("seed", &seed::make()?)?;
    println!("initramfs: {count} modules");
    let file = work.join("initramfs");
    write(&file, archive.finish()?)?;
    run_command(program("zstd").args(["-q", "-19", "-T1", "-c", text(&file)?]))
        .context(|| "cannot compress the initramfs".to_owned())
}

fn write_disk(path: &Path, system: &[u8], slot: &Slot) -> Outcome<()> {
    if u64::try_from(slot.content.len())? > SLOT_SIZE {
        return Err("the root does not fit a slot".into());
    }
    let partitions = [
        (ESP, ESP_SIZE),
        (SLOT_A, SLOT_SIZE),
        (SLOT_B, SLOT_SIZE),
        (DATA, DATA_SIZE),
    ];
    let table = gpt::table(&partitions, &slot.trailer.root.hash).ok_or("a partition's name is too long")?;
    let disk = File::create(path).context(|| format!("cannot write {}", path.display()))?;
    disk.set_len(table.size)?;
    disk.write_all_at(&table.head, 0)?;
    disk.write_all_at(&table.tail, table.size - u64::try_from(table.tail.len())?)?;
    for (start, content) in table.starts.iter().zip([system, &slot.content]) {
        write_sparse(&disk, *start, content)?;
    }
    Ok(())
}

/// Leaves zeros out, so that the file takes no more room than it needs.
fn write_sparse(mut disk: &File, start: u64, content: &[u8]) -> Outcome<()> {
    for (number, block) in content.chunks(1 << 16).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            disk.seek(SeekFrom::Start(start + u64::try_from(number)? * (1 << 16)))?;
            disk.write_all(block)?;
        }
    }
    Ok(())
}

fn write_update(path: &Path, keys: &Keys, order: &Order, slot: &Slot, kernel: &[u8]) -> Outcome<()> {
    let manifest = Manifest {
        product: "redan-x86_64".to_owned(),
        version: order.version,
        security_version: order.security,
        root_hash: Digest(slot.trailer.root.hash),
        slot: Extent::of(&slot.content),
        kernel: Extent::of(kernel),
    };
    let head = bundle::begin::<BundleError>(&manifest, |bytes| Ok(keys.sign_update(bytes)))?;
    write(path, [&head, &slot.content, kernel].concat())
}

/// `SHA256SUMS`, as `sha256sum --check` reads it.
fn sums(out: &Path, names: &Names) -> Outcome<()> {
    let mut lines = String::new();
    let compressed = names.image.with_extension("img.zst");
    for path in [&names.bill, &names.kernel, &names.image, &compressed, &names.update] {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        lines.push_str(&format!("{}  {name}\n", hex(&sha256(&[&read(path)?]))));
    }
    write(&out.join("SHA256SUMS"), lines)
}
