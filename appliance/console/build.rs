//! Puts the built pages into the binary: the console runs in an empty mount namespace, so there is no file to read them from.
//!
//! The pages are built with npm beforehand (`npm ci --ignore-scripts && npm run build` in `web/`; `cargo evaluate` does it). This
//! script only writes a table of `include_bytes!`, and a page that says what to do where nothing was built.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let dist = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web/dist");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // Watching web/ as well notices a dist/ that is made later.
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=web/build.mjs");
    let mut table = String::from("&[\n");
    let built = dist.join("index.html").is_file();
    // Relative to the folders that the compiler is told: a target folder that is moved to another checkout still fits.
    if built {
        row(&mut table, "/index.html", "CARGO_MANIFEST_DIR", "/web/dist/index.html");
    } else {
        placeholder(&out)?;
        row(&mut table, "/index.html", "OUT_DIR", "/index.html");
    }
    if built {
        let mut assets: Vec<_> = fs::read_dir(dist.join("assets"))?.collect::<Result<_, _>>()?;
        assets.sort_by_key(fs::DirEntry::file_name);
        for asset in assets {
            let url = format!("/assets/{}", asset.file_name().to_string_lossy());
            row(&mut table, &url, "CARGO_MANIFEST_DIR", &format!("/web/dist{url}"));
        }
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)
}

fn row(table: &mut String, url: &str, folder: &str, file: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        table,
        "    ({url:?}, include_bytes!(concat!(env!({folder:?}), {file:?}))),"
    );
}

fn placeholder(out: &Path) -> io::Result<()> {
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Redan</title><h1>The console's pages are not built</h1>\
        <p>Run <code>npm ci --ignore-scripts &amp;&amp; npm run build</code> in <code>appliance/console/web</code> and build the console \
        again. The API works without them.</p></html>\n";
    fs::write(out.join("index.html"), page)
}
