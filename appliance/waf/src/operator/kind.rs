//! The names of operators.

/// An operator, without its argument.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the variants are the operators' names")]
pub enum OperatorKind {
    BeginsWith,
    Contains,
    ContainsWord,
    DetectSqli,
    DetectXss,
    EndsWith,
    Eq,
    FuzzyHash,
    Ge,
    GeoLookup,
    GsbLookup,
    Gt,
    InspectFile,
    IpMatch,
    IpMatchFromFile,
    Le,
    Lt,
    NoMatch,
    Pm,
    PmFromFile,
    Rbl,
    Rsub,
    Rx,
    RxGlobal,
    StrEq,
    StrMatch,
    UnconditionalMatch,
    ValidateByteRange,
    ValidateDtd,
    ValidateHash,
    ValidateSchema,
    ValidateUrlEncoding,
    ValidateUtf8Encoding,
    VerifyCc,
    VerifyCpf,
    VerifySsn,
    VerifySvnr,
    Within,
}

const NAMES: [(&str, OperatorKind); 40] = {
    use OperatorKind as K;
    [
        ("beginsWith", K::BeginsWith),
        ("contains", K::Contains),
        ("containsWord", K::ContainsWord),
        ("detectSQLi", K::DetectSqli),
        ("detectXSS", K::DetectXss),
        ("endsWith", K::EndsWith),
        ("eq", K::Eq),
        ("fuzzyHash", K::FuzzyHash),
        ("ge", K::Ge),
        ("geoLookup", K::GeoLookup),
        ("gsbLookup", K::GsbLookup),
        ("gt", K::Gt),
        ("inspectFile", K::InspectFile),
        ("ipMatch", K::IpMatch),
        ("ipMatchFromFile", K::IpMatchFromFile),
        ("ipMatchF", K::IpMatchFromFile),
        ("le", K::Le),
        ("lt", K::Lt),
        ("noMatch", K::NoMatch),
        ("pm", K::Pm),
        ("pmFromFile", K::PmFromFile),
        ("pmf", K::PmFromFile),
        ("rbl", K::Rbl),
        ("rsub", K::Rsub),
        ("rx", K::Rx),
        ("rxGlobal", K::RxGlobal),
        ("streq", K::StrEq),
        ("strmatch", K::StrMatch),
        ("unconditionalMatch", K::UnconditionalMatch),
        ("validateByteRange", K::ValidateByteRange),
        ("validateDTD", K::ValidateDtd),
        ("validateHash", K::ValidateHash),
        ("validateSchema", K::ValidateSchema),
        ("validateUrlEncoding", K::ValidateUrlEncoding),
        ("validateUtf8Encoding", K::ValidateUtf8Encoding),
        ("verifyCC", K::VerifyCc),
        ("verifyCPF", K::VerifyCpf),
        ("verifySSN", K::VerifySsn),
        ("verifySVNR", K::VerifySvnr),
        ("within", K::Within),
    ]
};

impl OperatorKind {
    /// The operator of this name, whatever the case of its letters.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, kind)| *kind)
    }

    /// The name in SecLang.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }

    /// Why this engine does not have the operator, if it does not.
    pub(super) const fn unsupported(self) -> Option<&'static str> {
        Some(match self {
            Self::FuzzyHash => "it compares with a list of ssdeep digests, which nothing here computes",
            Self::GsbLookup => "its service has been shut down",
            Self::InspectFile => "it runs a program on the uploaded file, and the data path starts none",
            Self::Rsub => "it changes the body that is passed on",
            Self::ValidateDtd | Self::ValidateSchema => "documents are parsed without their schemas",
            Self::ValidateHash => "links are not signed here",
            _ => return None,
        })
    }
}
