//! Why a message is refused.

use crate::Status;

/// Why a message is refused: a variant for each rule. Every refusal ends the connection, since nothing after the refused bytes can be
/// trusted to begin where it seems to.
///
/// The texts name the rule only; no byte of the message appears in them, so they are safe to log and to count. A client should be
/// told [`Refusal::status`] and nothing else. For an upstream's response the status to send is always 502.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    // --- the head as a whole ---
    /// A line feed without a carriage return before it.
    #[error("a line ends in a bare line feed")]
    BareLineFeed,
    /// A carriage return without a line feed after it.
    #[error("a carriage return stands without a line feed")]
    BareCarriageReturn,
    /// A head begins with an empty line.
    #[error("an empty line stands before the head")]
    LeadingEmptyLine,
    /// The head has more bytes than [`crate::Limits::head`].
    #[error("the head is too long")]
    HeadTooLong,
    /// A line has more bytes than [`crate::Limits::line`].
    #[error("a line is too long")]
    LineTooLong,
    /// More fields than [`crate::Limits::fields`].
    #[error("there are too many fields")]
    TooManyFields,
    /// The tokeniser and the validator disagree, or neither can say what is wrong.
    #[error("the head cannot be read in only one way")]
    Ambiguous,

    // --- the request line ---
    /// Not `method SP request-target SP HTTP-version`.
    #[error("the request line is malformed")]
    RequestLine,
    /// The method has characters that no token has.
    #[error("the method is not a token")]
    MethodToken,
    /// The method is not one that the appliance lets through.
    #[error("the method is not supported")]
    MethodUnknown,
    /// The version is not `HTTP/1.1` or `HTTP/1.0`.
    #[error("the version is not supported")]
    VersionUnsupported,
    /// The request target has more bytes than [`crate::Limits::target`].
    #[error("the request target is too long")]
    TargetTooLong,
    /// The target has a control, a space, a fragment or a byte outside ASCII.
    #[error("the request target has a character that it may not have")]
    TargetCharacter,
    /// The target is none of origin-form, absolute-form (http, https) and asterisk-form with `OPTIONS`.
    #[error("the request target has a form that is not allowed")]
    TargetForm,
    /// The authority of an absolute-form target is not the one of `Host`.
    #[error("the authority of the target is not that of the Host field")]
    TargetAuthority,

    // --- fields ---
    /// A field line starts with a space or tab (obs-fold), or does so where a field name is expected.
    #[error("a line is folded")]
    ObsFold,
    /// A line without a colon.
    #[error("a field line has no colon")]
    FieldWithoutColon,
    /// Nothing before the colon.
    #[error("a field has no name")]
    FieldNameEmpty,
    /// A space or tab before the colon.
    #[error("a space stands between a field's name and its colon")]
    SpaceBeforeColon,
    /// A character in a name that is no `tchar`.
    #[error("a field name has a character that no token has")]
    FieldNameCharacter,
    /// A name that becomes one of the framing names when hyphens and underscores are taken for the same.
    #[error("a field name imitates a framing field with underscores")]
    FieldNameLookAlike,
    /// A control character (NUL among them) in a value.
    #[error("a field value has a control character")]
    FieldValueCharacter,
    /// A field that may stand once stands twice.
    #[error("a field that may stand once is repeated")]
    FieldRepeated,

    // --- host ---
    /// No `Host` field.
    #[error("the Host field is missing")]
    HostMissing,
    /// More than one `Host` field.
    #[error("the Host field is repeated")]
    HostRepeated,
    /// The value is no host name or address with an optional port.
    #[error("the Host field is not a host with an optional port")]
    HostInvalid,

    // --- framing ---
    /// `Content-Length` twice, equal or not.
    #[error("Content-Length is repeated")]
    ContentLengthRepeated,
    /// Not digits only, a list, or more than 2^63.
    #[error("Content-Length is not a number")]
    ContentLengthInvalid,
    /// The content of an HTTP/2 request has another length than announced.
    #[error("the content has another length than Content-Length says")]
    ContentLengthMismatch,
    /// `Content-Length` together with `Transfer-Encoding`.
    #[error("Content-Length and Transfer-Encoding stand together")]
    ContentLengthWithTransferEncoding,
    /// `Transfer-Encoding` twice.
    #[error("Transfer-Encoding is repeated")]
    TransferEncodingRepeated,
    /// Any transfer coding but exactly `chunked`.
    #[error("the transfer coding is not exactly chunked")]
    TransferEncodingUnsupported,
    /// `Transfer-Encoding` in an HTTP/1.0 message.
    #[error("Transfer-Encoding stands in an HTTP/1.0 message")]
    TransferEncodingInOldVersion,
    /// A response that has no body announces one (1xx or 204 with a length or a transfer coding).
    #[error("a response without a body announces one")]
    BodyNotAllowed,

    // --- connection ---
    /// `Connection` is not a list of tokens, or lists more than 16.
    #[error("the Connection field is not a short list of tokens")]
    ConnectionInvalid,
    /// `Connection` lists a field that is meant for all recipients.
    #[error("the Connection field lists an end-to-end field")]
    ConnectionListsEndToEnd,
    /// An expectation other than `100-continue`.
    #[error("the expectation is not supported")]
    ExpectationUnsupported,
    /// `Upgrade` is no list of protocols, or stands twice.
    #[error("the Upgrade field is invalid")]
    UpgradeInvalid,
    /// `Upgrade` in a request with a body.
    #[error("an upgrade is asked for in a request with a body")]
    UpgradeWithBody,
    /// A 101 response that nobody asked for, or to another protocol.
    #[error("the upstream switches protocols without being asked")]
    UpgradeUnasked,

    // --- body ---
    /// The chunk size is not 1 to 16 hexadecimal digits.
    #[error("a chunk size is not 1 to 16 hexadecimal digits")]
    ChunkSize,
    /// Something stands between a chunk size and the end of its line.
    #[error("a chunk has an extension")]
    ChunkExtension,
    /// A chunk line or chunk data does not end in CRLF.
    #[error("a chunk does not end in CRLF")]
    ChunkEnd,
    /// The content is, or is announced to be, longer than [`crate::Limits::body`].
    #[error("the body is too long")]
    BodyTooLong,
    /// The trailer section has more bytes than [`crate::Limits::trailers`] or more fields than [`crate::Limits::trailer_fields`].
    #[error("the trailer section is too long")]
    TrailersTooLong,
    /// A field that may not stand in a trailer section.
    #[error("a field stands in the trailers that may not stand there")]
    TrailerForbidden,
    /// The connection ended before the body did.
    #[error("the body ends early")]
    BodyTruncated,

    // --- responses ---
    /// Not `HTTP-version SP status-code SP [reason-phrase]`, or a code outside 100 to 599.
    #[error("the status line is malformed")]
    StatusLine,

    // --- HTTP/2 requests on their way to HTTP/1.1 ---
    /// A required pseudo-header is missing, or has a form that the method or the connection does not allow.
    #[error("a pseudo-header is missing or invalid")]
    PseudoHeader,
    /// `:authority` is not what the `host` field says.
    #[error("the authority and the host field differ")]
    AuthorityMismatch,
    /// A connection-specific field (RFC 9113 section 8.2.2).
    #[error("a connection-specific field stands in an HTTP/2 message")]
    ConnectionSpecificField,
}

impl Refusal {
    /// The status that tells a client about its mistake.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::BodyTooLong => Status(413),
            Self::TargetTooLong => Status(414),
            Self::ExpectationUnsupported => Status(417),
            Self::HeadTooLong | Self::LineTooLong | Self::TooManyFields | Self::TrailersTooLong => Status(431),
            Self::MethodUnknown | Self::TransferEncodingUnsupported => Status(501),
            Self::VersionUnsupported => Status(505),
            _ => Status(400),
        }
    }

    /// A short name that stays the same, for logs and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::AuthorityMismatch => "authority-mismatch",
            Self::BareCarriageReturn => "bare-cr",
            Self::BareLineFeed => "bare-lf",
            Self::BodyNotAllowed => "body-not-allowed",
            Self::BodyTooLong => "body-too-long",
            Self::BodyTruncated => "body-truncated",
            Self::ChunkEnd => "chunk-end",
            Self::ChunkExtension => "chunk-extension",
            Self::ChunkSize => "chunk-size",
            Self::ConnectionInvalid => "connection-invalid",
            Self::ConnectionListsEndToEnd => "connection-lists-end-to-end",
            Self::ConnectionSpecificField => "connection-specific-field",
            Self::ContentLengthInvalid => "content-length-invalid",
            Self::ContentLengthMismatch => "content-length-mismatch",
            Self::ContentLengthRepeated => "content-length-repeated",
            Self::ContentLengthWithTransferEncoding => "content-length-with-transfer-encoding",
            Self::ExpectationUnsupported => "expectation-unsupported",
            Self::FieldNameCharacter => "field-name-character",
            Self::FieldNameEmpty => "field-name-empty",
            Self::FieldNameLookAlike => "field-name-look-alike",
            Self::FieldRepeated => "field-repeated",
            Self::FieldValueCharacter => "field-value-character",
            Self::FieldWithoutColon => "field-without-colon",
            Self::HeadTooLong => "head-too-long",
            Self::HostInvalid => "host-invalid",
            Self::HostMissing => "host-missing",
            Self::HostRepeated => "host-repeated",
            Self::LeadingEmptyLine => "leading-empty-line",
            Self::LineTooLong => "line-too-long",
            Self::MethodToken => "method-token",
            Self::MethodUnknown => "method-unknown",
            Self::ObsFold => "obs-fold",
            Self::PseudoHeader => "pseudo-header",
            Self::RequestLine => "request-line",
            Self::SpaceBeforeColon => "space-before-colon",
            Self::StatusLine => "status-line",
            Self::TargetAuthority => "target-authority",
            Self::TargetCharacter => "target-character",
            Self::TargetForm => "target-form",
            Self::TargetTooLong => "target-too-long",
            Self::TooManyFields => "too-many-fields",
            Self::TrailerForbidden => "trailer-forbidden",
            Self::TrailersTooLong => "trailers-too-long",
            Self::TransferEncodingInOldVersion => "transfer-encoding-in-old-version",
            Self::TransferEncodingRepeated => "transfer-encoding-repeated",
            Self::TransferEncodingUnsupported => "transfer-encoding-unsupported",
            Self::UpgradeInvalid => "upgrade-invalid",
            Self::UpgradeUnasked => "upgrade-unasked",
            Self::UpgradeWithBody => "upgrade-with-body",
            Self::VersionUnsupported => "version-unsupported",
        }
    }
}
