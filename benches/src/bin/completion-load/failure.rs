//! Why a request failed: the kinds that the report counts, and how the errors of h2 fall into them.

/// One kind of failure, as the report names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// RST_STREAM from the peer, other than REFUSED_STREAM.
    ResetByPeer,
    /// REFUSED_STREAM.
    Refused,
    /// The peer sent GOAWAY, whether or not the connection then closed.
    GoAway,
    /// The connection ended without a word.
    ConnectionLost,
    /// The peer broke the protocol.
    Protocol,
    /// The request's own time was up.
    Timeout,
    /// The peer did not acknowledge SETTINGS in time.
    SettingsTimeout,
    /// No TCP connection.
    Connect,
    /// No TLS session, or none that speaks h2.
    Tls,
    /// Nobody was left to complete the request.
    Abandoned,
}

impl Kind {
    /// Every kind, in the order of the report; `kind as usize` is its place.
    pub(crate) const ALL: [Self; 10] = [
        Self::ResetByPeer,
        Self::Refused,
        Self::GoAway,
        Self::ConnectionLost,
        Self::Protocol,
        Self::Timeout,
        Self::SettingsTimeout,
        Self::Connect,
        Self::Tls,
        Self::Abandoned,
    ];

    /// The name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ResetByPeer => "reset_by_peer",
            Self::Refused => "refused",
            Self::GoAway => "go_away",
            Self::ConnectionLost => "connection_lost",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::SettingsTimeout => "settings_timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A failed request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) kind: Kind,
    /// The peer certainly did not process it: sending it again cannot do the work twice.
    pub(crate) retry_safe: bool,
}

impl Failure {
    /// A request that may have been processed.
    pub(crate) fn submitted(kind: Kind) -> Self {
        Self {
            kind,
            retry_safe: false,
        }
    }

    /// A request that the peer never saw, or said that it did not process.
    pub(crate) fn unprocessed(kind: Kind) -> Self {
        Self {
            kind,
            retry_safe: true,
        }
    }

    /// The failure of a stream, by the error that h2 gave for that stream.
    ///
    /// A GOAWAY from the peer reaches a stream's own error only when the stream's number is above the last one that the peer
    /// processed, hence it is unprocessed.
    pub(crate) fn of_stream(error: &h2::Error) -> Self {
        if error.is_remote() {
            match (error.is_go_away(), error.reason()) {
                (true, _) => Self::unprocessed(Kind::GoAway),
                (false, Some(h2::Reason::REFUSED_STREAM)) => Self::unprocessed(Kind::Refused),
                (false, _) => Self::submitted(Kind::ResetByPeer),
            }
        } else if error.is_io() {
            Self::submitted(Kind::ConnectionLost)
        } else {
            Self::submitted(Kind::Protocol)
        }
    }
}
