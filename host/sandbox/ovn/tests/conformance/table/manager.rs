//! The cases of OVN-Kubernetes, `egressip_controller_test.go` and what belongs to it.

use super::Outcome::{Not, Partly, Plays};
use super::Row;

const EVENTS: &str = "node add/update/delete";
const NODES: &str = "egress nodes";
const BOTH: &str = "egress nodes with EgressIP";
const V6: &str = "IPv6 assignment";
const DUAL: &str = "dual-stack, IPv4 assignment";
const WATCH: &str = "EgressIP";
const SYNC: &str = "start";
const OTHERS: &str = "others";
const UNITS: &str = "related units";
const PLANNED: &str = "planned: egressNodeSelector";

pub(super) const MANAGER: &[Row] = &[
    (
        EVENTS,
        "allocations follow the label (4 networks)",
        &["nodes::an_address_follows_the_label_from_one_node_to_another"],
        Plays,
    ),
    (EVENTS, "allocations follow a deletion (4 networks)", &["nodes::an_address_leaves_a_node_that_is_deleted"], Plays),
    (
        EVENTS,
        "Windows nodes are left out",
        &["nodes::a_node_without_pod_network_is_left_out_and_does_not_disturb"],
        Plays,
    ),
    (
        NODES,
        "node data appear as nodes are tagged",
        &["nodes::what_a_node_can_carry_is_known_before_it_has_the_label"],
        Plays,
    ),
    (
        NODES,
        "retry of a node, then an update",
        &["nodes::a_node_that_loses_its_label_right_after_it_came_is_known_and_unused"],
        Plays,
    ),
    (
        NODES,
        "one address per node, the rest pending",
        &["nodes::a_node_gets_one_address_of_an_object_and_the_others_wait_for_more_nodes"],
        Plays,
    ),
    (
        NODES,
        "nodes with a wrong address are skipped",
        &["nodes::a_node_with_an_address_that_cannot_be_read_is_unknown"],
        Plays,
    ),
    (
        NODES,
        "probing by gRPC",
        &["nodes::nodes_are_probed_by_connections_that_live_as_long_as_the_label"],
        Partly("a probe takes no time"),
    ),
    (BOTH, "an address of a cluster node", &["both::an_address_of_a_node_is_refused_with_an_event"], Plays),
    (
        BOTH,
        "a label removed while the manager is down",
        &["both::a_label_that_went_while_the_manager_was_down_counts_at_its_start"],
        Plays,
    ),
    (
        BOTH,
        "only addresses of the node's subnet",
        &["both::a_node_that_gets_the_label_gets_only_addresses_of_its_network"],
        Plays,
    ),
    (
        BOTH,
        "re-balancing when a node is removed",
        &["both::addresses_are_spread_anew_when_their_node_goes_and_others_stay"],
        Plays,
    ),
    (
        BOTH,
        "an update does not make a node reachable",
        &["both::a_node_that_answers_again_is_noticed_by_the_probe_and_not_by_an_update"],
        Plays,
    ),
    (BOTH, "the cloud's annotation re-evaluates", &["both::what_the_cloud_allows_anew_is_used_at_once"], Plays),
    (BOTH, "another annotation does not", &["both::an_annotation_of_no_concern_changes_nothing_on_a_cloud"], Plays),
    (
        V6,
        "the node with the fewest allocations",
        &["assignment::the_node_with_the_fewest_addresses_gets_the_next_one"],
        Plays,
    ),
    (
        V6,
        "several addresses avoid the same node (3 ways)",
        &["assignment::two_addresses_of_an_object_go_to_two_nodes"],
        Plays,
    ),
    (
        V6,
        "one stays unassigned without error (2 ways)",
        &["assignment::the_third_address_for_two_nodes_waits_without_an_error"],
        Plays,
    ),
    (
        V6,
        "several stay unassigned, both kinds of network",
        &["assignment::addresses_of_both_kinds_of_networks_that_find_no_node_wait_without_an_error"],
        Plays,
    ),
    (
        V6,
        "allocated again: the same node (2 ways)",
        &["assignment::an_address_that_a_node_has_already_stays_there"],
        Plays,
    ),
    (V6, "not the address of a node", &["assignment::the_primary_address_of_a_node_is_refused"], Plays),
    (V6, "not an address of host-cidrs", &["assignment::any_other_address_of_a_host_is_refused"], Plays),
    (
        V6,
        "not a conflicting address in short form",
        &["assignment::an_address_of_a_host_is_refused_in_short_notation"],
        Plays,
    ),
    (V6, "not IPv4 on nodes of IPv6", &["assignment::an_address_of_a_family_that_no_node_has_finds_none"], Plays),
    (
        V6,
        "a free address in short upper case",
        &["assignment::a_free_address_in_capitals_is_written_in_small_letters"],
        Plays,
    ),
    (
        V6,
        "not a conflicting one in short upper case",
        &[
            "assignment::an_address_of_a_host_is_refused_in_capitals",
            "assignment::an_address_that_another_object_has_is_refused_in_any_notation",
        ],
        Plays,
    ),
    (
        V6,
        "not what is no address",
        &["assignment::what_is_no_address_spoils_the_object_and_is_tried_again_fifteen_times"],
        Plays,
    ),
    (
        DUAL,
        "IPv4 on the node that can, though it has more",
        &["assignment::an_address_of_v4_goes_to_the_node_that_has_it_however_much_that_one_carries"],
        Plays,
    ),
    (DUAL, "not CIDR notation", &["assignment::a_range_is_no_address"], Plays),
    (WATCH, "status of IPv4", &["status::status_of_an_address_of_v4_is_written_and_cleared_with_the_nodes"], Plays),
    (WATCH, "status of IPv6", &["status::status_of_an_address_of_v6_is_written_in_its_shortest_form"], Plays),
    (WATCH, "status of both", &["status::two_families_of_one_object_need_two_nodes"], Plays),
    (WATCH, "marks on add, update, delete", &["status::a_mark_is_given_kept_and_given_back"], Plays),
    (
        SYNC,
        "dual-stack: no move if cache and status agree",
        &["status::valid_status_of_two_families_is_left_alone_at_a_start"],
        Plays,
    ),
    (
        SYNC,
        "two addresses on one node are repaired",
        &["status::two_addresses_of_an_object_on_one_node_are_spread_at_a_start"],
        Plays,
    ),
    (
        SYNC,
        "an address that cannot be parsed is repaired",
        &["status::status_with_what_is_no_address_is_written_anew"],
        Plays,
    ),
    (
        SYNC,
        "an address that the node cannot host is repaired",
        &["status::status_with_an_address_that_its_node_cannot_have_is_written_anew"],
        Plays,
    ),
    (
        SYNC,
        "status agrees with CloudPrivateIPConfigs",
        &["status::an_item_without_its_object_in_the_cloud_goes_at_a_start"],
        Plays,
    ),
    (
        SYNC,
        "a failover during an update of one",
        &["status::an_item_on_another_node_than_the_clouds_object_is_no_reason_to_drop_it_at_a_start"],
        Plays,
    ),
    (
        SYNC,
        "status agrees with no CloudPrivateIPConfig",
        &["status::all_items_go_at_a_start_if_the_cloud_has_no_objects"],
        Plays,
    ),
    (SYNC, "IPv4: no move if cache and status agree", &["status::valid_status_of_v4_is_left_alone_at_a_start"], Plays),
    (
        SYNC,
        "new and existing marks",
        &["status::marks_that_objects_have_are_kept_at_a_start_and_others_get_new_ones"],
        Plays,
    ),
    (
        SYNC,
        "no duplicate over a restart",
        &["status::an_address_that_two_objects_ask_for_stays_where_it_is_over_a_restart"],
        Plays,
    ),
    (
        OTHERS,
        "two objects with one address",
        &["status::the_second_of_two_objects_with_one_address_gets_nothing"],
        Plays,
    ),
    (
        OTHERS,
        "re-assignment when the list changes",
        &["status::an_object_whose_address_changes_gets_the_new_one_in_one_step"],
        Plays,
    ),
    (
        OTHERS,
        "marks go round",
        &[
            "status::marks_go_round_and_end_without_harm",
            "status::the_five_thousand_and_first_object_has_no_mark_and_works",
        ],
        Plays,
    ),
    (UNITS, "the health server's answers", &[], Not("the node's side of probing")),
    (
        UNITS,
        "a healthy answer is reported",
        &["nodes::a_probe_that_is_answered_makes_an_earlier_loss_forgotten"],
        Plays,
    ),
    (
        UNITS,
        "whether the cloud's annotation has changed",
        &["both::a_change_of_the_annotation_is_a_change_of_its_text"],
        Plays,
    ),
    (UNITS, "parsing of node annotations", &["both::annotations_of_a_cloud_are_read_to_the_letter"], Plays),
    (PLANNED, "a subset matches", &["selectors::only_nodes_that_are_selected_get_addresses_label_or_not"], Plays),
    (
        PLANNED,
        "none matches",
        &["selectors::a_selector_that_nothing_matches_leaves_addresses_without_a_node_and_says_so"],
        Plays,
    ),
    (PLANNED, "a node matches no longer", &["selectors::a_node_that_matches_no_longer_loses_its_addresses"], Plays),
    (
        PLANNED,
        "a new match gets what is unassigned",
        &["selectors::a_node_that_matches_anew_gets_only_what_has_no_node"],
        Plays,
    ),
    (
        PLANNED,
        "the empty selector, and none",
        &["selectors::the_empty_selector_selects_all_nodes_and_no_selector_those_with_the_label"],
        Partly("the empty one selects all nodes, as merged"),
    ),
    (PLANNED, "all operators", &["selectors::expressions_of_all_operators_select"], Plays),
    (PLANNED, "with CloudPrivateIPConfigs", &["selectors::selectors_hold_on_a_cloud_as_well"], Plays),
    (PLANNED, "with secondary networks", &["selectors::selectors_hold_for_networks_beside_the_clusters"], Plays),
    (PLANNED, "disjoint selectors", &["selectors::two_selectors_part_the_nodes"], Plays),
    (
        PLANNED,
        "selector and labels at once",
        &["selectors::a_selector_and_labels_that_change_together_end_with_each_address_on_one_node"],
        Plays,
    ),
];
