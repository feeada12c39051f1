"""smtplib: host port security user password sender recipients file."""

import smtplib
import ssl
import sys
from pathlib import Path

host, port, security, user, password, sender, recipients, file = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with (
    smtplib.SMTP_SSL(host, int(port), timeout=60, context=context)
    if security == "tls"
    else smtplib.SMTP(host, int(port), timeout=60) as client
):
    if security == "starttls":
        client.starttls(context=context)
    if user:
        client.login(user, password)
    refused = client.sendmail(sender, recipients.split(","), Path(file).read_bytes())
    assert not refused, refused
