//! The command line: everything unusable is told in one line, before anything has started.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{Method, Uri, uri};
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
Drives an HTTP/2 server and reports what came of it.

Usage: completion-load [URL] [OPTIONS]

  URL                      http:// (prior knowledge) or https:// (ALPN h2);
                           without it an embedded server on a loopback port

  --requests N             requests in all [20000]
  --concurrency C          in flight at a time, over all connections [64]
  --connections K          connections [1]
  --threads T              threads of the client's runtime [1]
  --method M               [GET; POST with a body]
  --body BYTES             size of each request's body [0]
  --timeout MS             per request, from its submission to the end of the
                           response body [10000]
  --settings-timeout MS    for the acknowledgment of SETTINGS [10000]
  --cancel-percent P       drop so many of the requests on their way [0]
  --pool N                 pooled completion sources per connection; 0 boxes
                           every one of them [256]
  --client NAME            completion, h2 or hyper [completion]
  --compare                all three, interleaved
  --cacert FILE            trust the certificates in this PEM file
  --insecure               trust any certificate
  --seed N                 chooses the requests that are cancelled [1]
  --json                   one JSON object instead of the table
  --help, --version

Exit status: 0 no request failed, 1 some failed, 2 unusable arguments,
3 no connection could be established, 130 interrupted.
";

/// A day: longer than any measurement, and far from what overflows a clock.
const LONGEST_MS: u64 = 86_400_000;
const LARGEST_BODY: u64 = 1 << 30;
const MOST_IN_FLIGHT: u64 = 100_000;
const MOST_CONNECTIONS: u64 = 10_000;
const MOST_THREADS: u64 = 256;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// A measurement.
    Load(Box<Args>),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// Which client does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientName {
    Completion,
    H2,
    Hyper,
}

impl ClientName {
    pub(crate) const ALL: [Self; 3] = [Self::Completion, Self::H2, Self::Hyper];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::H2 => "h2",
            Self::Hyper => "hyper",
        }
    }
}

/// The usable arguments of a measurement.
#[derive(Debug)]
pub(crate) struct Args {
    /// None: the embedded server.
    pub(crate) url: Option<Target>,
    pub(crate) requests: u64,
    pub(crate) concurrency: usize,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) method: Method,
    pub(crate) body: usize,
    pub(crate) timeout: Duration,
    pub(crate) settings_timeout: Duration,
    pub(crate) cancel_percent: u64,
    pub(crate) pool: u16,
    /// One client, or all of them for `--compare`.
    pub(crate) clients: Vec<ClientName>,
    pub(crate) compare: bool,
    pub(crate) cacert: Option<PathBuf>,
    pub(crate) insecure: bool,
    pub(crate) seed: u64,
    pub(crate) json: bool,
}

/// A URL, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Absolute, with a path.
    pub(crate) uri: Uri,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// One line about what is wrong with the arguments.
#[derive(Debug)]
pub(crate) struct Unusable(pub(crate) String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An argument may bring line breaks along.
        for line in self.0.lines().take(1) {
            f.write_str(line)?;
        }
        Ok(())
    }
}

impl From<lexopt::Error> for Unusable {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string().replace(['\n', '\r'], " "))
    }
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Unusable> {
    let mut parser = lexopt::Parser::from_args(words.into_iter().collect::<Vec<_>>());
    let mut args = Args {
        url: None,
        requests: 20_000,
        concurrency: 64,
        connections: 1,
        threads: 1,
        method: Method::GET,
        body: 0,
        timeout: Duration::from_secs(10),
        settings_timeout: Duration::from_secs(10),
        cancel_percent: 0,
        pool: 256,
        clients: vec![ClientName::Completion],
        compare: false,
        cacert: None,
        insecure: false,
        seed: 1,
        json: false,
    };
    let mut method = None;
    let mut client = None;
    while let Some(word) = parser.next()? {
        match word {
            Long("requests") => args.requests = number(&mut parser, "--requests", 1, u64::MAX)?,
            Long("concurrency") => {
                args.concurrency = number(&mut parser, "--concurrency", 1, MOST_IN_FLIGHT)?
            }
            Long("connections") => {
                args.connections = number(&mut parser, "--connections", 1, MOST_CONNECTIONS)?
            }
            Long("threads") => args.threads = number(&mut parser, "--threads", 1, MOST_THREADS)?,
            Long("method") => method = Some(parse_method(&text(&mut parser)?)?),
            Long("body") => args.body = number(&mut parser, "--body", 0, LARGEST_BODY)?,
            Long("timeout") => args.timeout = milliseconds(&mut parser, "--timeout")?,
            Long("settings-timeout") => {
                args.settings_timeout = milliseconds(&mut parser, "--settings-timeout")?
            }
            Long("cancel-percent") => {
                args.cancel_percent = number(&mut parser, "--cancel-percent", 0, 100)?
            }
            Long("pool") => args.pool = number(&mut parser, "--pool", 0, u64::from(u16::MAX))?,
            Long("client") => client = Some(parse_client(&text(&mut parser)?)?),
            Long("compare") => args.compare = true,
            Long("cacert") => args.cacert = Some(parser.value()?.into()),
            Long("insecure") => args.insecure = true,
            Long("seed") => args.seed = number(&mut parser, "--seed", 0, u64::MAX)?,
            Long("json") => args.json = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("version") | Short('V') => return Ok(Command::Version),
            Value(url) if args.url.is_none() => args.url = Some(Target::parse(&url.string()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    if args.cacert.is_some() && !args.url.as_ref().is_some_and(|target| target.tls) {
        return Err(Unusable("--cacert needs an https:// URL".to_owned()));
    }
    match (client, args.compare) {
        (Some(_), true) => {
            return Err(Unusable(
                "--client and --compare exclude each other".to_owned(),
            ));
        }
        (Some(client), false) => args.clients = vec![client],
        (None, true) => args.clients = ClientName::ALL.to_vec(),
        (None, false) => {}
    }
    args.method = match method {
        Some(method) => method,
        None if args.body > 0 => Method::POST,
        None => Method::GET,
    };
    Ok(Command::Load(Box::new(args)))
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, Unusable> {
        let unusable = |why: &str| Unusable(format!("unusable URL {text:?}: {why}"));
        let uri = Uri::from_str(text).map_err(|error| unusable(&error.to_string()))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(unusable("the scheme is neither http nor https")),
            None => return Err(unusable("it does not begin with http:// or https://")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| unusable("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(unusable("user names are not supported"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(unusable("it names no host"));
        }
        let port = match authority.as_str().strip_prefix(host) {
            Some("") if tls => 443,
            Some("") => 80,
            Some(port) => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|&port| port != 0)
                .ok_or_else(|| unusable("the port is not a number from 1 to 65535"))?,
            None => return Err(unusable("the port cannot be told from the host")),
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let mut parts = uri.into_parts();
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(uri::PathAndQuery::from_static("/"));
        }
        let uri = Uri::from_parts(parts).map_err(|error| unusable(&error.to_string()))?;
        Ok(Self {
            uri,
            host,
            port,
            tls,
        })
    }
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Unusable> {
    Ok(parser.value()?.string()?)
}

/// A whole number from `least` to `most`, in the type that the option has.
fn number<N: TryFrom<u64>>(
    parser: &mut lexopt::Parser,
    option: &str,
    least: u64,
    most: u64,
) -> Result<N, Unusable> {
    let text = text(parser)?;
    let value = text
        .parse::<u64>()
        .ok()
        .filter(|value| (least..=most).contains(value));
    value
        .and_then(|value| N::try_from(value).ok())
        .ok_or_else(|| {
            Unusable(format!(
                "{option} takes a whole number from {least} to {most}, not {text:?}"
            ))
        })
}

fn milliseconds(parser: &mut lexopt::Parser, option: &str) -> Result<Duration, Unusable> {
    Ok(Duration::from_millis(number(
        parser, option, 1, LONGEST_MS,
    )?))
}

fn parse_method(text: &str) -> Result<Method, Unusable> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT) => Err(Unusable(
            "--method CONNECT opens a tunnel, which is no request to measure".to_owned(),
        )),
        Ok(method) => Ok(method),
        Err(_) => Err(Unusable(format!(
            "--method takes the name of an HTTP method, not {text:?}"
        ))),
    }
}

fn parse_client(text: &str) -> Result<ClientName, Unusable> {
    ClientName::ALL
        .into_iter()
        .find(|client| client.name() == text)
        .ok_or_else(|| {
            Unusable(format!(
                "--client takes completion, h2 or hyper, not {text:?}"
            ))
        })
}
