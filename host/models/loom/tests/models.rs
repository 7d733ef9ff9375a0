//! Runs the models.

#[macro_use]
#[path = "../../runner.rs"]
mod runner;

use openline_models_loom::models;

models! {
    what_is_submitted_is_polled_and_the_end_is_seen,
    an_event_is_told_of_whoever_polls_the_instance,
    a_turn_that_is_dropped_tells_of_a_fault_of_the_host,
    each_job_is_begun_or_given_back_once,
    what_was_asked_for_and_what_waits_are_told_apart,
    no_wake_up_of_a_connection_is_lost,
    what_the_owner_takes_is_seen_when_it_is_asked_again,
    an_outbox_counts_its_bytes_and_ends_once,
    who_waits_for_a_writable_connection_is_woken,
    a_budget_is_never_exceeded_and_comes_back,
    a_connection_that_waits_for_room_to_receive_is_woken,
    the_next_that_waits_for_room_to_receive_is_woken,
    a_ticket_is_begun_or_cancelled,
    who_waits_for_a_back_off_is_woken_at_its_end,
    guest_code_that_runs_wakes_the_thread_of_the_epoch,
}
