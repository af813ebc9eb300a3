//! A frame as bytes, and as fields.

use super::{COMP, HEADER, MAX_FRAME, Operation, REQ};

/// A frame, field by field.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub flags: u16,
    pub code: u16,
    pub app: u16,
    pub tenant: u128,
    pub corr_id: u64,
    pub cap: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of a request; `flags` beside REQ.
    pub fn request(corr_id: u64, (app, code): Operation, flags: u16, payload: &[u8]) -> Self {
        Self {
            flags: REQ | flags,
            code,
            app,
            tenant: 0,
            corr_id,
            cap: Vec::new(),
            payload: payload.to_vec(),
        }
    }

    /// The bytes; a test that wants them wrong changes them.
    pub fn encode(&self) -> Vec<u8> {
        let length = HEADER + self.cap.len() + self.payload.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
        for field in [self.flags, self.code, self.app] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(self.tenant.to_be_bytes());
        bytes.extend(u16::try_from(self.cap.len()).unwrap().to_be_bytes());
        bytes.extend(self.corr_id.to_be_bytes());
        bytes.extend_from_slice(&self.cap);
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    pub fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// The payload as it was before it was compressed, if it was.
    pub fn inflated(&self) -> Vec<u8> {
        if self.has(COMP) {
            zstd::bulk::decompress(&self.payload, MAX_FRAME).unwrap()
        } else {
            self.payload.clone()
        }
    }
}

impl std::fmt::Debug for Frame {
    /// Without the payload, unless it is short enough to be read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.payload[..self.payload.len().min(300)]);
        f.debug_struct("Frame")
            .field("flags", &self.flags)
            .field("code", &self.code)
            .field("corr_id", &self.corr_id)
            .field("payload", &(self.payload.len(), text))
            .finish_non_exhaustive()
    }
}
