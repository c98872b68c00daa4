//! The names of what rules can look at: variables and collections of the ModSecurity v3 reference manual.

/// How a variable is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// One value, or none.
    Single,
    /// Named values; a selector picks some.
    Many,
}

macro_rules! variables {
    ($($variant:ident $name:literal $shape:ident,)*) => {
        /// A variable or collection of the rule language.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub(crate) enum Variable { $(
            #[doc = $name]
            $variant,
        )* }

        impl Variable {
            /// Finds a variable by its name in rules, in any case.
            pub(crate) fn parse(name: &[u8]) -> Option<Self> {
                $( if name.eq_ignore_ascii_case($name.as_bytes()) { return Some(Self::$variant); } )*
                None
            }

            /// The name in rules.
            pub(crate) const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// Whether it is one value or a collection.
            pub(crate) const fn shape(self) -> Shape {
                match self { $( Self::$variant => Shape::$shape, )* }
            }
        }
    };
}

variables! {
    Args "ARGS" Many,
    ArgsCombinedSize "ARGS_COMBINED_SIZE" Single,
    ArgsGet "ARGS_GET" Many,
    ArgsGetNames "ARGS_GET_NAMES" Many,
    ArgsNames "ARGS_NAMES" Many,
    ArgsPost "ARGS_POST" Many,
    ArgsPostNames "ARGS_POST_NAMES" Many,
    AuthType "AUTH_TYPE" Single,
    Duration "DURATION" Single,
    Env "ENV" Many,
    Files "FILES" Many,
    FilesCombinedSize "FILES_COMBINED_SIZE" Single,
    FilesNames "FILES_NAMES" Many,
    FilesSizes "FILES_SIZES" Many,
    FilesTmpContent "FILES_TMP_CONTENT" Many,
    FilesTmpNames "FILES_TMPNAMES" Many,
    FullRequest "FULL_REQUEST" Single,
    FullRequestLength "FULL_REQUEST_LENGTH" Single,
    Geo "GEO" Many,
    Global "GLOBAL" Many,
    HighestSeverity "HIGHEST_SEVERITY" Single,
    InboundDataError "INBOUND_DATA_ERROR" Single,
    Ip "IP" Many,
    MatchedVar "MATCHED_VAR" Single,
    MatchedVarName "MATCHED_VAR_NAME" Single,
    MatchedVars "MATCHED_VARS" Many,
    MatchedVarsNames "MATCHED_VARS_NAMES" Many,
    ModsecBuild "MODSEC_BUILD" Single,
    MscPcreError "MSC_PCRE_ERROR" Single,
    MscPcreLimitsExceeded "MSC_PCRE_LIMITS_EXCEEDED" Single,
    MultipartBoundaryQuoted "MULTIPART_BOUNDARY_QUOTED" Single,
    MultipartBoundaryWhitespace "MULTIPART_BOUNDARY_WHITESPACE" Single,
    MultipartCrlfLfLines "MULTIPART_CRLF_LF_LINES" Single,
    MultipartDataAfter "MULTIPART_DATA_AFTER" Single,
    MultipartDataBefore "MULTIPART_DATA_BEFORE" Single,
    MultipartFileLimitExceeded "MULTIPART_FILE_LIMIT_EXCEEDED" Single,
    MultipartFilename "MULTIPART_FILENAME" Many,
    MultipartHeaderFolding "MULTIPART_HEADER_FOLDING" Single,
    MultipartInvalidHeaderFolding "MULTIPART_INVALID_HEADER_FOLDING" Single,
    MultipartInvalidPart "MULTIPART_INVALID_PART" Single,
    MultipartInvalidQuoting "MULTIPART_INVALID_QUOTING" Single,
    MultipartLfLine "MULTIPART_LF_LINE" Single,
    MultipartMissingSemicolon "MULTIPART_MISSING_SEMICOLON" Single,
    MultipartName "MULTIPART_NAME" Many,
    MultipartPartHeaders "MULTIPART_PART_HEADERS" Many,
    MultipartStrictError "MULTIPART_STRICT_ERROR" Single,
    MultipartUnmatchedBoundary "MULTIPART_UNMATCHED_BOUNDARY" Single,
    OutboundDataError "OUTBOUND_DATA_ERROR" Single,
    PathInfo "PATH_INFO" Single,
    PerfAll "PERF_ALL" Single,
    QueryString "QUERY_STRING" Single,
    RemoteAddr "REMOTE_ADDR" Single,
    RemoteHost "REMOTE_HOST" Single,
    RemotePort "REMOTE_PORT" Single,
    RemoteUser "REMOTE_USER" Single,
    ReqbodyError "REQBODY_ERROR" Single,
    ReqbodyErrorMsg "REQBODY_ERROR_MSG" Single,
    ReqbodyProcessor "REQBODY_PROCESSOR" Single,
    ReqbodyProcessorError "REQBODY_PROCESSOR_ERROR" Single,
    ReqbodyProcessorErrorMsg "REQBODY_PROCESSOR_ERROR_MSG" Single,
    RequestBasename "REQUEST_BASENAME" Single,
    RequestBody "REQUEST_BODY" Single,
    RequestBodyLength "REQUEST_BODY_LENGTH" Single,
    RequestCookies "REQUEST_COOKIES" Many,
    RequestCookiesNames "REQUEST_COOKIES_NAMES" Many,
    RequestFilename "REQUEST_FILENAME" Single,
    RequestHeaders "REQUEST_HEADERS" Many,
    RequestHeadersNames "REQUEST_HEADERS_NAMES" Many,
    RequestLine "REQUEST_LINE" Single,
    RequestMethod "REQUEST_METHOD" Single,
    RequestProtocol "REQUEST_PROTOCOL" Single,
    RequestUri "REQUEST_URI" Single,
    RequestUriRaw "REQUEST_URI_RAW" Single,
    Resource "RESOURCE" Many,
    ResponseBody "RESPONSE_BODY" Single,
    ResponseContentLength "RESPONSE_CONTENT_LENGTH" Single,
    ResponseContentType "RESPONSE_CONTENT_TYPE" Single,
    ResponseHeaders "RESPONSE_HEADERS" Many,
    ResponseHeadersNames "RESPONSE_HEADERS_NAMES" Many,
    ResponseProtocol "RESPONSE_PROTOCOL" Single,
    ResponseStatus "RESPONSE_STATUS" Single,
    Rule "RULE" Many,
    ScriptFilename "SCRIPT_FILENAME" Single,
    ServerAddr "SERVER_ADDR" Single,
    ServerName "SERVER_NAME" Single,
    ServerPort "SERVER_PORT" Single,
    Session "SESSION" Many,
    SessionId "SESSIONID" Single,
    StatusLine "STATUS_LINE" Single,
    StreamInputBody "STREAM_INPUT_BODY" Single,
    StreamOutputBody "STREAM_OUTPUT_BODY" Single,
    Time "TIME" Single,
    TimeDay "TIME_DAY" Single,
    TimeEpoch "TIME_EPOCH" Single,
    TimeHour "TIME_HOUR" Single,
    TimeMin "TIME_MIN" Single,
    TimeMon "TIME_MON" Single,
    TimeSec "TIME_SEC" Single,
    TimeWday "TIME_WDAY" Single,
    TimeYear "TIME_YEAR" Single,
    Tx "TX" Many,
    UniqueId "UNIQUE_ID" Single,
    UrlencodedError "URLENCODED_ERROR" Single,
    User "USER" Many,
    UserAgentIp "USERAGENT_IP" Single,
    UserId "USERID" Single,
    WebAppId "WEBAPPID" Single,
    WebserverErrorLog "WEBSERVER_ERROR_LOG" Single,
    Xml "XML" Many,
}

impl Variable {
    /// How many variables there are.
    pub(crate) const COUNT: usize = Self::Xml as usize + 1;

    /// The variable's place in a table of all of them.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Whether rules themselves change it while they run, so that what was read once may not be read again from a cache.
    pub(crate) const fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::Duration
                | Self::Env
                | Self::Global
                | Self::HighestSeverity
                | Self::Ip
                | Self::MatchedVar
                | Self::MatchedVarName
                | Self::MatchedVars
                | Self::MatchedVarsNames
                | Self::MscPcreError
                | Self::MscPcreLimitsExceeded
                | Self::ReqbodyProcessor
                | Self::Resource
                | Self::Rule
                | Self::Session
                | Self::SessionId
                | Self::Tx
                | Self::User
                | Self::UserId
        )
    }

    /// What is complete at one time changes at one time: a bit for each such part of a transaction.
    pub(crate) const fn domain(self) -> u8 {
        match self {
            Self::ArgsGet
            | Self::ArgsGetNames
            | Self::AuthType
            | Self::PathInfo
            | Self::QueryString
            | Self::RemoteAddr
            | Self::RemoteHost
            | Self::RemotePort
            | Self::RequestBasename
            | Self::RequestCookies
            | Self::RequestCookiesNames
            | Self::RequestFilename
            | Self::RequestHeaders
            | Self::RequestHeadersNames
            | Self::RequestLine
            | Self::RequestMethod
            | Self::RequestProtocol
            | Self::RequestUri
            | Self::RequestUriRaw
            | Self::ServerAddr
            | Self::ServerName
            | Self::ServerPort
            | Self::UniqueId => Self::HEAD,
            Self::Args
            | Self::ArgsNames
            | Self::ArgsPost
            | Self::ArgsPostNames
            | Self::Files
            | Self::FilesNames
            | Self::FilesSizes
            | Self::FilesTmpContent
            | Self::FilesTmpNames
            | Self::MultipartFilename
            | Self::MultipartName
            | Self::MultipartPartHeaders
            | Self::RequestBody
            | Self::Xml => Self::BODY,
            _ => Self::PHASE,
        }
    }

    /// Complete with the request's headers.
    pub(crate) const HEAD: u8 = 1;
    /// Changes once more if there is a request body.
    pub(crate) const BODY: u8 = 2;
    /// May change between any two phases.
    pub(crate) const PHASE: u8 = 4;
}
