//! A fixed number of messages, each sent, received and acked, for tools that count instructions:
//!
//! ```sh
//! valgrind --tool=callgrind mailbox_cycles 100000 1000000
//! ```
//!
//! counts those of 100 000 messages beside a million that wait. Without the second number nothing
//! waits.

use std::error::Error;

use micronode_engine::mailbox::{Mailbox, MailboxConfig, MailboxKeys, Send};
use micronode_engine::{Budget, Now};
use micronode_protocol::name::QueueRef;

const NOW: Now = Now {
    mono_ms: 1000,
    wall_ms: 1_700_000_000_000,
};
const MESSAGE: Send<'_> = Send {
    body: &[0x5a; 256],
    delay_ms: 0,
    idempotency: None,
};
const JOBS: QueueRef<'_> = QueueRef {
    queue: "jobs",
    is_dead: false,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse());
    let cycles: u64 = numbers.next().unwrap_or(Ok(1_000_000))?;
    let waiting: u64 = numbers.next().unwrap_or(Ok(0))?;

    let config = MailboxConfig {
        max_messages: waiting + 1,
        max_bytes: u64::MAX,
        max_messages_total: waiting + 1,
        max_bytes_total: u64::MAX,
        max_body: MESSAGE.body.len(),
        max_deliveries: 5,
        window_ms: 600_000,
    };
    let keys = MailboxKeys::new([1; 32], [2; 32]);
    let mailbox = Mailbox::new(config, Budget::new(u64::MAX), keys);
    for _ in 0..waiting {
        mailbox.send(NOW, "jobs", MESSAGE)?;
    }
    let (mut deliveries, mut verdicts) = (Vec::new(), Vec::new());
    for _ in 0..cycles {
        mailbox.send(NOW, "jobs", MESSAGE)?;
        mailbox.receive(NOW, JOBS, 1, 30_000, &mut deliveries);
        let receipt = deliveries[0].receipt.text();
        mailbox.ack(NOW, JOBS, &[&receipt], &mut verdicts);
        deliveries.clear();
        verdicts.clear();
    }
    println!("{:?}", mailbox.counters());
    Ok(())
}
