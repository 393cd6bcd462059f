"""Python's own mail libraries. One job a run, described by a JSON object on standard input; results are files."""
import imaplib
import json
import poplib
import smtplib
import ssl
import sys

job = json.load(sys.stdin)
context = ssl.create_default_context(cafile=job["ca"])
host, port, security = job["host"], job["port"], job["security"]
poplib._MAXLINE = 1 << 20
imaplib._MAXLINE = 1 << 20


def write(name, data):
    with open(f"{job['folder']}/{name}", "wb") as file:
        file.write(data)


def imap():
    if security == "tls":
        box = imaplib.IMAP4_SSL(host, port, ssl_context=context)
    else:
        box = imaplib.IMAP4(host, port)
        if security == "starttls":
            box.starttls(context)
    if job["mechanism"] == "PLAIN":
        box.authenticate("PLAIN", lambda _: f"\0{job['user']}\0{job['password']}".encode())
    else:
        box.login(job["user"], job["password"])
    ok(box.select("INBOX"))

    def uid(subject):
        return ok(box.uid("SEARCH", "SUBJECT", f'"{subject}"'))[0].split()[0]

    keep = uid(job["keep"])
    write("read", ok(box.uid("FETCH", keep, "(BODY.PEEK[])"))[0][1])
    ok(box.uid("STORE", keep, "+FLAGS", r"(\Flagged)"))
    ok(box.uid("MOVE", uid(job["move"]), "Archive"))
    with open(job["append"], "rb") as file:
        ok(box.append("INBOX", None, None, file.read()))
    ok(box.uid("STORE", uid(job["delete"]), "+FLAGS", r"(\Deleted)"))
    ok(box.expunge())
    box.close()
    box.logout()


def ok(answer):
    status, data = answer
    if status != "OK":
        raise SystemExit(f"{status} {data}")
    return data


def pop3():
    box = poplib.POP3_SSL(host, port, context=context) if security == "tls" else poplib.POP3(host, port)
    if security == "starttls":
        box.stls(context)
    box.user(job["user"])
    box.pass_(job["password"])
    for number in range(1, box.stat()[0] + 1):
        data = b"".join(line + b"\r\n" for line in box.retr(number)[1])
        write(f"read{number}", data)
        if job["delete"].encode() in data:
            box.dele(number)
    box.quit()


def smtp():
    box = smtplib.SMTP_SSL(host, port, context=context) if security == "tls" else smtplib.SMTP(host, port)
    if security == "starttls":
        box.starttls(context=context)
    box.login(job["user"], job["password"])
    with open(job["message"], "rb") as file:
        refused = box.sendmail(job["from"], [job["to"]], file.read())
    if refused:
        raise SystemExit(str(refused))
    box.quit()


{"imap": imap, "pop3": pop3, "smtp": smtp}[job["protocol"]]()
