//! A pending map by ids that the caller chooses.
//!
//! The table leads from ids to the tokens of their rounds, and is never told that a round is over: an
//! entry counts only if its token does. So nothing has to be removed when a future is dropped, and the
//! lock is taken by nobody but who inserts or answers. What is left over goes when its source serves
//! again, so there are never more entries than sources.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;
use core::hash::Hash;
use std::collections::HashMap;

use super::{InsertError, Pending, PendingMap, Policy};
use crate::error::Rejected;
use crate::pool::{Pool, PoolStats};
use crate::round::Round;
use crate::sync::Mutex;
use crate::token::Token;

/// An integer that identifies a request.
///
/// Implemented for integers of 16, 32 and 64 bits, and for nothing else: under the map's lock they are hashed
/// and compared, and that must not run foreign code.
///
/// # Examples
///
/// ```
/// use completion_core::{InsertError, KeyedPendingMap, Policy, RequestId};
///
/// // What a client does about replies, whatever the width of the protocol's ids.
/// struct Replies<K>(KeyedPendingMap<K, Vec<u8>, ()>);
///
/// impl<K: RequestId> Replies<K> {
///     fn receive(&self, id: K, body: Vec<u8>) -> Result<(), String> {
///         let unasked = |_| format!("nobody waits for {id:?}");
///         self.0.complete(id, body).map_err(unasked)
///     }
/// }
///
/// let replies = Replies(KeyedPendingMap::<u16, _, _>::new(4, Policy::revoke_now()));
/// let _pending = replies.0.insert(0x2a)?;
/// assert!(replies.receive(0x2a, vec![1]).is_ok());
/// assert!(replies.receive(0x2b, vec![2]).is_err());
/// # Ok::<(), InsertError>(())
/// ```
pub trait RequestId:
    Copy + Eq + Hash + fmt::Debug + Send + Sync + Unpin + 'static + sealed::Sealed
{
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! request_ids {
    ($($integer:ty)*) => {$(
        impl sealed::Sealed for $integer {}
        impl RequestId for $integer {}
    )*};
}
request_ids! { u16 u32 u64 i16 i32 i64 }

/// The requests of a connection that wait for their replies, by ids that the caller chooses.
///
/// For protocols whose ids are narrow, or mean something. As a [`PendingMap`], which is to be preferred
/// where the protocol leaves 64 bits to the client; what is said there holds here, with these differences:
///
/// * Ids are yours, and each is free again when its request is over: answered, given up (or, under
///   [`Policy::hold_until_completed`], answered after that), failed with all others. Until then inserting it
///   again is [an error](InsertError::Duplicate).
/// * A number that comes again is told from its last use by the [`Policy`] alone.
/// * A lock is taken to insert, and to answer; never to await, or to drop (which take another, while somebody waits in
///   [`insert_async`](Self::insert_async)). No foreign code runs under it. Nothing is allocated per request.
///
/// # Examples
///
/// ```
/// use completion_core::{InsertError, KeyedPendingMap, Policy};
///
/// let requests = KeyedPendingMap::<i16, &str, ()>::new(128, Policy::hold_until_completed());
/// let pending = requests.insert(7)?;
/// assert_eq!(requests.insert(7).unwrap_err(), InsertError::Duplicate);
///
/// // Given up. The peer may still answer 7, so it is not to be given out again.
/// drop(pending);
/// assert_eq!(requests.insert(7).unwrap_err(), InsertError::Duplicate);
/// assert_eq!(requests.complete(7, "late").unwrap_err().into_payload(), "late");
///
/// // It has. The next request may bear the number.
/// let mut pending = requests.insert(7)?;
/// requests.complete(7, "reply")?;
/// assert_eq!(pending.try_take(), Some(Ok("reply")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeyedPendingMap<K, T, E> {
    requests: PendingMap<T, E>,
    table: Mutex<Table<K>>,
}

/// Invariant: the token of each entry names a source whose last id is the entry's.
struct Table<K> {
    /// The last request of each id, over or not.
    tokens: HashMap<K, Token>,
    /// The last id of each source.
    ids: Box<[Option<K>]>,
}

/// Names a source that no pool has.
const NOBODY: Token = Token::from_bits(u64::MAX);

impl<K: RequestId> Table<K> {
    fn token(&self, id: K) -> Token {
        self.tokens.get(&id).copied().unwrap_or(NOBODY)
    }

    /// Enters a round that just began, so that whatever its source served before is over.
    fn put(&mut self, id: K, token: Token) {
        let source = token.index();
        if let Some(last) = self.ids[source].replace(id)
            && self.token(last).index() == source
        {
            self.tokens.remove(&last);
        }
        self.tokens.insert(id, token);
    }
}

impl<K: RequestId, T, E> KeyedPendingMap<K, T, E> {
    /// A map with room for `capacity` requests at once, whose [`Policy`] says what becomes of those that
    /// are given up.
    ///
    /// Allocates room for all of them. With a capacity of 0 it is always full.
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// assert_eq!(requests.capacity(), 4);
    /// ```
    #[must_use]
    pub fn new(capacity: u16, policy: Policy) -> Self {
        let capacity_usize = usize::from(capacity);
        Self {
            requests: PendingMap::new(capacity, policy),
            table: Mutex::new(Table {
                // Twice, so that clearing up what removals leave behind never takes new memory.
                tokens: HashMap::with_capacity(2 * capacity_usize),
                ids: vec![None; capacity_usize].into_boxed_slice(),
            }),
        }
    }

    pub(super) fn pool(&self) -> &Pool<T, E> {
        &self.requests.pool
    }

    /// Takes the id, and makes the future of the reply. Do it *before* sending, as the reply may be fast.
    ///
    /// If sending fails, [`cancel`](Self::cancel) the id, whatever the policy: nobody will answer it.
    ///
    /// # Errors
    ///
    /// [`InsertError::Full`], [`InsertError::Closed`] after [`fail_all`](Self::fail_all), or
    /// [`InsertError::Retired`]; else [`InsertError::Duplicate`] if a request of this id is under way or held.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up, wherever it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{InsertError, KeyedPendingMap, Policy};
    ///
    /// let requests = KeyedPendingMap::<u32, u32, ()>::new(2, Policy::revoke_now());
    /// let pending = requests.insert(1)?;
    /// assert_eq!(requests.insert(1).unwrap_err(), InsertError::Duplicate);
    /// let _other = requests.insert(2)?;
    /// assert_eq!(requests.insert(3).unwrap_err(), InsertError::Full);
    /// drop(pending);
    /// assert!(requests.insert(1).is_ok());
    /// # Ok::<(), InsertError>(())
    /// ```
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn insert(&self, id: K) -> Result<Pending<T, E>, InsertError> {
        self.enter(id, self.pool().try_rent()?)
    }

    pub(super) fn enter(
        &self,
        id: K,
        (completer, completion): Round<'static, T, E>,
    ) -> Result<Pending<T, E>, InsertError> {
        let mut table = self.table.lock();
        if self.pool().is_taken(table.token(id)) {
            // The round, which is dropped, may wake somebody who waits for one.
            drop(table);
            return Err(InsertError::Duplicate);
        }
        table.put(id, self.requests.name(completer));
        Ok(completion)
    }

    fn token(&self, id: K) -> Token {
        self.table.lock().token(id)
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
    /// use completion_core::{KeyedPendingMap, Policy};
    ///
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(16, Policy::revoke_now());
    /// let mut pending = requests.insert(1)?;
    /// requests.complete(1, 7)?;
    /// assert_eq!(pending.try_take(), Some(Ok(7)));
    /// assert_eq!(requests.complete(2, 8).unwrap_err().into_payload(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn complete(&self, id: K, reply: T) -> Result<(), Rejected<T>> {
        self.requests.complete(self.token(id), reply)
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
    /// use completion_core::{CompletionError, KeyedPendingMap, Policy};
    ///
    /// let requests = KeyedPendingMap::<u16, u32, &str>::new(16, Policy::revoke_now());
    /// let mut pending = requests.insert(1)?;
    /// requests.fail(1, "no such method")?;
    /// assert_eq!(pending.try_take(), Some(Err(CompletionError::Failed("no such method"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail(&self, id: K, error: E) -> Result<(), Rejected<E>> {
        self.requests.fail(self.token(id), error)
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
    /// use completion_core::{KeyedPendingMap, Policy};
    ///
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(16, Policy::hold_until_completed());
    /// let pending = requests.insert(1)?;
    /// // ... sending fails
    /// requests.cancel(1)?;
    /// drop(pending);
    /// assert!(!requests.contains(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self, id: K) -> Result<(), Rejected<()>> {
        self.requests.cancel(self.token(id))
    }

    /// Gives a held id up by hand; false if it is not held.
    ///
    /// For when it is certain that the other side will not answer any more: it confirmed a cancellation,
    /// or the protocol bounds how long it may take. A request that somebody waits for is left alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{KeyedPendingMap, Policy};
    ///
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(16, Policy::hold_until_completed());
    /// let pending = requests.insert(1)?;
    /// assert!(!requests.release(1), "somebody waits");
    /// drop(pending);
    /// assert!(requests.release(1));
    /// assert!(requests.insert(1).is_ok());
    /// # Ok::<(), completion_core::InsertError>(())
    /// ```
    pub fn release(&self, id: K) -> bool {
        self.requests.release(self.token(id))
    }

    /// Whether inserting the id would be an error: somebody waits for its reply, or it is held.
    ///
    /// A peer may change that before the answer is read.
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// let pending = requests.insert(7)?;
    /// assert!(requests.contains(7));
    /// # drop(pending);
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn contains(&self, id: K) -> bool {
        self.pool().is_taken(self.token(id))
    }

    /// Fails every request under way with an error that `cause` makes, frees all ids, and lets nobody
    /// insert any more. False, and without effect, if that was done before.
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
    /// use completion_core::{CompletionError, InsertError, KeyedPendingMap, Policy};
    ///
    /// let requests = KeyedPendingMap::<u16, u32, &str>::new(16, Policy::revoke_now());
    /// let mut pending = requests.insert(1)?;
    /// assert!(requests.fail_all(|| "connection reset"));
    /// assert_eq!(pending.try_take(), Some(Err(CompletionError::Failed("connection reset"))));
    /// assert_eq!(requests.insert(2).unwrap_err(), InsertError::Closed);
    /// # Ok::<(), InsertError>(())
    /// ```
    pub fn fail_all(&self, cause: impl Fn() -> E + Send + Sync + 'static) -> bool {
        self.requests.fail_all(cause)
    }

    /// Whether [`fail_all`](Self::fail_all) was called. `true` is final.
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// requests.fail_all(|| ());
    /// assert!(requests.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// How many requests the map has room for.
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// assert_eq!(requests.capacity(), 4);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.requests.capacity()
    }

    /// How many places are taken: by requests that wait, by replies that nobody has taken yet, and by
    /// held ids.
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// let pending = requests.insert(7)?;
    /// assert_eq!(requests.len(), 1);
    /// drop(pending);
    /// assert_eq!(requests.len(), 1, "held");
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether no place is taken.
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// assert!(requests.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// How many ids are held: given up, and not answered yet. Always 0 under [`Policy::revoke_now`].
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// let pending = requests.insert(7)?;
    /// drop(pending);
    /// assert_eq!(requests.held(), 1);
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn held(&self) -> usize {
        self.requests.held()
    }

    /// What the map has done so far.
    ///
    /// ```
    /// # use completion_core::{InsertError, KeyedPendingMap, Policy};
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(4, Policy::hold_until_completed());
    /// let pending = requests.insert(7)?;
    /// assert_eq!(requests.stats().rented, 1);
    /// # drop(pending);
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.requests.stats()
    }
}

impl<K, T, E> fmt::Debug for KeyedPendingMap<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPendingMap")
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}
