//! Why a request does not enter a map.

use core::error::Error;
use core::fmt;

use crate::error::RentError;

/// Why a request was not inserted. Nothing was used up.
///
/// # Examples
///
/// ```
/// use completion_core::{InsertError, PendingMap, Policy};
///
/// // Whether a request should be tried again on this connection.
/// fn may_fit_later(refused: InsertError) -> bool {
///     match refused {
///         InsertError::Full | InsertError::Duplicate => true,
///         _ => false, // the connection is lost, or the map worn out
///     }
/// }
///
/// let requests = PendingMap::<u32, &str>::new(1, Policy::revoke_now());
/// let _sent = requests.insert()?;
/// assert!(may_fit_later(requests.insert().unwrap_err()));
/// requests.fail_all(|| "connection reset");
/// assert!(!may_fit_later(requests.insert().unwrap_err()));
/// # Ok::<(), InsertError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InsertError {
    /// As many requests are under way, held ones included, as the map has room for.
    Full,
    /// [`fail_all`](crate::PendingMap::fail_all) was called: the connection is lost.
    Closed,
    /// A request of this id is under way, or held.
    Duplicate,
    /// All sources have used up their versions; see [Versions](crate#versions).
    Retired,
}

impl From<RentError> for InsertError {
    fn from(reason: RentError) -> Self {
        match reason {
            RentError::Exhausted => Self::Full,
            RentError::Closed => Self::Closed,
            RentError::Retired => Self::Retired,
        }
    }
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "as many requests are under way as the map has room for",
            Self::Closed => "the map is closed: all requests were failed",
            Self::Duplicate => "a request of this id is under way",
            Self::Retired => "every id of the map is used up",
        })
    }
}

impl Error for InsertError {}
