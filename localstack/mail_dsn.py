"""The delivery status notification that returns a mail: RFC 3464, with the headers of the original."""

from email.utils import formatdate, make_msgid

from localstack.mail_headers import split_mail

_FORM = """\
From: Mail Delivery System <MAILER-DAEMON@{host}>
To: {sender}
Subject: Undelivered Mail Returned to Sender
Date: {date}
Message-ID: {message_id}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"

This is a MIME-encapsulated message.

--{boundary}
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host {host}.

Your message could not be delivered to one or more recipients.

<{recipient}>: {diagnostic}

--{boundary}
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; {host}
Arrival-Date: {date}

Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: failed
Status: 5.1.1
Remote-MTA: dns; {host}
Diagnostic-Code: smtp; {diagnostic}

--{boundary}
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

"""


def notification(original: bytes, *, host: str, sender: str, recipient: str, at_ms: int) -> bytes:
    """The notification for `sender`, the envelope's, that `recipient` does not exist."""
    message_id = make_msgid(domain=host)
    boundary = f"dsn.{message_id[1:-1].partition('@')[0]}"
    said = _FORM.format(
        host=host,
        sender=sender,
        recipient=recipient,
        date=formatdate(at_ms / 1000),
        message_id=message_id,
        boundary=boundary,
        diagnostic=f"550 5.1.1 <{recipient}> User unknown",
    )
    headers = b"".join(split_mail(original)[0])
    return said.replace("\n", "\r\n").encode() + headers + f"\r\n--{boundary}--\r\n".encode()
