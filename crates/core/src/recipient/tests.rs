use proptest::prelude::*;

use super::*;

/// How numbers are read in a region, or in none if it is empty.
pub(super) fn rules(region: &str, strict: bool) -> NumberRules {
    let default_region = (!region.is_empty()).then(|| region.parse().unwrap());
    NumberRules {
        default_region,
        strict,
    }
}

#[test]
fn a_masked_recipient_shows_its_ends_only() {
    let masked = |canonical| Recipient::from_canonical(canonical).masked();
    assert_eq!(masked("+15555550123"), "+1••••••0123");
    assert_eq!(masked("+442079460018"), "+44••••••0018");
    assert_eq!(masked("+4930901820"), "+49••••••20");
    assert_eq!(masked("+2902345"), "+290•••5");
    assert_eq!(masked("+12"), "+1•");
    assert_eq!(masked("+20"), "+••");
    assert_eq!(masked("alice@example.com"), "a••••@example.com");
    assert_eq!(masked("al@example.com"), "••••@example.com");
    assert_eq!(masked("a@example.com"), "••••@example.com");
    let recipient = Recipient::parse("+14155550123", &NumberRules::default()).unwrap();
    assert_eq!(format!("{recipient:?}"), "Phone(+1••••••0123)");
    let recipient = Recipient::parse("alice@example.com", &NumberRules::default()).unwrap();
    assert_eq!(format!("{recipient:?}"), "Email(a••••@example.com)");
}

#[test]
fn an_at_sign_makes_it_an_address() {
    let kind = |raw| Recipient::parse(raw, &rules("US", true)).map(|recipient| recipient.kind());
    assert_eq!(kind("alice@example.com"), Ok(RecipientKind::Email));
    assert_eq!(kind("4155550123"), Ok(RecipientKind::Phone));
    assert_eq!(kind("+14155550123@example.com"), Ok(RecipientKind::Email));
    assert_eq!(kind("alice"), Err(InvalidRecipient::Letters));
}

#[test]
fn errors_never_hold_what_was_typed() {
    for raw in [
        "+1415555012x99",
        "4915551234",
        "secret.name@bad_domain.example",
        "sécret@example.com",
    ] {
        let error = Recipient::parse(
            raw,
            &NumberRules {
                default_region: None,
                strict: true,
            },
        )
        .unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("4155550") && !shown.contains("49155") && !shown.contains("cret"),
            "{shown}"
        );
    }
}

#[test]
fn regions_are_those_with_phone_numbers() {
    for code in ["US", "us", "DE", "XK", "AC"] {
        assert_eq!(
            code.parse::<Region>().map(|region| region.to_string()),
            Ok(code.to_uppercase())
        );
    }
    for code in ["", "U", "USA", "ZZ", "AA", "001", "1A", "é", "U "] {
        assert_eq!(code.parse::<Region>(), Err(UnknownRegion), "{code:?}");
    }
    assert_eq!(
        serde_json::from_str::<Region>("\"de\"").unwrap(),
        "DE".parse().unwrap()
    );
    assert_eq!(
        serde_json::to_string(&"de".parse::<Region>().unwrap()).unwrap(),
        "\"DE\""
    );
}

proptest! {
    #[test]
    fn no_text_panics_and_what_comes_out_is_canonical(raw in "\\PC{0,32}|[\\x00-\\x7f]{0,40}|[a-zA-Z0-9.@+-]{0,40}|[0-9+() -]{0,24}") {
        let rules = rules("US", false);
        if let Ok(recipient) = Recipient::parse(&raw, &rules) {
            let again = Recipient::parse(recipient.canonical(), &rules);
            prop_assert_eq!(again.as_ref(), Ok(&recipient));
            prop_assert!(recipient.canonical().is_ascii());
            prop_assert_eq!(Recipient::from_canonical(recipient.canonical()), recipient.clone());
            prop_assert!(!recipient.masked().contains(recipient.canonical()));
        }
    }
}
