use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

/// SplitMix64: as even as chance, and the same in every run.
struct Seeded {
    state: AtomicU64,
    calls: AtomicU64,
}

impl Seeded {
    fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
            calls: AtomicU64::new(0),
        }
    }
}

impl Entropy for Seeded {
    fn fill(&self, dest: &mut [u8]) -> Result<(), EntropyError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        for chunk in dest.chunks_mut(8) {
            let step = 0x9E37_79B9_7F4A_7C15;
            let mut z = self
                .state
                .fetch_add(step, Ordering::Relaxed)
                .wrapping_add(step);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Plays words back, then zeros.
struct Words(parking_lot::Mutex<Vec<u32>>);

impl Entropy for Words {
    fn fill(&self, dest: &mut [u8]) -> Result<(), EntropyError> {
        let mut words = self.0.lock();
        for chunk in dest.chunks_mut(4) {
            let word = if words.is_empty() { 0 } else { words.remove(0) };
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }
}

fn words(words: &[u32]) -> Words {
    Words(parking_lot::Mutex::new(words.to_vec()))
}

fn format(alphabet: Alphabet, length: u8) -> CodeFormat {
    CodeFormat { alphabet, length }
}

fn draw_many(format: CodeFormat, count: usize) -> Vec<String> {
    let entropy = Seeded::new(20_260_101);
    (0..count)
        .map(|_| {
            Code::generate(format, &entropy)
                .unwrap()
                .expose()
                .to_owned()
        })
        .collect()
}

/// How far the counts are from even.
fn chi_square(counts: &[u64]) -> f64 {
    let even = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    counts
        .iter()
        .map(|count| (*count as f64 - even).powi(2) / even)
        .sum()
}

fn count_symbols(codes: &[String], size: u32) -> Vec<u64> {
    let mut counts = vec![0; size as usize];
    for symbol in codes.iter().flat_map(|code| code.bytes()) {
        counts[SYMBOLS.iter().position(|known| *known == symbol).unwrap()] += 1;
    }
    counts
}

#[test]
fn the_digits_of_codes_are_uniform() {
    // 44.8 is passed by chance once in a million runs with 9 degrees of freedom.
    let codes = draw_many(CodeFormat::default(), 200_000);
    let spread = chi_square(&count_symbols(&codes, 10));
    assert!(spread < 44.8, "{spread}");
    for position in 0..6 {
        let column: Vec<_> = codes
            .iter()
            .map(|code| code[position..=position].to_owned())
            .collect();
        let spread = chi_square(&count_symbols(&column, 10));
        assert!(spread < 44.8, "position {position}: {spread}");
    }
}

#[test]
fn the_test_of_uniformity_notices_a_byte_modulo_ten() {
    let entropy = Seeded::new(1);
    let mut bytes = vec![0; 1_200_000];
    entropy.fill(&mut bytes).unwrap();
    let mut counts = [0; 10];
    for byte in bytes {
        counts[usize::from(byte % 10)] += 1;
    }
    assert!(chi_square(&counts) > 44.8);
}

#[test]
fn the_symbols_of_alphanumeric_codes_are_uniform() {
    let codes = draw_many(format(Alphabet::Alphanumeric, 8), 100_000);
    let spread = chi_square(&count_symbols(&codes, 32));
    assert!(spread < 85.0, "{spread}");
}

#[test]
fn a_word_that_would_favour_small_codes_is_rejected() {
    assert_eq!(uniform_below(1_000_000, 4_293_999_999), Some(999_999));
    assert_eq!(uniform_below(1_000_000, 4_294_000_000), None);
    assert_eq!(uniform_below(1_000_000, u32::MAX), None);
    assert_eq!(uniform_below(1 << 30, u32::MAX), Some((1 << 30) - 1));
    assert_eq!(uniform_below(10, 0), Some(0));
}

#[test]
fn rejected_words_are_drawn_again() {
    let entropy = words(&[
        u32::MAX,
        4_294_000_000,
        u32::MAX,
        u32::MAX,
        u32::MAX,
        123_456,
    ]);
    let code = Code::generate(CodeFormat::default(), &entropy).unwrap();
    assert_eq!(code.expose(), "654321");
}

#[test]
fn leading_zeros_are_kept() {
    let zeros = words(&[]);
    for length in CodeFormat::LENGTHS {
        let code = Code::generate(format(Alphabet::Digits, length), &zeros).unwrap();
        assert_eq!(code.expose(), "0".repeat(usize::from(length)));
    }
    let codes = draw_many(CodeFormat::default(), 100_000);
    let with_zero = codes.iter().filter(|code| code.starts_with('0')).count();
    assert!((9_600..=10_400).contains(&with_zero), "{with_zero}");
    assert!(codes.iter().all(|code| code.len() == 6));
}

#[test]
fn codes_repeat_and_follow_each_other_as_chance_has_it() {
    let codes = draw_many(CodeFormat::default(), 100_000);
    let different = codes.iter().collect::<HashSet<_>>().len();
    // 95,163 expected, standard deviation about 67.
    assert!((94_800..=95_500).contains(&different), "{different}");
    let numbers: Vec<f64> = codes.iter().map(|code| code.parse().unwrap()).collect();
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let variance = numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>();
    let lagged = numbers
        .windows(2)
        .map(|w| (w[0] - mean) * (w[1] - mean))
        .sum::<f64>();
    assert!((lagged / variance).abs() < 0.016, "{}", lagged / variance);
}

#[test]
fn codes_have_the_length_and_the_symbols_of_their_format() {
    let entropy = Seeded::new(7);
    for alphabet in [Alphabet::Digits, Alphabet::Alphanumeric] {
        for length in CodeFormat::LENGTHS {
            let code = Code::generate(format(alphabet, length), &entropy).unwrap();
            assert_eq!(code.expose().len(), usize::from(length));
            let symbols = &SYMBOLS[..alphabet.size() as usize];
            assert!(
                code.expose()
                    .bytes()
                    .all(|symbol| symbols.contains(&symbol))
            );
        }
    }
}

#[test]
fn a_code_takes_one_draw() {
    let entropy = Seeded::new(3);
    for _ in 0..1_000 {
        Code::generate(format(Alphabet::Digits, 10), &entropy).unwrap();
    }
    let calls = entropy.calls.load(Ordering::Relaxed);
    assert!((1_000..=1_001).contains(&calls), "{calls}");
}

#[test]
fn without_randomness_there_is_no_code() {
    struct Broken;
    impl Entropy for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }
    assert!(Code::generate(CodeFormat::default(), &Broken).is_err());
}

#[test]
fn fifty_spellings_of_a_code_are_one_code() {
    let mut spellings: Vec<String> = [
        "402718",
        " 402718 ",
        "402718\n",
        "\t402718",
        "402 718",
        "40 27 18",
        "4 0 2 7 1 8",
        "402-718",
        "40-27-18",
        "402\u{2010}718",
        "402\u{2011}718",
        "402\u{2012}718",
        "402\u{2013}718",
        "402\u{2014}718",
        "402\u{2015}718",
        "402\u{2212}718",
        "402\u{FF0D}718",
        "402\u{AD}718",
        "402\u{A0}718",
        "402\u{2009}718",
        "402\u{202F}718",
        "402\u{3000}718",
        "402\u{200B}718",
        "\u{FEFF}402718",
        "\u{200E}402718\u{200F}",
        "\u{2068}402718\u{2069}",
        "402\u{2060}718",
        "4O2718",
        "4o2718",
        "4027I8",
        "4027i8",
        "4027L8",
        "4027l8",
        "4o27l8",
        "-402718-",
        "402\r\n718",
    ]
    .map(str::to_owned)
    .to_vec();
    for zero in [
        0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xE50, 0x1040, 0x17E0,
        0xFF10, 0x1D7CE, 0x1E950,
    ] {
        let digits = [4, 0, 2, 7, 1, 8].map(|digit| char::from_u32(zero + digit).unwrap());
        spellings.push(digits.iter().collect());
    }
    assert!(spellings.len() >= 50);
    for spelling in spellings {
        assert_eq!(
            Code::parse(&spelling).unwrap().expose(),
            "402718",
            "{spelling:?}"
        );
    }
}

#[test]
fn letters_count_without_case() {
    assert_eq!(Code::parse("aBcD-eFgH").unwrap().expose(), "ABCDEFGH");
}

#[test]
fn digits_that_are_more_than_digits_are_refused() {
    for raw in [
        "①②③④⑤⑥",
        "¹²³⁴⁵⁶",
        "₁₂₃₄₅₆",
        "⑴⑵⑶⑷⑸⑹",
        "⒈⒉⒊⒋⒌⒍",
        "❶❷❸❹❺❻",
        "一二三四五六",
        "ⅠⅡⅢⅣⅤⅥ",
        "½23456",
    ] {
        assert_eq!(Code::parse(raw).unwrap_err(), InvalidCode::Symbol, "{raw}");
    }
}

#[test]
fn what_is_no_code_is_refused() {
    for raw in ["", "   ", "--", "\u{200B}"] {
        assert_eq!(Code::parse(raw).unwrap_err(), InvalidCode::Empty, "{raw:?}");
    }
    for raw in [
        "12345678901",
        "123 456 789 01",
        &"1".repeat(1000),
        &" ".repeat(257),
    ] {
        assert_eq!(
            Code::parse(raw).unwrap_err(),
            InvalidCode::TooLong,
            "{raw:?}"
        );
    }
    for raw in [
        "12345u",
        "12345U",
        "1234.5",
        "+12345",
        "12345\0",
        "1e5!",
        "ＡＢＣ",
        "{\"$ne\":\"\"}",
        "000000,000001",
        "\u{212A}",
    ] {
        assert_eq!(
            Code::parse(raw).unwrap_err(),
            InvalidCode::Symbol,
            "{raw:?}"
        );
    }
}

#[test]
fn debug_output_of_a_code_holds_none_of_its_digits() {
    assert_eq!(
        format!("{:?}", Code::parse(" 402718 ").unwrap()),
        "Code(redacted)"
    );
}

#[test]
fn the_table_of_decimal_digits_is_complete() {
    // The Unicode tables of the regex crates, made elsewhere and for another purpose.
    let parsed = regex_syntax::parse(r"\p{Nd}").unwrap();
    let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) = parsed.kind()
    else {
        panic!("{parsed:?}")
    };
    let mut known = HashSet::new();
    for range in class.ranges() {
        for (position, c) in (range.start()..=range.end()).enumerate() {
            let value = char::from(b'0' + u8::try_from(position % 10).unwrap());
            assert_eq!(
                spelling::decimal_digit(c),
                Some(value),
                "{:x}",
                u32::from(c)
            );
            known.insert(c);
        }
    }
    assert!(known.len() >= 760);
    for c in ('\0'..=char::MAX).filter(|c| !known.contains(c)) {
        // Those of a newer Unicode than the tables know.
        let newer = ('\u{11DE0}'..='\u{11DE9}').contains(&c);
        assert!(
            newer || spelling::decimal_digit(c).is_none(),
            "{:x}",
            u32::from(c)
        );
    }
}

proptest! {
    #[test]
    fn every_code_reads_as_itself_however_it_is_spelled(
        symbols in prop::collection::vec((0_usize..32, 0_u32..8, "[ \u{A0}\u{2009}\u{200B}\u{2013}-]{0,2}"), 1..=10),
    ) {
        let mut code = String::new();
        let mut spelled = String::new();
        for (symbol, script, gap) in symbols {
            let symbol = char::from(SYMBOLS[symbol]);
            code.push(symbol);
            spelled.push_str(&gap);
            let zero = [0x30, 0x660, 0x6F0, 0x966, 0xE50, 0xFF10, 0x1D7D8, 0x30][script as usize];
            spelled.push(match symbol {
                '1' if script == 7 => 'l',
                '0' if script == 7 => 'O',
                '0'..='9' => char::from_u32(zero + symbol.to_digit(10).unwrap()).unwrap(),
                letter if script % 2 == 0 => letter.to_ascii_lowercase(),
                letter => letter,
            });
        }
        for spelling in [&spelled, &code] {
            let read = Code::parse(spelling).unwrap();
            prop_assert_eq!(read.expose(), &code);
        }
    }

    #[test]
    fn whatever_was_typed_only_codes_come_out(raw in "\\PC{0,24}|[\\x00-\\x7f]{0,24}|[0-9A-Z -]{0,12}") {
        if let Ok(code) = Code::parse(&raw) {
            prop_assert!((1..=10).contains(&code.expose().len()));
            prop_assert!(code.expose().bytes().all(|symbol| SYMBOLS.contains(&symbol)));
        }
    }
}
