//! Counters by channel, provider and country.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use watchword_core::{Channel, Region};

/// Where there is none: an address, a number of no country, a code that its caller carries.
const NONE: &str = "none";

/// Two letters, or none.
const COUNTRIES: usize = 26 * 26 + 1;

type Labels = [(&'static str, String); 3];

/// One family. A member is made when it is first needed and found by its place from then on: there
/// are as many as countries that codes were sent to, not as there are countries.
pub(super) struct ByCountry {
    family: Family<Labels, Counter>,
    /// The last one is of no provider.
    providers: Vec<OfProvider>,
}

struct OfProvider {
    name: String,
    channels: [OnceLock<Box<[OnceLock<Counter>]>>; Channel::ALL.len()],
}

impl ByCountry {
    /// Adds the family. Providers are asked for by their place in `names`.
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str, names: &[String]) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        let names = names.iter().map(String::as_str).chain([NONE]);
        let providers = names.map(|name| OfProvider {
            name: name.to_owned(),
            channels: Default::default(),
        });
        Self {
            family,
            providers: providers.collect(),
        }
    }

    /// Counts one, and says how many there were.
    pub(super) fn inc(
        &self,
        channel: Channel,
        provider: Option<usize>,
        country: Option<Region>,
    ) -> u64 {
        let last = self.providers.len() - 1;
        let provider = &self.providers[provider.map_or(last, |place| place.min(last))];
        let countries = provider.channels[channel as usize]
            .get_or_init(|| (0..COUNTRIES).map(|_| OnceLock::new()).collect());
        let counter = countries[place(country)].get_or_init(|| {
            self.family.get_or_create_owned(&[
                ("channel", channel.as_str().to_owned()),
                ("provider", provider.name.clone()),
                (
                    "country",
                    country.map_or_else(|| NONE.to_owned(), |it| it.to_string()),
                ),
            ])
        });
        counter.inc()
    }
}

fn place(country: Option<Region>) -> usize {
    let Some(country) = country else {
        return COUNTRIES - 1;
    };
    let [first, second] = country.letters().map(|letter| usize::from(letter - b'A'));
    (first * 26 + second).min(COUNTRIES - 1)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn each_country_provider_and_channel_is_counted_for_itself() {
        let mut registry = Registry::default();
        let names = ["tw".to_owned(), "meta".to_owned()];
        let counted = ByCountry::new(&mut registry, "started", "Started", &names);
        let country = |code: &str| Some(code.parse().unwrap());
        counted.inc(Channel::Sms, Some(0), country("DE"));
        counted.inc(Channel::Sms, Some(0), country("DE"));
        counted.inc(Channel::Sms, Some(1), country("ZW"));
        counted.inc(Channel::Whatsapp, Some(0), country("AC"));
        counted.inc(Channel::Email, None, None);
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        let mut lines: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "started_total{channel=\"email\",provider=\"none\",country=\"none\"} 1",
                "started_total{channel=\"sms\",provider=\"meta\",country=\"ZW\"} 1",
                "started_total{channel=\"sms\",provider=\"tw\",country=\"DE\"} 2",
                "started_total{channel=\"whatsapp\",provider=\"tw\",country=\"AC\"} 1",
            ]
        );
    }
}
