//! What the image is made from: our own programs, and Debian packages as the archive signs them.

use crate::tools::{Context, Outcome, folder_at, program, read, run, run_command, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Debian package, unpacked.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// SHA-256 of the package's file, in hexadecimal.
    pub(crate) hash: String,
    /// Where it was unpacked.
    pub(crate) folder: PathBuf,
}

/// The packages.
#[derive(Clone, Debug)]
pub(crate) struct Packages {
    /// The newest signed kernel of the 6.12 line.
    pub(crate) kernel: Package,
    /// systemd-boot and its stub.
    pub(crate) boot: Package,
    /// The rules.
    pub(crate) rules: Package,
}

/// The signed kernels of the line, with all drivers; the number between is the kernel's own.
const KERNEL: (&str, &str) = ("linux-image-6.12.", "+deb12-amd64");

impl Packages {
    /// Fetches what is missing, through the configured archives, which `apt-get` checks the signatures of; and unpacks.
    pub(crate) fn fetch(cache: &Path) -> Outcome<Self> {
        Ok(Self {
            kernel: Package::fetch(&newest_kernel()?, cache)?,
            boot: Package::fetch("systemd-boot-efi", cache)?,
            rules: Package::fetch("modsecurity-crs", cache)?,
        })
    }

    pub(crate) fn all(&self) -> [&Package; 3] {
        [&self.kernel, &self.boot, &self.rules]
    }

    /// The kernel's release, as `uname -r` tells it.
    pub(crate) fn release(&self) -> &str {
        self.kernel
            .name
            .strip_prefix("linux-image-")
            .unwrap_or(&self.kernel.name)
    }
}

impl Package {
    fn fetch(name: &str, cache: &Path) -> Outcome<Self> {
        folder_at(cache)?;
        let show = |name: &str| run("apt-cache", &["show", "--no-all-versions", name]);
        let about = String::from_utf8(show(name)?)?;
        let field = |key: &str| {
            let found = about
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            found
                .map(str::to_owned)
                .ok_or_else(|| format!("the archive does not tell the {key} of {name}"))
        };
        let (version, architecture, hash) = (field("Version")?, field("Architecture")?, field("SHA256")?);
        let file = cache.join(format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a")));
        if !file.exists() || hash_of(&file)? != hash {
            // As it is named, so that apt checks this version; it downloads into the current folder.
            run_command(
                program("apt-get")
                    .args(["download", &format!("{name}={version}")])
                    .current_dir(cache),
            )
            .context(|| format!("cannot fetch {name}"))?;
        }
        if hash_of(&file)? != hash {
            return Err(format!("{} is not what the archive signed", file.display()).into());
        }
        let folder = cache.join(format!("{name}_{}", &hash[..16]));
        if !folder.exists() {
            let new = folder.with_extension("new");
            let _ = fs::remove_dir_all(&new);
            run("dpkg-deb", &["--extract", text(&file)?, text(&new)?])?;
            fs::rename(&new, &folder)?;
        }
        Ok(Self {
            name: name.to_owned(),
            version,
            architecture,
            hash,
            folder,
        })
    }
}

fn newest_kernel() -> Outcome<String> {
    let (before, after) = KERNEL;
    let names = String::from_utf8(run("apt-cache", &["pkgnames", before])?)?;
    let number = |name: &str| name.strip_prefix(before)?.strip_suffix(after)?.parse::<u32>().ok();
    let newest = names.lines().filter_map(|name| Some((number(name)?, name))).max();
    let (_, name) = newest.ok_or_else(|| format!("the configured archives have no {before}*{after}"))?;
    Ok(name.to_owned())
}

fn hash_of(file: &Path) -> Outcome<String> {
    if !file.exists() {
        return Ok(String::new());
    }
    Ok(redan_image_layout::hex(&redan_image_layout::sha256(&[&read(file)?])))
}

/// Which of cargo's profiles the programs are built with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    /// Quick, for tests.
    Dev,
    /// As it is shipped.
    Release,
}

/// Builds the programs and returns the folder that they are in.
pub(crate) fn programs(profile: Profile, names: &[&str]) -> Outcome<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "build",
        "--locked",
        "--message-format",
        "json-render-diagnostics",
        "--workspace",
    ]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    for name in names {
        command.args(["--bin", name]);
    }
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .context(|| "cannot run cargo".to_owned())?;
    if !output.status.success() {
        return Err("the programs cannot be built".into());
    }
    let mut folder = None;
    for line in output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let message: serde_json::Value = serde_json::from_slice(line)?;
        if let Some(program) = message.get("executable").and_then(serde_json::Value::as_str) {
            folder = Path::new(program).parent().map(Path::to_owned);
        }
    }
    folder.ok_or_else(|| "cargo does not say where the programs are".into())
}

/// The folder for what can be fetched again.
pub(crate) fn cache() -> Outcome<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let cache = cache.ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("redan/image"))
}
