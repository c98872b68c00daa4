//! Body processors: bytes of a request body in, named values out. Pure parsers without memory of their own beyond the body's size; the
//! engine calls them when a body is complete and stores what they find.

pub mod json;
pub mod multipart;
pub mod urlencoded;
pub mod xml;
mod xpath;

/// Why a body could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// JSON: not well formed at this byte.
    #[error("JSON parsing error: {what} at byte {at}")]
    Json {
        /// What was expected or found.
        what: &'static str,
        /// Where, counted from 0.
        at: usize,
    },
    /// Multipart: not as RFC 7578 has it.
    #[error("Multipart parsing error: Multipart: {0}")]
    Multipart(&'static str),
    /// XML: not well formed at this byte.
    #[error("XML parsing error: XML: {what} at byte {at}")]
    Xml {
        /// What was expected or found.
        what: &'static str,
        /// Where, counted from 0.
        at: usize,
    },
}
