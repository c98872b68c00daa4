//! Rule files from a disk: which files a folder's rule set is made of, in which order, and what they include.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redan_waf::seclang::{DEFAULTS, Needs, RuleFiles};

use crate::error::CommandError;

/// The longest rule or data file, in bytes.
const LARGEST_FILE: usize = 16 << 20;
/// All files together.
const LARGEST_SET: usize = 128 << 20;
/// How many files a rule set may have.
const MOST_FILES: usize = 4_096;
/// Where Debian keeps the set-up of its package, apart from the rules.
const DEBIAN_SETUP: (&str, &str) = ("/usr/share/modsecurity-crs", "/etc/modsecurity/crs");
/// The appliance's own rules, which come first.
pub(crate) const OWN: &str = "the appliance's own rules";

/// A rule set's files.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) files: RuleFiles,
    /// The rule files in their order; what they include is among the files only.
    pub(crate) order: Vec<String>,
    /// The set-up file, if one was found or named.
    pub(crate) setup: Option<String>,
    pub(crate) rule_files: usize,
    pub(crate) data_files: usize,
    bytes: usize,
}

/// Reads the rule files of some folders as one rule set. `settings` is rule text that comes after the set-up.
pub(crate) fn load(folders: &[&Path], setup: Option<&Path>, settings: Option<&str>) -> Result<Loaded, CommandError> {
    let mut loaded = Loaded::default();
    loaded.own(OWN, DEFAULTS);
    let mut plans = Vec::new();
    for folder in folders {
        plans.push(Plan::of(folder)?);
    }
    let found = plans.iter().find_map(|plan| plan.setup.clone());
    if let Some(setup) = setup.map(Path::to_owned).or(found) {
        loaded.setup = Some(text(&setup));
        loaded.rule_file(&setup)?;
    }
    if let Some(settings) = settings {
        loaded.own("the command line", settings.as_bytes());
    }
    for path in plans.iter().flat_map(|plan| &plan.rules) {
        loaded.rule_file(path)?;
    }
    Ok(loaded)
}

impl Loaded {
    /// Rules that are in no file.
    fn own(&mut self, name: &str, text: &[u8]) {
        self.files.insert(name, text.to_vec());
        self.order.push(name.to_owned());
    }

    /// Reads a rule file that has its place in the order.
    fn rule_file(&mut self, path: &Path) -> Result<(), CommandError> {
        let name = text(path);
        if !self.order.contains(&name) {
            self.order.push(name);
        }
        self.with_needs(path)
    }

    /// Reads a rule file, and what it names.
    fn with_needs(&mut self, path: &Path) -> Result<(), CommandError> {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            let name = text(&path);
            if self.files.get(&name).is_some() {
                continue;
            }
            let content = self.read(&path)?;
            let needs = Needs::of(&name, &content);
            self.files.insert(name, content);
            self.rule_files += 1;
            for (pattern, _) in needs.includes {
                waiting.extend(matching(Path::new(&pattern))?);
            }
            for data in needs.data {
                // What is not there is a mistake of the rule that names it, which the compiler reports with its place.
                if self.files.get(&data).is_none() && Path::new(&data).exists() {
                    let content = self.read(Path::new(&data))?;
                    self.files.insert(data, content);
                    self.data_files += 1;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, CommandError> {
        if self.rule_files + self.data_files >= MOST_FILES {
            return Err(CommandError::TooManyRuleFiles(MOST_FILES));
        }
        let content = read(path, LARGEST_FILE.min(LARGEST_SET - self.bytes))?;
        self.bytes += content.len();
        Ok(content)
    }
}

/// Reads a file, no further than a limit. What is no file (a folder, a device) is refused.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, CommandError> {
    let failed = |source| CommandError::Read {
        path: path.to_owned(),
        source,
    };
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(most)
            .read_to_end(&mut content)
            .map_err(failed)?;
    } else {
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "this is no file")));
        }
        let file = File::open(path).map_err(failed)?;
        file.take(most).read_to_end(&mut content).map_err(failed)?;
    }
    if content.len() > limit {
        return Err(CommandError::FileTooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(content)
}

/// What a folder's rule set is made of.
struct Plan {
    setup: Option<PathBuf>,
    /// In order, without the set-up.
    rules: Vec<PathBuf>,
}

impl Plan {
    fn of(folder: &Path) -> Result<Self, CommandError> {
        let failed = |source| CommandError::Read {
            path: folder.to_owned(),
            source,
        };
        if !fs::metadata(folder).map_err(failed)?.is_dir() {
            return Ok(Self {
                setup: None,
                rules: vec![folder.to_owned()],
            });
        }
        let (share, etc) = DEBIAN_SETUP;
        let debian = folder == Path::new(share) || folder == Path::new(share).join("rules");
        let mut places = vec![folder.to_owned()];
        if folder.ends_with("rules") {
            places.extend(folder.parent().map(Path::to_owned));
        }
        if debian {
            places.push(etc.into());
        }
        let setup = places
            .iter()
            .flat_map(|place| ["crs-setup.conf", "crs-setup.conf.example"].map(|name| place.join(name)))
            .find(|path| path.is_file());
        let rules = folder.join("rules");
        let mut all = Vec::new();
        if rules.is_dir() {
            let plugins = folder.join("plugins");
            if debian {
                all.extend(matching(&Path::new(etc).join("REQUEST-*.conf"))?);
            }
            for pattern in ["*-config.conf", "*-before.conf"] {
                all.extend(matching(&plugins.join(pattern))?);
            }
            all.extend(matching(&rules.join("*.conf"))?);
            all.extend(matching(&plugins.join("*-after.conf"))?);
            if debian {
                all.extend(matching(&Path::new(etc).join("RESPONSE-*.conf"))?);
            }
        } else {
            all.extend(matching(&folder.join("*.conf"))?);
        }
        all.retain(|path| Some(path) != setup.as_ref());
        if all.is_empty() {
            return Err(CommandError::NoRules(folder.to_owned()));
        }
        Ok(Self { setup, rules: all })
    }
}

/// The files that a pattern with `*` and `?` in its last part names, by name; without one the path itself. A folder that is not there
/// has no files.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Ok(Vec::new());
    };
    let name = name.to_string_lossy();
    if !name.contains(['*', '?']) {
        // What is not there is a mistake of the directive that names it.
        return Ok(if pattern.exists() {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        });
    }
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let failed = |source| CommandError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let file = entry.file_name();
        if redan_waf::seclang::is_named(name.as_bytes(), file.to_string_lossy().as_bytes()) {
            let path = if pattern.parent() == Some(Path::new("")) {
                PathBuf::from(file)
            } else {
                entry.path()
            };
            // A folder may be called x.conf, and is no rule file.
            if !path.is_dir() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
