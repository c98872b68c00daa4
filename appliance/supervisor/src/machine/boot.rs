//! What the initramfs left behind in `/run/redan`.

use redan_ipc::messages::machine::DataState;
use redan_types::SecretString;
use std::fs;
use std::path::Path;

/// `key=value` lines.
const BOOT: &str = "/run/redan/boot";
/// The recovery key of a data partition that was made at this boot.
const RECOVERY: &str = "/run/redan/recovery";
/// The longest file that is read.
const LONGEST: u64 = 64 << 10;

/// What the boot said about itself.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Boot {
    pub(crate) version: String,
    pub(crate) slot: String,
    pub(crate) security_version: u32,
    pub(crate) root_hash: String,
    pub(crate) data: DataState,
    /// The disk that the image was started from, and its partitions, where the boot names them.
    pub(crate) other_slot: Option<String>,
    pub(crate) esp: Option<String>,
}

impl Boot {
    pub(crate) fn read() -> Self {
        Self::parse(&bounded(Path::new(BOOT)).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut boot = Self::default();
        let (mut data, mut reason) = ("", "");
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "version" => value.clone_into(&mut boot.version),
                "slot" => value.clone_into(&mut boot.slot),
                "security-version" => boot.security_version = value.parse().unwrap_or(0),
                "root-hash" => value.clone_into(&mut boot.root_hash),
                "data" => data = value,
                "data-reason" => reason = value,
                "other-slot" => boot.other_slot = Some(value.to_owned()),
                "esp" => boot.esp = Some(value.to_owned()),
                _ => {}
            }
        }
        boot.data = match data {
            "new" => DataState::New,
            "tpm" => DataState::Opened,
            "recovery" => DataState::Recovered,
            "locked" => DataState::Locked {
                reason: reason.to_owned(),
            },
            _ => DataState::Absent,
        };
        boot
    }
}

/// The recovery key, until it was noted. It lies in memory only.
pub(crate) fn recovery_key() -> Option<SecretString> {
    let text = bounded(Path::new(RECOVERY))?;
    Some(SecretString::new(text.trim().to_owned()))
}

/// Forgets the recovery key for good.
///
/// # Errors
/// What the kernel says.
pub(crate) fn forget_recovery_key() -> std::io::Result<()> {
    fs::remove_file(RECOVERY)
}

fn bounded(path: &Path) -> Option<String> {
    if fs::metadata(path).ok()?.len() > LONGEST {
        return None;
    }
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::Boot;
    use redan_ipc::messages::machine::DataState;

    #[test]
    fn what_the_initramfs_wrote_is_read() {
        let boot = Boot::parse(
            "slot=a\nversion=0.1.0\nroot-hash=ab12\nsecurity-version=3\ndata=locked\ndata-reason=PCR 7 differs: Secure Boot\nnew-key=1\n",
        );
        assert_eq!(
            (boot.slot.as_str(), boot.version.as_str(), boot.security_version),
            ("a", "0.1.0", 3)
        );
        assert_eq!(
            boot.data,
            DataState::Locked {
                reason: "PCR 7 differs: Secure Boot".to_owned()
            }
        );
        assert_eq!(Boot::parse("").data, DataState::Absent);
        assert_eq!(Boot::parse("data=tpm").data, DataState::Opened);
    }
}
