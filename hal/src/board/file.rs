//! The board file: TOML, on the verified root.

use serde::Deserialize;
use std::fs;
use std::path::Path;

/// More devices of a kind than any board has.
const MOST: usize = 16;
/// The largest file.
const LARGEST: u64 = 64 << 10;

/// A board.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Board {
    /// What people call it.
    pub name: String,
    /// Beginnings of `sys_vendor` and `product_name` in DMI that show this board; empty: any board.
    #[serde(default)]
    pub vendor: String,
    /// See `vendor`.
    #[serde(default)]
    pub product: String,
    /// Buttons.
    #[serde(default)]
    pub button: Vec<Button>,
    /// Temperature sensors on an I²C bus.
    #[serde(default)]
    pub temperature: Vec<Temperature>,
    /// Fans.
    #[serde(default)]
    pub fan: Vec<Monitor>,
    /// The chassis switch.
    #[serde(default)]
    pub intrusion: Option<Monitor>,
    /// The status light: its name in `/sys/class/leds`.
    #[serde(default)]
    pub status_led: Option<String>,
}

/// A button: an input device and its key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Button {
    /// What it is for.
    pub purpose: Purpose,
    /// The input device's name, as the kernel tells it.
    pub device: String,
    /// The key's number (linux/input-event-codes.h): 116 is power, 408 restart.
    pub key: u16,
}

/// What a button is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Stops everything and switches off.
    Power,
    /// Restarts; held for ten seconds, factory reset.
    Reset,
}

/// A sensor of the LM75 family.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Temperature {
    /// What it measures.
    pub name: String,
    /// Number of the bus: `/dev/i2c-N`.
    pub bus: u8,
    /// Its address, 7 bits.
    pub address: u8,
    /// Too hot from here on, in °C.
    pub limit: i16,
}

/// Something that the kernel's hardware monitoring reads.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Monitor {
    /// What it is.
    pub name: String,
    /// The chip's name in `/sys/class/hwmon/*/name`.
    pub chip: String,
    /// The file beside it, such as `fan1_input`.
    pub file: String,
}

/// What is wrong with a board file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// Its form.
    #[error("{0}: {1}")]
    Form(String, toml::de::Error),
    /// A value.
    #[error("{0}: {1}")]
    Value(String, String),
}

impl Board {
    /// Reads the text of a board file.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str, file: &str) -> Result<Self, BoardError> {
        let board: Self = toml::from_str(text).map_err(|error| BoardError::Form(file.to_owned(), error))?;
        let wrong = |what: &str| Err(BoardError::Value(file.to_owned(), what.to_owned()));
        if [board.button.len(), board.temperature.len(), board.fan.len()]
            .iter()
            .any(|count| *count > MOST)
        {
            return wrong("more than 16 devices of a kind");
        }
        if board
            .temperature
            .iter()
            .any(|sensor| !(0x08..0x78).contains(&sensor.address))
        {
            return wrong("an I²C address lies from 0x08 to 0x77");
        }
        let monitors = board.fan.iter().chain(&board.intrusion);
        let names = monitors
            .map(|monitor| monitor.file.as_str())
            .chain(board.status_led.as_deref());
        if names
            .into_iter()
            .any(|name| name.is_empty() || name.starts_with('.') || name.contains('/'))
        {
            return wrong("a name of a device's file has no slash and does not begin with a full stop");
        }
        Ok(board)
    }

    /// The board of this machine: the file in the folder that fits it best.
    ///
    /// # Errors
    /// The first file that is wrong.
    pub fn of_this_machine(folder: &Path) -> Result<Self, BoardError> {
        let dmi = |name: &str| fs::read_to_string(format!("/sys/class/dmi/id/{name}")).unwrap_or_default();
        Self::find(folder, dmi("sys_vendor").trim(), dmi("product_name").trim())
    }

    fn find(folder: &Path, vendor: &str, product: &str) -> Result<Self, BoardError> {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .collect();
        paths.sort();
        let mut best = Self::default();
        for path in paths {
            let name = path.display().to_string();
            let read = fs::metadata(&path).and_then(|metadata| match metadata.len() {
                0..=LARGEST => fs::read_to_string(&path),
                _ => Err(std::io::ErrorKind::FileTooLarge.into()),
            });
            let text = read.map_err(|error| BoardError::Read(name.clone(), error))?;
            let board = Self::parse(&text, &name)?;
            let fits = vendor.starts_with(&board.vendor) && product.starts_with(&board.product);
            if fits && (best.name.is_empty() || board.precision() > best.precision()) {
                best = board;
            }
        }
        Ok(best)
    }

    /// How much of the machine the file names.
    const fn precision(&self) -> usize {
        self.vendor.len() + self.product.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Board;

    const PC: &str = "name = \"PC\"\n[[button]]\npurpose = \"power\"\ndevice = \"Power Button\"\nkey = 116\n";
    const QEMU: &str =
        "name = \"QEMU\"\nvendor = \"QEMU\"\n[[temperature]]\nname = \"board\"\nbus = 0\naddress = 0x48\nlimit = 80\n";

    #[test]
    fn the_file_that_names_most_of_the_machine_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pc.toml"), PC).unwrap();
        std::fs::write(folder.path().join("qemu.toml"), QEMU).unwrap();
        assert_eq!(Board::find(folder.path(), "QEMU", "Standard PC").unwrap().name, "QEMU");
        assert_eq!(Board::find(folder.path(), "Acme", "X").unwrap().name, "PC");
        assert_eq!(
            Board::find(&folder.path().join("none"), "", "").unwrap(),
            Board::default()
        );
    }

    #[test]
    fn what_cannot_be_a_board_is_refused() {
        for wrong in [
            "name = 1\n".to_owned(),
            format!("{PC}speed = 1\n"),
            QEMU.replace("0x48", "0x78"),
            format!("{PC}[[fan]]\nname = \"x\"\nchip = \"y\"\nfile = \"../secret\"\n"),
        ] {
            assert!(Board::parse(&wrong, "x.toml").is_err(), "{wrong}");
        }
    }
}
