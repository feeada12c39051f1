"""What real clients do that a server written from the RFCs alone would not expect, and the test in which each of them works.

C{test_quirks.py} checks that each named test is there.  Sources: recordings of the clients (the first part), their bug reports and those of
servers that turned them away (the second; project and number are given), and protocol knowledge (the third: weaker evidence).
"""

from __future__ import annotations

_DIALOGUE = "interop/test_recorded_dialogues.py"
_MATRIX = "interop/test_client_matrix.py::test_a_message_arrives"

#: Client, what it does, the test.
RECORDED: tuple[tuple[str, str, str], ...] = (
    (".NET SmtpClient", "EHLO with a bare machine name", f"{_DIALOGUE}::test_send_mailmessage"),
    (".NET SmtpClient", "wants STARTTLS in the reply to EHLO", f"{_DIALOGUE}::test_send_mailmessage"),
    (".NET SmtpClient", "AUTH login in lower case, the user as initial response", f"{_DIALOGUE}::test_send_mailmessage"),
    (".NET SmtpClient", "NOTIFY where DSN is offered", f"{_DIALOGUE}::test_send_mailmessage"),
    (".NET SmtpClient", "header, body, CRLF and CRLF.CRLF in writes of their own", f"{_DIALOGUE}::test_send_mailmessage"),
    (".NET Core 3.1", "no QUIT", f"{_DIALOGUE}::test_send_mailmessage"),
    (".NET Framework, .NET 5", "QUIT, and closes without reading the reply", f"{_DIALOGUE}::test_dotnet_does_not_wait_for_221"),
    (".NET SmtpClient", "HELO where EHLO gets 500 or 502: it never does", f"{_DIALOGUE}::test_dotnet_falls_back_to_helo"),
    (
        ".NET SmtpClient",
        "tries gssapi and ntlm where they are offered; 504 means the next one",
        f"{_DIALOGUE}::test_an_offered_mechanism_only",
    ),
    (".NET SmtpClient", "AUTH gssapi, a blank, an empty line", f"{_DIALOGUE}::test_dotnet_gssapi_without_credentials"),
    (".NET SmtpClient", "DOMAIN\\user", f"{_DIALOGUE}::test_send_mailmessage_with_a_wrong_password"),
    (".NET SmtpClient", "goes on with MAIL after 535", f"{_DIALOGUE}::test_send_mailmessage_with_a_wrong_password"),
    (".NET SmtpClient", "BODY=8BITMIME SMTPUTF8 with DeliveryFormat International", f"{_DIALOGUE}::test_go_and_dotnet_international"),
    ("smtplib", "ehlo, mail FROM:<a> size=87, data in lower case", f"{_DIALOGUE}::test_smtplibs_spelling"),
    ("nodemailer", "MAIL, RCPT and DATA in one packet, no QUIT", f"{_DIALOGUE}::test_nodemailer"),
    ("msmtp", "RCPT and DATA in one packet", f"{_DIALOGUE}::test_msmtp_with_a_refused_recipient"),
    ("Go net/smtp", "BODY=8BITMIME SMTPUTF8 whenever they are offered", f"{_DIALOGUE}::test_go_and_dotnet_international"),
    ("git send-email", "EHLO twice after TLS", f"{_DIALOGUE}::test_git"),
    ("JavaMail", "PLAIN repeats the user as authorisation identity", f"{_DIALOGUE}::test_javamail_repeats_the_user"),
    ("s-nail, mutt", "HELO without an account, also under TLS", _MATRIX),
    ("s-nail, mutt", "the stuffed dot in a packet of its own", f"{_DIALOGUE}::test_mutt_puts_the_stuffed_dot_in_a_packet_of_its_own"),
    ("curl, s-nail", "AUTH PLAIN in two steps", f"{_DIALOGUE}::test_auth_plain_in_two_steps"),
)

REPORTED: tuple[tuple[str, str, str], ...] = (
    ("Outlook (mox 51, 101)", "MAIL FROM: <a>", f"{_DIALOGUE}::test_outlook_com"),
    ("HP 4345 (smtp_to_telegram 2)", "no angle brackets", f"{_DIALOGUE}::test_odd_names"),
    ("LSI MegaRAID (SmtpServer 219)", "no angle brackets at MAIL and RCPT", f"{_DIALOGUE}::test_megaraid"),
    ("HP 477dw (postal 2005)", "HELO [ip]", f"{_DIALOGUE}::test_odd_names"),
    ("HP 477dw (postal 2005)", "a TLS hello on the clear port", f"{_DIALOGUE}::test_a_tls_hello_on_the_clear_port"),
    ("HP (postal 1245)", "AUTH after HELO", f"{_DIALOGUE}::test_hp_logs_in_after_helo"),
    ("Xerox (smtp-oauth-relay 57)", "leaves unless the prompt is VXNlcm5hbWU6", f"{_DIALOGUE}::test_xerox_wants_its_prompts"),
    ("outlook.com (SmtpServer 164)", "SIZE=n AUTH=<>, closes right after QUIT", f"{_DIALOGUE}::test_outlook_com"),
    ("CUPS (cups 3011)", "ended data with .LF: never accepted", "attack/test_smuggling.py::test_a_message_that_begins_with_a_false_end"),
    ("MailKit (162)", "EHLO after AUTH keeps the login", f"{_DIALOGUE}::test_mailkit_says_ehlo_again"),
    ("check_smtp", "EHLO (null)", f"{_DIALOGUE}::test_odd_names"),
    ("qBittorrent (1845)", "ehlo FE80::1", f"{_DIALOGUE}::test_odd_names"),
    (
        "Mono's SmtpClient, old scanners",
        "TLS 1.0 only: a connector of their own",
        "end_to_end/test_tls_connectors.py::test_an_old_scanner_has_a_connector_of_its_own",
    ),
    (
        "the article's telnet",
        "helo without a name, a space, no brackets, a final dot",
        "end_to_end/test_article.py::test_internal_relay_in_the_articles_words",
    ),
)

FROM_KNOWLEDGE: tuple[tuple[str, str, str], ...] = (
    ("Thunderbird", "its own address as a literal, BODY=8BITMIME SIZE=n", f"{_DIALOGUE}::test_dialogues_from_protocol_knowledge"),
    ("Apple Mail", "PLAIN with an initial response, SIZE=n", f"{_DIALOGUE}::test_dialogues_from_protocol_knowledge"),
    ("Domino", "no PIPELINING, RSET in front of MAIL", f"{_DIALOGUE}::test_dialogues_from_protocol_knowledge"),
    ("Exim, Sendmail", "pipelined envelopes, SIZE and BODY", f"{_DIALOGUE}::test_dialogues_from_protocol_knowledge"),
)
