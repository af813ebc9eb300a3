//! From a [`Call`] to the engine that answers it.

use crate::authority::Scope;
use crate::buffer::collect;
use crate::call::failure::{no_such_name, no_such_queue};
use crate::call::name::{Name, NameList, NameSet};
use crate::call::queue::{Message, Queue, Settle, Settled, Settling};
use crate::call::{Call, CallError, Command, Put, Reply};
use crate::clock;
use crate::feed::{EventFeed, Feed, Subscription, Watch};
use crate::node::Node;
use crate::spool::{Place, Spool};
use crate::waiting::{Wait, millis};
use http_body_util::BodyExt;
use micronode_engine::mailbox::{self, Idempotency, SendError};
use micronode_engine::names::{NameChange, NameEntry};
use micronode_engine::{GetError, PutHead};
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::Resource;
use micronode_protocol::limits::{LIST_NAMES, NAME_READS};
use std::sync::Arc;
use tokio::task::yield_now;

/// Carries a call out. Everything about authority, rates and caps has been decided before. On a
/// node that keeps what it holds, what a call changes is durable when this returns.
pub(crate) async fn dispatch(node: &Node, call: Call) -> Result<Reply, CallError> {
    let Some((keeper, room)) = node.keeper.as_ref().zip(call.keeps()) else {
        return carry_out(node, call).await;
    };
    keeper.admit(room)?;
    let reply = carry_out(node, call).await;
    // A refusal too: it may tell of a change that somebody else has made.
    keeper.settled().await?;
    reply
}

async fn carry_out(node: &Node, call: Call) -> Result<Reply, CallError> {
    match call {
        Call::Echo { body } => Ok(Reply::Echo(collect(body, &node.store).await?.into_bytes())),
        Call::Put(call) => put(node, call).await,
        Call::Command(command) => answer(node, command).await,
    }
}

/// Carries out what needs no body: at once, but for what many names or messages are looked at for.
async fn answer(node: &Node, command: Command) -> Result<Reply, CallError> {
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
            node.store.delete(clock::now(), &address)?;
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

        Command::NameGet { name, scope } => {
            let (address, revision) = node.names.get(&name).ok_or_else(no_such_name)?;
            scope.covers(node, Resource::Pointer(&name, Some(&address)))?;
            Ok(Reply::Pointer(address, revision))
        }
        Command::NameRead { name, scope } => read_name(node, &name, &scope),
        Command::NameSet(set) => set_name(node, set),
        Command::NameDelete { name, expected } => {
            let publish = |change: &NameChange<'_>| node.events.name(change);
            node.names.delete(&name, &expected, publish)?;
            Ok(Reply::Deleted)
        }
        Command::NameList(list) => Ok(list_names(node, &list).await),
        Command::NameWatch { prefix, scope } => {
            let watch = Watch::new(node, &prefix, scope)?;
            Ok(Reply::Feed(Box::new(Feed::Names(watch))))
        }

        Command::Send(message) => send(node, &message),
        Command::Receive(receive) => Wait::begin(node, receive),
        Command::Subscribe(subscribe) => {
            let subscription = Subscription::new(node, &subscribe)?;
            Ok(Reply::Feed(Box::new(Feed::Messages(subscription))))
        }
        Command::Settle(settle) => Ok(settled(node, settle)),
        Command::QueueStats { queue } => {
            let stats = node.mailbox.stats(clock::now(), queue.as_ref());
            Ok(Reply::QueueStats(stats.ok_or_else(no_such_queue)?))
        }
        Command::Purge { queue } => purge(node, &queue).await,
        Command::Redrive { queue, limit } => redrive(node, &queue, limit).await,

        Command::Events { after, scope } => {
            let events = EventFeed::new(node, after.as_deref(), scope)?;
            Ok(Reply::Feed(Box::new(Feed::Events(events))))
        }
    }
}

/// What a name points at. Its object may be gone when it is asked for, but only if the name points
/// elsewhere by then, or nowhere: so the name is asked again.
fn read_name(node: &Node, name: &Name, scope: &Scope) -> Result<Reply, CallError> {
    for _ in 0..NAME_READS {
        let (address, revision) = node.names.get(name).ok_or_else(no_such_name)?;
        scope.covers(node, Resource::Pointer(name, Some(&address)))?;
        match node.store.get(clock::now(), &address) {
            Ok(object) => return Ok(Reply::Named(object, revision)),
            Err(GetError::NotFound(_)) => {}
            Err(GetError::Integrity(error)) => return Err(error.into()),
        }
    }
    Err(CallError::new(
        ErrorCode::Overloaded,
        "the name moves on faster than it can be read; come back later",
    ))
}

fn set_name(node: &Node, set: NameSet) -> Result<Reply, CallError> {
    let NameSet {
        name,
        address,
        expected,
    } = set;
    let publish = |change: &NameChange<'_>| node.events.name(change);
    let set = node
        .names
        .set(clock::now(), &name, &address, &expected, publish)?;
    Ok(Reply::NameSet {
        name,
        address,
        revision: set.revision,
        created: set.created,
    })
}

/// A page, as far as the scope goes. Only one of an object can show few of many names; for it, the
/// rest of the index is looked through, and others have a turn between any two pages of it.
async fn list_names(node: &Node, list: &NameList) -> Reply {
    let Some(prefix) = list.scope.names_under(&list.prefix) else {
        return Reply::Names(Vec::new(), false);
    };
    let mut entries: Vec<NameEntry> = Vec::new();
    let mut page = Vec::new();
    let (mut after, mut limit) = (list.after.clone(), list.limit);
    loop {
        let more = node.names.list(&prefix, &after, limit, &mut page);
        if let Some(last) = page.last() {
            after = last.name.to_string();
        }
        entries.extend(page.drain(..).filter(|entry| {
            let pointer = Resource::Pointer(&entry.name, Some(&entry.address));
            list.scope.shows(pointer)
        }));
        if !more || entries.len() >= list.limit {
            let more = more || entries.len() > list.limit;
            entries.truncate(list.limit);
            return Reply::Names(entries, more);
        }
        limit = LIST_NAMES;
        yield_now().await;
    }
}

fn send(node: &Node, message: &Message) -> Result<Reply, CallError> {
    let idempotency = message.key.as_ref().map(|(key, holder)| Idempotency {
        holder: *holder,
        key,
    });
    let send = mailbox::Send {
        body: &message.body,
        delay_ms: millis(message.delay),
        idempotency,
    };
    let (now, queue) = (clock::now(), message.queue.text());
    let bytes = message.body.len() as u64;
    let sent = node.metrics.mailbox_send.time(|| {
        node.store
            .with_room(now, bytes, || match node.mailbox.send(now, queue, send) {
                Err(SendError::OverBudget(over)) => Err(over),
                sent => Ok(sent),
            })
    });
    Ok(Reply::Sent(sent??))
}

fn settled(node: &Node, settle: Settle) -> Reply {
    let receipts: Vec<&str> = settle.receipts.iter().map(String::as_str).collect();
    let mut verdicts = Vec::with_capacity(receipts.len());
    let (now, queue, out) = (clock::now(), settle.queue.as_ref(), &mut verdicts);
    match settle.how {
        Settling::Ack => {
            let timed = &node.metrics.mailbox_ack;
            timed.time(|| node.mailbox.ack(now, queue, &receipts, out));
        }
        Settling::Nack(delay) => node.mailbox.nack(now, queue, millis(delay), &receipts, out),
        Settling::Extend(visibility) => {
            node.mailbox
                .extend(now, queue, millis(visibility), &receipts, out);
        }
    }
    Reply::Settled(Settled {
        receipts: settle.receipts,
        verdicts,
    })
}

/// As many turns as there are messages for, others on this thread between them.
async fn purge(node: &Node, queue: &Queue) -> Result<Reply, CallError> {
    let purge = node.mailbox.purge(clock::now(), queue.as_ref());
    let mut purge = purge.ok_or_else(no_such_queue)?;
    loop {
        match purge.turn(clock::now()) {
            Some(removed) => return Ok(Reply::Purged(removed)),
            None => turn_over(node).await?,
        }
    }
}

/// The same.
async fn redrive(node: &Node, queue: &Queue, limit: u32) -> Result<Reply, CallError> {
    let redrive = node.mailbox.redrive(clock::now(), queue.text(), limit);
    let mut redrive = redrive.ok_or_else(no_such_queue)?;
    loop {
        match redrive.turn(clock::now()) {
            Some(redriven) => return Ok(Reply::Redriven(redriven)),
            None => turn_over(node).await?,
        }
    }
}

/// Between two turns of what takes many: others have one, and the disk gets behind.
async fn turn_over(node: &Node) -> Result<(), CallError> {
    yield_now().await;
    match &node.keeper {
        Some(keeper) => keeper.room().await,
        None => Ok(()),
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
    let keeper = node.keeper.as_ref();
    let mut spool = keeper.map(|keeper| Spool::new(Arc::clone(&keeper.staging)));
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            upload.write(&piece)?;
            if let Some(spool) = &mut spool {
                spool.write(piece).await?;
            }
        }
    }
    let sealed = upload.seal()?;
    let place = match spool {
        Some(spool) => spool.finish().await?,
        None => None,
    };
    let stored = sealed.insert(clock::now(), place.as_ref().and_then(Place::number))?;
    if let Some(place) = place.filter(|_| !stored.existed) {
        place.keep();
    }
    node.metrics.storage_put.observe(clock::instant() - started);
    Ok(Reply::Stored(stored))
}

#[cfg(test)]
mod tests;
