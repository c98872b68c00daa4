//! Variables that are one value, among them those that are made when a rule asks: the whole request, the time.

use redan_types::Timestamp;

use super::{Bag, RuleSet, Transaction, Variable, Word};

impl Transaction {
    /// A variable that is one value.
    pub(super) fn single(&mut self, rules: &RuleSet, variable: Variable) -> Option<Word> {
        let full = |this: &mut Self| {
            let mut text = Vec::new();
            this.write_full_request(&mut text);
            text
        };
        Some(match variable {
            Variable::MatchedVar => self.matched?.value,
            Variable::MatchedVarName => {
                let matched = self.matched?;
                Word::Text(self.name(rules, matched))
            }
            Variable::FullRequest => {
                let text = full(self);
                Word::Text(self.texts.intern(&text))
            }
            Variable::FullRequestLength => Word::Number(i64::try_from(full(self).len()).unwrap_or(i64::MAX)),
            // There is no clock to measure with, and no build of ModSecurity to tell the number of.
            Variable::Duration | Variable::ModsecBuild | Variable::PerfAll => Word::Number(0),
            Variable::WebAppId => Word::Text(self.texts.intern(rules.settings.web_app_id.as_bytes())),
            variable => match time(variable, self.now) {
                Some(Time::Number(number)) => Word::Number(number),
                Some(Time::Clock(clock)) => Word::Text(self.texts.intern(clock.as_bytes())),
                None => self.fields.single(variable)?,
            },
        })
    }

    fn write_full_request(&self, into: &mut Vec<u8>) {
        if let Some(Word::Text(line)) = self.fields.single(Variable::RequestLine) {
            into.extend_from_slice(self.texts.get(line));
        }
        into.extend_from_slice(b"\n");
        for header in self.fields.bag(Bag::RequestHeaders) {
            into.extend_from_slice(self.texts.get(header.key));
            into.extend_from_slice(b": ");
            if let Word::Text(value) = header.value {
                into.extend_from_slice(self.texts.get(value));
            }
            into.extend_from_slice(b"\n");
        }
        into.extend_from_slice(b"\n");
        if let Some(Word::Text(body)) = self.fields.single(Variable::StreamInputBody) {
            into.extend_from_slice(self.texts.get(body));
        }
    }
}

enum Time {
    Clock(String),
    Number(i64),
}

/// The variables about the time, in UTC.
fn time(variable: Variable, now: Timestamp) -> Option<Time> {
    let text = || now.to_string();
    let part = |from: usize, to: usize| {
        let text = text();
        Some(Time::Number(text.get(from..to)?.parse().ok()?))
    };
    match variable {
        Variable::Time => Some(Time::Clock(text().get(11..19)?.to_owned())),
        Variable::TimeYear => part(0, 4),
        Variable::TimeMon => part(5, 7),
        Variable::TimeDay => part(8, 10),
        Variable::TimeHour => part(11, 13),
        Variable::TimeMin => part(14, 16),
        Variable::TimeSec => part(17, 19),
        Variable::TimeEpoch => Some(Time::Number(i64::try_from(now.seconds()).unwrap_or(i64::MAX))),
        // 1 January 1970 was a Thursday; Sunday is 0.
        Variable::TimeWday => Some(Time::Number(
            i64::try_from((now.seconds() / 86_400 + 4) % 7).unwrap_or(0),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_in_parts() {
        // 22 November 2026 is a Sunday.
        let now = Timestamp(1_795_305_600_000_000 + 3_661_000_000);
        let number = |variable| match time(variable, now) {
            Some(Time::Number(number)) => number,
            _ => panic!("{variable:?}"),
        };
        assert_eq!(number(Variable::TimeYear), 2026);
        assert_eq!(
            (
                number(Variable::TimeMon),
                number(Variable::TimeDay),
                number(Variable::TimeWday)
            ),
            (11, 22, 0)
        );
        assert_eq!(
            (
                number(Variable::TimeHour),
                number(Variable::TimeMin),
                number(Variable::TimeSec)
            ),
            (1, 1, 1)
        );
        assert!(matches!(time(Variable::Time, now), Some(Time::Clock(clock)) if clock == "01:01:01"));
    }
}
