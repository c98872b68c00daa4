//! Shamir's secret sharing over GF(2^8) (A. Shamir, "How to Share a Secret", 1979), the field of AES (x⁸ + x⁴ + x³ + x + 1).
//!
//! Each byte of the secret is the value at 0 of a random polynomial of degree `threshold` − 1; a share is the polynomials' values at
//! its own place. Fewer shares than the threshold say nothing about the secret. There are no tables and no branches on secrets:
//! time and memory accesses depend on the numbers of shares only. Whether shares belong together is not seen here but by what the
//! secret opens.

use zeroize::{Zeroize, Zeroizing};

/// Bytes of the secret.
pub(crate) const LENGTH: usize = 32;

/// A share: its place, which is public and not 0, and its values.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) place: u8,
    pub(crate) values: Zeroizing<[u8; LENGTH]>,
}

/// Splits a secret into `shares` points of which any `threshold` give it back. `random` fills a buffer.
///
/// `None` where the numbers make no sense (1 ≤ threshold ≤ shares ≤ 255).
pub(crate) fn split<E>(
    secret: &[u8; LENGTH],
    shares: u8,
    threshold: u8,
    mut random: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Option<Vec<Point>>, E> {
    if threshold == 0 || threshold > shares {
        return Ok(None);
    }
    let mut coefficients = Zeroizing::new(vec![[0; LENGTH]; usize::from(threshold) - 1]);
    for coefficient in coefficients.iter_mut() {
        random(coefficient)?;
    }
    let point = |place| {
        let mut values = Zeroizing::new([0; LENGTH]);
        // Horner's rule, from the highest coefficient down to the secret.
        for coefficient in coefficients.iter().rev().chain([secret]) {
            for (value, byte) in values.iter_mut().zip(coefficient) {
                *value = multiply(*value, place) ^ byte;
            }
        }
        Point { place, values }
    };
    Ok(Some((1..=shares).map(point).collect()))
}

/// The secret of which these are shares: all that are given are used. `None` where there is none, or two have the same place.
pub(crate) fn combine(points: &[Point]) -> Option<Zeroizing<[u8; LENGTH]>> {
    let mut secret = Zeroizing::new([0; LENGTH]);
    if points.is_empty() {
        return None;
    }
    for (index, point) in points.iter().enumerate() {
        // Lagrange's polynomial of this point at 0: the product of x / (x − own), where minus is exclusive or.
        let (mut above, mut below) = (1, 1);
        for (_, other) in points.iter().enumerate().filter(|(at, _)| *at != index) {
            above = multiply(above, other.place);
            below = multiply(below, other.place ^ point.place);
        }
        if above == 0 || below == 0 || point.place == 0 {
            return None;
        }
        let mut factor = multiply(above, invert(below));
        for (sum, value) in secret.iter_mut().zip(point.values.iter()) {
            *sum ^= multiply(*value, factor);
        }
        factor.zeroize();
    }
    Some(secret)
}

/// The product in the field.
const fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    let mut bit = 0;
    while bit < 8 {
        product ^= a & (b & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
        b >>= 1;
        bit += 1;
    }
    product
}

/// The inverse: the 254th power. 0 for 0.
const fn invert(a: u8) -> u8 {
    let mut power = a;
    let mut product = 1;
    let mut bit = 1;
    while bit < 8 {
        power = multiply(power, power);
        product = multiply(product, power);
        bit += 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::{LENGTH, Point, combine, invert, multiply, split};
    use proptest::prelude::*;
    use std::convert::Infallible;
    use zeroize::Zeroizing;

    /// FIPS 197, section 4.2: the worked examples of multiplication.
    #[test]
    fn the_field_is_that_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
            assert_eq!(multiply(a, 1), a);
            assert_eq!(multiply(a, 0), 0);
        }
        assert_eq!(invert(0), 0);
    }

    fn shares(secret: &[u8; LENGTH], shares: u8, threshold: u8, seed: &[u8]) -> Vec<Point> {
        let mut position = 0;
        let fill = |buffer: &mut [u8]| -> Result<(), Infallible> {
            for byte in buffer {
                *byte = seed[position % seed.len()];
                position += 1;
            }
            Ok(())
        };
        split(secret, shares, threshold, fill).unwrap().unwrap()
    }

    proptest! {
        #[test]
        fn any_threshold_of_the_shares_gives_the_secret_back(
            secret: [u8; LENGTH], seed in prop::collection::vec(any::<u8>(), 1_024),
            (count, threshold) in (1_u8..=16).prop_flat_map(|count| (Just(count), 1..=count)),
            order in Just((0_usize..16).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let made = shares(&secret, count, threshold, &seed);
            let chosen: Vec<_> = order
                .into_iter()
                .filter_map(|index| made.get(index).cloned())
                .take(usize::from(threshold))
                .collect();
            prop_assert_eq!(*combine(&chosen).unwrap(), secret);
            prop_assert_eq!(*combine(&made).unwrap(), secret, "more than needed do no harm");
        }

        /// What secrecy means: with one share too few, for every secret there is a last share that leads to it.
        #[test]
        fn too_few_shares_fit_every_secret(secret: [u8; LENGTH], other: [u8; LENGTH], seed in prop::collection::vec(any::<u8>(), 256)) {
            let made = shares(&secret, 3, 3, &seed);
            let mut values = Zeroizing::new([0; LENGTH]);
            // Find the third share's values that lead to `other`: the map is linear in them.
            let without = [made[0].clone(), made[1].clone(), Point { place: 3, values: Zeroizing::new([0; LENGTH]) }];
            let with = [made[0].clone(), made[1].clone(), Point { place: 3, values: Zeroizing::new([1; LENGTH]) }];
            let (base, step) = (combine(&without).unwrap(), combine(&with).unwrap());
            for index in 0..LENGTH {
                values[index] = multiply(base[index] ^ other[index], invert(step[index] ^ base[index]));
            }
            let forged = [made[0].clone(), made[1].clone(), Point { place: 3, values }];
            prop_assert_eq!(*combine(&forged).unwrap(), other);
        }
    }

    #[test]
    fn a_changed_share_gives_another_secret() {
        let mut made = shares(&[7; LENGTH], 5, 3, b"some bytes that are long enough");
        made[1].values[0] ^= 1;
        assert_ne!(*combine(&made[..3]).unwrap(), [7; LENGTH]);
    }

    #[test]
    fn shares_that_make_no_sense_are_refused() {
        let made = shares(&[7; LENGTH], 2, 2, b"seed");
        assert!(combine(&[]).is_none());
        assert!(combine(&[made[0].clone(), made[0].clone()]).is_none());
        let nowhere = Point {
            place: 0,
            ..made[0].clone()
        };
        assert!(combine(&[nowhere.clone()]).is_none());
        assert!(combine(&[made[0].clone(), nowhere]).is_none());
        let refused = |shares, threshold| {
            split::<Infallible>(&[0; LENGTH], shares, threshold, |_| Ok(()))
                .unwrap()
                .is_none()
        };
        assert!(refused(3, 0) && refused(3, 4) && refused(0, 0));
    }
}
