// A booking with the service's own statements, in its order.
import { refusal, rows, statements } from './database.mjs';
import { check, deadline, firstMessages, notification } from './booking_rules.mjs';

export const { begin } = statements;

export async function book(client, userId, asked) {
  const customer = await lockCustomer(client, userId);
  const provider = await lockProvider(client, customer.id, asked);
  check(provider);
  const job = await insertJob(client, customer, provider, asked);
  const messages = firstMessages(asked, customer, provider);
  const chat = await openChat(client, job.id, customer, provider, messages);
  const notified = await notify(client, provider.userId, notification(customer, provider, job.id, chat.id));
  return { job, chat, customer, provider, notified };
}

async function lockCustomer(client, userId) {
  const [row] = await rows(client, statements.lockCustomer, [userId]);
  if (!row) throw refusal(404, 'no such customer');
  const [id, name, isBanned] = row;
  if (isBanned) throw refusal(403, 'this account is banned');
  return { id, userId, name };
}

async function lockProvider(client, customerId, asked) {
  await rows(client, statements.lockProvider, [asked.providerId]);
  const values = [customerId, asked.serviceId, asked.providerId, asked.zipcode];
  const [row] = await rows(client, statements.candidate, values);
  if (!row) throw refusal(404, 'no such service or provider');
  const [serviceName, userId, template, deadlineMinutes, isActive, offersService, servesZipCode, unpaidJobId] = row;
  const [hasOpenJob, hasAcceptedJob] = row.slice(9);
  return {
    serviceName, userId, template, deadlineMinutes, isActive, offersService, servesZipCode, unpaidJobId, hasOpenJob,
    hasAcceptedJob,
  };
}

async function insertJob(client, customer, provider, asked) {
  const values = [
    customer.id, asked.providerId, asked.serviceId, asked.budgetCents, asked.zipcode, asked.location,
    JSON.stringify(asked.answers), asked.images, asked.requiresInPersonVisit, asked.visitCents, asked.sizeSqft,
    asked.scheduledAt, deadline(provider), customer.userId,
  ];
  const [[id, createdAt, responseDeadline]] = await rows(client, statements.insertJob, values);
  return { id, createdAt, responseDeadline };
}

async function openChat(client, jobId, customer, provider, messages) {
  const column = (name) => messages.map((message) => message[name]);
  const values = [
    jobId, customer.userId, provider.userId, column('sender'), column('side'), column('type'), column('text'),
  ];
  const [[id, createdAt]] = await rows(client, statements.openChat, values);
  return { id, createdAt };
}

async function notify(client, userId, { title, message, metadata }) {
  const values = [userId, 'job', title, message, metadata];
  const [[id, createdAt, , unreadCount]] = await rows(client, statements.notify, values);
  return { id, createdAt, unreadCount };
}
