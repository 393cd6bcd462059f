"""What a mail program does: send by SMTP, then store its copy in Sent by IMAP. Arguments: SMTP port, IMAP port, user, password, subject."""
import imaplib
import smtplib
import sys
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

smtp_port, imap_port, user, password, subject = sys.argv[1:]
letter = EmailMessage()
letter["From"] = user
letter["To"] = "bob@contoso.test"
letter["Subject"] = subject
letter["Date"] = formatdate(localtime=True)
letter["Message-ID"] = make_msgid(domain="contoso.test")
letter.set_content("hello\n\n. a dot\n" + "x" * 70 + "\n")
letter.add_attachment(b"y" * 200_000, maintype="application", subtype="octet-stream", filename="y.bin")
with smtplib.SMTP("127.0.0.1", int(smtp_port)) as smtp:
    smtp.login(user, password)
    smtp.send_message(letter)
with imaplib.IMAP4("127.0.0.1", int(imap_port)) as imap:
    imap.login(user, password)
    letter["X-Program"] = "its own copy says more"
    octets = letter.as_bytes().replace(b"\n", b"\r\n")
    status, said = imap.append('"Sent Items"', r"(\Seen)", imaplib.Time2Internaldate(time.time()), octets)
    assert status == "OK", said
    status, said = imap.select('"Sent Items"', readonly=True)
    assert status == "OK", said
