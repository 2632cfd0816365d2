//! What a server has to be before it is trusted.

use redis::{RedisError, Value};
use watchword_core::keys::KeyRing;

use super::call::{Call, Names};
use super::refused::RedisRefused;
use super::reply::{list, text};
use super::script;
use super::server::Server;
use super::servers::Servers;
use super::url::{RedisUrl, Shape};

/// The first version whose scripts and options are those that the steps use.
const OLDEST: (u32, u32) = (6, 2);

/// Looks at every server that keeps keys.
pub(super) async fn inspect(servers: &Servers, url: &RedisUrl) -> Result<(), RedisRefused> {
    let unreachable = |source| RedisRefused::Unreachable {
        url: url.to_string(),
        source,
    };
    let cluster = url.shape == Shape::Cluster;
    for server in servers.topology.masters().await.map_err(unreachable)? {
        let info = info(&server, "server").await.map_err(unreachable)?;
        let name = server.address.to_string();
        check_version(&info, &name)?;
        match field(&info, "redis_mode") {
            Some("cluster") if !cluster => return Err(RedisRefused::IsCluster { server: name }),
            Some("standalone") if cluster => {
                return Err(RedisRefused::NoCluster { server: name });
            }
            _ => {}
        }
        match policy(&server).await.map_err(unreachable)? {
            Some(policy) if policy != "noeviction" => {
                return Err(RedisRefused::Evicts {
                    server: name,
                    policy,
                });
            }
            Some(_) => {}
            None => tracing::warn!(
                server = name,
                "the server does not say its maxmemory-policy: make sure that it is noeviction, or \
                 limits, locks and attempts are thrown away when its memory is full"
            ),
        }
    }
    Ok(())
}

async fn info(server: &Server, section: &str) -> Result<String, RedisError> {
    let mut command = redis::cmd("INFO");
    command.arg(section);
    let answer = server.ask(command).await?;
    Ok(match answer {
        Value::VerbatimString { text, .. } => text,
        answer => text(&answer).unwrap_or_default(),
    })
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn check_version(info: &str, server: &str) -> Result<(), RedisRefused> {
    // Valkey says 7.2.4 or later here, and its own version beside it.
    let found = field(info, "redis_version").unwrap_or("unknown");
    let mut numbers = found.split('.').map(|number| number.parse::<u32>().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    if field(info, "valkey_version").is_none() && version.is_none_or(|version| version < OLDEST) {
        return Err(RedisRefused::TooOld {
            server: server.to_owned(),
            found: found.to_owned(),
        });
    }
    Ok(())
}

/// What happens when the memory is full. Managed servers forbid `CONFIG`, and some `INFO`.
async fn policy(server: &Server) -> Result<Option<String>, RedisError> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("maxmemory-policy");
    if let Ok(answer) = server.ask(command).await
        && let Some([_, policy]) = list(answer).as_deref()
    {
        return Ok(text(policy));
    }
    let memory = info(server, "memory").await;
    Ok(memory
        .ok()
        .and_then(|memory| field(&memory, "maxmemory_policy").map(str::to_owned)))
}

/// Refuses data that was made under another secret: every code would be wrong and every recipient
/// a stranger, without anybody knowing why.
pub(super) async fn check_secrets(
    servers: &Servers,
    names: &Names,
    url: &RedisUrl,
    keys: &KeyRing,
) -> Result<(), RedisRefused> {
    // The one that recipients are indexed under comes last.
    let ids = keys.ids().into_iter();
    let ids: Vec<String> = ids
        .map(|id| format!("{:08x}", u32::from_be_bytes(id.to_bytes())))
        .collect();
    let call = Call::new(&script::REMEMBER_KEYS, names.secrets()).text(ids.join(" "));
    let answer = servers
        .call(&call)
        .await
        .map_err(|source| RedisRefused::Unwritable {
            url: url.to_string(),
            source,
        })?;
    match text(&answer).as_deref() {
        Some("foreign") => Err(RedisRefused::WrongKey {
            url: url.to_string(),
        }),
        Some("reindexed") => {
            tracing::warn!(
                storage = %url,
                "the key that recipients were indexed under is not the last of secret_keys any \
                 more: limits, failure counts and locks of recipients begin anew"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(info: &str) -> Result<(), RedisRefused> {
        check_version(info, "h:1")
    }

    #[test]
    fn redis_from_6_2_on_and_any_valkey_will_do() {
        assert!(version("# Server\r\nredis_version:6.2.0\r\n").is_ok());
        assert!(version("redis_version:7.0.15\r\n").is_ok());
        assert!(version("redis_version:10.0.1\r\n").is_ok());
        assert!(version("redis_version:1.0\r\nvalkey_version:9.1.0\r\n").is_ok());
        for old in ["redis_version:6.0.16\r\n", "redis_version:2.8.0", "nothing"] {
            let refused = version(old).unwrap_err();
            assert!(
                matches!(refused, RedisRefused::TooOld { .. }),
                "{refused:?}"
            );
        }
    }
}
