//! The audit record of a transaction, in the JSON form that ModSecurity v3 writes.

use serde_json::{Map, Value, json};

use super::{Bag, Event, Transaction, Variable, Word};
use crate::{
    bytes::ByteSet,
    operator::Captures,
    seclang::{AuditMode, EngineMode, Sanitise, Severity},
};

impl Transaction {
    /// Whether the audit settings want a record of this transaction.
    #[must_use]
    pub fn wants_audit(&self) -> bool {
        match self.audit_mode {
            AuditMode::Off => false,
            AuditMode::On => true,
            AuditMode::Relevant => {
                let status = self
                    .fields
                    .single(Variable::ResponseStatus)
                    .map(|word| self.integer(word).to_string());
                let relevant =
                    self.rules
                        .settings
                        .audit_relevant
                        .as_ref()
                        .zip(status)
                        .is_some_and(|(pattern, status)| {
                            pattern.evaluate(
                                status.as_bytes(),
                                ByteSet::of(status.as_bytes()),
                                &mut Captures::default(),
                            )
                        });
                self.audit_wanted || relevant
            }
        }
    }

    /// The audit record with the parts that the settings ask for. What `sanitise…` actions named is masked with asterisks.
    #[must_use]
    pub fn audit(&self) -> String {
        let part = |letter: char| self.audit_parts.contains(letter);
        let mut request = Map::new();
        request.insert("method".into(), self.told(Variable::RequestMethod));
        let protocol = self.told_text(Variable::RequestProtocol);
        request.insert(
            "http_version".into(),
            json!(protocol.strip_prefix("HTTP/").unwrap_or(&protocol)),
        );
        request.insert("uri".into(), json!(self.masked_uri()));
        if part('B') {
            request.insert("headers".into(), self.told_headers(Bag::RequestHeaders));
        }
        if part('C') || part('I') {
            let hidden = self.sanitise.iter().any(|what| matches!(what, Sanitise::Argument(_)));
            // A body is masked whole: where in it an argument stands is known only to the processor that took it apart.
            let body = if hidden {
                "***".to_owned()
            } else {
                self.told_text(Variable::StreamInputBody)
            };
            request.insert("body".into(), json!(body));
        }
        let mut response = Map::new();
        if let Some(status) = self.fields.single(Variable::ResponseStatus) {
            response.insert("http_code".into(), json!(self.integer(status)));
        }
        if part('F') {
            response.insert("headers".into(), self.told_headers(Bag::ResponseHeaders));
        }
        if part('E') {
            response.insert("body".into(), self.told(Variable::StreamOutputBody));
        }
        let engine = match self.mode {
            EngineMode::Detection => "DetectionOnly",
            EngineMode::Off => "Disabled",
            EngineMode::On => "Enabled",
        };
        let mut record = json!({
            "client_ip": self.told(Variable::RemoteAddr),
            "time_stamp": self.now.to_string(),
            "client_port": self.number(Variable::RemotePort),
            "host_ip": self.told(Variable::ServerAddr),
            "host_port": self.number(Variable::ServerPort),
            "unique_id": self.told(Variable::UniqueId),
            "request": request,
            "response": response,
            "producer": { "secrules_engine": engine, "components": self.rules.settings.components },
        });
        if part('H')
            && let Some(record) = record.as_object_mut()
        {
            let messages = self
                .events
                .iter()
                .filter(|event| event.log && event.audit)
                .map(|event| self.message(event));
            record.insert("messages".into(), messages.collect());
        }
        json!({ "transaction": record }).to_string()
    }

    fn message(&self, event: &Event) -> Value {
        let rule = &event.rule;
        let value = if self.is_masked(&event.matched.name) {
            "***"
        } else {
            event.matched.value.as_str()
        };
        let data = if self.is_masked(&event.matched.name) {
            "***"
        } else {
            event.data.as_str()
        };
        json!({
            "message": event.message,
            "details": {
                "match": format!("Matched {value:?} at {}", event.matched.name),
                "ruleId": rule.id.to_string(),
                "file": rule.file.as_ref(),
                "lineNumber": rule.line.to_string(),
                "data": data,
                "severity": rule.severity.map(|severity| (severity as u8).to_string()).unwrap_or_default(),
                "severity_name": rule.severity.map(Severity::name).unwrap_or_default(),
                "ver": rule.version.as_deref().unwrap_or_default(),
                "rev": rule.revision.as_deref().unwrap_or_default(),
                "tags": event.tags,
                "maturity": rule.maturity.unwrap_or(0).to_string(),
                "accuracy": rule.accuracy.unwrap_or(0).to_string(),
            }
        })
    }

    /// Whether the value of this name must not be told.
    fn is_masked(&self, name: &str) -> bool {
        let key = name.split_once(':').map_or("", |(_, key)| key).as_bytes();
        self.sanitise.iter().any(|what| match what {
            Sanitise::Argument(argument) => name.starts_with("ARGS") && argument.eq_ignore_ascii_case(key),
            Sanitise::Matched => false,
            Sanitise::RequestHeader(header) => name.starts_with("REQUEST_") && header.eq_ignore_ascii_case(key),
            Sanitise::ResponseHeader(header) => name.starts_with("RESPONSE_") && header.eq_ignore_ascii_case(key),
        })
    }

    fn masked_uri(&self) -> String {
        let uri = self.told_text(Variable::RequestUriRaw);
        let hidden = self.sanitise.iter().any(|what| matches!(what, Sanitise::Argument(_)));
        match uri.split_once('?') {
            Some((path, _)) if hidden => format!("{path}?***"),
            _ => uri,
        }
    }

    fn told_headers(&self, bag: Bag) -> Value {
        let mut headers = Map::new();
        for pair in self.fields.bag(bag) {
            let key = String::from_utf8_lossy(self.texts.get(pair.key)).into_owned();
            let masked = self.sanitise.iter().any(|what| match what {
                Sanitise::RequestHeader(name) => {
                    bag == Bag::RequestHeaders && name.eq_ignore_ascii_case(key.as_bytes())
                }
                Sanitise::ResponseHeader(name) => {
                    bag == Bag::ResponseHeaders && name.eq_ignore_ascii_case(key.as_bytes())
                }
                Sanitise::Argument(_) | Sanitise::Matched => false,
            });
            let value = match pair.value {
                _ if masked => "***".to_owned(),
                Word::Number(number) => number.to_string(),
                Word::Text(text) => String::from_utf8_lossy(self.texts.get(text)).into_owned(),
            };
            headers.insert(key, json!(value));
        }
        Value::Object(headers)
    }

    fn told(&self, variable: Variable) -> Value {
        json!(self.told_text(variable))
    }

    fn told_text(&self, variable: Variable) -> String {
        match self.fields.single(variable) {
            Some(Word::Text(text)) => String::from_utf8_lossy(self.texts.get(text)).into_owned(),
            Some(Word::Number(number)) => number.to_string(),
            None => String::new(),
        }
    }

    fn number(&self, variable: Variable) -> i64 {
        self.fields.single(variable).map_or(0, |word| self.integer(word))
    }
}
