//! What is told about rounds, and to whom: nothing, unless a feature asks for it.
//!
//! `diagnostics` notes where and when each round began, `tracing` tells of what users should know. Without
//! them everything here is empty: [`Trace`] and [`Origin`] have no size, and the functions no code.

#[cfg(feature = "diagnostics")]
pub use noted::Origin;
#[cfg(feature = "diagnostics")]
pub(crate) use noted::Trace;
#[cfg(not(feature = "diagnostics"))]
pub(crate) use unnoted::{Origin, Trace};

#[cfg(not(feature = "diagnostics"))]
mod unnoted {
    pub(crate) struct Trace;

    #[derive(Clone, Copy)]
    pub(crate) struct Origin;

    impl Trace {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn begin(&self) {}

        #[cfg(feature = "std")]
        #[inline(always)]
        pub(crate) fn move_to(&self, _: &Self) {}

        #[inline(always)]
        pub(crate) fn origin(&self) -> Origin {
            Origin
        }
    }

    #[cfg(feature = "tracing")]
    impl core::fmt::Display for Origin {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("unknown without the feature `diagnostics`")
        }
    }
}

#[cfg(feature = "diagnostics")]
mod noted {
    use core::fmt;
    use core::panic::Location;
    use core::ptr;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

    /// Of the round under way, or of the last one.
    pub(crate) struct Trace {
        location: AtomicPtr<Location<'static>>,
        /// Milliseconds of [`clock`].
        begun: AtomicUsize,
    }

    impl Trace {
        pub(crate) const fn new() -> Self {
            Self {
                location: AtomicPtr::new(ptr::null_mut()),
                begun: AtomicUsize::new(0),
            }
        }

        #[track_caller]
        pub(crate) fn begin(&self) {
            let location = ptr::from_ref(Location::caller()).cast_mut();
            // ORDERING: Relaxed, twice; a location is never freed, and who asks about another's round may
            // get the place of one round and the time of the next.
            self.location.store(location, Ordering::Relaxed);
            self.begun.store(clock(), Ordering::Relaxed);
        }

        /// The round began for a call elsewhere, which `call` has noted.
        pub(crate) fn move_to(&self, call: &Self) {
            // ORDERING: Relaxed, twice; as in `begin`.
            let location = call.location.load(Ordering::Relaxed);
            self.location.store(location, Ordering::Relaxed);
        }

        pub(crate) fn origin(&self) -> Origin {
            // ORDERING: Relaxed, twice; as in `begin`.
            let location = self.location.load(Ordering::Relaxed);
            Origin {
                // SAFETY: null, or what `begin` stored: a reference to a static.
                location: unsafe { location.as_ref() },
                begun: self.begun.load(Ordering::Relaxed),
            }
        }
    }

    /// Milliseconds since the first round of the process; wraps after 49 days on 32-bit targets.
    fn clock() -> usize {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        FIRST.get_or_init(Instant::now).elapsed().as_millis() as usize
    }

    /// Where and when a round began.
    ///
    /// Feature `diagnostics`. See [`Completion::origin`](crate::Completion::origin).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// let (_completer, completion) = pool.rent();
    /// let origin = completion.origin().unwrap();
    /// assert!(origin.to_string().starts_with(file!())); // and goes on with line, column, and age
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Origin {
        location: Option<&'static Location<'static>>,
        begun: usize,
    }

    impl Origin {
        /// The call that began the round; none if none ever began.
        ///
        /// ```
        /// let pool = completion_core::Pool::<u32, ()>::new();
        /// let (line, (completer, _completion)) = (line!(), pool.rent());
        /// assert_eq!(completer.origin().location().unwrap().line(), line);
        /// ```
        #[must_use]
        pub fn location(&self) -> Option<&'static Location<'static>> {
            self.location
        }

        /// How long ago that was, in whole milliseconds.
        ///
        /// ```
        /// use std::time::Duration;
        ///
        /// let pool = completion_core::Pool::<u32, ()>::new();
        /// let _round = pool.rent();
        /// let is_suspicious = |age| age > Duration::from_secs(60);
        /// for origin in pool.outstanding().iter().filter(|it| is_suspicious(it.age())) {
        ///     eprintln!("still not over: {origin}");
        /// }
        /// ```
        #[must_use]
        pub fn age(&self) -> Duration {
            Duration::from_millis(clock().wrapping_sub(self.begun) as u64)
        }
    }

    impl fmt::Display for Origin {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.location {
                Some(location) => write!(f, "{location}, {:?} ago", self.age()),
                None => f.write_str("nowhere"),
            }
        }
    }
}

/// A completer was dropped without completing.
#[inline(always)]
#[cfg_attr(
    not(any(feature = "tracing", feature = "diagnostics")),
    expect(unused_variables, reason = "nobody asked")
)]
pub(crate) fn abandoned(origin: Origin) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "completion_core", begun = %origin, "a round was abandoned");
    #[cfg(feature = "diagnostics")]
    crate::diagnostics::report_abandoned(origin);
}

/// A round began outside its pool.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) fn overflowed() {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "completion_core", "a pool is exhausted or closed: a round overflowed");
}

/// A token named no current round.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) fn stale() {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "completion_core", "a call by a stale token was refused");
}

/// A pool was closed.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) fn closed() {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "completion_core", "a pool was closed");
}
