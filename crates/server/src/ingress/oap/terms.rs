//! On what terms a request is served: those of the operation over HTTP that does the same.

use crate::call::{Cost, Facet, Needs};
use crate::ingress::http::routes::Route;
use http::Method;
use micronode_protocol::capability::caveat::Ops;
use micronode_protocol::operation::Operation;

/// See the [module](self).
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// What the request is timed as.
    pub(super) route: Route,
    pub(super) cost: Cost,
    pub(super) facet: Facet,
    pub(super) needs: Needs,
}

impl Terms {
    pub(super) fn of(operation: Operation) -> Self {
        let (route, method) = match operation {
            // There is no such thing over HTTP.
            Operation::Ping => {
                return Self {
                    route: Route::Unknown,
                    cost: Cost::Free,
                    facet: Facet::None,
                    needs: Needs::Capability(Ops::NONE),
                };
            }
            Operation::Exchange => (Route::Exchange, Method::POST),
            Operation::Mint => (Route::Mint, Method::POST),
            Operation::Echo => (Route::Echo, Method::POST),

            Operation::ObjectGet => (Route::Object, Method::GET),
            Operation::ObjectPut => (Route::Put, Method::POST),
            Operation::ObjectHas => (Route::Has, Method::POST),
            Operation::ObjectDelete => (Route::Object, Method::DELETE),
            Operation::ObjectHead => (Route::Object, Method::HEAD),
            Operation::ObjectManifest => (Route::Manifest, Method::GET),

            // Over HTTP, where a name points is told in a list, or with the object.
            Operation::NameGet | Operation::NameList | Operation::NameWatch => {
                (Route::Names, Method::GET)
            }
            Operation::NameSet => (Route::Name, Method::PUT),
            Operation::NameDelete => (Route::Name, Method::DELETE),
            Operation::NameRead => (Route::Name, Method::GET),

            Operation::Send => (Route::Send, Method::POST),
            // Over HTTP, messages come one receive at a time.
            Operation::Receive | Operation::Subscribe => (Route::Receive, Method::POST),
            Operation::Ack => (Route::Ack, Method::POST),
            Operation::Nack => (Route::Nack, Method::POST),
            Operation::Extend => (Route::Extend, Method::POST),
            Operation::QueueStats => (Route::Queue, Method::GET),
            Operation::Purge => (Route::Queue, Method::DELETE),
            Operation::Redrive => (Route::Redrive, Method::POST),

            Operation::Events => (Route::Events, Method::GET),
        };
        let same = route.operation(&method).expect("the route has the method");
        Self {
            route,
            cost: same.cost,
            facet: same.facet,
            needs: same.needs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use micronode_protocol::capability::caveat::Op;

    #[test]
    fn every_operation_has_its_terms() {
        for operation in Operation::ALL {
            let terms = Terms::of(*operation);
            let is_ping = *operation == Operation::Ping;
            assert_eq!(terms.route == Route::Unknown, is_ping, "{operation:?}");
        }
    }

    /// Those that share the terms of another: who may read names may be told of one, and who may
    /// receive may subscribe.
    #[test]
    fn operations_that_http_has_otherwise_need_what_they_give() {
        for (operation, op, facet) in [
            (Operation::NameGet, Op::NameRead, Facet::Index),
            (Operation::NameWatch, Op::NameRead, Facet::Index),
            (Operation::Subscribe, Op::Recv, Facet::Mailbox),
        ] {
            let terms = Terms::of(operation);
            assert_eq!(terms.needs, Needs::Capability(Ops::of(&[op])));
            assert_eq!((terms.cost, terms.facet), (Cost::Read, facet));
        }
    }
}
