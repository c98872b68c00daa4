//! The web application firewall of a service: its rule set exists, its levels fit together, its exceptions say why.

use crate::mistake::Kind;
use crate::section::at;
use crate::service::Service;
use crate::waf::RuleSetName;

use super::Check;

impl Check<'_> {
    pub(super) fn waf(&mut self, path: &str, service: &Service) {
        let Some(waf) = &service.waf else { return };
        let path = at![path, "waf"];
        if waf.rules.as_str() != RuleSetName::CRS {
            self.resolves(&at![path, "rules"], "rule set", "rule-sets", waf.rules.as_str());
        }
        if let Some(detection) = waf.detection_paranoia.filter(|level| *level < waf.paranoia) {
            let related = self.reader.place(&at![path, "paranoia"]).value;
            let mistake = self
                .value(
                    Kind::Conflict,
                    &at![path, "detection-paranoia"],
                    format!(
                        "rules are recorded up to level {detection} and count up to {}",
                        waf.paranoia
                    ),
                )
                .label("below `paranoia`")
                .help(Some(format!("give {} or more, or leave it out", waf.paranoia)))
                .related(related, "counts up to here");
            self.errors.push(mistake);
        }
        for (index, exception) in waf.exceptions.iter().enumerate() {
            if exception.reason.trim().is_empty() {
                let mistake = self
                    .value(
                        Kind::Value,
                        &at![path, "exceptions", index, "reason"],
                        "an exception without a reason",
                    )
                    .label("nothing here")
                    .help(Some("say why what the rules find is harmless".to_owned()));
                self.errors.push(mistake);
            }
        }
    }
}
