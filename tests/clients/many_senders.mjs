// Many sockets at once, each sending messages one after the other, while some of the users call the REST API.
import { Client, check, http, run } from "./lib.mjs";

await run(async ({ senders, messagesEach }) => {
  const clients = senders.map(({ token }) => new Client(token, { transports: ["websocket"] }));
  await Promise.all(clients.map((client) => client.next("connected")));
  const joined = await Promise.all(clients.map((client, index) => client.ask("join_chat", { chatId: senders[index].chatId })));
  check(joined.every((answer) => answer.lastSeq >= 0), "everybody joins", joined.find((answer) => !(answer.lastSeq >= 0)));
  const acked = await Promise.all(
    clients.map(async (client, index) => {
      const { chatId, token } = senders[index];
      for (let n = 0; n < messagesEach; n += 1) {
        const ack = await client.ask("send_message", { chatId, message: `message ${n}`, clientMessageId: `${index}-${n}` });
        check(ack.seq > 0, "acknowledgement", ack);
        if (index % 10 === 0 && n % 5 === 0) await http("GET", `/chat/${chatId}/messages?limit=5`, 200, { token });
      }
      return messagesEach;
    }),
  );
  for (const client of clients) client.close();
  return { acked: acked.reduce((sum, n) => sum + n, 0) };
});
