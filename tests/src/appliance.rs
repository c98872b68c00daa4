//! A whole evaluation appliance, started as a user starts it and ended with the test.

use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a start may take on a busy machine before the test fails.
const START: Duration = Duration::from_secs(60);

/// What a start is waited for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Awaited {
    Ready,
    Sealed,
}

/// A running evaluation. Dropping it is Ctrl-C.
pub struct Appliance {
    child: Child,
    folder: TempDir,
    ready: Value,
    output: PathBuf,
}

impl Appliance {
    /// Starts one around the sample application, with further options of `cargo evaluate`.
    ///
    /// # Panics
    /// When it does not get ready; what it printed is in the message.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), options)
    }

    /// Starts one on the store that is in `folder` already.
    ///
    /// # Panics
    /// As [`Appliance::start`].
    #[must_use]
    pub fn start_in(folder: TempDir, options: &[&str]) -> Self {
        let command = Self::command(folder.path());
        Self::start_with(folder, command, options)
    }

    /// Starts one with a command of the test's own, made by [`Appliance::command`] or like it.
    ///
    /// # Panics
    /// As [`Appliance::start`].
    #[must_use]
    pub fn start_with(folder: TempDir, command: Command, options: &[&str]) -> Self {
        Self::launch(folder, command, options, Awaited::Ready)
    }

    /// Starts one whose vault stays sealed; what it printed says why. [`Appliance::opened`] waits for its opening.
    ///
    /// # Panics
    /// When it opens, or ends.
    #[must_use]
    pub fn start_sealed(folder: TempDir, options: &[&str]) -> Self {
        let command = Self::command(folder.path());
        // What an earlier start printed is no answer.
        let _ = std::fs::remove_file(folder.path().join("output.log"));
        Self::launch(folder, command, options, Awaited::Sealed)
    }

    fn launch(folder: TempDir, mut command: Command, options: &[&str], awaited: Awaited) -> Self {
        let ready_file = folder.path().join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let output = folder.path().join("output.log");
        let log = || File::options().create(true).append(true).open(&output).unwrap();
        let child = command
            .arg("--ready-file")
            .arg(&ready_file)
            .args(options)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap();
        let appliance = Self {
            child,
            folder,
            ready: Value::Null,
            output,
        };
        if awaited == Awaited::Ready {
            return appliance.opened();
        }
        let mut appliance = appliance;
        let sealed = |appliance: &mut Self| {
            appliance
                .printed()
                .contains("The vault is sealed: ")
                .then_some(Value::Null)
        };
        appliance.ready = appliance.wait_for(sealed);
        appliance
    }

    /// Waits until everything answers: for an appliance whose vault somebody has just opened.
    ///
    /// # Panics
    /// As [`Appliance::start`].
    #[must_use]
    pub fn opened(mut self) -> Self {
        let ready_file = self.folder.path().join("ready.json");
        self.ready = self.wait_for(|_| {
            let text = std::fs::read_to_string(&ready_file).ok()?;
            Some(serde_json::from_str(&text).unwrap())
        });
        self
    }

    fn wait_for(&mut self, mut look: impl FnMut(&mut Self) -> Option<Value>) -> Value {
        let until = Instant::now() + START;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "the appliance is not ready ({ended:?})"
            );
            // The launcher gives no other sign than its files: the one place where a test looks again and again.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The launcher's command for a folder, without its ready file.
    #[must_use]
    pub fn command(folder: &Path) -> Command {
        Self::command_of(&binary("redan-evaluate"), folder)
    }

    /// As [`Appliance::command`], with a launcher from elsewhere.
    #[must_use]
    pub fn command_of(launcher: &Path, folder: &Path) -> Command {
        let mut command = Command::new(launcher);
        command.args([
            "--no-build",
            "--published",
            "127.0.0.1:0",
            "--console",
            "127.0.0.1:0",
            "--state",
        ]);
        command.arg(folder.join("state"));
        command
    }

    /// A text of the ready file.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.ready[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {}", self.ready))
    }

    /// The published address, `https://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.text("published_url")
    }

    /// The published address without its scheme: `127.0.0.1:PORT`.
    #[must_use]
    pub fn published(&self) -> &str {
        self.url().trim_start_matches("https://").trim_end_matches('/')
    }

    /// The network namespace at the far end of an interface's cable.
    ///
    /// # Panics
    /// When the evaluation has no such side.
    #[must_use]
    pub fn side(&self, interface: &str) -> &str {
        self.ready["sides"][interface]
            .as_str()
            .unwrap_or_else(|| panic!("no side {interface} in {}", self.ready))
    }

    /// The folder of this appliance: its store is in `state`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the operator's command.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn redan(&self, arguments: &[&str]) -> Output {
        let state = self.folder.path().join("state");
        Command::new(binary("redan"))
            .arg("--state")
            .arg(state)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Runs the operator's command with `input` for it to read.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn redan_reading(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(binary("redan"))
            .arg("--state")
            .arg(self.folder.path().join("state"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses reads nothing.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs the operator's command, which must succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn redan_ok(&self, arguments: &[&str]) -> String {
        let output = self.redan(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// One service as `redan status --json` shows it.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn service(&self, name: &str) -> Value {
        // Its exit code says whether all are ready, which is no matter here.
        let output = self.redan(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no status: {output:?}"));
        let services = status["services"].as_array().cloned().unwrap_or_default();
        let found = services.iter().find(|service| service["service"] == name);
        found
            .cloned()
            .unwrap_or_else(|| panic!("no service {name} in {status}"))
    }

    /// A service's process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        let service = self.service(name);
        let pid = service["pid"]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} does not run: {service}"));
        u32::try_from(pid).unwrap()
    }

    /// Waits until `condition` holds, at most `patience`.
    ///
    /// # Panics
    /// When it does not hold in time; `what` says what was awaited.
    pub fn until(&self, what: &str, patience: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + patience;
        while !condition(self) {
            assert!(Instant::now() < until, "not within {patience:?}: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the launcher and the services printed until now.
    #[must_use]
    pub fn printed(&self) -> String {
        contents(&self.output)
    }

    /// The launcher's process id.
    #[must_use]
    pub fn launcher(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C, and waits for the end; gives the folder with the store.
    ///
    /// # Panics
    /// When it cannot be ended.
    #[must_use]
    pub fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }

    fn end(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("the appliance printed:\n{}", self.printed());
        }
    }
}

impl std::fmt::Debug for Appliance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appliance")
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

/// A binary of this build.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins`",
        path.display()
    );
    path
}

/// What one request through curl gave.
#[derive(Debug)]
pub struct Response {
    /// The status; 0 when there was no answer.
    pub status: u16,
    /// The fields as they came, one a line.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Response {
    /// The value of a field, its name in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends a request with curl; certificates are not checked, since an evaluation makes its own.
///
/// # Panics
/// When curl cannot be run.
#[must_use]
pub fn curl<S: AsRef<OsStr>>(arguments: &[S]) -> Response {
    curl_in(None, arguments)
}

/// Sends a request from a network namespace.
///
/// # Panics
/// When curl cannot be run.
#[must_use]
pub fn curl_in<S: AsRef<OsStr>>(namespace: Option<&str>, arguments: &[S]) -> Response {
    let head = tempfile::NamedTempFile::new().unwrap();
    let mut command = within(namespace, "curl");
    command.args([
        "--silent",
        "--insecure",
        "--max-time",
        "15",
        "--write-out",
        "\n%{http_code}",
        "--dump-header",
    ]);
    let output = command.arg(head.path()).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    let head = std::fs::read_to_string(head.path()).unwrap_or_default();
    Response {
        status: status.trim().parse().unwrap_or(0),
        head,
        body: body.to_owned(),
    }
}

/// A command in a network namespace, given as a path; needs root where there is one.
#[must_use]
pub fn within(namespace: Option<&str>, program: &str) -> Command {
    match namespace {
        None => Command::new(program),
        Some(path) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={path}")).arg(program);
            command
        }
    }
}

/// Whether the tests run as root; what needs it says so and passes otherwise.
#[must_use]
pub fn is_root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: needs root");
    }
    root
}

fn contents(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
