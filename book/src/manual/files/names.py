"""A name server with one name, for the manual's examples: everything else does not exist."""
import socket
import struct
import sys

NAME, ADDRESSES = "web.example.", ["192.0.2.10", "192.0.2.11"]

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[1])))
open("names.ready", "w").close()
while True:
    question, client = server.recvfrom(512)
    at, labels = 12, []
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
        at += 1 + question[at]
    asked = question[12 : at + 5]
    kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
    known = ".".join(labels) + "." == NAME
    records = ADDRESSES if known and kind == 1 else []
    flags = 0x8180 if known else 0x8183
    answer = question[:2] + struct.pack(">5H", flags, 1, len(records), 0, 0) + asked
    for address in records:
        answer += struct.pack(">3HIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
    server.sendto(answer, client)
