//! The external tree for Buildroot, as far as it can be held to its word without building a machine with it: `buildroot/check` on this
//! repository, and on copies in which one thing is wrong. What needs a kernel's or Buildroot's own source is skipped without it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::binary;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a script said, and whether it was content.
fn run<S: AsRef<OsStr>>(script: &Path, arguments: &[S]) -> (bool, String) {
    let Output { status, stdout, stderr } = Command::new("timeout")
        .arg("600")
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8(said).unwrap())
}

/// Each crate's `Cargo.toml`, as a path below the repository.
fn manifests(repository: &Path) -> Vec<PathBuf> {
    let folders = ["appliance", "image"].map(|folder| fs::read_dir(repository.join(folder)));
    let crates = folders
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.unwrap().path().join("Cargo.toml"));
    let exist = crates.filter(|path| path.exists());
    exist
        .map(|path| path.strip_prefix(repository).unwrap().to_owned())
        .collect()
}

/// A copy of what `buildroot/check files` reads.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(TempDir::new().unwrap());
        let done = Command::new("cp")
            .args([
                "-a",
                "--parents",
                "Cargo.toml",
                "LICENSE",
                "deny.toml",
                ".cargo",
                "buildroot",
            ])
            .arg("appliance/supervisor/src/manifest.rs")
            .args(manifests(&repository()))
            .arg(copy.0.path())
            .current_dir(repository())
            .status()
            .unwrap();
        assert!(done.success());
        copy
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Replaces the one place where `old` stands.
    fn replace(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old} in {file}");
        fs::write(self.path(file), text.replace(old, new)).unwrap();
    }

    fn check(&self, what: &str) -> (bool, String) {
        run(&self.path("buildroot/check"), &[what])
    }
}

#[test]
fn what_the_tree_repeats_of_the_workspace_is_so() {
    let (good, said) = run(&repository().join("buildroot/check"), &["files"]);
    print!("{said}");
    assert!(good, "{said}");
}

#[test]
fn a_copy_that_has_come_apart_is_refused() {
    for (file, old, new, complaint) in [
        (
            "Cargo.toml",
            "version = \"0.1.0\"\nedition",
            "version = \"0.2.0\"\nedition",
            "Cargo.toml 0.2.0",
        ),
        ("deny.toml", "    \"Zlib\",\n", "", "other licences"),
        (
            "LICENSE",
            "Version 2.0, January 2004",
            "Version 2.1",
            "the checksum of LICENSE",
        ),
        (
            "appliance/supervisor/src/manifest.rs",
            "user: 64_103",
            "user: 64_109",
            "redan-network 64109",
        ),
        (
            "buildroot/package/redan/redan.mk",
            "\tredan-proxy \\\n",
            "",
            "> redan-proxy",
        ),
        (
            "buildroot/board/redan/root.list",
            "usr/lib/redan/redan-vault redan image",
            "usr/lib/redan/redan-vault redan build",
            "root.list",
        ),
        ("buildroot/external.desc", "name: REDAN", "name: redan", "external.desc"),
        (
            "buildroot/Config.in",
            "package/redan/Config.in",
            "package/reddan/Config.in",
            "does not exist",
        ),
        (
            "buildroot/configs/redan_x86_64_defconfig",
            "12.117.orig",
            "12.118.orig",
            "no checksum of the kernel",
        ),
        (
            "buildroot/configs/redan_x86_64_defconfig",
            "# The appliance.\n",
            "",
            "no reason stands above BR2_PACKAGE_REDAN",
        ),
        (
            "buildroot/board/redan/linux.fragment",
            "CONFIG_SECURITY_LANDLOCK=y\n",
            "CONFIG_SECCOMP=y\n",
            "CONFIG_SECCOMP is set twice",
        ),
        (
            "buildroot/configs/redan_x86_64_defconfig",
            "BR2_LINUX_KERNEL_ZSTD=y\n",
            "",
            "overrule CONFIG_KERNEL_ZSTD",
        ),
        (
            "buildroot/configs/redan_x86_64_defconfig",
            "BR2_PACKAGE_HOST_KMOD_XZ=y\n",
            "",
            "depmod could not read",
        ),
        (
            "buildroot/prepare",
            "mkdir -p \"$1\"",
            "mkdir -p \"$1",
            "is not a shell script",
        ),
    ] {
        let copy = Copy::new();
        copy.replace(file, old, new);
        let (good, said) = copy.check("files");
        assert!(!good && said.contains(complaint), "{file}: {said}");
    }
}

#[test]
fn the_hardening_that_is_promised_is_asked_for() {
    let lines = |file: &str| fs::read_to_string(repository().join("buildroot").join(file)).unwrap();
    let configuration = lines("configs/redan_x86_64_defconfig");
    for line in [
        "BR2_PIC_PIE=y",
        "BR2_RELRO_FULL=y",
        "BR2_SSP_STRONG=y",
        "BR2_FORTIFY_SOURCE_3=y",
        "BR2_REPRODUCIBLE=y",
        "BR2_DOWNLOAD_FORCE_CHECK_HASHES=y",
        "BR2_INIT_NONE=y",
        "BR2_SYSTEM_BIN_SH_NONE=y",
        "# BR2_PACKAGE_BUSYBOX is not set",
        "BR2_TARGET_ROOTFS_EROFS=y",
    ] {
        assert!(configuration.lines().any(|have| have == line), "{line}");
    }
    let kernel = lines("board/redan/linux.fragment");
    for line in [
        "CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG=y",
        "CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING=y",
        "CONFIG_SECURITY_IPE=y",
        "CONFIG_IPE_PROP_DM_VERITY_SIGNATURE=y",
        "CONFIG_SECURITY_LANDLOCK=y",
        "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY=y",
        "CONFIG_MODULE_SIG_FORCE=y",
        "# CONFIG_MODULE_UNLOAD is not set",
        "CONFIG_NF_TABLES=y",
        "CONFIG_TCG_TIS=y",
        "# CONFIG_BPF_SYSCALL is not set",
        "# CONFIG_USER_NS is not set",
        "# CONFIG_DEVMEM is not set",
    ] {
        assert!(kernel.lines().any(|have| have == line), "{line}");
    }
    // A security module that the boot line does not name is compiled in and does nothing.
    let modules = kernel
        .lines()
        .find_map(|line| line.strip_prefix("CONFIG_LSM="))
        .unwrap();
    for module in ["lockdown", "yama", "landlock", "ipe"] {
        assert!(
            modules.trim_matches('"').split(',').any(|have| have == module),
            "{module} in {modules}"
        );
    }
}

#[test]
fn every_line_of_the_kernel_fragment_survives_the_kernels_own_rules() {
    let (good, said) = run(&repository().join("buildroot/check"), &["kernel"]);
    print!("{said}");
    assert!(good, "{said}");
}

#[test]
fn a_kernel_setting_that_would_be_lost_is_found() {
    let copy = Copy::new();
    let fragment = "buildroot/board/redan/linux.fragment";
    // Without the first, the screen cannot be left out; the other two were never settings of a kernel.
    copy.replace(
        fragment,
        "CONFIG_EXPERT=y\n",
        "CONFIG_REDAN=y\n# CONFIG_OTHER_REDAN is not set\n",
    );
    // The folder that the other test has unpacked the source to serves here, too.
    let cache = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let output = Command::new("timeout")
        .arg("600")
        .arg(copy.path("buildroot/check"))
        .arg("kernel")
        .env("CARGO_TARGET_DIR", repository().join(cache))
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    if said.contains("skipped:") {
        print!("{said}");
        return;
    }
    assert!(!output.status.success(), "{said}");
    for complaint in [
        "# CONFIG_VT is not set, and yet CONFIG_VT=y",
        "CONFIG_REDAN=y is lost: CONFIG_REDAN does not exist",
        "CONFIG_OTHER_REDAN does not exist",
    ] {
        assert!(said.contains(complaint), "{complaint}: {said}");
    }
}

#[test]
fn every_line_of_the_configuration_survives_buildroots_own_rules() {
    let (good, said) = run(&repository().join("buildroot/check"), &["tree"]);
    print!("{said}");
    assert!(good, "{said}");
}

/// A lock file with one crate, and that crate's archive in a folder of its own.
fn crates(checksum: Option<&str>, source: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("crates/cache")).unwrap();
    fs::create_dir_all(at("small-1.2.3/src")).unwrap();
    fs::write(at("small-1.2.3/src/lib.rs"), "#![no_std]\n").unwrap();
    let archive = at("crates/cache/small-1.2.3.crate");
    let done = Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .arg("small-1.2.3")
        .status()
        .unwrap();
    assert!(done.success());
    let sum = Command::new("sha256sum").arg(&archive).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\ndependencies = [\n \"small\",\n]\n\n[[package]]\nname = \"small\"\n\
         version = \"1.2.3\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
        checksum.unwrap_or(&sum)
    );
    fs::write(at("Cargo.lock"), lock).unwrap();
    folder
}

fn vendor(folder: &Path) -> (bool, String) {
    let arguments = ["Cargo.lock", "crates", "tree"].map(|name| folder.join(name));
    run(&repository().join("buildroot/package/redan/vendor"), &arguments)
}

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn crates_are_unpacked_beside_the_workspace_and_cargo_is_told() {
    let folder = crates(None, REGISTRY);
    for _ in 0..2 {
        let (good, said) = vendor(folder.path());
        assert!(good, "{said}");
    }
    let tree = folder.path().join("tree");
    assert!(tree.join("vendor/small-1.2.3/src/lib.rs").exists());
    assert!(tree.join("vendor/small-1.2.3/.cargo-checksum.json").exists());
    let told = fs::read_to_string(tree.join(".cargo/config.toml")).unwrap();
    assert_eq!(
        told.matches("[source.crates-io]\nreplace-with = \"vendored\"\n")
            .count(),
        1,
        "{told}"
    );
}

#[test]
fn a_crate_that_is_not_what_the_lock_file_says_is_refused() {
    let zeros = "0".repeat(64);
    for (folder, complaint) in [
        (crates(Some(&zeros), REGISTRY), "has the checksum"),
        (
            crates(None, "git+https://git.example/small?rev=1"),
            "is not the registry",
        ),
        (crates(Some(""), REGISTRY), "has no checksum"),
    ] {
        let (good, said) = vendor(folder.path());
        assert!(!good && said.contains(complaint), "{said}");
    }
    let missing = crates(None, REGISTRY);
    fs::remove_file(missing.path().join("crates/cache/small-1.2.3.crate")).unwrap();
    let (good, said) = vendor(missing.path());
    assert!(!good && said.contains("small-1.2.3.crate is not in"), "{said}");
}

/// Our programs, as the list of the root tree names them.
fn programs() -> Vec<String> {
    let list = fs::read_to_string(repository().join("buildroot/board/redan/root.list")).unwrap();
    let ours = list.lines().filter_map(|line| line.strip_prefix("usr/lib/redan/"));
    ours.filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect()
}

/// A target folder as Buildroot leaves it: the services, and much that nobody asked for.
fn target() -> TempDir {
    // Beside the binaries, so that they can be linked instead of copied.
    let target = TempDir::new_in(binary("redan-supervisor").parent().unwrap()).unwrap();
    let at = |path: &str| target.path().join(path);
    for folder in [
        "usr/lib/redan",
        "usr/share/locale",
        "etc/init.d",
        "lib/modules/6.12.1",
        "var/empty",
    ] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for name in programs() {
        fs::hard_link(binary(&name), at("usr/lib/redan").join(&name)).unwrap();
    }
    for file in [
        "etc/passwd",
        "etc/profile",
        "etc/init.d/S01",
        "lib/libc.so.6",
        "lib/modules/6.12.1/igc.ko.xz",
        "usr/share/locale/x",
    ] {
        fs::write(at(file), "").unwrap();
        fs::set_permissions(at(file), Permissions::from_mode(0o644)).unwrap();
    }
    std::os::unix::fs::symlink("usr/bin", at("bin")).unwrap();
    target
}

fn post_build(target: &Path) -> (bool, String) {
    run(&repository().join("buildroot/board/redan/post-build.sh"), &[target])
}

#[test]
fn only_what_the_list_names_reaches_the_root_tree() {
    let target = target();
    // Buildroot may run the script again on a folder that it has cleaned.
    for _ in 0..2 {
        let (good, said) = post_build(target.path());
        assert!(good, "{said}");
    }
    let found = Command::new("find")
        .arg(".")
        .current_dir(target.path())
        .output()
        .unwrap()
        .stdout;
    let found = String::from_utf8(found).unwrap();
    let mut found: Vec<_> = found
        .lines()
        .filter(|path| !path.starts_with("./usr/lib/redan/redan-"))
        .collect();
    found.sort_unstable();
    let expected = [
        ".",
        "./boot",
        "./data",
        "./dev",
        "./etc",
        "./etc/passwd",
        "./lib",
        "./lib/modules",
        "./lib/modules/6.12.1",
        "./lib/modules/6.12.1/igc.ko.xz",
        "./proc",
        "./run",
        "./sys",
        "./usr",
        "./usr/lib",
        "./usr/lib/redan",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        fs::read_dir(target.path().join("usr/lib/redan")).unwrap().count(),
        programs().len()
    );
}

#[test]
fn a_program_that_an_image_must_not_hold_ends_the_build() {
    let proxy = |target: &TempDir| target.path().join("usr/lib/redan/redan-proxy");
    let replace = |source: &str, mode: u32| {
        let target = target();
        fs::remove_file(proxy(&target)).unwrap();
        fs::copy(source, proxy(&target)).unwrap();
        fs::set_permissions(proxy(&target), Permissions::from_mode(mode)).unwrap();
        target
    };
    let missing = target();
    fs::remove_file(proxy(&missing)).unwrap();
    for (target, complaint) in [
        (missing, "redan-proxy is on the list and was not built"),
        (replace("/bin/true", 0o755), "redan-proxy is not static"),
        (replace("/bin/true", 0o4755), "somebody else's rights"),
        (replace("/bin/true", 0o775), "written by others"),
        (replace("/etc/passwd", 0o755), "is executable and not a program"),
    ] {
        let (good, said) = post_build(target.path());
        assert!(!good && said.contains(complaint), "{complaint}: {said}");
    }
}

#[test]
fn nothing_is_removed_from_a_folder_that_is_no_target() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("precious"), "").unwrap();
    let (good, said) = post_build(folder.path());
    assert!(!good && said.contains("is not a target folder"), "{said}");
    assert!(folder.path().join("precious").exists());
    let (good, said) = post_build(Path::new("/"));
    assert!(!good && said.contains("the root of this machine"), "{said}");
}
