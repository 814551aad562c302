//! The requests that wait for their replies: the table that RPC clients need, on top of a pool.
//!
//! There is no table where the map assigns the ids: an id *is* the token of a pooled round, so looking it
//! up is an index and a comparison, and whatever ends the round ends the entry. [`keyed`] adds a table from
//! the caller's numbers to tokens, under a lock.

use core::fmt;

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::Rejected;
use crate::pool::{Pool, PoolStats};
use crate::round::Round;
use crate::token::Token;

mod error;
#[cfg(feature = "std")]
mod keyed;
mod policy;
#[cfg(feature = "std")]
mod waiting;

pub use error::InsertError;
#[cfg(feature = "std")]
pub use keyed::{KeyedPendingMap, RequestId};
pub use policy::Policy;
#[cfg(feature = "std")]
pub use waiting::{Insert, KeyedInsert};

/// A request that waits for its reply: a future of it, which borrows nothing.
///
/// It is a [`Completion`], with all that one can do: await it, wait for it on a thread, give it a
/// [deadline](Completion::with_deadline), [close](Completion::close) it. It keeps no handle to the
/// map, so it may be returned from `tower::Service::call`, or spawned.
///
/// # Cancel safety
///
/// To drop it is to give the request up; what then becomes of the id is the map's [`Policy`].
///
/// # Examples
///
/// ```
/// use completion_core::{InsertError, Pending, PendingMap, Policy};
/// use futures_lite::future::block_on;
/// use std::sync::mpsc;
///
/// struct Client {
///     requests: PendingMap<u32, ()>,
///     wire: mpsc::Sender<u64>,
/// }
///
/// impl Client {
///     fn call(&self) -> Result<Pending<u32, ()>, InsertError> {
///         let (id, pending) = self.requests.insert()?;
///         if self.wire.send(id.to_bits()).is_err() {
///             let _ = self.requests.cancel(id); // which `pending` tells
///         }
///         Ok(pending)
///     }
/// }
///
/// let (wire, sent) = mpsc::channel();
/// let client = Client { requests: PendingMap::new(16, Policy::revoke_now()), wire };
/// let pending = client.call()?;
/// let caller = std::thread::spawn(|| block_on(pending));
/// client.requests.complete_raw(sent.recv()?, Ok(7))?;
/// assert_eq!(caller.join().unwrap(), Ok(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Pending<T, E> = Completion<'static, T, E>;

/// The requests of a connection that wait for their replies, by ids that the map assigns.
///
/// An id is a [`Token`], which fits the `u64` of a request frame. [Insert](Self::insert) before sending;
/// whoever reads the replies [completes](Self::complete) by the id that comes back. An id never comes twice,
/// so a reply that is late, or comes again, is refused, and reaches nobody else. Everything here is lock-free
/// and allocates nothing, but for [`insert_async`](Self::insert_async) while it has to wait, and
/// [`fail_all`](Self::fail_all); and while somebody waits, the end of a request takes the short lock on their list.
///
/// Where the protocol, or the caller, chooses the ids, take a [`KeyedPendingMap`].
///
/// One map serves one connection, and ends with it: [`fail_all`](Self::fail_all) when it is lost, and a new
/// map for the next. Share it by reference or in an `Arc`. Dropping it abandons whatever is under way, as
/// nobody could complete it any more.
///
/// # What it prevents
///
/// | what goes wrong in tables kept by hand | seen in | here |
/// |---|---|---|
/// | an entry stays when the caller times out, is cancelled, or fails to send | nats-io/nats.rs#1617, bug-ops/mcpls#239, scylladb/python-driver#871 | the future *is* the entry |
/// | the reply comes before the entry is made | | inserting makes the id |
/// | an id is free too early, and a late reply reaches the next caller | AprilNEA/OpenLogi#1286, redis-rs#698 | ids never come twice, or are [held](Policy) |
/// | ids that were given up run out unnoticed | scylladb/scylla-rust-driver#304, #329, #367 | they are counted, and [reported](Policy::hold_reporting) |
/// | the connection is lost, and somebody waits for ever | redis-rs#275 | [`fail_all`](Self::fail_all), or dropping the map, ends every request, also one that is just being inserted; afterwards nobody inserts |
/// | more and more requests pile up | | a capacity, and [an error](InsertError::Full) |
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionError, PendingMap, Policy};
/// use futures_lite::future::block_on;
///
/// let requests = PendingMap::<String, &str>::new(256, Policy::revoke_now());
///
/// // A caller: insert, send, await.
/// let (id, pending) = requests.insert()?;
/// let frame = (id.to_bits(), "ping");
///
/// // The reader: whatever number comes back.
/// let reply = (frame.0, "pong");
/// requests.complete_raw(reply.0, Ok(reply.1.to_string()))?;
/// assert_eq!(block_on(pending).as_deref(), Ok("pong"));
/// assert!(requests.complete_raw(reply.0, Ok("again".to_string())).is_err());
///
/// // The connection is lost.
/// let (_, pending) = requests.insert()?;
/// requests.fail_all(|| "connection reset");
/// assert_eq!(block_on(pending), Err(CompletionError::Failed("connection reset")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PendingMap<T, E> {
    pool: Pool<T, E>,
    holds: bool,
}

impl<T, E> PendingMap<T, E> {
    /// A map with room for `capacity` requests at once, whose [`Policy`] says what becomes of those that
    /// are given up.
    ///
    /// Allocates room for all of them. With a capacity of 0 it is always full.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(4, Policy::hold_until_completed());
    /// assert_eq!(requests.capacity(), 4);
    /// ```
    #[must_use]
    pub fn new(capacity: u16, policy: Policy) -> Self {
        Self {
            pool: Pool::reporting(capacity, policy.report),
            holds: policy.holds,
        }
    }

    /// Makes an id, and the future of the reply. Do it *before* sending, as the reply may be fast.
    ///
    /// If sending fails, [`cancel`](Self::cancel) the id, whatever the policy: nobody will answer it.
    ///
    /// # Errors
    ///
    /// [`InsertError::Full`], [`InsertError::Closed`] after [`fail_all`](Self::fail_all), or
    /// [`InsertError::Retired`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up, wherever it was. The reply that still comes is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{InsertError, PendingMap, Policy};
    ///
    /// let requests = PendingMap::<u32, ()>::new(1, Policy::revoke_now());
    /// let (id, pending) = requests.insert()?;
    /// assert_eq!(requests.insert().unwrap_err(), InsertError::Full);
    /// drop(pending); // given up
    /// assert!(requests.complete(id, 7).is_err());
    /// assert!(requests.insert().is_ok());
    /// # Ok::<(), InsertError>(())
    /// ```
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn insert(&self) -> Result<(Token, Pending<T, E>), InsertError> {
        Ok(self.enter(self.pool.try_rent()?))
    }

    fn enter(&self, (completer, completion): Round<'static, T, E>) -> (Token, Pending<T, E>) {
        (self.name(completer), completion)
    }

    fn name(&self, completer: Completer<'static, T, E>) -> Token {
        let token = completer.into_named(self.holds);
        token.expect("a round that was rented, not one that overflowed")
    }

    /// Hands the reply to the request of this id.
    ///
    /// # Errors
    ///
    /// The reply comes back: [`Stale`](crate::Rejection::Stale) or [`Closed`](crate::Rejection::Closed) if
    /// the request was given up, or closed while its id was held, which this call then frees; [`Lost`](crate::Rejection::Lost) if it
    /// was answered already, closed, or failed with all others, and its caller has not noticed yet;
    /// [`Stale`](crate::Rejection::Stale) if that is over, or there was no such request.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{PendingMap, Policy};
    ///
    /// let requests = PendingMap::<u32, ()>::new(16, Policy::revoke_now());
    /// let (id, mut pending) = requests.insert()?;
    /// requests.complete(id, 7)?;
    /// assert_eq!(pending.try_take(), Some(Ok(7)));
    /// assert_eq!(requests.complete(id, 8).unwrap_err().into_payload(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn complete(&self, id: Token, reply: T) -> Result<(), Rejected<T>> {
        self.pool.complete(id, reply)
    }

    /// Fails the request of this id.
    ///
    /// # Errors
    ///
    /// The error comes back, as for [`complete`](Self::complete).
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionError, PendingMap, Policy};
    ///
    /// let requests = PendingMap::<u32, &str>::new(16, Policy::revoke_now());
    /// let (id, mut pending) = requests.insert()?;
    /// requests.fail(id, "no such method")?;
    /// assert_eq!(pending.try_take(), Some(Err(CompletionError::Failed("no such method"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail(&self, id: Token, error: E) -> Result<(), Rejected<E>> {
        self.pool.fail(id, error)
    }

    /// Completes or fails the request whose id came back as a number: any number, from outside.
    ///
    /// # Errors
    ///
    /// The outcome comes back, as for [`complete`](Self::complete).
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{PendingMap, Policy};
    ///
    /// let requests = PendingMap::<u32, ()>::new(16, Policy::revoke_now());
    /// let (id, mut pending) = requests.insert()?;
    /// requests.complete_raw(id.to_bits(), Ok(7))?;
    /// assert_eq!(pending.try_take(), Some(Ok(7)));
    /// assert_eq!(requests.complete_raw(12345, Ok(8)).unwrap_err().into_payload(), Ok(8));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn complete_raw(
        &self,
        id: u64,
        outcome: Result<T, E>,
    ) -> Result<(), Rejected<Result<T, E>>> {
        self.pool.complete_raw(id, outcome)
    }

    /// Ends the request of this id as cancelled, and frees the id, whatever the policy.
    ///
    /// For a request that was not sent after all, or whose cancellation the other side has confirmed.
    ///
    /// # Errors
    ///
    /// If nobody waits for it any more. If it was held, it is no longer.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{PendingMap, Policy};
    ///
    /// let requests = PendingMap::<u32, ()>::new(16, Policy::hold_until_completed());
    /// let (id, pending) = requests.insert()?;
    /// // ... sending fails
    /// requests.cancel(id)?;
    /// drop(pending);
    /// assert_eq!(requests.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self, id: Token) -> Result<(), Rejected<()>> {
        self.pool.cancel(id)
    }

    /// Gives a held id up by hand; false if it is not held.
    ///
    /// For when it is certain that the other side will not answer any more: it confirmed a cancellation,
    /// or the protocol bounds how long it may take. A request that somebody waits for is left alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{PendingMap, Policy};
    ///
    /// let requests = PendingMap::<u32, ()>::new(16, Policy::hold_until_completed());
    /// let (id, pending) = requests.insert()?;
    /// assert!(!requests.release(id), "somebody waits");
    /// drop(pending);
    /// assert_eq!(requests.held(), 1);
    /// assert!(requests.release(id));
    /// assert_eq!(requests.len(), 0);
    /// # Ok::<(), completion_core::InsertError>(())
    /// ```
    pub fn release(&self, id: Token) -> bool {
        self.pool.let_go(id)
    }

    /// Fails every request under way with an error that `cause` makes, frees all ids that are held, and
    /// lets nobody insert any more. False, and without effect, if that was done before.
    ///
    /// For a connection that is lost. A request that is being inserted at this moment is either refused or
    /// failed. `cause` is called by each who takes the error, on its thread. Nobody is waited for.
    ///
    /// # Panics
    ///
    /// If a waker panics; the other requests are failed all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{InsertError, PendingMap, Policy};
    /// use std::io;
    ///
    /// let requests = PendingMap::<u32, io::Error>::new(16, Policy::revoke_now());
    /// let (_, mut pending) = requests.insert()?;
    /// assert!(requests.fail_all(|| io::ErrorKind::ConnectionReset.into()));
    /// let error = pending.try_take().unwrap().unwrap_err().into_failure().unwrap();
    /// assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    /// assert_eq!(requests.insert().unwrap_err(), InsertError::Closed);
    /// # Ok::<(), InsertError>(())
    /// ```
    pub fn fail_all(&self, cause: impl Fn() -> E + Send + Sync + 'static) -> bool {
        self.pool.close_with(cause)
    }

    /// Whether [`fail_all`](Self::fail_all) was called. `true` is final.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(4, Policy::hold_until_completed());
    /// requests.fail_all(|| ());
    /// assert!(requests.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// How many requests the map has room for.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(4, Policy::hold_until_completed());
    /// assert_eq!(requests.capacity(), 4);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pool.capacity()
    }

    /// How many ids are taken: requests that wait, replies that nobody has taken yet, and held ids.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(4, Policy::hold_until_completed());
    /// let (_id, pending) = requests.insert()?;
    /// assert_eq!(requests.len(), 1);
    /// drop(pending);
    /// assert_eq!(requests.len(), 1, "held");
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.pool.in_use()
    }

    /// Whether no id is taken.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(4, Policy::hold_until_completed());
    /// assert!(requests.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many ids are held: given up, and not answered yet. Always 0 under [`Policy::revoke_now`].
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(4, Policy::hold_until_completed());
    /// let (_id, pending) = requests.insert()?;
    /// drop(pending);
    /// assert_eq!(requests.held(), 1);
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn held(&self) -> usize {
        self.pool.held()
    }

    /// What the map has done so far.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(4, Policy::hold_until_completed());
    /// let (_id, pending) = requests.insert()?;
    /// assert_eq!(requests.stats().rented, 1);
    /// # drop(pending);
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.pool.stats()
    }
}

impl<T, E> Drop for PendingMap<T, E> {
    fn drop(&mut self) {
        self.pool.abandon_rounds();
    }
}

impl<T, E> fmt::Debug for PendingMap<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingMap")
            .field("holds", &self.holds)
            .field("closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish()
    }
}
