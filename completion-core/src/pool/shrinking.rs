//! Giving memory back.

use core::error::Error;
use core::fmt;

use super::{Inner, Pool};
use crate::shard::Shard;
use crate::sync::{AtomicUsize, Ordering};

impl<T, E> Pool<T, E> {
    /// Gives the memory of all sources above `capacity` back.
    ///
    /// A token that is still about may look at the slot that it names, so memory can only go when
    /// nobody else has a handle, which `&mut` and a count show. The sources that stay keep their
    /// versions: tokens of before are as stale as ever. Of its [figures](crate::PoolStats), `high_water` starts
    /// anew, and those of rounds and tokens go on. Does nothing if the pool has no more than `capacity`
    /// sources, or is closed.
    ///
    /// # Errors
    ///
    /// If there is another handle to the pool, or a round is not over.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut pool = completion_core::Pool::<u32, ()>::with_capacity(1000);
    /// pool.shrink(10)?;
    /// assert_eq!(pool.stats().capacity, 10);
    /// # Ok::<(), completion_core::ShrinkError>(())
    /// ```
    pub fn shrink(&mut self, capacity: u16) -> Result<(), ShrinkError> {
        let capacity = usize::from(capacity);
        if capacity >= self.slots.len() || self.is_closed() {
            return Ok(());
        }
        // ORDERING: Acquire; [P9] what was done by handles that are gone happens before the copying.
        if self.inner().handles.load(Ordering::Acquire) != 1 {
            return Err(ShrinkError::Shared);
        }
        if !self.shards().iter().all(Shard::is_whole) {
            return Err(ShrinkError::InUse);
        }
        let small = Inner::new(capacity, |number| self.nth(number).peek());
        // SAFETY: just made, and nobody else knows of it.
        let inner = unsafe { &mut *small.as_ptr() };
        inner.returned_before = self.returned();
        // ORDERING: Relaxed, twice; statistics.
        inner.overflowed = AtomicUsize::new(self.inner().overflowed.load(Ordering::Relaxed));
        inner.stale = AtomicUsize::new(self.inner().stale.load(Ordering::Relaxed));
        *self = Self::of(small);
        Ok(())
    }
}

/// Why a pool gives no memory back.
///
/// # Examples
///
/// ```
/// use completion_core::{Pool, ShrinkError};
///
/// let mut pool = Pool::<u32, ()>::with_capacity(1000);
/// let (round, handle) = (pool.rent(), pool.clone());
/// assert_eq!(pool.shrink(10), Err(ShrinkError::Shared));
/// drop(handle);
/// assert_eq!(pool.shrink(10), Err(ShrinkError::InUse));
/// drop(round);
/// assert_eq!(pool.shrink(10), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShrinkError {
    /// There is another handle to the pool.
    Shared,
    /// A round is not over.
    InUse,
}

impl fmt::Display for ShrinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "the pool has other handles",
            Self::InUse => "the pool has rounds that are not over",
        })
    }
}

impl Error for ShrinkError {}
