//! The ingresses: thin adapters between bytes on a socket and [`crate::call`].

pub(crate) mod http;
