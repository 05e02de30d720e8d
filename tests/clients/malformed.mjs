// Malformed Engine.IO and Socket.IO frames, over websockets and in polling bodies: made from valid ones by a fixed seed.
// A neighbour chats all the while. Reports how many frames were sent, and how their connections ended.
import { WebSocket } from "ws";
import { Client, baseUrl, check, run } from "./lib.mjs";

const patienceMs = 20_000;
const burst = 25;
const workers = 12;

/** A generator of numbers below 1, by its seed (mulberry32). */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const valid = (token, chatId) => [
  `40/chat,${JSON.stringify({ token })}`,
  "41/chat,",
  "2probe",
  "3",
  "5",
  "6",
  `42/chat,1["send_message",{"chatId":"${chatId}","message":"Hello","message_type":"text","clientMessageId":"a"}]`,
  `42/chat,["join_chat",{"chatId":"${chatId}","afterSeq":0}]`,
  `42/chat,2["mark_read",{"chatId":"${chatId}","seq":1}]`,
  `42/chat,["typing",{"chatId":"${chatId}","isTyping":true}]`,
  `42/chat,3["respond_to_negotiation",{"jobId":1,"action":"accept"}]`,
  '43/chat,7["yes"]',
  '451-/chat,4["send_message",{"_placeholder":true,"num":0}]',
  '44/chat,{"message":"no"}',
  'bAAECAw==',
];
const odd = ["\x1e", "[", "]", "{", "}", '"', ",", "\\ud800", "\u0000", "-", "/", "9".repeat(30), "[".repeat(300), "é", "4", "2", "5", "1e999", "null"];

/** A frame made from a valid one. */
function malformed(random, frames) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  let bytes = Buffer.from(pick(frames));
  for (let change = Math.floor(random() * 4); change >= 0; change -= 1) {
    const at = Math.floor(random() * (bytes.length + 1));
    const to = Math.min(bytes.length, at + Math.floor(random() * 12));
    const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
    bytes = [
      () => Buffer.concat([head, Buffer.from(pick(odd)), tail]),
      () => Buffer.concat([head, bytes.subarray(to)]),
      () => Buffer.concat([bytes.subarray(0, to), tail]),
      () => head,
      () => Buffer.concat([head, Buffer.from([Math.floor(random() * 256)]), bytes.subarray(Math.min(at + 1, bytes.length))]),
      () => Buffer.concat([head, Buffer.from(pick(frames))]),
    ][Math.floor(random() * 6)]();
  }
  return bytes.subarray(0, 2000);
}

const within = (promise, what) =>
  Promise.race([promise, new Promise((_, refuse) => setTimeout(() => refuse(new Error(`${what}: nothing within ${patienceMs} ms`)), patienceMs).unref())]);

/** One connection: bursts of frames, until it is closed or has had enough. Each must be answered or closed. */
async function attack(random, frames, token, counts, most) {
  const socket = new WebSocket(`${baseUrl.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  let isOpen = true;
  let answered = () => {};
  const closed = new Promise((resolve) => (socket.onclose = () => ((isOpen = false), resolve("closed"))));
  socket.onerror = () => {};
  const ready = new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return;
      if (data.startsWith("0")) token ? socket.send(`40/chat,${JSON.stringify({ token })}`) : resolve("open");
      if (data.startsWith('42/chat,["connected"')) resolve("open");
      if (data.startsWith("43/chat,999[")) answered("answered");
    };
  });
  await within(Promise.race([ready, closed]), "a connection");
  for (let sent = 0; isOpen && sent < most; sent += burst) {
    for (let n = 0; n < burst && isOpen; n += 1) {
      socket.send(malformed(random, frames), { binary: random() < 0.1 });
      counts.frames += 1;
    }
    if (!token) break;
    const answer = new Promise((resolve) => (answered = resolve));
    socket.send('42/chat,999["no_such_event"]');
    const outcome = await within(Promise.race([answer, closed]), "an answer");
    counts[outcome] += 1;
    // A frame may have left the namespace, or begun a binary packet that never ends.
    if (outcome === "answered" && random() < 0.05) break;
  }
  if (isOpen) socket.terminate();
  await within(closed, "the end");
}

/** One polling session, whose bodies hold several frames. */
async function poll(random, frames, token, counts) {
  const url = `${baseUrl}/socket.io/?EIO=4&transport=polling`;
  const request = (address, options) => fetch(address, { signal: AbortSignal.timeout(patienceMs), ...options });
  const open = await (await request(url)).text();
  const { sid } = JSON.parse(open.slice(1));
  const post = (body) => request(`${url}&sid=${sid}`, { method: "POST", headers: { "content-type": "text/plain;charset=UTF-8" }, body });
  await post(`40/chat,${JSON.stringify({ token })}`);
  const list = Array.from({ length: burst }, () => malformed(random, frames));
  const answer = await post(Buffer.concat(list.flatMap((frame, n) => (n ? [Buffer.from("\x1e"), frame] : [frame]))));
  counts.frames += list.length;
  counts.polls += 1;
  check(answer.status < 500, "a polling body is answered", answer.status);
  await answer.text();
  await post("1");
}

await run(async ({ attackers, neighbour, partner, chatId, neighboursChatId, frames: wanted, seed }) => {
  const counts = { frames: 0, answered: 0, closed: 0, polls: 0, said: 0, slowestMs: 0 };
  const [speaks, hears] = [new Client(neighbour.token, { transports: ["websocket"] }), new Client(partner.token, { transports: ["websocket"] })];
  for (const client of [speaks, hears]) {
    await client.next("connected");
    await client.ask("join_chat", { chatId: neighboursChatId });
  }
  let isOver = false;
  const chatting = (async () => {
    while (!isOver) {
      const before = Date.now();
      const ack = await speaks.ask("send_message", { chatId: neighboursChatId, message: `message ${counts.said}` });
      check(ack.seq > 0, "the neighbour is served", ack);
      check((await hears.next("new_message")).id === ack.id, "and heard");
      counts.slowestMs = Math.max(counts.slowestMs, Date.now() - before);
      counts.said += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const work = Array.from({ length: workers }, async (_, worker) => {
    const random = numbers(seed * 1000 + worker);
    const { token } = attackers[worker % attackers.length];
    const frames = valid(token, chatId);
    while (counts.frames < wanted) {
      const kind = random();
      if (kind < 0.15) await poll(random, frames, token, counts);
      else await attack(random, frames, kind < 0.6 ? token : undefined, counts, 500);
    }
  });
  await Promise.all([...work, chatting.catch((error) => Promise.reject(error)), Promise.all(work).then(() => (isOver = true))]);
  check(speaks.socket.connected && hears.socket.connected, "the neighbours are still connected");
  for (const client of [speaks, hears]) client.close();
  return { ok: true, ...counts };
});
