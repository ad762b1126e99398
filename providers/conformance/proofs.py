"""The proofs, in the order of the report."""

from typing import Final

from providers.conformance import answers, callbacks, calls, declared, hidden, played, requests
from providers.conformance.suite import Proof

PROOFS: Final[tuple[Proof, ...]] = (
    declared.the_folder_is_whole_and_small,
    declared.the_tables_are_sound,
    declared.a_reference_is_ours_alone,
    declared.nothing_but_the_operation_is_read,
    declared.the_simulator_shares_no_code_with_the_adapter,
    requests.the_same_operation_is_the_same_bytes,
    requests.a_request_names_its_operation,
    requests.amounts_are_exact,
    answers.answers_mean_what_the_documents_say,
    answers.every_row_of_every_table_is_reached,
    answers.a_word_nobody_knows_settles_nothing,
    answers.an_answer_may_have_more_members,
    answers.a_damaged_answer_never_says_something_else,
    answers.an_answer_about_another_operation_proves_nothing,
    answers.what_breaks_in_between_settles_nothing,
    answers.a_success_under_an_error_is_no_decline,
    answers.an_error_of_a_query_is_not_the_payments,
    calls.a_case_means_the_same_over_a_socket,
    calls.a_login_is_refused_only_by_the_provider,
    calls.before_the_first_byte_nothing_was_sent,
    calls.after_the_first_byte_nothing_is_not_sent,
    callbacks.callbacks_mean_what_the_documents_say,
    callbacks.a_callback_that_cannot_be_read_is_refused,
    callbacks.a_damaged_callback_never_says_something_else,
    callbacks.a_poll_and_a_callback_agree,
    callbacks.an_authentic_callback_is_believed,
    callbacks.what_is_not_the_providers_is_refused,
    hidden.secrets_are_not_shown,
    played.the_simulator_and_the_adapter_agree,
)
