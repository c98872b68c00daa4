//! The bill of materials (CycloneDX 1.5): the crates that our programs are linked from, and the Debian packages.

use crate::build::Order;
use crate::root::{LATER, PROGRAMS};
use crate::sources::Packages;
use crate::tools::{Context, Outcome, files_below, read, text};
use redan_image_layout::{hex, sha256};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Makes the document. It has no serial number and no time: the same image has the same bill.
pub(crate) fn make(order: &Order, packages: &Packages, tree: &Path) -> Outcome<Vec<u8>> {
    let mut components = crates(&order.repository)?;
    for package in packages.all() {
        components.push(json!({
            "type": "operating-system",
            "name": package.name,
            "version": package.version,
            "purl": format!("pkg:deb/debian/{}@{}?arch={}&distro=bookworm", package.name, package.version, package.architecture),
            "hashes": [{ "alg": "SHA-256", "content": package.hash }],
        }));
    }
    for file in files_below(tree)? {
        let path = text(&file)?;
        components.push(json!({
            "type": "file",
            "name": format!("/{path}"),
            "hashes": [{ "alg": "SHA-256", "content": hex(&sha256(&[&read(&tree.join(&file))?])) }],
        }));
    }
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": { "type": "firmware", "name": "redan", "version": order.version.to_string() },
        },
        "components": components,
    });
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The crates that our programs need when they run, found by walking from them.
fn crates(repository: &Path) -> Outcome<Vec<Value>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
            "--manifest-path",
        ])
        .arg(repository.join("Cargo.toml"))
        .output()
        .context(|| "cannot run cargo".to_owned())?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context(|| "cargo does not tell the crates".to_owned())?;
    let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let word = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&metadata, "packages")
        .into_iter()
        .map(|package| (word(&package, "id"), package))
        .collect();
    let nodes = metadata
        .get("resolve")
        .map(|resolve| list(resolve, "nodes"))
        .unwrap_or_default();
    let nodes: BTreeMap<String, Value> = nodes.into_iter().map(|node| (word(&node, "id"), node)).collect();
    let is_ours =
        |name: &str| PROGRAMS.iter().chain(&LATER).any(|(program, _)| *program == name) || name == "redan-init";
    let mut open: Vec<String> = packages
        .values()
        .filter(|package| is_ours(&word(package, "name")))
        .map(|package| word(package, "id"))
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dependency in nodes.get(&id).map(|node| list(node, "deps")).unwrap_or_default() {
            let kinds = list(&dependency, "dep_kinds");
            // What only builds or tests is not in the image.
            if kinds.iter().any(|kind| kind.get("kind").is_some_and(Value::is_null)) {
                open.push(word(&dependency, "pkg"));
            }
        }
    }
    let mut components: Vec<(String, String, Value)> = seen
        .iter()
        .filter_map(|id| packages.get(id))
        .map(|package| {
            let (name, version) = (word(package, "name"), word(package, "version"));
            let component = json!({
                "type": "library",
                "name": name,
                "version": version,
                "purl": format!("pkg:cargo/{name}@{version}"),
                "licenses": [{ "expression": word(package, "license") }],
            });
            (name, version, component)
        })
        .collect();
    components.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    Ok(components.into_iter().map(|(_, _, component)| component).collect())
}
