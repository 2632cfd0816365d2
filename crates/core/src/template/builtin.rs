//! The built-in texts, by language.
//!
//! They say what the code is for, how long it lives and that it is for nobody else. The SMS texts
//! of languages in Latin script keep to the GSM 7-bit alphabet, so that one segment suffices:
//! hence words without accents that the alphabet lacks. Subjects hold no code. In a mail the code
//! has a line of its own.

use std::sync::LazyLock;

use super::pattern::Pattern;
use crate::message::Locale;

/// The texts of one language, read.
pub(super) struct Builtin {
    tag: &'static str,
    pub(super) text: Pattern,
    pub(super) email: Pattern,
    pub(super) voice: Pattern,
    pub(super) subject: Pattern,
    pub(super) html: Pattern,
    /// The words for usual purposes.
    pub(super) purposes: &'static [(&'static str, &'static str)],
    /// So many minutes or seconds, where they follow "for" in these texts.
    pub(super) minutes: fn(u64) -> String,
    pub(super) seconds: fn(u64) -> String,
}

impl Builtin {
    /// The texts for a language, or for the one to fall back to, or English.
    pub(super) fn lookup(locale: &Locale, fallback: &Locale) -> &'static Self {
        Self::find(locale)
            .or_else(|| Self::find(fallback))
            .unwrap_or(&BUILTINS[0])
    }

    /// Whether there are texts for a language.
    pub(super) fn speaks(locale: &Locale) -> bool {
        Self::find(locale).is_some()
    }

    fn find(locale: &Locale) -> Option<&'static Self> {
        locale
            .lookup()
            .find_map(|tag| BUILTINS.iter().find(|builtin| builtin.tag == tag))
    }

    #[cfg(test)]
    pub(super) fn tags() -> impl Iterator<Item = &'static str> {
        BUILTINS.iter().map(|builtin| builtin.tag)
    }
}

static BUILTINS: LazyLock<Vec<Builtin>> = LazyLock::new(|| LANGUAGES.iter().map(read).collect());

/// The texts of one language.
struct Language {
    tag: &'static str,
    direction: &'static str,
    text: &'static str,
    /// What stands above and below the code in a mail.
    above: &'static str,
    below: &'static str,
    voice: &'static str,
    subject: &'static str,
    purposes: &'static [(&'static str, &'static str)],
    minutes: fn(u64) -> String,
    seconds: fn(u64) -> String,
}

fn read(language: &Language) -> Builtin {
    let Language {
        tag,
        direction,
        above,
        below,
        ..
    } = language;
    let html = format!(
        r#"<!doctype html>
<html lang="{tag}" dir="{direction}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>{{service}}</title></head>
<body style="margin:0;padding:24px;font-family:system-ui,sans-serif;font-size:16px;line-height:1.5">
<div style="max-width:480px;margin:0 auto">
<p>{above}</p>
<p dir="ltr" style="font-family:ui-monospace,monospace;font-size:32px;font-weight:bold;letter-spacing:4px;margin:16px 0">{{code}}</p>
<p>{below}</p>
</div>
</body>
</html>
"#
    );
    Builtin {
        tag,
        text: pattern(language.text),
        email: pattern(&format!("{above}\n\n{{code}}\n\n{below}\n")),
        voice: pattern(language.voice),
        subject: pattern(language.subject),
        html: pattern(&html),
        purposes: language.purposes,
        minutes: language.minutes,
        seconds: language.seconds,
    }
}

#[expect(clippy::expect_used)]
fn pattern(text: &str) -> Pattern {
    // They are constants, and a test reads them all.
    Pattern::parse(text).expect("the built-in texts have only known placeholders")
}

/// English first: it is the last resort.
const LANGUAGES: [Language; 8] = [
    Language {
        tag: "en",
        direction: "ltr",
        text: "{code} is your {service} code{purpose_note}. Valid for {lifetime}. Do not share it.",
        above: "Your {service} code{purpose_note}:",
        below: "It is valid for {lifetime} and works once. Do not share it with anybody: {service} never asks for it. If you did not ask for it, ignore this mail.",
        voice: "Your {service} code{purpose_note} is: {code}. Once more: {code}. It is valid for {lifetime}. Do not share it with anybody.",
        subject: "Your {service} code",
        purposes: &[("login", "login"), ("signup", "sign-up")],
        minutes: |n| counted(n, n == 1, "minute", "minutes"),
        seconds: |n| counted(n, n == 1, "second", "seconds"),
    },
    Language {
        tag: "es",
        direction: "ltr",
        text: "{code} es tu clave de {service}{purpose_note}. Caduca en {lifetime}. No la compartas.",
        above: "Tu código de {service}{purpose_note}:",
        below: "Caduca en {lifetime} y sirve una sola vez. No lo compartas con nadie: {service} nunca te lo pedirá. Si no lo has solicitado, ignora este correo.",
        voice: "Tu código de {service}{purpose_note} es: {code}. Repito: {code}. Caduca en {lifetime}. No lo compartas con nadie.",
        subject: "Tu código de {service}",
        purposes: &[("login", "acceso"), ("signup", "registro")],
        minutes: |n| counted(n, n == 1, "minuto", "minutos"),
        seconds: |n| counted(n, n == 1, "segundo", "segundos"),
    },
    // Brazilian, and for want of another the one for every Portuguese.
    Language {
        tag: "pt",
        direction: "ltr",
        text: "Use {code} em {service}{purpose_note}. Vale por {lifetime}. Nunca compartilhe.",
        above: "Seu código de {service}{purpose_note}:",
        below: "Ele vale por {lifetime} e só pode ser usado uma vez. Não compartilhe com ninguém: {service} nunca pede este código. Se você não o solicitou, ignore este e-mail.",
        voice: "Seu código de {service}{purpose_note} é: {code}. Repetindo: {code}. Ele vale por {lifetime}. Não compartilhe com ninguém.",
        subject: "Seu código de {service}",
        purposes: &[("login", "acesso"), ("signup", "cadastro")],
        minutes: |n| counted(n, n <= 1, "minuto", "minutos"),
        seconds: |n| counted(n, n <= 1, "segundo", "segundos"),
    },
    Language {
        tag: "fr",
        direction: "ltr",
        text: "{code} est votre code {service}{purpose_note}. Valable {lifetime}. Ne le partagez pas.",
        above: "Votre code {service}{purpose_note} :",
        below: "Il est valable {lifetime} et ne sert qu’une fois. Ne le partagez avec personne : {service} ne vous le demandera jamais. Si vous ne l’avez pas demandé, ignorez ce message.",
        voice: "Votre code {service}{purpose_note} est : {code}. Je répète : {code}. Il est valable {lifetime}. Ne le partagez avec personne.",
        subject: "Votre code {service}",
        purposes: &[("login", "connexion"), ("signup", "inscription")],
        minutes: |n| counted(n, n <= 1, "minute", "minutes"),
        seconds: |n| counted(n, n <= 1, "seconde", "secondes"),
    },
    Language {
        tag: "de",
        direction: "ltr",
        text: "{code} ist Ihr Code für {service}{purpose_note}. Gültig für {lifetime}. Nicht weitergeben.",
        above: "Ihr Code für {service}{purpose_note}:",
        below: "Er gilt für {lifetime} und nur einmal. Geben Sie ihn niemandem weiter: {service} fragt nie danach. Wenn Sie ihn nicht angefordert haben, ignorieren Sie diese Nachricht.",
        voice: "Ihr Code für {service}{purpose_note} lautet: {code}. Noch einmal: {code}. Er gilt für {lifetime}. Geben Sie ihn niemandem weiter.",
        subject: "Ihr Code für {service}",
        purposes: &[("login", "Anmeldung"), ("signup", "Registrierung")],
        minutes: |n| counted(n, n == 1, "Minute", "Minuten"),
        seconds: |n| counted(n, n == 1, "Sekunde", "Sekunden"),
    },
    Language {
        tag: "hi",
        direction: "ltr",
        text: "{code} आपका {service} कोड है{purpose_note}। {lifetime} तक मान्य। किसी को न बताएं।",
        above: "आपका {service} कोड{purpose_note}:",
        below: "यह {lifetime} तक मान्य है और केवल एक बार काम करता है। इसे किसी को न बताएं: {service} इसे कभी नहीं पूछता। अगर आपने इसे नहीं मांगा है, तो इस ईमेल पर ध्यान न दें।",
        voice: "आपका {service} कोड{purpose_note} है: {code}। एक बार फिर: {code}। यह {lifetime} तक मान्य है। इसे किसी को न बताएं।",
        subject: "आपका {service} कोड",
        purposes: &[("login", "लॉगिन"), ("signup", "साइन अप")],
        minutes: |n| counted(n, true, "मिनट", ""),
        seconds: |n| counted(n, true, "सेकंड", ""),
    },
    Language {
        tag: "ar",
        direction: "rtl",
        text: "{code} هو رمز {service} الخاص بك{purpose_note}. صالح لمدة {lifetime}. لا تشاركه.",
        above: "رمز {service} الخاص بك{purpose_note}:",
        below: "الرمز صالح لمدة {lifetime} ولمرة واحدة فقط. لا تشاركه مع أحد: لن تطلبه منك {service} أبدا. إذا لم تطلبه فتجاهل هذه الرسالة.",
        voice: "رمز {service} الخاص بك{purpose_note} هو: {code}. مرة أخرى: {code}. الرمز صالح لمدة {lifetime}. لا تشاركه مع أحد.",
        subject: "رمز {service} الخاص بك",
        purposes: &[("login", "تسجيل الدخول"), ("signup", "إنشاء حساب")],
        minutes: |n| counted_arabic(n, ["دقيقة واحدة", "دقيقتين", "دقائق", "دقيقة"]),
        seconds: |n| counted_arabic(n, ["ثانية واحدة", "ثانيتين", "ثوان", "ثانية"]),
    },
    Language {
        tag: "id",
        direction: "ltr",
        text: "{code} adalah kode {service} Anda{purpose_note}. Berlaku {lifetime}. Jangan bagikan.",
        above: "Kode {service} Anda{purpose_note}:",
        below: "Kode ini berlaku {lifetime} dan hanya untuk sekali pakai. Jangan bagikan kepada siapa pun: {service} tidak pernah memintanya. Jika Anda tidak memintanya, abaikan email ini.",
        voice: "Kode {service} Anda{purpose_note} adalah: {code}. Sekali lagi: {code}. Berlaku {lifetime}. Jangan bagikan kepada siapa pun.",
        subject: "Kode {service} Anda",
        purposes: &[("login", "masuk"), ("signup", "pendaftaran")],
        minutes: |n| counted(n, true, "menit", ""),
        seconds: |n| counted(n, true, "detik", ""),
    },
];

fn counted(number: u64, singular: bool, one: &str, many: &str) -> String {
    format!("{number} {}", if singular { one } else { many })
}

/// The plural rules of CLDR for Arabic, for numbers from one on: one, two, few, all others.
fn counted_arabic(number: u64, [one, two, few, other]: [&str; 4]) -> String {
    match (number, number % 100) {
        (1, _) => one.to_owned(),
        (2, _) => two.to_owned(),
        (_, 3..=10) => format!("{number} {few}"),
        _ => format!("{number} {other}"),
    }
}
