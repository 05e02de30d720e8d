// The main job: register, log in, book, join, send, acknowledge, deliver, notify, read the history.
import { Client, check, http, run } from "./lib.mjs";

await run(async ({ provider, providerId, serviceId, zipcode, transport }) => {
  const email = `customer-${process.pid}-${Date.now()}@example.com`;
  const password = "a customer's password";
  await http("POST", "/auth/register", 201, {
    body: { email, password, phoneNumber: "212-555-0123", firstName: "Ann", lastName: "Archer", role: "CUSTOMER", address: "1 Main Street", region: "New York", zipcode },
  });
  const customer = await http("POST", "/auth/login", 200, { body: { email, password } });
  const pro = await http("POST", "/auth/login", 200, { body: provider });

  const options = { transports: [transport] };
  const customerSocket = new Client(customer.accessToken, options);
  const proSocket = new Client(pro.accessToken, options);
  const idleTab = new Client(pro.accessToken, options);
  for (const [client, session] of [[customerSocket, customer], [proSocket, pro], [idleTab, pro]]) {
    const connected = await client.next("connected");
    check(connected.userId === session.user.id, "connected says who", connected);
  }
  check(customerSocket.socket.io.engine.transport.name === transport, "transport", customerSocket.socket.io.engine.transport.name);

  // The booking reaches the provider's every tab.
  const booked = await http("POST", "/customer/booking", 201, {
    token: customer.accessToken,
    body: { serviceId, providerId, zipcode, answers: { Rooms: 3 }, customerBudget: 120.5, preferredDate: new Date(Date.now() + 864e5).toISOString() },
  });
  check(booked.job.status === "new" && booked.job.id > 0 && booked.chat.id.length === 36, "booking", booked);
  for (const tab of [proSocket, idleTab]) {
    const { notification, totalUnreadCount } = await tab.next("notification:created");
    check(notification.type === "job" && notification.metadata.jobId === booked.job.id && totalUnreadCount >= 1, "job notification", notification);
  }
  const chatId = booked.chat.id;

  const joined = await customerSocket.ask("join_chat", { chatId });
  check(joined.chatId === chatId && joined.lastSeq === 1, "join_chat acknowledges", joined);
  check((await customerSocket.next("joined_chat")).lastSeq === 1, "joined_chat", joined);

  // The provider is not in the room yet: a notification instead of the message.
  const first = await customerSocket.ask("send_message", { chatId, message: "Hello?", clientMessageId: "first" });
  check(first.seq === 2 && first.id && first.created_at.endsWith("Z"), "acknowledgement", first);
  const again = await customerSocket.ask("send_message", { chatId, message: "Hello?", clientMessageId: "first" });
  check(again.id === first.id && again.seq === first.seq, "the same clientMessageId", again);
  for (const tab of [proSocket, idleTab]) {
    const { notification } = await tab.next("notification:created");
    check(notification.type === "message" && notification.metadata.chatId === chatId && notification.message === "Hello?", "message notification", notification);
  }

  // Joining with a cursor brings what was missed.
  const caughtUp = await proSocket.ask("join_chat", { chatId, afterSeq: 0 });
  check(caughtUp.messages.map((message) => message.seq).join() === "1,2" && caughtUp.hasMore === false, "catch-up", caughtUp);
  check((await customerSocket.next("user_joined")).userId === pro.user.id, "user_joined");

  proSocket.socket.emit("typing", { chatId, isTyping: true });
  const typing = await customerSocket.next("user_typing");
  check(typing.userId === pro.user.id && typing.isTyping === true && typing.chatId === chatId, "user_typing", typing);

  const answer = await proSocket.ask("send_message", { chatId, message: "On my way", message_type: "text" });
  const delivered = await customerSocket.next("new_message");
  check(
    delivered.id === answer.id && delivered.seq === 3 && delivered.chatId === chatId && delivered.sender_type === "service_provider" &&
      delivered.sender_id === pro.user.id && delivered.sender_name === "Pete Pipes" && delivered.message === "On my way" &&
      delivered.message_type === "text" && delivered.created_at === answer.created_at,
    "new_message", delivered,
  );

  await proSocket.ask("leave_chat", { chatId });
  check((await proSocket.next("left_chat")).chatId === chatId, "left_chat");
  check((await customerSocket.next("user_left")).userId === pro.user.id, "user_left");

  const history = await http("GET", `/chat/${chatId}/messages`, 200, { token: pro.accessToken });
  check(history.messages.map((message) => message.seq).join() === "1,2,3" && history.messages[1].message === "Hello?", "history", history);

  check(proSocket.all("new_message").length === 0, "the sender gets no copy, and a missed message comes once", proSocket.all("new_message"));
  check(customerSocket.all("notification:created").length === 0, "who is in the room is not notified", customerSocket.all("notification:created"));
  for (const client of [customerSocket, proSocket, idleTab]) client.close();
  return { ok: true };
});
