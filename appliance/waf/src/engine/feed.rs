//! Phases as callers come to them: ends of headers, pieces and ends of bodies, the log.

use super::{Bag, Exceeded, Intervention, Stop, Transaction, Variable, Word, request::Arguments};
use crate::{
    body::{BodyError, json, multipart},
    seclang::{BodyLimitAction, EngineMode, Settings, XmlArgs},
};

impl Transaction {
    /// The request headers are complete: phase 1.
    pub fn request_headers_end(&mut self) -> Option<Intervention> {
        self.versions.advance(Variable::HEAD);
        self.run(1);
        self.intervention.clone()
    }

    /// Whether pieces of the request body are wanted.
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        !self.is_off() && self.request_body.access && !self.request_body.truncated
    }

    /// A piece of the request body. What is beyond the limit is refused, or passes without being looked at, as configured.
    pub fn request_body(&mut self, piece: &[u8]) -> Option<Intervention> {
        if self.wants_request_body() && self.intervention.is_none() {
            self.request_body.take(&mut self.texts, piece);
            if self.request_body.truncated {
                self.request_too_long();
            }
        }
        self.intervention.clone()
    }

    fn request_too_long(&mut self) {
        self.set_number(Variable::InboundDataError, 1);
        let action = self.rules.settings.request_body_limit_action;
        self.too_long(action, Exceeded::RequestBody);
    }

    /// A body is longer than its limit. No rule is asked; where nothing is stopped, it is only noted.
    fn too_long(&mut self, action: BodyLimitAction, what: Exceeded) {
        if action != BodyLimitAction::Reject || self.is_off() {
            return;
        }
        self.exceeded.get_or_insert(what);
        if self.mode == EngineMode::On {
            let (status, phase) = match what {
                Exceeded::RequestBody => (413, 2),
                Exceeded::ResponseBody => (500, 4),
            };
            self.intervention = Some(Intervention {
                status,
                stop: Stop::Deny,
                rule: 0,
                phase,
            });
        }
    }

    /// The request body is complete, or there is none: the body is read, then phase 2.
    pub fn request_body_end(&mut self) -> Option<Intervention> {
        if self.intervention.is_some() || self.is_off() {
            return self.intervention.clone();
        }
        if !self.request_body.done {
            self.request_body.done = true;
            self.read_request_body();
        }
        self.run(2);
        self.intervention.clone()
    }

    fn read_request_body(&mut self) {
        let start = self.request_body.start.unwrap_or_else(|| self.texts.end());
        let length = self.request_body.length;
        self.set_number(Variable::RequestBodyLength, i64::try_from(length).unwrap_or(i64::MAX));
        if !self.request_body.access {
            return;
        }
        // A body that is not there has no form that could be wrong.
        if length == 0 {
            return;
        }
        let processor = match self.fields.single(Variable::ReqbodyProcessor) {
            Some(Word::Text(text)) => self.texts.get(text).to_vec(),
            _ => Vec::new(),
        };
        self.versions.advance(Variable::BODY);
        let body = self.texts.adopt(start);
        self.fields.set(Variable::StreamInputBody, Word::Text(body));
        let bytes = self.texts.get(body).to_vec();
        let no_files_limit = self.rules.settings.request_body_no_files_limit;
        if processor != b"MULTIPART" && length > no_files_limit {
            self.request_too_long();
            if self.intervention.is_some() {
                return;
            }
        }
        let read = match processor.as_slice() {
            b"URLENCODED" => {
                self.fields.set(Variable::RequestBody, Word::Text(body));
                self.arguments(Bag::ArgsPost, &bytes);
                Ok(())
            }
            b"MULTIPART" => self.read_multipart(&bytes),
            b"JSON" => {
                self.fields.set(Variable::RequestBody, Word::Text(body));
                self.read_json(&bytes)
            }
            b"XML" => self.read_xml(&bytes),
            _ => Ok(()),
        };
        // The raw body is no variable of its own where it was multipart or XML, as in ModSecurity 2 and as the Core Rule Set's tests
        // expect: rules that look at it would report uploads, and again what the `XML` collection already shows.
        if self.force_request_body || processor.is_empty() {
            self.fields.set(Variable::RequestBody, Word::Text(body));
        }
        if let Err(error) = read {
            let text = error.to_string();
            for variable in [Variable::ReqbodyError, Variable::ReqbodyProcessorError] {
                self.set_number(variable, 1);
            }
            for variable in [Variable::ReqbodyErrorMsg, Variable::ReqbodyProcessorErrorMsg] {
                self.set_text(variable, text.as_bytes());
            }
        }
    }

    fn read_json(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let Settings {
            json_depth_limit,
            arguments_limit,
            ..
        } = self.rules.settings;
        let mut arguments = Arguments::new(&mut self.texts, &mut self.fields, arguments_limit);
        let read = json::leaves(body, json_depth_limit, &mut |name, value| {
            arguments.add(Bag::ArgsPost, name, value);
        });
        let size = arguments.size;
        self.add_argument_size(size);
        read
    }

    fn read_xml(&mut self, body: &[u8]) -> Result<(), BodyError> {
        self.xml.read(body)?;
        if self.xml_args == XmlArgs::Off {
            return Ok(());
        }
        let mut arguments = Arguments::new(&mut self.texts, &mut self.fields, self.rules.settings.arguments_limit);
        self.xml
            .leaves(&mut |name, value| arguments.add(Bag::ArgsPost, name, value));
        let size = arguments.size;
        if self.xml_args == XmlArgs::Only {
            self.xml.clear();
        }
        self.add_argument_size(size);
        Ok(())
    }

    fn read_multipart(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let content_type = self
            .fields
            .bag(Bag::RequestHeaders)
            .iter()
            .find_map(|header| match header.value {
                Word::Text(value) if self.texts.get(header.key).eq_ignore_ascii_case(b"content-type") => Some(value),
                _ => None,
            });
        let content_type = content_type
            .map(|value| self.texts.get(value).to_vec())
            .unwrap_or_default();
        let read = multipart::read(&content_type, body, self.rules.settings.upload_file_limit);
        let mut files_size = 0_usize;
        let mut size = 0;
        let limit = self.rules.settings.arguments_limit;
        let keep_files = self.rules.settings.keep_files == crate::seclang::Switch::On;
        for part in &read.parts {
            let name = self.texts.intern(&part.name);
            for header in &part.headers {
                let header = self.texts.intern(header);
                self.fields.push(Bag::MultipartPartHeaders, name, Word::Text(header));
            }
            // A part with an empty file name is both: servers differ in what they take it for.
            if part.filename.as_ref().is_none_or(Vec::is_empty) {
                let mut arguments = Arguments::new(&mut self.texts, &mut self.fields, limit);
                arguments.add(Bag::ArgsPost, &part.name, part.content);
                size += arguments.size;
            }
            let Some(filename) = &part.filename else { continue };
            let filename = self.texts.intern(filename);
            let length = i64::try_from(part.content.len()).unwrap_or(i64::MAX);
            files_size = files_size.saturating_add(part.content.len());
            self.fields.push(Bag::Files, name, Word::Text(filename));
            self.fields.push(Bag::FilesNames, name, Word::Text(name));
            self.fields.push(Bag::FilesSizes, name, Word::Number(length));
            self.fields.push(Bag::MultipartFilename, name, Word::Text(filename));
            self.fields.push(Bag::MultipartName, name, Word::Text(name));
            if keep_files {
                let content = self.texts.intern(part.content);
                self.fields.push(Bag::FilesTmpContent, name, Word::Text(content));
            }
        }
        self.add_argument_size(size);
        self.set_number(
            Variable::FilesCombinedSize,
            i64::try_from(files_size).unwrap_or(i64::MAX),
        );
        self.set_multipart_flags(&read.flags, read.error.is_some());
        match read.error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn set_multipart_flags(&mut self, flags: &multipart::Flags, failed: bool) {
        let all = [
            (Variable::MultipartBoundaryQuoted, flags.boundary_quoted),
            (Variable::MultipartBoundaryWhitespace, flags.boundary_whitespace),
            (Variable::MultipartCrlfLfLines, flags.crlf_line && flags.lf_line),
            (Variable::MultipartDataAfter, flags.data_after),
            (Variable::MultipartDataBefore, flags.data_before),
            (Variable::MultipartFileLimitExceeded, flags.file_limit_exceeded),
            (Variable::MultipartHeaderFolding, flags.header_folding),
            (Variable::MultipartInvalidHeaderFolding, flags.invalid_header_folding),
            (Variable::MultipartInvalidPart, flags.invalid_part),
            (Variable::MultipartInvalidQuoting, flags.invalid_quoting),
            (Variable::MultipartLfLine, flags.lf_line),
            (Variable::MultipartMissingSemicolon, flags.missing_semicolon),
            (Variable::MultipartStrictError, flags.is_strict_error() || failed),
            (Variable::MultipartUnmatchedBoundary, flags.unmatched_boundary),
        ];
        for (variable, flag) in all {
            self.set_number(variable, i64::from(flag));
        }
    }

    /// The status line of the response.
    pub fn response_line(&mut self, status: u16, protocol: &[u8]) {
        self.set_number(Variable::ResponseStatus, i64::from(status));
        self.set_text(Variable::ResponseProtocol, protocol);
        let line = [protocol, b" ", status.to_string().as_bytes()].concat();
        self.set_text(Variable::StatusLine, &line);
    }

    /// A response header.
    pub fn response_header(&mut self, name: &[u8], value: &[u8]) {
        let (key, text) = (self.texts.intern(name), self.texts.intern(value));
        self.fields.push(Bag::ResponseHeaders, key, Word::Text(text));
        if name.eq_ignore_ascii_case(b"content-type") {
            self.fields.set(Variable::ResponseContentType, Word::Text(text));
        }
    }

    /// The response headers are complete: phase 3.
    pub fn response_headers_end(&mut self) -> Option<Intervention> {
        self.run(3);
        self.intervention.clone()
    }

    /// Whether pieces of the response body are wanted: the rules look at it and its type is one they look at.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        if self.is_off() || !self.response_body.access || self.response_body.truncated {
            return false;
        }
        let mime = match self.fields.single(Variable::ResponseContentType) {
            Some(Word::Text(text)) => self.texts.get(text),
            _ => b"",
        };
        let mime = mime.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let types = &self.rules.settings.response_body_mime_types;
        types.iter().any(|wanted| {
            wanted.as_bytes().eq_ignore_ascii_case(mime) || (wanted.as_str() == "(null)" && mime.is_empty())
        })
    }

    /// A piece of the response body.
    pub fn response_body(&mut self, piece: &[u8]) -> Option<Intervention> {
        if self.wants_response_body() && self.intervention.is_none() {
            self.response_body.take(&mut self.texts, piece);
            if self.response_body.truncated {
                self.set_number(Variable::OutboundDataError, 1);
                let action = self.rules.settings.response_body_limit_action;
                self.too_long(action, Exceeded::ResponseBody);
            }
        }
        self.intervention.clone()
    }

    /// The response body is complete, or there is none: phase 4.
    pub fn response_body_end(&mut self) -> Option<Intervention> {
        if self.intervention.is_some() || self.is_off() {
            return self.intervention.clone();
        }
        if !self.response_body.done {
            self.response_body.done = true;
            if let Some(start) = self.response_body.start {
                let body = Word::Text(self.texts.adopt(start));
                self.fields.set(Variable::ResponseBody, body);
                self.fields.set(Variable::StreamOutputBody, body);
                let length = i64::try_from(self.response_body.length).unwrap_or(i64::MAX);
                self.set_number(Variable::ResponseContentLength, length);
            }
        }
        self.run(4);
        self.intervention.clone()
    }

    /// The transaction is over: phase 5, and persistent collections are stored.
    pub fn log(&mut self) {
        self.run(5);
        self.store_kept();
    }
}
