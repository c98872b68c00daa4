//! Starts an image in QEMU: Secure Boot with our keys, a TPM, a watchdog, two network interfaces whose other ends are in namespaces of
//! their own. No packet leaves the machine: nothing connects those namespaces with anything.

use crate::build::Names;
use crate::tools::{Context, Outcome, folder_at, run, run_command, text, write};
use crate::vars;
use redan_image_layout::Version;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How to run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Where `image/build` left the image.
    pub(crate) out: PathBuf,
    pub(crate) version: Version,
    pub(crate) keys: PathBuf,
    /// What outlives a run: the disk, the firmware's variables, the TPM. Made when missing.
    pub(crate) state: PathBuf,
    /// `tcg`, or `kvm` where that works.
    pub(crate) accelerator: String,
    /// Megabytes.
    pub(crate) memory: u32,
    /// The serial line on a Unix socket in the state's folder instead of standard input and output.
    pub(crate) socket: bool,
    /// End instead of starting the machine again.
    pub(crate) once: bool,
    /// A stick's image.
    pub(crate) usb: Option<PathBuf>,
    /// Set where the namespaces have been made.
    pub(crate) inside: bool,
}

/// The firmware with Secure Boot and its empty variables (Debian's ovmf).
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The sides: name, tap, hardware address of the appliance's interface, addresses of the side.
const SIDES: [(&str, &str, &str, &[&str]); 2] = [
    (
        "public",
        "rdpublic",
        "52:54:00:72:64:01",
        &["192.168.1.2/24", "10.77.1.2/24"],
    ),
    ("private", "rdprivate", "52:54:00:72:64:02", &["10.77.2.2/24"]),
];
/// The machine's disk is larger than the image, as a real one is; the file takes room for what is written only.
const DISK: &str = "1G";
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs until the machine is switched off.
pub(crate) fn start(options: &Run) -> Outcome<()> {
    if options.inside {
        inside(options)
    } else {
        outside(options)
    }
}

/// Starts this program again in a network namespace of its own.
fn outside(options: &Run) -> Outcome<()> {
    prepare(options)?;
    let mut command = Command::new("unshare");
    if run("id", &["-u"])? != b"0\n" {
        command.arg("--map-root-user");
    }
    command
        .args(["--net", "--"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--inside");
    let status = command.status().context(|| "cannot run unshare".to_owned())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("QEMU ended: {status}").into())
    }
}

fn prepare(options: &Run) -> Outcome<()> {
    folder_at(&options.state.join("tpm"))?;
    let disk = options.state.join("disk.img");
    if !disk.exists() {
        let image = Names::new(&options.out, options.version).image;
        run("cp", &["--sparse=always", text(&image)?, text(&disk)?])?;
        run("truncate", &["--size", DISK, text(&disk)?])?;
    }
    let variables = options.state.join("variables.fd");
    if !variables.exists() {
        write(&variables, vars::enrol(Path::new(VARIABLES), &options.keys)?)?;
    }
    Ok(())
}

/// A process that ends with this value.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn inside(options: &Run) -> Outcome<()> {
    let path = |name: &str| options.state.join(name);
    let mut ends = Vec::new();
    for (name, tap, ..) in SIDES {
        run("ip", &["tuntap", "add", tap, "mode", "tap"])?;
        run("ip", &["link", "set", tap, "up"])?;
        // A namespace lives as long as a process in it.
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
        ends.push((name, Kept(holder.spawn().context(|| "cannot run unshare".to_owned())?)));
    }
    for stale in ["tpm.sock", "serial.sock", "monitor.sock", "running.json"] {
        let _ = fs::remove_file(path(stale));
    }
    let mut tpm = Command::new("swtpm");
    tpm.args(["socket", "--tpm2", "--tpmstate"])
        .arg(format!("dir={}", path("tpm").display()));
    tpm.arg("--ctrl")
        .arg(format!("type=unixio,path={}", path("tpm.sock").display()));
    let _tpm = Kept(
        tpm.stdin(Stdio::null())
            .spawn()
            .context(|| "cannot run swtpm".to_owned())?,
    );
    wait_for(&path("tpm.sock"), "swtpm")?;
    let mut machine = Kept(
        qemu(options)?
            .spawn()
            .context(|| "cannot run qemu-system-x86_64".to_owned())?,
    );
    let attached =
        |tap: &str| Ok(String::from_utf8_lossy(&run("ip", &["-oneline", "link", "show", tap])?).contains("LOWER_UP"));
    for (_, tap, ..) in SIDES {
        wait_until("QEMU", || attached(tap))?;
    }
    let mut running = json!({ "qemu": machine.0.id() });
    for ((name, end), (_, tap, _, addresses)) in ends.iter().zip(SIDES) {
        let process = end.0.id().to_string();
        run("ip", &["link", "set", tap, "netns", &process])?;
        let within = |arguments: &[&str]| {
            run_command(
                Command::new("nsenter")
                    .args(["--target", &process, "--net", "ip"])
                    .args(arguments),
            )
            .map(drop)
        };
        within(&["link", "set", "lo", "up"])?;
        for address in addresses {
            within(&["address", "add", address, "dev", tap])?;
        }
        within(&["link", "set", tap, "up"])?;
        if let Some(map) = running.as_object_mut() {
            map.insert((*name).to_owned(), json!(end.0.id()));
        }
    }
    write(&path("running.new"), running.to_string())?;
    fs::rename(path("running.new"), path("running.json"))?;
    if !options.socket {
        for (name, end) in &ends {
            println!("the {name} side: nsenter --target {} --net", end.0.id());
        }
    }
    let status = machine.0.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("QEMU failed: {status}").into())
    }
}

fn qemu(options: &Run) -> Outcome<Command> {
    let path = |name: &str| options.state.join(name).display().to_string();
    let mut command = Command::new("qemu-system-x86_64");
    let accelerator = &options.accelerator;
    command.args(["-machine", &format!("q35,smm=on,accel={accelerator}")]);
    command.args([
        "-cpu",
        if accelerator == "kvm" {
            "host,arch-capabilities=off"
        } else {
            "max"
        },
    ]);
    command.args([
        "-smp",
        "2",
        "-m",
        &options.memory.to_string(),
        "-nodefaults",
        "-display",
        "none",
    ]);
    command.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
    command.args([
        "-drive",
        &format!("if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}"),
    ]);
    command.args([
        "-drive",
        &format!("if=pflash,format=raw,unit=1,file={}", path("variables.fd")),
    ]);
    command.args(["-chardev", &format!("socket,id=tpm,path={}", path("tpm.sock"))]);
    command.args([
        "-tpmdev",
        "emulator,id=tpm,chardev=tpm",
        "-device",
        "tpm-tis,tpmdev=tpm",
    ]);
    command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
    command.args([
        "-drive",
        &format!("if=none,id=disk,format=raw,file={}", path("disk.img")),
        "-device",
        "virtio-blk-pci,drive=disk,bootindex=0",
    ]);
    command.args(["-device", "virtio-rng-pci"]);
    for (name, tap, address, _) in SIDES {
        command.args([
            "-netdev",
            &format!("tap,id={name},ifname={tap},script=no,downscript=no"),
        ]);
        // Without a ROM: the firmware is not to look for anything on the network.
        command.args([
            "-device",
            &format!("virtio-net-pci,netdev={name},mac={address},romfile="),
        ]);
    }
    command.args(["-device", "qemu-xhci,id=usb"]);
    if let Some(stick) = &options.usb {
        command.args([
            "-drive",
            &format!("if=none,id=stick,format=raw,file={}", stick.display()),
        ]);
        command.args(["-device", "usb-storage,bus=usb.0,drive=stick,removable=on"]);
    }
    let log = path("serial.log");
    if options.socket {
        let socket = path("serial.sock");
        command.args([
            "-chardev",
            &format!("socket,id=serial,path={socket},server=on,wait=off,logfile={log}"),
        ]);
    } else {
        // Control-C is for the menu; to end QEMU: Control-A, X.
        command.args(["-chardev", &format!("stdio,id=serial,mux=on,signal=off,logfile={log}")]);
    }
    command.args(["-serial", "chardev:serial"]);
    command.args(["-qmp", &format!("unix:{},server=on,wait=off", path("monitor.sock"))]);
    if options.once {
        command.arg("-no-reboot");
    }
    if options.socket {
        command.stdin(Stdio::null());
    }
    Ok(command)
}

fn wait_for(socket: &Path, whose: &str) -> Outcome<()> {
    wait_until(whose, || Ok(socket.exists()))
}

/// Neither program tells in another way that it has come up.
fn wait_until(whose: &str, mut is_so: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() >= end {
            return Err(format!("{whose} does not come up").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
