//! What the two instantiations carry: a `bool`, and a response that must be dropped.

use crate::atomic::{AtomicUsize, Ordering};

static RESPONSES: AtomicUsize = AtomicUsize::new(0);

/// Shaped like the response of a client: a status, some headers, a body of its own.
pub(crate) struct Response {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: [u8; 8],
}

impl Response {
    pub(crate) fn new(status: u16) -> Self {
        RESPONSES.fetch_add(1, Ordering::Relaxed);
        Self {
            status,
            headers: &[("content-type", "text/plain")],
            body: u64::from(status).to_ne_bytes(),
        }
    }

    pub(crate) fn is(&self, status: u16) -> bool {
        self.status == status
            && self.headers.len() == 1
            && self.body == u64::from(status).to_ne_bytes()
    }

    /// Whether every response was dropped, and none twice.
    pub(crate) fn all_dropped() -> bool {
        RESPONSES.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        RESPONSES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What goes wrong, in either.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Refused(pub(crate) u8);
