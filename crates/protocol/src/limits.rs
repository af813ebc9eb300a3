//! Every hard cap of the node, once.
//!
//! A cap in this file is a promise to the operator: what a peer can make the node hold, wait for
//! or compute. Configuration may lower most of them and never raise those marked *only lower*.
//! Sizes are bytes, times are [`Duration`]s, rates are per second.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// --- Content -------------------------------------------------------------------------------

/// The unit of everything that streams: read, hashed, stored, verified and written as one piece.
/// Equals a complete BLAKE3 subtree of 64 chunks of 1 KiB.
pub const GROUP_BYTES: usize = 64 * KIB;

/// Largest one-shot body (one that declares its length on a one-shot route). *Only lower.*
pub const ONE_SHOT_BYTES: usize = MIB;

/// Largest object by default; configurable, always within the memory budget.
pub const MAX_OBJECT_BYTES: u64 = 1024 * MIB as u64;

/// Bytes reserved from the memory budget ahead of what a streamed upload has delivered.
pub const RESERVE_AHEAD_BYTES: usize = MIB;

/// Addresses in one `has` request.
pub const HAS_ADDRESSES: usize = 4096;

/// Longest media type kept with an object, in bytes.
pub const MEDIA_TYPE_BYTES: usize = 255;

/// Byte ranges answered in one response; a request for more is answered whole.
pub const RANGES_PER_REQUEST: usize = 16;

/// What an object costs beyond its bytes: map entries, chaining values excluded. Charged to the
/// memory budget so that a flood of empty objects is bounded by it too.
pub const OBJECT_OVERHEAD_BYTES: u64 = 300;

/// Shards of the object map. Unrelated objects rarely share a lock.
pub const STORE_SHARDS: usize = 64;

/// Most objects looked at by one sweep of expired objects, so that a sweep never stalls a worker.
pub const SWEEP_OBJECTS: usize = 1024;
/// A sweep stops once it has freed this much: wiping it takes a few milliseconds.
pub const SWEEP_BYTES: u64 = 16 * MIB as u64;

// --- Time ----------------------------------------------------------------------------------

/// From the end of the request body to the response head. *Only lower.*
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// A one-shot body arrives whole within this. *Only lower.*
pub const ONE_SHOT_DEADLINE: Duration = Duration::from_secs(5);

/// A stream, in either direction, moves at least once in this time. *Only tighter.*
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Least average rate of a stream after its first [`PROGRESS_INTERVAL`], bytes per second.
pub const PROGRESS_MIN_RATE: u64 = 4 * KIB as u64;

/// A request head is complete within this of its first byte (of the connection's start, for the
/// first). *Only lower.*
pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// A kept-alive connection without a request is closed after this. *Only lower.*
pub const IDLE_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Time for streams in flight to finish after SIGTERM.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// After SIGTERM, new connections are still accepted (and writes told 503) for this long, so that
/// a load balancer sees the readiness change before it sees a refused connection.
pub const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// After a refusal sent before the body was read: how long, and how much of the body, is
/// discarded so that the answer reaches the client instead of a reset.
pub const LINGER_TIME: Duration = Duration::from_secs(1);
/// See [`LINGER_TIME`].
pub const LINGER_BYTES: usize = 256 * KIB;

// --- Request heads -------------------------------------------------------------------------

/// Request head: request line and fields, in bytes. *Only lower.*
pub const HEAD_BYTES: usize = 16 * KIB;
/// Fields in a request head. *Only lower.*
pub const HEAD_FIELDS: usize = 64;
/// Longest `X-Corr-ID` accepted from a client.
pub const CORR_ID_CHARS: usize = 64;

// --- Concurrency and rate ------------------------------------------------------------------

/// Requests and streams in flight per node, over all data listeners.
pub const IN_FLIGHT: usize = 512;
/// Refusals with a body that peers have not yet taken; one more is its status and fields alone,
/// which no flow control can hold back.
pub const REFUSALS: usize = 1024;
/// When all permits are taken, the slowest stream below this many bytes per second ...
pub const SLOW_SHARE_RATE: u64 = 64 * KIB as u64;
/// ... over this long ...
pub const SLOW_SHARE_WINDOW: Duration = Duration::from_secs(2);
/// ... and older than this is cut for a newcomer, ...
pub const SLOW_SHARE_AGE: Duration = Duration::from_secs(5);
/// ... who waits at most this long for its permit.
pub const SLOW_SHARE_WAIT: Duration = Duration::from_millis(200);
/// Requests in flight on the admin plane, its own small budget.
pub const ADMIN_IN_FLIGHT: usize = 32;
/// Connections of the admin plane, its own small budget.
pub const ADMIN_CONNECTIONS: usize = 64;
/// Requests per second per instance.
pub const RATE_PER_SECOND: u64 = 500;
/// The rate's burst: this much time's worth of requests.
pub const RATE_BURST: Duration = Duration::from_millis(100);
/// Connections over all data listeners; the soft FD limit may lower it.
pub const CONNECTIONS: usize = 1024;
/// Share of the soft FD limit that connections may take, in percent.
pub const CONNECTIONS_FD_PERCENT: usize = 60;
/// Permits of the storage facet's reads; equal to [`IN_FLIGHT`], so that they bind only when lowered.
pub const FACET_STORAGE_READ: usize = IN_FLIGHT;
/// Permits of the storage facet's writes; see [`FACET_STORAGE_READ`].
pub const FACET_STORAGE_WRITE: usize = IN_FLIGHT;
/// Permits of the names' facet; see [`FACET_STORAGE_READ`].
pub const FACET_INDEX: usize = IN_FLIGHT;
/// Permits of the mailbox's facet; see [`FACET_STORAGE_READ`].
pub const FACET_MAILBOX: usize = IN_FLIGHT;
/// Connections handed to one worker that it has not yet picked up.
pub const WORKER_BACKLOG: usize = 256;
/// Listen backlog of every listener.
pub const LISTEN_BACKLOG: u32 = 1024;
/// Most worker threads.
pub const WORKERS: usize = 256;

// --- HTTP/2 --------------------------------------------------------------------------------

/// Concurrent streams per connection. *Only lower.*
pub const H2_STREAMS: u32 = 100;
/// Streams reset by the peer before they were accepted (rapid reset).
pub const H2_PENDING_RESETS: usize = 20;
/// Flow-control window per stream: what a peer may send before it is read.
pub const H2_STREAM_WINDOW: u32 = 256 * KIB as u32;
/// Flow-control window per connection.
pub const H2_CONNECTION_WINDOW: u32 = MIB as u32;
/// Response bytes buffered per stream.
pub const H2_SEND_BUFFER: usize = 128 * KIB;
/// Control frames (PING, SETTINGS, RST_STREAM, PRIORITY, empty DATA, CONTINUATION, unknown) that
/// a connection may send at once ...
pub const H2_CONTROL_BURST: u32 = 1000;
/// ... and per second after that.
pub const H2_CONTROL_PER_SECOND: u32 = 100;

// --- OAP/1 ---------------------------------------------------------------------------------

/// Largest frame, header and capability included. *Only lower.*
pub const OAP_FRAME_BYTES: usize = MIB;
/// Least that the largest frame may be lowered to: a chunk with its fields has to fit.
pub const OAP_FRAME_BYTES_MIN: usize = 128 * KIB;
/// Body bytes in one frame of a stream of several, after the fixed fields and after inflation.
pub const OAP_CHUNK_BYTES: usize = GROUP_BYTES;
/// Streams at once per connection. *Only lower.*
pub const OAP_STREAMS: usize = 64;
/// What a connection may read ahead: a chunk with its frame around it, and a few small frames. A
/// longer frame is paid for from the memory budget before it is read.
pub const OAP_READ_BYTES: usize = 72 * KIB;
/// Bytes that wait for the peer to read them, on one connection.
pub const OAP_UNREAD_BYTES: usize = MIB;
/// While so many wait, nothing more is taken from the peer: what one more frame may ask for still
/// fits under [`OAP_UNREAD_BYTES`], also a compressed one, which asks for ten times its length.
pub const OAP_UNREAD_PAUSE_BYTES: usize = 256 * KIB;
/// Answers that are streamed are not produced further ahead of the socket than this.
pub const OAP_WRITE_AHEAD_BYTES: usize = 128 * KIB;
/// Request bytes that wait, on one connection, for the work that takes them.
pub const OAP_BACKLOG_BYTES: usize = 256 * KIB;
/// Work of one connection before others of its worker have a turn: bytes read, and bytes of
/// answers produced ...
pub const OAP_TURN_BYTES: usize = MIB;
/// ... where a request counts for so many beyond its bytes: the shortest read hashes a whole group.
pub const OAP_REQUEST_BYTES: usize = 16 * KIB;
/// Frames that ask for nothing (faults, cancels of nothing, empty ones) that a connection may send
/// at once ...
pub const OAP_IDLE_FRAMES: u64 = H2_CONTROL_BURST as u64;
/// ... and per second after that.
pub const OAP_IDLE_FRAMES_PER_SECOND: u64 = H2_CONTROL_PER_SECOND as u64;
/// A frame that nobody waits for any more asks for nothing if it is smaller than this. The rest of
/// a refused upload is not.
pub const OAP_SMALL_BYTES: usize = KIB;
/// Body bytes copied next to their frame's header, which costs less than a slice of their own.
pub const OAP_INLINE_BYTES: usize = 4 * KIB;
/// HELLO's document.
pub const OAP_HELLO_BYTES: usize = 4 * KIB;

// --- Names, queues, events -----------------------------------------------------------------

/// Longest name of an object.
pub const NAME_BYTES: usize = 255;
/// Names at once.
pub const NAMES: usize = 2_097_152;
/// What a name costs beyond its bytes, charged to the memory budget.
pub const NAME_OVERHEAD_BYTES: u64 = 200;
/// How often a name is asked for where it points, when it has gone from there before its object was
/// found: each time somebody has pointed it elsewhere within a microsecond.
pub const NAME_READS: usize = 3;
/// Names on one page of a list, at most ...
pub const LIST_NAMES: usize = 1000;
/// ... and unless more or fewer are asked for.
pub const LIST_NAMES_DEFAULT: usize = 100;

/// Longest name of a queue; its dead letters' is four longer.
pub const QUEUE_NAME_BYTES: usize = 80;
/// Queues at once.
pub const QUEUES: usize = 10_000;
/// What a queue costs beyond its messages, charged to the memory budget.
pub const QUEUE_OVERHEAD_BYTES: u64 = 1500;
/// Shards of the map of queues. They share no lock but for the lookup.
pub const QUEUE_SHARDS: usize = 64;
/// Messages of one queue, its dead letters included.
pub const QUEUE_MESSAGES: u64 = 1_000_000;
/// Messages of all queues.
pub const MESSAGES: u64 = 4 * QUEUE_MESSAGES;
/// Share of the memory budget that the messages of one queue may take, in percent ...
pub const QUEUE_BYTES_PERCENT: u64 = 25;
/// ... and those of all queues.
pub const MESSAGES_BYTES_PERCENT: u64 = 50;
/// What a message costs beyond its bytes and its place in the queue: allocations and their owner.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 128;
/// Largest message by default; configurable up to [`MESSAGE_BYTES_MAX`].
pub const MESSAGE_BYTES: usize = 256 * KIB;
/// Largest message that an operator may allow: a one-shot body.
pub const MESSAGE_BYTES_MAX: usize = ONE_SHOT_BYTES;
/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Shortest time that an operator may set.
pub const IDEMPOTENCY_WINDOW_MIN: Duration = Duration::from_secs(1);
/// Longest.
pub const IDEMPOTENCY_WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Idempotency keys of one queue: one more is refused, since none is forgotten early.
pub const IDEMPOTENCY_KEYS: usize = 65_536;
/// What an idempotency key costs: it is kept as hashes, whatever its length.
pub const IDEMPOTENCY_KEY_CHARGE: u64 = 256;
/// Longest idempotency key.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// How long a message that was received is nobody else's, unless less or more is asked for.
pub const VISIBILITY: Duration = Duration::from_secs(30);
/// Most that may be asked for.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Longest delay of a message.
pub const DELAY_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Deliveries of a message before it is a dead letter.
pub const MAX_DELIVERIES: u32 = 5;
/// Most that an operator may set: each is kept in the message's history.
pub const MAX_DELIVERIES_MAX: u32 = 100;
/// Messages of one receive.
pub const RECEIVE_MESSAGES: usize = 256;
/// Bytes of the bodies of one receive, unless the first alone is longer.
pub const RECEIVE_BYTES: usize = MIB;
/// Leases and delays that a command ends, and idempotency keys that it forgets, if they are over,
/// before it does its own work.
pub const SETTLE_MESSAGES: usize = 64;
/// Most messages that are looked at under one hold of a queue's lock: some tens of microseconds.
pub const QUEUE_TURN_MESSAGES: usize = 256;
/// Most queues looked at by one sweep of what is due in them, so that it never stalls its thread.
pub const SWEEP_QUEUES: usize = 64;
/// Receipts of one ack, nack or extend.
pub const RECEIPTS: usize = 256;
/// Longest receipt, and longest id of a message.
pub const RECEIPT_CHARS: usize = 64;
/// A queue that has neither messages nor keys nor waiters is forgotten after this.
pub const QUEUE_IDLE: Duration = Duration::from_secs(10 * 60);
/// Queues with metrics of their own, the first by name; the rest is summed.
pub const METRIC_QUEUES: usize = 100;

/// Longest wait of a long-poll; longer ones are cut to it. Within [`REQUEST_DEADLINE`].
pub const WAIT_MAX: Duration = Duration::from_secs(4);
/// Parked waits per node: long-polls, subscriptions, watches and event streams.
pub const WAITERS: usize = 16_384;
/// Parked waits per OAP connection.
pub const CONNECTION_WAITERS: usize = 1024;
/// Messages that one subscription may have leased at once.
pub const SUBSCRIPTION_CREDIT: u16 = 1024;
/// An OAP connection with parked waits is pinged when nothing has come for this long ...
pub const OAP_PING: Duration = Duration::from_secs(20);
/// ... and closed when nothing comes within this after a ping.
pub const OAP_PING_PATIENCE: Duration = Duration::from_secs(20);

/// Events that the bus remembers: a subscriber further behind has missed some.
pub const BUS_EVENTS: usize = 512;
/// Longest id of an event.
pub const EVENT_ID_CHARS: usize = 64;
/// How often a stream of server-sent events says that it lives.
pub const SSE_HEARTBEAT: Duration = Duration::from_secs(2);
/// Routes from the bus into queues.
pub const ROUTES: usize = 64;
/// How long an event that found no room in its queue counts against readiness: more than
/// [`READINESS_HOLD`], so that a single one is noticed.
pub const ROUTE_DROP_WINDOW: Duration = Duration::from_secs(2);

// --- Capabilities --------------------------------------------------------------------------

/// A capability token, in bytes.
pub const CAPABILITY_BYTES: usize = 8 * KIB;
/// Caveats of a token.
pub const CAPABILITY_CAVEATS: usize = 32;
/// A token's identifier.
pub const CAPABILITY_IDENTIFIER_BYTES: usize = 128;
/// A token's location, which is its node's name.
pub const CAPABILITY_LOCATION_BYTES: usize = 64;
/// How long a token lives unless less or more is asked for.
pub const TOKEN_TTL: Duration = Duration::from_secs(15 * 60);
/// How long a token may live at most.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long tokens are made with a key.
pub const KEY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a request in progress is asked whether its token still stands.
pub const AUTHORITY_RECHECK: Duration = Duration::from_secs(1);
/// Rates that tokens carry (`rps`), counted at once.
pub const TOKEN_RATES: usize = 65_536;
/// Share of the request rate that requests without authority may take of a bucket of their own, in
/// percent.
pub const UNAUTHENTICATED_RATE_PERCENT: u64 = 20;
/// They may have so many per second however low the rate is: being told what is wrong costs less
/// than being told to wait.
pub const UNAUTHENTICATED_RATE_MIN: u64 = 20;
/// Burst of that bucket: this much time's worth.
pub const UNAUTHENTICATED_BURST: Duration = Duration::from_secs(1);

// --- Grants --------------------------------------------------------------------------------

/// A signed grant; the largest that the caps below allow is smaller.
pub const GRANT_BYTES: usize = 12 * KIB;
/// A grant's audience, and its subject.
pub const GRANT_NAME_BYTES: usize = 255;
/// Caveats of one grant: the token that it is exchanged for has one more, which is its end.
pub const GRANT_CAVEATS: usize = CAPABILITY_CAVEATS - 1;
/// One caveat.
pub const GRANT_CAVEAT_BYTES: usize = KIB;
/// All caveats of one grant: a [token](CAPABILITY_BYTES) has room for them, for all that is around
/// them, and for what narrows it.
pub const GRANT_CAVEATS_BYTES: usize = 6 * KIB;
/// Issuers that a node is configured with.
pub const ISSUERS: usize = 64;
/// Grants and issuers that a node is told to deny.
pub const DENIED: usize = 4096;
/// Grants that are read for each that may be exchanged: those that are none cost little.
pub const GRANTS_PER_EXCHANGE: u64 = 10;
/// Longest body of a request for an exchange: a [grant](GRANT_BYTES) as text.
pub const GRANT_TEXT_BYTES: usize = (GRANT_BYTES * 8).div_ceil(6);
/// Longest body of a request for a token: its caveats, however they are spelled in JSON.
pub const MINT_BYTES: usize = 8 * CAPABILITY_BYTES;
/// A grant arrives whole within this.
pub const GRANT_DEADLINE: Duration = Duration::from_secs(1);
/// Grants being read and exchanged at once: more than what the usual rate of them, with its burst,
/// lets strangers have on their way, so that slow ones cannot take the places of others.
pub const EXCHANGES: usize = 512;
/// Grants exchanged per second: verifying them must not take the processor.
pub const EXCHANGES_PER_SECOND: u64 = 20;
/// Ceiling of that rate.
pub const EXCHANGES_PER_SECOND_MAX: u64 = 1000;

// --- TLS -----------------------------------------------------------------------------------

/// From a worker taking a connection to the end of its TLS handshake.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(2);
/// Largest file of certificates or of a key: a bundle of all public authorities is a quarter.
pub const TLS_FILE_BYTES: u64 = MIB as u64;
/// How often the key of session tickets is replaced; it opens tickets for as long again.
pub const TICKET_TTL: Duration = Duration::from_secs(60 * 60);
/// Least of [`TICKET_TTL`]: its unit on the wire.
pub const TICKET_TTL_MIN: Duration = Duration::from_secs(1);
/// Most of [`TICKET_TTL`]: no key outlives two days.
pub const TICKET_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// TLS handshakes per second on the admin plane, whose thread also accepts for the others.
pub const ADMIN_HANDSHAKES_PER_SECOND: u64 = 100;

// --- Decompression -------------------------------------------------------------------------

/// Output ≤ ratio × input (+ [`DECOMPRESS_SLACK`] while running). *Only lower.*
pub const DECOMPRESS_RATIO: u64 = 10;
/// Slack of the running check; the final check has none.
pub const DECOMPRESS_SLACK: u64 = 64 * KIB as u64;
/// Largest zstd window, log2 of bytes (2 MiB).
pub const ZSTD_WINDOW_LOG: u32 = 21;
/// Largest brotli window, bits.
pub const BROTLI_WINDOW_BITS: u32 = 22;
/// Decoders at work at once.
pub const DECODERS: usize = 32;
/// Input that yields no output for this many bytes is malformed.
pub const DECOMPRESS_SILENT_BYTES: u64 = 64 * KIB as u64;

// --- Memory and readiness ------------------------------------------------------------------

/// Writes are shed above this share of the budget, in percent.
pub const MEMORY_DEGRADED_PERCENT: u64 = 85;
/// Everything that allocates is shed above this share, in percent.
pub const MEMORY_SHED_PERCENT: u64 = 95;
/// In-flight share above which writes are shed, in percent.
pub const IN_FLIGHT_DEGRADED_PERCENT: u64 = 90;
/// FD share above which writes are shed, in percent.
pub const FD_DEGRADED_PERCENT: u64 = 70;
/// Event-loop delay above which writes are shed.
pub const LOOP_DELAY_DEGRADED: Duration = Duration::from_millis(100);
/// A readiness input holds its new side for this long before it counts (no flapping).
pub const READINESS_HOLD: Duration = Duration::from_secs(1);
/// How far below its rise threshold an input must fall to clear, in percentage points.
pub const READINESS_HYSTERESIS_PERCENT: u64 = 5;

// --- Persistence ---------------------------------------------------------------------------

/// Objects of at most this many bytes are kept in the index at first, where they are durable with
/// the batch that they are a part of; larger ones in a file of their own, which is synced by itself.
pub const INLINE_OBJECT_BYTES: u64 = 32 * KIB as u64;
/// With as many bytes of small objects in the index, they move to a file: a pack.
pub const PACK_BYTES: u64 = 4 * MIB as u64;
/// What each object counts there beside its bytes, so that a pack of tiny ones has not too many.
pub const PACK_OBJECT_BYTES: u64 = 512;
/// Packs are written and read in pieces of this size.
pub const PACK_IO_BYTES: usize = 256 * KIB;
/// What is read and not wanted, between two objects of a pack that are.
pub const PACK_GAP_BYTES: u64 = 16 * KIB as u64;
/// What the index keeps of its file in memory, dirty pages included; the rest is read again.
pub const INDEX_CACHE_BYTES: usize = 16 * MIB;
/// Writes are refused when less than this is free on the disk, or than
/// [`DISK_HEADROOM_PERCENT`] of it if that is less: what removes something has to write too.
pub const DISK_HEADROOM_BYTES: u64 = 16 * MIB as u64;
/// See [`DISK_HEADROOM_BYTES`].
pub const DISK_HEADROOM_PERCENT: u64 = 5;
/// Threads that read and verify objects at start, at most.
pub const LOAD_THREADS: usize = 8;

// --- Supervision ---------------------------------------------------------------------------

/// First restart delay of a failed task; doubles up to [`RESTART_BACKOFF_MAX`].
pub const RESTART_BACKOFF_MIN: Duration = Duration::from_millis(100);
/// See [`RESTART_BACKOFF_MIN`].
pub const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// More restarts than this within [`RESTART_WINDOW`] degrade readiness.
pub const RESTARTS_PER_WINDOW: u32 = 5;
/// See [`RESTARTS_PER_WINDOW`].
pub const RESTART_WINDOW: Duration = Duration::from_secs(60);

// --- Configuration -------------------------------------------------------------------------

/// Largest configuration file: every issuer and every denial that there may be, and the rest.
pub const CONFIG_BYTES: u64 = 512 * KIB as u64;
/// Longest duration accepted from anybody, 100 years: adding it to a clock never overflows.
pub const DURATION_MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
/// Ceiling of the counts that an operator may set freely (requests, connections, permits).
pub const CONCURRENCY_MAX: usize = 1 << 20;
/// Ceiling of the request rate: one per nanosecond, the clock's resolution.
pub const RATE_MAX: u64 = 1_000_000_000;
/// Ceiling of the object size that an operator may set, far beyond any memory budget.
pub const OBJECT_BYTES_MAX: u64 = 1 << 50;
/// Ceiling of the drain times.
pub const DRAIN_MAX: Duration = Duration::from_secs(60 * 60);
/// Least memory budget: a few one-shot bodies, decoders and streams at once.
pub const MEMORY_BUDGET_MIN: u64 = 16 * MIB as u64;

/// With `persist.sync = "interval"`: how much a crash may undo, unless configured otherwise.
pub const PERSIST_INTERVAL: Duration = Duration::from_millis(100);
/// Shortest such time.
pub const PERSIST_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Longest.
pub const PERSIST_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Changes that have happened and are not on disk: with as many, requests that make more are
/// refused, and what takes many turns waits between them. Beyond it come only what requests under
/// way make, and the passing of time of what was there already. A change takes some 200 bytes, and
/// what it refers to is charged until it is written.
pub const PERSIST_BACKLOG: usize = 65_536;
/// Bytes removed from the index of what is kept before its file is made shorter, where the disk has
/// little room.
pub const INDEX_UNUSED_BYTES: i64 = MIB as i64;
/// Changes that are written as one transaction.
pub const PERSIST_BATCH: usize = 4096;
/// Messages that a subscription leases at once where leases are kept, because they wait for the
/// disk together.
pub const PERSIST_LEASES: usize = 16;
/// Of an object on its way to disk, so many bytes at most are not durable before the last are there.
pub const STAGED_SYNC_BYTES: u64 = 16 * MIB as u64;
/// Pieces of an upload that wait to be written to disk.
pub const PERSIST_SPOOL_PIECES: usize = 2;
/// After a failure, the disk is tried again after this.
pub const PERSIST_RETRY: Duration = Duration::from_millis(500);

// Relations that the code relies on.
const _: () = assert!(GROUP_BYTES.is_power_of_two() && GROUP_BYTES.is_multiple_of(1024));
const _: () = assert!(ONE_SHOT_BYTES.is_multiple_of(GROUP_BYTES));
const _: () = assert!(MAX_OBJECT_BYTES >= ONE_SHOT_BYTES as u64);
const _: () = assert!(RESERVE_AHEAD_BYTES >= GROUP_BYTES);
const _: () = assert!(LINGER_BYTES < ONE_SHOT_BYTES);
const _: () = assert!(ADMIN_IN_FLIGHT <= ADMIN_CONNECTIONS && ADMIN_CONNECTIONS < CONNECTIONS);
const _: () = assert!(MEMORY_DEGRADED_PERCENT < MEMORY_SHED_PERCENT && MEMORY_SHED_PERCENT < 100);
// One piece of its reader.
const _: () = assert!(INLINE_OBJECT_BYTES <= GROUP_BYTES as u64);
// Any small object fits into the buffer that packs are written with.
const _: () = assert!(INLINE_OBJECT_BYTES <= PACK_IO_BYTES as u64);
const _: () = assert!(INLINE_OBJECT_BYTES + PACK_OBJECT_BYTES <= PACK_BYTES);
const _: () = assert!(H2_STREAM_WINDOW <= H2_CONNECTION_WINDOW);
const _: () = assert!(OAP_CHUNK_BYTES < OAP_READ_BYTES && OAP_READ_BYTES < OAP_FRAME_BYTES_MIN);
const _: () =
    assert!(OAP_FRAME_BYTES_MIN <= OAP_FRAME_BYTES && OAP_FRAME_BYTES <= u32::MAX as usize);
const _: () = assert!(OAP_WRITE_AHEAD_BYTES + OAP_CHUNK_BYTES < OAP_UNREAD_PAUSE_BYTES);
const _: () = assert!(
    OAP_UNREAD_PAUSE_BYTES + DECOMPRESS_RATIO as usize * OAP_READ_BYTES <= OAP_UNREAD_BYTES
);
const _: () = assert!(OAP_FRAME_BYTES <= OAP_UNREAD_BYTES);
const _: () = assert!(
    EXCHANGES as u64
        > EXCHANGES_PER_SECOND
            * GRANTS_PER_EXCHANGE
            * (GRANT_DEADLINE.as_secs() + UNAUTHENTICATED_BURST.as_secs())
);
// A length in a token has two digits of seven bits.
const _: () = assert!(CAPABILITY_BYTES < 1 << 14);
const _: () = assert!(CAPABILITY_BYTES <= u16::MAX as usize && CAPABILITY_BYTES < OAP_READ_BYTES);
const _: () = assert!(TICKET_TTL.as_secs() <= TICKET_TTL_MAX.as_secs());
const _: () = assert!(IN_FLIGHT <= CONCURRENCY_MAX && CONNECTIONS <= CONCURRENCY_MAX);
const _: () = assert!(LIST_NAMES_DEFAULT <= LIST_NAMES && LIST_NAMES <= u16::MAX as usize);
const _: () = assert!(QUEUE_MESSAGES <= MESSAGES && QUEUE_BYTES_PERCENT <= MESSAGES_BYTES_PERCENT);
const _: () = assert!(MESSAGES_BYTES_PERCENT < MEMORY_DEGRADED_PERCENT);
const _: () = assert!(MESSAGE_BYTES <= MESSAGE_BYTES_MAX);
const _: () = assert!(VISIBILITY.as_secs() <= VISIBILITY_MAX.as_secs());
const _: () = assert!(MAX_DELIVERIES <= MAX_DELIVERIES_MAX);
const _: () = assert!(PERSIST_BATCH <= PERSIST_BACKLOG);
const _: () = assert!(WAIT_MAX.as_millis() < REQUEST_DEADLINE.as_millis());
const _: () = assert!(CONNECTION_WAITERS <= WAITERS);
const _: () = assert!(
    // Milliseconds of a field of 32 bits.
    VISIBILITY_MAX.as_millis() <= u32::MAX as u128 && DELAY_MAX.as_millis() <= u32::MAX as u128
);
const _: () = assert!(MAX_OBJECT_BYTES <= OBJECT_BYTES_MAX && RATE_PER_SECOND <= RATE_MAX);
// Around a caveat there are at most 5 bytes.
const _: () = assert!(
    GRANT_CAVEATS_BYTES
        + 5 * CAPABILITY_CAVEATS
        + CAPABILITY_IDENTIFIER_BYTES
        + CAPABILITY_LOCATION_BYTES
        + KIB
        < CAPABILITY_BYTES
);
const _: () =
    assert!(GRANT_CAVEAT_BYTES <= GRANT_CAVEATS_BYTES && GRANT_CAVEATS_BYTES <= GRANT_BYTES);
const _: () = assert!(CAPABILITY_LOCATION_BYTES <= GRANT_NAME_BYTES);
const _: () = assert!(
    // Base64url of two public keys, and digits in quotes.
    2800 * ISSUERS as u64 + 70 * DENIED as u64 <= CONFIG_BYTES - 32 * KIB as u64
);
