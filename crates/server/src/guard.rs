//! The request stack of the data plane, readable top to bottom: the order of refusal.
//!
//! Connection cap, head deadline and floods have been dealt with below HTTP, by the hardening
//! layer's connection loop. From here on every stage either admits or refuses with a typed error,
//! and a refusal comes before the body is read and allocates nothing that a request can size.

use crate::call::{CallBody, CallError};
use crate::clock;
use crate::dispatch::dispatch;
use crate::ingress::http::arrival::Arriving;
use crate::ingress::http::body::ReplyBody;
use crate::ingress::http::correlation::{self, X_CORR_ID};
use crate::ingress::http::problem::{self, Failure};
use crate::ingress::http::routes::{Cost, Operation, Route};
use crate::ingress::http::{self as ingress, origin, respond};
use crate::metrics::method_index;
use crate::node::Node;
use crate::readiness::State;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use micronode_engine::{MemoryKind, Reservation};
use micronode_hardening::{
    BodyPolicy, BodyWatch, Deadline, DecodedBody, GuardedBody, HeldBody, Permit, check_head,
    request_coding,
};
use micronode_protocol::limits::{IN_FLIGHT_DEGRADED_PERCENT, SLOW_SHARE_WAIT};
use micronode_protocol::{Address, ErrorCode};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A response body of the data plane: it holds the request's permits until its last byte is out.
pub(crate) type DataBody = HeldBody<ReplyBody, InProgress>;

/// What a request holds from admission to the last byte of its response.
pub(crate) struct InProgress {
    node: Arc<Node>,
    route: Route,
    method: usize,
    started: Instant,
    /// The in-flight permit and the facet's; none for a request that was refused before them.
    _permits: Option<(Permit, Option<Permit>)>,
    /// Of a refusal with a document.
    _refusal: Option<Permit>,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.node
            .metrics
            .end(self.route, self.method, clock::instant() - self.started);
    }
}

/// Answers one request of the data plane.
pub(crate) async fn serve(
    node: Arc<Node>,
    request: Request<Incoming>,
) -> Result<Response<DataBody>, Infallible> {
    let started = clock::instant();
    let corr_id = correlation::of(request.headers());
    let method = request.method().clone();
    let (route, segment) = Route::of(request.uri().path());
    // The segment borrows from the request, which the stages consume.
    let address =
        matches!(route, Route::Object | Route::Manifest).then(|| ingress::address(segment));

    node.metrics.begin(route);
    let mut in_progress = InProgress {
        node: Arc::clone(&node),
        route,
        method: method_index(&method),
        started,
        _permits: None,
        _refusal: None,
    };
    let http1 = request.version() < Version::HTTP_2;
    let request = request.map(Arriving::new);
    let end = request.body().end();
    let answer = stages(&node, request, route, address, &mut in_progress).await;
    let mut response = answer.unwrap_or_else(|failure| {
        node.metrics.rejected(failure.error.code);
        let corr_id = corr_id.to_str().unwrap_or_default();
        match node.refusals.acquire() {
            Ok(permit) => {
                in_progress._refusal = Some(permit);
                problem::response(failure, corr_id).map(ReplyBody::full)
            }
            Err(_) => problem::bare(failure).map(|()| ReplyBody::empty()),
        }
    });
    // A client that is not told would send its next request into a closing connection.
    if http1 && (!end.is_reached() || node.state() == State::Draining) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    node.metrics.responded(route, &method, response.status());
    response.headers_mut().insert(X_CORR_ID, corr_id);
    rate_fields(&node, response.headers_mut());
    Ok(response.map(|body| HeldBody::new(body, in_progress)))
}

/// The stages, in the order of refusal.
async fn stages(
    node: &Node,
    request: Request<Arriving<Incoming>>,
    route: Route,
    address: Option<Result<Address, CallError>>,
    in_progress: &mut InProgress,
) -> Result<Response<ReplyBody>, Failure> {
    check_head(&request, &node.limits.head)?;
    let (head, body) = request.into_parts();
    ingress::check_transfer_coding(&head.headers)?;

    // Where from: without a token, only a local program may speak to this plane.
    origin::check(&head.uri, &head.headers)?;

    // Route.
    let Some(operation) = route.operation(&head.method) else {
        return no_operation(route, &head.method);
    };
    let address = address.transpose()?;

    // Authority. No capability can verify yet, so none is accepted.
    if head.headers.contains_key(header::AUTHORIZATION) || has_capability(head.uri.query()) {
        let error = CallError::new(
            ErrorCode::Unauthenticated,
            "this node has no keys: no capability verifies here",
        );
        return Err(Failure {
            error,
            field: Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        });
    }

    // Rate, in flight, readiness.
    node.rate.admit(in_progress.started)?;
    let permit = in_flight(node, operation.cost).await?;
    admit(node.state(), operation.cost)?;

    // Body: caps, pace, decoding.
    let (body, declared, watch) =
        guarded_body(node, operation, &head.headers, body, in_progress.started)?;

    // Facet.
    let facet = match operation.cost {
        Cost::Write => Some(node.facets.storage_write.acquire()?),
        Cost::Read if route != Route::OpenApi => Some(node.facets.storage_read.acquire()?),
        Cost::Read | Cost::Buffer | Cost::Free => None,
    };
    in_progress._permits = Some((permit, facet));

    if route == Route::OpenApi {
        return Ok(openapi(node));
    }
    let work = async {
        let called = clock::instant();
        let call = ingress::call(operation, &head, address, declared, body, &node.budget).await?;
        let reply = dispatch(node, call).await?;
        let response = respond(operation, &head, reply, clock::now())?;
        if operation.cost == Cost::Read {
            node.metrics.storage_get.observe(clock::instant() - called);
        }
        Ok(response)
    };
    Deadline::new(work, node.limits.request_deadline, watch).await?
}

/// 404, 405, or what OPTIONS asks for.
fn no_operation(route: Route, method: &Method) -> Result<Response<ReplyBody>, Failure> {
    let allow = HeaderValue::from_static(route.allow());
    if route == Route::Unknown {
        return Err(CallError::new(
            ErrorCode::NotFound,
            "no such path; GET /openapi.json lists them",
        )
        .into());
    }
    if *method == Method::OPTIONS {
        let mut response = respond::status(StatusCode::NO_CONTENT);
        response.headers_mut().insert(header::ALLOW, allow);
        return Ok(response);
    }
    let error = CallError::new(
        ErrorCode::MethodNotAllowed,
        format!("this path answers {}", route.allow()),
    );
    Err(Failure {
        error,
        field: Some((header::ALLOW, allow)),
    })
}

fn has_capability(query: Option<&str>) -> bool {
    query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("cap"))
    })
}

/// Writes may take at most nine tenths of what is in flight, so that readers always find room; for
/// a reader that finds none, the slowest stream gives way.
async fn in_flight(node: &Node, cost: Cost) -> Result<Permit, CallError> {
    if cost != Cost::Write {
        return match node.in_flight.acquire() {
            Ok(permit) => Ok(permit),
            // Nobody gives way for a request that is shed anyway.
            Err(refusal) if admit(node.state(), cost).is_err() => Err(refusal.into()),
            Err(refusal) => make_room(node).await.ok_or_else(|| refusal.into()),
        };
    }
    let share = node.in_flight.cap() * IN_FLIGHT_DEGRADED_PERCENT as usize / 100;
    node.in_flight
        .acquire_within(share.max(1))
        .map_err(|refusal| {
            if node.in_flight.in_use() < node.in_flight.cap() {
                CallError::new(
                    ErrorCode::Degraded,
                    "too much is in progress to take writes; reads are served",
                )
            } else {
                refusal.into()
            }
        })
}

/// Has the slowest stream cut, if one is slow enough, and waits for what it held. Who waits here is
/// bounded by the streams that were cut for them.
async fn make_room(node: &Node) -> Option<Permit> {
    let until = clock::instant() + SLOW_SHARE_WAIT;
    if !node.data_plane.slow_share.cut_slowest() {
        return None;
    }
    while clock::instant() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if let Ok(permit) = node.in_flight.acquire() {
            return Some(permit);
        }
    }
    None
}

/// What each state of readiness sheds.
fn admit(state: State, cost: Cost) -> Result<(), CallError> {
    match (state, cost) {
        (State::Starting, _) => Err(CallError::new(
            ErrorCode::Starting,
            "the node is not ready yet",
        )),
        (State::Degraded, Cost::Write) => Err(CallError::new(
            ErrorCode::Degraded,
            "writes are shed until the node has recovered; reads are served",
        )),
        (State::Shedding, Cost::Write | Cost::Buffer) => Err(CallError::new(
            ErrorCode::Degraded,
            "only reads and deletes are served until the node has recovered",
        )),
        (State::Draining, Cost::Write) => Err(CallError::new(
            ErrorCode::Draining,
            "the node is shutting down and would forget this at once; reads are served",
        )),
        _ => Ok(()),
    }
}

/// Puts the body under its cap, its pace, and the decompression guard.
fn guarded_body(
    node: &Node,
    operation: &Operation,
    headers: &http::HeaderMap,
    body: Arriving<Incoming>,
    now: Instant,
) -> Result<(CallBody, Option<u64>, BodyWatch), CallError> {
    let limits = &node.limits;
    let declared = ingress::content_length(headers);
    let one_shot = match operation.route {
        Route::Put => declared.is_some(),
        Route::Object => false,
        _ => true,
    };
    let policy = if one_shot {
        limits.one_shot
    } else {
        limits.streamed
    };
    let guarded = GuardedBody::new(body, declared, &policy, now).map_err(|refusal| match operation.route {
        Route::Put => CallError::new(
            ErrorCode::BodyTooLarge,
            "one-shot bodies end at limits.one_shot_body: send it chunked, or PUT it to /o/{addr}, to stream it",
        ),
        _ => refusal.into(),
    })?;
    let watch = guarded.watch();
    let Some(coding) = request_coding(headers)? else {
        return Ok((Box::pin(guarded), declared, watch));
    };
    let absolute = match policy {
        BodyPolicy::OneShot { cap, .. } | BodyPolicy::Streamed { cap, .. } => cap,
    };
    let bounds = limits.decompress(absolute);
    let paid: (Permit, Reservation) = (
        node.decoders.acquire()?,
        decoder_memory(node, coding.memory(&bounds))?,
    );
    let decoded = DecodedBody::new(guarded, coding, &bounds, paid);
    Ok((Box::pin(decoded), None, watch))
}

/// A decoder's window is memory like any other.
fn decoder_memory(node: &Node, bytes: usize) -> Result<Reservation, CallError> {
    let bytes = bytes as u64;
    let mut reservation = node.budget.reserve(MemoryKind::Decoders, bytes)?;
    reservation.fill(bytes);
    Ok(reservation)
}

fn openapi(node: &Node) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(node.openapi.clone()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// `RateLimit-Policy` and `RateLimit` as in the IETF draft: quota per window of one second, what
/// is left at once, and the seconds until all of it is back. Absent when the rate is lifted.
fn rate_fields(node: &Node, headers: &mut http::HeaderMap) {
    let rate = node.rate.per_second();
    if rate == 0 {
        return;
    }
    let now = clock::instant();
    let reset = node.rate.reset_after(now).as_millis().div_ceil(1000);
    let fields = [
        ("ratelimit-policy", format!("\"default\";q={rate};w=1")),
        (
            "ratelimit",
            format!("\"default\";r={};t={reset}", node.rate.remaining(now)),
        ),
    ];
    for (name, value) in fields {
        headers.insert(
            name,
            HeaderValue::try_from(value).expect("digits and quotes are a field value"),
        );
    }
}
