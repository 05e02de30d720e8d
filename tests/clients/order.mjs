// Thousands of sends without waiting for any, from one socket: they arrive in the order sent.
import { Client, check, run } from "./lib.mjs";

await run(async ({ sender, receiver, chatId, messages }) => {
  const from = new Client(sender.token, { transports: ["websocket"] });
  const to = new Client(receiver.token, { transports: ["websocket"] });
  await Promise.all([from.next("connected"), to.next("connected")]);
  await from.ask("join_chat", { chatId });
  const { lastSeq } = await to.ask("join_chat", { chatId });
  const acks = await Promise.all(Array.from({ length: messages }, (_, n) => from.ask("send_message", { chatId, message: String(n) })));
  check(acks.every((ack, n) => ack.seq === lastSeq + 1 + n), "seq follows the order of sending", acks.findIndex((ack, n) => ack.seq !== lastSeq + 1 + n));
  for (let n = 0; n < messages; n += 1) await to.next("new_message");
  const seqs = to.all("new_message").map((message) => [Number(message.message), message.seq]);
  const wrong = seqs.findIndex(([text, seq], n) => text !== n || seq !== lastSeq + 1 + n);
  check(wrong < 0, "delivered in order, each once", seqs[wrong]);
  from.close();
  to.close();
  return { ok: true };
});
