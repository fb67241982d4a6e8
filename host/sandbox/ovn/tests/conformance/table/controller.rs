//! The cases of the cloud controller, and what was seen of the real cluster manager.

use super::Outcome::{Not, Partly, Plays};
use super::Row;

const ADD: &str = "cloud controller: add";
const DELETE: &str = "cloud controller: delete";
const UPDATE: &str = "cloud controller: update";
const RACY: &str = "cloud controller: races";
const NAMES: &str = "cloud controller: names";
const SEEN: &str = "seen on a real API server";

pub(super) const CONTROLLER: &[Row] = &[
    (ADD, "without errors", &["cloud_controller::a_new_address_is_put_on_its_node"], Plays),
    (
        ADD,
        "with an error of assignment, of waiting",
        &["cloud_controller::an_addition_that_the_cloud_refuses_is_a_failure_that_is_tried_again"],
        Plays,
    ),
    (ADD, "again, the address exists", &["cloud_controller::an_address_that_is_there_already_counts_as_added"], Plays),
    (
        ADD,
        "again, the address exists, no finalizer",
        &["cloud_controller::an_address_that_is_there_already_gets_its_finalizer"],
        Plays,
    ),
    (
        ADD,
        "again, with an error of assignment, of waiting",
        &["cloud_controller::an_addition_can_fail_again_after_a_restart"],
        Plays,
    ),
    (ADD, "again, without errors", &["cloud_controller::an_addition_that_a_restart_interrupted_is_finished"], Plays),
    (
        ADD,
        "the node does not exist",
        &["cloud_controller::an_address_for_a_node_that_does_not_exist_fails_and_is_not_tried_again"],
        Plays,
    ),
    (
        DELETE,
        "without errors",
        &["cloud_controller::a_deleted_object_goes_when_the_cloud_has_let_the_address_go"],
        Plays,
    ),
    (
        DELETE,
        "with an error of release, of waiting",
        &["cloud_controller::a_release_that_fails_keeps_the_object_and_is_tried_again"],
        Plays,
    ),
    (
        DELETE,
        "again, without errors",
        &["cloud_controller::a_release_that_a_restart_interrupted_is_finished_whatever_the_cloud_did"],
        Plays,
    ),
    (
        DELETE,
        "again, with an error of release, of waiting",
        &["cloud_controller::a_release_can_fail_again_after_a_restart"],
        Plays,
    ),
    (
        UPDATE,
        "without errors",
        &["cloud_controller::an_address_that_changes_its_node_is_released_and_then_added"],
        Plays,
    ),
    (
        UPDATE,
        "with an error of release, of waiting, of assignment",
        &["cloud_controller::a_move_fails_at_its_release_or_at_its_addition"],
        Plays,
    ),
    (
        UPDATE,
        "the target does not exist",
        &["cloud_controller::a_move_to_a_node_that_does_not_exist_ends_in_a_failure"],
        Partly("a cloud that moves in one call is not played"),
    ),
    (
        RACY,
        "updates before the first operation ends",
        &["cloud_controller::changes_during_the_first_addition_are_made_as_one"],
        Plays,
    ),
    (RACY, "updates after it", &["cloud_controller::changes_during_a_release_are_made_as_one"], Plays),
    (
        RACY,
        "updates after the second one has begun",
        &["cloud_controller::an_addition_that_has_begun_is_finished_before_it_is_undone"],
        Plays,
    ),
    (NAMES, "valid names", &["cloud_controller::names_of_objects_are_addresses_in_full"], Plays),
    (NAMES, "an invalid name", &["cloud_controller::a_name_that_is_no_address_is_tried_in_vain"], Plays),
    (NAMES, "provider ids and credentials of AWS and GCP", &[], Not("no cloud is called")),
    (
        SEEN,
        "annotations are lost",
        &["observed::two_addresses_are_assigned_at_once_and_all_annotations_are_lost"],
        Plays,
    ),
    (
        SEEN,
        "no addresses, no status",
        &["observed::an_object_without_addresses_is_left_alone_until_it_has_some"],
        Plays,
    ),
    (
        SEEN,
        "one address moves, the other stays",
        &["observed::only_the_address_of_the_node_that_lost_its_label_moves"],
        Plays,
    ),
    (SEEN, "Ready=False", &["observed::addresses_leave_a_node_that_is_not_ready_without_any_probing"], Plays),
    (SEEN, "no label", &["observed::without_any_label_status_is_empty_and_an_event_says_so"], Plays),
    (
        SEEN,
        "labels one after another",
        &["observed::of_nodes_that_get_the_label_one_after_another_the_first_ones_take_everything"],
        Plays,
    ),
    (SEEN, "nodes get other annotations of the network", &[], Not("no part of EgressIP")),
    (
        SEEN,
        "one address replaced",
        &["observed::an_address_that_is_replaced_makes_way_for_the_other_before_anybody_can_look"],
        Plays,
    ),
    (
        SEEN,
        "a list grows and shrinks",
        &["observed::a_list_that_grows_and_shrinks_leaves_the_other_address_where_it_is"],
        Plays,
    ),
    (
        SEEN,
        "300 objects, and a label off",
        &["observed::many_objects_are_spread_evenly_and_those_with_an_address_twice_wait"],
        Partly("time is virtual"),
    ),
];
