//! What several targets share: how the bytes of an input arrive.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;

/// Most pieces that an input arrives in; what is left then comes at once.
const PIECES: usize = 512;

/// Where the bytes of an input are cut, and how long is waited at each cut.
///
/// In an input: a byte for the number of cuts (modulo 8), and per cut its length (two bytes, little
/// endian) and its pause (one byte). The cuts take turns; without any, or with empty ones only,
/// everything arrives at once.
#[derive(Debug)]
pub struct Cuts(Vec<(u16, u8)>);

/// Bytes in the pieces in which they arrive. In an input: the [`Cuts`], and then all the bytes.
#[derive(Debug)]
pub struct Arrivals {
    /// In order; some may be empty.
    pub pieces: Vec<Piece>,
}

/// Bytes that arrive together.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What arrives.
    pub bytes: Bytes,
    /// How long it is waited for; the unit is the target's.
    pub pause: u8,
}

impl Cuts {
    /// The lengths of the pieces, which take turns.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + Clone {
        self.0.iter().map(|(length, _)| usize::from(*length))
    }

    /// The pieces that `rest` is cut into.
    pub fn cut(&self, mut rest: Bytes) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.lengths().any(|length| length > 0) {
            for (length, pause) in self.0.iter().copied().cycle().take(PIECES) {
                if rest.is_empty() {
                    break;
                }
                let bytes = rest.split_to(rest.len().min(usize::from(length)));
                pieces.push(Piece { bytes, pause });
            }
        }
        if !rest.is_empty() {
            pieces.push(Piece {
                bytes: rest,
                pause: 0,
            });
        }
        pieces
    }
}

impl Arrivals {
    /// All the bytes, one piece after the other.
    pub fn concat(&self) -> Bytes {
        let pieces = self.pieces.iter().flat_map(|piece| &piece.bytes);
        pieces.copied().collect()
    }
}

impl<'a> Arbitrary<'a> for Cuts {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let cuts = u.int_in_range(0..=7)?;
        let cuts = (0..cuts).map(|_| u.arbitrary());
        cuts.collect::<arbitrary::Result<_>>().map(Self)
    }
}

impl<'a> Arbitrary<'a> for Arrivals {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let cuts = Cuts::arbitrary(u)?;
        let bytes = Bytes::copy_from_slice(u.bytes(u.len())?);
        Ok(Self {
            pieces: cuts.cut(bytes),
        })
    }
}
