//! stub until the real one is merged
use micronode_engine::Change;
use std::sync::Arc;
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("full")]
    Full(std::io::Error),
    #[error("io")]
    Io(std::io::Error),
}
pub trait Backend: Send {
    fn staging(&self) -> Arc<dyn Staging>;
    fn mailbox_key(&self) -> [u8; 32];
    fn commit(&mut self, batch: &[Change]) -> Result<(), BackendError>;
}
pub trait Staging: Send + Sync {
    fn begin(&self) -> Result<Box<dyn Staged>, BackendError>;
    fn discard(&self, place: u64);
    fn has_room(&self) -> bool;
}
pub trait Staged: Send {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError>;
    fn finish(self: Box<Self>) -> Result<u64, BackendError>;
}
