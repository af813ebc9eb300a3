//! The engine takes back what was kept. Whatever comes is verified as if a peer had sent it.

use std::io::BufRead;

use micronode_engine::journal::KeptKey;
use micronode_engine::mailbox::{RestoreError as MailboxError, Restoring};
use micronode_engine::names::SetError;
use micronode_engine::{Mailbox, Names, Now, PutError, PutHead, Store};
use micronode_protocol::Address;

use super::{KeptMessage, KeptObject, Restore, RestoreError, Unfit};

/// An engine that nobody uses yet.
pub struct EngineRestore {
    now: Now,
    store: Store,
    names: Names,
    mailbox: Mailbox,
    queue: Option<Restoring>,
}

impl EngineRestore {
    /// Restores into these, which are empty. With a store that evicts, what does not fit makes room
    /// for each other, and the journal hears of it.
    pub fn new(now: Now, store: Store, names: Names, mailbox: Mailbox) -> Self {
        Self {
            now,
            store,
            names,
            mailbox,
            queue: None,
        }
    }

    /// Where a counter goes on that stood here: what was given out and did not become durable may
    /// have been seen, and must not be given out again. Nobody counts faster than a thousand in a
    /// millisecond, so what the clock says is beyond all of it, unless it was set back.
    fn beyond(&self, counter: u64) -> u64 {
        counter.max(self.now.wall_ms.saturating_mul(1000))
    }

    fn current(&mut self) -> Result<&mut Restoring, RestoreError> {
        self.queue.as_mut().ok_or(RestoreError::Damaged)
    }
}

impl From<PutError> for RestoreError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::LengthMismatch | PutError::DigestMismatch => Self::Damaged,
            PutError::TooLarge { .. } | PutError::OverBudget(_) => Unfit::Object(error).into(),
        }
    }
}

impl From<MailboxError> for RestoreError {
    fn from(error: MailboxError) -> Self {
        match error {
            MailboxError::Inconsistent => Self::Damaged,
            MailboxError::NoRoom(error) => Unfit::Message(error).into(),
        }
    }
}

impl Restore for EngineRestore {
    fn object(&self, object: &KeptObject<'_>, bytes: &mut dyn BufRead) -> Result<(), RestoreError> {
        let head = PutHead {
            expected: Some(object.address),
            declared: Some(object.size),
            ttl_ms: None,
            media_type: object.media_type,
        };
        let mut upload = self.store.begin_put(self.now, head)?;
        while upload.size() < object.size {
            let piece = bytes.fill_buf()?;
            if piece.is_empty() {
                return Err(RestoreError::Damaged);
            }
            upload.write(piece)?;
            let len = piece.len();
            bytes.consume(len);
        }
        let sealed = upload.seal()?;
        sealed.restore(
            self.now,
            object.stored_at_wall_ms,
            object.expires_at_wall_ms,
        );
        Ok(())
    }

    fn name(&mut self, name: &str, address: Address, revision: u64) -> Result<(), RestoreError> {
        let restored = self.names.restore(self.now, name, &address, revision);
        restored.map_err(|error| match error {
            SetError::NoObject => RestoreError::Damaged,
            error => Unfit::Name(error).into(),
        })
    }

    fn revision(&mut self, revision: u64) {
        self.names.restore_revision(self.beyond(revision));
    }

    fn queue(&mut self, number: u64, name: &str, last_sequence: u64) -> Result<(), RestoreError> {
        // The one before is complete when it is dropped.
        self.queue = None;
        let queue =
            self.mailbox
                .restore_queue(self.now, number, name, self.beyond(last_sequence))?;
        self.queue = Some(queue);
        Ok(())
    }

    fn message(&mut self, message: &KeptMessage<'_>) -> Result<(), RestoreError> {
        let KeptMessage {
            sequence,
            body,
            sent_wall_ms,
            state,
        } = message;
        let queue = self.current()?;
        Ok(queue.message(*sequence, body, *sent_wall_ms, state)?)
    }

    fn key(&mut self, key: KeptKey) -> Result<(), RestoreError> {
        Ok(self.current()?.key(key)?)
    }

    fn next_queue(&mut self, number: u64) {
        self.queue = None;
        self.mailbox.restore_numbers(self.beyond(number));
    }
}
