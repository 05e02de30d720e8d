// Malformed Engine.IO and Socket.IO frames, over websockets and in polling bodies: made from valid ones by a fixed seed.
// A neighbour chats all the while. After each frame comes a probe, which the server answers whatever state the connection
// is in: so a frame counts only if its probe was answered, or if it is the one that cost the connection.
import { WebSocket } from "ws";
import { Client, baseUrl, check, run } from "./lib.mjs";

const patienceMs = 20_000;
/** Frames on their way at a time, and at most on one connection. */
const burst = 25;
const most = 500;
const workers = 12;

/** Asks for a namespace that there is not; and the answer's beginning. */
const probe = (n) => `40/probe${n},`;
const probed = /^44\/probe(\d+),/;

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

/** A frame made from a valid one: in most, only the arguments of an event are touched, which costs no connection. */
function malformed(random, frames) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const whole = pick(frames);
  const from = /^42\/chat,\d*\["\w+"/.exec(whole)?.[0] ?? "";
  if (from && random() < 0.95) return Buffer.concat([Buffer.from(from), mutated(random, whole.slice(from.length), frames)]);
  // Few of the others: each ends its connection, more often than not.
  return from || random() < 0.1 ? mutated(random, whole, frames) : malformed(random, frames);
}

function mutated(random, text, frames) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  let bytes = Buffer.from(text);
  for (let change = Math.floor(random() * 4); change >= 0; change -= 1) {
    const at = Math.floor(random() * (bytes.length + 1));
    const to = Math.min(bytes.length, at + Math.floor(random() * 12));
    const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
    bytes = [
      () => Buffer.concat([head, Buffer.from(pick(odd)), tail]),
      () => Buffer.concat([head, bytes.subarray(to)]),
      () => Buffer.concat([bytes.subarray(0, to), tail]),
      () => head,
      () => Buffer.concat([head, Buffer.from([Math.floor(random() * (random() < 0.05 ? 256 : 128))]), bytes.subarray(Math.min(at + 1, bytes.length))]),
      () => Buffer.concat([head, Buffer.from(pick(frames))]),
    ][Math.floor(random() * 6)]();
  }
  return bytes.subarray(0, 2000);
}

const within = (promise, what) =>
  Promise.race([promise, new Promise((_, refuse) => setTimeout(() => refuse(new Error(`${what}: nothing within ${patienceMs} ms`)), patienceMs).unref())]);

/** One connection: bursts of frames, until it is closed or has had enough. */
async function attack(random, frames, token, counts) {
  const socket = new WebSocket(`${baseUrl.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  let [isOpen, sent, answered, wake] = [true, 0, 0, () => {}];
  const closed = new Promise((resolve) => (socket.onclose = () => ((isOpen = false), wake(), resolve())));
  socket.onerror = () => {};
  const ready = new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return;
      if (data.startsWith("0")) token ? socket.send(`40/chat,${JSON.stringify({ token })}`) : resolve();
      if (data.startsWith('42/chat,["connected"')) resolve();
      if (probed.test(data)) {
        answered = Number(probed.exec(data)[1]);
        wake();
      }
    };
  });
  await within(Promise.race([ready, closed]), "a connection");
  while (isOpen && sent < most) {
    for (let n = 0; n < burst && isOpen; n += 1) {
      sent += 1;
      socket.send(malformed(random, frames), { binary: random() < 0.01 });
      socket.send(probe(sent));
    }
    const waiting = (async () => {
      while (isOpen && answered < sent) await new Promise((resolve) => (wake = resolve));
    })();
    await within(waiting, `an answer to probe ${sent}, of which ${answered} were answered`);
  }
  if (isOpen) socket.terminate();
  await within(closed, "the end");
  counts.answered += answered;
  counts.fatal += answered < sent ? 1 : 0;
}

/** One polling session, with a body of several frames, and what is answered to their probes. */
async function poll(random, frames, token, counts) {
  const url = `${baseUrl}/socket.io/?EIO=4&transport=polling`;
  const request = (address, options) => fetch(address, { signal: AbortSignal.timeout(patienceMs), ...options });
  const open = await (await request(url)).text();
  const { sid } = JSON.parse(open.slice(1));
  const post = (body) => request(`${url}&sid=${sid}`, { method: "POST", headers: { "content-type": "text/plain;charset=UTF-8" }, body });
  await (await post(`40/chat,${JSON.stringify({ token })}`)).text();
  await (await request(`${url}&sid=${sid}`)).text();
  const body = Array.from({ length: burst }, (_, n) => [malformed(random, frames), Buffer.from(`\x1e${probe(n + 1)}${n + 1 < burst ? "\x1e" : ""}`)]);
  const posted = await post(Buffer.concat(body.flat()));
  await posted.text();
  check(posted.status < 500, "a polling body is answered", posted.status);
  let answered = 0;
  if (posted.status === 200) {
    while (answered < burst) {
      const packets = await request(`${url}&sid=${sid}`);
      const last = [...(await packets.text()).matchAll(/(?:^|\x1e)44\/probe(\d+),/g)].at(-1);
      check(packets.status < 500, "a poll is answered", packets.status);
      if (last) answered = Number(last[1]);
      if (packets.status !== 200) break;
    }
    await (await post("1")).text();
  }
  counts.answered += answered;
  counts.fatal += answered < burst ? 1 : 0;
  counts.polls += 1;
}

await run(async ({ attackers, neighbour, partner, neighboursChatId, frames: wanted, seed }) => {
  const counts = { answered: 0, fatal: 0, polls: 0, said: 0, slowestMs: 0 };
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
    for (let turn = worker; counts.answered + counts.fatal < wanted; turn += workers) {
      const { token, chatId } = attackers[turn % attackers.length];
      const frames = valid(token, chatId);
      const kind = random();
      if (kind < 0.2) await poll(random, frames, token, counts);
      else await attack(random, frames, kind < 0.9 ? token : undefined, counts);
    }
  });
  await Promise.all([...work, chatting, Promise.all(work).then(() => (isOver = true))]);
  check(speaks.socket.connected && hears.socket.connected, "the neighbours are still connected");
  for (const client of [speaks, hears]) client.close();
  return { ok: true, ...counts };
});
