//! What the fields of a head say about the message's body and the connection.

use crate::field::Entry;
use crate::known::{self, Known};
use crate::{Refusal, token};

/// The version of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How the end of a request's body is found (section 6.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Framing {
    /// In chunks; its length is not known before its end, and trailers may follow.
    Chunked,
    /// By its length in bytes, which may be 0.
    Length(u64),
    /// There is none.
    None,
}

impl Framing {
    /// Whether bytes of a body follow the head.
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// How the end of a response's body is found (section 6.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ResponseFraming {
    /// In chunks.
    Chunked,
    /// By its length in bytes.
    Length(u64),
    /// There is none, whatever the fields say: 1xx, 204, 304, and every response to `HEAD`.
    None {
        /// The length that the body would have (`HEAD` and 304), where it was said.
        announced: Option<u64>,
    },
    /// By the end of the connection.
    UntilClose,
}

impl ResponseFraming {
    /// The framing with which the same body goes to a client of `version`: HTTP/1.0 knows no chunks, and HTTP/1.1 can do better than
    /// closing the connection.
    #[must_use]
    pub const fn towards(self, version: Version) -> Self {
        match (self, version) {
            (Self::Chunked, Version::Http10) => Self::UntilClose,
            (Self::UntilClose, Version::Http11) => Self::Chunked,
            _ => self,
        }
    }

    /// Whether bytes of a body may follow the head.
    #[must_use]
    pub const fn has_body(self) -> bool {
        !matches!(self, Self::None { .. } | Self::Length(0))
    }
}

/// What becomes of the connection after the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Persistence<T = ()> {
    /// It ends.
    Close,
    /// Another message may follow.
    KeepAlive,
    /// It changes to another protocol. A writer needs to know which; what was parsed has it elsewhere.
    Upgrade(T),
}

/// The fields that the codec acts on, read in one pass.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    asks_upgrade: bool,
    /// The index of the only `Host`.
    pub(crate) host: Option<usize>,
    upgrade: Option<usize>,
    expects_continue: bool,
    authorization: bool,
    content_type: bool,
    repeats: bool,
}

impl Signals {
    /// Reads the fields, and marks those that `Connection` lists.
    pub(crate) fn read(bytes: &[u8], entries: &mut [Entry]) -> Result<Self, Refusal> {
        let mut signals = Self::default();
        let mut lists_names = false;
        let mut expect = false;
        for (index, entry) in entries.iter().enumerate() {
            let value = entry.value(bytes);
            match entry.known {
                Known::Other => {
                    if Known::is_imitated_by(entry.name(bytes)) {
                        return Err(Refusal::FieldNameLookAlike);
                    }
                }
                Known::Authorization => signals.repeats |= std::mem::replace(&mut signals.authorization, true),
                Known::ContentType => signals.repeats |= std::mem::replace(&mut signals.content_type, true),
                Known::Host => {
                    if signals.host.replace(index).is_some() {
                        return Err(Refusal::HostRepeated);
                    }
                }
                Known::ContentLength => {
                    let number = token::decimal(value).ok_or(Refusal::ContentLengthInvalid)?;
                    if signals.length.replace(number).is_some() {
                        return Err(Refusal::ContentLengthRepeated);
                    }
                }
                Known::TransferEncoding => {
                    if signals.chunked {
                        return Err(Refusal::TransferEncodingRepeated);
                    }
                    if !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Refusal::TransferEncodingUnsupported);
                    }
                    signals.chunked = true;
                }
                Known::Connection => lists_names |= signals.connection(value)?,
                Known::Upgrade => {
                    let good = token::list(value).all(is_protocol) && token::list(value).next().is_some();
                    if !good || signals.upgrade.replace(index).is_some() {
                        return Err(Refusal::UpgradeInvalid);
                    }
                }
                Known::Expect => {
                    if expect {
                        return Err(Refusal::FieldRepeated);
                    }
                    expect = true;
                    signals.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                    if !signals.expects_continue {
                        return Err(Refusal::ExpectationUnsupported);
                    }
                }
                Known::Http2Settings
                | Known::KeepAlive
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
                | Known::ProxyConnection
                | Known::Te
                | Known::Trailer => {}
            }
        }
        if lists_names {
            mark_listed(bytes, entries)?;
        }
        if signals.chunked && signals.length.is_some() {
            return Err(Refusal::ContentLengthWithTransferEncoding);
        }
        Ok(signals)
    }

    /// Reads one `Connection` value; says whether it lists names of fields.
    fn connection(&mut self, value: &[u8]) -> Result<bool, Refusal> {
        let mut lists_names = false;
        for (count, option) in token::list(value).enumerate() {
            if count >= CONNECTION_OPTIONS || !token::is_token(option) {
                return Err(Refusal::ConnectionInvalid);
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.asks_upgrade = true;
            } else if !option.eq_ignore_ascii_case(b"keep-alive") {
                if known::is_end_to_end(option) {
                    return Err(Refusal::ConnectionListsEndToEnd);
                }
                lists_names = true;
            }
        }
        Ok(lists_names)
    }

    /// Refuses a request in which a field stands twice that decides who asks or what the content is: of two, the application might read
    /// the one that was not looked at. Responses are not held to this: there the client decides, and none is asked for access.
    pub(crate) const fn singular(&self) -> Result<(), Refusal> {
        if self.repeats {
            Err(Refusal::FieldRepeated)
        } else {
            Ok(())
        }
    }

    /// The framing of a request (section 6.3). Without a length and without chunks there is no body.
    pub(crate) fn request_framing(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.chunked, self.length) {
            (true, _) if version == Version::Http10 => Err(Refusal::TransferEncodingInOldVersion),
            (true, _) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::None),
        }
    }

    /// The framing of a response that may have a body. Without a length and without chunks it lasts until the connection ends.
    pub(crate) fn response_framing(&self, version: Version) -> Result<ResponseFraming, Refusal> {
        match (self.chunked, self.length) {
            (true, _) if version == Version::Http10 => Err(Refusal::TransferEncodingInOldVersion),
            (true, _) => Ok(ResponseFraming::Chunked),
            (false, Some(length)) => Ok(ResponseFraming::Length(length)),
            (false, None) => Ok(ResponseFraming::UntilClose),
        }
    }

    /// The length said, where one was said.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether a transfer coding was said.
    pub(crate) const fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// Whether the peer wants the connection to end, or its version has no other way.
    pub(crate) fn closes(&self, version: Version) -> bool {
        self.close || version == Version::Http10
    }

    /// The index of the `Upgrade` field, where `Connection` says that it is meant. HTTP/1.0 has no upgrade (RFC 9110 section 7.8).
    pub(crate) fn upgrade(&self, version: Version) -> Option<usize> {
        self.upgrade.filter(|_| self.asks_upgrade && version == Version::Http11)
    }

    /// Whether the peer waits for 100 before it sends its body. HTTP/1.0 cannot ask (RFC 9110 section 10.1.1).
    pub(crate) fn expects_continue(&self, version: Version) -> bool {
        self.expects_continue && version == Version::Http11
    }
}

/// Marks the fields that the `Connection` fields list. The work is bounded by [`CONNECTION_OPTIONS`] for all of them together.
fn mark_listed(bytes: &[u8], entries: &mut [Entry]) -> Result<(), Refusal> {
    let mut options: smallvec::SmallVec<[&[u8]; CONNECTION_OPTIONS]> = smallvec::SmallVec::new();
    for entry in entries.iter().filter(|entry| entry.known == Known::Connection) {
        options.extend(token::list(entry.value(bytes)));
        if options.len() > CONNECTION_OPTIONS {
            return Err(Refusal::ConnectionInvalid);
        }
    }
    for entry in entries {
        let name = entry.name(bytes);
        entry.listed = options
            .iter()
            .any(|option| option.len() == name.len() && option.eq_ignore_ascii_case(name));
    }
    Ok(())
}

/// `protocol-name [ "/" protocol-version ]` (RFC 9110 section 7.8).
fn is_protocol(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |b| *b == b'/');
    parts.next().is_some_and(token::is_token) && parts.next().is_none_or(token::is_token)
}

/// Options in all `Connection` fields of a head. Real ones have one to three; each costs a comparison with every field.
const CONNECTION_OPTIONS: usize = 16;
