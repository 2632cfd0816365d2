//! The clock of this machine, against what providers say the time is.

use watchword_providers::probe::Verdict;

use super::report::Check;

/// Signatures and tokens are refused by clocks further apart than minutes; half a minute is far
/// enough to look at.
const WARNED: i64 = 30;

/// `ahead` has, by provider, by how many milliseconds our clock is ahead.
pub(super) fn judge(ahead: &[(String, i64)]) -> Check {
    let furthest = ahead.iter().max_by_key(|(_, millis)| millis.abs());
    let Some((provider, millis)) = furthest else {
        return Check::new(
            Verdict::Unknown,
            "clock",
            "time",
            "no provider told the time",
            "see whether this machine's clock is set by NTP",
        );
    };
    let seconds = (millis + millis.signum() * 500) / 1000;
    let apart = match seconds {
        0 => format!("within a second of that of {provider}"),
        1.. => format!("{seconds} s ahead of that of {provider}"),
        _ => format!("{} s behind that of {provider}", -seconds),
    };
    if seconds.abs() > WARNED {
        let advice = "have it set by NTP: signatures and tokens are refused by clocks that are \
                      too far apart";
        return Check::new(Verdict::Warning, "clock", "time", apart, advice);
    }
    Check::ok("clock", "time", apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ahead: &[i64]) -> (Verdict, String) {
        let named = ahead.iter().zip(["tw", "meta"]);
        let ahead: Vec<_> = named.map(|(ms, name)| (name.to_owned(), *ms)).collect();
        judge(&ahead).told()
    }

    #[test]
    fn the_clock_that_is_furthest_away_decides() {
        for (ahead, verdict, part) in [
            (&[200, -300][..], Verdict::Ok, "within a second of"),
            (&[30_400, 0], Verdict::Ok, "30 s ahead of that of tw"),
            (&[0, 31_000], Verdict::Warning, "31 s ahead of that of meta"),
            (
                &[-90_000, 5_000],
                Verdict::Warning,
                "90 s behind that of tw",
            ),
            (&[], Verdict::Unknown, "no provider told the time"),
        ] {
            let (found, line) = told(ahead);
            assert_eq!(found, verdict, "{line}");
            assert!(line.contains(part), "{line}");
        }
    }
}
