//! Request methods.

use crate::Refusal;
use crate::token;
use std::fmt;

/// A request method that the appliance lets through (RFC 9110 section 9, RFC 5789). `CONNECT`, `TRACE` and everything unknown are
/// refused: what a method means decides how a message is framed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Method {
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

impl Method {
    /// Every method of the list.
    pub const ALL: [Self; 7] = [
        Self::Delete,
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Patch,
        Self::Post,
        Self::Put,
    ];

    /// Parses a method; letter case matters.
    ///
    /// # Errors
    /// [`Refusal::MethodToken`] for what is no token, [`Refusal::MethodUnknown`] for what is not in the list.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        Ok(match text {
            b"GET" => Self::Get,
            b"POST" => Self::Post,
            b"HEAD" => Self::Head,
            b"PUT" => Self::Put,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            _ if token::is_token(text) => return Err(Refusal::MethodUnknown),
            _ => return Err(Refusal::MethodToken),
        })
    }

    /// The method as it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    /// Whether a request of this method normally carries content, so that the absence of it is worth saying (`Content-Length: 0`,
    /// RFC 9110 section 8.6).
    #[must_use]
    pub const fn expects_content(self) -> bool {
        matches!(self, Self::Patch | Self::Post | Self::Put)
    }

    /// Whether the same request may be sent again when an upstream connection broke before the response (RFC 9110 section 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Patch | Self::Post)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
