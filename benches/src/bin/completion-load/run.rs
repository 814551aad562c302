//! From arguments to reports: the server, the runtime, the warm-up, the slices, the interruption.

use std::sync::Arc;

use benches::alloc::count_this_thread;
use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Args, Target, Unusable};
use crate::client::{Client, Settings, Template};
use crate::dial::Dialer;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::Report;
use crate::work::{Scope, Work};
use crate::{server, tls};

/// With `--compare` each client works in so many slices, in turn, so that a noisy moment hits all alike.
const SLICES: u64 = 6;

/// A tenth of the requests go before the counting of allocations, and no more than bring everything to its size.
const WARM_UP_SHARE: u64 = 10;
const LONGEST_WARM_UP: u64 = 10_000;

/// Everything that was measured.
pub(crate) struct Outcome {
    pub(crate) reports: Vec<Report>,
    pub(crate) interrupted: bool,
}

/// Does what the arguments ask for.
///
/// # Errors
///
/// One line, before anything was sent.
pub(crate) fn run(args: &Args) -> Result<Outcome, Unusable> {
    let target = match &args.url {
        Some(target) => target.clone(),
        None => embedded()?,
    };
    let tls = if target.tls {
        let connector = tls::connector(args.cacert.as_deref(), args.insecure).map_err(Unusable)?;
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| Unusable(format!("{:?} cannot stand in a certificate", target.host)))?;
        Some((connector, name))
    } else {
        None
    };
    let template = Arc::new(Template {
        method: args.method.clone(),
        uri: target.uri.clone(),
        body: Bytes::from(vec![b'x'; args.body]),
    });
    let runtime = runtime(args.threads)
        .map_err(|error| Unusable(format!("the runtime does not start: {error}")))?;
    // With one thread the work is done right here, and the runtime's own threads count themselves.
    count_this_thread();
    let outcome = runtime.block_on(measure(args, &target, tls.map(Arc::new), &template));
    // A name look-up may still be stuck in the operating system.
    runtime.shutdown_background();
    Ok(outcome)
}

fn embedded() -> Result<Target, Unusable> {
    let address = server::start()
        .map_err(|error| Unusable(format!("the embedded server does not start: {error}")))?;
    Target::parse(&format!("http://{address}/"))
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder
        .enable_all()
        .on_thread_start(count_this_thread)
        .build()
}

type Tls = Arc<(tokio_rustls::TlsConnector, ServerName<'static>)>;

async fn measure(
    args: &Args,
    target: &Target,
    tls: Option<Tls>,
    template: &Arc<Template>,
) -> Outcome {
    let scope = Scope {
        plan: Plan::new(args.seed, args.cancel_percent, args.requests),
        concurrency: args.concurrency,
        connections: args.connections,
        threads: args.threads,
    };
    let mut works = Vec::new();
    let mut dialers = Vec::new();
    for &name in &args.clients {
        let tls = tls.as_deref().cloned();
        let dialer = Arc::new(Dialer::new(target.host.clone(), target.port, tls));
        dialers.push(Arc::clone(&dialer));
        let settings = Settings {
            dialer,
            template: Arc::clone(template),
            connections: args.connections,
            concurrency: args.concurrency,
            pool: args.pool,
            timeout: args.timeout,
            settings_timeout: args.settings_timeout,
        };
        works.push(Work::new(Client::new(name, &settings), scope));
    }
    let counters: Vec<_> = works.iter().map(Work::progress).collect();
    let total = args.requests.saturating_mul(works.len() as u64);
    let progress = Progress::start(total, move || counters.iter().map(|done| done()).sum());

    let interrupted = tokio::select! {
        biased;
        () = interruption() => true,
        () = all(&mut works, args.requests) => false,
    };

    let mut reports = Vec::new();
    for ((work, dialer), name) in works.into_iter().zip(dialers).zip(&args.clients) {
        let result = work.finish().await;
        reports.push(Report::new(
            name.name(),
            &target.uri,
            dialer.established(),
            result,
        ));
    }
    if let Some(progress) = progress {
        progress.clear();
    }
    Outcome {
        reports,
        interrupted,
    }
}

/// The warm-up of each, then the slices, each round beginning with another client.
async fn all(works: &mut [Work], requests: u64) {
    let warm_up = (requests / WARM_UP_SHARE).min(LONGEST_WARM_UP);
    for work in &mut *works {
        work.advance(warm_up, true).await;
    }
    let slices = if works.len() == 1 { 1 } else { SLICES };
    for slice in 1..=slices {
        let rest = u128::from(requests - warm_up) * u128::from(slice) / u128::from(slices);
        let end = warm_up + u64::try_from(rest).unwrap_or(u64::MAX);
        for place in 0..works.len() {
            let first = usize::try_from(slice).unwrap_or(0);
            let turn = (first + place) % works.len();
            works[turn].advance(end, false).await;
        }
    }
}

/// Ctrl-C. Where it cannot be heard, the operating system ends the process as usual.
async fn interruption() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
