//! What every store promises, as tests that any store can join.
//!
//! One promise a function, and its name is the sentence that turns red. A store joins with two
//! lines, where the expression makes a fresh, empty store for each promise:
//!
//! ```text
//! watchword_core::store_conformance!(async { Arc::new(MemoryStore::default()) });
//! watchword_core::store_model!(async { Arc::new(MemoryStore::default()) });
//! ```
//!
//! The expression yields anything that dereferences to a store: an `Arc`, a `Box`, or a fixture
//! that keeps a folder or a server alive for as long as the promise runs.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "these are tests, for other crates to run"
)]

pub mod checks;
mod desk;
pub mod endings;
pub mod failures;
pub mod fallbacks;
pub mod limits;
pub mod recipients;
pub mod replays;
pub mod sends;

mod answers;
mod histories;
mod history;
mod model;

use std::ops::Deref;

pub use histories::{model_histories, model_histories_forward, model_histories_of};

use crate::store::Store;

/// A store that is open, with whatever keeps it open.
pub trait Opened: Deref<Target: Store> + Send + Sync + 'static {}

impl<S: Deref<Target: Store> + Send + Sync + 'static> Opened for S {}

/// Runs every promise of a store, each on a fresh one.
#[macro_export]
macro_rules! store_conformance {
    ($fresh:expr) => {
        $crate::store_conformance! { $fresh =>
            checks::a_right_code_is_approved_once,
            checks::parallel_right_codes_yield_one_approval,
            checks::parallel_wrong_codes_get_no_more_comparisons_than_attempts,
            checks::parallel_guesses_of_all_kinds_share_the_attempts,
            checks::the_answer_does_not_depend_on_the_code_once_it_is_dead,
            checks::a_check_by_another_app_is_not_found_and_costs_nothing,
            checks::a_check_by_recipient_is_a_check_of_its_newest_verification,
            checks::a_code_is_good_until_its_last_millisecond,
            checks::a_code_is_good_for_its_own_place_only,
            checks::a_wrong_code_after_the_approval_is_not_approved,
            sends::a_started_verification_reads_as_it_was_started,
            limits::parallel_starts_of_one_recipient_get_exactly_its_limit,
            limits::parallel_starts_of_one_source_get_exactly_its_limit,
            limits::recipients_and_sources_are_limited_apart,
            limits::a_refusal_by_the_recipient_costs_the_source_nothing,
            limits::a_refusal_by_the_source_costs_the_recipient_nothing,
            limits::a_limit_ends_to_the_millisecond,
            limits::a_limit_counts_what_was_sent_under_other_limits,
            sends::parallel_starts_of_one_purpose_leave_one_live,
            sends::a_start_replaces_its_own_purpose_only,
            sends::a_refused_start_leaves_the_live_code_alone,
            limits::the_cooldown_holds_for_starts_and_resends_of_its_purpose,
            sends::two_apps_share_nothing_of_a_recipient,
            sends::a_resend_kills_the_old_code_and_buys_new_attempts,
            sends::what_has_ended_is_not_resent,
            sends::a_check_during_a_resend_meets_one_code_and_is_counted,
            sends::a_clock_that_steps_back_gains_nothing,
            failures::ten_failures_an_hour_are_the_most,
            failures::twenty_failures_a_day_are_the_most,
            failures::a_hundred_failures_in_a_row_lock_until_unlocked,
            failures::one_failure_says_that_it_locks,
            failures::a_success_ends_the_row_and_nothing_else,
            failures::no_new_code_purpose_or_channel_resets_the_budget,
            failures::parallel_failures_share_one_budget,
            failures::a_locked_recipient_is_sent_nothing_and_charged_nothing,
            failures::the_budget_counts_whatever_the_caller_says,
            failures::without_a_recipient_only_the_attempts_count,
            endings::a_withdrawn_start_gives_everything_back,
            endings::a_withdrawn_resend_stays_the_newest_of_its_purpose,
            endings::a_refused_recipient_stays_charged,
            endings::what_fails_late_does_not_end_a_code_that_was_sent_since,
            endings::a_canceled_verification_is_dead,
            endings::deliveries_only_move_forward,
            endings::ended_verifications_are_read_until_they_are_forgotten,
            endings::the_newest_verification_is_found_by_recipient_and_purpose,
            fallbacks::the_turn_comes_when_every_hand_over_has_failed,
            fallbacks::parallel_failures_give_one_turn,
            fallbacks::parallel_takers_of_a_due_fallback_get_one_turn,
            fallbacks::a_fallback_is_due_when_its_time_has_come,
            fallbacks::nothing_falls_back_after_an_arrival_or_an_end,
            fallbacks::a_resend_forgets_the_fallback_of_the_old_code,
            fallbacks::a_failure_before_the_end_of_its_dispatch_makes_the_turn_due,
            fallbacks::a_named_message_is_found_while_its_verification_is_remembered,
            recipients::everything_of_a_recipient_is_remembered_and_nothing_of_others,
            recipients::an_erased_recipient_has_no_verification_left,
            recipients::an_erasure_is_no_way_around_a_budget,
            replays::an_idempotency_key_is_claimed_once,
            replays::a_finished_key_repeats_its_answer,
            replays::an_abandoned_or_forgotten_key_is_free_again,
            replays::a_key_with_another_request_is_refused,
        }
    };
    ($fresh:expr => $($group:ident::$promise:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                $crate::conformance::$group::$promise($fresh.await).await;
            }
        )+
    };
}

/// Runs random histories of steps on a store and on a naive model of it, and compares.
///
/// The number of histories is that of `PROPTEST_CASES`, if set.
#[macro_export]
macro_rules! store_model {
    ($fresh:expr) => {
        #[test]
        fn random_histories_come_out_as_in_the_naive_model() {
            $crate::conformance::model_histories(|| $fresh);
        }
    };
}
