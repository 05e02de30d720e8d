// Clients of today send no cursor: whoever dropped out of a chat a moment ago is given what was committed since.
import { Client, check, run } from "./lib.mjs";
import { sql } from "./sql.mjs";

const texts = (client) => client.all("new_message").map(({ message }) => message);

/** Breaks the connection without a word, as a lost network does. */
function cut(client) {
  const { transport } = client.socket.io.engine;
  if (transport.name === "websocket") transport.ws.terminate?.() ?? transport.ws.close();
  else client.socket.io.engine.close();
}

/** Waits until the server has noticed that the last socket of a member is gone, too: since a moment of the database's. */
async function dropped(user, since) {
  const deadline = Date.now() + 20_000;
  while (sql(`select count(*) from stm.chat_members where user_id = ${user} and dropped_at between '${since}' and now()`) === "0") {
    check(Date.now() < deadline, "the drop was not noticed", user);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

await run(async ({ customer, provider, chatId, transport }) => {
  const options = { transports: [transport] };
  const enter = async (token) => {
    const client = new Client(token, options);
    await client.next("connected");
    const joined = await client.ask("join_chat", { chatId });
    check(joined.lastSeq >= 1 && joined.messages === undefined && joined.hasMore === undefined, "joined without a cursor", joined);
    return client;
  };
  const pete = await enter(provider.token);
  const say = async (...messages) => {
    for (const message of messages) check((await pete.ask("send_message", { chatId, message })).seq > 0, "sent");
  };

  const first = await enter(customer.token);
  await say("1", "2");
  for (let n = 0; n < 2; n += 1) await first.next("new_message");
  const gone = new Promise((resolve) => first.socket.on("disconnect", resolve));
  const before = sql("select now()");
  cut(first);
  await gone;
  await dropped(customer.id, before);
  await say("3", "4", "5");
  const second = await enter(customer.token);
  await say("6");
  for (let n = 0; n < 4; n += 1) await second.next("new_message");
  check(texts(second).join() === "3,4,5,6", "what was missed, in order, and then what comes", texts(second));

  // Another tab has missed nothing while this one is there.
  const tab = await enter(customer.token);
  await say("7");
  await tab.next("new_message");
  check(texts(tab).join() === "7", "a second tab starts here", texts(tab));
  tab.close();

  // The sender's own socket is not given its own messages, nor is anything given twice.
  await second.next("new_message");
  await second.ask("send_message", { chatId, message: "mine" });
  await say("8");
  await second.next("new_message");
  check(texts(second).join() === "3,4,5,6,7,8", "each once", texts(second));

  // Who leaves on purpose is not followed.
  await second.ask("leave_chat", { chatId });
  second.close();
  await say("9");
  const third = await enter(customer.token);
  await say("10");
  await third.next("new_message");
  check(texts(third).join() === "10", "leaving is not dropping", texts(third));
  for (const client of [pete, third]) client.close();
  return { ok: true };
});
