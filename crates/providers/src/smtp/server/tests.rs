use super::*;

fn parse(url: &str) -> Result<Server, String> {
    Server::parse(url, Vec::new(), "example.com")
}

fn protection(server: &Server) -> &'static str {
    match server.protection {
        Protection::Implicit(_) => "implicit",
        Protection::Required(_) => "required",
        Protection::Opportunistic(_) => "opportunistic",
        Protection::Plain => "plain",
    }
}

#[test]
fn a_url_says_where_mail_goes_and_how_it_is_protected() {
    for (url, host, port, how) in [
        (
            "smtps://mail.example.com",
            "mail.example.com",
            465,
            "implicit",
        ),
        (
            "smtps://mail.example.com:2465/?tls=required",
            "mail.example.com",
            2465,
            "implicit",
        ),
        (
            "smtp://mail.example.com?tls=required",
            "mail.example.com",
            587,
            "required",
        ),
        (
            "smtp://mail.example.com:25?tls=opportunistic",
            "mail.example.com",
            25,
            "opportunistic",
        ),
        ("smtp://mailpit:1025?tls=none", "mailpit", 1025, "plain"),
        ("smtp://localhost:1025", "localhost", 1025, "plain"),
        ("smtp://127.0.0.1", "127.0.0.1", 25, "plain"),
        ("smtp://[::1]:1025", "::1", 1025, "plain"),
        ("smtp://u:p@localhost:1025", "localhost", 1025, "plain"),
        ("smtp://u:p@127.0.0.1?tls=none", "127.0.0.1", 25, "plain"),
    ] {
        let server = parse(url).unwrap_or_else(|fault| panic!("{url} {fault}"));
        assert_eq!(server.host, host, "{url}");
        assert_eq!(server.port, port, "{url}");
        assert_eq!(protection(&server), how, "{url}");
    }
}

#[test]
fn user_and_password_are_percent_decoded() {
    let server = parse("smtps://ann%40example.com:p%2Fw%3A%40%C3%A9@mail.example.com").unwrap();
    let expected = Credentials::new("ann@example.com".to_owned(), "p/w:@é".to_owned());
    assert!(server.credentials == Some(expected));
    assert!(
        parse("smtps://mail.example.com")
            .unwrap()
            .credentials
            .is_none()
    );
}

#[test]
fn codes_and_passwords_never_travel_in_the_clear_unless_that_is_said() {
    for (url, part) in [
        ("smtp://mail.example.com", "in the clear"),
        ("smtp://u:p@mail.example.com", "in the clear"),
        ("smtp://10.0.0.5:25", "in the clear"),
        ("smtp://localhost.example.com", "in the clear"),
        (
            "smtp://u:hunter2@mail.example.com?tls=none",
            "a password in the clear",
        ),
        ("smtps://mail.example.com?tls=none", "smtps"),
        ("smtps://mail.example.com?tls=opportunistic", "smtps"),
    ] {
        let fault = parse(url)
            .err()
            .unwrap_or_else(|| panic!("{url} was taken"));
        assert!(fault.contains(part), "{url}: {fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}

#[test]
fn a_url_that_cannot_be_understood_is_refused_without_being_shown() {
    for url in [
        "",
        "mail.example.com",
        "http://u:hunter2@mail.example.com",
        "smtp://",
        "smtp://u:hunter2@:25?tls=required",
        "smtps://u:hunter2@mail.example.com/inbox",
        "smtps://u:hunter2@mail.example.com#x",
        "smtp://mail.example.com?tls=yes",
        "smtp://mail.example.com?tls=required&tls=none",
        "smtp://mail.example.com?starttls=required",
        "smtps://hunter2@mail.example.com",
        "smtps://:hunter2@mail.example.com",
        "smtps://u:hunter2%FF@mail.example.com",
        "smtps://u:hunter2@mail.example.com:99999",
    ] {
        let fault = parse(url)
            .err()
            .unwrap_or_else(|| panic!("{url} was taken"));
        assert!(!fault.contains("hunter2"), "{url}: {fault}");
    }
}
