//! Active health checks: one thread asks each server that has one configured.

use crate::clock::{Clock, Timer};
use crate::shared::Shared;
use crate::upstream::{Connection, Upstream};
use redan_http1::{Authority, Framing, Method, Persistence, RequestWriter, Target};
use redan_ipc::slice::HealthCheck;
use redan_types::{HostName, Port};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::{Duration, Instant, sleep};

/// A check's connection and response together, in milliseconds, at most.
const PATIENCE: u64 = 2_000;

/// Checks for ever.
pub(crate) async fn watch(shared: Arc<Shared>, clock: Rc<Clock>) {
    let mut watched: HashMap<usize, Watched> = HashMap::new();
    loop {
        let now = Instant::now();
        let servers = shared.upstreams();
        watched.retain(|index, _| servers.iter().any(|server| server.index == *index));
        for server in servers {
            let Some(check) = server.check() else { continue };
            let state = watched.entry(server.index).or_insert(Watched {
                due: now,
                failures: Rc::default(),
            });
            if state.due > now {
                continue;
            }
            state.due = now + Duration::from_millis(u64::from(check.interval).max(100));
            let failures = Rc::clone(&state.failures);
            let (whole, connecting) = (clock.timer(0), clock.timer(0));
            tokio::task::spawn_local(async move {
                let healthy = whole.within(PATIENCE, ask(&server, &check, &connecting)).await == Ok(true);
                let count = if healthy { 0 } else { failures.get().saturating_add(1) };
                failures.set(count);
                if healthy {
                    server.set_down(false);
                } else if count >= u32::from(check.failures.max(1)) {
                    server.set_down(true);
                }
            });
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[derive(Debug)]
struct Watched {
    due: Instant,
    failures: Rc<std::cell::Cell<u32>>,
}

/// Whether the server answers with 200 to 399.
async fn ask(server: &Arc<Upstream>, check: &HealthCheck, timer: &Timer) -> bool {
    let address = server.address;
    let (Ok(host), Ok(target)) = (
        HostName::parse(&address.ip().to_string()),
        Target::new(&check.path, None),
    ) else {
        return false;
    };
    let authority = Authority {
        host,
        port: Port::new(address.port()).ok(),
    };
    let mut request = Vec::new();
    RequestWriter::begin(&mut request, Method::Get, target, &authority).finish(Framing::None, Persistence::Close);
    let Ok(mut connection) = Connection::open(server, timer, PATIENCE).await else {
        return false;
    };
    let head = match connection.send(&request, Method::Get).await {
        Ok(None) => poll_fn(|cx| connection.poll_head(cx, Method::Get)).await,
        Ok(Some(head)) => Ok(head),
        Err(fault) => Err(fault),
    };
    head.is_ok_and(|head| (200..400).contains(&head.status().code()))
}
