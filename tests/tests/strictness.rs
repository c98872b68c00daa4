//! The same probes through Redan, nginx and HAProxy: Redan refuses whatever one of the others refuses.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod site;

use redan_tests::http1_probe::{Expected, Probe, Verdict, probes, run};
use redan_tests::wire::Target;
use redan_tests::witness::Witness;
use site::{HOST, Site};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a probe may take that leaves its connection open.
const WITHIN: Duration = Duration::from_secs(3);

/// A proxy of somebody else's, with Debian's defaults but for short times, in front of a witness of its own.
struct Reference {
    child: Child,
    witness: Witness,
    target: Target,
    _folder: TempDir,
}

impl Reference {
    fn nginx() -> Self {
        Self::start("nginx", |folder, certificate, listen, upstream| {
            let configuration = format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
                 fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
                 keepalive_timeout 300ms; client_header_timeout 1s; client_body_timeout 1s; lingering_timeout 200ms;\n\
                 server {{ listen {listen} ssl; server_name {HOST}; ssl_certificate {certificate}; ssl_certificate_key {certificate};\n\
                 location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n"
            );
            let file = format!("{folder}/nginx.conf");
            std::fs::write(&file, configuration).unwrap();
            let mut command = Command::new("nginx");
            command.args(["-p", folder, "-c", &file]);
            command
        })
    }

    fn haproxy() -> Self {
        Self::start("haproxy", |folder, certificate, listen, upstream| {
            let configuration = format!(
                "global\n maxconn 256\n\
                 defaults\n mode http\n timeout connect 2s\n timeout server 5s\n timeout client 2s\n\
                 timeout http-request 1s\n timeout http-keep-alive 300ms\n\
                 listen probed\n bind {listen} ssl crt {certificate}\n server witness {upstream}\n"
            );
            let file = format!("{folder}/haproxy.cfg");
            std::fs::write(&file, configuration).unwrap();
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", &file]);
            command
        })
    }

    fn start(name: &str, command: impl FnOnce(&str, &str, SocketAddr, SocketAddr) -> Command) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let certificate = format!("{path}/certificate.pem");
        std::fs::write(&certificate, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        let witness = Witness::start().unwrap();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = command(path, &certificate, listen, witness.address())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut reference = Self {
            child,
            witness,
            target: Target::new(listen, HOST).unwrap(),
            _folder: folder,
        };
        let start = Instant::now();
        while TcpStream::connect(listen).is_err() {
            let ended = reference.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(20),
                "{name}: {ended:?}"
            );
            // It says nothing when it listens.
            thread::sleep(Duration::from_millis(20));
        }
        assert!(reference.target.serves().is_some(), "{name} serves an ordinary client");
        reference
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// How many requests a proxy made of a probe.
fn requests(verdict: &Verdict) -> usize {
    verdict.seen.iter().filter(|seen| seen.complete).count()
}

/// Whether a proxy took nothing of a probe for a request, and told nobody that it had.
fn refused(verdict: &Verdict) -> bool {
    requests(verdict) == 0 && !verdict.statuses.iter().any(|status| (200..400).contains(status))
}

fn judge(target: &Target, witness: &Witness, probes: &[Probe]) -> Vec<Verdict> {
    let judged = probes
        .iter()
        .map(|probe| run(target, probe, Some(witness), WITHIN).unwrap());
    judged.collect()
}

#[test]
fn redan_refuses_whatever_nginx_or_haproxy_refuses() {
    let (site, nginx, haproxy) = (Site::start(), Reference::nginx(), Reference::haproxy());
    let probes = probes(HOST);
    let (ours, by_nginx, by_haproxy) = thread::scope(|scope| {
        let ours = scope.spawn(|| judge(&site.target, &site.witness, &probes));
        let by_nginx = scope.spawn(|| judge(&nginx.target, &nginx.witness, &probes));
        let by_haproxy = scope.spawn(|| judge(&haproxy.target, &haproxy.witness, &probes));
        (
            ours.join().unwrap(),
            by_nginx.join().unwrap(),
            by_haproxy.join().unwrap(),
        )
    });
    let mut wrong = Vec::new();
    let mut stricter = 0;
    for (((probe, ours), nginx), haproxy) in probes.iter().zip(&ours).zip(&by_nginx).zip(&by_haproxy) {
        for (name, theirs) in [("nginx", nginx), ("HAProxy", haproxy)] {
            if refused(theirs) && !refused(ours) {
                wrong.push(format!(
                    "{}: {name} refuses it ({:?}), we do not",
                    probe.name, theirs.statuses
                ));
            }
            // A probe is never more requests to us than to them.
            if !refused(theirs) && requests(ours) > requests(theirs) && !matches!(probe.expected, Expected::Answered(_))
            {
                wrong.push(format!(
                    "{}: {} requests, {name} sees {}",
                    probe.name,
                    requests(ours),
                    requests(theirs)
                ));
            }
        }
        stricter += usize::from(refused(ours) && !(refused(nginx) && refused(haproxy)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The references are real: they take the clear ones, and some that we refuse.
    assert!(by_nginx.iter().filter(|verdict| !refused(verdict)).count() > 10);
    assert!(by_haproxy.iter().filter(|verdict| !refused(verdict)).count() > 10);
    assert!(stricter > 10, "{stricter}");
}
