// Clients that flood or send nonsense are answered or cut off, while a neighbour is served all along.
import { WebSocket } from "ws";
import { Client, baseUrl, check, run } from "./lib.mjs";

const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A connection of its own for what the real client would never send. */
async function raw(token, ...packets) {
  const socket = new WebSocket(`${baseUrl.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  const received = [];
  const closed = new Promise((resolve) => (socket.onclose = () => resolve("closed")));
  const answered = new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      received.push(data);
      if (data.startsWith("0")) socket.send(`40/chat,${JSON.stringify({ token })}`);
      if (data.startsWith('42/chat,["connected"')) for (const packet of packets) socket.send(packet);
      if (data.startsWith("43/chat") || data.startsWith('42/chat,["error"')) resolve("answered");
    };
  });
  const outcome = await Promise.race([closed, answered, nap(20_000).then(() => "nothing")]);
  socket.close();
  return { outcome, received };
}

await run(async ({ flooder, neighbour, chatId, otherChatId }) => {
  const served = { acked: 0, stop: false };
  const neighbourly = new Client(neighbour.token, { transports: ["websocket"] });
  await neighbourly.next("connected");
  const serving = (async () => {
    while (!served.stop) {
      const ack = await neighbourly.ask("send_message", { chatId: otherChatId, message: `message ${served.acked}` });
      check(ack.seq > 0, "the neighbour is served", ack);
      served.acked += 1;
      await nap(5);
    }
  })();

  // Thousands of messages at once: each is stored or refused, none is forgotten.
  const flooding = new Client(flooder.token, { transports: ["websocket"] });
  await flooding.next("connected");
  const answers = await Promise.all(Array.from({ length: 4900 }, (_, n) => flooding.ask("send_message", { chatId, message: `${n}` })));
  const refused = answers.filter((answer) => answer.error);
  check(refused.every(({ error }) => error.code === "overloaded"), "refused with a word", refused[0]);
  const stored = answers.filter((answer) => answer.seq);
  check(stored.length >= 2500, "most are stored", stored.length);
  check(stored.every((answer, n) => n === 0 || answer.seq > stored[n - 1].seq), "in the order sent");

  // Events without end: refused, then cut off.
  const reason = new Promise((resolve) => flooding.socket.on("disconnect", resolve));
  for (const end = Date.now() + 20_000; Date.now() < end && flooding.socket.connected; ) {
    for (let m = 0; m < 500; m += 1) flooding.socket.emit("typing", { chatId, isTyping: true });
    await nap(1);
  }
  check(!flooding.socket.connected, "a flood is cut off");
  // The transport is closed at the next packet, which may be before the disconnection is read.
  check(["io server disconnect", "transport close"].includes(await reason), "by the server", await reason);
  check(flooding.all("error").some(({ code }) => code === "overloaded"), "and told why", flooding.all("error").at(-1));

  // What no client should send is answered, or costs the connection.
  const deep = `${'{"a":'.repeat(8000)}1${"}".repeat(8000)}`;
  for (const [what, ...packets] of [
    ["deep JSON", `42/chat,1["send_message",${deep}]`],
    ["deep lists", `42/chat,1["send_message",${"[".repeat(30_000)}`],
    ["an oversized frame", `42/chat,1["send_message",{"chatId":"${chatId}","message":"${"x".repeat(70_000)}"}]`],
    ["no event name", "42/chat,1[7]"],
    ["no list", "42/chat,1{}"],
    ["not JSON", "42/chat,1[send_message"],
    ["binary that never comes", '451-/chat,1["send_message",{"_placeholder":true,"num":0}]', "42/chat,2[7]"],
    ["an unknown packet", "49/chat,"],
    ["an unknown frame", "x"],
    ["too many attachments", `45999999999-/chat,1["send_message",{"_placeholder":true,"num":0}]`],
    ["lone surrogates", `42/chat,1["send_message",{"chatId":"${chatId}","message":"\\ud800"}]`],
  ]) {
    const { outcome, received } = await raw(neighbour.token, ...packets);
    check(outcome === "answered" || outcome === "closed", what, received);
    // A ping may come at any time.
    const answer = received.filter((packet) => packet !== "2").at(-1) ?? "";
    if (what === "an oversized frame") check(answer.includes("65536 bytes") && answer.includes("4000 characters"), "the limit is said", answer.slice(0, 300));
    if (what === "lone surrogates") check(answer.includes("an emoji was cut in two") && !answer.includes("column"), "half an emoji, in words", answer);
    check(!received.some((packet) => packet.includes('"seq"') && packet.startsWith("43")), `${what} is not accepted`, received);
  }
  const binary = await neighbourly.ask("send_message", { chatId: otherChatId, message: new Uint8Array([1, 2, 3]) });
  check(binary.error?.code === "invalid", "binary", binary);

  served.stop = true;
  await serving;
  check(served.acked > 10, "the neighbour was served all along", served);
  neighbourly.close();
  return { ok: true, acked: served.acked, refused: refused.length };
});
