"""An IMAP program on Python's imaplib that stays connected and writes down what it is told, in the order it is told.

One JSON object on standard input says where to go. Then every line is an order: `noop`, `idle` (until the next line), or
`show`: the view it has kept since it selected INBOX, as JSON, beside what the server says now.
"""
import imaplib
import json
import re
import sys


class Watching(imaplib.IMAP4):
    """Keeps the order of untagged responses, which imaplib sorts by name."""

    def __init__(self, *args):
        self.view = []
        super().__init__(*args)

    def _append_untagged(self, name, data):
        super()._append_untagged(name, data)
        text = data.decode("latin1") if isinstance(data, bytes) else ""
        if name == "EXISTS":
            self.view += [[None, None] for _ in range(int(text) - len(self.view))]
        elif name == "EXPUNGE":
            del self.view[int(text) - 1]
        elif name == "FETCH":
            number, uid, flags = re.match(r"(\d+)", text), re.search(r"UID (\d+)", text), re.search(r"FLAGS \(([^)]*)\)", text)
            message = self.view[int(number[1]) - 1]
            if uid:
                assert message[0] in (None, int(uid[1])), f"{text}, it was {message[0]}"
                message[0] = int(uid[1])
            if flags:
                message[1] = sorted(flag for flag in flags[1].split() if flag != "\\Recent")


told = json.loads(sys.stdin.readline())
client = Watching(told["host"], told["port"])
client.login(told["user"], told["password"])
client.select("INBOX")
client.fetch("1:*", "(UID FLAGS)")
print("ready", flush=True)
for line in sys.stdin:
    order = line.strip()
    if order == "noop":
        status, _ = client.noop()
        print(status, flush=True)
    elif order == "idle":
        tag = client._new_tag()
        client.send(tag + b" IDLE\r\n")
        while client._get_response() is not None:
            pass  # None is the continuation request
        print("idling", flush=True)
        sys.stdin.readline()
        client.send(b"DONE\r\n")
        while client.tagged_commands.get(tag) is None:
            client.tagged_commands.setdefault(tag, None)
            client._get_response()
        print(client.tagged_commands.pop(tag)[0], flush=True)
    elif order == "show":
        kept = [list(message) for message in client.view]
        client.fetch("1:*", "(UID FLAGS)")
        print(json.dumps({"kept": kept, "now": client.view}), flush=True)
client.logout()
