"""Which parameter of a receive connector a refusal comes from.

It decides nothing: where a reply is only ever given for one parameter, the log names that parameter.  Limits that share a reply
(connections, time-outs) are named by who finds them broken.

Source: Set-ReceiveConnector.
"""

from __future__ import annotations

from collections.abc import Mapping

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply

LIMITS: Mapping[Reply, str] = {
    replies.RATE_EXCEEDED: "message_rate_limit",
    replies.TOO_MANY_ERRORS: "max_protocol_errors",
    replies.TOO_MANY_FAILED_LOGONS: "max_logon_failures",
    replies.TOO_MANY_RECIPIENTS: "max_recipients_per_message",
    replies.DOMAIN_REQUIRED: "require_ehlo_domain",
    replies.STARTTLS_REQUIRED: "require_tls",
    replies.BARE_LINE_ENDING: "bare_linefeed_rejection_enabled",
    replies.RESERVED_TOP_LEVEL_DOMAIN: "reject_reserved_top_level_recipient_domains",
    replies.RESERVED_SECOND_LEVEL_DOMAIN: "reject_reserved_second_level_recipient_domains",
    replies.SINGLE_LABEL_DOMAIN: "reject_single_label_recipient_domains",
    replies.MESSAGE_TOO_LARGE: "max_message_size",
    replies.HOLD_TOO_LONG: "max_future_release_interval",
    replies.HEADER_TOO_LARGE: "max_header_size",
    replies.HOP_COUNT_EXCEEDED: "max_hop_count",
    replies.LOCAL_HOP_COUNT_EXCEEDED: "max_local_hop_count",
}
