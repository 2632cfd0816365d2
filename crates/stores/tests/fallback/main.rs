//! The promises of every store, held with a local store in the primary's stead; and what such a
//! stand-in promises beyond them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod outages;
mod server;
mod switch;

mod while_the_primary_works {
    use super::switch::Site;

    watchword_core::store_conformance!(Site::new());
    watchword_core::store_model!(Site::new());
}

mod after_an_outage {
    use super::switch::Site;

    watchword_core::store_conformance!(Site::mended());
}

/// All but those that unlock, which needs the primary, and those that ask for what nobody started:
/// the primary may have it, so nobody can say that it is not there.
mod while_the_primary_is_away {
    use super::switch::Site;

    watchword_core::store_conformance! { Site::cut_off() =>
        checks::a_right_code_is_approved_once,
        checks::parallel_right_codes_yield_one_approval,
        checks::parallel_wrong_codes_get_no_more_comparisons_than_attempts,
        checks::parallel_guesses_of_all_kinds_share_the_attempts,
        checks::a_code_is_good_until_its_last_millisecond,
        checks::a_code_is_good_for_its_own_place_only,
        checks::a_wrong_code_after_the_approval_is_not_approved,
        sends::a_started_verification_reads_as_it_was_started,
        limits::parallel_starts_of_one_recipient_get_exactly_its_limit,
        limits::parallel_starts_of_one_source_get_exactly_its_limit,
        limits::recipients_and_sources_are_limited_apart,
        limits::a_refusal_by_the_source_costs_the_recipient_nothing,
        limits::a_limit_ends_to_the_millisecond,
        limits::a_limit_counts_what_was_sent_under_other_limits,
        sends::parallel_starts_of_one_purpose_leave_one_live,
        sends::a_start_replaces_its_own_purpose_only,
        limits::the_cooldown_holds_for_starts_and_resends_of_its_purpose,
        sends::a_resend_kills_the_old_code_and_buys_new_attempts,
        sends::what_has_ended_is_not_resent,
        sends::a_check_during_a_resend_meets_one_code_and_is_counted,
        sends::a_clock_that_steps_back_gains_nothing,
        failures::ten_failures_an_hour_are_the_most,
        failures::twenty_failures_a_day_are_the_most,
        failures::a_success_ends_the_row_and_nothing_else,
        failures::no_new_code_purpose_or_channel_resets_the_budget,
        failures::parallel_failures_share_one_budget,
        failures::a_locked_recipient_is_sent_nothing_and_charged_nothing,
        failures::the_budget_counts_whatever_the_caller_says,
        failures::without_a_recipient_only_the_attempts_count,
        endings::a_withdrawn_start_gives_everything_back,
        endings::a_withdrawn_resend_stays_the_newest_of_its_purpose,
        endings::a_refused_recipient_stays_charged,
        fallbacks::the_turn_comes_when_every_hand_over_has_failed,
        fallbacks::parallel_failures_give_one_turn,
        fallbacks::parallel_takers_of_a_due_fallback_get_one_turn,
        fallbacks::a_fallback_is_due_when_its_time_has_come,
        fallbacks::nothing_falls_back_after_an_arrival_or_an_end,
        fallbacks::a_resend_forgets_the_fallback_of_the_old_code,
        fallbacks::a_failure_before_the_end_of_its_dispatch_makes_the_turn_due,
        replays::an_idempotency_key_is_claimed_once,
        replays::a_finished_key_repeats_its_answer,
        replays::an_abandoned_or_forgotten_key_is_free_again,
        replays::a_key_with_another_request_is_refused,
    }
}
