// Thousands of sends without waiting, from one socket: they arrive in the order sent.
import { Client, check, run } from "./lib.mjs";

await run(async ({ sender, receiver, chatId, messages }) => {
  const from = new Client(sender.token, { transports: ["websocket"] });
  const to = new Client(receiver.token, { transports: ["websocket"] });
  await Promise.all([from.next("connected"), to.next("connected")]);
  await from.ask("join_chat", { chatId });
  const { lastSeq } = await to.ask("join_chat", { chatId });
  // In slices below the writer's queue, so that none is refused; within a slice nothing is awaited.
  const acks = [];
  for (let begin = 0; begin < messages; begin += 500) {
    const slice = Array.from({ length: Math.min(500, messages - begin) }, (_, n) => from.ask("send_message", { chatId, message: String(begin + n) }));
    acks.push(...(await Promise.all(slice)));
  }
  check(acks.every((ack, n) => ack.seq === lastSeq + 1 + n), "seq follows the order of sending", acks.findIndex((ack, n) => ack.seq !== lastSeq + 1 + n));
  for (let n = 0; n < messages; n += 1) await to.next("new_message");
  const seqs = to.all("new_message").map((message) => [Number(message.message), message.seq]);
  const wrong = seqs.findIndex(([text, seq], n) => text !== n || seq !== lastSeq + 1 + n);
  check(wrong < 0, "delivered in order, each once", seqs[wrong]);
  from.close();
  to.close();
  return { ok: true };
});
