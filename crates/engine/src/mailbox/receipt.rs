//! What proves that a message was delivered.
//!
//! A receipt says which delivery it is for, and carries a MAC of that under a key of the queue. So
//! a receipt that was never given out, or was given out by another queue, is known to be none
//! without looking anything up; and one that was is known to be late when its lease is over, also
//! when its message is long gone and nothing is kept about it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::SipHasher24;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::text::Text;

const NAMED: usize = 12;
const MAC: usize = 16;
const CHARS: usize = ((NAMED + MAC) * 8).div_ceil(6);

/// Belongs to one delivery of a message. Written as 38 characters that need no escaping in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    bytes: [u8; NAMED + MAC],
}

/// Makes and verifies the receipts of one queue, or of its dead letters.
pub(super) struct ReceiptKey(pub(super) Zeroizing<[u8; 16]>);

impl Receipt {
    /// A receipt without its MAC, to be sealed once no lock is held.
    pub(super) fn unsealed(slot: u32, delivery: u64) -> Self {
        let mut bytes = [0; NAMED + MAC];
        bytes[..4].copy_from_slice(&slot.to_be_bytes());
        bytes[4..NAMED].copy_from_slice(&delivery.to_be_bytes());
        Self { bytes }
    }
}

impl Receipt {
    /// As it is written.
    pub fn text(&self) -> Text {
        Text::of(&self.bytes)
    }
}

impl ReceiptKey {
    pub(super) fn seal(&self, receipt: &mut Receipt) {
        let (named, mac) = receipt.bytes.split_at_mut(NAMED);
        mac.copy_from_slice(&self.mac(named));
    }

    /// The slot and the delivery that a receipt names. `None` if it is none of this key.
    pub(super) fn verify(&self, text: &str) -> Option<(u32, u64)> {
        // Room for what the decoder takes for possible before it looks.
        let mut bytes = [0; CHARS];
        if text.len() != CHARS {
            return None;
        }
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (named, mac) = bytes[..length].split_at_checked(NAMED)?;
        // As numbers, so that it takes few instructions and always the same ones.
        let [mac, right] = [mac.try_into().ok()?, self.mac(named)].map(u128::from_ne_bytes);
        if !bool::from(right.ct_eq(&mac)) {
            return None;
        }
        let slot = u32::from_be_bytes(named[..4].try_into().ok()?);
        let delivery = u64::from_be_bytes(named[4..].try_into().ok()?);
        Some((slot, delivery))
    }

    /// SipHash-2-4 with 128 bits, which is made for short inputs: a receipt is made and verified
    /// for every message, and BLAKE3 took a fifth of all that a message costs.
    fn mac(&self, named: &[u8]) -> [u8; MAC] {
        SipHasher24::new_with_key(&self.0).hash(named).as_bytes()
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key(byte: u8) -> ReceiptKey {
        ReceiptKey(Zeroizing::new([byte; 16]))
    }

    fn receipt(slot: u32, delivery: u64) -> String {
        let mut receipt = Receipt::unsealed(slot, delivery);
        key(1).seal(&mut receipt);
        receipt.to_string()
    }

    #[test]
    fn a_receipt_is_verified_under_its_key_alone() {
        for (slot, delivery) in [(0, 0), (7, 1), (u32::MAX - 1, u64::MAX)] {
            let text = receipt(slot, delivery);
            assert_eq!(text.len(), CHARS);
            assert_eq!(key(1).verify(&text), Some((slot, delivery)));
            assert_eq!(key(2).verify(&text), None);
        }
    }

    /// Every other letter at every place: a change of the slot, of the delivery, of the MAC, or of
    /// the bits at the end that belong to no byte.
    #[test]
    fn a_receipt_with_another_letter_is_none() {
        let text = receipt(3, 500);
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+ ";
        for at in 0..CHARS {
            for letter in alphabet.iter().filter(|it| **it != text.as_bytes()[at]) {
                let mut other = text.clone().into_bytes();
                other[at] = *letter;
                assert_eq!(key(1).verify(str::from_utf8(&other).unwrap()), None);
            }
        }
        for other in ["", "A", &text[1..], &format!("{text}A"), &"é".repeat(19)] {
            assert_eq!(key(1).verify(other), None, "{other:?}");
        }
    }
}
