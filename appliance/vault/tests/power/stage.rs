//! The stage: a file system on a disk that remembers, processes that write to it and are killed, and images to look at afterwards.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub(crate) const ROLE: &str = "REDAN_TEST_POWER_ROLE";
pub(crate) const IMAGE: u64 = 160 << 20;
/// Nothing here takes that long; whatever does is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// This program again, in another role, with arguments for it.
pub(crate) fn play(role: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "plays_its_role", "--nocapture"]);
    command.env(ROLE, [&[role], arguments].concat().join("\n"));
    command
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// A folder that something is mounted on until this is dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(kind: &[&str], source: &Path, at: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&at).unwrap();
        run(
            "mount",
            &[kind, &[source.to_str().unwrap(), at.to_str().unwrap()]].concat(),
        )?;
        Ok(Self(at))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Unmounts; a loop device, or a thread of a database that was just closed, lets its file go a moment later.
    pub(crate) fn unmount(self) -> Result<(), String> {
        let path = std::mem::take(&mut std::mem::ManuallyDrop::new(self).0);
        unmount(&path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .stderr(Stdio::null())
            .status();
    }
}

fn unmount(path: &Path) -> Result<(), String> {
    let begin = Instant::now();
    while let Err(error) = run("umount", &[path.to_str().unwrap()]) {
        if begin.elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// An image mounted by itself.
pub(crate) fn mount_image(image: &Path, at: PathBuf) -> Result<Mount, String> {
    Mount::new(&["-o", "loop"], image, at)
}

/// The recording disk with a file system on it.
pub(crate) struct Stage {
    work: PathBuf,
    server: Child,
    file_system: Option<Mount>,
    options: &'static str,
}

impl Stage {
    pub(crate) fn new(work: &Path, options: &'static str) -> Result<Self, String> {
        let (base, live, disk) = (work.join("base"), work.join("live"), work.join("disk"));
        std::fs::create_dir_all(&disk).unwrap();
        File::create(&base).and_then(|file| file.set_len(IMAGE)).unwrap();
        run(
            "mkfs.ext4",
            &[
                "-q",
                "-F",
                "-J",
                "size=4",
                "-E",
                "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
                base.to_str().unwrap(),
            ],
        )?;
        std::fs::copy(&base, &live).unwrap();
        let arguments = [&disk, &live, &work.join("history")].map(|path| path.to_str().unwrap().to_owned());
        let mut server = play("disk", &arguments.each_ref().map(String::as_str))
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let told = lines(&mut server);
        let ready = told.iter().any(|line| line == "ready");
        let mut stage = Self {
            work: work.to_owned(),
            server,
            file_system: None,
            options,
        };
        if !ready {
            return Err("the disk does not start".to_owned());
        }
        stage.mount()?;
        Ok(stage)
    }

    pub(crate) fn mount(&mut self) -> Result<(), String> {
        let options = format!("loop,{}", self.options);
        let mounted = Mount::new(&["-o", &options], &self.work.join("disk/disk"), self.work.join("fs"))?;
        self.file_system = Some(mounted);
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), String> {
        self.file_system.take().map_or(Ok(()), Mount::unmount)
    }

    pub(crate) fn control(&self, text: &str) {
        File::options()
            .write(true)
            .open(self.work.join("disk/control"))
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .unwrap();
    }

    /// Starts a process that writes to the file system.
    pub(crate) fn writer(&self, role: &str, number: u64) -> Writer {
        let folder = self.work.join("fs/state");
        let mut child = play(
            role,
            &[
                folder.to_str().unwrap(),
                self.work.join("disk/acks").to_str().unwrap(),
                &number.to_string(),
            ],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
        let told = lines(&mut child);
        Writer {
            stdin: child.stdin.take(),
            child,
            told,
        }
    }

    /// Ends the recording. What it says is in the files `base` and `history`.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        self.unmount()?;
        unmount(&self.work.join("disk"))?;
        let status = self.server.wait().unwrap();
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("the disk: {status}"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.file_system = None;
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The lines that a process prints. They are read whether anybody wants them or not.
fn lines(child: &mut Child) -> Receiver<String> {
    let (lines, told) = channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .for_each(|line| drop(lines.send(line)));
    });
    told
}

/// A process under test.
pub(crate) struct Writer {
    child: Child,
    stdin: Option<ChildStdin>,
    told: Receiver<String>,
}

impl Writer {
    /// Waits for so many acknowledgements, for another line, or for its end; returns the last line where it is no acknowledgement.
    pub(crate) fn wait(&self, acknowledgements: usize) -> Option<String> {
        let mut left = acknowledgements;
        while left > 0 {
            match self.told.recv_timeout(PATIENCE) {
                Ok(line) if line == "ack" => left -= 1,
                Ok(line) if line.starts_with("refused") => return Some(line),
                // The test harness of the child speaks too.
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Some("ended".to_owned()),
                Err(RecvTimeoutError::Timeout) => return Some("silent".to_owned()),
            }
        }
        None
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks for an orderly end.
    pub(crate) fn close(mut self) -> Result<(), String> {
        self.stdin = None;
        while self.told.recv_timeout(PATIENCE).is_ok() {}
        let status = self.child.wait().unwrap();
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("a writer that was to end in good order: {status}"))
    }
}
