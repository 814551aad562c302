//! What becomes of the id of a request that nobody waits for any more.

use alloc::boxed::Box;
use core::fmt;

use crate::pool::Report;

/// What becomes of an id whose [`Pending`](crate::Pending) is dropped, or closed, before the reply came.
///
/// The other side knows nothing of it, and may still answer. There are two things to do, and every map
/// says which:
///
/// | | *revoke now* | *hold until completed* |
/// |---|---|---|
/// | the id is free | at once | when the other side has answered, or you [release](crate::PendingMap::release) it |
/// | a late reply | is stale; or reaches a later request of the same id, where the caller chooses ids | is refused, and frees the id |
/// | capacity | never lost | lost while a peer owes answers, so watch [`held`](crate::PendingMap::held) |
/// | take it | where ids do not come twice: those of a [`PendingMap`](crate::PendingMap), or counters of 64 bits | where the protocol has few ids, so that they come again: HID++, Modbus, the stream ids of CQL |
///
/// To revoke a number that the other side may still answer hands somebody the reply to another's request
/// (AprilNEA/OpenLogi#1286, scylladb/python-driver#106). To hold numbers for ever runs out of them
/// (scylladb/scylla-rust-driver#329): hence the report, after which CQL drivers replace the connection
/// (scylladb/scylla-rust-driver#367).
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "std")] {
/// use completion_core::{KeyedPendingMap, PendingMap, Policy};
///
/// let calls = PendingMap::<String, ()>::new(256, Policy::revoke_now());
///
/// let (ask_for_another, _connections) = std::sync::mpsc::channel();
/// let streams = KeyedPendingMap::<i16, String, ()>::new(
///     32_768,
///     Policy::hold_reporting(1024, move |held| drop(ask_for_another.send(held))),
/// );
/// # let _ = (calls, streams);
/// # }
/// ```
pub struct Policy {
    pub(super) holds: bool,
    pub(super) report: Option<Report>,
}

impl Policy {
    /// The id is free at once, and a late reply finds nobody.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(1, Policy::revoke_now());
    /// drop(requests.insert()?);
    /// assert!(requests.is_empty());
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn revoke_now() -> Self {
        Self {
            holds: false,
            report: None,
        }
    }

    /// The id stays taken, and counts against the capacity, until the other side answers.
    ///
    /// ```
    /// # use completion_core::{InsertError, PendingMap, Policy};
    /// let requests = PendingMap::<u32, ()>::new(1, Policy::hold_until_completed());
    /// drop(requests.insert()?);
    /// assert_eq!(requests.insert().unwrap_err(), InsertError::Full);
    /// # Ok::<(), InsertError>(())
    /// ```
    #[must_use]
    pub fn hold_until_completed() -> Self {
        Self {
            holds: true,
            report: None,
        }
    }

    /// As [`hold_until_completed`](Self::hold_until_completed), and tells when `threshold` ids are held.
    ///
    /// `report` is called with that number, each time it is risen to, by the drop or close that does so,
    /// on its thread and under no lock: it may use the map in every way, and drop it. That request is held
    /// already, but its own place is free only after `report` has returned, whatever it does. What `report`
    /// captures lives until the last request is over: let it refer to the map's owner weakly.
    ///
    /// A threshold of 0 is taken for 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{PendingMap, Policy};
    ///
    /// let (report, reports) = std::sync::mpsc::channel();
    /// let policy = Policy::hold_reporting(2, move |held| drop(report.send(held)));
    /// let requests = PendingMap::<u32, ()>::new(16, policy);
    /// drop(requests.insert()?);
    /// assert!(reports.try_recv().is_err());
    /// drop(requests.insert()?);
    /// assert_eq!(reports.try_recv(), Ok(2));
    /// # Ok::<(), completion_core::InsertError>(())
    /// ```
    #[must_use]
    pub fn hold_reporting(
        threshold: usize,
        report: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        Self {
            holds: true,
            report: Some(Report {
                threshold: threshold.max(1),
                call: Box::new(report),
            }),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("holds", &self.holds)
            .field("reports_at", &self.report.as_ref().map(|it| it.threshold))
            .finish()
    }
}
