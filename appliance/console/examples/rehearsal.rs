//! Serves the console on `127.0.0.1:9443` among services that answer from memory, for work on the pages: `ann`, `correct horse`.
//! With a path as argument, writes a ready file as `cargo evaluate` does, for the browser tests.

#[path = "../tests/support/mod.rs"]
mod support;

use redan_console::server::Server;
use redan_ipc::messages::audit::{Actor, Outcome};
use redan_types::Process;
use std::error::Error;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let world = support::world::world();
    for i in 0..12_000 {
        let (actor, action, outcome) = match i % 5 {
            0 => (Actor::User("ann".to_owned()), "session.opened", Outcome::Succeeded),
            1 => (Actor::Process(Process::Proxy), "request.refused", Outcome::Denied),
            2 => (
                Actor::Process(Process::Supervisor),
                "service.restarted",
                Outcome::Succeeded,
            ),
            3 => (Actor::User("eve".to_owned()), "console.refused", Outcome::Denied),
            _ => (Actor::Process(Process::Network), "network.applied", Outcome::Failed),
        };
        support::world::lock(&world).record(
            actor,
            action,
            &format!("service/shop-{}", i % 7),
            outcome,
            &format!("occurrence {i}"),
        );
    }
    let console = support::console(world);
    let live = std::sync::Arc::clone(&console.live);
    tokio::spawn(async move { live.run().await });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:9443").await?;
    if let Some(file) = std::env::args().nth(1) {
        let ready = serde_json::json!({
            "published_url": "https://127.0.0.1:8443/", "console_url": "https://127.0.0.1:9443/", "fingerprint": "",
            "admin": "admin", "password": "once", "api_key": support::world::KEY, "state": "",
        });
        std::fs::write(file, ready.to_string())?;
    }
    Server::new(console.app.router(), console.tls, console.settings)
        .accept(listener)
        .await;
    Ok(())
}
