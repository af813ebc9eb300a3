//! stub until the real one is merged
use micronode_engine::Change;
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the disk is full")]
    Full,
    #[error("the disk fails")]
    Broken,
}
pub(crate) trait Backend: Send {
    fn commit(&mut self, batch: &[Change]) -> Result<(), Failure>;
    fn has_room(&self) -> bool;
}
