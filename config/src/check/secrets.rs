//! Keys of applications: roles exist, operations fit the kind of key.

use crate::mistake::Kind;
use crate::scalar::KeyKind;
use crate::section::at;

use super::Check;

/// The most keys: each commit looks at all of them.
const KEYS: usize = 1_000;
/// The shortest time between two versions, in seconds.
const SHORTEST: u64 = 3_600;

impl Check<'_> {
    /// Every row of the table can take effect.
    pub(super) fn secrets(&mut self) {
        let keys = &self.appliance.secrets.keys;
        if keys.len() > KEYS {
            let message = format!("{} keys, at most {KEYS} are allowed", keys.len());
            let mistake = self.key(Kind::Range, &at!["secrets", "keys"], message);
            self.errors.push(mistake);
            return;
        }
        for (name, key) in keys {
            let path = at!["secrets", "keys", name];
            let encrypts = key.kind == KeyKind::Aes256;
            let columns = [
                ("encrypt", &key.encrypt, encrypts),
                ("decrypt", &key.decrypt, encrypts),
                ("sign", &key.sign, !encrypts),
                ("verify", &key.verify, !encrypts),
                ("manage", &key.manage, true),
            ];
            for (column, roles, possible) in columns {
                let path = at![path, column];
                if !possible && !roles.is_empty() {
                    let mistake = self
                        .key(
                            Kind::Conflict,
                            &path,
                            format!("a key of kind {} cannot {column}", key.kind),
                        )
                        .label("can never take effect")
                        .help(Some(if encrypts {
                            "it can `encrypt` and `decrypt`".to_owned()
                        } else {
                            "it can `sign` and `verify`".to_owned()
                        }));
                    self.errors.push(mistake);
                    continue;
                }
                self.duplicates(&path, "role", roles);
                for (index, role) in roles.iter().enumerate() {
                    self.role(&at![path, index], role);
                }
            }
            if key.convergent && !encrypts {
                let mistake = self
                    .value(
                        Kind::Conflict,
                        &at![path, "convergent"],
                        format!(
                            "a key of kind {} is not convergent or otherwise: it does not encrypt",
                            key.kind
                        ),
                    )
                    .label("can never take effect");
                self.errors.push(mistake);
            }
            if let Some(every) = key.rotate_every
                && every.as_secs() < SHORTEST
            {
                let mistake = self
                    .value(
                        Kind::Range,
                        &at![path, "rotate-every"],
                        format!("the key {name} would have a new version every {} s", every.as_secs()),
                    )
                    .label("an hour at least")
                    .help(Some("for instance \"90d\"".to_owned()));
                self.errors.push(mistake);
            }
        }
    }
}
