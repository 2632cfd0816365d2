//! From the configured providers to a courier that carries messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchword_core::routing::Duplicates;
use watchword_core::{AppId, Clock, Entropy, TemplateSettings, Templates};
use watchword_providers::{
    Builder, CallbackDesk, Courier, CourierParts, InvalidRoute, KeptMessages, Observer,
};

use crate::config::{Config, Fault};
use crate::telemetry::trace_context;

/// Makes the courier, and the desk for the callbacks of its providers. Opens no connection, but
/// reads the certificate files of providers.
///
/// # Errors
/// Every provider that cannot be made of its settings, or else what is wrong with the routes.
pub(crate) fn courier(
    config: &Config,
    inbox: Option<Arc<KeptMessages>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn Observer>,
) -> Result<(Courier, CallbackDesk), Vec<Fault>> {
    let traced = config.telemetry.otlp_endpoint.is_some();
    let mut builder = Builder::new(Arc::clone(&clock), inbox)
        .called_back_at(config.public_url.as_deref())
        .traced(traced.then_some(trace_context));
    let (mut providers, mut faults) = (Vec::new(), Vec::new());
    for (name, settings) in &config.providers {
        match builder.build(name, settings) {
            Ok(provider) => providers.push(provider),
            Err(error) => {
                let path = format!("providers.{name}.{}", error.setting);
                faults.push(Fault::at(path, error.fault));
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let desk = CallbackDesk::new(providers.clone());
    let parts = CourierParts {
        providers,
        routes: config.channels.clone(),
        templates: templates("templates", &config.templates)?,
        app_templates: app_templates(config)?,
        duplicates: Duplicates::default(),
        clock,
        entropy,
        observer,
    };
    // Its text begins with the path.
    let courier = Courier::new(parts)
        .map_err(|error: InvalidRoute| vec![Fault::general(error.to_string())])?;
    Ok((courier, desk))
}

fn app_templates(config: &Config) -> Result<BTreeMap<AppId, Templates>, Vec<Fault>> {
    let own = config
        .apps
        .iter()
        .filter_map(|(id, app)| Some((id, app.templates.as_ref()?)));
    own.map(|(id, settings)| Ok((id.clone(), templates("apps.templates", settings)?)))
        .collect()
}

fn templates(path: &str, settings: &TemplateSettings) -> Result<Templates, Vec<Fault>> {
    Templates::new(settings).map_err(|error| vec![Fault::at(path, error.to_string())])
}
