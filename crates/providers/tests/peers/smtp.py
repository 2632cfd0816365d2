"""A mail server for tests: aiosmtpd, told by one JSON argument what to do.

    tls       "none" (default), "starttls" or "implicit"; with "cert" and "key", paths of PEM files
    auth      [user, password]; then a client has to authenticate
    mail, rcpt, data
              the reply to that command instead of "250 ..."; "hang" never replies, "drop" hangs up
    once      whether "mail", "rcpt" and "data" are for the first time only

Prints one JSON object a line: first {"port": n}, then {"event": "connect"}, and for each mail
{"event": "mail", "from", "to", "content", "tls", "user"}.
"""

import asyncio
import json
import logging
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


def say(**what):
    print(json.dumps(what), flush=True)


class Server(SMTP):
    def connection_made(self, transport):
        # STARTTLS makes the same connection again.
        if self._original_transport is None:
            say(event="connect")
        super().connection_made(transport)


class Handler:
    def __init__(self, told):
        self.told = told

    async def reply(self, command, server):
        told = self.told.get(command)
        if told and self.told.get("once"):
            del self.told[command]
        if told == "hang":
            await asyncio.sleep(3600)
        if told == "drop":
            server.transport.abort()
            await asyncio.sleep(3600)
        return told

    async def handle_MAIL(self, server, session, envelope, address, options):
        if told := await self.reply("mail", server):
            return told
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if told := await self.reply("rcpt", server):
            return told
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        if told := await self.reply("data", server):
            return told
        user = session.auth_data.login.decode() if session.authenticated else None
        say(
            event="mail",
            **{"from": envelope.mail_from},
            to=envelope.rcpt_tos,
            content=envelope.content.decode(),
            tls=session.ssl is not None or self.told.get("tls") == "implicit",
            user=user,
        )
        return "250 2.0.0 Ok: queued as 4F2C1A"


def main():
    # Clients that refuse a certificate are part of the tests.
    logging.disable()
    warnings.simplefilter("ignore")
    told = json.loads(sys.argv[1])
    handler = Handler(told)
    mode = told.get("tls", "none")
    context = None
    if mode != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(told["cert"], told["key"])
    auth = told.get("auth")

    def authenticate(server, session, envelope, mechanism, data):
        right = [data.login.decode(), data.password.decode()] == auth
        return AuthResult(success=right, handled=False, auth_data=data if right else None)

    def protocol():
        return Server(
            handler,
            hostname="peer.example",
            tls_context=context if mode == "starttls" else None,
            authenticator=authenticate,
            auth_required=bool(auth),
            auth_require_tls=mode == "starttls",
        )

    async def serve():
        loop = asyncio.get_running_loop()
        over = context if mode == "implicit" else None
        server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=over)
        say(port=server.sockets[0].getsockname()[1])
        # Ends with whoever started it.
        await loop.run_in_executor(None, sys.stdin.read)

    asyncio.run(serve())
    sys.exit(0)


main()
