//! Inserting that waits for room.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::{InsertError, KeyedPendingMap, Pending, PendingMap, RequestId};
use crate::pool::Rent;
use crate::token::Token;

impl<T, E> PendingMap<T, E> {
    /// As [`insert`](Self::insert), but waits while the map is full.
    ///
    /// Those who wait are served in turn, as by [`Pool::rent_async`](crate::Pool::rent_async).
    ///
    /// # Errors
    ///
    /// [`InsertError::Closed`] after [`fail_all`](Self::fail_all), also while waiting;
    /// [`InsertError::Full`] if the capacity is 0; [`InsertError::Retired`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives its turn up, and no id was made.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{PendingMap, Policy};
    /// use futures_lite::future::{block_on, zip};
    ///
    /// let requests = PendingMap::<u32, ()>::new(1, Policy::revoke_now());
    /// let (_, first) = requests.insert()?;
    /// let (second, ()) = block_on(zip(requests.insert_async(), async { drop(first) }));
    /// let (id, pending) = second?;
    /// requests.complete(id, 7)?;
    /// assert_eq!(block_on(pending), Ok(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn insert_async(&self) -> Insert<'_, T, E> {
        Insert {
            map: self,
            rent: self.pool.rent_async(),
        }
    }
}

impl<K: RequestId, T, E> KeyedPendingMap<K, T, E> {
    /// As [`insert`](Self::insert), but waits while the map is full. Waits for room only: an id that is
    /// taken is an error, when there is.
    ///
    /// Those who wait are served in turn, as by [`Pool::rent_async`](crate::Pool::rent_async).
    ///
    /// # Errors
    ///
    /// [`InsertError::Duplicate`]; [`InsertError::Closed`] after [`fail_all`](Self::fail_all), also while
    /// waiting; [`InsertError::Full`] if the capacity is 0; [`InsertError::Retired`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives its turn up, and the id was not taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{KeyedPendingMap, Policy};
    /// use futures_lite::future::{block_on, zip};
    ///
    /// let requests = KeyedPendingMap::<u16, u32, ()>::new(1, Policy::revoke_now());
    /// let first = requests.insert(1)?;
    /// let (second, ()) = block_on(zip(requests.insert_async(2), async { drop(first) }));
    /// let pending = second?;
    /// requests.complete(2, 7)?;
    /// assert_eq!(block_on(pending), Ok(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn insert_async(&self, id: K) -> KeyedInsert<'_, K, T, E> {
        KeyedInsert {
            map: self,
            id,
            rent: self.pool().rent_async(),
        }
    }
}

/// The future of [`PendingMap::insert_async`].
///
/// # Cancel safety
///
/// Dropping it gives its turn up, and no id was made.
///
/// # Examples
///
/// ```
/// use completion_core::{PendingMap, Policy};
/// use futures_lite::future::{block_on, or};
///
/// let requests = PendingMap::<u32, ()>::new(1, Policy::revoke_now());
/// let (_, first) = requests.insert()?;
///
/// // Something else is faster, and the turn is given up.
/// let insert = async { Some(requests.insert_async().await) };
/// assert!(block_on(or(insert, async { None })).is_none());
///
/// drop(first);
/// assert!(requests.insert().is_ok());
/// # Ok::<(), completion_core::InsertError>(())
/// ```
#[must_use = "nothing is inserted unless this is awaited"]
pub struct Insert<'m, T, E> {
    map: &'m PendingMap<T, E>,
    rent: Rent<'m, T, E>,
}

impl<T, E> Future for Insert<'_, T, E> {
    type Output = Result<(Token, Pending<T, E>), InsertError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let round = ready!(Pin::new(&mut self.rent).poll(context))?;
        Poll::Ready(Ok(self.map.enter(round)))
    }
}

impl<T, E> fmt::Debug for Insert<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Insert")
            .field("rent", &self.rent)
            .finish_non_exhaustive()
    }
}

/// The future of [`KeyedPendingMap::insert_async`].
///
/// # Cancel safety
///
/// Dropping it gives its turn up, and the id was not taken.
///
/// # Examples
///
/// ```
/// use completion_core::{InsertError, KeyedPendingMap, Policy};
/// use futures_lite::future::block_on;
///
/// let requests = KeyedPendingMap::<u16, u32, ()>::new(8, Policy::revoke_now());
/// let [first, second, again] = [1, 2, 1].map(|id| requests.insert_async(id));
/// assert!(requests.is_empty(), "an id is taken when the future is polled");
///
/// let _pending = [block_on(first)?, block_on(second)?];
/// assert_eq!(block_on(again).unwrap_err(), InsertError::Duplicate);
/// # Ok::<(), InsertError>(())
/// ```
#[must_use = "nothing is inserted unless this is awaited"]
pub struct KeyedInsert<'m, K, T, E> {
    map: &'m KeyedPendingMap<K, T, E>,
    id: K,
    rent: Rent<'m, T, E>,
}

impl<K: RequestId, T, E> Future for KeyedInsert<'_, K, T, E> {
    type Output = Result<Pending<T, E>, InsertError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let round = ready!(Pin::new(&mut self.rent).poll(context))?;
        Poll::Ready(self.map.enter(self.id, round))
    }
}

impl<K: fmt::Debug, T, E> fmt::Debug for KeyedInsert<'_, K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedInsert")
            .field("id", &self.id)
            .field("rent", &self.rent)
            .finish_non_exhaustive()
    }
}
