//! What the launcher prints and writes once everything answers.

use crate::crossing::Inside;
use crate::operator::Access;
use crate::options::Options;
use redan_types::Mode;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An error with its causes, on one line; a cause that is named already is not repeated.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// Removes what an earlier evaluation wrote, so that nobody takes it for this one's, and finds out before the start whether the file
/// can be written.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_, partial) = partial(path)?;
    fs::remove_file(partial)
}

/// The file that becomes the ready file once it is complete; readable by its owner only.
fn partial(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    Ok((file, partial))
}

/// All that is known of a running evaluation.
pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    pub(crate) mode: Mode,
    /// Where each published address is offered, with where it is inside.
    pub(crate) published: Vec<(SocketAddr, SocketAddr)>,
    /// Names that the first of them answers to.
    pub(crate) hosts: Vec<String>,
    pub(crate) console: SocketAddr,
    pub(crate) access: Access,
    pub(crate) inside: Inside,
    pub(crate) binaries: &'a Path,
    pub(crate) state: &'a Path,
    pub(crate) sample: bool,
    /// Whether the web application firewall is on.
    pub(crate) inspects: bool,
    pub(crate) took: Duration,
}

impl Report<'_> {
    /// For people.
    pub(crate) fn print(&self) {
        let url = self.url();
        let state = self.state.display();
        let redan = self.binaries.join("redan");
        let redan = redan.display();
        let key = self.access.api_key.expose();
        println!();
        println!(
            "Redan is up after {:.1} s, {}.",
            self.took.as_secs_f64(),
            self.mode.name()
        );
        println!("It is an EVALUATION: keys are software keys in {state}, not in a TPM or HSM.");
        for line in self.absent() {
            println!("  off: {line}");
        }
        println!();
        println!("  published   {url}");
        for (outside, inside) in self.published.iter().skip(1) {
            println!("              https://{outside}/ ({inside} inside)");
        }
        println!("  console     https://{}/", self.console);
        println!(
            "  fingerprint {} (SHA-256 of the console's certificate)",
            self.access.fingerprint
        );
        match &self.access.password {
            Some(password) => println!(
                "  log in as   {} with the one-time password {}",
                self.access.administrator,
                password.expose()
            ),
            None => println!(
                "  log in as   {} with the password that you chose",
                self.access.administrator
            ),
        }
        println!("  API key     {key} (role user)");
        println!("  state       {state}");
        println!();
        println!("Try:");
        if self.sample {
            println!("  curl -k {url}                                    # a good request");
            if self.inspects {
                println!(
                    "  curl -k -G --data-urlencode 'q=<script>alert(1)</script>' {url}   # an attack, refused by the OWASP Core Rule Set"
                );
            } else {
                println!(
                    "  (the web application firewall is off, there is no rule set: apt install modsecurity-crs, then start with a new --state)"
                );
            }
            println!(
                "  for i in $(seq 14); do curl -sk -o /dev/null -w '%{{http_code}} ' {url}limited; done   # over the limit"
            );
            println!(
                "  curl -k -H 'Authorization: Bearer {key}' {url}api/admin/users   # forbidden: the key's role is user"
            );
        } else {
            let (resolve, url) = self.named();
            println!("  curl -k {resolve}{url}                                    # a request to your application");
            println!(
                "  curl -k --http1.1 {resolve}-H 'Content-Length: 1' -H 'Transfer-Encoding: chunked' {url}   # an ambiguous one"
            );
            println!("  {redan} --state {state} config show               # what runs");
        }
        println!(
            "  {redan} --state {state} audit export audit.jsonl && {redan} audit verify audit.jsonl   # the audit log, verified"
        );
        println!(
            "  kill -9 $({redan} --state {state} status --pid vault); {redan} --state {state} status   # the vault, killed and back"
        );
        println!();
        println!("Ctrl-C ends everything; the store stays in {state}.");
    }

    /// For scripts: complete or not there, and readable by its owner only, since it holds secrets.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let sides: serde_json::Map<_, _> = self
            .inside
            .sides
            .iter()
            .map(|(name, path)| (name.clone(), json!(path)))
            .collect();
        let report = json!({
            "published_url": self.url(),
            "published_as": self.named().1,
            "console_url": format!("https://{}/", self.console),
            "fingerprint": self.access.fingerprint,
            "admin": self.access.administrator,
            "password": self.access.password.as_ref().map(|password| password.expose().to_owned()),
            "api_key": self.access.api_key.expose(),
            "state": self.state,
            "mode": self.mode.name(),
            "binaries": self.binaries,
            "sides": sides,
            "appliance_network": self.inside.appliance,
        });
        let (mut file, partial) = partial(path)?;
        file.write_all(report.to_string().as_bytes())?;
        fs::rename(&partial, path)
    }

    fn url(&self) -> String {
        format!("https://{}/", self.outside())
    }

    /// curl's option and the URL for a name that the published address answers to: where it does not answer to the address itself,
    /// the name must be told to lead there.
    fn named(&self) -> (String, String) {
        let outside = self.outside();
        match self.hosts.first() {
            Some(host) if !self.hosts.contains(&outside.ip().to_string()) => {
                let (port, ip) = (outside.port(), outside.ip());
                let ip = if ip.is_ipv6() {
                    format!("[{ip}]")
                } else {
                    ip.to_string()
                };
                (
                    format!("--resolve {host}:{port}:{ip} "),
                    format!("https://{host}:{port}/"),
                )
            }
            _ => (String::new(), self.url()),
        }
    }

    fn outside(&self) -> SocketAddr {
        let first = self.published.first();
        first.map_or(self.options.published, |(outside, _)| *outside)
    }

    /// The protections that an evaluation of this kind is without.
    fn absent(&self) -> Vec<&'static str> {
        let host = "packets of this host itself are not filtered, only those inside the evaluation's own network";
        match self.mode {
            Mode::Appliance => Vec::new(),
            Mode::EvaluationRoot => vec![host],
            Mode::EvaluationUser => vec![host, "services share one user id, since a user namespace has no others"],
            Mode::EvaluationBare => vec![
                "the packet filter: there is no network namespace to filter in",
                "namespaces and separate user ids: this evaluation runs without them",
            ],
        }
    }
}
