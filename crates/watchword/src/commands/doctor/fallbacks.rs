//! Channels that wait for a receipt before the next one has its turn.

use std::collections::BTreeSet;

use watchword_providers::probe::Verdict;

use super::accounts::can_report;
use super::report::Check;
use crate::config::Config;

/// Providers whose messages never count as arrived make every code travel twice.
pub(super) fn look(config: &Config) -> Vec<Check> {
    let waiting = config.fallback_after.iter();
    waiting
        .filter_map(|(channel, span)| {
            let route = config.channels.get(channel)?;
            let names: BTreeSet<&String> = route.lists().flatten().collect();
            let mute = names.into_iter().filter(|name| {
                let settings = config.providers.get(*name);
                settings
                    .is_some_and(|settings| !can_report(settings) || config.public_url.is_none())
            });
            let mute: Vec<&str> = mute.map(String::as_str).collect();
            let subject = format!("channels.{channel}");
            let seconds = span.as_secs();
            if mute.is_empty() {
                let said = format!("after {seconds} s without a receipt the next channel is used");
                return Some(Check::ok(subject, "fallback", said));
            }
            let said = format!(
                "nothing tells whether messages of {} arrived, so after {seconds} s the next \
                 channel is used every time",
                mute.join(", ")
            );
            let advice = "set what receipts need (`public_url`, and the settings named above), or \
                          leave `fallback_after` out for this channel";
            Some(Check::new(
                Verdict::Warning,
                subject,
                "fallback",
                said,
                advice,
            ))
        })
        .collect()
}
