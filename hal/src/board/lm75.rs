//! Temperature sensors of the LM75 family (National Semiconductor LM75 data sheet, sections 1.9 and 1.10): register 0 holds the
//! temperature, two's complement, the upper 9 to 12 bits of 16, in halves to sixteenths of a degree.

use embedded_hal::i2c::I2c;

const TEMPERATURE: u8 = 0;
/// What the family measures: −55 °C to 125 °C. Anything else is a line that nobody drives.
const RANGE: std::ops::RangeInclusive<i32> = -55_000..=125_000;

/// A sensor on a bus.
#[derive(Debug)]
pub struct Lm75<B> {
    bus: B,
    address: u8,
}

/// Why there is no temperature.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Lm75Error<E: std::fmt::Debug> {
    /// The bus, or nobody answers.
    #[error("the sensor does not answer ({0:?})")]
    Bus(E),
    /// What came cannot be a temperature.
    #[error("the sensor says {0} thousandths of a degree, which it cannot measure")]
    Range(i32),
}

impl<B: I2c> Lm75<B> {
    /// The sensor at this address.
    pub const fn new(bus: B, address: u8) -> Self {
        Self { bus, address }
    }

    /// The temperature in thousandths of a degree Celsius.
    ///
    /// # Errors
    /// [`Lm75Error`].
    pub fn temperature(&mut self) -> Result<i32, Lm75Error<B::Error>> {
        let mut bytes = [0; 2];
        self.bus
            .write_read(self.address, &[TEMPERATURE], &mut bytes)
            .map_err(Lm75Error::Bus)?;
        // Sixteenths of a degree in the upper twelve bits.
        let thousandths = i32::from(i16::from_be_bytes(bytes) >> 4) * 1_000 / 16;
        if RANGE.contains(&thousandths) {
            Ok(thousandths)
        } else {
            Err(Lm75Error::Range(thousandths))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lm75, Lm75Error};
    use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

    /// A bus with one sensor at 0x48.
    struct Bus([u8; 2]);

    impl ErrorType for Bus {
        type Error = ErrorKind;
    }

    impl I2c for Bus {
        fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            if address != 0x48 {
                return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
            }
            for operation in operations {
                match operation {
                    Operation::Write(bytes) => assert_eq!(*bytes, [0]),
                    Operation::Read(bytes) => bytes.copy_from_slice(&self.0),
                }
            }
            Ok(())
        }
    }

    #[test]
    fn temperatures_of_the_data_sheet_are_read() {
        for (bytes, thousandths) in [
            ([0x7d, 0x00], 125_000),
            ([0x19, 0x00], 25_000),
            ([0x00, 0x80], 500),
            ([0x00, 0x00], 0),
            ([0xff, 0x80], -500),
            ([0xe7, 0x00], -25_000),
            ([0xc9, 0x00], -55_000),
        ] {
            assert_eq!(Lm75::new(Bus(bytes), 0x48).temperature(), Ok(thousandths));
        }
    }

    #[test]
    fn an_absent_sensor_and_a_dead_line_are_no_temperature() {
        assert!(matches!(
            Lm75::new(Bus([0, 0]), 0x49).temperature(),
            Err(Lm75Error::Bus(_))
        ));
        assert_eq!(
            Lm75::new(Bus([0x80, 0x00]), 0x48).temperature(),
            Err(Lm75Error::Range(-128_000))
        );
    }
}
