// A message that must be refused with a given code, as acknowledgement and as event.
import { Client, check, run } from "./lib.mjs";

await run(async ({ token, chatId, code }) => {
  const client = new Client(token);
  await client.next("connected");
  const answer = await client.ask("send_message", { chatId, message: "hello" });
  check(answer.error?.code === code && answer.error.message.length > 0, "refused", answer);
  client.socket.emit("send_message", { chatId, message: "hello" });
  const error = await client.next("error");
  check(error.code === code && error.event === "send_message", "refused by event", error);
  client.close();
  return { ok: true };
});
