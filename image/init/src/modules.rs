//! Kernel modules: those that every machine needs, and those that this machine's hardware asks for.
//!
//! The builder puts into the initramfs only modules that are on its list, in three files beside them: `always` (names, one a line),
//! `aliases` (`pattern name`, from the kernel's own table) and `files` (`name file dependency…`). After the start no module is
//! loaded any more, so drivers of what can be plugged in later are among the first.

use crate::{Context, Failure};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// `MODULE_INIT_COMPRESSED_FILE` (`linux/module.h`): the kernel decompresses.
const COMPRESSED: i32 = 4;
/// Folders below one another in sysfs; the deepest real one is a USB device behind hubs.
const DEEPEST: usize = 24;

/// The modules of an initramfs.
#[derive(Debug)]
pub struct Modules {
    folder: PathBuf,
    always: Vec<String>,
    aliases: Vec<(String, String)>,
    files: BTreeMap<String, (String, Vec<String>)>,
    loaded: BTreeSet<String>,
}

impl Modules {
    /// Reads the lists in this folder.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let read = |name: &str| {
            fs::read_to_string(folder.join(name)).context(|| format!("cannot read the list {name} of modules"))
        };
        let mut files = BTreeMap::new();
        for line in read("files")?.lines() {
            let mut words = line.split(' ').map(str::to_owned);
            if let (Some(name), Some(file)) = (words.next(), words.next()) {
                files.insert(name, (file, words.collect()));
            }
        }
        let pair = |line: &str| {
            line.split_once(' ')
                .map(|(pattern, name)| (pattern.to_owned(), name.to_owned()))
        };
        Ok(Self {
            folder: folder.to_owned(),
            always: read("always")?.lines().map(str::to_owned).collect(),
            aliases: read("aliases")?.lines().filter_map(pair).collect(),
            files,
            loaded: BTreeSet::new(),
        })
    }

    /// Loads what every machine needs. What cannot be loaded is returned with the reason: the stage that needs it will fail, or
    /// nothing needs it here.
    pub fn load_always(&mut self) -> Vec<Failure> {
        let names = self.always.clone();
        names.iter().filter_map(|name| self.load(name).err()).collect()
    }

    /// Loads the drivers of the hardware that there is, again and again until no driver brings to light any more of it.
    pub fn load_for_hardware(&mut self) -> Vec<Failure> {
        let mut failures = Vec::new();
        loop {
            let mut present = BTreeSet::new();
            collect(Path::new("/sys/devices"), DEEPEST, &mut present);
            let wanted = wanted(&self.aliases, &present);
            let new: Vec<_> = wanted.difference(&self.loaded).cloned().collect();
            if new.is_empty() {
                return failures;
            }
            for name in new {
                failures.extend(self.load(&name).err());
                // Not again, even if it failed.
                self.loaded.insert(name);
            }
        }
    }

    /// How many modules have been loaded.
    #[must_use]
    pub fn count(&self) -> usize {
        self.loaded.len()
    }

    fn load(&mut self, name: &str) -> Result<(), Failure> {
        if self.loaded.contains(name) {
            return Ok(());
        }
        let (file, dependencies) = self
            .files
            .get(name)
            .cloned()
            .ok_or_else(|| Failure::new(format!("the module {name} is not in the initramfs")))?;
        // Marked first, so that a circle in the table would end.
        self.loaded.insert(name.to_owned());
        for dependency in dependencies {
            self.load(&dependency)?;
        }
        let path = self.folder.join(&file);
        let opened = File::open(&path).context(|| format!("cannot open {}", path.display()))?;
        let flags = if file.ends_with(".xz") { COMPRESSED } else { 0 };
        match rustix::system::finit_module(&opened, c"", flags) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno).context(|| format!("cannot load the module {name}")),
        }
    }
}

fn wanted(aliases: &[(String, String)], present: &BTreeSet<String>) -> BTreeSet<String> {
    let asked = |pattern: &str| {
        present
            .iter()
            .any(|alias| matches(pattern.as_bytes(), alias.as_bytes()))
    };
    aliases
        .iter()
        .filter(|(pattern, _)| asked(pattern))
        .map(|(_, name)| name.clone())
        .collect()
}

/// The `modalias` of every device below a folder of sysfs.
fn collect(folder: &Path, deeper: usize, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && deeper > 0 {
            collect(&entry.path(), deeper - 1, into);
        } else if kind.is_file()
            && entry.file_name() == "modalias"
            && let Ok(alias) = fs::read_to_string(entry.path())
        {
            into.insert(alias.trim_end().to_owned());
        }
    }
}

/// Whether a pattern of the kernel's alias table (`*`, `?`, `[a-z]`) is for this text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', pattern @ ..], _) => {
            // No pattern of the table has more than a dozen stars, and texts are short.
            matches(pattern, text)
                || text
                    .split_first()
                    .is_some_and(|(_, text)| matches([&b"*"[..], pattern].concat().as_slice(), text))
        }
        ([b'?', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
        ([b'[', rest @ ..], [first, text @ ..]) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else {
                return false;
            };
            let (set, rest) = rest.split_at(end);
            let inside = set
                .windows(3)
                .any(|range| range[1] == b'-' && (range[0]..=range[2]).contains(first))
                || set.contains(first) && *first != b'-';
            inside && matches(rest.get(1..).unwrap_or_default(), text)
        }
        ([wanted, pattern @ ..], [found, text @ ..]) => wanted == found && matches(pattern, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Modules, matches, wanted};
    use std::collections::BTreeSet;

    #[test]
    fn a_pattern_is_for_the_devices_that_it_describes() {
        let is = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        let nic = "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00";
        assert!(is("pci:v00008086d000010D3sv*sd*bc*sc*i*", nic));
        assert!(!is("pci:v00008086d000010D4sv*sd*bc*sc*i*", nic));
        assert!(is("usb:v0781p[0-9A-F]58[13]d*", "usb:v0781pA583d0100"));
        assert!(!is("usb:v0781p[0-9A-F]58[13]d*", "usb:v0781pG583d0100"));
        assert!(is("a?c", "abc"));
        assert!(!is("a?c", "ac"));
        assert!(!is("abc", "abcd"));
    }

    #[test]
    fn only_drivers_of_hardware_that_is_there_are_wanted() {
        let aliases = [("pci:v1*", "first"), ("pci:v2*", "second"), ("pci:v1d3", "third")];
        let aliases: Vec<_> = aliases
            .iter()
            .map(|(p, n)| ((*p).to_owned(), (*n).to_owned()))
            .collect();
        let present = BTreeSet::from(["pci:v1d2".to_owned()]);
        assert_eq!(wanted(&aliases, &present), BTreeSet::from(["first".to_owned()]));
    }

    #[test]
    fn a_module_that_is_not_on_the_list_cannot_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("always", "gone\n"), ("aliases", ""), ("files", "")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let mut modules = Modules::read(folder.path()).unwrap();
        assert_eq!(
            modules.load_always()[0].to_string(),
            "the module gone is not in the initramfs"
        );
    }
}
