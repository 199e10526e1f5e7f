"""A mail relay on loopback that does what it is told: takes mails, puts them off, refuses them, or is away."""

import asyncio
import random
import socket
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller


def free_port() -> int:
    """Below the ports that outgoing connections use: one of those could take it while the relay is away."""
    for port in random.sample(range(20000, 32768), 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port was found")


class Relay:
    """`say`: what a recipient is answered, by address or "*"; what is not there is taken. `taken`: what it took."""

    def __init__(self) -> None:
        self.port = free_port()
        self.say: dict[str, str] = {}
        self.at_data = ""
        self.tries: list[str] = []
        self.taken: list[EmailMessage] = []
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.tries.append(address)
        answer = self.say.get(address) or self.say.get("*")
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(0)
        if self.at_data:
            return self.at_data
        self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 2.0.0 OK: queued"

    @property
    def told(self) -> list[tuple[str, str]]:
        return sorted((str(mail["To"]), str(mail["Subject"])) for mail in self.taken)
