//! Runs the models.

#[macro_use]
#[path = "../../runner.rs"]
mod runner;

use openline_models_shuttle::models;

models! {
    connections_that_wake_together_share_one_instance,
    connections_without_a_seat_of_their_own_take_turns,
    rooms_without_an_instance_of_their_own_take_turns,
    an_event_that_meets_an_idle_instance_is_handled,
    a_fault_is_told_when_there_is_room_again,
    an_event_that_meets_a_fault_is_handled,
    a_room_that_migrates_has_one_instance,
    a_room_that_migrates_twice_has_one_instance,
    a_room_that_waits_for_its_last_version_is_not_overtaken,
    a_room_that_is_pinned_has_one_instance,
    a_room_that_is_drained_has_one_instance,
    a_stop_waits_for_what_was_asked_and_for_the_end_of_all,
    a_function_that_is_removed_is_told_of_its_connections_end,
    a_function_that_is_removed_while_others_wait_for_its_place_leaves_it,
    those_that_are_queued_when_a_back_off_begins_are_handled,
    an_event_that_waits_for_a_back_off_is_handled,
    an_event_that_waits_for_a_back_off_follows_its_alias,
    all_that_wait_for_an_instance_that_does_not_start_are_told,
    functions_that_want_the_only_place_take_turns,
    an_instance_of_two_places_gets_its_turn,
    rooms_of_two_functions_are_served_during_a_deploy,
    instances_of_two_places_take_turns,
    a_peer_that_recovers_has_all_or_is_told,
    what_is_acknowledged_or_delivered_is_on_the_disk,
    who_subscribes_to_nothing_any_more_is_handed_nothing,
}
