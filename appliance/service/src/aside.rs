//! Long computations, out of the way of those who serve.

use std::io;

/// How far behind others such a thread stands.
const NICE: i32 = 10;

/// Does `work` on a thread of its own, below the priority of everybody who serves requests or signs, and waits for it.
///
/// # Errors
/// The system gives no thread.
pub fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("aside".to_owned());
        let thread = builder.spawn_scoped(scope, || {
            // Refused where the sandbox does not know the call; the work is then done at the usual priority.
            let _ = rustix::process::setpriority_process(None, NICE);
            work()
        })?;
        // Where a panic ends the process nobody comes here.
        thread.join().map_err(|_| io::Error::other("the computation failed"))
    })
}
