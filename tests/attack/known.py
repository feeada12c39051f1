"""What has gone wrong in other mail servers, what it teaches, and which test here shows that it does not happen.

C{BUG_CLASSES} are those that audits of 2026 found in Postfix; C{VULNERABILITIES} are published ones of the last decade.  C{tests} are
files below C{tests/} with a function behind C{::}; C{test_known.py} checks that each is there.  An entry without tests says why.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Known:
    """One thing that went wrong elsewhere.

    @ivar lesson: what follows from it.
    @ivar tests: what shows it.
    @ivar absent: why it cannot happen here, where no test can show it.
    """

    name: str
    lesson: str
    tests: tuple[str, ...] = ()
    absent: str = ""


_MATRIX = "proof/test_reset_matrix.py::test_on_the_engine"
_MACHINE = "proof/test_engine_machine.py::EngineMachine"
_SMUGGLING = ("attack/test_smuggling.py::test_strict_connector", "attack/test_smuggling.py::test_normalising_connector")
_STARTTLS = (
    "attack/test_twisted_server_holes.py::test_t1_commands_behind_starttls_are_never_executed",
    "attack/test_twisted_server_holes.py::test_t1_a_fragment_behind_starttls_never_becomes_part_of_the_first_line_under_tls",
    "attack/test_twisted_server_holes.py::test_t1_no_state_survives_starttls",
    "interop/test_recorded_dialogues.py::test_commands_behind_starttls_are_never_answered",
)
_HOSTILE_TEXT = "attack/test_known.py::test_hostile_text_is_only_text"
_HOSTILE_CONTENT = "attack/test_running_relay.py::test_hostile_content_passes_unread"

BUG_CLASSES = (
    Known(
        "1 BDAT error leaves RCPT",
        "what ends a transaction ends all of it",
        ("wire/test_chunking.py::test_a_refused_chunk_ends_its_transaction", _MATRIX, _MACHINE),
    ),
    Known(
        "2 reject at the end of data leaves MAIL and RCPT",
        "a refused message is over",
        ("attack/test_state_reset.py::test_a_reject_at_the_end_of_data_lets_no_second_message_through", _MATRIX),
    ),
    Known(
        "3 VRFY with UTF-8 resets MAIL and not RCPT",
        "what does not end a transaction ends nothing of it",
        ("attack/test_state_reset.py::test_what_does_not_end_a_transaction_keeps_both_mail_and_rcpt",),
    ),
    Known(
        "4 unlimited discarded input",
        "what is thrown away is bounded in time and memory",
        (
            "attack/test_twisted_server_holes.py::test_t4_an_endless_command_line_is_held_in_bounded_memory_and_answered_once",
            "wire/test_body.py::test_too_much_is_eaten_to_the_true_end_and_kept_nowhere",
            "wire/test_chunking.py::test_nobody_sends_forever_for_nothing",
            "wire/test_client_replies.py::test_twisted_a2_24_unlimited_continuation_lines_are_bounded",
        ),
    ),
    Known(
        "5 memory for each of many small commands",
        "a session keeps no history",
        (
            "attack/test_known.py::test_commands_leave_nothing_behind",
            "attack/test_known.py::test_tiny_chunks_are_held_as_one_message",
            "wire/test_chunking.py::test_a_flood_of_tiny_chunks_costs_little",
        ),
    ),
    Known(
        "6 memory of a session that was turned away",
        "who is turned away is not read",
        ("attack/test_known.py::test_who_is_turned_away_is_not_read",),
    ),
    Known(
        "7 size limit passed by mbox From lines",
        "every octet counts, and nothing in front of the header section is special",
        ("attack/test_known.py::test_from_lines_are_content",),
    ),
    Known(
        "8 encoded NUL and TAB in ENVID and ORCPT",
        "what is decoded is checked again",
        ("attack/test_known.py::test_encoded_controls", "proof/targets/commands.py::xtext_values"),
    ),
    Known(
        "9 malformed multi-line replies",
        "a reply is a value, and its text is made safe where it comes in",
        ("wire/test_client_replies.py::test_remote_text_is_made_safe", "proof/targets/client.py::replies"),
    ),
    Known(
        "10 half a body committed",
        "content that could not be written whole is no message",
        ("spool/test_content.py::test_disk_refuses_a_large_content", "net/test_message.py::test_half_a_message_is_thrown_away"),
    ),
    Known(
        "11 a TLS ticket accepted by another service",
        "what a connector demands of its clients is asked again at each door",
        (
            "end_to_end/test_tls_connectors.py::test_tickets_open_at_their_own_connector_only",
            "tls/test_serverside.py::test_sessions_resume_at_their_own_connector_only",
        ),
    ),
    Known(
        "12 verification cache poisoned",
        "only a refusal that is about the recipient makes one unknown; answers are kept for a bounded time, in bounded number",
        (
            "delivery/test_callahead.py::test_what_a_reply_says_about_the_recipient",
            "policy/recipients/test_recipients.py::test_answers_are_good_for_their_time_and_few",
            "policy/recipients/test_recipients.py::test_where_nobody_can_tell",
        ),
    ),
    Known(
        "13 comparison of addresses that is not transitive",
        "ranges against an oracle, both sides of each edge",
        ("values/test_netrange.py::test_lookup_agrees_with_brute_force", "attack/test_open_relay.py::test_27_both_sides_of_each_edge"),
    ),
    Known(
        "14 a descriptor closed twice when TLS ends",
        "one owner for each connection",
        ("net/test_tls.py::test_a_handshake_that_fails", "net/test_tls.py::test_a_client_that_distrusts_the_certificate"),
    ),
    Known("15 TLSA records of no length", "lengths are checked first", absent="no TLSA record is read"),
    Known(
        "16 includes that include themselves",
        "recursion has a guard",
        ("config/test_sources.py::test_an_include_of_itself_is_read_once", "config/test_sources.py::test_aliases_work_and_cannot_explode"),
    ),
    Known(
        "17 one failure fails all later mail of a connection",
        "a failure belongs to its message",
        ("net/test_message.py::test_the_disk_refuses", "attack/test_known.py::test_a_failed_message_fails_no_other"),
    ),
)

VULNERABILITIES = (
    Known("Exim CVE-2019-10149", "text of a client is never expanded or formatted", (_HOSTILE_TEXT,)),
    Known(
        "Exim CVE-2019-15846, CVE-2019-16928",
        "long and odd names in EHLO and SNI",
        ("attack/test_known.py::test_long_and_odd_hellos", "attack/test_running_relay.py::test_odd_server_names"),
    ),
    Known(
        "Exim CVE-2017-16943, CVE-2017-16944, EXIM-Security-2026-05-01.1",
        "BDAT with errors, RSET, STARTTLS and ends",
        (
            _MATRIX,
            _MACHINE,
            "end_to_end/test_extensions.py::test_chunks_that_are_cut_off_are_no_message",
            "proof/targets/chunks.py::chunks",
        ),
    ),
    Known(
        "Exim CVE-2020-28007 and others (21Nails)",
        "private files, limits on all that is counted",
        ("spool/test_sqlite.py::test_directory_is_private", "delivery/test_maildir.py::test_modes_keep_others_out"),
    ),
    Known(
        "Exim CVE-2023-42114 to 42119",
        "no mechanism that nobody needs, and those that there are, and the PROXY header, read by small exact parsers",
        (
            "interop/test_recorded_dialogues.py::test_an_offered_mechanism_only",
            "interop/test_auth.py::test_certificates_that_do_not_do",
            "proof/targets/logins.py::sasl_exchange",
            "proof/targets/proxy.py::proxy",
        ),
    ),
    Known(
        "Exim CVE-2023-51766, Postfix 51764, Sendmail 51765, James 51747, aiosmtpd CVE-2024-27305, Postal 27938", "smuggling", _SMUGGLING
    ),
    Known(
        "Exim CVE-2024-39929, CVE-2026-40685, CVE-2026-40686",
        "content is not parsed to be relayed",
        (_HOSTILE_CONTENT, "proof/targets/content.py::firewall"),
    ),
    Known(
        "Exim CVE-2025-26794, CVE-2025-67896",
        "text of a client is never part of a statement",
        (_HOSTILE_TEXT, "spool/test_sqlite.py::test_text_that_a_database_refuses_is_made_harmless"),
    ),
    Known(
        "Exim CVE-2025-30232", "what only logs is attack surface too", ("observe/test_logs.py::test_hostile_text_is_escaped_everywhere",)
    ),
    Known(
        "OpenSMTPD CVE-2020-7247, CVE-2020-8794",
        "no shell; what a remote server says never breaks a field of the spool",
        (_HOSTILE_TEXT, "wire/test_client_replies.py::test_remote_text_is_made_safe"),
    ),
    Known(
        "OpenSMTPD CVE-2025-62875", "garbage on the control socket", ("attack/test_running_relay.py::test_garbage_on_the_control_socket",)
    ),
    Known(
        "OpenSMTPD 7.8.0p1",
        "what goes into a line of another program's protocol cannot end it",
        (
            "policy/external/test_dovecot.py::test_nothing_is_asked_about_impossible_logins",
            "policy/external/test_names.py::test_names_that_nobody_is_asked_about",
        ),
    ),
    Known(
        "Maddy GHSA-5835-4gvc-32pc",
        "a login name is escaped where it goes into a filter or a DN",
        (
            "end_to_end/test_credential_checkers.py::test_ldap_search_and_bind",
            "policy/external/test_ldap.py::test_no_name_reaches_another_entry",
        ),
    ),
    Known("Postfix CVE-2011-0411, aiosmtpd CVE-2024-34083, nodemailer 1835", "nothing passes from the clear into TLS", _STARTTLS),
    Known(
        "CVE-2009-3555",
        "no renegotiation",
        ("interop/test_scanners.py::test_sslscan_finds_nothing_weak", "tls/test_serverside.py::test_a_client_cannot_renegotiate"),
    ),
    Known(
        "Haraka CVE-2016-1000282, CVE-2026-34752",
        "a message that breaks something breaks its own session only",
        (_HOSTILE_CONTENT, "net/test_message.py::test_any_other_failure_of_the_spool_is_451"),
    ),
    Known(
        "Stalwart CVE-2026-26312, CVE-2025-61600",
        "depth and size have limits",
        (_HOSTILE_CONTENT, "delivery/test_mimetree.py::test_bounds", "delivery/test_mimetree.py::test_hostile_content_takes_no_longer"),
    ),
    Known(
        "Twisted CVE-2020-10108, CVE-2022-24801, CVE-2023-46137, CVE-2024-41671",
        "framing that two servers read alike",
        ("attack/test_twisted_server_holes.py::test_t3_an_over_long_line_in_data_does_not_end_it",),
    ),
    Known(
        "Twisted CVE-2022-21716, Mailpit GHSA-r553, GHSA-w878",
        "lines without an end",
        (
            "attack/test_twisted_server_holes.py::test_t4_an_endless_auth_line",
            "net/test_pressure.py::test_an_endless_line_stays_small",
            "wire/test_client_replies.py::test_line_without_end_is_bounded",
        ),
    ),
)
