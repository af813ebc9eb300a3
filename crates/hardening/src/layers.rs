//! The same bounds as Tower layers, for any axum or hyper service.
//!
//! Every layer's error is [`Refusal`](crate::Refusal), so the order of a stack, outermost first,
//! is the order of refusal. [`RespondLayer`] stands outside of all and turns a refusal into an
//! answer; a usual order below it is [`HeadLayer`], [`RateLayer`], [`InFlightLayer`],
//! [`ShedLayer`], [`BodyLayer`], [`DecompressLayer`], [`DeadlineLayer`].
//!
//! No layer queues: all are ready when the service below is, and refuse instead of waiting. What
//! a layer counts is shared by all clones of it and of its services.

mod admit;
mod body;
mod deadline;
mod decompress;
mod in_flight;
mod respond;

pub use admit::{
    Admission, AdmitFuture, AdmitLayer, AdmitService, HeadLayer, RateLayer, Shed, ShedLayer,
};
pub use body::{BodyFuture, BodyLayer, BodyService};
pub use deadline::{DeadlineFuture, DeadlineLayer, DeadlineService};
pub use decompress::{DecompressLayer, DecompressService};
pub use in_flight::{InFlightFuture, InFlightLayer, InFlightService};
pub use respond::{RespondFuture, RespondLayer, RespondService, text_response};

#[cfg(test)]
mod tests;
