// Bad tokens, wrong shapes, unknown events, and a stranger who knows a chat's id.
import { Client, check, run } from "./lib.mjs";

const noSuchChat = "019b0000-0000-7000-8000-000000000000";

await run(async ({ member, stranger, chatId, forged }) => {
  for (const token of [undefined, "", "nonsense", ...forged]) {
    const client = new Client(token);
    const { message } = await client.next("connect_error");
    check(message.startsWith("unauthorized"), "a bad token is refused in words", { token, message });
    client.close();
  }

  // The Authorization header serves as well as auth.token.
  const byHeader = new Client(undefined, { extraHeaders: { authorization: `Bearer ${member.token}` } });
  check((await byHeader.next("connected")).userId === member.id, "token in the header");
  byHeader.close();

  const insider = new Client(member.token);
  const outsider = new Client(stranger.token);
  await Promise.all([insider.next("connected"), outsider.next("connected")]);
  await insider.ask("join_chat", { chatId });

  // Whether the chat exists makes no difference to a stranger.
  for (const id of [chatId, noSuchChat]) {
    for (const [event, payload] of [
      ["join_chat", { chatId: id }],
      ["join_chat", { chatId: id, afterSeq: 0 }],
      ["leave_chat", { chatId: id }],
      ["typing", { chatId: id, isTyping: true }],
      ["mark_read", { chatId: id }],
      ["mark_read", { chatId: id, seq: 1 }],
      ["send_message", { chatId: id, message: "let me in" }],
    ]) {
      const answer = await outsider.ask(event, payload);
      check(answer.error?.code === "forbidden" && !JSON.stringify(answer).includes(id), `${event} by a stranger`, answer);
    }
  }

  // Wrong shapes are answered, never swallowed; without acknowledgement by an error event.
  const shapes = [null, 7, "text", [], {}, { chatId: 7 }, { chatId: "user:1" }, { chatId: `chat:${chatId}` }, { chatId: [chatId] }];
  for (const event of ["join_chat", "leave_chat", "typing", "mark_read", "send_message"]) {
    for (const shape of shapes) {
      const answer = await insider.ask(event, shape);
      check(answer.error?.code === "invalid", `${event} ${JSON.stringify(shape)}`, answer);
    }
    insider.socket.emit(event);
    const error = await insider.next("error");
    check(error.code === "invalid" && error.event === event && error.message.length > 0, "error event", error);
  }
  for (const [change, rule] of [
    [{ message: "" }, "empty"],
    [{ message: "x".repeat(4001) }, "4000"],
    [{ message: "a\u0000b" }, "U+0000"],
    [{ message: "a", message_type: "video" }, "message_type"],
    [{ message: "not a url", message_type: "image" }, "URL"],
    [{ message: "a", clientMessageId: "x".repeat(129) }, "clientMessageId"],
    [{ message: "a", afterSeq: -1 }, null],
  ]) {
    const answer = await insider.ask("send_message", { chatId, message: "a", ...change });
    if (rule) check(answer.error?.code === "invalid", `send_message ${rule}`, answer);
  }
  const negative = await insider.ask("join_chat", { chatId, afterSeq: -1 });
  check(negative.error?.code === "invalid" && negative.error.message.includes("afterSeq"), "afterSeq", negative);
  const unknown = await insider.ask("make_me_admin", { chatId });
  check(unknown.error?.code === "unknown_event", "unknown event", unknown);

  // A stranger heard nothing of all that.
  await insider.ask("send_message", { chatId, message: "still here" });
  const heard = ["new_message", "user_typing", "user_joined", "user_left", "notification:created", "messages_read", "joined_chat", "left_chat", "presence", "lsm_joined"].flatMap((event) => outsider.all(event));
  check(heard.length === 0, "a stranger hears nothing", heard);
  insider.close();
  outsider.close();
  return { ok: true };
});
