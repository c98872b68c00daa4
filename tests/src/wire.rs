//! A TLS connection on which an attacker says whatever he likes.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The protocol that the client offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alpn {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
}

/// What is attacked: a published port.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What `Host` and `:authority` say.
    pub authority: String,
    server_name: ServerName<'static>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Target {
    /// The port at `address`, published under `host` (a name or an address, without a port), with any certificate: an attacker does
    /// not care.
    ///
    /// # Errors
    /// `host` is neither a name nor an address.
    pub fn new(address: SocketAddr, host: &str) -> io::Result<Self> {
        let server_name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Self {
            address,
            authority: host.to_owned(),
            server_name,
            http1: Arc::new(config(b"http/1.1")?),
            http2: Arc::new(config(b"h2")?),
        })
    }

    /// Connects and completes the handshake.
    ///
    /// # Errors
    /// The connection is refused, the handshake fails, or either takes over ten seconds.
    pub fn connect(&self, alpn: Alpn) -> io::Result<Wire> {
        self.connect_over(TcpStream::connect_timeout(&self.address, PATIENCE)?, alpn)
    }

    /// As [`Target::connect`], over a socket that the caller prepared.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub fn connect_over(&self, socket: TcpStream, alpn: Alpn) -> io::Result<Wire> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let config = match alpn {
            Alpn::Http1 => &self.http1,
            Alpn::Http2 => &self.http2,
        };
        let client = ClientConnection::new(Arc::clone(config), self.server_name.clone()).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(client, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        if alpn == Alpn::Http2 && tls.conn.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::new(
                ErrorKind::Unsupported,
                "the target does not speak HTTP/2",
            ));
        }
        Ok(Wire {
            tls,
            nonblocking: false,
        })
    }

    /// Whether an ordinary client, new to the target, is answered with a status below 500 within two seconds, and how long that took.
    #[must_use]
    pub fn serves(&self) -> Option<Duration> {
        let start = Instant::now();
        let mut wire = self.connect(Alpn::Http1).ok()?;
        wire.send(
            format!(
                "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.authority
            )
            .as_bytes(),
        )
        .ok()?;
        let answer = wire.read_to_end(Duration::from_secs(2), 1 << 20);
        let status = answer
            .bytes
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok())?
            .parse::<u16>()
            .ok()?;
        (status < 500).then(|| start.elapsed())
    }
}

/// How a connection stands after something was done to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The peer closed it.
    Closed,
    /// It was still open when the time was up.
    Open,
    /// The peer reset it.
    Reset,
}

/// What came, and how the connection stood then.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// A TLS connection.
#[derive(Debug)]
pub struct Wire {
    tls: StreamOwned<ClientConnection, TcpStream>,
    nonblocking: bool,
}

impl Wire {
    /// Sends bytes, as one flight.
    ///
    /// # Errors
    /// The peer is gone, or did not take them within ten seconds.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.set_nonblocking(false)?;
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// Says how long a [`Wire::send`] may take before it is an error.
    ///
    /// # Errors
    /// The socket does not take the timeout.
    pub fn set_send_timeout(&mut self, within: Duration) -> io::Result<()> {
        self.tls.sock.set_write_timeout(Some(within))
    }

    /// Appends what comes within `within` to `into`, returning as soon as something has.
    pub fn receive(&mut self, into: &mut Vec<u8>, within: Duration) -> End {
        let timeout = within.max(Duration::from_millis(1));
        if self
            .set_nonblocking(false)
            .and_then(|()| self.tls.sock.set_read_timeout(Some(timeout)))
            .is_err()
        {
            return End::Reset;
        }
        self.read_once(into)
    }

    /// Appends what is already there to `into`, without waiting.
    pub fn poll(&mut self, into: &mut Vec<u8>) -> End {
        if self.set_nonblocking(true).is_err() {
            return End::Reset;
        }
        self.read_once(into)
    }

    /// Reads until the peer closes, `within` has passed or `most` bytes have come.
    pub fn read_to_end(&mut self, within: Duration, most: usize) -> Answer {
        let deadline = Instant::now() + within;
        let mut bytes = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || bytes.len() >= most {
                return Answer { bytes, end: End::Open };
            }
            match self.receive(&mut bytes, left) {
                End::Open => {}
                end => return Answer { bytes, end },
            }
        }
    }

    fn read_once(&mut self, into: &mut Vec<u8>) -> End {
        let mut buffer = [0_u8; 16_384];
        match self.tls.read(&mut buffer) {
            Ok(0) => End::Closed,
            Ok(length) => {
                into.extend_from_slice(buffer.get(..length).unwrap_or_default());
                End::Open
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => End::Open,
                // Closed without the TLS farewell.
                ErrorKind::UnexpectedEof => End::Closed,
                _ => End::Reset,
            },
        }
    }

    fn set_nonblocking(&mut self, nonblocking: bool) -> io::Result<()> {
        if self.nonblocking != nonblocking {
            self.tls.sock.set_nonblocking(nonblocking)?;
            self.nonblocking = nonblocking;
        }
        Ok(())
    }
}

fn config(alpn: &[u8]) -> io::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

/// Takes every certificate, but wants the handshake to be signed with its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How long a connection, a handshake or a write may take.
const PATIENCE: Duration = Duration::from_secs(10);
