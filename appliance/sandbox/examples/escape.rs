//! Enters the sandbox and tries to break out of it: what the sandbox's tests run.
//!
//! `escape SERVICE MODE ATTEMPT [FOLDER]` plays the supervisor: it starts a copy of itself with the namespaces of the mode, hands
//! it the specification, and prints what that one reported and how it ended. The copy is this program without arguments.

#![expect(clippy::unwrap_used, reason = "a test's program: where it fails, the test does")]

use redan_sandbox::{
    Capabilities, Cgroup, Identity, Launch, Limits, Namespace, NamespaceIds, Outbound, Spec, detached_folder, enter,
    spawn,
};
use redan_types::{Mode, Process};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;

use rustix::fs::{AtFlags, FlockOperation, Mode as FileMode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketType, recvmsg, sendmsg,
};

/// The services' allocator, so that the lists are checked against it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, service, mode, attempt, folder @ ..] => supervise(service, mode, attempt, folder.first()),
        _ => serve(),
    }
}

fn supervise(service: &str, mode: &str, attempt: &str, folder: Option<&String>) {
    let mode = match mode {
        "root" => Mode::EvaluationRoot,
        "user" => Mode::EvaluationUser,
        "bare" => Mode::EvaluationBare,
        _ => Mode::Appliance,
    };
    let process = match service {
        "vault" => Process::Vault,
        "network" => Process::Network,
        "proxy" => Process::Proxy,
        "manager" => Process::Manager,
        _ => Process::Console,
    };
    let in_namespaces = mode != Mode::EvaluationBare;
    let namespaces: Vec<Namespace> = Namespace::ALL.into_iter().filter(|_| in_namespaces).collect();
    let privileged = matches!(mode, Mode::Appliance | Mode::EvaluationRoot);
    let spec = Spec {
        process,
        mode,
        identity: privileged.then_some(Identity {
            uid: 64_199,
            gid: 64_199,
        }),
        capabilities: if process == Process::Network && in_namespaces {
            Capabilities::NET_ADMIN
        } else {
            Capabilities::NONE
        },
        limits: Limits {
            open_files: 64,
            tasks: 32,
            data: 4 << 30,
            locked: 1 << 20,
        },
        namespaces: namespaces.clone(),
        outside: NamespaceIds::own().unwrap(),
        outbound: if process == Process::Proxy {
            Outbound::Connects
        } else {
            Outbound::Never
        },
        cgroup: Cgroup::Absent("not tried".to_owned()),
    };
    let folder = folder.map(|path| {
        let folder = OwnedFd::from(
            File::options()
                .read(true)
                .custom_flags(libc::O_DIRECTORY)
                .open(path)
                .unwrap(),
        );
        if in_namespaces {
            detached_folder(folder.as_fd()).unwrap()
        } else {
            folder
        }
    });

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let program = File::open("/proc/self/exe").unwrap();
    let null = File::open("/dev/null").unwrap();
    let log = std::io::stderr();
    let child = spawn(&Launch {
        program: program.as_fd(),
        name: c"escape",
        input: null.as_fd(),
        log: log.as_fd(),
        control: theirs.as_fd(),
        namespaces: &namespaces,
        cgroup: None,
    })
    .unwrap();
    drop(theirs);

    let bytes = spec.encode().unwrap();
    let mut message = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
    message.extend(bytes);
    message.extend(attempt.as_bytes());
    let given: Vec<BorrowedFd<'_>> = folder.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !given.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&given));
    }
    sendmsg(&ours, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL).unwrap();
    let mut report = String::new();
    ours.read_to_string(&mut report).unwrap();
    print!("{report}");
    let status = rustix::process::waitpid(Some(child.pid()), rustix::process::WaitOptions::empty())
        .unwrap()
        .unwrap()
        .1;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => println!("end: exit {code}"),
        (_, Some(signal)) => println!("end: signal {signal}"),
        _ => println!("end: unknown"),
    }
}

fn serve() {
    #[expect(unsafe_code, reason = "the control socket arrives as a number")]
    // SAFETY: the supervising side put the control socket on descriptor 3, and nothing else here owns it.
    let mut control = UnixStream::from(unsafe { OwnedFd::from_raw_fd(3) });
    let mut buffer = vec![0; 8192];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        &control,
        &mut [IoSliceMut::new(&mut buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    let mut folder = None;
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut passed) = part {
            folder = passed.next();
        }
    }
    let (length, rest) = buffer[..received.bytes].split_at(4);
    let length = usize::try_from(u32::from_le_bytes(length.try_into().unwrap())).unwrap();
    let spec = Spec::decode(&rest[..length]).unwrap();
    let attempt = std::str::from_utf8(&rest[length..]).unwrap().to_owned();

    let held = if attempt == "threads first" {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        Some((sender, std::thread::spawn(move || receiver.recv())))
    } else {
        None
    };
    let stray = File::open("/dev/null").unwrap();
    let stray_number = std::os::fd::IntoRawFd::into_raw_fd(stray);
    let given: Vec<BorrowedFd<'_>> = folder.iter().map(AsFd::as_fd).collect();
    match enter(&spec, &given) {
        Err(error) => {
            writeln!(control, "refused to run: {error}").unwrap();
            drop(held);
            std::process::exit(1);
        }
        Ok(proof) => {
            for line in proof.confined_by() {
                writeln!(control, "holds: {line}").unwrap();
            }
            for line in proof.absent() {
                writeln!(control, "absent: {line}").unwrap();
            }
        }
    }
    let outcome = match try_it(
        &attempt,
        folder.as_ref(),
        stray_number,
        spec.outbound == Outbound::Connects,
    ) {
        Ok(()) => "possible".to_owned(),
        Err(error) => format!("refused: {error}"),
    };
    writeln!(control, "{outcome}").unwrap();
}

fn try_it(attempt: &str, folder: Option<&OwnedFd>, stray: i32, connects: bool) -> std::io::Result<()> {
    let open = |path: &str| File::open(path).map(drop);
    let socket = |family, kind| {
        rustix::net::socket(family, kind, None)
            .map(drop)
            .map_err(std::io::Error::from)
    };
    match attempt {
        "read /etc/passwd" => open("/etc/passwd"),
        "list /" => std::fs::read_dir("/").map(drop),
        "read /proc/1/environ" => open("/proc/1/environ"),
        "climb out of the folder" => {
            let up = format!("{}etc/passwd", "../".repeat(12));
            rustix::fs::openat(folder.unwrap(), up, OFlags::RDONLY, FileMode::empty()).map(drop)?;
            Ok(())
        }
        "internet socket" => socket(AddressFamily::INET, SocketType::STREAM),
        "datagram socket" => socket(AddressFamily::INET, SocketType::DGRAM),
        "netlink socket" => socket(AddressFamily::NETLINK, SocketType::RAW),
        "bind a port" => std::net::TcpListener::bind("127.0.0.1:0").map(drop),
        "become root" => rustix::thread::set_thread_uid(rustix::process::Uid::ROOT).map_err(Into::into),
        "mount" => {
            rustix::mount::mount("x", "/", "tmpfs", rustix::mount::MountFlags::empty(), None).map_err(Into::into)
        }
        "execute" => Err(std::os::unix::process::CommandExt::exec(
            &mut std::process::Command::new("/bin/true"),
        )),
        "fork" => std::process::Command::new("/bin/true").spawn().map(drop),
        "new user namespace" => raw(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0]),
        "trace the parent" => raw(
            libc::SYS_ptrace,
            [0x4206, std::os::unix::process::parent_id().into(), 0, 0],
        ),
        "kill the parent" => raw(
            libc::SYS_kill,
            [i64::from(std::os::unix::process::parent_id()), 9, 0, 0],
        ),
        "executable memory" => raw(
            libc::SYS_mmap,
            [0, 4096, (libc::PROT_READ | libc::PROT_EXEC).into(), 0x22],
        ),
        "raise a limit" => {
            let limit: [u64; 2] = [1 << 20, 1 << 20];
            raw(
                libc::SYS_prlimit64,
                [0, 7, limit.as_ptr().addr().try_into().unwrap(), 0],
            )
        }
        "io_uring" => raw(libc::SYS_io_uring_setup, [1, 0, 0, 0]),
        "use an inherited descriptor" => raw(
            libc::SYS_write,
            [stray.into(), c"x".as_ptr().addr().try_into().unwrap(), 1, 0],
        ),
        "from a thread" => std::thread::spawn(move || socket(AddressFamily::UNIX, SocketType::DGRAM))
            .join()
            .unwrap(),
        "work" => work(folder),
        "serve events" => serve_events(connects),
        "keep an index" => keep_an_index(folder.unwrap()),
        "nothing" | "threads first" => Ok(()),
        other => Err(std::io::Error::other(format!("no such attempt: {other}"))),
    }
}

/// What an asynchronous service does: both kinds of runtime, timers, sockets, signals' wake-up, blocking work.
fn serve_events(connects: bool) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let session = async move {
        let (mut a, mut b) = tokio::net::UnixStream::pair()?;
        let echo = tokio::spawn(async move {
            let mut word = [0; 4];
            b.read_exact(&mut word).await?;
            b.write_all(&word).await
        });
        a.write_all(b"ping").await?;
        let mut word = [0; 4];
        a.read_exact(&mut word).await?;
        echo.await.unwrap()?;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        tokio::task::spawn_blocking(|| vec![1_u8; 9 << 20].len()).await.unwrap();
        if connects {
            // Nobody listens in the empty network: the error shows that the attempt was made.
            let error = tokio::net::TcpStream::connect("127.0.0.1:9").await.unwrap_err();
            assert!(error.raw_os_error().is_some());
        }
        Ok::<(), std::io::Error>(())
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(session)?;
    let again = async { tokio::time::sleep(std::time::Duration::from_millis(2)).await };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(again);
    Ok(())
}

/// What the vault's index does.
fn keep_an_index(folder: &OwnedFd) -> std::io::Result<()> {
    rustix::process::fchdir(folder)?;
    for round in 0..2_u32 {
        let index = sled::Config::new().path("index").cache_capacity(1 << 20).open()?;
        assert_eq!(index.get(b"round")?.is_some(), round > 0);
        for number in 0..5_000_u32 {
            index.insert(number.to_be_bytes(), vec![7; 200])?;
        }
        index.insert(b"round", &round.to_be_bytes())?;
        index.open_tree("another")?.insert(b"a", b"b")?;
        index.flush()?;
        index.remove(3_u32.to_be_bytes())?;
    }
    for entry in std::fs::read_dir("index")? {
        File::open(entry?.path())?.sync_data()?;
    }
    Ok(())
}

/// What a service must be able to do.
fn work(folder: Option<&OwnedFd>) -> std::io::Result<()> {
    let sums: Vec<_> = (0..4_u64)
        .map(|seed| {
            std::thread::Builder::new()
                .name(format!("worker {seed}"))
                .spawn(move || vec![seed; 1 << 20].iter().sum::<u64>())
        })
        .collect::<Result<_, _>>()?;
    for thread in sums {
        thread.join().unwrap();
    }
    std::thread::available_parallelism()?;
    let (mut a, mut b) = (UnixStream::pair()?, [0; 2]);
    a.0.write_all(b"ok")?;
    a.1.read_exact(&mut b)?;
    let Some(folder) = folder else { return Ok(()) };
    let file = File::from(rustix::fs::openat(
        folder,
        "a",
        OFlags::CREATE | OFlags::RDWR,
        FileMode::RUSR | FileMode::WUSR,
    )?);
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 4096)?;
    file.write_all_at(b"kept", 0)?;
    file.sync_data()?;
    rustix::fs::renameat(folder, "a", folder, "b")?;
    rustix::fs::fsync(folder)?;
    rustix::process::fchdir(folder)?;
    let text = std::fs::read("b")?;
    assert!(text.starts_with(b"kept"));
    std::fs::create_dir("sub")?;
    std::fs::rename("b", "sub/c")?;
    assert_eq!(std::fs::read_dir(".")?.count(), 1);
    rustix::fs::unlinkat(folder, "sub/c", AtFlags::empty())?;
    std::fs::remove_dir("sub")
}

fn raw(call: libc::c_long, arguments: [i64; 4]) -> std::io::Result<()> {
    let [a, b, c, d] = arguments;
    #[expect(unsafe_code, reason = "calls that no wrapper offers, made to see that they fail")]
    // SAFETY: each caller passes pointers that outlive the call, or none; a call that succeeds ends the test as failed.
    let result = unsafe { libc::syscall(call, a, b, c, d, -1, 0) };
    if result < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}
