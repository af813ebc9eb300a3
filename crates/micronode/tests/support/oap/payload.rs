//! Payloads of requests.

/// The address of `bytes` as it stands in payloads.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// The payload of a get.
pub fn get(address: &[u8; 32], offset: u64, length: u64) -> Vec<u8> {
    let part = [offset.to_be_bytes(), length.to_be_bytes()].concat();
    [&address[..], &part].concat()
}

/// The fields of a put; zeros, 0 and no text for what is not wanted.
pub fn put(expected: &[u8; 32], ttl_ms: u64, media_type: &str) -> Vec<u8> {
    let mut fields = expected.to_vec();
    fields.extend(ttl_ms.to_be_bytes());
    fields.extend(u16::try_from(media_type.len()).unwrap().to_be_bytes());
    fields.extend_from_slice(media_type.as_bytes());
    fields
}

/// The fields of a put that wants nothing.
pub fn plain_put() -> Vec<u8> {
    put(&[0; 32], 0, "")
}
