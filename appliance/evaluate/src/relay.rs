//! Copies bytes between two connections until both have ended.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

/// How long the far end may take to accept.
const PATIENCE: Duration = Duration::from_secs(5);
/// Small, since thousands of connections may be idle.
const BUFFER: usize = 4 << 10;

/// Connects to `address` from the namespace of this thread and relays `near`, a connected TCP socket, to it. Failures end both
/// connections, which is how their peers learn of them.
pub(crate) async fn relay(near: OwnedFd, address: SocketAddr) {
    let Ok(mut near) = adopt(near) else { return };
    let Ok(Ok(mut far)) = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    // An error is one end's reset; dropping both passes it on.
    let _ = copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await;
}

fn adopt(connection: OwnedFd) -> std::io::Result<TcpStream> {
    let stream = std::net::TcpStream::from(connection);
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}
