//! The root file system: its tree, what may be in it, and that nothing else is.

use crate::sources::{Packages, Profile, programs};
use crate::tools::{Context, EPOCH, Outcome, files_below, folder_at, read, run, text, write};
use redan_image_layout::Version;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Our programs, with why each is there.
pub(crate) const PROGRAMS: [(&str, &str); 7] = [
    ("redan-supervisor", "PID 1"),
    ("redan-vault", "store, keys, audit log"),
    ("redan-manager", "the configuration's transactions"),
    ("redan-network", "interfaces and the packet filter"),
    ("redan-proxy", "what is published"),
    ("redan-console", "REST API and web pages"),
    (
        "redan-data",
        "opens the data partition with the recovery key, destroys its keys",
    ),
];
/// Programs that are there once their crates are.
pub(crate) const LATER: [(&str, &str); 5] = [
    ("redan-provision", "the serial menu and USB provisioning"),
    ("redan-update", "installs new versions"),
    ("redan-portal", "logins and tokens of applications"),
    ("redan-sensor", "intrusion detection"),
    ("redan-monitor", "alerts and their delivery"),
];

/// Everything else that may be there: the beginning of its path, what it is, why.
const ALLOWED: [(&str, &str); 4] = [
    (
        "usr/share/redan/rules/crs/",
        "Debian's modsecurity-crs, data: the rules of the web application firewall",
    ),
    ("usr/share/redan/board/", "our own: which hardware is where"),
    ("usr/share/redan/update.key", "our own: whose updates are taken"),
    ("usr/lib/os-release", "our own: name and version"),
];
/// Places for other file systems.
const PLACES: [&str; 6] = ["data", "dev", "proc", "run", "sys", "boot"];

/// Where everything comes from.
pub(crate) struct Ingredients<'a> {
    pub(crate) packages: &'a Packages,
    pub(crate) binaries: &'a Path,
    pub(crate) update_key: [u8; 32],
    pub(crate) version: Version,
    /// Board files, where there are any.
    pub(crate) boards: Option<&'a Path>,
}

/// Builds the programs that exist.
pub(crate) fn build(profile: Profile, repository: &Path) -> Outcome<PathBuf> {
    let mut names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    let exists = |name: &str| {
        name.strip_prefix("redan-")
            .is_some_and(|name| repository.join("appliance").join(name).join("src/main.rs").exists())
    };
    names.extend(LATER.iter().map(|(name, _)| *name).filter(|name| exists(name)));
    names.push("redan-init");
    programs(profile, &names)
}

/// Makes the tree.
pub(crate) fn assemble(root: &Path, from: &Ingredients<'_>) -> Outcome<()> {
    let Version { major, minor, patch } = from.version;
    for place in PLACES {
        folder_at(&root.join(place))?;
    }
    let wanted = PROGRAMS
        .iter()
        .map(|(name, _)| (*name, true))
        .chain(LATER.iter().map(|(name, _)| (*name, false)));
    for (name, required) in wanted {
        let program = from.binaries.join(name);
        if required || program.exists() {
            strip(&program, &root.join("usr/lib/redan").join(name))?;
        }
    }
    let rules = root.join("usr/share/redan/rules/crs");
    for (source, below) in [
        ("usr/share/modsecurity-crs/rules", "rules"),
        ("etc/modsecurity/crs", ""),
    ] {
        let source = from.packages.rules.folder.join(source);
        for file in files_below(&source)? {
            let suffix = file.extension().and_then(|suffix| suffix.to_str());
            if matches!(suffix, Some("conf" | "data")) {
                write(&rules.join(below).join(&file), read(&source.join(&file))?)?;
            }
        }
    }
    if let Some(boards) = from.boards {
        for file in files_below(boards)?
            .into_iter()
            .filter(|file| file.extension().is_some_and(|suffix| suffix == "toml"))
        {
            write(
                &root.join("usr/share/redan/board").join(&file),
                read(&boards.join(&file))?,
            )?;
        }
    }
    write(&root.join("usr/share/redan/update.key"), from.update_key)?;
    write(
        &root.join("usr/lib/os-release"),
        os_release(&format!("{major}.{minor}.{patch}")),
    )?;
    settle(root, root)?;
    check(root)
}

/// What the boot loader shows and sorts by, and programs of the build machine read.
pub(crate) fn os_release(version: &str) -> String {
    format!(
        "ID=redan\nNAME=Redan\nPRETTY_NAME=\"Redan {version}\"\nIMAGE_ID=redan\nVERSION_ID={version}\nIMAGE_VERSION={version}\n"
    )
}

/// A program without its symbols.
pub(crate) fn strip(program: &Path, to: &Path) -> Outcome<()> {
    if let Some(folder) = to.parent() {
        folder_at(folder)?;
    }
    run("strip", &["--strip-all", "-o", text(to)?, text(program)?]).map(drop)
}

/// Modes that do not depend on the build machine's: programs may be executed, nothing may be written.
fn settle(root: &Path, at: &Path) -> Outcome<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let is_program = entry.path().parent() == Some(&root.join("usr/lib/redan"));
        if entry.file_type()?.is_dir() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755))?;
            settle(root, &entry.path())?;
        } else {
            let mode = if is_program { 0o555 } else { 0o444 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Refuses whatever is not on the lists, is set-user-id, writable, or asks for a loader or an interpreter.
pub(crate) fn check(root: &Path) -> Outcome<()> {
    for file in files_below(root)? {
        let (path, full) = (text(&file)?, root.join(&file));
        let about = fs::symlink_metadata(&full)?;
        let refuse = |why: &str| Err(format!("{path} may not be in the image: {why}").into());
        let program = path.strip_prefix("usr/lib/redan/");
        let listed = match program {
            Some(name) => PROGRAMS.iter().chain(&LATER).any(|(known, _)| *known == name),
            None => ALLOWED.iter().any(|(known, _)| {
                if known.ends_with('/') {
                    path.starts_with(known)
                } else {
                    path == *known
                }
            }),
        };
        if !listed {
            return refuse("it is on no list (image/tool/src/root.rs)");
        }
        if !about.is_file() {
            return refuse("it is neither a file nor a folder");
        }
        let mode = about.permissions().mode() & 0o7777;
        if mode & 0o7000 != 0 || mode & 0o222 != 0 || (mode & 0o111 != 0) != program.is_some() {
            return refuse(&format!("its mode is {mode:o}"));
        }
        let content = read(&full)?;
        match program {
            Some(_) => {
                if let Err(why) = is_static(&content) {
                    return refuse(why);
                }
            }
            None if content.starts_with(b"\x7fELF") || content.starts_with(b"#!") => return refuse("it is a program"),
            None => {}
        }
    }
    Ok(())
}

/// Whether a program needs nobody to load it (`elf(5)`: no `PT_INTERP`) and its stack is not executable.
fn is_static(program: &[u8]) -> Result<(), &'static str> {
    let number = |at: usize, size: usize| {
        let bytes = program.get(at..at + size)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte)),
        )
    };
    // ELF, 64 bits, little-endian.
    if program.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("it is no program for this machine");
    }
    let headers = || -> Option<Vec<(u64, u64)>> {
        let at = usize::try_from(number(32, 8)?).ok()?;
        let (size, count) = (
            usize::try_from(number(54, 2)?).ok()?,
            usize::try_from(number(56, 2)?).ok()?,
        );
        (0..count)
            .map(|index| Some((number(at + index * size, 4)?, number(at + index * size + 4, 4)?)))
            .collect()
    };
    let headers = headers().ok_or("its headers cannot be read")?;
    const INTERPRETER: u64 = 3;
    const STACK: u64 = 0x6474_e551;
    if headers.iter().any(|(kind, _)| *kind == INTERPRETER) {
        return Err("it needs a dynamic loader");
    }
    if !headers.iter().any(|(kind, flags)| *kind == STACK && flags & 1 == 0) {
        return Err("its stack is executable");
    }
    Ok(())
}

/// Makes the file system; its length is a multiple of a block.
pub(crate) fn file_system(root: &Path, to: &Path) -> Outcome<Vec<u8>> {
    // The identifier is of no use to anybody; one that is always the same it has to be.
    let identifier = "52454441-4e00-4000-8000-000000000001";
    run(
        "mkfs.erofs",
        &[
            "-zlz4hc,12",
            "-T",
            EPOCH,
            "-U",
            identifier,
            "--all-root",
            text(to)?,
            text(root)?,
        ],
    )?;
    let mut bytes = read(to).context(|| "mkfs.erofs made nothing".to_owned())?;
    bytes.resize(bytes.len().next_multiple_of(4_096), 0);
    Ok(bytes)
}
