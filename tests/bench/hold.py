#!/usr/bin/env python3
"""Holds as many TCP connections as it can, from several addresses of 127.0.0.0/8, every second one with the first byte of a
TLS record sent. Prints how many, and ends with its stdin. A tool of isolation.py.

usage: hold.py PORT COUNT
"""
import resource
import socket
import sys
import time

PORTS_AN_ADDRESS = 20000


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    held = []
    for number in range(count):
        try:
            one = socket.socket()
            one.bind((f"127.0.1.{1 + number // PORTS_AN_ADDRESS}", 0))
            one.connect(("127.0.0.1", port))
            if number % 2:
                one.sendall(b"\x16")
        except OSError:
            break
        held.append(one)
        if number % 64 == 0:
            time.sleep(0.002)  # no more than a listener's queue takes
    print(len(held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
