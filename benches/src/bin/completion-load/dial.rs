//! One connection to the server: TCP, and TLS when the URL asks for it. The three clients share it.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::{Failure, Kind};

/// Opens connections to one server and counts those that came about.
pub(crate) struct Dialer {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    established: AtomicU64,
}

impl Dialer {
    pub(crate) fn new(
        host: String,
        port: u16,
        tls: Option<(TlsConnector, ServerName<'static>)>,
    ) -> Self {
        Self {
            host,
            port,
            tls,
            established: AtomicU64::new(0),
        }
    }

    /// A connection that is ready for HTTP/2.
    pub(crate) async fn dial(&self) -> Result<Io, DialError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(DialError::Connect)?;
        tcp.set_nodelay(true).map_err(DialError::Connect)?;
        let io = match &self.tls {
            None => Io::Plain(tcp),
            Some((connector, name)) => {
                let stream = connector
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(DialError::Tls)?;
                if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    let cause = io::Error::other("the server does not offer h2");
                    return Err(DialError::Tls(cause));
                }
                Io::Tls(Box::new(stream))
            }
        };
        // ORDERING: Relaxed; a statistic, read after the run.
        self.established.fetch_add(1, Ordering::Relaxed);
        Ok(io)
    }

    /// Connections that were established so far.
    pub(crate) fn established(&self) -> u64 {
        // ORDERING: Relaxed; a statistic that publishes nothing.
        self.established.load(Ordering::Relaxed)
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// No TCP connection.
    Connect(io::Error),
    /// TCP, but no TLS session that speaks h2.
    Tls(io::Error),
}

impl DialError {
    /// The failure of a request that waited for this connection.
    pub(crate) fn failure(&self) -> Failure {
        Failure::unprocessed(match self {
            Self::Connect(_) => Kind::Connect,
            Self::Tls(_) => Kind::Tls,
        })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect(_) => "the TCP connection failed",
            Self::Tls(_) => "the TLS handshake failed",
        })
    }
}

impl Error for DialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(cause) | Self::Tls(cause) => Some(cause),
        }
    }
}

/// The bytes of one connection. TLS is boxed once per connection because it is large.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
