//! Starting a service: `clone3` with its namespaces, then the binary by descriptor.
#![allow(unsafe_code)]

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, Signal, pidfd_send_signal, set_parent_process_death_signal, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::ffi::{CStr, c_char, c_int};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::Namespace;

/// Why a service could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// A descriptor could not be duplicated.
    #[error("cannot prepare descriptors")]
    Descriptors(#[source] Errno),
    /// The kernel refused the process or its namespaces.
    #[error("cannot clone a process with its namespaces")]
    Clone(#[source] Errno),
}

/// What a new process starts with: an empty environment, its name as the only argument, and exactly four descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The binary; statically linked, since it finds no library.
    pub program: BorrowedFd<'a>,
    /// The name shown by `ps`.
    pub name: &'a CStr,
    /// Descriptor 0: `/dev/null`.
    pub input: BorrowedFd<'a>,
    /// Descriptors 1 and 2: the log.
    pub log: BorrowedFd<'a>,
    /// Descriptor 3: the control socket.
    pub control: BorrowedFd<'a>,
    /// Namespaces of its own.
    pub namespaces: &'a [Namespace],
    /// The control group to start in, as an open folder of the unified hierarchy.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// A started process. Dropping it does nothing; the supervisor reaps with `waitpid`.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Child {
    /// The process id in the caller's PID namespace.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal to this process, and never to another one that was given its number since.
    ///
    /// # Errors
    /// What the kernel says; `ESRCH` where it is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        pidfd_send_signal(&self.pidfd, signal)
    }
}

/// Starts a process with an empty signal mask. It is killed when the calling thread ends.
///
/// A binary that cannot be executed shows as an exit with status 127 and a line in the log.
///
/// # Errors
/// The kernel refused descriptors, the process or a namespace.
pub fn spawn(launch: &Launch<'_>) -> Result<Child, SpawnError> {
    // Above the four targets, so that none is overwritten before it is used.
    let high = |fd: BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, 16).map_err(SpawnError::Descriptors);
    let (program, input, log, control) = (
        high(launch.program)?,
        high(launch.input)?,
        high(launch.log)?,
        high(launch.control)?,
    );

    let flags = launch
        .namespaces
        .iter()
        .fold(0, |flags, kind| flags | kind.clone_flag());
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is a structure of integers, for which zero is a value ("not used").
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(flags.cast_unsigned() | libc::CLONE_PIDFD.cast_unsigned());
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(cgroup) = launch.cgroup {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM the child has a copy of all memory, like after fork(2). The pointer and the size are those of the
    // structure above, and `pidfd`, where the kernel stores one descriptor, outlives the call. The copy may hold locks of other
    // threads for ever; the child takes none: it only makes system calls, and executes or exits.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            size_of::<libc::clone_args>(),
        )
    };
    if pid == 0 {
        become_service(&program, &input, &log, &control, launch.name);
    }
    let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .filter(|pid| pid.as_raw_nonzero().get() > 0)
    else {
        let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL);
        return Err(SpawnError::Clone(errno));
    };
    // SAFETY: CLONE_PIDFD made the kernel store a new descriptor there, which nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// The child's side. Allocates nothing.
fn become_service(program: &OwnedFd, input: &OwnedFd, log: &OwnedFd, control: &OwnedFd, name: &CStr) -> ! {
    let ready = dup2_stdin(input).is_ok()
        && dup2_stdout(log).is_ok()
        && dup2_stderr(log).is_ok()
        && dup2_control(control)
        && close_others_at_exec()
        && unblock_signals()
        && setsid().is_ok()
        && set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
    if ready {
        execute(program, name);
    }
    // Nobody is left to tell where this fails too.
    let _ = rustix::io::write(rustix::stdio::stderr(), b"cannot execute the binary\n");
    // SAFETY: `_exit` ends the process without running anything of the copy of the supervisor that it is.
    unsafe { libc::_exit(127) }
}

fn dup2_control(control: &OwnedFd) -> bool {
    // SAFETY: descriptor 3 of this copied process may have an owner in the supervisor's memory, whose destructor never runs here:
    // the process executes another program or exits without unwinding.
    let result: c_int = unsafe { libc::dup2(control.as_raw_fd(), 3) };
    result == 3
}

fn close_others_at_exec() -> bool {
    // SAFETY: touches no memory; with this flag it closes nothing now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 4, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    result == 0
}

fn unblock_signals() -> bool {
    // SAFETY: `sigset_t` is an array of integers, for which zero is a value: the empty set.
    let empty: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `empty` outlives the call, and a null pointer says that the old mask is not wanted.
    let result = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut()) };
    result == 0
}

/// Returns only if the kernel refuses.
fn execute(program: &OwnedFd, name: &CStr) {
    let arguments: [*const c_char; 2] = [name.as_ptr(), std::ptr::null()];
    let environment: [*const c_char; 1] = [std::ptr::null()];
    // SAFETY: both arrays end with a null pointer, their strings are terminated, and all outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
}
