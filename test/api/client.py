"""A client made from the OpenAPI document alone: one method for each operation. Sends, follows and cancels a message."""
import json
import os
import sys
import urllib.parse
import urllib.request


class Client:
    def __init__(self, base, key):
        self.base, self.key = base, key
        with urllib.request.urlopen(base + "/openapi.json") as answer:
            document = json.load(answer)
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                setattr(self, operation["operationId"], self.operation(path, method, operation))

    def operation(self, path, method, operation):
        places = {parameter["name"]: parameter["in"] for parameter in operation.get("parameters", [])}
        bodies = list(operation.get("requestBody", {}).get("content", {}))

        def call(body=None, media_type=None, **arguments):
            unknown = set(arguments) - set(places)
            assert not unknown, f"{operation['operationId']} has no {unknown}"
            url, query = path, {}
            headers = {"Authorization": "Bearer " + self.key}
            for name, value in arguments.items():
                if places[name] == "path":
                    url = url.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
                elif places[name] == "query":
                    query[name] = value
                else:
                    headers[name] = value
            data = None
            if body is not None:
                headers["Content-Type"] = media_type or bodies[0]
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
            address = self.base + url + ("?" + urllib.parse.urlencode(query, doseq=True) if query else "")
            request = urllib.request.Request(address, data=data, headers=headers, method=method.upper())
            with urllib.request.urlopen(request) as answer:
                assert str(answer.status) in operation["responses"], answer.status
                octets = answer.read()
                is_json = "json" in (answer.headers["Content-Type"] or "")
                return json.loads(octets) if is_json else octets

        return call


client = Client(sys.argv[1], os.environ["POSTERN_KEY"])
sender = sys.argv[2]
sent = client.sendMessage(
    {"from": sender, "to": "bob@example.net", "subject": "Grüße", "text": "Hallo", "scheduledAt": "2040-01-01T00:00:00Z"},
    **{"idempotency-key": "python-1"},
)
assert client.getMessage(id=sent["id"])["state"]["type"] == "queued"
assert b"Hallo" in client.getMessageBody(id=sent["id"])
raw = client.sendMessage(
    b"From: %s\r\nTo: bob@example.net\r\n\r\nraw\r\n" % sender.encode(),
    media_type="message/rfc822",
    scheduledAt="2040-01-01T00:00:00Z",
)
for one in (sent, raw):
    assert client.cancelMessage(id=one["id"])["state"]["type"] == "cancelled"
story = client.listMessageEvents(id=sent["id"])["items"]
print(" ".join(event["type"] for event in story))
