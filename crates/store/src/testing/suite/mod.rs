//! The contract suite: what every backend must do, each case written once.
//!
//! `tests/it` stamps it onto each backend with [`contract_suite!`](crate::contract_suite), whose one list below is the
//! suite; a test there compares the list with the files. A new backend is right when all of it passes. Invariant: cases
//! know nothing of a backend but [`Backend`](super::Backend), so none can be left out for one of them.

#![expect(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a case's name says what it checks, and a failure is a failed test"
)]

pub mod api_keys;
pub mod audit;
pub mod catalog;
pub mod deletion;
pub mod feed;
pub mod hosts;
pub mod idempotency;
pub mod installation;
pub mod listing;
pub mod provisioning;
pub mod publishing;
pub mod races;
pub mod scopes;
pub mod tenants;
pub mod transactions;

use std::time::Duration;

use super::Backend;
use crate::error::{Conflict, Result, StoreError};

/// A case that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs one case on a fresh database.
///
/// # Panics
/// When the case fails or hangs.
pub async fn run<B: Backend>(name: &str, case: impl AsyncFnOnce(&dyn Backend)) {
    let Some(backend) = B::open().await else { return super::note_skipped(name) };
    tokio::time::timeout(LIMIT, case(&backend)).await.unwrap_or_else(|_| panic!("{name} takes longer than {LIMIT:?}"));
    backend.store().close().await;
}

/// The conflict that a call ended with.
#[track_caller]
fn conflict<T: std::fmt::Debug>(outcome: Result<T>) -> Conflict {
    match outcome {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("not a conflict: {other:?}"),
    }
}

/// Stamps one test per case onto a backend: `contract_suite!(sqlite_memory, SqliteMemory)`.
#[macro_export]
macro_rules! contract_suite {
    ($name:ident, $backend:ty) => {
        $crate::contract_suite! { @cases stamp ($name, $backend) }
    };
    (@cases $then:ident $with:tt) => {
        $crate::contract_suite! { @$then $with
            // Add yours here.
            tenants {
                a_tenant_comes_back_with_every_field
                a_bare_tenant_comes_back
                instants_keep_their_microseconds
                hosts_keep_their_order
                a_tenant_is_found_by_its_slug_and_only_by_all_of_it
                an_update_is_read_back_and_leaves_the_hosts
                a_stale_update_is_refused
                an_update_of_a_tenant_that_is_not_there_is_refused
                a_slug_conflict_is_typed
                an_id_that_exists_is_refused
                a_slug_is_free_again_after_deletion
                a_host_is_free_again_after_deletion
                ended_trials_come_earliest_first_and_as_many_as_asked_for
                text_with_nul_is_kept_or_refused_whole
                tenants_are_found_by_a_member_of_their_metadata
            }
            listing {
                tenants_are_listed_newest_first
                pages_neither_repeat_nor_skip_while_tenants_are_added
                filters_narrow_the_list
                the_status_filter_reads_by_the_clock
                no_character_of_the_text_filter_is_a_wildcard
                the_text_filter_ignores_case
                routes_are_paged_in_the_order_of_their_bytes
                routes_of_a_host_come_in_the_order_of_their_prefixes
                page_limits_may_be_as_large_as_numbers_get
            }
            hosts {
                a_route_of_another_tenant_is_taken
                overlapping_prefixes_are_refused_or_allowed_as_asked
                hosts_under_another_tenants_wildcard_are_refused_or_allowed_as_asked
                a_tenant_does_not_overlap_with_itself
                a_tenant_that_meets_a_taken_host_is_not_stored
                a_route_is_removed_once
                removing_a_route_of_another_tenant_removes_nothing
                added_hosts_stand_behind_the_earlier_ones
            }
            races {
                of_two_that_want_one_slug_the_later_loses
                a_slug_that_was_rolled_back_is_free
                of_two_that_want_one_host_the_later_loses
                a_host_that_was_rolled_back_is_free
                of_many_that_want_one_slug_one_wins
                of_two_that_want_overlapping_prefixes_one_wins
                two_that_want_the_same_hosts_in_opposite_orders_both_end
                a_locked_tenant_shows_the_hosts_committed_while_it_waited
                concurrent_updates_of_a_locked_tenant_are_all_kept
            }
            transactions {
                after_an_error_every_later_call_fails_with_finished
                after_an_error_a_commit_fails_with_finished
                after_an_error_an_unaudited_commit_fails_with_finished
                a_dropped_transaction_is_rolled_back
                a_transaction_that_failed_leaves_nothing
                a_commit_that_fails_leaves_neither_change_nor_feed_row
                changes_are_not_committed_without_audit
                a_view_sees_nothing_uncommitted
                a_view_stays_as_it_was_at_its_first_read
                reads_go_on_while_a_writer_is_open
                a_transaction_reads_its_own_writes
                more_transactions_than_connections_all_end
            }
            deletion {
                children_go_with_their_parent
                events_of_a_deleted_tenant_lose_their_group_at_once
                events_are_detached_in_batches
                detaching_leaves_the_events_of_others_alone
                events_of_a_former_tenant_are_found_by_it
                pages_of_a_former_tenant_are_whole_while_it_is_being_detached
                deleting_twice_is_refused
            }
            audit {
                an_event_comes_back_with_every_field
                an_anonymous_event_comes_back
                events_are_paged_over_equal_times
                filters_narrow_the_log
                each_filter_narrows_the_log
                events_cannot_be_changed_or_deleted_through_sql
                a_batch_of_thousands_of_events_is_written
                an_event_without_an_actor_has_to_be_anonymous
            }
            publishing {
                published_events_come_back_with_their_ids_in_order
                an_external_id_names_one_event_of_its_tenant
                an_external_id_twice_in_one_batch_is_one_event
                events_of_nobody_are_not_told_apart
                of_two_that_publish_one_external_id_one_is_stored
                two_that_publish_the_same_ids_in_opposite_orders_both_end
                what_is_rolled_back_claims_no_external_id
                external_ids_cannot_be_taken_back_through_sql
                external_ids_of_a_deleted_tenant_go_in_batches
                making_room_ahead_is_repeatable
                events_published_at_once_are_committed_and_whole
                events_published_at_once_are_stored_all_or_none
                what_claims_an_external_id_is_not_published_at_once
                many_that_publish_at_once_all_end
            }
            scopes {
                a_tenant_sees_only_itself
                a_tenant_that_is_not_there_sees_nothing
                a_tenant_changes_nothing
                a_tenant_appends_its_own_events_only
            }
            feed {
                the_feed_has_every_change_in_order
                a_tenants_value_has_no_hosts
                a_hosts_id_is_host_and_prefix
                a_deletion_emits_the_children_one_by_one_then_the_tenant
                a_page_of_the_feed_is_cut_at_its_limit
                a_commit_wakes_who_follows
                what_is_rolled_back_is_not_in_the_feed
                what_changes_no_tenant_is_not_in_the_feed
                the_head_is_the_last_change
                many_writers_leave_a_feed_with_every_change_once
            }
            catalog {
                an_entitlement_comes_back_with_every_field
                an_entitlement_is_written_over_and_stays_one_row
                an_entitlement_needs_its_product_and_its_tenant
                entitlements_are_listed_newest_first_with_their_tenants_standing
                a_product_comes_back_is_written_over_and_goes
                products_are_listed_newest_first_and_only_those_asked_for
                a_product_that_a_tenant_had_stays
                a_product_is_not_removed_while_it_is_being_granted
                a_product_is_not_granted_while_it_is_being_removed
                a_trial_is_used_once_for_each_tenant_and_product
                a_request_comes_back_and_is_decided_once
                one_request_of_a_tenant_for_a_product_is_open
                requests_are_listed_newest_first_and_filtered
                every_write_of_an_entitlement_is_in_the_feed
                what_a_tenant_has_goes_with_it
                a_tenant_sees_only_what_is_its_own_and_the_catalog
            }
            provisioning {
                the_work_of_a_tenant_begins_with_it_where_somebody_is_to_be_invited
                work_comes_back_with_every_field_and_shows_with_its_tenant
                work_is_one_workers_until_the_lease_is_over
                of_many_that_claim_work_one_gets_it
                every_change_of_a_tenant_or_of_what_it_has_asks_for_its_work
                what_is_asked_for_while_somebody_works_is_due_at_once
                the_work_outlives_its_tenant_and_goes_when_it_is_done
                a_mail_is_asked_for_and_work_begun_where_there_was_none
                who_shares_an_account_is_found_and_held
                an_account_that_is_not_ours_cannot_be_noted_as_switched_off
            }
            idempotency {
                a_key_is_reserved_once_at_a_time
                a_key_belongs_to_its_caller
                a_key_for_another_request_is_reused
                an_outcome_is_kept
                an_outcome_for_now_counts_as_running_and_gives_nothing_away
                a_lease_that_ran_out_is_taken_over
                a_late_completer_loses
                a_completer_without_a_reservation_loses
                a_released_key_can_be_reserved
                releasing_spares_outcomes_and_other_reservations
                a_record_expires
                records_are_purged_up_to_a_limit
                a_reservation_rolled_back_was_never_made
                of_racing_reservations_one_is_reserved
                a_purge_spares_a_key_that_is_taken_again_meanwhile
            }
            api_keys {
                a_key_comes_back_with_every_field
                a_hash_is_taken_once
                a_key_belongs_to_a_tenant_that_is_there_and_so_does_its_successor
                an_update_writes_a_keys_ends_and_nothing_else
                keys_are_listed_newest_first_and_in_pages
                a_tenant_sees_its_own_keys_and_writes_none
                a_use_is_noted_and_never_moves_backwards
                uses_of_a_thousand_keys_are_noted_at_once
                the_feed_tells_of_keys_by_their_hash
                keys_go_with_their_tenant_one_by_one
                a_locked_key_waits_for_its_holder
            }
            installation {
                the_installation_stays_the_same
                concurrent_first_starts_agree
                two_databases_are_two_installations
                the_schema_is_the_one_wanted
            }
        }
    };
    (@stamp ($name:ident, $backend:ty) $($file:ident { $($case:ident)+ })+) => {
        mod $name {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let name = concat!(stringify!($name), "::", stringify!($case));
                    $crate::testing::suite::run::<$backend>(name, $crate::testing::suite::$file::$case).await;
                }
            )+)+
        }
    };
    (@names () $($file:ident { $($case:ident)+ })+) => {
        &[$($((stringify!($file), stringify!($case)),)+)+]
    };
}

/// Every case, by file and name.
pub const CASES: &[(&str, &str)] = crate::contract_suite!(@cases names ());
