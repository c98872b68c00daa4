//! Everything on the board that can be read.

use linux_embedded_hal::I2cdev;
use std::fs;
use std::path::{Path, PathBuf};

use super::file::{Board, Monitor, Temperature};
use super::lm75::Lm75;

/// What a device says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    /// Which.
    pub name: String,
    /// With its unit, or why there is none.
    pub value: String,
    /// Whether it is there and as it should be.
    pub good: bool,
}

/// All readings of a board, absent devices too.
#[must_use]
pub fn read(board: &Board) -> Vec<Reading> {
    let temperatures = board.temperature.iter().map(temperature);
    let fans = board.fan.iter().map(|fan| {
        let speed = monitor(Path::new(HWMON), fan);
        let good = speed.as_ref().is_ok_and(|speed| *speed > 0);
        reading(
            &format!("fan {}", fan.name),
            speed.map(|speed| format!("{speed}/min")),
            good,
        )
    });
    let intrusion = board.intrusion.iter().map(|switch| {
        let alarm = monitor(Path::new(HWMON), switch);
        let good = alarm == Ok(0);
        let words = alarm.map(|alarm| if alarm == 0 { "closed" } else { "was opened" }.to_owned());
        reading(&format!("chassis {}", switch.name), words, good)
    });
    temperatures.chain(fans).chain(intrusion).collect()
}

const HWMON: &str = "/sys/class/hwmon";

fn temperature(sensor: &Temperature) -> Reading {
    let measured = I2cdev::new(format!("/dev/i2c-{}", sensor.bus))
        .map_err(|error| format!("absent: no bus {}: {error}", sensor.bus))
        .and_then(|bus| {
            Lm75::new(bus, sensor.address)
                .temperature()
                .map_err(|error| format!("absent: {error}"))
        });
    let good = measured
        .as_ref()
        .is_ok_and(|thousandths| *thousandths < i32::from(sensor.limit) * 1_000);
    let words = measured.map(|thousandths| format!("{}.{} °C", thousandths / 1_000, (thousandths % 1_000).abs() / 100));
    reading(&format!("temperature {}", sensor.name), words, good)
}

fn reading(name: &str, value: Result<String, String>, good: bool) -> Reading {
    Reading {
        name: name.to_owned(),
        value: value.unwrap_or_else(|why| why),
        good,
    }
}

fn monitor(root: &Path, wanted: &Monitor) -> Result<i64, String> {
    let absent = || format!("absent: no chip {}", wanted.chip);
    let folder = chip(root, &wanted.chip).ok_or_else(absent)?;
    let text = fs::read_to_string(folder.join(&wanted.file)).map_err(|error| format!("absent: {error}"))?;
    text.trim().parse().map_err(|_| "absent: no number".to_owned())
}

fn chip(root: &Path, name: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(root).ok()?.flatten().map(|entry| entry.path());
    folders
        .into_iter()
        .find(|folder| fs::read_to_string(folder.join("name")).is_ok_and(|found| found.trim() == name))
}

#[cfg(test)]
mod tests {
    use super::{Board, monitor, read};
    use crate::board::file::{Monitor, Temperature};

    #[test]
    fn the_kernels_monitoring_is_read_by_the_chips_name() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("hwmon3")).unwrap();
        std::fs::write(root.path().join("hwmon3/name"), "it8613\n").unwrap();
        std::fs::write(root.path().join("hwmon3/fan1_input"), "1450\n").unwrap();
        let wanted = |chip: &str| Monitor {
            name: "case".to_owned(),
            chip: chip.to_owned(),
            file: "fan1_input".to_owned(),
        };
        assert_eq!(monitor(root.path(), &wanted("it8613")), Ok(1450));
        assert!(
            monitor(root.path(), &wanted("nct6775"))
                .unwrap_err()
                .starts_with("absent")
        );
    }

    #[test]
    fn what_is_absent_is_reported_and_not_good() {
        let board = Board {
            temperature: vec![Temperature {
                name: "board".to_owned(),
                bus: 250,
                address: 0x48,
                limit: 80,
            }],
            ..Board::default()
        };
        let readings = read(&board);
        assert!(
            !readings[0].good && readings[0].value.starts_with("absent"),
            "{readings:?}"
        );
    }
}
