// Presence: told once to those who share a chat, through several tabs and reconnects; and in the lists of chats.
import { Client, check, http, run } from "./lib.mjs";

const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function connect({ token }) {
  const client = new Client(token);
  await client.next("connected");
  return client;
}

await run(async ({ customer, provider, stranger }) => {
  const listed = async () => (await http("GET", "/chat/customer/chats", 200, customer))[0].provider;
  const [ann, outsider] = [await connect(customer), await connect(stranger)];
  check((await listed()).online === false, "not there yet");

  const tabs = [await connect(provider), await connect(provider)];
  const online = await ann.next("presence");
  check(online.userId === provider.id && online.online && online.lastSeen === null, "online", online);

  // One tab fewer, and a moment without any: nothing is told.
  tabs[0].close();
  await nap(500);
  tabs[1].close();
  await nap(500);
  const back = await connect(provider);
  await nap(4000);
  check(ann.all("presence").length === 1, "a reconnect is not told", ann.all("presence"));
  check((await listed()).online === true, "and not seen");

  const before = Date.now();
  back.close();
  const offline = await ann.next("presence");
  check(offline.userId === provider.id && offline.online === false, "offline", offline);
  check(Math.abs(Date.parse(offline.lastSeen) - before) < 5000, "seen until the connection ended", offline);
  const { online: isOnline, lastSeen } = await listed();
  check(isOnline === false && lastSeen === offline.lastSeen, "the list says the same", { isOnline, lastSeen });

  const again = await connect(provider);
  check((await ann.next("presence")).online === true, "online again");
  check(outsider.all("presence").length === 0, "a stranger is told nothing", outsider.all("presence"));
  for (const client of [ann, outsider, again]) client.close();
  return { ok: true };
});
