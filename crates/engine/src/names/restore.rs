//! Putting back names that were kept, before anybody uses the index. Nothing of it is told to the
//! journal.

use micronode_protocol::Address;
use micronode_protocol::limits::NAMES;

use super::{Names, Pointer, SetError, cost};
use crate::Now;

impl Names {
    /// Puts back a name that was kept, after the object that it points at; the object stays also if
    /// its time is over.
    ///
    /// # Errors
    ///
    /// If there is no such object, the name is there already, or it is over a bound.
    pub fn restore(
        &self,
        now: Now,
        name: &str,
        address: &Address,
        revision: u64,
    ) -> Result<(), SetError> {
        let store = &self.shared.store;
        let pin = store
            .pin_restored(address)
            .map_err(|_| SetError::NoObject)?;
        let mut pointer = Some(Pointer { pin, revision });
        store.with_room(now, cost(name), || {
            match self.put_back(name, &mut pointer) {
                Err(SetError::OverBudget(over)) => Err(over),
                done => Ok(done),
            }
        })?
    }

    /// Takes the pointer if there is no error.
    fn put_back(&self, name: &str, pointer: &mut Option<Pointer>) -> Result<(), SetError> {
        let mut index = self.shared.index.write();
        if index.names.contains_key(name) {
            return Err(SetError::Precondition);
        }
        if index.names.len() >= NAMES {
            return Err(SetError::Full);
        }
        let bytes = index.charge.bytes() + cost(name);
        index.charge.resize(bytes)?;
        let pointer = pointer.take().expect("a name is put back once");
        index.revision = index.revision.max(pointer.revision);
        index.names.insert(name.into(), pointer);
        Ok(())
    }

    /// Gives out no revision up to `revision` any more: it was given out.
    pub fn restore_revision(&self, revision: u64) {
        let mut index = self.shared.index.write();
        index.revision = index.revision.max(revision);
    }
}
