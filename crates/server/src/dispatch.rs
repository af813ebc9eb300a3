//! From a [`Call`] to the engine that answers it.

use crate::buffer::collect;
use crate::call::{Call, CallError, Command, Put, Reply};
use crate::clock;
use crate::node::Node;
use http_body_util::BodyExt;
use micronode_engine::{DeleteError, GetError, IntegrityError, OverBudget, PutError, PutHead};
use micronode_protocol::ErrorCode;

/// Carries a call out. Everything about authority, rates and caps has been decided before.
pub(crate) async fn dispatch(node: &Node, call: Call) -> Result<Reply, CallError> {
    match call {
        Call::Echo { body } => Ok(Reply::Echo(collect(body, &node.budget).await?.into_bytes())),
        Call::Put(call) => put(node, call).await,
        Call::Command(command) => answer(node, command),
    }
}

/// Carries out what needs no body, at once.
pub(crate) fn answer(node: &Node, command: Command) -> Result<Reply, CallError> {
    match command {
        Command::Ping => Ok(Reply::Pong),
        Command::Get { address } => Ok(Reply::Object(node.store.get(clock::now(), &address)?)),
        Command::Has { addresses } => {
            let now = clock::now();
            Ok(Reply::Has(
                addresses
                    .iter()
                    .map(|address| address.is_some_and(|address| node.store.has(now, &address)))
                    .collect(),
            ))
        }
        Command::Delete { address } => {
            node.store
                .delete(clock::now(), &address)
                .map_err(|error| match error {
                    DeleteError::NotFound => not_found(),
                    DeleteError::Pinned => CallError::new(
                        ErrorCode::Pinned,
                        "a name points at this object; delete the name, or point it elsewhere",
                    ),
                })?;
            Ok(Reply::Deleted)
        }
        Command::Exchange { grant } => {
            let auth = &node.config.load().auth;
            let token = node.authority.exchange(auth, &grant, clock::instant())?;
            Ok(Reply::Token(token))
        }
        Command::Mint(mint) => {
            let default = node.config.load().auth.token_ttl;
            Ok(Reply::Token(node.authority.mint(default, &mint)?))
        }
    }
}

async fn put(node: &Node, call: Put) -> Result<Reply, CallError> {
    let started = clock::instant();
    let Put {
        expected,
        declared,
        ttl,
        media_type,
        mut body,
    } = call;
    let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    let head = PutHead {
        expected,
        declared,
        ttl_ms,
        media_type: media_type.as_deref(),
    };
    let mut upload = node.store.begin_put(clock::now(), head)?;
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            upload.write(&piece)?;
        }
    }
    let stored = upload.finish(clock::now())?;
    node.metrics.storage_put.observe(clock::instant() - started);
    Ok(Reply::Stored(stored))
}

fn not_found() -> CallError {
    CallError::new(ErrorCode::NotFound, "no such object here")
}

/// Memory that the budget does not have: writes are shed until some is given back.
impl From<OverBudget> for CallError {
    fn from(_: OverBudget) -> Self {
        Self::new(
            ErrorCode::Degraded,
            "the memory budget is used up; delete objects or come back later",
        )
    }
}

impl From<GetError> for CallError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound(_) => not_found(),
            GetError::Integrity(error) => error.into(),
        }
    }
}

impl From<IntegrityError> for CallError {
    fn from(_: IntegrityError) -> Self {
        Self::new(
            ErrorCode::IntegrityFail,
            "stored bytes do not match their address; put the object again to heal it",
        )
    }
}

impl From<PutError> for CallError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::TooLarge { .. } => {
                Self::new(ErrorCode::BodyTooLarge, "larger than limits.max_object")
            }
            PutError::OverBudget(error) => error.into(),
            PutError::DigestMismatch => Self::new(
                ErrorCode::DigestMismatch,
                "the body does not hash to the address",
            ),
            PutError::LengthMismatch => Self::new(
                ErrorCode::BadRequest,
                "the body is not as long as it was declared",
            ),
        }
    }
}
