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
    fields.extend(str16(media_type));
    fields
}

/// The fields of a put that wants nothing.
pub fn plain_put() -> Vec<u8> {
    put(&[0; 32], 0, "")
}

/// A text behind its length.
pub fn str16(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

/// The payload of a name's set; `expected` is the revision it has to have.
pub fn name_set(name: &str, address: &[u8; 32], expected: u64) -> Vec<u8> {
    [&str16(name)[..], address, &expected.to_be_bytes()].concat()
}

/// The payload of a read through a name.
pub fn name_read(name: &str, offset: u64, length: u64) -> Vec<u8> {
    let part = [offset.to_be_bytes(), length.to_be_bytes()].concat();
    [&str16(name)[..], &part].concat()
}

/// The payload of a list.
pub fn name_list(prefix: &str, after: &str, limit: u16) -> Vec<u8> {
    [&str16(prefix)[..], &str16(after), &limit.to_be_bytes()].concat()
}

/// The payload of a send; no text for no key.
pub fn send(queue: &str, key: &str, delay_ms: u32, body: &[u8]) -> Vec<u8> {
    let delay = delay_ms.to_be_bytes();
    [&str16(queue)[..], &str16(key), &delay, body].concat()
}

/// The payload of a receive.
pub fn receive(queue: &str, max: u16, wait_ms: u32, visibility_ms: u32) -> Vec<u8> {
    let times = [wait_ms.to_be_bytes(), visibility_ms.to_be_bytes()].concat();
    [&str16(queue)[..], &max.to_be_bytes(), &times].concat()
}

/// The payload of a subscription.
pub fn subscribe(queue: &str, credit: u16, visibility_ms: u32) -> Vec<u8> {
    let visibility = visibility_ms.to_be_bytes();
    [&str16(queue)[..], &credit.to_be_bytes(), &visibility].concat()
}

/// The payload of an ack, or with a time of a nack or an extend.
pub fn settle<T: AsRef<str>>(queue: &str, time_ms: Option<u32>, receipts: &[T]) -> Vec<u8> {
    let mut payload = str16(queue);
    payload.extend(time_ms.into_iter().flat_map(u32::to_be_bytes));
    payload.extend(receipts.iter().flat_map(|receipt| str16(receipt.as_ref())));
    payload
}
