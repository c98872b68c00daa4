//! The sample application: a small shop, as careless as real ones. It says which server it runs, prints a stack trace when it
//! fails, and knows nothing of TLS, logins or limits.

use serde_json::{Value, json};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tiny_http::{Header, Method, Request, Response, Server};

const THREADS: usize = 8;
/// Bytes of a body that `/echo` gives back.
const ECHO: u64 = 1 << 20;

const PAGE: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Corner shop</title></head>
<body>
<h1>Corner shop</h1>
<p>A small application behind Redan. It has no TLS, no login and no limits of its own.</p>
<ul>
<li><a href=\"/api/orders\">/api/orders</a>: orders, for API keys with the role user</li>
<li><a href=\"/api/admin/users\">/api/admin/users</a>: customers, for the role admin</li>
<li><a href=\"/limited\">/limited</a>: ten requests a minute</li>
<li><a href=\"/error\">/error</a>: fails with a stack trace, which you should not see</li>
<li><a href=\"/headers\">/headers</a>: what the application was sent</li>
</ul>
</body></html>
";

/// Serves until it is killed; ends with the process that started it.
pub(crate) fn run(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let server = Server::http(address).map_err(|error| format!("the sample application cannot listen: {error}"))?;
    let server = Arc::new(server);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let server = Arc::clone(&server);
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    // The client may have gone.
                    let _ = answer(request);
                }
            })
        })
        .collect();
    for thread in threads {
        // A thread ends when the server's socket fails.
        let _ = thread.join();
    }
    Err("the sample application's socket failed".into())
}

fn answer(mut request: Request) -> std::io::Result<()> {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    match (request.method(), path) {
        (Method::Get | Method::Head, "/") => respond(request, 200, "text/html; charset=utf-8", PAGE.to_owned()),
        (Method::Get | Method::Head, "/health") => respond(request, 200, "text/plain", "ok\n".to_owned()),
        (Method::Get, "/limited") => respond(request, 200, "text/plain", "one of ten a minute\n".to_owned()),
        (Method::Get, "/api/orders") => respond_json(
            request,
            200,
            &json!([{"order": 1001, "item": "tea"}, {"order": 1002, "item": "lamp"}]),
        ),
        (Method::Get, "/api/admin/users") => respond_json(request, 200, &json!([{"name": "Ann"}, {"name": "Bob"}])),
        (Method::Get, "/headers") => {
            let fields: Vec<Value> = request
                .headers()
                .iter()
                .map(|field| json!([field.field.as_str().as_str(), field.value.as_str()]))
                .collect();
            respond_json(request, 200, &json!({ "fields": fields }))
        }
        (Method::Post | Method::Put, "/echo") => {
            let mut body = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(request.as_reader(), ECHO), &mut body)?;
            request.respond(Response::from_data(body))
        }
        (Method::Get, "/bytes") => {
            let size = query.parse().unwrap_or(1_024_usize).min(16 << 20);
            request.respond(Response::from_data(vec![b'x'; size]))
        }
        (Method::Get, "/slow") => {
            std::thread::sleep(Duration::from_secs(2));
            respond(request, 200, "text/plain", "at last\n".to_owned())
        }
        (_, "/error") => {
            let trace = "Traceback: File \"/srv/shop/orders.py\", line 42, in total\n  password = 'hunter2'\n";
            respond(request, 500, "text/plain", trace.to_owned())
        }
        _ => respond(request, 404, "text/plain", "no such page\n".to_owned()),
    }
}

fn respond_json(request: Request, status: u16, value: &Value) -> std::io::Result<()> {
    respond(request, status, "application/json", format!("{value}\n"))
}

fn respond(request: Request, status: u16, kind: &str, body: String) -> std::io::Result<()> {
    let field = |name: &str, value: &str| Header::from_bytes(name, value).ok();
    let mut response = Response::from_string(body).with_status_code(status);
    let headers = [
        field("Content-Type", kind),
        field("Server", "ShopServer/0.3"),
        field("X-Powered-By", "tea"),
    ];
    for header in headers.into_iter().flatten() {
        response.add_header(header);
    }
    request.respond(response)
}
