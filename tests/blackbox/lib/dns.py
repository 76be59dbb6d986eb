"""A DNS server on loopback that says what the test says, over UDP and TCP on the same port."""

import ipaddress
import socket
import struct
import threading

A, AAAA, SRV = 1, 28, 33


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


def read_name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += data[at] + 1
    return ".".join(labels).lower(), at + 1


class Dns:
    """`zone`: {name: [(type, ttl, value)]}; an address as text, of SRV (priority, weight, port, target). A name that is not there does
    not exist. While `silent` is set nothing is answered; what is asked of a type in `fails` is answered SERVFAIL."""

    def __init__(self, zone=None):
        self.zone = dict(zone or {})
        self.silent, self.fails = False, set()
        self.asked = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(self.tcp.getsockname())
        self.address = "127.0.0.1:%d" % self.tcp.getsockname()[1]
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _answer(self, query):
        name, at = read_name(query, 12)
        kind = struct.unpack_from("!H", query, at)[0]
        self.asked.append((name, kind))
        if self.silent:
            return None
        if kind in self.fails:
            return query[:2] + struct.pack("!HHHHH", 0x8182, 1, 0, 0, 0) + query[12:at + 4]
        records = self.zone.get(name)
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | (3 if records is None else 0), 1,
                                       sum(r[0] == kind for r in records or ()), 0, 0)
        body = b""
        for type_, ttl, value in records or ():
            if type_ != kind:
                continue
            if type_ == SRV:
                data = struct.pack("!HHH", *value[:3]) + name_bytes(value[3])
            else:
                data = ipaddress.ip_address(value).packed
            body += name_bytes(name) + struct.pack("!HHIH", type_, 1, ttl, len(data)) + data
        return head + query[12:at + 4] + body

    def _serve_udp(self):
        try:
            while True:
                query, peer = self.udp.recvfrom(512)
                if not query:
                    return
                answer = self._answer(query)
                if answer and len(answer) > 512:
                    answer = answer[:2] + b"\x83\x80" + answer[4:6] + b"\0" * 6 + query[12:]
                if answer:
                    self.udp.sendto(answer, peer)
        except OSError:
            pass

    def _serve_tcp(self):
        try:
            while True:
                sock, _ = self.tcp.accept()
                threading.Thread(target=self._talk, args=(sock,), daemon=True).start()
        except OSError:
            pass

    def _talk(self, sock):
        try:
            with sock, sock.makefile("rb") as reader:
                while len(size := reader.read(2)) == 2:
                    answer = self._answer(reader.read(struct.unpack("!H", size)[0]))
                    if answer:
                        sock.sendall(struct.pack("!H", len(answer)) + answer)
        except OSError:
            pass

    def close(self):
        for sock in (self.tcp, self.udp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
