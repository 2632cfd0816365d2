//! Surfaces: their policies, who may call them, and what they need.

use std::collections::{BTreeMap, BTreeSet};

use watchword_core::routing::Route;
use watchword_core::{Channel, NumberRules, Policy, PolicyPatch, Region};
use watchword_http::{SurfaceKind, SurfaceSettings};

use super::{ListenerConfig, Mode, Settling, Value, shape, unknown};

/// How each surface is run.
pub(super) fn run_surfaces(
    given: &BTreeMap<SurfaceKind, shape::Surface>,
    default_region: Option<Region>,
) -> BTreeMap<SurfaceKind, SurfaceSettings> {
    let run = |kind: SurfaceKind| {
        let documented = SurfaceSettings::documented(kind, default_region);
        let Some(given) = given.get(&kind) else {
            return (kind, documented);
        };
        let settings = SurfaceSettings {
            require_api_key: given.require_api_key.unwrap_or(documented.require_api_key),
            numbers: NumberRules {
                strict: given.strict_numbers.unwrap_or(documented.numbers.strict),
                ..documented.numbers
            },
        };
        (kind, settings)
    };
    SurfaceKind::ALL.map(run).into()
}

impl Settling<'_> {
    pub(super) fn surface_settings(&mut self) -> BTreeMap<SurfaceKind, shape::Surface> {
        let mut surfaces = BTreeMap::new();
        let Some(entries) = self.root.find("surfaces").and_then(Value::as_table) else {
            return surfaces;
        };
        for name in entries.keys() {
            let path = format!("surfaces.{name}");
            match surface(name) {
                Ok(kind) => {
                    let settings: shape::Surface = self.section(&path);
                    if kind == SurfaceKind::Native && settings.require_api_key == Some(false) {
                        self.complain(
                            &format!("{path}.require_api_key"),
                            "cannot be false: the native surface always needs a key outside dev mode",
                        );
                    }
                    if kind != SurfaceKind::Otp && settings.require_provider_config.is_some() {
                        self.complain(
                            &format!("{path}.require_provider_config"),
                            "is a setting of the surface otp only",
                        );
                    }
                    surfaces.insert(kind, settings);
                }
                Err(message) => self.complain(&path, message),
            }
        }
        surfaces
    }

    /// The policy of each surface: what its document describes, `[policy]`, `[surfaces.NAME.policy]`,
    /// each above the one before.
    ///
    /// `[policy]` stands above what a document describes, setting by setting: whoever writes a lifetime
    /// for the whole server, or sets the environment name that the replaced service had for it, means
    /// the surface that is served, too. What nobody wrote is as the document says.
    pub(super) fn surface_policies(
        &mut self,
        everywhere: &PolicyPatch,
        given: &BTreeMap<SurfaceKind, shape::Surface>,
        allow_weak: bool,
    ) -> BTreeMap<SurfaceKind, Policy> {
        // A fault of `[policy]` is told once.
        let sound = everywhere
            .over(&Policy::default())
            .validate(allow_weak)
            .is_ok();
        let settle = |kind: SurfaceKind| {
            let base = everywhere.over(&kind.policy());
            let own = given.get(&kind).map(|surface| &surface.policy);
            let policy = match own.filter(|own| **own != PolicyPatch::default()) {
                Some(own) => {
                    let path = format!("surfaces.{kind}.policy");
                    self.policy(&path, own, &base, allow_weak)
                }
                None if sound => self.policy("policy", &PolicyPatch::default(), &base, allow_weak),
                None => base,
            };
            (kind, policy)
        };
        SurfaceKind::ALL.map(settle).into()
    }

    /// A surface whose codes could not travel is a mistake that its callers should not have to find.
    pub(super) fn refuse_mute_surfaces(
        &mut self,
        listeners: &[ListenerConfig],
        channels: &BTreeMap<Channel, Route<String>>,
        given: &BTreeMap<SurfaceKind, shape::Surface>,
    ) {
        // Dev mode has the inbox.
        if self.mode == Mode::Dev {
            return;
        }
        let served = listeners.iter().flat_map(|listener| &listener.surfaces);
        let mut served: BTreeSet<_> = served.map(|(kind, _)| *kind).collect();
        let uuid = given.get(&SurfaceKind::Uuid);
        if uuid.is_some_and(|settings| settings.require_api_key == Some(true)) {
            // Its codes may go back to those whose keys may read them.
            served.remove(&SurfaceKind::Uuid);
        }
        if channels.is_empty() {
            if !served.is_empty() && self.faults.is_empty() {
                let keys = "; or require_api_key = true in [surfaces.uuid], and its codes go back \
                            to those whose API key has the scope codes:read";
                let alone = served.len() == 1 && served.contains(&SurfaceKind::Uuid);
                let message = format!(
                    "no channel has a provider, so nothing could be delivered; name a provider, \
                     such as [channels] email = [\"mail\"] with [providers.mail] kind = \"smtp\"{}",
                    if alone { keys } else { "" }
                );
                self.complain("channels", message);
            }
            return;
        }
        for kind in served {
            let wanted = kind.channels();
            let named = |channels: &[Channel]| {
                let names: Vec<_> = channels.iter().map(|channel| channel.as_str()).collect();
                names.join(", ")
            };
            let missing: Vec<_> = wanted
                .iter()
                .copied()
                .filter(|channel| !channels.contains_key(channel))
                .collect();
            if missing.len() == wanted.len() {
                let message = format!(
                    "the surface `{kind}` could deliver nothing: no provider for any of {}",
                    named(wanted)
                );
                self.complain("channels", message);
                continue;
            }
            let settings = given.get(&kind);
            let required = settings.and_then(|settings| settings.require_provider_config);
            if required == Some(false) && !missing.is_empty() {
                let message = format!(
                    "is false, and there is no provider for {}: a code that nobody sends is never \
                     said to be sent. Configure one, or set it to true (OTP_REQUIRE_PROVIDER_CONFIG) \
                     and requests for such a channel are refused",
                    named(&missing)
                );
                self.complain("surfaces.otp.require_provider_config", message);
            }
        }
    }

    pub(super) fn cors_origins(&mut self) -> Vec<String> {
        let origins: Vec<String> = self.section("cors_origins");
        for (index, origin) in origins.iter().enumerate() {
            if !is_origin(origin) {
                let message = "is not an origin as browsers write it, such as https://app.example.com: \
                               scheme and host in lower case, a port that is not the usual one, and \
                               nothing else; there is no `*`";
                self.complain(&format!("cors_origins.{index}"), message);
            }
        }
        origins
    }
}

/// Whether a browser would write it like this (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

/// The surface of this name.
pub(super) fn surface(name: &str) -> Result<SurfaceKind, String> {
    const LATER: [&str; 2] = ["twilio-verify", "otpgateway"];
    name.parse().map_err(|_| {
        if LATER.contains(&name) {
            return format!("the surface `{name}` comes in a later release");
        }
        let known = SurfaceKind::ALL.map(SurfaceKind::as_str);
        unknown("surface", name, known)
    })
}
