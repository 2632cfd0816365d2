//! Twilio's error numbers.
//!
//! Sources: Twilio's error dictionary as of 2026 and its page on the status of messages. Numbers
//! that come when a message is posted and those that come with its final status are disjoint or
//! agree, so one table serves both.

use crate::http::meaning::{CodeTable, Meaning};

/// Every number that is known, once.
pub(super) const CODES: &CodeTable = &[
    (
        Meaning::InvalidRecipient,
        &[
            21211, 21214, 21217, 21265, 21266, 21268, 21401, 21421, 21604, 21612, 21614, 21635,
            // Later, by status.
            30005, 30006, 30011, // WhatsApp.
            63003, 63024, 63031,
        ],
    ),
    (
        Meaning::BlockedRecipient,
        &[21610, 30630, 30004, 63014, 63032, 63033, 63050],
    ),
    (
        Meaning::Rejected,
        &[
            21408, 21617, 21658, 21618, 30450, 21216, 21215, // Calls.
            13227, 21202, 21203, // Later, by status.
            30007, 30038, 30039, 30019, 30453, 30485, 30610, 30615, 30620, 30640,
            // WhatsApp.
            63005, 63006, 63021, 63013, 63026, 63049, 63016, 63058,
        ],
    ),
    (
        Meaning::Throttled,
        &[
            20429, 14107, 21611, 30001, 10004, 22005, 30022, 30023, 30027, 30454, 63017, 63018,
            63119,
        ],
    ),
    (
        Meaning::Unavailable,
        &[
            20500, 20503, 30500, 21702, 30008, 30017, 30410, 30046, 63009, 63010, 63012, 63023,
            63117, 63053,
        ],
    ),
    // A phone that is off, or that could not fetch the template.
    (Meaning::RecipientUnavailable, &[30003, 63029]),
    (Meaning::Expired, &[30036]),
    (
        Meaning::Misconfigured,
        &[
            20003, 20101, 20005, 10001, 30002, 20404, 20008, // Trial accounts.
            10002, 21608, 21219, 21210, 21264, 21267, 30044, // Sender.
            21212, 21213, 21606, 21607, 21657, 21659, 21660, 21661, 21663, 21603,
            // Messaging service.
            21701, 21703, 21704, 21705, 21709, 21711, 21712, 21715, // The request.
            21205, 21602, 21619, 21609, 21624, 21654, 21655, 21656, 21900, 21901, 21910,
            // Later, by status.
            30010, 30012, 30018, 30024, 30032, 30033, 30034, 30035, 30037, 30040, 30041, 30042,
            30045, // WhatsApp.
            63001, 63002, 63007, 63008, 63011, 63015, 63020, 63022, 63027, 63028, 63030, 63040,
            63041, 63042, 63051, 63054, 63056, 63059, 63111, 63112, 63120,
            // The limit of a day: only the operator can have it raised.
            63038,
        ],
    ),
];
