use super::*;

fn email(raw: &str) -> Result<String, InvalidRecipient> {
    Email::parse(raw).map(|email| email.canonical().to_owned())
}

#[test]
fn spaces_and_the_case_and_script_of_the_domain_do_not_count() {
    for raw in [
        "a.b+c@example.com",
        " a.b+c@example.com ",
        "a.b+c@EXAMPLE.com",
        "a.b+c@Example.Com\n",
        "a.b+c@ex\u{AD}ample.com",
        "a.b+c@example.com\u{200B}",
        "a.b+c@ｅxample.com",
    ] {
        assert_eq!(email(raw), Ok("a.b+c@example.com".into()), "{raw:?}");
    }
    for raw in [
        "x@bücher.example",
        "x@BÜCHER.example",
        "x@xn--bcher-kva.example",
        "x@XN--BCHER-KVA.EXAMPLE",
        "x@bu\u{308}cher.example",
        "x@bücher。example",
    ] {
        assert_eq!(email(raw), Ok("x@xn--bcher-kva.example".into()), "{raw:?}");
    }
    // The Kelvin sign is the letter k to a domain.
    assert_eq!(email("x@\u{212A}ing.example"), Ok("x@king.example".into()));
    // What is before the @ belongs to the receiving server.
    assert_ne!(email("Alice@example.com"), email("alice@example.com"));
}

#[test]
fn what_is_no_plain_address_is_refused() {
    use InvalidRecipient::{Address, AddressTooLong, Control, Domain, Empty, LocalPart};
    for (raw, why) in [
        ("", Empty),
        ("alice", Address),
        ("@example.com", Address),
        ("alice@", Domain),
        ("alice@localhost", Domain),
        ("alice@example.com.", Domain),
        ("alice@.example.com", Domain),
        ("alice@example..com", Domain),
        ("alice@-example.com", Domain),
        ("alice@exam_ple.com", Domain),
        ("alice@[127.0.0.1]", Domain),
        ("alice@[IPv6:::1]", Domain),
        ("alice@127.0.0.1", Domain),
        ("alice@1.2", Domain),
        ("alice@exa mple.com", Domain),
        ("alice@example.com (comment)", Domain),
        ("alice@example.com>", Domain),
        ("alice@xn--a.com", Domain),
        ("alice@example.com,bob@example.com", Address),
        ("alice@example.com;bob@example.com", Address),
        ("alice@example.com bob@example.com", Address),
        ("victim@example.com@attacker.example", Address),
        ("Alice <alice@example.com>", Address),
        ("<alice@example.com>", Domain),
        ("mailto:alice@example.com", Address),
        ("\"alice\"@example.com", Address),
        ("\"a b\"@example.com", Address),
        ("alice(comment)@example.com", Address),
        ("al ice@example.com", Address),
        ("alice\\@example.com", Address),
        (".alice@example.com", Address),
        ("alice.@example.com", Address),
        ("al..ice@example.com", Address),
        ("[\"a@example.com\"]", Address),
        ("al\nice@example.com", Control),
        ("alice@example.com\nBcc: bob@example.com", Control),
        ("alice@example.com\0", Control),
        ("ali\u{131}ce@example.com", LocalPart),
        ("\u{212A}ate@example.com", LocalPart),
        ("älice@example.com", LocalPart),
        (&format!("{}@example.com", "a".repeat(65)), AddressTooLong),
        (&format!("a@{}com", "abcdefghi.".repeat(26)), Domain),
        (
            &format!("{}@{}example", "a".repeat(60), "abcdefghi.".repeat(19)),
            AddressTooLong,
        ),
        (&"a@".repeat(300), AddressTooLong),
    ] {
        assert_eq!(email(raw), Err(why), "{raw:?}");
    }
    assert!(email(&format!("{}@example.com", "a".repeat(64))).is_ok());
}
