//! Listeners, and how they serve.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use watchword_http::client_address::{ForwardingHeader, TrustedProxies};
use watchword_http::serve::{Settings, TlsFiles};
use watchword_http::{Area, SurfaceKind, route_table};

use super::{BTreeSet, Fault, Mode, Settling, Value, What, read, shape, surface};

/// What `admin.bind` says to have no admin listener.
pub(crate) const NEVER: &str = "none";

/// Where the API listens if nothing is configured.
const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
/// Where `/metrics` and the health checks are if nothing is configured.
const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9090);

/// Long enough for a balancer to ask twice whether the server is ready.
const SHUTDOWN_DELAY: Duration = Duration::from_secs(5);

/// One API listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerConfig {
    pub(crate) bind: SocketAddr,
    /// Each surface with the path that stands before its own.
    pub(crate) surfaces: Vec<(SurfaceKind, String)>,
    pub(crate) tls: Option<TlsFiles>,
}

impl Settling<'_> {
    pub(super) fn listeners(
        &mut self,
        settings: &BTreeMap<SurfaceKind, shape::Surface>,
    ) -> Vec<ListenerConfig> {
        for (kind, surface) in settings {
            if let Some(mount) = &surface.mount
                && let Err(message) = check_mount(mount)
            {
                self.complain(&format!("surfaces.{kind}.mount"), message);
            }
        }
        let given: Vec<shape::Listener> = match self.root.find("listeners") {
            None => {
                let only = shape::Listener {
                    bind: API,
                    surfaces: None,
                    mount: None,
                    tls: None,
                };
                vec![only]
            }
            Some(value) => self.read_listeners(value),
        };
        let mut listeners = Vec::with_capacity(given.len());
        let mut taken = BTreeSet::new();
        for (index, listener) in given.into_iter().enumerate() {
            let path = format!("listeners.{index}");
            if listener.bind.port() != 0 && !taken.insert(listener.bind) {
                self.complain(
                    &format!("{path}.bind"),
                    "is the address of another listener",
                );
            }
            self.check_loopback(&format!("{path}.bind"), listener.bind);
            let surfaces = self.surfaces_of(&path, &listener, settings);
            let tls = listener.tls.map(|tls| TlsFiles {
                certificate: tls.cert,
                key: tls.key,
            });
            listeners.push(ListenerConfig {
                bind: listener.bind,
                surfaces,
                tls,
            });
        }
        listeners
    }

    /// One by one, so that a mistake in one does not hide those in others.
    fn read_listeners(&mut self, value: &Value) -> Vec<shape::Listener> {
        let What::List(list) = &value.what else {
            self.faults
                .extend(read::<Vec<shape::Listener>>(value, "listeners").err());
            return Vec::new();
        };
        if list.is_empty() {
            self.complain(
                "listeners",
                "is empty; a server needs at least one listener",
            );
        }
        let mut listeners = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            match read(item, &format!("listeners.{index}")) {
                Ok(listener) => listeners.push(listener),
                Err(fault) => self.faults.push(fault),
            }
        }
        listeners
    }

    fn surfaces_of(
        &mut self,
        path: &str,
        listener: &shape::Listener,
        settings: &BTreeMap<SurfaceKind, shape::Surface>,
    ) -> Vec<(SurfaceKind, String)> {
        let before = listener.mount.as_deref().unwrap_or_default();
        if let Err(message) = check_mount(before) {
            self.complain(&format!("{path}.mount"), message);
        }
        let names = listener.surfaces.clone().unwrap_or_else(|| {
            let usual = usual_surfaces(self.mode);
            usual.map(|kind| kind.as_str().to_owned()).collect()
        });
        if names.is_empty() {
            self.complain(
                &format!("{path}.surfaces"),
                "is empty; name at least one surface",
            );
        }
        let mut surfaces: Vec<(SurfaceKind, String)> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let place = format!("{path}.surfaces.{index}");
            let kind = match surface(name) {
                Ok(kind) => kind,
                Err(message) => {
                    self.complain(&place, message);
                    continue;
                }
            };
            let own = settings
                .get(&kind)
                .and_then(|surface| surface.mount.as_deref());
            let mount = format!("{before}{}", own.unwrap_or_default());
            if let Some((other, taken)) = clash(kind, &mount, &surfaces) {
                let message = format!(
                    "`{kind}` and `{other}` both want {taken} on {}; mount one of them elsewhere \
                     ([surfaces.{kind}] mount = \"/{kind}\"), or give it a listener of its own",
                    listener.bind
                );
                self.complain(&place, message);
                continue;
            }
            surfaces.push((kind, mount));
        }
        surfaces
    }

    pub(super) fn admin(&mut self) -> Option<SocketAddr> {
        let given: shape::Admin = self.section("admin");
        let bind = match given.bind.as_deref() {
            None => ADMIN,
            Some(NEVER) => return None,
            Some(text) => match text.parse() {
                Ok(address) => address,
                Err(_) => {
                    let message = "is not an address such as 127.0.0.1:9090, or `none`";
                    self.complain("admin.bind", message);
                    ADMIN
                }
            },
        };
        self.check_loopback("admin.bind", bind);
        Some(bind)
    }

    /// Dev mode shows codes to whoever asks, so only this machine may.
    fn check_loopback(&mut self, path: &str, address: SocketAddr) {
        if self.mode == Mode::Dev && !address.ip().to_canonical().is_loopback() {
            let message = format!(
                "dev mode shows codes, so it listens on loopback addresses only, and {address} is \
                 none; use `watchword serve` for others"
            );
            self.complain(path, message);
        }
    }

    pub(super) fn serve_settings(&mut self, given: &shape::Http) -> Settings {
        let mut settings = Settings {
            proxies: self.proxies(),
            ..Settings::default()
        };
        let timeouts = &mut settings.timeouts;
        for (name, given, timeout) in [
            (
                "handshake_timeout",
                given.handshake_timeout,
                &mut timeouts.handshake,
            ),
            ("header_timeout", given.header_timeout, &mut timeouts.header),
            ("body_timeout", given.body_timeout, &mut timeouts.body),
            (
                "request_timeout",
                given.request_timeout,
                &mut timeouts.request,
            ),
            (
                "write_timeout",
                given.write_timeout,
                &mut timeouts.write_stall,
            ),
            ("idle_timeout", given.idle_timeout, &mut timeouts.idle),
            ("drain_timeout", given.drain_timeout, &mut timeouts.drain),
        ] {
            match given {
                Some(span) if span.is_zero() => {
                    self.complain(&format!("http.{name}"), "must be longer than 0s");
                }
                Some(span) => *timeout = span,
                None => {}
            }
        }
        let limits = &mut settings.limits;
        limits.connections = given.connections.unwrap_or(limits.connections);
        limits.connections_per_source = given
            .connections_per_source
            .unwrap_or(limits.connections_per_source);
        limits.sends_in_flight = given.sends_in_flight.unwrap_or(limits.sends_in_flight);
        if limits.sends_in_flight == 0 {
            self.faults
                .push(Fault::at("http.sends_in_flight", "must be at least 1"));
        }
        limits.header_bytes = given.header_bytes.unwrap_or(limits.header_bytes);
        limits.http2_streams = given.http2_streams.unwrap_or(limits.http2_streams);
        if limits.connections == 0 || limits.connections_per_source == 0 {
            self.faults
                .push(Fault::at("http.connections", "must be at least 1"));
        }
        // hyper needs room for two buffers of 4 KiB.
        if !(8192..=1 << 20).contains(&limits.header_bytes) {
            self.faults.push(Fault::at(
                "http.header_bytes",
                "must be from 8192 to 1048576",
            ));
        }
        if limits.http2_streams == 0 {
            self.faults
                .push(Fault::at("http.http2_streams", "must be at least 1"));
        }
        settings
    }

    /// How long a server that was told to stop goes on serving. In dev mode nobody waits.
    pub(super) fn shutdown_delay(&self, given: &shape::Http) -> Duration {
        given.shutdown_delay.unwrap_or(match self.mode {
            Mode::Serve => SHUTDOWN_DELAY,
            Mode::Dev => Duration::ZERO,
        })
    }

    fn proxies(&mut self) -> TrustedProxies {
        let header: Option<String> = self.section("forwarding_header");
        let header = match header.map(|name| name.to_ascii_lowercase()).as_deref() {
            None | Some("x-forwarded-for") => ForwardingHeader::XForwardedFor,
            Some("forwarded") => ForwardingHeader::Forwarded,
            Some(_) => {
                let message = "is not one of X-Forwarded-For, Forwarded";
                self.complain("forwarding_header", message);
                ForwardingHeader::XForwardedFor
            }
        };
        let networks: Vec<String> = self.section("trusted_proxies");
        TrustedProxies::parse(header, networks).unwrap_or_else(|invalid| {
            self.complain("trusted_proxies", invalid.to_string());
            TrustedProxies::none()
        })
    }
}

/// The surfaces of a listener that names none. In dev mode all that go together; else the native one:
/// others are open to everybody, and nobody should get them who did not ask for them.
fn usual_surfaces(mode: Mode) -> impl Iterator<Item = SurfaceKind> {
    let usual = move |kind: &SurfaceKind| match kind {
        SurfaceKind::Native => true,
        SurfaceKind::Auth | SurfaceKind::Otp | SurfaceKind::Uuid => mode == Mode::Dev,
        SurfaceKind::Whatsapp => false, // its /health is that of `uuid`
    };
    SurfaceKind::ALL.into_iter().filter(usual)
}

/// A surface that is there already and wants a path that `kind` wants below `mount`, and the path.
fn clash(
    kind: SurfaceKind,
    mount: &str,
    there: &[(SurfaceKind, String)],
) -> Option<(SurfaceKind, String)> {
    let wanted = paths(kind, mount);
    there.iter().find_map(|(other, at)| {
        let mut taken = paths(*other, at);
        taken.retain(|path| wanted.contains(path));
        Some((*other, taken.into_iter().next()?))
    })
}

/// The paths of a surface, with every parameter under one name.
fn paths(kind: SurfaceKind, mount: &str) -> BTreeSet<String> {
    let table = route_table(&[kind], false);
    let own = table.entries().iter();
    let own = own.filter(|route| route.area == Area::Surface(kind));
    own.map(|route| {
        let steps = route.path.split('/');
        let steps = steps.map(|step| if step.starts_with('{') { "{}" } else { step });
        format!("{mount}{}", steps.collect::<Vec<_>>().join("/"))
    })
    .collect()
}

/// `/a/b`: what can stand before a path.
fn check_mount(mount: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let step =
        |step: &str| !step.is_empty() && step != "." && step != ".." && step.bytes().all(plain);
    match mount.strip_prefix('/') {
        None if mount.is_empty() => Ok(()),
        Some(steps) if steps.split('/').all(step) => Ok(()),
        _ => Err("is not a path such as /otp"),
    }
}
