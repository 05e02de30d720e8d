// Sends one message after the other, each again under the same clientMessageId until it is acknowledged, while
// servers are killed; stops when a file appears.
import { existsSync } from "node:fs";
import { Client, check, run } from "./lib.mjs";

await run(async ({ token, chatId, stopFile }) => {
  const client = new Client(token, { transports: ["websocket"] });
  await client.next("connected");
  const acked = [];
  const refusals = {};
  for (let n = 0; !existsSync(stopFile); n += 1) {
    const clientMessageId = `message-${n}`;
    for (;;) {
      const ack = await client.ask("send_message", { chatId, message: clientMessageId, clientMessageId });
      if (ack.seq) {
        acked.push({ clientMessageId, ...ack });
        break;
      }
      check(["unavailable", "overloaded"].includes(ack.error.code), "a refusal that may be tried again", ack);
      refusals[ack.error.code] = (refusals[ack.error.code] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.close();
  return { acked, refusals };
});
