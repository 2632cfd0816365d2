//! What a call says, as TwiML.

use watchword_core::{Locale, Message};
use zeroize::Zeroizing;

use super::TwilioVoice;

/// A language that calls ask for a key in: its tag, Twilio's name for it, and the words.
struct Language {
    tag: &'static str,
    twilio: &'static str,
    prompt: &'static str,
}

/// The first one serves where none fits.
const LANGUAGES: [Language; 8] = [
    Language {
        tag: "en",
        twilio: "en-US",
        prompt: "Hello. To hear your code, press the pound key.",
    },
    Language {
        tag: "es",
        twilio: "es-ES",
        prompt: "Hola. Para escuchar su código, pulse la tecla almohadilla.",
    },
    Language {
        tag: "pt",
        twilio: "pt-BR",
        prompt: "Olá. Para ouvir o seu código, pressione a tecla jogo da velha.",
    },
    Language {
        tag: "fr",
        twilio: "fr-FR",
        prompt: "Bonjour. Pour entendre votre code, appuyez sur la touche dièse.",
    },
    Language {
        tag: "de",
        twilio: "de-DE",
        prompt: "Guten Tag. Um Ihren Code zu hören, drücken Sie die Rautetaste.",
    },
    Language {
        tag: "hi",
        twilio: "hi-IN",
        prompt: "नमस्ते। अपना कोड सुनने के लिए हैश कुंजी दबाएं।",
    },
    Language {
        tag: "ar",
        twilio: "arb",
        prompt: "مرحبا. للاستماع إلى الرمز، اضغط على مفتاح المربع.",
    },
    Language {
        tag: "id",
        twilio: "id-ID",
        prompt: "Halo. Untuk mendengar kode Anda, tekan tombol pagar.",
    },
];

/// The document of a call: it asks for the pound key, and says the code twice, sign by sign, to
/// whoever presses it.
///
/// `<Gather>` without `action` serves as a gate that needs no URL: with `finishOnKey` pressed
/// before any digit, the call goes on with what follows; without it, the wait is longer than the
/// call may last, so a mailbox never gets there.
pub(super) fn document(message: &Message) -> Zeroizing<String> {
    let language = language(&message.locale);
    let said = message.text.expose();
    let loops = if times_said(message) < 2 { 2 } else { 1 };
    let wait = TwilioVoice::LONGEST + 60;
    let mut document = Zeroizing::new(String::with_capacity(2 * said.len() + 1024));
    let name = language.twilio;
    document.push_str("<Response>");
    document.push_str(&format!(
        "<Gather input=\"dtmf\" finishOnKey=\"#\" timeout=\"{wait}\"><Say language=\"{name}\" loop=\"3\">"
    ));
    escape(language.prompt, &mut document);
    document.push_str(&format!(
        "</Say></Gather><Say language=\"{name}\" loop=\"{loops}\">"
    ));
    escape(said, &mut document);
    document.push_str("</Say><Hangup/></Response>");
    document
}

fn language(locale: &Locale) -> &'static Language {
    let find = |tag: &str| LANGUAGES.iter().find(|language| language.tag == tag);
    locale.lookup().find_map(find).unwrap_or(&LANGUAGES[0])
}

/// How often the text says the code, as core writes it for the ear: `4, 0, 2`.
fn times_said(message: &Message) -> usize {
    let mut spoken = Zeroizing::new(String::with_capacity(64));
    for (position, sign) in message.code.expose().chars().enumerate() {
        if position > 0 {
            spoken.push_str(", ");
        }
        spoken.push(sign);
    }
    message.text.expose().matches(spoken.as_str()).count()
}

/// Text between XML tags. What XML 1.0 has no way to write (section 2.2) becomes a space.
fn escape(text: &str, out: &mut String) {
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            sign if sign.is_control() => out.push(' '),
            sign => out.push(sign),
        }
    }
}
