#!/usr/bin/env python3
"""A client of OAP/1 in plain Python, to be read beside docs/protocol.md.

    oap_client.py HOST:PORT put FILE | get ADDR [OFFSET LENGTH] | head ADDR | has ADDR... | rm ADDR
                            | echo TEXT | ping | selftest

The capability in MICRO_TOKEN, if there is one, is the authority of the connection.

It sends and checks every frame itself and shares no code with the node. A program for daily use is
`micronode`; this one shows what is on the wire.
"""

import base64
import io
import json
import os
import socket
import struct
import sys

REQ, RESP, EVENT, START, END, ACK_REQ, COMP, APP_E2E = (1 << bit for bit in range(8))
CONTROL, ECHO, OBJECT = 0, 1, 2  # families, app_proto_id
HELLO, PING = 0, 1  # operations of CONTROL
GET, PUT, HAS, DELETE, HEAD = 1, 2, 3, 4, 5  # operations of OBJECT

# len, ver, flags, code, app_proto_id, tenant_id, cap_len, corr_id: 38 bytes, big-endian.
HEADER = struct.Struct(">IHHHH16sHQ")
FRAME_BYTES = 1 << 20
CHUNK_BYTES = 64 << 10
NO_ADDRESS = bytes(32)


class Problem(Exception):
    """An error, as the node tells it: a status and a document."""

    def __init__(self, status, document):
        super().__init__(f"{status} {document['code']}: {document['detail']}")
        self.status, self.code = status, document["code"]


def check(holds, what):
    if not holds:
        raise SystemExit(f"the node does not keep to the protocol: {what}")


class Client:
    """One connection. Requests may be in progress side by side: see `request` and `answer`."""

    def __init__(self, host, port, cap=b""):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.received = self.socket.makefile("rb")
        self.last_id = 1
        self.answers = {}  # stream -> the frames of its answer that have come
        hello = json.dumps({"ua": "oap_client.py", "accept_comp": False}).encode()
        self.send(REQ | START | END, CONTROL, HELLO, self.last_id, hello, cap)
        self.welcome = json.loads(self.answer(self.last_id)[1])
        check(1 in self.welcome["versions"], "it does not speak version 1")

    def send(self, flags, app, code, stream, payload=b"", cap=b""):
        length = HEADER.size + len(cap) + len(payload)
        header = HEADER.pack(length, 1, flags, code, app, bytes(16), len(cap), stream)
        self.socket.sendall(header + cap + payload)

    def receive(self):
        """The next frame: its flags, status, stream and payload."""
        header = self.received.read(HEADER.size)
        check(len(header) == HEADER.size, "it has closed the connection")
        length, version, flags, status, _, tenant, cap_len, stream = HEADER.unpack(header)
        check(version == 1 and tenant == bytes(16) and cap_len == 0, "a field that cannot be")
        check(HEADER.size <= length <= FRAME_BYTES, f"a frame of {length} bytes")
        check(flags & ~(START | END) == RESP, f"flags {flags:#x}, when no more was agreed on")
        payload = self.received.read(length - HEADER.size)
        check(len(payload) == length - HEADER.size, "a frame breaks off")
        return flags, status, stream, payload

    def request(self, app, code, fields=b"", body=None):
        """Opens a stream and sends a request, in chunks if its body is long. Returns the stream."""
        self.last_id += 1
        flags, body = REQ | START, body or io.BytesIO()
        chunk = body.read(CHUNK_BYTES)
        while True:
            following = body.read(CHUNK_BYTES)
            if not following:
                flags |= END
            self.send(flags, app, code, self.last_id, fields + chunk)
            if not following:
                return self.last_id
            flags, fields, chunk = REQ, b"", following

    def answer(self, stream):
        """Waits for the whole answer of a stream. Frames of other streams are kept for them."""
        frames = self.answers.setdefault(stream, [])
        while not frames or not frames[-1][0] & END:
            flags, status, other, payload = self.receive()
            check(0 < other <= self.last_id, f"an answer on stream {other}, which was never open")
            self.answers.setdefault(other, []).append((flags, status, payload))
        del self.answers[stream]
        flags, status, last = frames[-1]
        if status >= 400:  # Whatever has come of the answer does not count.
            raise Problem(status, json.loads(last))
        check(frames[0][0] & START, "an answer without a beginning")
        check(not any(flags & START for flags, _, _ in frames[1:]), "a second beginning")
        payload = b"".join(payload for _, _, payload in frames)
        return status, payload

    def call(self, app, code, fields=b"", body=None):
        return self.answer(self.request(app, code, fields, body))

    def put(self, body, media_type=""):
        """Stores what a file has; returns the address and whether it was there already."""
        fields = NO_ADDRESS + struct.pack(">Q", 0) + str16(media_type)
        status, reply = self.call(OBJECT, PUT, fields, body)
        check(len(reply) == 41 and reply[40] < 2, "no reply to a put")
        check(status == (201, 200)[reply[40]], f"status {status}")
        return reply[:32], reply[40] == 1

    def get(self, address, offset=0, length=0):
        """The bytes of an object, or of a part of it; `length` 0 is all that follow."""
        status, reply = self.call(OBJECT, GET, address + struct.pack(">QQ", offset, length))
        size, begins, _expires = struct.unpack_from(">QQQ", reply)
        _media_type, body = take_str16(reply[24:])
        left = max(size - offset, 0)
        check(begins == offset and len(body) == min(length or left, left), "another part")
        check(status == (206 if offset or length else 200), f"status {status}")
        return body

    def head(self, address):
        _, reply = self.call(OBJECT, HEAD, address)
        size, expires = struct.unpack_from(">QQ", reply)
        media_type, rest = take_str16(reply[16:])
        check(rest == b"", "more than a head")
        return size, expires, media_type

    def has(self, addresses):
        _, reply = self.call(OBJECT, HAS, b"".join(addresses))
        check(len(reply) == len(addresses) and max(reply, default=0) < 2, "not one byte each")
        return [byte == 1 for byte in reply]

    def delete(self, address):
        status, reply = self.call(OBJECT, DELETE, address)
        check((status, reply) == (204, b""), f"status {status}")

    def echo(self, body):
        return self.call(ECHO, 1, body=io.BytesIO(body))[1]

    def ping(self):
        check(self.call(CONTROL, PING) == (200, b""), "a ping brings nothing back")

    def cancel(self, stream):
        """Gives a stream up. Its answer does not come any more, but some of it may have."""
        self.send(REQ | END, CONTROL, 0, stream)


def str16(text):
    return struct.pack(">H", len(text.encode())) + text.encode()


def take_str16(payload):
    (length,) = struct.unpack_from(">H", payload)
    return payload[2 : 2 + length].decode(), payload[2 + length :]


def parse(address):
    if not address.startswith("b3:") or len(address) != 67:
        raise ValueError(f"{address} is no address: b3: and 64 hex digits")
    return bytes.fromhex(address[3:])


def selftest(client):
    failed = []

    def expect(name, holds):
        print("ok  " if holds else "FAIL", name)
        if not holds:
            failed.append(name)

    def problem(name, status, code, call):
        try:
            call()
            expect(name, False)
        except Problem as error:
            expect(name, (error.status, error.code) == (status, code))

    expect("HELLO is answered with the bounds of the protocol",
           client.welcome["max_frame"] <= FRAME_BYTES and client.welcome["flags_supported"] == 255)
    client.ping()
    expect("ping", True)
    content = os.urandom(200_001)
    address, existed = client.put(io.BytesIO(content), "application/x-selftest")
    expect("put in chunks: stored", not existed)
    expect("put again: there already", client.put(io.BytesIO(content)) == (address, True))
    expect("get, whole", client.get(address) == content)
    expect("get, a part across chunks", client.get(address, 65_000, 70_000) == content[65_000:135_000])
    expect("get, to the end", client.get(address, 200_000) == content[200_000:])
    expect("head", client.head(address) == (200_001, 0, "application/x-selftest"))
    expect("has, of two addresses", client.has([address, NO_ADDRESS]) == [True, False])
    expect("echo, small", client.echo(b"hello") == b"hello")
    large = content[:1024] * 1024
    expect("echo, 1 MiB in chunks", client.echo(large) == large)

    first, second = client.last_id + 1, client.last_id + 2
    client.send(REQ | START, ECHO, 1, first, b"one ")
    client.send(REQ | START, ECHO, 1, second, b"three ")
    client.last_id = second
    client.send(REQ | END, ECHO, 1, second, b"four")
    client.send(REQ | END, ECHO, 1, first, b"two")
    expect("two requests, their frames mixed",
           (client.answer(first)[1], client.answer(second)[1]) == (b"one two", b"three four"))
    client.last_id += 1
    client.send(REQ | START, ECHO, 1, client.last_id, b"never mind")
    client.cancel(client.last_id)
    client.ping()
    expect("a cancelled request is not answered", not client.answers)

    problem("get beyond the end", 416, "range_unsatisfiable", lambda: client.get(address, 200_001))
    client.delete(address)
    expect("delete", client.has([address]) == [False])
    problem("get what is not there", 404, "not_found", lambda: client.get(address))
    problem("an operation that is not there", 404, "not_found", lambda: client.call(77, 1))
    if failed:
        raise SystemExit(f"{len(failed)} failed")


def main(place, command, *words):
    host, _, port = place.rpartition(":")
    token = os.environ.get("MICRO_TOKEN", "")
    cap = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    client = Client(host, int(port), cap)
    if command == "put":
        with open(words[0], "rb") as file:
            print("b3:" + client.put(file)[0].hex())
    elif command == "get":
        sys.stdout.buffer.write(client.get(parse(words[0]), *map(int, words[1:])))
    elif command == "head":
        print("size %d, expires %d, media type %s" % client.head(parse(words[0])))
    elif command == "has":
        for word, present in zip(words, client.has([parse(word) for word in words])):
            print(word, "here" if present else "not here")
    elif command == "rm":
        client.delete(parse(words[0]))
    elif command == "echo":
        print(client.echo(" ".join(words).encode()).decode())
    elif command == "ping":
        client.ping()
    elif command == "selftest":
        selftest(client)
    else:
        raise ValueError(f"no command {command}\n{__doc__}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    try:
        main(*sys.argv[1:])
    except (Problem, OSError, ValueError) as error:
        raise SystemExit(error) from None
