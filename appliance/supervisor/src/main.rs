//! The supervisor's process.
#![forbid(unsafe_code)]

use redan_supervisor::{Options, Supervisor};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = Options::from_arguments(std::env::args_os())
        .map_err(Box::<dyn Error>::from)
        .and_then(|options| Ok(Supervisor::new(&options)?.run()?));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("redan-supervisor: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                let words = inner.to_string();
                if !text.ends_with(&words) {
                    text.push_str(&format!(": {words}"));
                }
                cause = inner.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
