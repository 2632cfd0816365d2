//! The running server: everything put together, started, and ended well.

mod addresses;
mod fallbacks;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use watchword_core::account::Accounts;
use watchword_core::keys::KeyRing;
use watchword_core::{Clock, Entropy, Parts, Verifier};
use watchword_http::serve::{Observer, Shutdown};
use watchword_http::{
    Admin, App, DemoAt, Departing, Dev, Gate, Policies, Reception, RouteEntry, Routes, SurfaceKind,
    Told, admin_route_table, admin_router, api_router_at, api_routes, route_table,
};
use watchword_providers::{Courier, Descriptions, KeptMessages};
use watchword_stores::{Neighbour, OpenOptions, Opened, StorageUrl};

pub(crate) use addresses::Addresses;
use addresses::Bound;

use crate::accounts::{self, Surroundings};
use crate::audit::{AuditLog, Scribe, Shelf};
use crate::config::{Config, ListenerConfig, Mode};
use crate::delivery;
use crate::failure::Failure;
use crate::system::{SystemClock, SystemEntropy};
use crate::telemetry::{
    self, CountedDeliveries, CountedEvents, Logging, Metrics, RequestMetrics, TraceRequests,
    WatchedStore, provider_report,
};

/// Tells where the server listens.
type Announce = Box<dyn FnOnce(&Addresses) -> Result<(), Failure>>;

/// How the server is run, beside what is configured.
pub(crate) struct Manner {
    /// Whether surfaces may return codes where their documents show them. Only in dev mode.
    pub(crate) expose_codes: bool,
    /// Told where the server listens once it does.
    pub(crate) announce: Announce,
}

/// Runs a server until it is told to end.
///
/// # Errors
/// Whatever keeps it from starting. Once it serves, it ends without error.
pub(crate) async fn run(config: Config, manner: Manner) -> Result<(), Failure> {
    let logging = telemetry::start(&config.log, &config.telemetry)?;
    telemetry::log_panics();
    let stop = Shutdown::default();
    let signals = signals::Signals::listen(stop.clone())?;
    let parts = assemble(&config, &manner, &stop.leaving).await?;
    let store = parts.store;
    let served = match Bound::bind(&config).await {
        Ok(bound) => {
            serve(
                &config,
                bound,
                parts.serving,
                manner,
                stop,
                signals,
                &logging,
            )
            .await
        }
        Err(failure) => Err(failure),
    };
    parts.audit.finish().await;
    // Whatever happened, what was acknowledged is written and the file is let go.
    store.close().await;
    tracing::info!("stopped");
    // It blocks while the last traces leave.
    let _ = tokio::task::spawn_blocking(|| logging.finish()).await;
    served
}

/// Everything that listeners need.
struct Serving {
    verifier: Arc<Verifier>,
    callbacks: Reception,
    courier: Arc<Courier>,
    ports: StorePorts,
    accounts: Arc<Accounts>,
    inbox: Option<Arc<KeptMessages>>,
    metrics: Metrics,
}

struct StorePorts {
    api_keys: Arc<dyn watchword_core::ApiKeyStore>,
    replays: Arc<dyn watchword_core::ReplayStore>,
}

struct Assembled {
    store: Opened,
    audit: Auditing,
    serving: Serving,
}

async fn assemble(
    config: &Config,
    manner: &Manner,
    stop: &CancellationToken,
) -> Result<Assembled, Failure> {
    debug_assert!(config.mode == Mode::Dev || !manner.expose_codes);
    let Some(keys) = config.key_ring() else {
        return Err(Failure::refused("secret_key: is missing"));
    };
    let keys = Arc::new(keys);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let mut metrics = Metrics::new();
    metrics.watch_runtime();
    let counted = CountedEvents::new(metrics.registry(), config.providers.keys());
    let audit_log = AuditLog::new(&config.audit, Arc::clone(&clock), metrics.registry());
    let deliveries = CountedDeliveries::new(metrics.registry(), config.providers.keys());
    let deliveries = Arc::new(deliveries);
    let inbox = (config.mode == Mode::Dev).then(|| Arc::new(KeptMessages::default()));
    let (clock_of, entropy_of) = (Arc::clone(&clock), Arc::clone(&entropy));
    let (courier, desk) =
        delivery::courier(config, inbox.clone(), clock_of, entropy_of, deliveries)?;
    let courier = Arc::new(courier);
    CountedDeliveries::watch(metrics.registry(), Arc::clone(&courier));

    let mut options = OpenOptions::new(Arc::clone(&keys), Arc::clone(&clock));
    options.max_live = config.storage.max_live;
    options.fallback.clone_from(&config.storage.fallback);
    let opening = watchword_stores::open(&config.storage.url, options);
    let store = tokio::select! {
        opened = opening => opened.map_err(|error| Failure::from_error(&error))?,
        () = stop.cancelled() => return Err(Failure::refused("stopped before it was ready")),
    };
    metrics.watch_store(store.stats.clone());
    let audit = Auditing::start(
        config,
        &audit_log,
        store.neighbour.clone(),
        &keys,
        &*entropy,
    )
    .await?;
    let callbacks = Reception::new(Arc::new(desk));
    metrics.watch_queues(callbacks.clone(), Arc::clone(&audit_log));
    let steps = Arc::clone(&store.store);
    let steps = WatchedStore::over(steps, system(&config.storage.url), metrics.registry());
    let issuer = config.public_url.clone();
    let issuer = issuer.unwrap_or_else(|| "watchword".to_owned());
    let entropy_of = Arc::clone(&entropy);
    let verifier = Arc::new(Verifier::new(Parts {
        store: Arc::clone(&steps),
        messenger: Arc::new(Departing::by(Arc::clone(&courier) as _)),
        keys,
        clock: Arc::clone(&store.clock),
        entropy,
        events: Arc::new((counted, audit_log)),
        issuer: issuer.clone(),
        deadline: config.deadline,
        fallback_after: config.fallback_after.clone(),
        horizon: config.horizon(),
    }));
    let around = Surroundings {
        accounts: Arc::clone(&store.accounts),
        beside: store.neighbour.clone(),
        store: steps,
        verifier: Arc::clone(&verifier),
        entropy: entropy_of,
        issuer,
        may_be_away: config.storage.fallback.is_some(),
    };
    let accounts = accounts::assemble(&config.accounts, around, &mut metrics).await?;
    let ports = StorePorts {
        api_keys: Arc::clone(&store.api_keys),
        replays: Arc::clone(&store.replays),
    };
    let serving = Serving {
        verifier,
        callbacks,
        courier,
        ports,
        accounts,
        inbox,
        metrics,
    };
    Ok(Assembled {
        store,
        audit,
        serving,
    })
}

/// The audit log, and who writes it.
struct Auditing {
    log: Arc<AuditLog>,
    stop: CancellationToken,
    scribe: Option<tokio::task::JoinHandle<()>>,
}

impl Auditing {
    async fn start(
        config: &Config,
        log: &Arc<AuditLog>,
        beside: Neighbour,
        keys: &Arc<KeyRing>,
        entropy: &dyn Entropy,
    ) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let mut shelf = Shelf::of(&config.audit, beside);
        if let Some(shelf) = &mut shelf
            && let Err(error) = shelf.open().await
        {
            // A node that may begin without its primary writes once that is there.
            if config.storage.fallback.is_none() {
                return Err(Failure::from_error(&error));
            }
            tracing::warn!(%error, "the audit log is away; entries wait for it");
        }
        let scribe = shelf.map(|shelf| {
            let keep = config.audit.keep;
            let scribe = Scribe::new(log, shelf, Arc::clone(keys), keep, entropy)?;
            Ok::<_, Failure>(scribe.start(stop.clone()))
        });
        log.record("server.started", env!("CARGO_PKG_VERSION"));
        log.record("configuration.loaded", &config.digest);
        Ok(Self {
            log: Arc::clone(log),
            stop,
            scribe: scribe.transpose()?,
        })
    }

    /// Writes what is left.
    async fn finish(self) {
        self.log.record("server.stopped", "as it was told");
        self.stop.cancel();
        if let Some(scribe) = self.scribe {
            let _ = scribe.await;
        }
    }
}

async fn serve(
    config: &Config,
    bound: Bound,
    mut serving: Serving,
    manner: Manner,
    stop: Shutdown,
    signals: signals::Signals,
    logging: &Logging,
) -> Result<(), Failure> {
    let addresses = bound.addresses();
    let is_dev = config.mode == Mode::Dev;
    let requests = RequestMetrics::new(serving.metrics.registry());
    let gate = Gate::new(config.serve.limits.sends_in_flight);
    let gate = Arc::new(match config.storage.url.sends_at_once() {
        Some(sends) => gate.before_remote_store(sends),
        None => gate,
    });
    serving.metrics.watch_gate(Arc::clone(&gate));
    let app = Arc::new(App {
        verifier: Arc::clone(&serving.verifier),
        callbacks: serving.callbacks.clone(),
        api_keys: serving.ports.api_keys,
        accounts: Some(serving.accounts),
        replays: serving.ports.replays,
        policies: policies(config),
        numbers: config.numbers,
        surfaces: config.surface_settings.clone().into_iter().collect(),
        providers: Arc::new(Descriptions::new(&config.providers, &config.channels)),
        cors_origins: config.cors_origins.clone(),
        dev: serving.inbox.map(|inbox| Dev {
            inbox,
            url: addresses.first_url(),
            demos: demos(config, &addresses),
            shutdown: stop.closing.clone(),
        }),
        expose_codes: manner.expose_codes,
        gate,
        told: Told::default(),
    });
    if is_dev {
        signals.stop_on_hangup(stop.clone());
    } else {
        signals.reload_on_hangup(bound.certificates());
    }
    let fallbacks = tokio::spawn(fallbacks::look_after(
        Arc::clone(&serving.verifier),
        stop.closing.clone(),
    ));
    tokio::spawn(close_after(config.shutdown_delay, stop.clone()));
    let mut listeners = JoinSet::new();
    for (listener, settings) in bound.api.into_iter().zip(&config.listeners) {
        let mut routes = answers(&app, settings);
        if logging.traces() {
            let around = axum::middleware::from_fn(TraceRequests::around);
            routes = routes.layered(|router| router.route_layer(around));
        }
        let observer: Arc<dyn Observer> =
            Arc::new(requests.listener(&config.log, table(settings, is_dev)));
        let (serve, stop) = (config.serve.clone(), stop.clone());
        listeners.spawn(listener.serve(routes, serve, observer, stop));
    }
    // It answers that the server is not ready until everything else has ended.
    let admin_stop = CancellationToken::new();
    let admin = bound.admin.map(|listener| {
        let (metrics, courier) = (Arc::new(serving.metrics), serving.courier);
        let router = admin_router(Admin {
            verifier: Arc::clone(&serving.verifier),
            metrics: Arc::new(move || metrics.encode()),
            providers: Arc::new(move || provider_report(&courier.health())),
            shutdown: stop.leaving.clone(),
        });
        let table = admin_route_table();
        let table = table.entries().iter().cloned();
        let observer: Arc<dyn Observer> = Arc::new(requests.listener(&config.log, table));
        let (serve, stop) = (config.serve.clone(), admin_stop.clone());
        tokio::spawn(listener.serve(router, serve, observer, stop))
    });
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        api = addresses.listed(),
        admin = addresses.admin.map(|admin| admin.to_string()),
        "listening"
    );
    let announced = (manner.announce)(&addresses);
    if announced.is_err() {
        stop.at_once();
    }
    let mut cut_off = 0;
    while let Some(drained) = listeners.join_next().await {
        match drained {
            Ok(drained) => cut_off += drained.cut_off,
            Err(_) => stop.at_once(), // a listener that panicked takes the others along
        }
    }
    if cut_off > 0 {
        tracing::warn!(
            cut_off,
            "connections were still busy at the deadline and were cut off"
        );
    }
    // Its hand-overs under way are few, and no longer than a start's.
    let _ = fallbacks.await;
    serving.callbacks.finish().await;
    admin_stop.cancel();
    if let Some(admin) = admin {
        let _ = admin.await;
    }
    announced
}

/// What OpenTelemetry calls a store (`db.system.name`); `memory` is a word of ours.
const fn system(url: &StorageUrl) -> &'static str {
    match url {
        StorageUrl::Memory => "memory",
        StorageUrl::Sqlite(_) => "sqlite",
        StorageUrl::Postgres(_) => "postgresql",
        StorageUrl::Redis(_) => "redis",
    }
}

/// Once the server is left, closes it when balancers had their time to notice.
async fn close_after(delay: Duration, stop: Shutdown) {
    stop.leaving.cancelled().await;
    tokio::time::sleep(delay).await;
    stop.closing.cancel();
}

fn policies(config: &Config) -> Policies {
    let mut policies = Policies::new(config.policy.clone());
    for (kind, policy) in &config.surfaces {
        policies = policies.with_surface(*kind, policy.clone());
    }
    for (id, app) in &config.apps {
        for (kind, policy) in &app.policies {
            policies = policies.with_app(id.clone(), *kind, policy.clone());
        }
    }
    policies
}

/// The surfaces of a listener by the path that stands before them. What is nowhere else is at the
/// root, with at least the documents.
fn mounts(listener: &ListenerConfig) -> Vec<(&str, Vec<SurfaceKind>)> {
    let mut mounts: Vec<(&str, Vec<SurfaceKind>)> = vec![("", Vec::new())];
    for (kind, mount) in &listener.surfaces {
        match mounts.iter_mut().find(|(at, _)| at == mount) {
            Some((_, kinds)) => kinds.push(*kind),
            None => mounts.push((mount, vec![*kind])),
        }
    }
    mounts
}

/// Where each listener's surfaces can be walked through.
fn demos(config: &Config, addresses: &Addresses) -> Vec<DemoAt> {
    let listeners = config.listeners.iter().zip(addresses.urls());
    let demos = listeners.flat_map(|(listener, url)| {
        let mounts = mounts(listener).into_iter();
        mounts.map(move |(mount, surfaces)| DemoAt {
            url: format!("{url}{mount}"),
            surfaces,
        })
    });
    demos.collect()
}

fn answers(app: &Arc<App>, listener: &ListenerConfig) -> Routes {
    let mut mounts = mounts(listener).into_iter();
    let root = mounts.next().map(|(_, kinds)| kinds).unwrap_or_default();
    let routes = api_routes(Arc::clone(app), &root);
    mounts.fold(routes, |routes, (mount, kinds)| {
        routes.nest(mount, api_router_at(Arc::clone(app), &kinds, mount))
    })
}

/// Every route of a listener, with the path that its surface is mounted at.
fn table(listener: &ListenerConfig, is_dev: bool) -> Vec<RouteEntry> {
    let mut all = Vec::new();
    for (mount, kinds) in mounts(listener) {
        let table = route_table(&kinds, is_dev);
        all.extend(table.entries().iter().map(|entry| RouteEntry {
            path: format!("{mount}{}", entry.path),
            ..entry.clone()
        }));
    }
    all
}
