//! The network service's process: enters its sandbox, brings the packet filter up, answers.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use redan_ipc::Pair;
use redan_ipc::messages::network::{NetworkReply, NetworkRequest};
use redan_ipc::messages::{ConsoleNetwork, ManagerBlocklist, ManagerNetwork};
use redan_network::Network;
use redan_service::Service;
use redan_types::{Mode, Process, Timestamp};

fn main() -> ExitCode {
    let service = match Service::start(Process::Network) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("redan-network: {}", redan_service::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    // A network that is shared with the host is the host's own business.
    let opened = match service.mode() {
        Mode::EvaluationBare => Ok(Network::without_filter()),
        Mode::Appliance | Mode::EvaluationRoot | Mode::EvaluationUser => Network::open(now()),
    };
    let network = match opened {
        Ok(network) => Arc::new(Mutex::new(network)),
        Err(error) => {
            // The supervisor says it on.
            service.failed(&error);
            return ExitCode::FAILURE;
        }
    };
    let applying = Arc::clone(&network);
    service.serve::<ManagerNetwork, _>(move |_| {
        let network = Arc::clone(&applying);
        move |request, responder| {
            let reply = network
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .apply(request, now());
            responder.reply(&reply);
        }
    });
    answer::<ConsoleNetwork>(&service, &network);
    answer::<ManagerBlocklist>(&service, &network);
    service.ready();
    // The rules stay in the kernel: whoever stops this process must not open the filter by that.
    service.wait_for_stop();
    ExitCode::SUCCESS
}

fn answer<P: Pair<Request = NetworkRequest, Reply = NetworkReply>>(service: &Service, network: &Arc<Mutex<Network>>) {
    let network = Arc::clone(network);
    service.serve::<P, _>(move |_| {
        let network = Arc::clone(&network);
        move |request, responder| {
            let reply = network
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .answer(request, now());
            responder.reply(&reply);
        }
    });
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}
