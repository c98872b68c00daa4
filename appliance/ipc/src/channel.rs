//! One end of a packet socket pair, with descriptors in passing.

use crate::IpcError;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::time::Duration;

/// The largest packet, header included, in bytes: well below the kernel's default socket buffer, so that a packet always fits an
/// empty one.
pub const MAX_PACKET: usize = 64 * 1024;

/// The most descriptors that one packet carries.
pub(crate) const MAX_DESCRIPTORS: usize = 64;

/// One end of a `SOCK_SEQPACKET` pair: packets arrive whole, in order, or not at all.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// What one packet carried besides its bytes.
#[derive(Debug)]
pub struct Packet {
    /// Bytes of the packet, written at the start of the buffer.
    pub length: usize,
    /// Descriptors that came along.
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// A connected pair, closed on execution.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn pair() -> Result<(Self, Self), IpcError> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(IpcError::system("make a socket pair"))?;
        Ok((Self { socket: a }, Self { socket: b }))
    }

    /// Takes over a descriptor that the supervisor passed.
    #[must_use]
    pub const fn from_descriptor(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Gives the descriptor up, to pass it on.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.socket
    }

    /// Switches between waiting and failing at once with [`IpcError::Deadline`].
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), IpcError> {
        rustix::io::ioctl_fionbio(&self.socket, nonblocking).map_err(IpcError::system("set the blocking mode"))
    }

    /// Bounds how long a receive waits; `None` waits for ever.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn set_receive_timeout(&self, timeout: Option<Duration>) -> Result<(), IpcError> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, timeout)
            .map_err(IpcError::system("set the receive timeout"))
    }

    /// Bounds how long a send waits for room; `None` waits for ever.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn set_send_timeout(&self, timeout: Option<Duration>) -> Result<(), IpcError> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Send, timeout)
            .map_err(IpcError::system("set the send timeout"))
    }

    /// Sends one packet of `parts` one after the other, with descriptors.
    ///
    /// # Errors
    /// [`IpcError::Closed`] when the peer is gone, [`IpcError::Deadline`] when there is no room in time.
    pub fn send(&self, parts: &[&[u8]], descriptors: &[BorrowedFd<'_>]) -> Result<(), IpcError> {
        let size = parts.iter().map(|part| part.len()).sum();
        if size > MAX_PACKET || descriptors.len() > MAX_DESCRIPTORS {
            return Err(IpcError::TooLarge {
                size,
                limit: MAX_PACKET,
            });
        }
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        loop {
            match sendmsg(&self.socket, &slices, &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(IpcError::system("send")(errno)),
            }
        }
    }

    /// Receives one packet into `buffer`, which should hold [`MAX_PACKET`] bytes.
    ///
    /// # Errors
    /// [`IpcError::Closed`] when the peer is gone, [`IpcError::Deadline`] when nothing came in time, [`IpcError::Framing`] when
    /// the packet or its descriptors did not fit.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Packet, IpcError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = loop {
            let slices = &mut [IoSliceMut::new(buffer)];
            match recvmsg(&self.socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) => break message,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(IpcError::system("receive")(errno)),
            }
        };
        let mut descriptors = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = part {
                descriptors.extend(passed);
            }
        }
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(IpcError::Framing("a packet longer than any may be"));
        }
        if message.bytes == 0 {
            return Err(IpcError::Closed);
        }
        Ok(Packet {
            length: message.bytes,
            descriptors,
        })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, MAX_PACKET};
    use crate::IpcError;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn a_packet_arrives_whole_with_its_descriptors() {
        let (a, b) = Channel::pair().unwrap();
        let (c, d) = Channel::pair().unwrap();
        a.send(&[b"one ", b"packet"], &[c.as_fd()]).unwrap();
        drop(c);
        let mut buffer = vec![0; MAX_PACKET];
        let packet = b.receive(&mut buffer).unwrap();
        assert_eq!(&buffer[..packet.length], b"one packet");
        let passed = Channel::from_descriptor(packet.descriptors.into_iter().next().unwrap());
        passed.send(&[b"through"], &[]).unwrap();
        assert_eq!(d.receive(&mut buffer).unwrap().length, 7);
    }

    #[test]
    fn a_gone_peer_is_an_error_and_no_signal() {
        let (a, b) = Channel::pair().unwrap();
        drop(b);
        assert!(matches!(a.send(&[b"x"], &[]), Err(IpcError::Closed)));
        assert!(matches!(a.receive(&mut [0; 16]), Err(IpcError::Closed)));
    }

    #[test]
    fn a_packet_too_long_for_its_reader_is_refused() {
        let (a, b) = Channel::pair().unwrap();
        a.send(&[b"longer than four"], &[]).unwrap();
        assert!(matches!(b.receive(&mut [0; 4]), Err(IpcError::Framing(_))));
        assert!(matches!(
            a.send(&[&vec![0; MAX_PACKET + 1]], &[]),
            Err(IpcError::TooLarge { .. })
        ));
    }

    #[test]
    fn a_receive_ends_at_its_timeout() {
        let (a, _b) = Channel::pair().unwrap();
        a.set_receive_timeout(Some(Duration::from_millis(10))).unwrap();
        assert!(matches!(a.receive(&mut [0; 16]), Err(IpcError::Deadline)));
    }
}
