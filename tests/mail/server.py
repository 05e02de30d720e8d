"""A real SMTP server for the tests: `server.py PORT MODE_FILE`.

Prints each accepted message as one line of JSON. MODE_FILE holds how the next message is answered: `accept`, `defer` (451),
`refuse` (550), `stall` (no answer), `late` (its 250 after six seconds) or `die` (the process ends after it has the message, before its 250).
"""
import asyncio
import email
import email.policy
import json
import os
import sys

from aiosmtpd.smtp import SMTP


class Handler:
    async def handle_DATA(self, server, session, envelope):
        with open(sys.argv[2], encoding="utf-8") as file:
            mode = file.read().strip()
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        print(json.dumps({
            "mode": mode, "to": envelope.rcpt_tos, "headers": {key: str(value) for key, value in message.items()},
            "text": body.get("text/plain"), "html": body.get("text/html"),
        }), flush=True)
        if mode == "defer":
            return "451 later"
        if mode == "refuse":
            return "550 no such mailbox"
        if mode == "stall":
            await asyncio.sleep(3600)
        if mode == "late":
            await asyncio.sleep(6)
        if mode == "die":
            os._exit(1)
        return "250 OK"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), enable_SMTPUTF8=True), "127.0.0.1", int(sys.argv[1]))
    print("listening", flush=True)
    await server.serve_forever()


asyncio.run(main())
