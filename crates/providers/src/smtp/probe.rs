//! Looking at a mail server: everything that comes before a mail.

use std::time::Duration;

use tokio::time::timeout;
use watchword_core::routing::{Class, Detail, Outcome};

use super::connection::Progress;
use super::pool::Pool;
use super::reply::Stage;
use crate::probe::{Finding, Probed, Silence};

/// Connects, protects the connection, authenticates, and says goodbye.
pub(super) async fn look(pool: &Pool, limit: Duration) -> Probed {
    let progress = Progress::default();
    let finding = match timeout(limit, pool.look(&progress)).await {
        Ok(Ok((encrypted, authenticated))) => well(encrypted, authenticated),
        Ok(Err(trouble)) => trouble_at(progress.stage(), &trouble.outcome()),
        Err(_) => {
            let (said, _) = Silence::Timeout.told(limit);
            let said = format!("{said} to {}", command(progress.stage()));
            let advice = "see whether host and port in `url` are right (smtps:// is TLS from the \
                          start, smtp:// is not), and whether this machine may connect there";
            Finding::problem(about(progress.stage()), said, advice)
        }
    };
    Probed {
        findings: vec![finding],
        ahead: None,
    }
}

fn well(encrypted: bool, authenticated: bool) -> Finding {
    let login = match authenticated {
        true => "the login is right",
        false => "no login is configured",
    };
    if encrypted {
        return Finding::ok(
            "login",
            format!("the mail server answers over TLS; {login}"),
        );
    }
    let said = format!("the mail server answers without TLS; {login}");
    Finding::ok("login", said)
}

const fn about(stage: Stage) -> &'static str {
    match stage {
        Stage::Auth => "login",
        _ => "connection",
    }
}

const fn command(stage: Stage) -> &'static str {
    match stage {
        Stage::Tls => "STARTTLS",
        Stage::Auth => "AUTH",
        _ => "the connection",
    }
}

/// What a refusal or a fault at this point means. The text of the reply is not looked at.
fn trouble_at(stage: Stage, outcome: &Outcome) -> Finding {
    let about = about(stage);
    let (word, reply) = match outcome.detail() {
        Some(Detail::Word(word)) => (word, None),
        Some(Detail::Smtp { reply, .. }) => ("", Some(reply)),
        _ => ("", None),
    };
    let seen = reply.map(|code| format!(" ({code})")).unwrap_or_default();
    let silence = match word {
        "certificate" => Some(Silence::Certificate),
        "tls" => Some(Silence::Tls),
        "connect" => Some(Silence::Connect),
        "connection_lost" => Some(Silence::Lost),
        _ => None,
    };
    if let Some(silence) = silence {
        let (said, advice) = silence.told(Duration::ZERO);
        let advice = match silence {
            Silence::Certificate => {
                "see whether the host in `url` is the one in the certificate; name the authority \
                 with `ca_file` if it is your own"
            }
            Silence::Tls => "see whether the port in `url` fits: smtps:// is TLS from the start",
            Silence::Connect => {
                "see whether host and port in `url` are right, and whether this machine may \
                 connect there: many networks close port 25"
            }
            _ => advice,
        };
        return Finding::problem(about, said, advice);
    }
    match (word, stage) {
        ("no_starttls", _) => Finding::problem(
            "connection",
            "the server does not offer STARTTLS",
            "write smtps:// and the port for it in `url`, if the server has TLS there",
        ),
        ("no_common_authentication", _) => Finding::problem(
            about,
            "the server offers neither PLAIN nor LOGIN",
            "allow one of them at the server, or leave user and password out of `url`",
        ),
        (_, Stage::Auth) if *outcome.class() == Class::Misconfigured => Finding::problem(
            about,
            format!("the login was refused{seen}"),
            "correct user and password in `url`; they are percent-encoded there",
        ),
        _ if *outcome.class() == Class::Misconfigured => Finding::problem(
            about,
            format!("the server does not want to talk{seen}"),
            "see whether it allows this machine, and whether host and port in `url` are right",
        ),
        _ => Finding::warning(
            about,
            format!("the server is not ready{seen}"),
            "try again later; see the log of the mail server",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Verdict;
    use crate::smtp::reply::classify;

    #[test]
    fn a_refused_login_names_the_setting_and_a_busy_server_is_no_problem() {
        let refused = trouble_at(Stage::Auth, &classify(Stage::Auth, 535, "5.7.8 hunter2?"));
        assert_eq!(
            (refused.about, refused.verdict),
            ("login", Verdict::Problem)
        );
        assert_eq!(refused.said, "the login was refused (535)");
        assert!(refused.advice.unwrap().contains("`url`"));

        let busy = trouble_at(Stage::Connect, &classify(Stage::Connect, 421, "later"));
        assert_eq!((busy.about, busy.verdict), ("connection", Verdict::Warning));
    }

    #[test]
    fn each_fault_before_a_mail_says_what_to_look_at() {
        for (word, stage, part) in [
            ("certificate", Stage::Connect, "`ca_file`"),
            ("tls", Stage::Connect, "smtps://"),
            ("connect", Stage::Connect, "port 25"),
            ("no_starttls", Stage::Tls, "smtps://"),
            ("no_common_authentication", Stage::Auth, "`url`"),
        ] {
            let outcome = Outcome::new(Class::Misconfigured).with(Detail::Word(word));
            let finding = trouble_at(stage, &outcome);
            assert_eq!(finding.verdict, Verdict::Problem, "{word}");
            let advice = finding.advice.unwrap();
            assert!(advice.contains(part), "{word}: {advice}");
        }
    }
}
