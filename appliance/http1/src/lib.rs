//! A strict HTTP/1.1 codec, sans-io.
//!
//! What lives here: parsing of request heads (from clients), response heads (from upstreams), bodies and trailers, and the writers
//! that turn the parsed model back into bytes. It touches no socket, no clock and no configuration; the proxy calls it with the
//! bytes it read and sends the bytes it gets.
//!
//! The principles:
//! 1. **One reading.** `httparse` tokenises, the validator of this crate decides, and every byte of a head must be accounted for by
//!    both. What two honest implementations could read differently is refused, and every refusal closes the connection.
//! 2. **Nothing is copied through.** What is sent on is written from the model: the framing fields, `Host` and `Connection` are
//!    always made anew, hop-by-hop fields never pass, and only validated names and values have a type that a writer takes.
//! 3. **Every bound is explicit** ([`Limits`]), and holds before the bytes are looked at twice.
//! 4. **No allocation a field.** A head is one shared buffer and a list of ranges into it.
//!
//! ```
//! use redan_http1::{Framing, Limits, Persistence, RequestWriter, parse_request};
//!
//! let read = b"GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nConnection: X-Hop\r\nX-Hop: 1\r\nAccept: */*\r\n\r\n";
//! let parsed = parse_request(read, &Limits::default())?.ok_or("more bytes are needed")?;
//! let mut out = Vec::new();
//! let mut writer = RequestWriter::begin(&mut out, parsed.head.method(), parsed.head.target(), parsed.head.authority());
//! writer.forward(parsed.head.fields());
//! writer.finish(Framing::None, Persistence::KeepAlive);
//! assert_eq!(out, b"GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! RFC 9110 (semantics) and RFC 9112 (HTTP/1.1) are the sources; "section" without more means RFC 9112.
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod authority;
mod body;
mod field;
mod framing;
mod h2;
mod known;
mod limits;
mod method;
mod refusal;
mod request;
mod response;
mod scan;
mod status;
mod target;
mod token;
mod write;

pub use authority::Authority;
pub use body::{BodyDecoder, ContentCount, Piece, Progress};
pub use field::{Duplicate, Field, FieldError, FieldName, FieldValue, Fields};
pub use framing::{Framing, Persistence, ResponseFraming, Version};
pub use limits::Limits;
pub use method::Method;
pub use refusal::Refusal;
pub use request::{RequestHead, parse_request, take_request};
pub use response::{ResponseHead, parse_response, take_response};
pub use status::Status;
pub use target::{Form, Target};
pub use write::{
    FieldLines, RequestWriter, ResponseWriter, write_chunk, write_chunk_end, write_chunk_start, write_last_chunk,
};

/// A head and the number of bytes it took from the front of the input; what follows them is the body.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The head.
    pub head: T,
    /// Bytes of the input that belong to the head.
    pub consumed: usize,
}
