//! The smallest proxy that keeps the rules: the codec and the `h2` crate with limits, one upstream connection, deadlines of a second.
//! It shows that the attack clients can tell a refusal from a leak, before and beside the real proxy.

use bytes::Bytes;
use redan_http1::{
    BodyDecoder, ContentCount, Fields, Framing, Limits, Persistence, Piece, RequestHead, RequestWriter,
    ResponseFraming, ResponseWriter, Status, parse_request, parse_response, write_chunk, write_last_chunk,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const DEADLINE: Duration = Duration::from_secs(1);

type Pool = Arc<Mutex<Option<TcpStream>>>;

/// A request with its whole body.
struct Whole {
    head: RequestHead,
    body: Vec<u8>,
    trailers: Option<Fields>,
}

/// Starts the proxy on a thread of its own; it lasts as long as the process.
pub(crate) fn start(upstream: SocketAddr) -> SocketAddr {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der())),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let (acceptor, pool) = (TlsAcceptor::from(Arc::new(config)), Pool::default());
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, pool) = (acceptor.clone(), Arc::clone(&pool));
                tokio::spawn(async move {
                    let Ok(Ok(tls)) = timeout(DEADLINE, acceptor.accept(socket)).await else {
                        return;
                    };
                    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                        http2(tls, upstream, pool).await;
                    } else {
                        http1(tls, upstream, pool).await;
                    }
                });
            }
        });
    });
    address
}

async fn http1(mut tls: impl AsyncRead + AsyncWrite + Unpin, upstream: SocketAddr, pool: Pool) {
    let mut read = Vec::new();
    loop {
        let (mut out, mut closes) = (Vec::new(), true);
        match timeout(DEADLINE, next_request(&mut tls, &mut read)).await {
            Err(_) => error(&mut out, 408),
            Ok(Err(None)) => return,
            Ok(Err(Some(status))) => error(&mut out, status),
            Ok(Ok(whole)) if whole.head.authority().host.as_str() != "localhost" => error(&mut out, 421),
            Ok(Ok(whole)) => match forward(&whole, upstream, &pool).await {
                Some((status, body)) => {
                    closes = whole.head.persistence() == Persistence::Close;
                    let persistence = if closes {
                        Persistence::Close
                    } else {
                        Persistence::KeepAlive
                    };
                    ResponseWriter::begin(&mut out, status)
                        .finish(ResponseFraming::Length(body.len() as u64), persistence);
                    out.extend_from_slice(&body);
                }
                None => error(&mut out, 502),
            },
        }
        let sent = timeout(DEADLINE, tls.write_all(&out)).await;
        if !matches!(sent, Ok(Ok(()))) || tls.flush().await.is_err() {
            return;
        }
        if closes {
            let _ = tls.shutdown().await;
            // What is still coming is read for a while, since closing over it would reset the connection and take the answer away.
            let _ = timeout(DEADLINE / 4, tokio::io::copy(&mut tls, &mut tokio::io::sink())).await;
            return;
        }
    }
}

fn error(out: &mut Vec<u8>, status: u16) {
    ResponseWriter::begin(out, Status::new(status).unwrap()).finish(ResponseFraming::Length(0), Persistence::Close);
}

/// The next request, or the status of its refusal, or nothing when the connection ends.
async fn next_request(
    tls: &mut (impl AsyncRead + AsyncWrite + Unpin),
    read: &mut Vec<u8>,
) -> Result<Whole, Option<u16>> {
    let limits = Limits {
        body: 1 << 20,
        ..Limits::default()
    };
    let head = loop {
        match parse_request(read, &limits) {
            Err(refusal) => return Err(Some(refusal.status().code())),
            Ok(Some(parsed)) => {
                read.drain(..parsed.consumed);
                break parsed.head;
            }
            Ok(None) => more(tls, read).await?,
        }
    };
    if head.expects_continue() {
        tls.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .map_err(|_| None)?;
    }
    let (mut decoder, mut body) = (BodyDecoder::for_request(head.framing(), &limits), Vec::new());
    loop {
        let progress = decoder.decode(read).map_err(|refusal| Some(refusal.status().code()))?;
        if let Piece::Data(range) = &progress.piece {
            body.extend_from_slice(&read[range.clone()]);
        }
        read.drain(..progress.consumed);
        match progress.piece {
            Piece::End => {
                return Ok(Whole {
                    head,
                    body,
                    trailers: decoder.take_trailers(),
                });
            }
            Piece::Pending => more(tls, read).await?,
            Piece::Data(_) => {}
        }
    }
}

async fn more(from: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Result<(), Option<u16>> {
    match from.read_buf(read).await {
        Ok(0) | Err(_) => Err(None),
        Ok(_) => Ok(()),
    }
}

/// Sends a request on and gives its response.
async fn forward(whole: &Whole, upstream: SocketAddr, pool: &Pool) -> Option<(Status, Vec<u8>)> {
    let mut out = Vec::new();
    let mut writer = RequestWriter::begin(
        &mut out,
        whole.head.method(),
        whole.head.target(),
        whole.head.authority(),
    );
    writer.forward(whole.head.fields());
    writer.finish(whole.head.framing(), Persistence::KeepAlive);
    if whole.head.framing() == Framing::Chunked {
        write_chunk(&mut out, &whole.body);
        write_last_chunk(&mut out, whole.trailers.as_ref());
    } else {
        out.extend_from_slice(&whole.body);
    }
    let pooled = pool.lock().await.take();
    let mut socket = match pooled {
        Some(socket) => socket,
        None => TcpStream::connect(upstream).await.ok()?,
    };
    socket.write_all(&out).await.ok()?;
    let (limits, mut read) = (Limits::default(), Vec::new());
    let head = loop {
        match parse_response(&read, whole.head.method(), None, &limits).ok()? {
            Some(parsed) => {
                read.drain(..parsed.consumed);
                break parsed.head;
            }
            None => more(&mut socket, &mut read).await.ok()?,
        }
    };
    let (mut decoder, mut body) = (BodyDecoder::for_response(head.framing(), &limits), Vec::new());
    loop {
        let progress = decoder.decode(&read).ok()?;
        if let Piece::Data(range) = &progress.piece {
            body.extend_from_slice(&read[range.clone()]);
        }
        read.drain(..progress.consumed);
        match progress.piece {
            Piece::End => break,
            Piece::Pending => more(&mut socket, &mut read).await.ok()?,
            Piece::Data(_) => {}
        }
    }
    if read.is_empty() && head.persistence() == Persistence::KeepAlive && !whole.head.body_is_unusual() {
        *pool.lock().await = Some(socket);
    }
    Some((head.status(), body))
}

async fn http2(tls: impl AsyncRead + AsyncWrite + Unpin, upstream: SocketAddr, pool: Pool) {
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(100)
        .max_header_list_size(16_384)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(64))
        .handshake::<_, Bytes>(tls);
    let Ok(Ok(mut connection)) = timeout(DEADLINE, handshake).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move {
            let (parts, content) = request.into_parts();
            let (status, body) = match timeout(DEADLINE, gather(&parts, content)).await {
                Ok(Ok(whole)) if whole.head.authority().host.as_str() != "localhost" => (421, Vec::new()),
                Ok(Ok(whole)) => match forward(&whole, upstream, &pool).await {
                    Some((status, body)) => (status.code(), body),
                    None => (502, Vec::new()),
                },
                Ok(Err(Some(status))) => (status, Vec::new()),
                Ok(Err(None)) => return,
                Err(_) => (408, Vec::new()),
            };
            let response = http::Response::builder().status(status).body(()).unwrap();
            if let Ok(mut stream) = respond.send_response(response, body.is_empty())
                && !body.is_empty()
            {
                let _ = stream.send_data(body.into(), true);
            }
        });
    }
}

async fn gather(parts: &http::request::Parts, mut content: h2::RecvStream) -> Result<Whole, Option<u16>> {
    let limits = Limits::default();
    let refused = |refusal: redan_http1::Refusal| Some(refusal.status().code());
    let head = RequestHead::from_h2(parts, content.is_end_stream(), &limits).map_err(refused)?;
    let (mut count, mut body) = (ContentCount::new(head.framing()), Vec::new());
    while let Some(data) = content.data().await {
        let data = data.map_err(|_| None)?;
        count.add(data.len()).map_err(refused)?;
        let _ = content.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    count.finish().map_err(refused)?;
    let trailers = match content.trailers().await.map_err(|_| None)? {
        Some(map) => Some(Fields::from_h2_trailers(&map, &limits).map_err(refused)?),
        None => None,
    };
    Ok(Whole { head, body, trailers })
}
