//! Undoes the content coding of request bodies.

use std::task::{Context, Poll};

use http::Request;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::AdmitFuture;
use crate::{
    DecodedBody, DecompressLimits, GuardedBody, InFlight, Permit, Refusal, request_coding,
};

/// Gives the service below decoded bodies, without the fields that describe the encoded ones.
/// Stands inside of a [`BodyLayer`](super::BodyLayer), which bounds what arrives.
#[derive(Clone, Debug)]
pub struct DecompressLayer {
    limits: DecompressLimits,
    decoders: InFlight,
}

impl DecompressLayer {
    /// Decodes under `limits`, at most as many bodies at once as `decoders` has permits.
    pub fn new(limits: DecompressLimits, decoders: InFlight) -> Self {
        Self { limits, decoders }
    }

    fn decoded<B: Body>(
        &self,
        request: Request<GuardedBody<B>>,
    ) -> Result<Request<DecodedBody<B, Permit>>, Refusal> {
        let Some(coding) = request_coding(request.headers())? else {
            return Ok(request.map(DecodedBody::plain));
        };
        let permit = self.decoders.acquire()?;
        let mut request = request.map(|body| DecodedBody::new(body, coding, &self.limits, permit));
        request.headers_mut().remove(CONTENT_ENCODING);
        request.headers_mut().remove(CONTENT_LENGTH);
        Ok(request)
    }
}

impl<S> Layer<S> for DecompressLayer {
    type Service = DecompressService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DecompressService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of a [`DecompressLayer`].
#[derive(Clone, Debug)]
pub struct DecompressService<S> {
    inner: S,
    layer: DecompressLayer,
}

impl<S, B> Service<Request<GuardedBody<B>>> for DecompressService<S>
where
    S: Service<Request<DecodedBody<B, Permit>>, Error: Into<Refusal>>,
    B: Body,
{
    type Response = S::Response;
    type Error = Refusal;
    type Future = AdmitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<GuardedBody<B>>) -> Self::Future {
        match self.layer.decoded(request) {
            Ok(request) => AdmitFuture::passed(self.inner.call(request)),
            Err(refusal) => AdmitFuture::refused(refusal),
        }
    }
}
