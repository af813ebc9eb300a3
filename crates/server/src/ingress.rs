//! The ingresses: thin adapters between bytes on a socket and [`crate::call`].

pub(crate) mod http;
pub(crate) mod oap;
mod pieces;
