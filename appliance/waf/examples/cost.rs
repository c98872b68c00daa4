//! What transformations and injection detection cost on ordinary values: nanoseconds for each value of the standard input, one a
//! line, in an ordinary loop. Compare versions with `valgrind --tool=callgrind`, which counts instructions:
//!
//!     cargo run --release --example cost -- [ROUNDS] < values

use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

use redan_waf::bytes::ByteSet;
use redan_waf::injection::{detect_sqli, detect_xss};
use redan_waf::operator::{Captures, Files, Operator};
use redan_waf::transform::Transformation;

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

fn main() -> std::io::Result<()> {
    let rounds: u32 = std::env::args()
        .nth(1)
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(5);
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let values: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let count = f64::from(rounds) * f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let measure = |name: &str, work: &mut dyn FnMut(&[u8]) -> bool| {
        let start = Instant::now();
        let mut hits = 0_u32;
        for _ in 0..rounds {
            for value in &values {
                hits += u32::from(black_box(work(black_box(value))));
            }
        }
        println!(
            "{name:24} {:8.1} ns  {:6.2} %",
            start.elapsed().as_secs_f64() * 1e9 / count,
            f64::from(hits) * 100.0 / count
        );
    };
    measure("ByteSet::of", &mut |value| ByteSet::of(value).is_empty());
    measure("detectSQLi", &mut |value| detect_sqli(value).is_some());
    measure("detectXSS", &mut detect_xss);
    let mut captures = Captures::default();
    for name in ["detectSQLi", "detectXSS"] {
        if let Ok(operator) = Operator::compile(name, b"", &NoFiles) {
            measure(&format!("@{name}"), &mut |value| {
                captures.clear();
                operator.evaluate(value, ByteSet::of(value), &mut captures)
            });
        }
    }
    for transformation in Transformation::EVERY {
        measure(transformation.name(), &mut |value| {
            *transformation.apply(value) != *value
        });
    }
    Ok(())
}
