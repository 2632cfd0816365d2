//! Every error number, held against a list that was written down apart from the table.

use serde_json::json;

use super::*;

/// The numbers of Twilio's pages: those of a post, of a later status, of WhatsApp, of calls.
const REFERENCE: &[(&str, &[u32])] = &[
    (
        "invalid_recipient",
        &[
            21211, 21214, 21217, 21265, 21266, 21268, 21401, 21421, 21604, 21612, 21614, 21635,
        ],
    ),
    ("blocked_recipient", &[21610, 30630]),
    (
        "rejected",
        &[21408, 21617, 21658, 21618, 30450, 21216, 21215],
    ),
    ("throttled", &[20429, 14107, 21611, 30001, 10004, 22005]),
    ("unavailable", &[20500, 20503, 30500, 21702]),
    (
        "misconfigured",
        &[
            20003, 20101, 20005, 10001, 30002, 20404, 20008, 10002, 21608, 21219, 21210, 21264,
            21267, 30044, 21212, 21606, 21607, 21657, 21659, 21660, 21661, 21663, 21603, 21701,
            21703, 21704, 21705, 21709, 21711, 21712, 21715, 21602, 21619, 21609, 21624, 21654,
            21655, 21656, 21900, 21901, 21910, 63007,
        ],
    ),
    ("invalid_recipient", &[30005, 30006, 30011]),
    ("unavailable", &[30003, 30008, 30017, 30410, 30046, 30500]),
    ("blocked_recipient", &[30004]),
    (
        "rejected",
        &[
            30007, 30038, 30039, 30019, 30450, 30453, 30485, 30610, 30615, 30620, 30640,
        ],
    ),
    ("throttled", &[30022, 30023, 30027, 30454]),
    ("expired", &[30036]),
    (
        "misconfigured",
        &[
            30002, 30010, 30018, 30040, 30041, 30042, 30024, 30032, 30033, 30034, 30035, 30037,
        ],
    ),
    ("misconfigured", &[30012, 30045]),
    ("invalid_recipient", &[63003, 63024, 63031]),
    ("blocked_recipient", &[63014, 63032, 63033, 63050]),
    (
        "rejected",
        &[63005, 63006, 63021, 63013, 63026, 63049, 63016, 63058],
    ),
    ("throttled", &[63017, 63018, 63119]),
    (
        "unavailable",
        &[63009, 63010, 63012, 63023, 63117, 63029, 63053],
    ),
    (
        "misconfigured",
        &[
            63001, 63002, 63007, 63008, 63011, 63015, 63020, 63022, 63027, 63028, 63030, 63040,
            63041, 63042, 63051, 63054, 63056, 63059, 63111, 63112, 63120,
            // The limit of a day, which asks for an alert.
            63038,
        ],
    ),
    ("invalid_recipient", &[21211, 21214, 21217]),
    ("rejected", &[21202, 21203, 21215, 21216, 13227]),
    ("misconfigured", &[21210, 21212, 21213, 21219, 21205]),
    ("throttled", &[10004, 22005]),
];

#[test]
fn every_code_of_the_reference_has_its_class() {
    for (expected, codes) in REFERENCE {
        for code in *codes {
            for status in [400, 404, 429, 500] {
                let body = json!({"code": code, "message": "no", "status": status});
                let read = plain_sms().read(&reply(status, &body.to_string()));
                assert_eq!(read.to_string(), format!("{expected}: {code}"));
            }
        }
    }
}

#[test]
fn every_code_of_the_table_is_in_the_reference_and_once() {
    let listed: Vec<u32> = codes::CODES
        .iter()
        .flat_map(|(_, codes)| codes.to_vec())
        .collect();
    for code in &listed {
        assert_eq!(
            listed.iter().filter(|other| *other == code).count(),
            1,
            "{code}"
        );
        assert!(
            REFERENCE.iter().any(|(_, codes)| codes.contains(code)),
            "{code}"
        );
    }
}
