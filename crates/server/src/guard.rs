//! The request stack of the data plane, readable top to bottom: the order of refusal.
//!
//! Connection cap, head deadline and floods have been dealt with below HTTP, by the hardening
//! layer's connection loop. From here on every stage either admits or refuses with a typed error,
//! and a refusal comes before the body is read and allocates nothing that a request can size.

pub(crate) mod admission;

use crate::authority::{Presented, Standing};
use crate::buffer::reserve;
use crate::call::queue::MESSAGE_TOO_LARGE;
use crate::call::{CallBody, CallError, Facet, Needs, Reply};
use crate::clock;
use crate::dispatch::dispatch;
use crate::guard::admission::InProgress;
use crate::ingress::http::arrival::Arriving;
use crate::ingress::http::body::ReplyBody;
use crate::ingress::http::correlation::{self, X_CORR_ID};
use crate::ingress::http::presented::presented;
use crate::ingress::http::problem::{self, Failure};
use crate::ingress::http::routes::{Operation, Route};
use crate::ingress::http::{self as ingress, Target, origin, respond};
use crate::metrics::method_index;
use crate::node::Node;
use crate::readiness::State;
use crate::waiting;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use micronode_engine::{MemoryKind, Reservation};
use micronode_hardening::{
    BodyWatch, Deadline, DecodedBody, GuardedBody, HeldBody, Lease, Permit, check_head,
    request_coding,
};
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::caveat::Ops;
use micronode_protocol::capability::{Access, Resource};
use micronode_protocol::limits::{
    GRANT_DEADLINE, GRANT_TEXT_BYTES, GROUP_BYTES, MINT_BYTES, ONE_SHOT_DEADLINE,
};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// A response body of the data plane: it holds the request's permits until its last byte is out.
pub(crate) type DataBody = HeldBody<ReplyBody, InProgress>;

/// A response of no more bytes is handed over at once. A longer one ends when its token does.
const LEASED_BYTES: u64 = GROUP_BYTES as u64;

/// Answers one request of the data plane.
pub(crate) async fn serve(
    node: Arc<Node>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<DataBody>, Infallible> {
    let started = clock::instant();
    let corr_id = correlation::of(request.headers());
    let method = request.method().clone();
    let (route, segment) = Route::of(request.uri().path());
    // The segment borrows from the request, which the stages consume.
    let target = Target::of(route, segment);

    let mut in_progress = InProgress::begin(&node, route, method_index(&method), started);
    let http1 = request.version() < Version::HTTP_2;
    let request = request.map(Arriving::new);
    let end = request.body().end();
    let answer = stages(&node, peer, request, route, target, &mut in_progress).await;
    let mut response = answer.unwrap_or_else(|failure| {
        node.metrics.rejected(failure.error.code);
        let corr_id = corr_id.to_str().unwrap_or_default();
        match node.refusals.acquire() {
            Ok(permit) => {
                in_progress.refusal = Some(permit);
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
    if let Some(lease) = lease(&node, &in_progress, response.body()) {
        response.extensions_mut().insert(lease);
    }
    Ok(response.map(|body| HeldBody::new(body, in_progress)))
}

/// What a long response is held to: it ends with its token, and one that only waits holds nothing
/// that a newcomer could have.
fn lease(node: &Arc<Node>, in_progress: &InProgress, body: &ReplyBody) -> Option<Lease> {
    if matches!(body.size_hint().exact(), Some(0..=LEASED_BYTES)) {
        return None;
    }
    let lease = in_progress.holder.as_ref().map(|holder| {
        let (node, holder) = (Arc::clone(node), Arc::clone(holder));
        Lease::new(move || node.stands(&holder))
    });
    if in_progress.is_parked() {
        return Some(lease.unwrap_or_else(|| Lease::new(|| true)).of_a_waiter());
    }
    lease
}

/// The stages, in the order of refusal.
async fn stages(
    node: &Arc<Node>,
    peer: IpAddr,
    request: Request<Arriving<Incoming>>,
    route: Route,
    target: Result<Target, CallError>,
    in_progress: &mut InProgress,
) -> Result<Response<ReplyBody>, Failure> {
    check_head(&request, &node.limits.head)?;
    let (head, body) = request.into_parts();
    ingress::check_transfer_coding(&head.headers)?;

    // Where from: where no token is needed, only a local program may speak to this plane.
    if node.config.load().dev {
        origin::check(&head.uri, &head.headers)?;
    }

    // Route.
    let Some(operation) = route.operation(&head.method) else {
        return no_operation(route, &head.method);
    };

    // Authority.
    let presented = presented(operation, &head);
    let started = in_progress.started;
    let holder = match operation.needs {
        Needs::Capability(ops) => {
            let access = access(operation, ops, &head.headers, target.as_ref().ok());
            admission::authority(node, &presented, &access, peer, started)?
        }
        Needs::Grant => None,
    };
    in_progress.holder = holder.clone();
    let target = target?;

    // Rate, in flight, readiness.
    let permit = match operation.needs {
        Needs::Capability(_) => {
            admission::admit(node, operation.cost, holder.as_deref(), started).await?
        }
        Needs::Grant => admission::admit_grant(node, operation.cost, started)?,
    };

    // Body: caps, pace, decoding.
    let (body, declared, watch) = guarded_body(node, operation, &head.headers, body, started)?;
    let body = match &holder {
        Some(holder) if !body.is_end_stream() => {
            holder.cap(node, Standing::around(body, node, holder, started))
        }
        _ => body,
    };

    // Facet.
    in_progress.permits = Some(admission::facet(node, operation.facet, permit)?);

    if route == Route::OpenApi {
        return Ok(openapi(node));
    }
    let is_link = matches!(presented, Presented::Link(_));
    let called = clock::instant();
    let work = async {
        let (store, holder) = (&node.store, holder.as_ref());
        let call = ingress::call(operation, &head, target, declared, body, store, holder).await?;
        let call = admission::narrow(node, holder.map(Arc::as_ref), call)?;
        dispatch(node, call).await
    };
    let mut reply = Deadline::new(work, node.limits.request_deadline, watch).await??;
    if let Reply::Waits(wait) = reply {
        // It has a time of its own.
        in_progress.park();
        let over = wait.over(node, operation.cost, operation.facet, holder.as_deref());
        let (came, permits) = waiting::while_it_stands(node, holder.as_deref(), over).await?;
        if let Some(permits) = permits {
            in_progress.resume(permits);
        }
        reply = came;
    }
    if matches!(reply, Reply::Feed(_)) {
        in_progress.park();
    }
    let mut response = respond(node, operation, &head, reply, clock::now())?;
    if is_link {
        respond::linked(response.headers_mut());
    }
    if operation.facet == Facet::StorageRead {
        node.metrics.storage_get.observe(clock::instant() - called);
    }
    Ok(response)
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

/// What a request wants, as far as its head tells.
fn access<'a>(
    operation: &Operation,
    ops: Ops,
    headers: &http::HeaderMap,
    target: Option<&'a Target>,
) -> Access<'a> {
    let resource = match (operation.route, target) {
        (Route::Has | Route::Names | Route::Events, _) => Resource::Each,
        (_, Some(Target::Object(address))) => Resource::Object(address),
        (_, Some(Target::Name(name))) if operation.method == Method::DELETE => Resource::Name(name),
        (_, Some(Target::Name(name))) => Resource::Pointer(name, None),
        (_, Some(Target::Queue(queue))) => Resource::Queue(queue.text()),
        (_, Some(Target::None) | None) => Resource::None,
    };
    Access {
        ops,
        resource,
        body: ingress::content_length(headers).unwrap_or(0),
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
    let policy = match operation.route {
        Route::Exchange => limits.one_shot_of(GRANT_TEXT_BYTES, GRANT_DEADLINE),
        Route::Mint => limits.one_shot_of(MINT_BYTES, ONE_SHOT_DEADLINE),
        Route::Send => node.message(),
        _ if one_shot => limits.one_shot,
        _ => limits.streamed,
    };
    let guarded = GuardedBody::new(body, declared, &policy, now).map_err(|refusal| match operation.route {
        Route::Put => CallError::new(
            ErrorCode::BodyTooLarge,
            "one-shot bodies end at limits.one_shot_body: send it chunked, or PUT it to /o/{addr}, to stream it",
        ),
        Route::Send => CallError::new(ErrorCode::BodyTooLarge, MESSAGE_TOO_LARGE),
        _ => refusal.into(),
    })?;
    let watch = guarded.watch();
    let Some(coding) = request_coding(headers)? else {
        return Ok((Box::pin(guarded), declared, watch));
    };
    if operation.needs == Needs::Grant {
        // Decoders are for those who are known.
        let detail = "a grant comes as it is, without a content coding";
        return Err(CallError::new(ErrorCode::UnsupportedEncoding, detail));
    }
    let bounds = limits.decompress(policy.cap());
    let paid: (Permit, Reservation) = (
        node.decoders.acquire()?,
        // A decoder's window is memory like any other.
        reserve(&node.store, MemoryKind::Decoders, coding.memory(&bounds))?,
    );
    let decoded = DecodedBody::new(guarded, coding, &bounds, paid);
    Ok((Box::pin(decoded), None, watch))
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
