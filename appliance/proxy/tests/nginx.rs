//! A real nginx behind the proxy, real curl in front of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{HOST, Rig, eventually};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let root = folder.path().display();
        std::fs::write(folder.path().join("large"), "0123456789".repeat(300_000)).unwrap();
        let configuration = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
             uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen {address}; root {root};\n\
             location = /hello {{ default_type text/plain; return 200 hello; }}\n\
             location = /secret {{ return 500 stack; }}\n\
             location = /moved {{ return 302 /hello; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("nginx listens", || TcpStream::connect(address).is_ok());
        Self {
            child,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn curl(rig: &Rig, version: &str, path: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &rig.credentials.pem).unwrap();
    let port = rig.address.port();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "15", "--include", version])
        .arg("--cacert")
        .arg(&roots)
        .arg("--resolve")
        .arg(format!("{HOST}:{port}:127.0.0.1"))
        .arg(format!("https://{HOST}:{port}{path}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn nginx_answers_curl_through_the_proxy_over_both_versions() {
    let nginx = Nginx::start();
    let rig = Rig::start(nginx.address, |_| {});
    for version in ["--http1.1", "--http2"] {
        let hello = curl(&rig, version, "/hello");
        assert!(hello.ends_with("\r\n\r\nhello"), "{hello}");
        assert!(!hello.to_lowercase().contains("nginx"), "no banner: {hello}");
        assert!(curl(&rig, version, "/moved").contains("/hello"));
        let masked = curl(&rig, version, "/secret");
        assert!(masked.contains("500") && !masked.contains("stack"), "{masked}");
        assert!(
            curl(&rig, version, "/large").len() > 3_000_000,
            "a body of many records"
        );
    }
}

#[test]
fn a_connection_to_nginx_is_used_again() {
    let nginx = Nginx::start();
    let rig = Rig::start(nginx.address, |_| {});
    let mut client = rig.client();
    for _ in 0..100 {
        let response = client.ask(&format!("GET /hello HTTP/1.1\nHost: {HOST}\n\n"));
        assert_eq!(response.text(), "hello");
    }
}
