//! The figures of an image, beside what `image/SPECIFICATION.md` promises.

use crate::build::{Figures, Names};
use crate::settings::COMMAND_LINE;
use crate::tools::{Context, Outcome, read};
use redan_image_layout::Version;
use std::path::{Path, PathBuf};

/// Which image.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) out: PathBuf,
    pub(crate) version: Version,
}

/// The promises.
const SPECIFICATION: &str = include_str!("../../SPECIFICATION.md");

/// Prints every figure and says which promise is not kept.
pub(crate) fn print(report: &Report) -> Outcome<()> {
    let figures = figures(&report.out, report.version)?;
    println!("{:<34}{:>14}{:>16}", "figure", "is", "promised");
    let mut broken = Vec::new();
    for (name, is) in named(&figures) {
        let most = promised(name);
        println!(
            "{name:<34}{is:>14}{:>16}",
            most.map(|most| format!("at most {most}")).unwrap_or_default()
        );
        if most.is_some_and(|most| is > most) {
            broken.push(name);
        }
    }
    println!("\nprograms built with the profile {}", figures.profile);
    println!("\nThe kernel's command line:");
    for (word, reason) in COMMAND_LINE {
        println!("  {word:<34}{reason}");
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(format!("not as promised: {}", broken.join(", ")).into())
    }
}

fn figures(out: &Path, version: Version) -> Outcome<Figures> {
    let path = Names::new(out, version).figures;
    let bytes = read(&path).context(|| "there is no image to report on".to_owned())?;
    serde_json::from_slice(&bytes).context(|| format!("{} is damaged", path.display()))
}

fn named(figures: &Figures) -> [(&'static str, u64); 6] {
    [
        ("compressed image, bytes", figures.compressed),
        ("root file system, bytes", figures.root),
        ("kernel image, bytes", figures.kernel),
        ("update bundle, bytes", figures.update),
        ("executables", figures.executables),
        ("files on the root", figures.files),
    ]
}

/// What the specification's table promises at most.
fn promised(name: &str) -> Option<u64> {
    let row = SPECIFICATION
        .lines()
        .find(|line| line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(name)))?;
    row.split('|')
        .nth(2)?
        .trim()
        .strip_prefix("at most ")?
        .replace(['\u{202f}', ' '], "")
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{Figures, named, promised};

    #[test]
    fn every_figure_has_a_promise() {
        let figures = Figures {
            compressed: 0,
            root: 0,
            kernel: 0,
            update: 0,
            executables: 0,
            files: 0,
            profile: String::new(),
        };
        for (name, _) in named(&figures) {
            assert!(promised(name).is_some(), "{name}");
        }
        assert_eq!(promised("compressed image, bytes"), Some(60_000_000));
    }
}
