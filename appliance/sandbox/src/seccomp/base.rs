//! What every Rust program with threads and an allocator needs, and talking over descriptors that it was given.

use libc::{
    ENOENT, ENOSYS, F_ADD_SEALS, F_DUPFD_CLOEXEC, F_GET_SEALS, F_GETFD, F_GETFL, F_SETFD, F_SETFL, PROT_EXEC, SYS_brk,
    SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_clone, SYS_clone3, SYS_close, SYS_dup, SYS_exit,
    SYS_exit_group, SYS_faccessat, SYS_faccessat2, SYS_fcntl, SYS_fstat, SYS_ftruncate, SYS_futex, SYS_getcpu,
    SYS_getcwd, SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getpeername, SYS_getpid, SYS_getrandom, SYS_getrusage,
    SYS_getsockname, SYS_getsockopt, SYS_gettid, SYS_gettimeofday, SYS_getuid, SYS_ioctl, SYS_lseek, SYS_madvise,
    SYS_membarrier, SYS_memfd_create, SYS_mlock, SYS_mlock2, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munlock,
    SYS_munmap, SYS_nanosleep, SYS_newfstatat, SYS_openat, SYS_ppoll, SYS_prctl, SYS_pread64, SYS_prlimit64,
    SYS_pwrite64, SYS_read, SYS_readlinkat, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_restart_syscall, SYS_rseq,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_getaffinity, SYS_sched_setaffinity,
    SYS_sched_yield, SYS_sendmsg, SYS_sendto, SYS_set_robust_list, SYS_setsockopt, SYS_shutdown, SYS_sigaltstack,
    SYS_statx, SYS_sysinfo, SYS_tgkill, SYS_uname, SYS_write, SYS_writev,
};

use super::legacy::{SYS_access, SYS_open, SYS_poll, SYS_readlink, SYS_stat, SYS_time};
use super::{Allowed, Refused, When, any, refuse, when};

/// The namespaces that a thread must not be created with, and the flag that makes it a thread.
const THREAD: u64 = 0x0001_0000;
const NAMESPACES: u64 = 0x7e02_0080;
const EXECUTABLE: u64 = PROT_EXEC.cast_unsigned() as u64;
/// `FIONBIO`, `FIOCLEX`: set a descriptor non-blocking, close it at exec.
const NONBLOCKING: i32 = 0x5421;
const CLOSE_AT_EXEC: i32 = 0x5451;

pub(super) const BASE: &[Allowed] = &[
    any(SYS_read, "files, sockets, wake-up counters"),
    any(SYS_write, "log, sockets, wake-up counters"),
    any(SYS_readv, "sockets"),
    any(SYS_writev, "log, sockets"),
    any(SYS_pread64, "sealed memory files, the proof"),
    any(SYS_pwrite64, "sealed memory files"),
    any(SYS_lseek, "sealed memory files"),
    any(SYS_close, "descriptors"),
    any(SYS_dup, "descriptors"),
    any(SYS_fstat, "size of what was received"),
    any(SYS_newfstatat, "fstat of the C library; by path it finds an empty tree"),
    any(
        SYS_statx,
        "metadata of the standard library; by path it finds an empty tree",
    ),
    any(SYS_memfd_create, "large message bodies"),
    any(SYS_ftruncate, "large message bodies"),
    when(
        SYS_fcntl,
        &[When::Is(1, F_DUPFD_CLOEXEC)],
        "try_clone of the standard library",
    ),
    when(
        SYS_fcntl,
        &[When::Is(1, F_GETFD)],
        "checks of the standard library in debug builds",
    ),
    when(SYS_fcntl, &[When::Is(1, F_SETFD)], "close at exec"),
    when(SYS_fcntl, &[When::Is(1, F_GETFL)], "non-blocking sockets"),
    when(SYS_fcntl, &[When::Is(1, F_SETFL)], "non-blocking sockets"),
    when(SYS_fcntl, &[When::Is(1, F_ADD_SEALS)], "large message bodies"),
    when(SYS_fcntl, &[When::Is(1, F_GET_SEALS)], "large message bodies"),
    when(
        SYS_ioctl,
        &[When::Is(1, NONBLOCKING)],
        "set_nonblocking of the standard library",
    ),
    when(
        SYS_ioctl,
        &[When::Is(1, CLOSE_AT_EXEC)],
        "close at exec of the standard library",
    ),
    any(SYS_recvmsg, "messages with descriptors"),
    any(SYS_sendmsg, "messages with descriptors"),
    any(SYS_recvfrom, "messages"),
    any(SYS_sendto, "messages"),
    any(SYS_shutdown, "closing a wire"),
    any(SYS_getsockopt, "peer credentials, errors of a connection"),
    any(SYS_setsockopt, "timeouts, buffers"),
    any(SYS_getsockname, "address of a listener"),
    any(SYS_getpeername, "address of a client"),
    any(SYS_poll, "waiting for messages with a deadline"),
    any(SYS_ppoll, "waiting for messages with a deadline"),
    any(SYS_brk, "C library's allocator"),
    when(SYS_mmap, &[When::Bits(2, EXECUTABLE, 0)], "memory, never executable"),
    when(
        SYS_mprotect,
        &[When::Bits(2, EXECUTABLE, 0)],
        "guard pages of stacks; memory, never executable",
    ),
    any(SYS_munmap, "memory"),
    any(SYS_mremap, "memory"),
    any(SYS_madvise, "allocator"),
    any(SYS_mlock, "secrets stay out of swap"),
    any(SYS_mlock2, "secrets stay out of swap"),
    any(SYS_munlock, "secrets stay out of swap"),
    any(SYS_futex, "locks"),
    any(SYS_membarrier, "memory reclamation across threads"),
    when(
        SYS_clone,
        &[When::Bits(0, THREAD | NAMESPACES, THREAD)],
        "threads, and only threads",
    ),
    any(SYS_set_robust_list, "start of a thread"),
    any(SYS_rseq, "start of a thread"),
    any(SYS_sigaltstack, "stack overflow handler of the standard library"),
    any(SYS_rt_sigaction, "signal handlers, abort"),
    any(SYS_rt_sigprocmask, "start of a thread, abort"),
    any(SYS_rt_sigreturn, "return from a signal handler"),
    any(SYS_restart_syscall, "the kernel, after a stop in a timed wait"),
    any(SYS_tgkill, "abort; Landlock and the PID namespace keep it inside"),
    any(SYS_exit, "end of a thread"),
    any(SYS_exit_group, "end of the process"),
    any(SYS_getpid, "abort, diagnostics"),
    any(SYS_gettid, "abort, locks"),
    any(SYS_getuid, "diagnostics"),
    any(SYS_geteuid, "diagnostics"),
    any(SYS_getgid, "diagnostics"),
    any(SYS_getegid, "diagnostics"),
    any(SYS_getrandom, "hash seeds, keys"),
    any(SYS_getrusage, "allocator's statistics"),
    any(SYS_clock_gettime, "clock where the kernel has no fast path"),
    any(SYS_clock_getres, "clock"),
    any(SYS_gettimeofday, "clock where the kernel has no fast path"),
    any(SYS_nanosleep, "waiting"),
    any(SYS_clock_nanosleep, "waiting"),
    any(SYS_sched_yield, "spinning locks"),
    any(SYS_sched_getaffinity, "number of processors"),
    any(SYS_sched_setaffinity, "a thread on each processor"),
    any(SYS_getcpu, "allocator's memory nodes"),
    any(SYS_sysinfo, "size of caches by memory"),
    any(SYS_uname, "feature detection of libraries"),
    when(SYS_prlimit64, &[When::Zero(2)], "reading limits, never setting them"),
    when(SYS_prctl, &[When::Is(0, libc::PR_SET_NAME)], "names of threads"),
    when(
        SYS_prctl,
        &[When::Is(0, libc::PR_SET_VMA)],
        "allocator's names of mappings",
    ),
    when(SYS_prctl, &[When::Is(0, libc::PR_GET_DUMPABLE)], "checks"),
    any(SYS_time, "clock where the kernel has no fast path"),
];

/// Answers for what libraries try and can do without.
pub(super) const REFUSED: &[Refused] = &[refuse(
    SYS_clone3,
    ENOSYS,
    "its flags cannot be seen by a filter; the C library falls back to clone",
)];

/// For services that open no file: the tree is empty, and where there is none of its own it looks empty.
pub(super) const NO_FILES: &[Refused] = &[
    refuse(SYS_open, ENOENT, "allocator reads /proc/sys/vm/overcommit_memory"),
    refuse(SYS_openat, ENOENT, "standard library reads /proc/self/cgroup"),
    refuse(SYS_access, ENOENT, "allocator looks for memory nodes"),
    refuse(SYS_faccessat, ENOENT, "as access"),
    refuse(SYS_faccessat2, ENOENT, "as access"),
    refuse(SYS_readlink, ENOENT, "standard library reads /proc/self/exe"),
    refuse(SYS_readlinkat, ENOENT, "as readlink"),
    refuse(SYS_stat, ENOENT, "by path only"),
    refuse(SYS_getcwd, ENOENT, "paths of back traces"),
];
