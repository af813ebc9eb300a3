//! The admin plane: health, readiness, metrics and version, on a listener and a budget of its own.
//!
//! It runs on the control thread, not on the workers, so that a node under attack still answers.

#[cfg(feature = "faults")]
use crate::amnesia::attempts;
use crate::amnesia::proof;
use crate::authority::Failed;
use crate::call::CallError;
use crate::clock;
use crate::config::KEYS;
use crate::guard::admission;
use crate::ingress::http::presented::in_field;
use crate::ingress::http::problem::{self, Failure};
use crate::ingress::http::{correlation, origin};
use crate::metrics::exposition;
use crate::node::Node;
use crate::readiness::State;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use micronode_hardening::layers::{HeadLayer, InFlightLayer, RespondLayer};
use micronode_hardening::{HeldBody, InFlight, Permit, Refusal};
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::caveat::{Op, Ops};
use micronode_protocol::capability::{Access, Resource};
use micronode_protocol::limits::ADMIN_IN_FLIGHT;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Seconds after which a client that was told "not ready" may ask again.
const RETRY_AFTER_SECONDS: u64 = 2;

/// Who speaks to the plane; put into its requests by whoever accepted the connection.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The plane as a service: bounds, then answers. One that is `exposed` beyond this machine wants a
/// capability from everybody.
pub(crate) fn stack<B>(
    node: &Arc<Node>,
    exposed: bool,
) -> impl Service<
    Request<B>,
    Response = Response<HeldBody<Full<Bytes>, Permit>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static
where
    B: Send + 'static,
{
    let admin = AdminService(Arc::new(Admin::new(Arc::clone(node), exposed)));
    let in_flight = InFlight::new(ADMIN_IN_FLIGHT);
    let stack = InFlightLayer::new(in_flight).layer(admin);
    let stack = HeadLayer::new(node.limits.head).layer(stack);
    let counters = Arc::clone(&node.admin_plane.counters);
    RespondLayer::new(counters, refused).layer(stack)
}

fn refused(refusal: &Refusal) -> Response<HeldBody<Full<Bytes>, Permit>> {
    let failure = Failure::from(CallError::from(*refusal));
    let corr_id = correlation::made_up();
    let mut response = problem::response(failure, corr_id.to_str().unwrap_or_default());
    response
        .headers_mut()
        .insert(correlation::X_CORR_ID, corr_id);
    response.map(|body| HeldBody::unguarded(Full::new(body)))
}

/// [`Admin`] as a Tower service that is always ready and answers at once.
#[derive(Clone)]
struct AdminService(Arc<Admin>);

impl<B> Service<Request<B>> for AdminService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.0.answer(&request)))
    }
}

/// What the admin plane answers from.
struct Admin {
    node: Arc<Node>,
    registry: Registry,
    exposed: bool,
}

impl Admin {
    fn new(node: Arc<Node>, exposed: bool) -> Self {
        Self {
            registry: exposition::registry(Arc::clone(&node)),
            node,
            exposed,
        }
    }

    /// Where no token is needed, only a local program may ask; elsewhere, who may do everything
    /// that an operator does.
    fn authority<B>(&self, request: &Request<B>) -> Result<(), CallError> {
        if !self.exposed {
            return origin::check(request.uri(), request.headers());
        }
        let Some(Peer(peer)) = request.extensions().get().copied() else {
            return Err(Failed::Missing.error());
        };
        let access = Access {
            ops: Ops::of(&[Op::Admin]),
            resource: Resource::None,
            body: 0,
        };
        let presented = in_field(request.headers());
        let now = clock::instant();
        let holder = admission::authority(&self.node, &presented, &access, peer, now)?;
        holder.map_or(Ok(()), |holder| self.node.authority.spend(&holder, now))
    }

    /// Answers one request; its body, if any, is not read.
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let answer = self.authority(request).and_then(|()| self.route(request));
        let corr_id = correlation::of(request.headers());
        let mut response = answer.unwrap_or_else(|error| {
            problem::response(error.into(), corr_id.to_str().unwrap_or_default())
        });
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(correlation::X_CORR_ID, corr_id);
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response.map(Full::new)
    }

    fn route<B>(&self, request: &Request<B>) -> Result<Response<Bytes>, CallError> {
        #[cfg(feature = "faults")]
        if request.uri().path() == "/fault/corrupt" && request.method() == Method::POST {
            return self.corrupt(request.uri().query().unwrap_or_default());
        }
        #[cfg(feature = "faults")]
        if request.uri().path() == "/fault/sweeper" && request.method() == Method::POST {
            return self.panic_sweeper(request.uri().query().unwrap_or_default());
        }
        #[cfg(feature = "faults")]
        if request.uri().path() == "/fault/attempts" && request.method() == Method::POST {
            return Self::attempts(request.uri().query().unwrap_or_default());
        }
        #[cfg(feature = "faults")]
        if request.uri().path() == "/fault/panic" && request.method() == Method::POST {
            panic!("{}", request.uri().query().unwrap_or_default());
        }
        let answer: fn(&Self) -> Response<Bytes> = match request.uri().path() {
            "/healthz" => |_| text("ok\n"),
            "/readyz" => Self::readyz,
            "/metrics" => Self::metrics,
            "/version" => Self::version,
            "/proof" => |admin| json_response(&proof::of(&admin.node)),
            _ => {
                return Err(CallError::new(
                    ErrorCode::NotFound,
                    "the admin plane has /healthz, /readyz, /metrics, /version and /proof",
                ));
            }
        };
        match *request.method() {
            Method::GET | Method::HEAD => Ok(answer(self)),
            _ => Err(CallError::new(
                ErrorCode::MethodNotAllowed,
                "this path answers GET and HEAD",
            )),
        }
    }

    fn readyz(&self) -> Response<Bytes> {
        let state = self.node.state();
        let ready = state == State::Ready;
        let retry_after = if ready { 0 } else { RETRY_AFTER_SECONDS };
        let mut response = json_response(&json!({
            "ready": ready,
            "degraded": matches!(state, State::Degraded | State::Shedding),
            "missing": self.node.missing(),
            "retry_after": retry_after,
        }));
        if !ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
        }
        response
    }

    fn metrics(&self) -> Response<Bytes> {
        let text = exposition::scrape(&self.registry).expect("writing to a string does not fail");
        let mut response = Response::new(Bytes::from(text));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(exposition::CONTENT_TYPE),
        );
        response
    }

    fn version(&self) -> Response<Bytes> {
        let config = self.node.config.load();
        let mut limits: Map<String, Value> = KEYS
            .iter()
            .filter(|key| !key.is_list())
            .map(|key| (key.path.to_owned(), key.text(&config).into()))
            .collect();
        limits.insert("memory.budget".to_owned(), self.node.budget.limit().into());
        limits.insert(
            "connections in force".to_owned(),
            self.node.data_slots.cap().into(),
        );
        let features = [
            ("faults", cfg!(feature = "faults")),
            ("tokio-console", cfg!(feature = "tokio-console")),
        ];
        let features = features.into_iter().filter(|(_, has)| *has);
        let features: Vec<&str> = features.map(|(name, _)| name).collect();
        json_response(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "revision": env!("MICRONODE_REVISION"),
            "rustc": env!("MICRONODE_RUSTC"),
            "features": features,
            "dev": config.dev,
            "amnesia": self.node.amnesia.summary(&config),
            "pq": self.node.pq(),
            "limits": limits,
        }))
    }

    /// Flips a bit of a stored object: `address=b3:…&offset=N`.
    #[cfg(feature = "faults")]
    fn corrupt(&self, query: &str) -> Result<Response<Bytes>, CallError> {
        let value = |name| parameter(query, name);
        let bad = || CallError::new(ErrorCode::BadRequest, "corrupt takes address= and offset=");
        let address = value("address")
            .and_then(|text| text.parse().ok())
            .ok_or_else(bad)?;
        let offset = value("offset")
            .and_then(|text| text.parse().ok())
            .ok_or_else(bad)?;
        if !self.node.store.corrupt(&address, offset) {
            return Err(CallError::new(ErrorCode::NotFound, "no such byte"));
        }
        Ok(text("corrupted\n"))
    }

    /// Tries what must not be possible: `directory=…&tcp=IP:PORT&abstract=NAME`.
    #[cfg(feature = "faults")]
    fn attempts(query: &str) -> Result<Response<Bytes>, CallError> {
        let bad = "attempts takes directory=, tcp= and abstract=";
        let bad = || CallError::new(ErrorCode::BadRequest, bad);
        let value = |name| parameter(query, name).ok_or_else(bad);
        let tcp = value("tcp")?.parse().map_err(|_| bad())?;
        let directory = std::path::Path::new(value("directory")?);
        let results = attempts::all(directory, tcp, value("abstract")?);
        Ok(json_response(&results))
    }

    /// Lets the sweeper of queues panic: `panics=N`.
    #[cfg(feature = "faults")]
    fn panic_sweeper(&self, query: &str) -> Result<Response<Bytes>, CallError> {
        let times = query.strip_prefix("panics=");
        let times = times.and_then(|times| times.parse().ok());
        let times =
            times.ok_or_else(|| CallError::new(ErrorCode::BadRequest, "sweeper takes panics="))?;
        self.node.sweeper_fault.panics(times);
        Ok(text("it will panic\n"))
    }
}

#[cfg(feature = "faults")]
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut of_name = pairs.filter(|(key, _)| *key == name);
    of_name.next().map(|(_, value)| value)
}

fn text(text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn json_response(value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
