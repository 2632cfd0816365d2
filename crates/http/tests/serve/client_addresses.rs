//! Whom a request is attributed to, whatever its headers say.

use std::net::IpAddr;

use axum::http::header::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use watchword_http::client_address::{
    ClientAddress, ForwardingHeader, InvalidProxy, SourceKey, TrustedProxies,
};

const TRUSTED: [&str; 4] = ["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48", "fd00::1"];

fn proxies(header: ForwardingHeader) -> TrustedProxies {
    TrustedProxies::parse(header, TRUSTED).unwrap()
}

/// The client found for `peer` with the header's `lines`, one header line each.
fn client(header: ForwardingHeader, peer: &str, lines: &str) -> String {
    let name = match header {
        ForwardingHeader::XForwardedFor => "x-forwarded-for",
        ForwardingHeader::Forwarded => "forwarded",
    };
    let mut headers = HeaderMap::new();
    for line in lines.split('\n') {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    proxies(header)
        .client(peer.parse().unwrap(), &headers)
        .to_string()
}

#[test]
fn x_forwarded_for_is_read_from_the_right_until_a_hop_is_not_ours() {
    let long = format!("{} 203.0.113.9", "198.51.100.1, ".repeat(800));
    let long_trusted = format!("203.0.113.9{}", ", 10.1.2.3".repeat(1000));
    let table = [
        // (what, header lines, client); the peer is 10.0.0.1
        ("one hop", "203.0.113.9", "203.0.113.9"),
        (
            "spoofed left entry",
            "198.51.100.7, 203.0.113.9",
            "203.0.113.9",
        ),
        (
            "spoofed trusted entry",
            "10.9.9.9, 203.0.113.9",
            "203.0.113.9",
        ),
        (
            "two trusted hops",
            "203.0.113.9, 10.0.0.2, 192.0.2.1",
            "203.0.113.9",
        ),
        ("all hops trusted", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (
            "two lines, the last nearest",
            "198.51.100.7\n203.0.113.9",
            "203.0.113.9",
        ),
        (
            "two lines, one list",
            "203.0.113.9\n10.0.0.2",
            "203.0.113.9",
        ),
        (
            "three lines",
            "1.1.1.1\n203.0.113.9, 10.0.0.3\n10.0.0.2",
            "203.0.113.9",
        ),
        ("empty header", "", "10.0.0.1"),
        ("empty elements", " , 203.0.113.9 ,, ", "203.0.113.9"),
        ("no white space", "203.0.113.9,10.0.0.2", "203.0.113.9"),
        ("tabs", "\t203.0.113.9\t,\t10.0.0.2", "203.0.113.9"),
        ("port", "203.0.113.9:4711", "203.0.113.9"),
        ("bad port", "203.0.113.9:x", "10.0.0.1"),
        ("IPv6", "2001:db8::9", "2001:db8::9"),
        ("IPv6, bracketed", "[2001:db8::9]", "2001:db8::9"),
        ("IPv6, bracketed, port", "[2001:db8::9]:4711", "2001:db8::9"),
        ("IPv6, bracket open", "[2001:db8::9", "10.0.0.1"),
        ("IPv6, rubbish after it", "[2001:db8::9]x", "10.0.0.1"),
        (
            "IPv6, another spelling",
            "2001:DB8:0:0:0:0:0:9",
            "2001:db8::9",
        ),
        ("zone", "fe80::9%eth0", "fe80::9"),
        ("zone, bracketed", "[fe80::9%25eth0]:80", "fe80::9"),
        ("zone on IPv4", "203.0.113.9%eth0", "10.0.0.1"),
        ("quoted", "\"203.0.113.9\"", "203.0.113.9"),
        ("quote left open", "\"203.0.113.9", "10.0.0.1"),
        ("mapped hop", "::ffff:203.0.113.9", "203.0.113.9"),
        (
            "mapped trusted hop",
            "203.0.113.9, ::ffff:10.0.0.2",
            "203.0.113.9",
        ),
        (
            "mapped trusted hop in hex",
            "203.0.113.9, [::ffff:a00:2]:1",
            "203.0.113.9",
        ),
        ("unknown", "203.0.113.9, unknown", "10.0.0.1"),
        ("hidden", "203.0.113.9, _hidden, 10.0.0.2", "10.0.0.2"),
        (
            "garbage on the left is not looked at",
            "<script>, 203.0.113.9",
            "203.0.113.9",
        ),
        (
            "garbage after a trusted hop",
            "203.0.113.9, <script>, 10.0.0.2",
            "10.0.0.2",
        ),
        ("leading zeros", "203.0.113.009", "10.0.0.1"),
        ("an integer", "3405803785", "10.0.0.1"),
        ("a name", "localhost", "10.0.0.1"),
        ("not ASCII", "203.0.113.９", "10.0.0.1"),
        ("10 KiB, the last counts", &long, "203.0.113.9"),
        ("10 KiB of trusted hops", &long_trusted, "203.0.113.9"),
    ];
    for (what, lines, expected) in table {
        let found = client(ForwardingHeader::XForwardedFor, "10.0.0.1", lines);
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn the_header_counts_only_from_a_trusted_peer_however_that_is_written() {
    let table = [
        // (what, peer, header lines, client)
        ("untrusted", "203.0.113.5", "198.51.100.7", "203.0.113.5"),
        (
            "untrusted, mapped",
            "::ffff:203.0.113.5",
            "198.51.100.7",
            "203.0.113.5",
        ),
        (
            "untrusted, claims to be ours",
            "203.0.113.5",
            "10.0.0.1",
            "203.0.113.5",
        ),
        ("mapped", "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (
            "IPv6",
            "2001:db8:ffff::1",
            "2001:db8::9, fd00:0:0::1",
            "2001:db8::9",
        ),
    ];
    for (what, peer, lines, expected) in table {
        let found = client(ForwardingHeader::XForwardedFor, peer, lines);
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn only_the_configured_header_is_read() {
    let mut headers = HeaderMap::new();
    let others = [
        "x-real-ip",
        "cf-connecting-ip",
        "true-client-ip",
        "x-forwarded-for",
    ];
    for name in others {
        headers.append(name, HeaderValue::from_static("198.51.100.7"));
    }
    let proxies = proxies(ForwardingHeader::Forwarded);
    let peer = "10.0.0.1".parse().unwrap();
    assert_eq!(proxies.client(peer, &headers).to_string(), "10.0.0.1");
    headers.append("forwarded", HeaderValue::from_static("for=203.0.113.9"));
    assert_eq!(proxies.client(peer, &headers).to_string(), "203.0.113.9");
}

#[test]
fn forwarded_is_read_as_rfc_7239_writes_it() {
    let table = [
        // (what, header lines, client); the peer is 10.0.0.1
        ("token", "for=203.0.113.9", "203.0.113.9"),
        ("name in any case", "FOR=203.0.113.9", "203.0.113.9"),
        (
            "with port, quoted",
            "for=\"203.0.113.9:4711\"",
            "203.0.113.9",
        ),
        (
            "IPv6",
            "For=\"[2001:db8:cafe::17]:4711\"",
            "2001:db8:cafe::17",
        ),
        (
            "among parameters",
            "proto=https;for=203.0.113.9;by=10.0.0.1;host=a",
            "203.0.113.9",
        ),
        (
            "white space",
            " for=203.0.113.9 ; proto=http , for=10.0.0.2 ",
            "203.0.113.9",
        ),
        (
            "spoofed left entry",
            "for=198.51.100.7, for=203.0.113.9",
            "203.0.113.9",
        ),
        (
            "two trusted hops",
            "for=203.0.113.9, for=10.0.0.2;by=10.0.0.1",
            "203.0.113.9",
        ),
        (
            "two lines",
            "for=198.51.100.7\nfor=203.0.113.9",
            "203.0.113.9",
        ),
        ("unknown", "for=203.0.113.9, for=unknown", "10.0.0.1"),
        (
            "hidden",
            "for=203.0.113.9, for=_gazonk, for=10.0.0.2",
            "10.0.0.2",
        ),
        ("hidden port", "for=\"203.0.113.9:_p\"", "203.0.113.9"),
        ("no for", "for=203.0.113.9, proto=https", "10.0.0.1"),
        ("two fors", "for=198.51.100.7;for=203.0.113.9", "10.0.0.1"),
        (
            "comma in a quoted string",
            "for=203.0.113.9;note=\"a, for=198.51.100.7\"",
            "203.0.113.9",
        ),
        (
            "an open quote swallows nothing",
            "for=\"198.51.100.7, for=203.0.113.9",
            "203.0.113.9",
        ),
        (
            "an open quote in a line of its own",
            "for=\"198.51.100.7\nfor=203.0.113.9;by=\"[::1]\"",
            "203.0.113.9",
        ),
        (
            "an escaped quote does not close",
            r#"for=203.0.113.9;host="a\", for=198.51.100.7""#,
            "203.0.113.9",
        ),
        (
            "a quote behind an escaped backslash does",
            r#"for=198.51.100.7;x=", for=203.0.113.9;host="a\\""#,
            "203.0.113.9",
        ),
        (
            "a quote behind three backslashes does not",
            r#"for=203.0.113.9;host="a\\\", for=198.51.100.7""#,
            "203.0.113.9",
        ),
        ("empty", "", "10.0.0.1"),
        ("empty elements", ", for=203.0.113.9,", "203.0.113.9"),
        ("mapped", "for=\"[::ffff:203.0.113.9]\"", "203.0.113.9"),
    ];
    for (what, lines, expected) in table {
        let found = client(ForwardingHeader::Forwarded, "10.0.0.1", lines);
        assert_eq!(found, expected, "{what}");
    }
    let stranger = client(
        ForwardingHeader::Forwarded,
        "203.0.113.5",
        "for=198.51.100.7",
    );
    assert_eq!(stranger, "203.0.113.5");
}

#[test]
fn every_spelling_of_an_address_is_one_source_and_a_64_is_one_source() {
    let key = |text: &str| SourceKey::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    assert_eq!(
        key("2001:db8:1:2::1"),
        key("2001:0db8:0001:0002:ffff:ffff:ffff:ffff")
    );
    assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    assert_eq!(key("192.0.2.1").to_string(), "192.0.2.1");
    assert_eq!(key("2001:db8:1:2:3:4:5:6").to_string(), "2001:db8:1:2::/64");
    let prefix = |text: &str| {
        ClientAddress::new(text.parse().unwrap())
            .source_prefix()
            .to_string()
    };
    assert_eq!(prefix("::ffff:192.0.2.1"), "192.0.2.1/32");
    assert_eq!(prefix("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
}

#[test]
fn ten_thousand_addresses_of_a_64_are_one_source() {
    let keys: std::collections::HashSet<_> = (0..10_000_u128)
        .map(|n| 0x2001_0db8_0001_0002_u128 << 64 | n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .map(|bits| {
            SourceKey::from(IpAddr::V6(
                (bits & (u128::MAX >> 64) | 0x2001_0db8_0001_0002_u128 << 64).into(),
            ))
        })
        .collect();
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_trusted_network_is_one_whichever_way_it_is_written() {
    let parse = |text: &str| TrustedProxies::parse(ForwardingHeader::default(), [text]);
    let trusts =
        |network: &str, address: &str| parse(network).unwrap().trusts(address.parse().unwrap());
    assert!(trusts("::ffff:10.0.0.0/104", "10.200.0.1"));
    assert!(trusts("10.0.0.0/8", "::ffff:10.200.0.1"));
    assert!(trusts(" 10.1.2.3 ", "10.1.2.3"));
    assert!(!trusts("10.1.2.3", "10.1.2.4"));
    assert!(trusts("::/0", "2001:db8::1"));
    assert!(!trusts("::/0", "192.0.2.1"));
    assert!(!TrustedProxies::none().trusts("127.0.0.1".parse().unwrap()));
    for bad in ["", "10.0.0.0/33", "proxy.example", "10.0.0", "10.0.0.0/8/8"] {
        assert_eq!(parse(bad).unwrap_err(), InvalidProxy(bad.to_owned()));
    }
}

proptest! {
    #[test]
    fn what_a_client_writes_never_changes_whom_it_is(left in "[ -~]{0,80}", lines in 0..3_usize) {
        for (header, name, right) in [
            (ForwardingHeader::XForwardedFor, "x-forwarded-for", "203.0.113.9, 10.0.0.2"),
            (ForwardingHeader::Forwarded, "forwarded", "for=203.0.113.9, for=10.0.0.2"),
        ] {
            let mut headers = HeaderMap::new();
            for _ in 0..lines {
                headers.append(name, HeaderValue::from_str(&left).unwrap());
            }
            headers.append(name, HeaderValue::from_str(&format!("{left}, {right}")).unwrap());
            let client = proxies(header).client("10.0.0.1".parse().unwrap(), &headers);
            prop_assert_eq!(client.to_string(), "203.0.113.9");
        }
    }

    #[test]
    fn no_header_matters_when_nobody_is_trusted(value in "[ -~]{0,80}", peer: u32) {
        let peer = IpAddr::V4(peer.into());
        let mut headers = HeaderMap::new();
        for name in ["x-forwarded-for", "forwarded"] {
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        prop_assert_eq!(TrustedProxies::none().client(peer, &headers).ip(), peer);
    }
}
