"""Times Salt's way from a request to the process that it asks for: a master and a minion of its own on the loopback.

usage: salt_dispatch.py FOLDER ROUNDS

Prints the milliseconds of each round from the call of LocalClient.cmd to the start of the process that it asks for,
one number a line. Master and minion live in FOLDER and end with this program.
"""

import pathlib
import socket
import subprocess
import sys
import time

import salt.client
import salt.exceptions

MINION = "measured"
START_LIMIT_S = 120


def free_ports():
    """Two ports nobody has; held both at once, so that they differ."""
    with socket.socket() as one, socket.socket() as other:
        for held in (one, other):
            held.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def configure(folder):
    publish, answer = free_ports()
    common = f"user: root\nroot_dir: {folder}\nlog_level: error\n"
    (folder / "master").write_text(
        f"{common}interface: 127.0.0.1\npublish_port: {publish}\nret_port: {answer}\nauto_accept: True\n"
    )
    (folder / "minion").write_text(
        f"{common}id: {MINION}\nmaster: 127.0.0.1\npublish_port: {publish}\nmaster_port: {answer}\n"
    )


def start(folder, name):
    program = pathlib.Path(sys.executable).with_name(f"salt-{name}")
    log = (folder / f"{name}.log").open("w")
    command = ["setpriv", "--pdeathsig", "TERM", "--", program, "-c", folder]
    return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def connect(folder):
    """A client once both are up: the master makes its keys first, then the minion's is accepted."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        try:
            client = salt.client.LocalClient(c_path=str(folder / "master"))
            if client.cmd(MINION, "test.ping", timeout=5) == {MINION: True}:
                return client
        except (salt.exceptions.AuthenticationError, salt.exceptions.SaltClientError):
            pass
        time.sleep(0.5)
    sys.exit("salt: the minion does not answer its master")


def measure(client):
    asked = time.time()
    answer = client.cmd(MINION, "cmd.run_stdout", ["date +%s.%N"], kwarg={"python_shell": False}, timeout=30)
    return (float(answer[MINION]) - asked) * 1e3


def main():
    folder, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    configure(folder)
    started = [start(folder, "master"), start(folder, "minion")]
    try:
        client = connect(folder)
        measure(client)
        for _ in range(rounds):
            print(measure(client), flush=True)
    finally:
        for program in reversed(started):
            program.terminate()
        for program in started:
            program.wait(30)


main()
