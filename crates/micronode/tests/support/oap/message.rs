//! Deliveries, as they stand in payloads.

/// One delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: String,
    pub receipt: String,
    pub attempt: u32,
    pub enqueued_ms: u64,
    pub body: Vec<u8>,
}

/// All deliveries of a payload, one behind the other.
#[track_caller]
pub fn deliveries(mut payload: &[u8]) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while !payload.is_empty() {
        let id = text(&mut payload);
        let receipt = text(&mut payload);
        let attempt = u32::from_be_bytes(take(&mut payload));
        let enqueued_ms = u64::from_be_bytes(take(&mut payload));
        let length = u32::from_be_bytes(take(&mut payload)) as usize;
        let (body, rest) = payload.split_at(length);
        payload = rest;
        deliveries.push(Delivery {
            id,
            receipt,
            attempt,
            enqueued_ms,
            body: body.to_vec(),
        });
    }
    deliveries
}

/// A text behind its length.
pub fn text(payload: &mut &[u8]) -> String {
    let length = u16::from_be_bytes(take(payload)) as usize;
    let (text, rest) = payload.split_at(length);
    *payload = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

pub(super) fn take<const COUNT: usize>(payload: &mut &[u8]) -> [u8; COUNT] {
    let (bytes, rest) = payload.split_first_chunk().expect("a whole field");
    *payload = rest;
    *bytes
}
