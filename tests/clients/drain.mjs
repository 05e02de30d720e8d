// Sends without a pause while the server is told to stop; reports what was acknowledged and how it ended.
import { Client, run } from "./lib.mjs";

await run(async ({ token, chatId, pid, signal }) => {
  const client = new Client(token, { transports: ["websocket"] });
  const idle = new Client(token, { transports: ["polling"] });
  await Promise.all([client.next("connected"), idle.next("connected")]);
  const ended = new Promise((resolve) => client.socket.on("disconnect", resolve));
  let acked = 0;
  let open = true;
  client.socket.on("disconnect", () => (open = false));
  for (let n = 0; open; n += 1) {
    client.socket.emit("send_message", { chatId, message: `message ${n}`, clientMessageId: `${n}` }, (ack) => (acked += ack.seq ? 1 : 0));
    if (n === 50) process.kill(pid, signal === "-INT" ? "SIGINT" : "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return { acked, reason: await ended };
});
