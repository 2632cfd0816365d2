//! The promises of every store, held with a local store in the primary's stead; and what such a
//! stand-in promises beyond them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod carries;
mod outages;
#[path = "../servers/postgres.rs"]
mod postgres;
mod primary;
#[path = "../servers/redis.rs"]
mod redis;
mod server;
mod site;
mod starts;
mod unheard;

mod while_the_primary_works {
    use super::site::{Kind, Site};

    watchword_core::store_conformance!(Site::new(Kind::Switched));
    watchword_core::store_model!(Site::new(Kind::Switched));
}

mod after_an_outage {
    use super::site::{Kind, Site};

    watchword_core::store_conformance!(Site::mended(Kind::Switched));
}

mod while_redis_works {
    use super::site::{Kind, Site};

    watchword_core::store_conformance!(Site::new(Kind::Redis.or_memory()));

    #[test]
    fn random_histories_come_out_as_in_the_naive_model() {
        let _held = super::primary::hold_redis();
        watchword_core::conformance::model_histories_of(32, || Site::new(Kind::Redis.or_memory()));
    }
}

mod after_an_outage_of_redis {
    use super::site::{Kind, Site};

    watchword_core::store_conformance!(Site::mended(Kind::RedisKilled.or_memory()));
}

/// All but those that ask for what nobody started: the primary may have it, so nobody can say that
/// it is not there.
macro_rules! alone {
    ($site:expr) => {
        watchword_core::store_conformance! { $site =>
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
            endings::what_fails_late_does_not_end_a_code_that_was_sent_since,
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
    };
}

mod while_the_primary_is_away {
    use super::site::{Kind, Site};

    alone!(Site::cut_off(Kind::Switched));
}

mod while_redis_is_away {
    use super::site::{Kind, Site};

    alone!(Site::cut_off(Kind::RedisKilled.or_memory()));
}

/// Makes each of these a test with a primary of this kind.
macro_rules! outages {
    ($($name:ident: $kind:ident => $($test:ident),+ $(,)?;)+) => { $(
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let kind = super::site::Kind::$kind;
                    if kind.is_there() {
                        super::outages::$test(kind).await;
                    }
                }
            )+
        }
    )+ };
}

macro_rules! on_every_primary {
    ($($test:ident),+ $(,)?) => {
        outages! {
            of_a_primary_in_memory: Switched => $($test),+;
            of_a_redis_that_was_killed: RedisKilled => $($test),+;
            of_a_redis_that_hangs: RedisHanging => $($test),+;
            of_a_redis_that_was_demoted: RedisDemoted => $($test),+;
            of_a_postgres_that_was_killed: PostgresKilled => $($test),+;
        }
    };
}

on_every_primary! {
    new_codes_live_here_while_the_primary_is_away_and_it_says_so,
    an_outage_resets_no_limit_of_a_recipient,
    an_outage_resets_no_limit_of_a_source,
    a_send_that_the_primary_gave_back_is_given_back_here_too,
    an_outage_resets_no_failure_budget,
    a_lock_from_before_holds_here_and_one_from_here_holds_afterwards,
    a_lock_that_is_lifted_meanwhile_is_lifted_here_and_afterwards,
    a_code_of_the_primary_is_neither_checked_nor_resent_while_that_is_away,
    a_code_made_here_is_checked_here_after_the_return_once,
    of_two_codes_the_newer_one_is_meant,
    the_code_of_another_node_is_meant_where_it_is_newer,
    a_live_code_made_here_refuses_a_start_that_wants_a_resend,
    failures_at_a_code_made_here_count_at_the_primary_after_the_return,
    what_is_owed_outlives_the_process,
    nothing_is_taken_to_the_primary_twice,
    parallel_starts_across_a_return_get_exactly_the_limit,
    parallel_right_codes_across_a_return_yield_one_approval,
    an_outage_forgets_no_idempotency_key_of_this_node,
    a_check_of_what_was_made_here_goes_on_without_the_primary,
}

outages! {
    noticed_in_memory: Switched =>
        a_failing_step_is_enough_to_notice_and_the_next_one_is_served_here;
    noticed_at_a_redis_that_hangs: RedisHanging =>
        a_failing_step_is_enough_to_notice_and_the_next_one_is_served_here;
    refused_by_a_redis_that_was_demoted: RedisDemoted =>
        a_step_that_the_primary_did_not_hear_of_is_done_here_at_once,
        a_resend_that_the_primary_did_not_hear_of_is_done_here_at_once;
    noticed_at_a_postgres_that_hangs: PostgresHanging =>
        a_failing_step_is_enough_to_notice_and_the_next_one_is_served_here;
    refused_in_memory: Unreached =>
        a_step_that_the_primary_did_not_hear_of_is_done_here_at_once,
        a_resend_that_the_primary_did_not_hear_of_is_done_here_at_once;
    refused_by_redis: RedisKilled =>
        a_step_that_the_primary_did_not_hear_of_is_done_here_at_once,
        a_resend_that_the_primary_did_not_hear_of_is_done_here_at_once;
    refused_by_postgres: PostgresKilled =>
        a_step_that_the_primary_did_not_hear_of_is_done_here_at_once,
        a_resend_that_the_primary_did_not_hear_of_is_done_here_at_once;
}
